"""The hub, spoken to over HTTP: a stand-in on loopback serves, refuses, accepts and goes away."""

import base64
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import numpy as np
import pytest
import torch
from safetensors.torch import save
from torch import Tensor

import plainmask
from goldens import below, golden
from plainmask.decoder.decoder import DecoderConfig, PlainMaskDecoder
from plainmask.decoder.published import PUBLISHED
from plainmask.encoder.presets import find_preset
from plainmask.encoder.sources import hub_file, local_copy, preset_file
from plainmask.encoder.vit import Encoder
from plainmask.encoder.weights import load_encoder, read_weights_file
from plainmask.errors import HeadError, InputError, WeightsError
from plainmask.heads.head import EncoderRef, Head, HeadConfig
from plainmask.pictures.geometry import InputProtocol
from plainmask.vocabulary import Vocabulary

PMT_SMALL = "tue-mps/coco_panoptic_pmt_small_640_dinov3"
DINOV3_SMALL = "facebook/dinov3-vits16-pretrain-lvd1689m"
HEAD = "someone/a-head"


# The stand-in


class Hub:
    """What the stand-in holds and does; changed by the tests while it runs."""

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.refusals: dict[str, tuple[int, str]] = {}
        """Repository -> status and X-Error-Code."""
        self.requests: list[str] = []
        self.created: dict[str, Any] = {}

    def commit(self, repository: str) -> str:
        content = self.repositories.get(repository, {})
        return hashlib.sha1(repr(sorted(content.items())).encode()).hexdigest()

    def downloads(self) -> list[str]:
        return [line for line in self.requests if line.startswith("GET") and "/resolve/" in line]


class Handler(BaseHTTPRequestHandler):
    """The part of the hub's protocol that downloads and uploads need."""

    hub: Hub

    def log_message(self, *args: Any) -> None:
        self.hub.requests.append(self.requestline.rsplit(" ", 1)[0])

    def do_HEAD(self) -> None:
        self.resolve(with_body=False)

    def do_GET(self) -> None:
        self.resolve(with_body=True)

    def resolve(self, *, with_body: bool) -> None:
        repository, resolve, rest = self.path.removeprefix("/").partition("/resolve/")
        if not resolve:
            return self.answer(404, {})
        headers = {"X-Repo-Commit": self.hub.commit(repository)}
        if repository in self.hub.refusals:
            status, code = self.hub.refusals[repository]
            return self.answer(status, {"X-Error-Code": code} if code else {})
        files = self.hub.repositories.get(repository)
        if files is None:  # as the hub answers those who are not logged in
            return self.answer(401, {"X-Error-Code": "RepoNotFound"})
        content = files.get(rest.partition("/")[2])
        if content is None:
            return self.answer(404, headers | {"X-Error-Code": "EntryNotFound"})
        headers["ETag"] = f'"{hashlib.sha256(content).hexdigest()}"'
        return self.answer(200, headers, content, with_body=with_body)

    def do_POST(self) -> None:
        received = self.body().decode()
        if self.headers["Authorization"] != "Bearer a-token-that-may-write":
            return self.answer(403, {"X-Error-Message": "You don't have the rights"})
        if self.path == "/api/repos/create":
            asked = json.loads(received)
            repository = f"{asked['organization']}/{asked['name']}"
            self.hub.repositories.setdefault(repository, {})
            self.hub.created = asked
            return self.answer_json({"url": f"http://{self.headers['Host']}/{repository}"})
        repository, action = self.path.removeprefix("/api/models/").rsplit("/", 2)[:2]
        if action == "preupload":
            paths = [file["path"] for file in json.loads(received)["files"]]
            modes = [{"path": p, "uploadMode": "regular", "shouldIgnore": False} for p in paths]
            return self.answer_json({"files": modes})
        if action != "commit":  # the model card is validated first
            return self.answer_json({"errors": [], "warnings": []})
        for line in received.splitlines():
            operation = json.loads(line)
            if operation["key"] == "file":
                content = base64.b64decode(operation["value"]["content"])
                self.hub.repositories[repository][operation["value"]["path"]] = content
        address = f"http://{self.headers['Host']}/{repository}/commit/1"
        return self.answer_json({"commitUrl": address, "commitOid": self.hub.commit(repository)})

    def body(self) -> bytes:
        if length := self.headers["Content-Length"]:
            return self.rfile.read(int(length))
        parts: list[bytes] = []  # chunked: huggingface_hub streams its commits
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        return b"".join(parts)

    def answer_json(self, content: Any) -> None:
        self.answer(200, {"Content-Type": "application/json"}, json.dumps(content).encode())

    def answer(
        self,
        status: int,
        headers: dict[str, str],
        content: bytes = b"",
        *,
        with_body: bool = True,
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if with_body:
            self.wfile.write(content)


def use_endpoint(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """huggingface_hub reads its settings from the environment on import, hence by attribute."""
    constants = huggingface_hub.constants
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty caches, nobody logged in, an endpoint where nobody listens, and no waiting."""
    monkeypatch.setenv("PLAINMASK_CACHE", str(tmp_path / "plainmask"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_OIDC_RESOURCE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "HF_HUB_CACHE": str(tmp_path / "hub"),
        "HF_TOKEN_PATH": str(tmp_path / "token"),
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_XET": True,
    }.items():
        monkeypatch.setattr(huggingface_hub.constants, name, value)
    use_endpoint(monkeypatch, "http://127.0.0.1:9")
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # between huggingface_hub's retries


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    stand_in = Hub()
    handler = type("BoundHandler", (Handler,), {"hub": stand_in})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        use_endpoint(monkeypatch, f"http://127.0.0.1:{server.server_port}")
        yield stand_in
        server.shutdown()
        thread.join()


def go_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


# What it serves


def pickled(state: dict[str, Any], folder: Path) -> bytes:
    torch.save(state, folder / "scratch.bin")
    return (folder / "scratch.bin").read_bytes()


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    state = below(golden("dinov3"), "encoder.")
    return load_encoder(state, num_heads=3, taps=(1, 2, 4, 5))


@pytest.fixture(scope="module")
def pmt_small() -> dict[str, Tensor]:
    """A published decoder of the smallest width, with COCO's 133 classes."""
    state = {k: v for k, v in golden("dinov3").items() if k.startswith("network.")}
    classify = torch.randn(134, 48, generator=torch.Generator().manual_seed(0))
    state["network.decoder.class_head.weight"] = classify
    state["network.decoder.class_head.bias"] = torch.zeros(134)
    return state


@pytest.fixture(scope="module")
def head(encoder: Encoder) -> Head:
    torch.manual_seed(0)
    decoder = DecoderConfig(
        width=48,
        heads=3,
        num_queries=5,
        num_classes=3,
        num_blocks=1,
        ffn_hidden=48,
        upscale_stages=1,
    )
    config = HeadConfig(
        name="a-head",
        task="semantic",
        vocabulary=Vocabulary.numbered(3),
        decoder=decoder,
        encoder=EncoderRef.of(encoder),
        input=InputProtocol(kind="stride", size=64),
    )
    return Head(config, PlainMaskDecoder(decoder).eval())


def serve_head(hub: Hub, head: Head, folder: Path) -> None:
    saved = head.save(folder / "served")
    hub.repositories[HEAD] = {file.name: file.read_bytes() for file in saved.iterdir()}


def pixels() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (1, 3, 64, 80), dtype=torch.uint8, generator=generator)


# Published PMT models


COCO_PANOPTIC = {"vocabulary": "coco_panoptic", "classes": 133, "task": "panoptic"}
COCO_INSTANCE = {"vocabulary": "coco_instance", "classes": 80, "task": "instance"}
ADE20K = {"vocabulary": "ade20k_semantic", "classes": 150, "task": "semantic"}


@pytest.mark.parametrize(
    ("name", "encoder", "size", "rest"),
    [
        ("coco_panoptic_pmt_small_640_dinov3", "dinov3-small", 640, COCO_PANOPTIC),
        ("coco_panoptic_pmt_base_640_dinov3", "dinov3-base", 640, COCO_PANOPTIC),
        ("coco_panoptic_pmt_large_640_dinov3", "dinov3-large", 640, COCO_PANOPTIC),
        ("coco_panoptic_pmt_large_1280_dinov3", "dinov3-large", 1280, COCO_PANOPTIC),
        ("coco_instance_pmt_large_640_dinov3", "dinov3-large", 640, COCO_INSTANCE),
        ("coco_instance_pmt_large_1280_dinov3", "dinov3-large", 1280, COCO_INSTANCE),
        ("ade20k_semantic_pmt_large_512_dinov3", "dinov3-large", 512, ADE20K),
    ],
)
def test_what_is_published(name: str, encoder: str, size: int, rest: dict[str, Any]):
    published = PUBLISHED[f"tue-mps/{name}"]
    assert (published.encoder, published.input_size) == (encoder, size)
    assert (published.task, published.vocabulary) == (rest["task"], rest["vocabulary"])
    vocabulary = Vocabulary.load(published.vocabulary)
    assert len(vocabulary) == rest["classes"]
    if rest is COCO_PANOPTIC:  # 80 things, then 53 stuff
        assert [entry.thing for entry in vocabulary.classes] == [True] * 80 + [False] * 53
    assert len(PUBLISHED) == 7 + 35


@pytest.mark.parametrize("wrapped", [False, True], ids=["flat", "wrapped"])
def test_a_published_name_is_all_that_is_needed(
    hub: Hub, encoder: Encoder, pmt_small: dict[str, Tensor], tmp_path: Path, wrapped: bool
):
    content: dict[str, Any] = {"state_dict": pmt_small} if wrapped else pmt_small
    hub.repositories[PMT_SMALL] = {"pytorch_model.bin": pickled(content, tmp_path)}
    segmenter = plainmask.load(PMT_SMALL, encoder=encoder, device="cpu")

    config = segmenter.head.config
    assert segmenter.name == config.name == PMT_SMALL
    assert config.task == "panoptic"
    assert config.vocabulary.name == Vocabulary.load("coco_panoptic").name
    assert config.vocabulary.names[0] == "person"
    assert config.input == InputProtocol(kind="fit", size=640)
    assert (config.thresholds.score, config.thresholds.overlap) == (0.8, 0.8)
    assert config.decoder.num_classes == 133

    given = plainmask.load_official(pmt_small, encoder, input_size=640, device="cpu")
    assert torch.equal(segmenter.logits(pixels()).class_logits, given.logits(pixels()).class_logits)


@pytest.mark.parametrize(
    ("name", "task", "size", "vocabulary", "top_k"),
    [
        (
            "PMT_Video/Dinov3_online/yt-2019_dinov3_online_69.2.pth",
            "instance",
            448,
            "ytvis2019",
            10,
        ),
        ("LVMT/Dinov3_online/ovis_small_dinov3_online_39.1.pth", "instance", 544, "ovis", 20),
        ("LVMT/Dinov3_online/vipseg_dinov3_online_60.3_53.4.pth", "panoptic", 720, "vipseg", 10),
    ],
)
def test_published_video_files_hold_all_that_is_needed(
    hub: Hub, tmp_path: Path, name: str, task: str, size: int, vocabulary: str, top_k: int
):
    state = below(golden("video_pmt_dinov3"), "weights/")
    rows = len(Vocabulary.load(vocabulary)) + 1
    state["backbone.decoder.class_head.weight"] = torch.randn(rows, 64)
    state["backbone.decoder.class_head.bias"] = torch.randn(rows)
    name = f"tue-mps/{name}"
    repository, file = "/".join(name.split("/")[:2]), "/".join(name.split("/")[2:])
    hub.repositories[repository] = {file: pickled({"model": state, "iteration": 3}, tmp_path)}
    segmenter = plainmask.load(name, device="cpu")
    head = segmenter.head
    config = head.config
    assert (config.name, config.task, config.thresholds.top_k) == (name, task, top_k)
    assert config.input == InputProtocol(kind="video", size=size)
    assert config.vocabulary.name == Vocabulary.load(vocabulary).name
    assert head.encoder is segmenter.encoder  # its own: the released one was not asked for
    assert not any("facebook" in line for line in hub.requests)
    result = segmenter.stream().step(np.zeros((40, 60, 3), np.uint8))
    assert result.image_size == (40, 60)


def test_safetensors_are_preferred_to_a_pickle(
    hub: Hub, encoder: Encoder, pmt_small: dict[str, Tensor]
):
    hub.repositories[PMT_SMALL] = {"model.safetensors": save(pmt_small), "pytorch_model.bin": b"!"}
    assert plainmask.load(PMT_SMALL, encoder=encoder, device="cpu").head
    assert not any("pytorch_model.bin" in line for line in hub.requests)


def test_a_repository_without_weights(hub: Hub, encoder: Encoder):
    hub.repositories[PMT_SMALL] = {"README.md": b"soon"}
    with pytest.raises(WeightsError, match=r"none of model\.safetensors, pytorch_model\.bin"):
        plainmask.load(PMT_SMALL, encoder=encoder)


# Encoders


def test_an_encoder_by_its_preset_name(hub: Hub):
    config = find_preset("dinov3-small").config
    with torch.device("meta"):
        shapes = Encoder(config).state_dict()
    published: dict[str, Tensor] = {}
    for key, tensor in shapes.items():  # timm's layout is the nearest to ours
        name = key.replace("patch.", "patch_embed.proj.").replace("registers", "reg_token")
        name = name.replace("attention.qkv", "attn.qkv").replace("attention.out", "attn.proj")
        name = name.replace("attention.", "attn.").replace("ffn.up", "mlp.fc1")
        name = name.replace("ffn.down", "mlp.fc2").replace("scale", "gamma_")
        published[name] = torch.zeros(tensor.shape, dtype=torch.bfloat16)
    hub.repositories[DINOV3_SMALL] = {"model.safetensors": save(published)}

    encoder = load_encoder("dinov3-small")
    assert (encoder.name, encoder.config) == ("dinov3-small", config)
    assert encoder.dtype == torch.float32
    load_encoder(DINOV3_SMALL)  # its hub id is the same preset, and the file is there already
    assert len(hub.downloads()) == 1


def test_other_weights_under_its_name_are_refused(hub: Hub):
    state = below(golden("dinov3"), "encoder.")
    hub.repositories[DINOV3_SMALL] = {"model.safetensors": save(state)}
    with pytest.raises(WeightsError) as caught:
        load_encoder("dinov3-small")
    message = str(caught.value)
    assert "the weights found for dinov3-small are another model" in message
    assert "width (48 for 384)" in message
    assert "depth (6 for 12)" in message


def serve_shards(hub: Hub, state: dict[str, Tensor]) -> None:
    files = {key: f"model-{place % 2 + 1}-of-2.safetensors" for place, key in enumerate(state)}
    shards = {
        name: save({k: v for k, v in state.items() if files[k] == name}) for name in files.values()
    }
    index = json.dumps({"metadata": {}, "weight_map": files}).encode()
    hub.repositories[DINOV3_SMALL] = shards | {"model.safetensors.index.json": index}


def test_a_model_in_several_files(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    state = below(golden("dinov3"), "encoder.")
    serve_shards(hub, state)
    folder = preset_file(find_preset("dinov3-small"))
    found = read_weights_file(folder)
    assert found.keys() == state.keys()
    assert all(torch.equal(found[key], state[key]) for key in state)
    go_offline(monkeypatch)
    assert preset_file(find_preset("dinov3-small")) == folder


def test_a_model_in_several_files_of_which_one_is_missing(hub: Hub):
    serve_shards(hub, below(golden("dinov3"), "encoder."))
    del hub.repositories[DINOV3_SMALL]["model-2-of-2.safetensors"]
    with pytest.raises(WeightsError, match=r"is not whole: .*no model-2-of-2\.safetensors"):
        preset_file(find_preset("dinov3-small"))


def test_weights_under_a_name_of_their_own(hub: Hub, tmp_path: Path):
    """LingBot's: a pickle, in a wrapper of its own."""
    state = below(golden("dinov3"), "encoder.")
    torch.save({"backbone": state}, tmp_path / "model.pt")
    preset = find_preset("lingbot-small")
    assert local_copy(preset) is None
    hub.repositories[preset.hub_id] = {"model.pt": (tmp_path / "model.pt").read_bytes()}
    file = preset_file(preset)
    assert file.name == "model.pt"
    assert read_weights_file(file).keys() == state.keys()
    assert local_copy(preset) == file


# Refusals


REFUSALS = [
    (401, "GatedRepo", "is gated: accept its licence on its hub page .*`hf auth login`"),
    (403, "GatedRepo", "is gated: .*a refused request is the publisher's decision"),
    (401, "RepoNotFound", "the hub knows no repository .*check the name, or run `hf auth login`"),
    (404, "RepoNotFound", "the hub knows no repository"),
    (403, "", "was not handed out: 403 Forbidden"),
    (503, "", "was not handed out: .*503"),
]


@pytest.mark.parametrize(("status", "code", "reason"), REFUSALS)
def test_refusals_of_an_encoder_say_what_to_do(hub: Hub, status: int, code: str, reason: str):
    hub.refusals[DINOV3_SMALL] = (status, code)
    with pytest.raises(WeightsError, match=reason) as caught:
        load_encoder("dinov3-small")
    message = str(caught.value)
    assert DINOV3_SMALL in message
    assert "DINOv3 License" in message
    assert "encoder=PATH" in message


@pytest.mark.parametrize(("status", "code", "reason"), REFUSALS)
def test_refusals_of_a_head_say_what_to_do(hub: Hub, status: int, code: str, reason: str):
    hub.refusals[HEAD] = (status, code)
    with pytest.raises(WeightsError, match=reason):
        plainmask.load(HEAD)


@pytest.mark.parametrize("name", ["eupe-tiny", "tipsv2-base", "cradiov4-huge"])
def test_an_encoder_that_became_gated_says_what_to_do(hub: Hub, name: str):
    preset = find_preset(name)
    hub.refusals[preset.hub_id] = (401, "GatedRepo")
    with pytest.raises(WeightsError, match=rf"{preset.hub_id} is gated: accept its licence on"):
        load_encoder(name)


def test_a_gated_encoder_does_not_hide_the_head(hub: Hub, pmt_small: dict[str, Tensor]):
    hub.repositories[PMT_SMALL] = {"model.safetensors": save(pmt_small)}
    hub.refusals[DINOV3_SMALL] = (403, "GatedRepo")
    with pytest.raises(WeightsError, match="dinov3-vits16-pretrain-lvd1689m is gated"):
        plainmask.load(PMT_SMALL)


def test_an_unknown_repository(hub: Hub):
    with pytest.raises(WeightsError, match="the hub knows no repository nobody/nothing"):
        plainmask.load("nobody/nothing")


@pytest.mark.parametrize("name", ["a b/c", "-a/b", "a/b--c"])
def test_a_name_that_no_repository_can_have(name: str):
    with pytest.raises(InputError, match="is no name of a hub repository"):
        plainmask.load(name)


def test_an_answer_that_breaks_off(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    hub.repositories[HEAD] = {"config.json": b"x" * 1000}

    def half(self: Handler, *args: Any, with_body: bool = True) -> None:
        whole(self, *args, with_body=False)
        if with_body:
            self.wfile.write(b"x" * 500)

    whole = Handler.answer
    monkeypatch.setattr(Handler, "answer", half)
    with pytest.raises(WeightsError, match=r"a-head/config\.json could not be downloaded"):
        plainmask.load(HEAD)


# Offline


def test_offline_with_nothing_cached(monkeypatch: pytest.MonkeyPatch, encoder: Encoder):
    go_offline(monkeypatch)
    with pytest.raises(WeightsError, match="not in the hub's cache and the hub cannot be reached"):
        plainmask.load(PMT_SMALL, encoder=encoder)
    with pytest.raises(WeightsError, match="connect once, or copy the file here"):
        plainmask.load(HEAD)
    with pytest.raises(WeightsError, match=r"cache: no file .*\n.*HF_HUB_OFFLINE is set"):
        load_encoder("dinov3-small")


def test_an_unreachable_hub_with_nothing_cached():
    with pytest.raises(WeightsError, match="the hub cannot be reached"):
        hub_file(HEAD, "config.json")


@pytest.mark.parametrize("file", ["pytorch_model.bin", "model.safetensors"])
@pytest.mark.parametrize("switched", [True, False], ids=["HF_HUB_OFFLINE", "no network"])
def test_offline_with_a_prepared_cache(
    hub: Hub,
    encoder: Encoder,
    head: Head,
    pmt_small: dict[str, Tensor],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    file: str,
    switched: bool,
):
    content = save(pmt_small) if file == "model.safetensors" else pickled(pmt_small, tmp_path)
    hub.repositories[PMT_SMALL] = {file: content}
    serve_head(hub, head, tmp_path)
    online = [plainmask.load(name, encoder=encoder, device="cpu") for name in (PMT_SMALL, HEAD)]
    if switched:
        go_offline(monkeypatch)
    else:
        use_endpoint(monkeypatch, "http://127.0.0.1:9")
    hub.requests.clear()
    for before in online:
        name = before.name
        offline = plainmask.load(
            PMT_SMALL if name == PMT_SMALL else HEAD, encoder=encoder, device="cpu"
        )
        found, expected = offline.logits(pixels()), before.logits(pixels())
        assert torch.equal(found.mask_logits, expected.mask_logits)
    assert not hub.requests


# Heads


def test_a_head_from_the_hub_brings_its_own_encoder(
    hub: Hub, encoder: Encoder, head: Head, tmp_path: Path
):
    own = replace(
        head, config=head.config.model_copy(update={"own_encoder": encoder.config}), encoder=encoder
    )
    serve_head(hub, own, tmp_path)
    segmenter = plainmask.load(HEAD, device="cpu")
    assert segmenter.encoder.fingerprint == encoder.fingerprint
    found, expected = (
        segmenter.logits(pixels()),
        plainmask.Segmenter(encoder, {"a": tmp_path / "served"}, device="cpu").logits(pixels())[
            "a"
        ],
    )
    assert torch.equal(found.mask_logits, expected.mask_logits)
    assert Head.from_pretrained(HEAD).encoder is not None


def test_a_head_from_the_hub(hub: Hub, encoder: Encoder, head: Head, tmp_path: Path):
    serve_head(hub, head, tmp_path)
    pulled = Head.from_pretrained(HEAD)
    assert pulled.config == head.config
    segmenter = plainmask.load(HEAD, encoder=encoder, device="cpu")
    assert segmenter.name == "a-head"
    several = plainmask.Segmenter(encoder, {"mine": HEAD}, device="cpu")
    assert several.heads["mine"].config == head.config
    assert len(hub.downloads()) == 2  # config and weights, once


def test_a_head_folder_needs_no_hub(head: Head, tmp_path: Path):
    assert Head.from_pretrained(head.save(tmp_path / "head")).config == head.config


def test_a_head_on_an_encoder_of_its_own(hub: Hub, head: Head, tmp_path: Path):
    serve_head(hub, head, tmp_path)
    with pytest.raises(HeadError, match=r"no released shape .*give its weights, encoder=PATH"):
        plainmask.load(HEAD)


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_a_repository_that_is_no_head(hub: Hub, head: Head, tmp_path: Path, missing: str):
    serve_head(hub, head, tmp_path)
    del hub.repositories[HEAD][missing]
    with pytest.raises(InputError, match=f"a-head is no head folder: .*holds no {missing}"):
        plainmask.load(HEAD)


def test_a_head_without_its_card_is_a_head(hub: Hub, head: Head, tmp_path: Path):
    serve_head(hub, head, tmp_path)
    del hub.repositories[HEAD]["README.md"]
    assert Head.from_pretrained(HEAD).config == head.config


# Uploads


def test_pushed_and_pulled(
    hub: Hub, encoder: Encoder, head: Head, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("HF_TOKEN", "a-token-that-may-write")
    address = head.push_to_hub(HEAD, private=True)
    assert address.endswith(HEAD)
    assert hub.created["name"] == "a-head"
    assert hub.repositories[HEAD].keys() == {"config.json", "model.safetensors", "README.md"}
    assert b"library_name: plainmask" in hub.repositories[HEAD]["README.md"]

    pulled = Head.from_pretrained(HEAD)
    kept = Head.load(head.save(tmp_path / "kept"))
    assert pulled.config == head.config
    expected = kept.decoder.state_dict()
    for key, value in pulled.decoder.state_dict().items():
        assert torch.equal(value, expected[key]), key


def test_pushing_needs_a_login(hub: Hub, head: Head):
    with pytest.raises(WeightsError, match="not logged in to the hub; run `hf auth login`"):
        head.push_to_hub(HEAD)
    assert not hub.requests


def test_pushing_where_one_may_not_write(hub: Hub, head: Head, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_TOKEN", "another-token")
    with pytest.raises(
        WeightsError, match=r"could not be uploaded: 403 Forbidden.*token may write"
    ):
        head.push_to_hub(HEAD)
    assert not hub.repositories


def test_pushing_offline(head: Head, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_TOKEN", "a-token-that-may-write")
    with pytest.raises(WeightsError, match="could not be uploaded: "):
        head.push_to_hub(HEAD)
    go_offline(monkeypatch)
    with pytest.raises(WeightsError, match=r"could not be uploaded: .*offline mode"):
        head.push_to_hub(HEAD)
