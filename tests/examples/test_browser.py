"""The page of examples/browser in a real browser: the class map is Python's own."""

import functools
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from pages import CHROMIUM, chromium, tab
from plainmask.encoder.vit import Encoder
from plainmask.export.folder import export_heads
from plainmask.graphs.graph import KEY
from plainmask.heads.exported import About, open_exported
from plainmask.heads.head import Head, HeadConfig
from plainmask.inference.segmenter import HeadSegmenter, Segmenter
from plainmask.pictures.geometry import InputProtocol
from tiny import tiny_encoder, tiny_head

pytest.importorskip("playwright.sync_api")
EXAMPLE = Path(__file__).parents[2] / "examples" / "browser"
RUNTIME = EXAMPLE / "node_modules" / "onnxruntime-web"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium"),
    pytest.mark.skipif(not RUNTIME.is_dir(), reason="needs onnxruntime-web: make browser"),
]

SOFTWARE_GPU = ["--no-sandbox", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"]
LABELS = """async () => {
    const { shown } = await import("./page.js");
    const { labels, size } = shown.result;
    return { labels: Array.from(labels), size };
}"""
PROTOCOLS = {
    "stride": InputProtocol(kind="stride", size=72),  # 4.5 patches, the rest is padding
    "one-window": InputProtocol(kind="windows", size=(66, 98)),  # what fills no patch is dropped
    "windows": InputProtocol(kind="windows", size=64, shorter=90),
}


class Quiet(SimpleHTTPRequestHandler):
    """Files of a folder, without a line for each of them."""

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def files_of(folder: Path) -> Iterator[str]:
    """The address at which a folder's files are served."""
    with ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=folder)
    ) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class Site:
    """A browser, the page, and exported heads beside it."""

    def __init__(self, browser: Any, address: str, segmenter: Segmenter, folder: Path):
        self.browser, self.address, self.segmenter = browser, address, segmenter
        self.folder = folder

    @contextmanager
    def opened(self, head: str, page: str = "page") -> Iterator[Any]:
        """A tab in which the page has opened an exported head, or has said why not."""
        with tab(self.browser) as made:
            made.goto(f"{self.address}/{page}/index.html?head=../{head}")
            made.wait_for_function("!document.getElementById('said').textContent.endsWith('…')")
            yield made

    def said(self, head: str, page: str = "page") -> str:
        with self.opened(head, page) as made:
            return made.text_content("#said.error")


def telling_classes(encoder: Encoder) -> Head:
    """A semantic head that sees several classes in a picture."""
    head = tiny_head("semantic", encoder, num_classes=20)
    with torch.no_grad():
        head.decoder.predict.classify.weight.mul_(6)
        head.decoder.queries.mul_(20)
    return head


def say(path: Path, about: About, config: HeadConfig) -> None:
    """Let an exported head say of itself what another says, under that one's name."""
    model = onnx.load(path)
    text = about.model_copy(update={"heads": (config,)}).model_dump_json()
    onnx.helper.set_model_props(model, {KEY: text})
    onnx.save(model, path.with_name(f"{config.name}.onnx"))


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> tuple[Segmenter, Path]:
    """One decoder with several ways in; and a folder with the page and with these heads.

    They are exported once, as graphs know nothing of sizes and tasks.
    """
    encoder, folder = tiny_encoder(), tmp_path_factory.mktemp("site")
    head = telling_classes(encoder)
    config = head.config
    segmenter = Segmenter(encoder, {config.name: head}, device="cpu")
    export_heads(segmenter, folder / "exported")
    path = folder / "exported" / f"{config.name}.onnx"
    about = open_exported(path)[1]
    others: dict[str, dict[str, Any]] = {
        name: {"input": protocol} for name, protocol in PROTOCOLS.items()
    }
    others["fit"] = {"input": InputProtocol(kind="fit", size=64)}
    others["panoptic"] = {"task": "panoptic"}
    others["video"] = {"decoder": config.decoder.model_copy(update={"propagation": "gru"})}
    for name, update in others.items():
        say(path, about, config.model_copy(update={"name": name, **update}))
    ours = {
        name: Head(config.model_copy(update={"name": name, **others[name]}), head.decoder)
        for name in PROTOCOLS
    }
    (folder / "page").symlink_to(EXAMPLE)
    return Segmenter(encoder, ours, device="cpu"), folder


@pytest.fixture(scope="module")
def site(heads: tuple[Segmenter, Path]) -> Iterator[Site]:
    with files_of(heads[1]) as address, chromium() as browser:
        yield Site(browser, address, *heads)


@pytest.fixture
def with_gpu(site: Site) -> Iterator[Any]:
    """A browser whose GPU is a program."""
    browser = site.browser.browser_type.launch(executable_path=CHROMIUM, args=SOFTWARE_GPU)
    with tab(browser) as page:
        page.goto(f"{site.address}/page/geometry.js")  # WebGPU is for pages of a safe origin alone
        if not page.evaluate("async () => Boolean(await navigator.gpu?.requestAdapter())"):
            pytest.skip("this chromium has no WebGPU")
    yield browser
    browser.close()


def blocks(height: int, width: int) -> NDArray[np.uint8]:
    """A picture of coloured blocks with some noise."""
    random = np.random.default_rng(width)
    coarse = random.integers(0, 256, (height // 12 + 1, width // 12 + 1, 3))
    fine = coarse.repeat(12, 0).repeat(12, 1)[:height, :width]
    return (fine + random.integers(-20, 21, fine.shape)).clip(0, 255).astype(np.uint8)


def in_browser(
    site: Site, head: str, picture: Path, device: str = "WebAssembly, threads: 1"
) -> NDArray[np.int16]:
    """The class map that the page shows, and says to have computed by this device."""
    with site.opened(f"exported/{head}.onnx") as page:
        page.set_input_files("#picture", picture)
        page.wait_for_selector("#legend li")
        assert re.search(rf" \d+ ms \(.*\), {device}$", page.text_content("#said"))
        found = page.evaluate(LABELS)
    return np.array(found["labels"], np.int16).reshape(found["size"])


@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.parametrize("size", [(61, 83), (240, 130)])
def test_the_map_is_that_of_python(site: Site, name: str, size: tuple[int, int], tmp_path: Path):
    picture = tmp_path / "picture.png"
    Image.fromarray(blocks(*size)).save(picture)
    head: HeadSegmenter[Any] = site.segmenter[name]
    ours = head(picture).label_map
    theirs = in_browser(site, name, picture)
    assert theirs.shape == ours.shape == size
    assert np.bincount(ours.ravel()).max() < 0.8 * ours.size
    assert np.mean(theirs == ours) >= 0.995


def test_webgpu_gives_the_same_map(site: Site, with_gpu: Any, tmp_path: Path):
    picture = tmp_path / "picture.png"
    Image.fromarray(blocks(61, 83)).save(picture)
    other = Site(with_gpu, site.address, site.segmenter, site.folder)
    theirs = in_browser(other, "stride", picture, "WebGPU")
    head: HeadSegmenter[Any] = site.segmenter["stride"]
    assert np.mean(theirs == head(picture).label_map) >= 0.995


def test_the_picture_is_resized_to_the_last_bit(site: Site):
    """As Pillow does it, smaller and larger."""
    pixels = blocks(50, 70)
    with site.opened("exported/stride.onnx") as page:
        for size in [(20, 33), (97, 71), (50, 29)]:
            found = page.evaluate(
                """async ([pixels, from, to]) => {
                    const { resize } = await import("./geometry.js");
                    return Array.from(resize(Uint8ClampedArray.from(pixels), from, to));
                }""",
                [pixels.ravel().tolist(), pixels.shape[:2], size],
            )
            resized = Image.fromarray(pixels).resize(size[::-1], Image.Resampling.BILINEAR)
            assert found == np.asarray(resized).ravel().tolist()


def test_a_legend_and_colours(site: Site, tmp_path: Path):
    picture = tmp_path / "picture.png"
    Image.fromarray(blocks(61, 83)).save(picture)
    with site.opened("exported/stride.onnx") as page:
        page.set_input_files("#picture", picture)
        page.wait_for_selector("#legend li")
        entries = page.locator("#legend li").all_text_contents()
        corner = page.evaluate(
            "Array.from(canvas.getContext('2d').getImageData(0, 0, 1, 1).data)",
        )
    head: HeadSegmenter[Any] = site.segmenter["stride"]
    labels = head(picture).label_map
    shares = np.bincount(labels.ravel(), minlength=20) / labels.size
    names = [f"class_{label}" for label in np.argsort(-shares) if shares[label]]
    assert [entry.split()[0] for entry in entries] == names
    assert corner[:3] != blocks(61, 83)[0, 0].tolist()


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("missing.onnx", r"missing.onnx is not there (404); write it with: plainmask export"),
        ("encoder.onnx", 'encoder.onnx is of the kind "encoder", not "head"'),
        ("panoptic.onnx", "is a head for panoptic segmentation; this page does semantic"),
        ("video.onnx", "is a head for video semantic segmentation; this page does"),
    ],
)
def test_a_head_that_cannot_be_used(site: Site, head: str, message: str):
    assert message in site.said(f"exported/{head}")


def test_a_file_that_is_no_export(site: Site):
    (site.folder / "exported" / "other.onnx").write_bytes(b"something else")
    assert "other.onnx is no export of plainmask" in site.said("exported/other.onnx")


def test_an_encoder_of_another_head(site: Site):
    folder = site.folder / "apart"
    folder.mkdir()
    data = (site.folder / "exported" / "encoder.onnx").read_bytes()
    fingerprint = site.segmenter.encoder.fingerprint.encode()
    (folder / "encoder.onnx").write_bytes(data.replace(fingerprint, fingerprint[::-1]))
    shutil.copy(site.folder / "exported" / "stride.onnx", folder)
    assert "stride was exported with another encoder" in site.said("apart/stride.onnx")


def test_the_runtime_is_missing(site: Site):
    shutil.copytree(EXAMPLE, site.folder / "bare", ignore=shutil.ignore_patterns("node_modules"))
    assert site.said("exported/stride.onnx", "bare") == (
        "onnxruntime-web is not there; run: npm install"
    )


def test_pictures_that_cannot_be_used(site: Site, tmp_path: Path):
    (tmp_path / "text.png").write_text("no picture")
    Image.fromarray(blocks(4, 900)).save(tmp_path / "strip.png")
    Image.fromarray(blocks(61, 83)).save(tmp_path / "good.png")
    with site.opened("exported/windows.onnx") as page:
        for name, message in [
            ("text.png", "text.png is no picture that this browser reads"),
            ("strip.png", "a picture of 900 x 4 is too long and thin; cut it into parts"),
        ]:
            page.set_input_files("#picture", tmp_path / name)
            page.wait_for_selector("#said.error")
            page.wait_for_selector("#picture:enabled")
            assert page.text_content("#said") == message
        page.set_input_files("#picture", tmp_path / "good.png")  # it goes on
        page.wait_for_selector("#legend li")
    with site.opened("exported/fit.onnx") as page:
        page.set_input_files("#picture", tmp_path / "good.png")
        page.wait_for_selector("#said.error")
        assert 'takes pictures by "fit"' in page.text_content("#said")
