"""The Python of the documentation runs as it stands, on small data: one page, one folder.

A page's blocks of ```python run in their order and share their names, as if typed one after the
other. To add a page, give it a function that prepares its folder, as a context: it may also give
texts that are replaced in the page, such as an address that only a reader has.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import CodeType
from typing import Any, get_args

import pytest
from PIL import Image
from safetensors.numpy import load_file

from cameras import camera, serving
from images import labelled_images
from plainmask.data.convert import TargetFormat
from plainmask.data.reader import DataFormat
from plainmask.inference.segmenter import Segmenter
from rows import alone, photographs
from servers import served
from tiny import save_tiny_encoder, save_with_encoder, tiny_encoder, tiny_head, tiny_video_head
from videos import pictures, write_video

TOKEN = "sesame"
DOCS = Path(__file__).parents[1] / "docs"

Replaced = Mapping[str, str]
Prepare = Callable[[Path], AbstractContextManager[Replaced]]


@contextmanager
def video(folder: Path) -> Iterator[Replaced]:
    """A short video, a tiny head of the shipped one's name with its encoder, and a camera."""
    write_video(folder / "street.mp4", pictures(6))
    encoder = tiny_encoder()
    save_with_encoder(tiny_video_head("instance", encoder), encoder, folder / "moving-objects")
    with serving(camera(5, pause=0.05)) as address:
        yield {"rtsp://192.168.0.20:554": address}


@contextmanager
def training(folder: Path) -> Iterator[Replaced]:
    """A tiny encoder, with patches of 16, and a tiny head of the shipped one's name."""
    save_tiny_encoder(folder)
    tiny_video_head("instance", tiny_encoder()).save(folder / "moving-objects")
    yield {
        "encoder: dinov2-small": "encoder: encoder.safetensors",
        "[112, 140]": "[112, 144]",
        '"runs/my-objects/head")': '"runs/my-objects/head", encoder="encoder.safetensors")',
    }


@contextmanager
def evaluation(folder: Path) -> Iterator[Replaced]:
    """Four pictures with objects, and a tiny instance head with its encoder."""
    labelled_images(folder / "coco", "instance")
    encoder = tiny_encoder()
    save_with_encoder(tiny_video_head("instance", encoder, "none"), encoder, folder / "my-head")
    yield {}


@contextmanager
def server(folder: Path) -> Iterator[Replaced]:
    """A photograph, two frames, and servers of tiny heads of the shipped ones' names, one of which
    takes more: `heads/mine` and mine.zip."""
    for name, picture in zip(("photo", "0001", "0002"), pictures(3), strict=True):
        Image.fromarray(picture).save(folder / f"{name}.jpg")
    encoder = tiny_encoder()
    heads = {
        "scenes": tiny_head("semantic", encoder),
        "person-parts": tiny_head("semantic", encoder),
        "moving-objects": tiny_video_head("instance", encoder),
    }
    mine = tiny_head("semantic", encoder).save(folder / "heads/mine")
    shutil.make_archive(str(folder / "mine"), "zip", mine)
    one, other = (Segmenter(encoder, heads, device="cpu") for _ in range(2))
    options: dict[str, Any] = {"heads_root": folder / "heads", "token": TOKEN}
    with served(one) as address, served(other, **options) as more:
        yield {"127.0.0.1:8000": address, "127.0.0.1:8001": more}


@contextmanager
def nothing(folder: Path) -> Iterator[Replaced]:
    """The page makes all that it needs."""
    yield {}


@contextmanager
def label(folder: Path) -> Iterator[Replaced]:
    """A photograph and a tiny encoder."""
    save_tiny_encoder(folder)
    Image.fromarray(pictures(1)[0]).save(folder / "photo.jpg")
    yield {
        '["ground", "sky"])': '["ground", "sky"], encoder="encoder.safetensors")',
        'load("mine")': 'load("mine", encoder="encoder.safetensors")',
    }


@contextmanager
def bridges(folder: Path) -> Iterator[Replaced]:
    """A photograph, and tiny heads of the shipped ones' names with their encoder."""
    Image.fromarray(pictures(1)[0]).save(folder / "photo.jpg")
    encoder = tiny_encoder()
    save_with_encoder(tiny_head("semantic", encoder), encoder, folder / "scenes")
    save_with_encoder(tiny_video_head("instance", encoder), encoder, folder / "moving-objects")
    yield {}


@contextmanager
def scale(folder: Path) -> Iterator[Replaced]:
    """A photograph, tiny heads of the shipped ones' names, and rows of a run."""
    encoder = tiny_encoder()
    for name in ("scenes", "person-parts"):
        save_with_encoder(tiny_head("semantic", encoder), encoder, folder / name)
    alone([str(folder / "scenes")], photographs(folder / "in", 2, broken=[1]), folder / "out")
    Image.fromarray(pictures(1)[0]).save(folder / "street.jpg")
    yield {}


PAGES: dict[str, Prepare] = {
    "bridges.md": bridges,
    "data.md": nothing,
    "evaluate.md": evaluation,
    "label.md": label,
    "scale.md": scale,
    "serve.md": server,
    "video.md": video,
    "train-on-videos.md": training,
}


TOOLS = {
    "to_supervision": "supervision",
    "plainmask.bridges.cvat": "cvat_sdk",
    "plainmask.bridges.fiftyone": "fiftyone",
    "dask.dataframe": "dask",
    "import daft": "daft",
    "pyspark": "pyspark",
    "plainmask.bridges.label_studio": "label_studio_ml",
}
"""What a block needs that mentions these; one whose tool is not installed is left out."""


def text_of(page: Path, replaced: Replaced) -> str:
    """A page with what only a reader has replaced."""
    text = page.read_text("utf-8")
    for old, new in replaced.items():
        assert old in text, f"{page.name} does not mention {old}"
        text = text.replace(old, new)
    return text


def blocks(page: Path, replaced: Replaced) -> Iterator[CodeType]:
    """The Python of a page, compiled so that errors name its lines."""
    text = text_of(page, replaced)
    for found in re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        needed = [tool for name, tool in TOOLS.items() if name in found[1]]
        if not all(map(find_spec, needed)):
            continue
        line = text.count("\n", 0, found.start(1))
        yield compile("\n" * line + found[1], str(page), "exec")


@pytest.mark.parametrize("name", PAGES)
def test_the_python_of_a_page_runs(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "__main__"}
    with PAGES[name](tmp_path) as replaced:
        codes = list(blocks(DOCS / name, replaced))
        assert codes
        for code in codes:
            exec(code, namespace)
    out = capsys.readouterr().out
    if name == "data.md":
        assert "train 1 images; of them with {'sky': 1, 'road': 1, 'car': 1}" in out
        assert "problems: []" in out
        assert "street-val (96, 128, 3) 3 segments" in out
    if name == "evaluate.md":
        assert "at most 500 detections" in out
        assert (tmp_path / "report/index.html").is_file()
    if name == "label.md":
        assert "ground" in out
    if name == "scale.md":
        assert "in/000.png scenes class_0" in out
        assert "missing.jpg: there is no such file" in out
    if name == "serve.md":
        assert "pixels" in out
    if name == "video.md":
        assert "out/street.overlay.mp4" in out
        assert out.count("breaks off after ") == 2
        assert (tmp_path / "out/street.segments.jsonl").is_file()
    if name == "train-on-videos.md":
        assert "first 8 frames (96, 128, 3) 1 objects" in out
        assert (tmp_path / "runs/my-objects/head/config.json").is_file()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_what_curl_is_told_to_do_works(tmp_path: Path):
    with server(tmp_path) as replaced:
        text = text_of(DOCS / "serve.md", replaced)
        found = [
            block
            for block in re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
            if block.startswith("curl")
        ]
        found += re.findall(r"`(curl [^`]*)`", text)
        assert len(found) == 4
        for block in found:
            strict = block.replace("curl ", "curl --silent --show-error --fail-with-body ")
            done = subprocess.run(
                ["bash", "-e", "-c", strict],
                cwd=tmp_path,
                env=os.environ | {"PLAINMASK_TOKEN": TOKEN},
                capture_output=True,
                text=True,
                timeout=60,
            )
            assert done.returncode == 0, done.stdout + done.stderr
    with Image.open(tmp_path / "overlay.png") as overlay:
        assert overlay.height > 48
    assert load_file(tmp_path / "photo.safetensors")


def test_every_format_is_described():
    text = (DOCS / "data.md").read_text("utf-8")
    assert [name for name in get_args(DataFormat) if f"`{name}`" not in text] == []
    assert [name for name in get_args(TargetFormat) if f"`{name}` |" not in text] == []


def test_every_published_image_model_is_described():
    text, described = (DOCS / "reproduce.md").read_text("utf-8"), 0
    for recipe in sorted((DOCS.parent / "recipes").glob("*.yaml")):
        found = re.search(r"figure: +published: (\S+ \S+) on .*tue-mps/(\S+)", recipe.read_text())
        if found:
            assert f"`{recipe.stem}`" in text
            assert re.search(rf"^\| `{found[2]}` \|.*\| {re.escape(found[1])} \|$", text, re.M)
            described += 1
    assert described == 7
