"""Streams: heads that follow a video frame by frame, each with its own memory.

Letters: B videos side by side, K frames, N windows of a frame, Q queries, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from plainmask.decoder.decoder import Predictions
from plainmask.decoder.propagation import State
from plainmask.encoder.vit import check_pixels
from plainmask.errors import InputError
from plainmask.heads.head import Head
from plainmask.inference.shared_pass import SharedPass
from plainmask.pictures.geometry import Geometry, InputProtocol, padded_size
from plainmask.pictures.images import ImageSource, read_image
from plainmask.tasks import Result, Tracks


@dataclass(frozen=True, eq=False)
class Seen:
    """One frame on its way through one head."""

    predictions: Predictions
    """Of its N windows."""
    mean_logits: Tensor
    """(N, Q, C+1): mean of the class logits of the frames so far."""
    geometry: Geometry


@dataclass(frozen=True, eq=False)
class Encoded:
    """K frames of one size, ready for the decoder of one head; nothing here depends on time."""

    fused: Tensor
    """(K, N, tokens, D)."""
    grid: tuple[int, int]
    geometry: Geometry


class Stream:
    """Heads that follow one video; made by `Segmenter.stream`.

    Everything that the stream remembers is its `state`, whatever the length of the video. Two
    streams of one Segmenter do not touch each other.
    """

    def __init__(self, shared: SharedPass, heads: Mapping[str, Head]):
        self.shared = shared
        self.heads = dict(heads)
        self._states: dict[str, State] = {}
        self._tracks: dict[str, Tracks] = {}

    @property
    def state(self) -> State | dict[str, State] | None:
        """What the frames so far have left; None before the first and after `reset`.

        With several heads a dict by head name. It can be assigned, saved and moved; the stream goes
        on from the state that it is given.
        """
        if not self._states:
            return None
        states = {name: self._with_tracks(name) for name in self._states}
        return next(iter(states.values())) if len(self.heads) == 1 else states

    @state.setter
    def state(self, value: State | Mapping[str, State] | None) -> None:
        states: Mapping[str, State] = {}
        if isinstance(value, State):
            if len(self.heads) != 1:
                raise InputError(f"the stream has the heads {_names(self)}; give a dict of states")
            states = dict.fromkeys(self.heads, value)
        elif value is not None:
            states = value
            if set(states) != set(self.heads):
                raise InputError(
                    f"states of {', '.join(sorted(states)) or 'no head'} for a stream with the "
                    f"heads {_names(self)}"
                )
        for name, state in states.items():
            _check_fits(name, state, self.heads[name])
        self._states = {name: state.to(self.shared.device) for name, state in states.items()}
        self._tracks = {name: _tracks_of(state) for name, state in states.items()}

    def reset(self) -> None:
        """Forget the video: the next frame is the first."""
        self._states, self._tracks = {}, {}

    def step(self, image: ImageSource) -> Any:
        """Follow the video by one frame.

        Args:
            image: as for `Segmenter.__call__`; of any size, also another than the frame before.

        Returns:
            The result of this frame in its own pixels, with `track_ids`, `age` and `frame_index`;
            a dict by head name where the stream has several heads.

        Raises:
            InputError: the image cannot be used.
        """
        (seen,) = self.follow([read_image(image)])
        return self.results(seen)

    def logits(self, pixels: Tensor) -> Any:
        """The raw network on the next frame of each of B videos side by side; advances the state.

        Args:
            pixels: (B, 3, H, W) uint8 RGB: one frame of each video, never several of one. Not
                resized; after the normalisation padded right and below with 0 (SPEC 12.1).

        Returns:
            `Predictions` of this frame over the padded size; a dict by head name where the stream
            has several heads.

        Raises:
            InputError: another dtype or layout, smaller than a patch, or another number of videos
                than before.
        """
        patch = self.shared.encoder.config.patch_size
        check_pixels(pixels, patch)
        size = (pixels.shape[2], pixels.shape[3])
        height, width = padded_size(size, patch)
        padded = F.pad(pixels, (0, width - size[1], 0, height - size[0]))
        content = [size] * len(pixels) if (height, width) != size else None
        outputs: dict[str, Predictions] = {}
        with self.shared.computing():
            for name, features in self.shared.features(padded, self.heads, content).items():
                decoder = self.heads[name].decoder
                _check_batch(self._states.get(name), len(pixels))
                before = self.recall(name, len(pixels))
                found, after = decoder.step(decoder.fuse(features), features.grid, before)
                self.remember(name, after)
                outputs[name] = Predictions(found.mask_logits.float(), found.class_logits.float())
        return next(iter(outputs.values())) if len(self.heads) == 1 else outputs

    def follow(self, images: Sequence[NDArray[Any]]) -> list[dict[str, Seen]]:
        """K consecutive frames (H, W, 3) uint8 of one size: what each head saw in each.

        The encoder takes all of them at once; only the decoder goes frame by frame.
        """
        encoded = encode(self.shared, self.heads, images)
        frames: list[dict[str, Seen]] = [{} for _ in images]
        with self.shared.computing():
            for name, batch in encoded.items():
                decoder = self.heads[name].decoder
                for time, fused in enumerate(batch.fused):
                    before = self.recall(name, len(fused))
                    found, after = decoder.step(fused, batch.grid, before)
                    self.remember(name, after)
                    frames[time][name] = _seen(found, after, batch.geometry)
        return frames

    def recall(self, name: str, num_windows: int) -> State:
        """What a head starts its next frame from.

        That is the start of a video where there was no frame yet, or where the last one was cut
        into another number of windows.
        """
        state = self._states.get(name)
        if state is not None and len(state.queries) == num_windows:
            return state
        decoder = self.heads[name].decoder
        return State.start(decoder.first_queries(num_windows), decoder.config.num_classes)

    def remember(self, name: str, state: State) -> None:
        """Keep what a frame left."""
        self._states[name] = state

    def results(self, seen: Mapping[str, Seen]) -> Any:
        """What people get for a frame; the frames must come in the order of time."""
        found = {name: self._result(name, frame) for name, frame in seen.items()}
        return next(iter(found.values())) if len(self.heads) == 1 else found

    def _result(self, name: str, frame: Seen) -> Result:
        head = self.heads[name]
        tracks = self._tracks.get(name)
        if tracks is None:
            tracks = Tracks.none(head.config.decoder.num_queries, head.config.decoder.num_classes)
        result, self._tracks[name] = head.frame_result(
            frame.predictions, frame.mean_logits, frame.geometry, tracks
        )
        return result

    def _with_tracks(self, name: str) -> State:
        state, tracks = self._states[name], self._tracks.get(name)
        if tracks is None:
            return state
        numbers, ages = (
            torch.from_numpy(value).to(state.numbers).expand_as(state.numbers).contiguous()
            for value in (tracks.numbers, tracks.ages)
        )
        return replace(state, numbers=numbers, ages=ages)


def encode(
    shared: SharedPass, heads: Mapping[str, Head], images: Sequence[NDArray[Any]]
) -> dict[str, Encoded]:
    """One encoder pass per input protocol over K images of one size, and each head's laterals."""
    size = (images[0].shape[0], images[0].shape[1])
    found: dict[str, Encoded] = {}
    with shared.computing():
        for protocol, group in by_protocol(heads).items():
            geometry = Geometry.plan(size, protocol, shared.encoder.config.patch_size)
            windows = torch.cat([torch.from_numpy(geometry.fit(image)) for image in images])
            content = geometry.content and geometry.content * len(images)
            for name, features in shared.features(windows, group, content).items():
                fused = heads[name].decoder.fuse(features).unflatten(0, (len(images), -1))
                found[name] = Encoded(fused, features.grid, geometry)
    return found


def step_many(streams: Sequence[Stream], images: Sequence[NDArray[Any]]) -> list[Any]:
    """One frame of each of several streams with the same heads, frames (H, W, 3) of one size.

    Encoder and decoder take all streams as one batch.
    """
    first = streams[0]
    encoded = encode(first.shared, first.heads, images)
    frames: list[dict[str, Seen]] = [{} for _ in streams]
    with first.shared.computing():
        for name, batch in encoded.items():
            decoder, count = first.heads[name].decoder, batch.fused.shape[1]
            states = [stream.recall(name, count) for stream in streams]
            found, after = decoder.step(batch.fused.flatten(0, 1), batch.grid, State.join(states))
            masks, classes = (part.split(count) for part in found)
            for place, (stream, state) in enumerate(zip(streams, after.split(count), strict=True)):
                stream.remember(name, state)
                own = Predictions(masks[place], classes[place])
                frames[place][name] = _seen(own, state, batch.geometry)
    return [stream.results(frame) for stream, frame in zip(streams, frames, strict=True)]


def by_protocol(heads: Mapping[str, Head]) -> dict[InputProtocol, dict[str, Head]]:
    """Heads that take an image in the same way share an encoder pass."""
    groups: dict[InputProtocol, dict[str, Head]] = {}
    for name, head in heads.items():
        groups.setdefault(head.config.input, {})[name] = head
    return groups


def _seen(found: Predictions, state: State, geometry: Geometry) -> Seen:
    predictions = Predictions(found.mask_logits.float(), found.class_logits.float())
    return Seen(predictions, state.class_logits, geometry)


def _tracks_of(state: State) -> Tracks:
    numbers, ages = (value[0].cpu().numpy().copy() for value in (state.numbers, state.ages))
    return Tracks(numbers, ages, int(state.frames[0]))


def _check_fits(name: str, state: State, head: Head) -> None:
    config = head.config.decoder
    expected = (config.num_queries, config.width)
    if tuple(state.queries.shape[1:]) != expected:
        raise InputError(
            f"the state holds {state.queries.shape[1]} queries of width {state.queries.shape[2]}, "
            f"the head {name!r} has {expected[0]} of width {expected[1]}; give a state of this head"
        )


def _check_batch(state: State | None, count: int) -> None:
    if state is not None and len(state.queries) != count:
        raise InputError(
            f"the stream follows {len(state.queries)} videos side by side, but the pixels are of "
            f"{count}; reset() it, or use one stream for each video"
        )


def _names(stream: Stream) -> str:
    return ", ".join(stream.heads)
