"""What the benchmarks of streams share: a model and a video that need no download."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from numpy.typing import NDArray

import plainmask
from plainmask.decoder.decoder import DecoderConfig, PlainMaskDecoder
from plainmask.encoder.presets import find_preset
from plainmask.encoder.vit import Encoder
from plainmask.heads.head import EncoderRef, Head, HeadConfig
from plainmask.pictures.geometry import InputProtocol
from plainmask.results.task import Task
from plainmask.vocabulary import Vocabulary


def model(head: str | None, task: Task, size: int, queries: int) -> plainmask.HeadSegmenter[Any]:
    """A head by name or folder; or one of three blocks and random weights on DINOv2 ViT-S/14.

    Time and memory do not depend on what the weights are, only results do.
    """
    if head is not None:
        return plainmask.load(head)
    torch.manual_seed(0)
    encoder = Encoder(find_preset("dinov2-small").config)
    config = DecoderConfig(
        width=encoder.config.width,
        heads=6,
        num_queries=queries,
        num_classes=11,
        num_blocks=3,
        ffn_hidden=4 * encoder.config.width,
        upscale_stages=2,
        propagation="gru",
    )
    decoder = PlainMaskDecoder(config).eval()
    own = HeadConfig(
        name="random",
        task=task,
        vocabulary=Vocabulary.numbered(11),
        decoder=config,
        encoder=EncoderRef.of(encoder),
        input=InputProtocol(kind="video", size=size),
    )
    return plainmask.Segmenter(encoder, {"random": Head(own, decoder)})["random"]


def write_video(path: Path, count: int, height: int, width: int) -> None:
    """An H.264 video of blocks that move, 25 frames a second."""
    with av.open(path, "w") as file:
        stream = file.add_stream("libx264", rate=25, options={"preset": "veryfast"})
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for image in moving_blocks(count, height, width):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        file.mux(stream.encode())


def moving_blocks(count: int, height: int, width: int) -> Iterator[NDArray[np.uint8]]:
    blocks = np.random.default_rng(0).integers(0, 256, (height // 16 + 1, width // 16 + 1, 3))
    first = blocks.astype(np.uint8).repeat(16, 0).repeat(16, 1)[:height, :width]
    for place in range(count):
        yield np.ascontiguousarray(np.roll(first, 2 * place, axis=1))
