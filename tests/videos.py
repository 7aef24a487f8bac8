"""Videos made for tests: moving blocks of colour, in any container, codec and size."""

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np


def pictures(count: int, size: tuple[int, int] = (48, 64), seed: int = 0) -> list[np.ndarray]:
    """Frames (H, W, 3) of blocks of colour that move to the right."""
    rows, columns = (-(-side // 8) for side in size)
    blocks = np.random.default_rng(seed).integers(0, 256, (rows, columns, 3), np.uint8)
    first = blocks.repeat(8, 0).repeat(8, 1)[: size[0], : size[1]]
    return [np.ascontiguousarray(np.roll(first, 2 * time, axis=1)) for time in range(count)]


def write_video(
    path: Path,
    frames: Sequence[np.ndarray],
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    seconds: Sequence[float] | None = None,
    gop: int = 5,
    container: dict[str, str] | None = None,
    adjust: Callable[[Any], None] | None = None,
    **options: str,
) -> Path:
    """A video file of these frames; `adjust` may change the stream before the first."""
    with av.open(path, "w", options=container or {}) as file:
        stream = file.add_stream(codec, rate=25, options=options)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        stream.gop_size = gop
        ticks = Fraction(1, 1000 if seconds else 25)
        stream.codec_context.time_base = ticks
        if adjust:
            adjust(stream)
        for place, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = round(1000 * seconds[place]) if seconds else place
            frame.time_base = ticks
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def write_audio(path: Path) -> Path:
    """A file of sound alone."""
    with av.open(path, "w") as file:
        stream = file.add_stream("aac", rate=44100)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), "fltp", "mono")
        sound.rate = 44100
        file.mux(stream.encode(sound))
        file.mux(stream.encode())
    return path


def damage(path: Path, places: Sequence[int]) -> Path:
    """Overwrite the data of these packets of a file with noise."""
    with av.open(path) as file:
        packets = [(p.pos, p.size) for p in file.demux(video=0) if p.size]
    content = bytearray(path.read_bytes())
    noise = np.random.default_rng(1)
    for place in places:
        start, size = packets[place]
        content[start + 8 : start + size] = noise.bytes(size - 8)
    path.write_bytes(content)
    return path


def cut(path: Path, share: float) -> Path:
    """Keep only the first part of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: round(share * len(content))])
    return path


def until_error(items: Iterable[Any]) -> tuple[list[Any], Exception]:
    """All items up to the error that ends them."""
    given: list[Any] = []
    try:
        for item in items:
            given.append(item)
    except Exception as error:
        return given, error
    raise AssertionError(f"no error after {len(given)} items")
