"""What most people meet: one frozen encoder, any number of named heads, one pass per image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plainmask.decoder.decoder import Predictions
from plainmask.encoder.vit import Encoder, check_pixels
from plainmask.encoder.weights import load_encoder
from plainmask.errors import InputError
from plainmask.heads.head import Head, find_head
from plainmask.inference.mosaic import build_mosaic
from plainmask.inference.shared_pass import Dtype, SharedPass, pick_device, pick_dtype
from plainmask.inference.stream import Stream, by_protocol, step_many
from plainmask.inference.tiles import plan_tiles
from plainmask.inference.tracking import AHEAD, Protocol, offline, online
from plainmask.pictures.geometry import Geometry, InputProtocol
from plainmask.pictures.images import ImageSource, read_image
from plainmask.tasks import Result
from plainmask.video.sources import VideoSource, open_video

Weights = str | Path | Mapping[str, Tensor]
OnTile = Callable[[int, int], None]

TILES_AT_A_TIME = 4


class Segmenter:
    """One encoder and its heads.

    Each image goes through the encoder once per input protocol that the heads use, however many
    heads there are. Nothing about an image is remembered between calls.

    Args:
        encoder: an encoder, or what `load_encoder` takes: a preset name, file or folder.
        heads: by name; a `Head`, the name of a shipped head, a head folder or hub repository.
        device: "auto" (CUDA, else Apple's MPS, else the CPU) or a torch device.
        dtype: "auto" (bfloat16 on CUDA, else float32), or what to compute in by autocast.

    Raises:
        HeadError: a head was trained on another encoder.
    """

    def __init__(
        self,
        encoder: Encoder | Weights,
        heads: Mapping[str, Head | str | Path] | None = None,
        *,
        device: str | torch.device = "auto",
        dtype: Dtype = "auto",
    ):
        place = pick_device(device)
        loaded = encoder if isinstance(encoder, Encoder) else load_encoder(encoder)
        self.shared = SharedPass(loaded.to(place), place, pick_dtype(dtype, place))
        self._heads: dict[str, Head] = {}
        for name, head in (heads or {}).items():
            self.add(name, head)

    def __repr__(self) -> str:
        heads = ", ".join(f"{name} ({head.config.task})" for name, head in self._heads.items())
        return f"Segmenter({self.encoder.name} on {self.device}, heads: {heads or 'none'})"

    @property
    def encoder(self) -> Encoder:
        """The encoder that all heads share."""
        return self.shared.encoder

    @property
    def device(self) -> torch.device:
        """Where everything runs."""
        return self.shared.device

    @property
    def heads(self) -> Mapping[str, Head]:
        """The heads by name; change them with `add` and `remove`."""
        return MappingProxyType(self._heads)

    def add(self, name: str, head: Head | str | Path) -> None:
        """Add a head, or replace the one of that name; the other heads are untouched.

        Raises:
            HeadError: the head was trained on another encoder.
        """
        new = head if isinstance(head, Head) else Head.load(find_head(head))
        new.check(self.encoder)
        new.decoder.to(self.device).eval()
        self._heads[name] = new

    def remove(self, name: str) -> None:
        """Take a head out.

        Raises:
            InputError: there is none of that name.
        """
        self._find(name)
        del self._heads[name]

    @overload
    def __call__(self, image: ImageSource, *, on_tile: OnTile | None = None) -> Any: ...
    @overload
    def __call__(self, image: list[ImageSource], *, on_tile: OnTile | None = None) -> list[Any]: ...
    def __call__(
        self, image: ImageSource | list[ImageSource], *, on_tile: OnTile | None = None
    ) -> Any:
        """Segment an image, or each of a list.

        Args:
            image: a path, PIL image, (H, W, 3) uint8 array or (3, H, W) uint8 tensor, or a list
                of these, of any sizes.
            on_tile: called with (tiles done, tiles in all), where a head sees images in tiles.

        Returns:
            A result of the head's task in the image's own pixels; a list for a list; with several
            heads a dict of results by head name.

        Raises:
            InputError: an image cannot be used (says which and why), or there is no head.
        """
        if isinstance(image, list):
            return [self(one, on_tile=on_tile) for one in image]
        self._need_heads()
        pixels = read_image(image)
        results: dict[str, Result] = {}
        size = (pixels.shape[0], pixels.shape[1])
        for protocol, heads in by_protocol(self._heads).items():
            if protocol.kind == "tiles":
                results |= self._tiled(pixels, protocol, heads, on_tile)
                continue
            geometry = Geometry.plan(size, protocol, self.encoder.config.patch_size)
            windows = torch.from_numpy(geometry.fit(pixels))
            for name, predictions in self._predict(windows, heads, geometry.content).items():
                results[name] = heads[name].result(predictions, geometry)
        return self._only(results)

    def logits(self, pixels: Tensor) -> Predictions | dict[str, Predictions]:
        """The raw network on pixels as they are: no resize, no padding, no masked attention.

        Args:
            pixels: (B, 3, H, W) uint8 RGB, on any device.

        Returns:
            mask and class logits (see `Predictions`); with several heads a dict by name.

        Raises:
            InputError: another dtype or layout, smaller than a patch, or there is no head.
        """
        self._need_heads()
        check_pixels(pixels, self.encoder.config.patch_size)
        return self._only(self._predict(pixels, self._heads))

    def stream(self, head: str | None = None) -> Stream:
        """A fresh stream, which follows one video with one head or all.

        Args:
            head: the name of a head; None: all heads, which share the encoder's pass.

        Raises:
            InputError: there is no head, or none of that name.
        """
        self._need_heads()
        if head is None:
            return Stream(self.shared, self._heads)
        return Stream(self.shared, {head: self._find(head)})

    def step_many(self, streams: Sequence[Stream], images: Sequence[ImageSource]) -> list[Any]:
        """The next frame of each of several streams; those of one size go as one batch.

        Args:
            streams: of this Segmenter, each at most once.
            images: one frame for each, as for `Stream.step`.

        Returns:
            A result for each, as from `Stream.step`.

        Raises:
            InputError: not one image for each stream, a stream of another Segmenter, or an image
                that cannot be used.
        """
        if len(streams) != len(images) or len({id(stream) for stream in streams}) != len(streams):
            raise InputError(f"{len(streams)} streams, each once, need as many images")
        if any(stream.shared is not self.shared for stream in streams):
            raise InputError("a stream belongs to the Segmenter that made it; step it there")
        pixels = [read_image(image) for image in images]
        groups: dict[tuple[Any, ...], list[int]] = {}
        for place, (stream, image) in enumerate(zip(streams, pixels, strict=True)):
            heads = tuple((name, id(head)) for name, head in stream.heads.items())
            groups.setdefault((image.shape, heads), []).append(place)
        results: list[Any] = [None] * len(streams)
        for places in groups.values():
            found = step_many([streams[k] for k in places], [pixels[k] for k in places])
            for place, result in zip(places, found, strict=True):
                results[place] = result
        return results

    def track(
        self,
        source: VideoSource,
        head: str | None = None,
        *,
        protocol: Protocol = "online",
        ahead: int | None = None,
    ) -> Iterator[Any]:
        """Follow a video from its first frame to its last.

        Args:
            source: a video file, a folder of frames, an address (rtsp://, http://), the number of
                a camera, or any iterable of images.
            head: as for `stream`.
            protocol: "online" gives each result as the frame comes; "offline" is the published
                protocol, with classes and scores over the whole video, after its last frame.
            ahead: frames that may be read before a result is given; None: 1 for live sources.

        Yields:
            The result of each frame, as from `Stream.step`.

        Raises:
            InputError: the source cannot be opened, holds no frame, or breaks off.
        """
        frames = open_video(source)
        stream = self.stream(head)
        ahead = ahead or (1 if frames.live else AHEAD)
        if protocol == "offline":
            yield from offline(stream, frames, ahead=ahead)
            return
        for _, result in online(stream, frames, ahead=ahead):
            yield result

    def _need_heads(self) -> None:
        if not self._heads:
            raise InputError("this Segmenter has no head; add one with segmenter.add(name, head)")

    def _find(self, name: str) -> Head:
        if name not in self._heads:
            raise InputError(
                f"there is no head {name!r}; there are {', '.join(self._heads) or 'none'}"
            )
        return self._heads[name]

    def _predict(
        self,
        pixels: Tensor,
        heads: Mapping[str, Head],
        content: Sequence[tuple[int, int]] | None = None,
    ) -> dict[str, Predictions]:
        """One pass of the encoder, and every head on its features."""
        outputs: dict[str, Predictions] = {}
        with self.shared.computing():
            for name, features in self.shared.features(pixels, heads, content).items():
                mask_logits, class_logits = heads[name].decoder(features)
                outputs[name] = Predictions(mask_logits.float(), class_logits.float())
        return outputs

    def _tiled(
        self,
        image: NDArray[np.uint8],
        protocol: InputProtocol,
        heads: Mapping[str, Head],
        on_tile: OnTile | None,
    ) -> dict[str, Result]:
        """Segment an image tile by tile, several at a time; only their results are kept."""
        size = (image.shape[0], image.shape[1])
        tiles = plan_tiles(size, protocol.tile, protocol.least_overlap)
        geometry = Geometry.plan(tiles[0].size, protocol, self.encoder.config.patch_size)
        mosaics = {
            name: build_mosaic(head.config.task, size, head.config.vocabulary)
            for name, head in heads.items()
        }
        for first in range(0, len(tiles), TILES_AT_A_TIME):
            batch = tiles[first : first + TILES_AT_A_TIME]
            pixels = torch.from_numpy(np.concatenate([geometry.fit(t.cut(image)) for t in batch]))
            for name, predictions in self._predict(pixels, heads).items():
                for place, tile in enumerate(batch):
                    alone = Predictions(*(part[place : place + 1] for part in predictions))
                    mosaics[name].add(tile, heads[name].result(alone, geometry))
            if on_tile:
                on_tile(first + len(batch), len(tiles))
        return {name: mosaic.result() for name, mosaic in mosaics.items()}

    def _only(self, results: dict[str, Any]) -> Any:
        """The result itself where there is one head."""
        return next(iter(results.values())) if len(results) == 1 else results
