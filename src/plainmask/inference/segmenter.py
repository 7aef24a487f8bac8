"""What serves people: one frozen encoder, any number of named heads, one pass per image.

`Segmenter` answers with a dict by head name, however many heads there are; `HeadSegmenter` is one
head alone on the same encoder and answers with the thing itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, Literal, Self, TypeAlias, TypeGuard, TypeVar, cast, overload

import torch
from torch import Tensor

from plainmask.decoder.decoder import Predictions
from plainmask.decoder.exported import ExportedDecoder
from plainmask.decoder.propagation import State
from plainmask.encoder.exported import AnyEncoder, ExportedEncoder
from plainmask.encoder.vit import Encoder, Features
from plainmask.encoder.weights import load_encoder
from plainmask.errors import InputError
from plainmask.heads.exported import load_head
from plainmask.heads.head import Head
from plainmask.inference import images
from plainmask.inference.compiled import check_compiler, compiled
from plainmask.inference.images import OnTile
from plainmask.inference.shared_pass import (
    Dtype,
    SharedPass,
    as_exported,
    pick_device,
    pick_dtype,
    placed,
)
from plainmask.inference.stream import Stream, step_many
from plainmask.inference.tracking import TrackingProtocol, track
from plainmask.pictures.images import ImageSource
from plainmask.results import Result
from plainmask.video.sources import VideoSource

Weights = str | Path | Mapping[str, Tensor]
Images: TypeAlias = "ImageSource | Sequence[ImageSource] | Iterator[ImageSource]"
R = TypeVar("R", bound=Result)
T = TypeVar("T")


class Segmenter:
    """One encoder and its heads.

    Each image goes through the encoder once per input protocol that the heads use, however many
    heads there are. Nothing about an image is remembered between calls. Every answer is a dict by
    head name, in the order in which the heads were added; `segmenter[name]` is one head alone.

    Args:
        encoder: an encoder, or what `load_encoder` takes: a preset name, file or folder. One that
            is elsewhere than on `device`, or in training mode, is copied.
        heads: by name; a `Head`, the name of a shipped head, a head folder or hub repository.
        device: "auto" (CUDA, else Apple's MPS, else the CPU) or a torch device.
        dtype: what to compute in by autocast; "auto" is bfloat16 on CUDA and on CPUs that multiply
            in it (AVX512-BF16, AMX), else float32.
        compile: compile the blocks of encoder and heads, each for themselves: the first picture and
            the first one of another size take long, all others less.

    Raises:
        HeadError: a head was trained on another encoder.
        InputError: no such device or dtype, or torch cannot compile here.
    """

    def __init__(
        self,
        encoder: AnyEncoder | Weights,
        heads: Mapping[str, Head | str | Path] | None = None,
        *,
        device: str | torch.device = "auto",
        dtype: Dtype = "auto",
        compile: bool = False,
    ):
        if isinstance(encoder, ExportedEncoder):
            device, dtype = as_exported(device, dtype, compile=compile)
        place = pick_device(device)
        if compile:
            check_compiler(place)
        self._compile = compile
        loaded = encoder if isinstance(encoder, AnyEncoder) else load_encoder(encoder)
        self.shared = SharedPass.of(placed(loaded, place), place, pick_dtype(dtype, place))
        if compile:
            assert isinstance(self.shared.computing_encoder, Encoder)
            faster = compiled(self.shared.computing_encoder)
            self.shared = replace(self.shared, computing_encoder=faster)
        self._heads: dict[str, Head] = {}
        for name, head in (heads or {}).items():
            self.add(name, head)

    def __repr__(self) -> str:
        heads = ", ".join(f"{name} ({head.config.task})" for name, head in self._heads.items())
        return f"Segmenter({self.encoder.name} on {self.device}, heads: {heads or 'none'})"

    @property
    def encoder(self) -> AnyEncoder:
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

    def __getitem__(self, name: str) -> HeadSegmenter[Any]:
        """One head alone, on the same encoder.

        Raises:
            InputError: there is none of that name.
        """
        return HeadSegmenter(self.shared, name, self._find(name))

    def add(self, name: str, head: Head | str | Path) -> None:
        """Add a head, or replace the one of that name; the other heads are untouched.

        Raises:
            HeadError: the head was trained on another encoder.
        """
        self._heads[name] = self.prepare(head)

    def prepare(self, head: Head | str | Path) -> Head:
        """A head as `add` takes it in: checked, on the device, compiled if the others are.

        Raises:
            HeadError: the head was trained on another encoder.
        """
        new = head if isinstance(head, Head) else load_head(head)
        new.check(self.encoder)
        decoder = placed(new.decoder, self.device)
        if isinstance(decoder, ExportedDecoder):
            as_exported(self.device, "auto", compile=self._compile)
        elif self._compile:
            decoder = compiled(decoder)
        return replace(new, decoder=decoder)

    def remove(self, name: str) -> None:
        """Take a head out.

        Raises:
            InputError: there is none of that name.
        """
        self._find(name)
        del self._heads[name]

    @overload
    def __call__(self, image: ImageSource, *, on_tile: OnTile | None = None) -> dict[str, Any]: ...
    @overload
    def __call__(
        self, image: Sequence[ImageSource], *, on_tile: OnTile | None = None
    ) -> list[dict[str, Any]]: ...
    @overload
    def __call__(
        self, image: Iterator[ImageSource], *, on_tile: OnTile | None = None
    ) -> Iterator[dict[str, Any]]: ...
    def __call__(
        self,
        image: Images,
        *,
        on_tile: OnTile | None = None,
    ) -> dict[str, Any] | list[dict[str, Any]] | Iterator[dict[str, Any]]:
        """Segment an image, or each of several.

        Args:
            image: a path, PIL image, (H, W, 3) uint8 array or (3, H, W) uint8 tensor; or a list,
                tuple or iterator of these, of any sizes. Those of one size go through the network
                together, a few at a time; a thread reads the next ones meanwhile.
            on_tile: called with (tiles done, tiles in all), where a head sees images in tiles.

        Returns:
            A result of each head's task in the image's own pixels, by head name; a list of that
            for a list or tuple, an iterator for an iterator, in order.

        Raises:
            InputError: an image cannot be used (says which and why), or there is no head.
        """
        self._need_heads()
        found = images.segment_all(self.shared, self._heads, several(image), on_tile)
        return as_asked(image, found)

    def logits(self, pixels: Tensor) -> dict[str, Predictions]:
        """The raw network on pixels as they are: no resize, no padding, no masked attention.

        Args:
            pixels: (B, 3, H, W) uint8 RGB, on any device.

        Returns:
            mask and class logits (see `Predictions`) by head name.

        Raises:
            InputError: another dtype or layout, smaller than a patch, or there is no head.
        """
        self._need_heads()
        return images.logits(self.shared, self._heads, pixels)

    def features(self, image: ImageSource, *, size: int | None = None) -> Features:
        """The frozen encoder's features of an image, for search, probes and heads of one's own.

        Args:
            image: as in `__call__`.
            size: shorter side to resize to, whole patches; None: the image's own, cut to patches.

        Returns:
            For each tapped block (`encoder.config.taps`) a (1, R + h*w, D) float32 tensor, through
            the encoder's final norm: first R prefix tokens (class token, then registers; `prefix`
            says how many), then the h x w patches (`grid`) row by row, so that
            `taps[-1][0, prefix:].unflatten(0, grid)` is the map (h, w, D) of the last block.

        Raises:
            InputError: the image cannot be used, or is smaller than a patch.
        """
        return images.features(self.shared, image, size)

    def stream(self) -> Stream:
        """A fresh stream, which follows one video with all heads on one pass of the encoder.

        Raises:
            InputError: there is no head.
        """
        self._need_heads()
        return Stream(self.shared, self._heads)

    def step_many(
        self, streams: Sequence[Stream], frames: Sequence[ImageSource]
    ) -> list[dict[str, Any]]:
        """The next frame of each of several streams; those of one size go as one batch.

        Args:
            streams: of this Segmenter, each at most once.
            frames: one image for each, as for `Stream.step`.

        Returns:
            What `Stream.step` gives, for each.

        Raises:
            InputError: not one image for each stream, a stream of another Segmenter, or an image
                that cannot be used.
        """
        _check_streams(self.shared, streams)
        return step_many(streams, frames)

    def track(
        self,
        source: VideoSource,
        *,
        protocol: TrackingProtocol = "online",
        ahead: int | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Follow a video from its first frame to its last.

        Args:
            source: a video file, a folder of frames, an address (rtsp://, http://), the number of
                a camera, or any iterable of images.
            protocol: "online" gives each result as the frame comes; "offline" is the published
                protocol, with classes and scores over the whole video, after its last frame.
            ahead: frames that may be read before a result is given; None: 1 for live sources.

        Returns:
            The results of each frame, as from `Stream.step`, one after the other. What was opened
            is closed after the last one, and where the iterator is closed or let go of before.

        Raises:
            InputError: at once, the source cannot be opened or there is no such protocol; later,
                it holds no frame or breaks off.
        """
        return track(self.stream(), source, protocol=protocol, ahead=ahead)

    def _need_heads(self) -> None:
        if not self._heads:
            raise InputError("this Segmenter has no head; add one with segmenter.add(name, head)")

    def _find(self, name: str) -> Head:
        if name not in self._heads:
            raise InputError(
                f"there is no head {name!r}; there are {', '.join(self._heads) or 'none'}"
            )
        return self._heads[name]


class HeadSegmenter(Generic[R]):
    """One head on its encoder: what `plainmask.load` gives, and `Segmenter[name]`.

    All that it does is what a `Segmenter` with this head alone does; answers are the things
    themselves, not dicts.
    """

    def __init__(self, shared: SharedPass, name: str, head: Head):
        self.shared = shared
        self.name = name
        self.head = head

    def __repr__(self) -> str:
        return f"HeadSegmenter({self.name} ({self.head.config.task}) on {self.encoder.name})"

    @property
    def encoder(self) -> AnyEncoder:
        """The encoder that the head reads."""
        return self.shared.encoder

    @property
    def device(self) -> torch.device:
        """Where everything runs."""
        return self.shared.device

    def seeing(self, kind: Literal["stride", "tiles"], scale: float | None = None) -> Self:
        """The same head with another way for images to reach it; see `Head.seeing`."""
        return type(self)(self.shared, self.name, self.head.seeing(kind, scale))

    @overload
    def __call__(self, image: ImageSource, *, on_tile: OnTile | None = None) -> R: ...
    @overload
    def __call__(
        self, image: Sequence[ImageSource], *, on_tile: OnTile | None = None
    ) -> list[R]: ...
    @overload
    def __call__(
        self, image: Iterator[ImageSource], *, on_tile: OnTile | None = None
    ) -> Iterator[R]: ...
    def __call__(
        self,
        image: Images,
        *,
        on_tile: OnTile | None = None,
    ) -> R | list[R] | Iterator[R]:
        """Segment an image, or each of several; see `Segmenter.__call__`.

        Returns:
            A result; a list for a list or tuple, an iterator for an iterator.
        """
        found = images.segment_all(self.shared, self._heads, several(image), on_tile)
        return as_asked(image, (results[self.name] for results in found))

    def logits(self, pixels: Tensor) -> Predictions:
        """The raw network on pixels as they are; see `Segmenter.logits`."""
        return images.logits(self.shared, self._heads, pixels)[self.name]

    def features(self, image: ImageSource, *, size: int | None = None) -> Features:
        """The frozen encoder's features of an image; see `Segmenter.features`."""
        return images.features(self.shared, image, size)

    def stream(self) -> HeadStream[R]:
        """A fresh stream, which follows one video."""
        return HeadStream(Stream(self.shared, self._heads))

    def step_many(self, streams: Sequence[HeadStream[R]], frames: Sequence[ImageSource]) -> list[R]:
        """The next frame of each of several streams; see `Segmenter.step_many`."""
        inner = [stream.inner for stream in streams]
        _check_streams(self.shared, inner)
        return [found[self.name] for found in step_many(inner, frames)]

    def track(
        self,
        source: VideoSource,
        *,
        protocol: TrackingProtocol = "online",
        ahead: int | None = None,
    ) -> Iterator[R]:
        """Follow a video from its first frame to its last; see `Segmenter.track`.

        Returns:
            The result of each frame, one after the other.
        """
        found = track(self.stream().inner, source, protocol=protocol, ahead=ahead)
        return (results[self.name] for results in found)

    @property
    def _heads(self) -> dict[str, Head]:
        return {self.name: self.head}


class HeadStream(Generic[R]):
    """One head that follows one video; made by `HeadSegmenter.stream`. See `Stream`."""

    def __init__(self, inner: Stream):
        self.inner = inner
        (self.name,) = inner.heads

    @property
    def state(self) -> State | None:
        """What the frames so far have left; None before the first and after `reset`.

        It can be assigned, saved and moved; the stream goes on from the state that it is given.
        """
        states = self.inner.state
        return None if states is None else states[self.name]

    @state.setter
    def state(self, value: State | None) -> None:
        self.inner.state = None if value is None else {self.name: value}

    def reset(self) -> None:
        """Forget the video: the next frame is the first."""
        self.inner.reset()

    def step(self, image: ImageSource) -> R:
        """Follow the video by one frame: its result; see `Stream.step`."""
        return self.inner.step(image)[self.name]

    def logits(self, pixels: Tensor) -> Predictions:
        """The raw network on the next frame of B videos; see `Stream.logits`."""
        return self.inner.logits(pixels)[self.name]


def several(image: Images) -> Iterable[ImageSource]:
    """What was handed in, as something to iterate over."""
    return image if _is_several(image) else [cast(ImageSource, image)]


def as_asked(image: Images, found: Iterator[T]) -> Any:
    """One answer for one image, a list for a list or tuple, an iterator for an iterator."""
    if not _is_several(image):
        return next(found)
    return found if isinstance(image, Iterator) else list(found)


def _is_several(image: Images) -> TypeGuard[Iterable[ImageSource]]:
    """Lists, tuples and iterators; an open file is an iterator, too, but one image."""
    if isinstance(image, list | tuple):
        return True
    return isinstance(image, Iterator) and not hasattr(image, "read")


def _check_streams(shared: SharedPass, streams: Sequence[Stream]) -> None:
    if any(stream.shared is not shared for stream in streams):
        raise InputError("a stream belongs to the Segmenter that made it; step it there")
