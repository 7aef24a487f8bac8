"""Streams: heads that follow a video frame by frame; all that they remember is a `State` each.

Letters: B videos side by side, K frames, N windows of a frame, Q queries, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from plainmask.decoder.decoder import Predictions
from plainmask.decoder.propagation import State
from plainmask.encoder.vit import check_pixels
from plainmask.errors import InputError
from plainmask.heads.head import Head
from plainmask.inference.cuts import is_cut, scenes_of
from plainmask.inference.memory import Fits
from plainmask.inference.shared_pass import SharedPass, by_protocol
from plainmask.pictures.geometry import Geometry, padded_size
from plainmask.pictures.images import ImageSource, read_image


@dataclass(frozen=True, eq=False)
class Seen:
    """One frame on its way through one head."""

    predictions: Predictions
    """Of its N windows."""
    state: State
    """What the network left after it; what segments are called is not known yet."""
    geometry: Geometry


@dataclass(frozen=True, eq=False)
class Encoded:
    """K frames of one size, ready for the decoder of one head; nothing here depends on time."""

    fused: Tensor
    """(K, N, tokens, D)."""
    scenes: Tensor | None
    """(K, N, cells, D), for heads that look for cuts."""
    grid: tuple[int, int]
    geometry: Geometry


class Stream:
    """Heads that follow one video; made by `Segmenter.stream`. Answers are dicts by head name.

    Everything that the stream remembers is its `state`, whatever the length of the video. Two
    streams of one Segmenter do not touch each other.
    """

    def __init__(self, shared: SharedPass, heads: Mapping[str, Head]):
        self.shared = shared
        self.heads = dict(heads)
        self._states: dict[str, State] = {}

    @property
    def state(self) -> dict[str, State] | None:
        """What the frames so far have left, by head; None before the first and after `reset`.

        It is that of the last result that was given, also where frames are read ahead. It can be
        assigned, saved and moved; the stream goes on from the state that it is given.
        """
        return dict(self._states) or None

    @state.setter
    def state(self, value: Mapping[str, State] | None) -> None:
        if isinstance(value, State) or (value is not None and set(value) != set(self.heads)):
            given = "one state" if isinstance(value, State) else f"states of {_few(value)}"
            raise InputError(
                f"{given} for a stream with the heads {_few(self.heads)}; give a dict with a state "
                "for each"
            )
        for name, state in (value or {}).items():
            config = self.heads[name].config.decoder
            state.check(config.num_queries, config.width, config.num_classes, name)
        self._states = {name: state.to(self.shared.device) for name, state in (value or {}).items()}

    def reset(self) -> None:
        """Forget the video: the next frame is the first."""
        self._states = {}

    def step(self, image: ImageSource) -> dict[str, Any]:
        """Follow the video by one frame.

        Args:
            image: as for `Segmenter.__call__`; of any size, also another than the frame before.

        Returns:
            The result of this frame in its own pixels by head, with `track_ids`, `age`,
            `frame_index` and `state`.

        Raises:
            InputError: the image cannot be used.
        """
        (seen,) = follow_frames(self.shared, self.heads, self._states, [read_image(image)])
        results = tell(self.heads, seen, self._states)
        self._states = states_after(seen, results)
        return results

    def logits(self, pixels: Tensor) -> dict[str, Predictions]:
        """The raw network on the next frame of each of B videos side by side; advances the state.

        Args:
            pixels: (B, 3, H, W) uint8 RGB: one frame of each video, never several of one. Not
                resized; after the normalisation padded right and below with 0 (docs/model.md 3.4).

        Returns:
            `Predictions` of this frame over the padded size, by head.

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
        after: dict[str, State] = {}
        with self.shared.computing():
            for name, features in self.shared.features(padded, self.heads, content).items():
                head, decoder = self.heads[name], self.heads[name].decoder
                before = recall(head, self._states.get(name), len(pixels), same_video=False)
                found, after[name] = decoder.step(decoder.fuse(features), features.grid, before)
                outputs[name] = found.float()
        self._states = after
        return outputs


def follow_frames(
    shared: SharedPass,
    heads: Mapping[str, Head],
    states: Mapping[str, State],
    images: Sequence[NDArray[Any]],
) -> list[dict[str, Seen]]:
    """K consecutive frames (H, W, 3) uint8 of one size: what each head saw in each.

    The encoder takes all of them at once; only the decoder goes frame by frame, from `states`.
    """
    return follow_encoded(shared, heads, states, encode(shared, heads, images))


def follow_encoded(
    shared: SharedPass,
    heads: Mapping[str, Head],
    states: Mapping[str, State],
    encoded: Mapping[str, Encoded],
) -> list[dict[str, Seen]]:
    """The same for frames that `encode` has taken before."""
    frames: list[dict[str, Seen]] = []
    with shared.computing():
        for name, batch in encoded.items():
            state = states.get(name)
            frames = frames or [{} for _ in batch.fused]
            for time, fused in enumerate(batch.fused):
                scene = None if batch.scenes is None else batch.scenes[time]
                before = recall(heads[name], state, len(fused), scene)
                found, state = heads[name].decoder.step(fused, batch.grid, before)
                frames[time][name] = Seen(found.float(), state, batch.geometry)
    return frames


def recall(
    head: Head,
    state: State | None,
    count: int,
    scene: Tensor | None = None,
    *,
    same_video: bool = True,
) -> State:
    """What a head starts its next frame from.

    Args:
        head: what goes on.
        state: what it remembers; None: nothing yet.
        count: windows of the frame, or videos side by side.
        scene: what the frame looks like, (N, cells, D); None: nobody looks for cuts.
        same_video: False: `count` is of videos.

    Raises:
        InputError: the state is of another number of videos.
    """
    if scene is not None:
        return recall(head, _in_scene(head, state, scene), count).seeing(scene)
    if state is None:
        return State.start(head.decoder.first_queries(count), head.config.decoder.num_classes)
    memory = head.config.memory
    if same_video and memory is not None and int(state.counted[0]) >= memory:
        return state.anew(head.decoder.first_queries(count))
    if len(state.queries) == count:
        return state
    if same_video and head.config.input.kind == "windows":  # the frame was cut otherwise
        return state.anew(head.decoder.first_queries(count))
    raise InputError(
        f"the stream follows {len(state.queries)} videos side by side, but the next frame is of "
        f"{count}; reset() it, or use one stream for each video"
    )


def _in_scene(head: Head, state: State | None, scene: Tensor) -> State | None:
    """What is remembered of the scene that a frame is of."""
    least = head.config.cut
    if state is None or least is None or not is_cut(state, scene, least):
        return state
    return state.cut(head.decoder.first_queries(len(scene)))


def tell(
    heads: Mapping[str, Head], seen: Mapping[str, Seen], before: Mapping[str, State]
) -> dict[str, Any]:
    """What people get for a frame, by head; `before` knows what segments were called so far."""
    results: dict[str, Any] = {}
    for name, frame in seen.items():
        state = frame.state.with_tracks_of(before[name]) if name in before else frame.state
        results[name] = heads[name].frame_result(frame.predictions, frame.geometry, state)
    return {name: results[name] for name in heads}


def states_after(seen: Mapping[str, Seen], results: Mapping[str, Any]) -> dict[str, State]:
    """What a frame left by head, with what its segments are called, where the network is."""
    return {name: frame.state.with_tracks_of(results[name].state) for name, frame in seen.items()}


def encode(
    shared: SharedPass, heads: Mapping[str, Head], images: Sequence[NDArray[Any]]
) -> dict[str, Encoded]:
    """One encoder pass per input protocol over K images of one size, and each head's laterals."""
    size = (images[0].shape[0], images[0].shape[1])
    found: dict[str, Encoded] = {}
    with shared.computing():
        for protocol, group in by_protocol(heads).items():
            geometry = Geometry.plan(size, protocol, shared.encoder.config.patch_size)
            for name, features in shared.features_of(images, geometry, group).items():
                fused = heads[name].decoder.fuse(features).unflatten(0, (len(images), -1))
                looks = heads[name].config.cut is not None
                scenes = scenes_of(features, len(images)) if looks else None
                found[name] = Encoded(fused, scenes, features.grid, geometry)
    return found


def step_many(streams: Sequence[Stream], images: Sequence[ImageSource]) -> list[dict[str, Any]]:
    """One frame of each of several streams; those of one size and the same heads go as one batch.

    Args:
        streams: of one Segmenter, each at most once.
        images: one frame for each, as for `Stream.step`.

    Raises:
        InputError: not one image for each stream, streams of different Segmenters, or an image
            that cannot be used.
    """
    if len(streams) != len(images) or len({id(stream) for stream in streams}) != len(streams):
        raise InputError(f"{len(streams)} streams, each once, need as many images")
    if len({id(stream.shared) for stream in streams}) > 1:
        raise InputError("a stream belongs to the Segmenter that made it; step it there")
    pixels = [read_image(image) for image in images]
    groups: dict[tuple[Any, ...], list[int]] = {}
    for place, (stream, image) in enumerate(zip(streams, pixels, strict=True)):
        heads = tuple((name, id(head)) for name, head in stream.heads.items())
        groups.setdefault((image.shape, heads), []).append(place)
    fits = Fits()
    results: dict[int, dict[str, Any]] = {}

    def step(part: Sequence[int]) -> list[dict[str, Any]]:
        return _step_alike([streams[k] for k in part], [pixels[k] for k in part])

    for places in groups.values():
        results |= zip(places, fits.run(step, places, "frame"), strict=True)
    return [results[place] for place in range(len(streams))]


def _step_alike(streams: Sequence[Stream], images: Sequence[NDArray[Any]]) -> list[dict[str, Any]]:
    """The same for streams with the same heads and frames (H, W, 3) of one size."""
    shared, heads = streams[0].shared, streams[0].heads
    before = [stream.state or {} for stream in streams]
    encoded = encode(shared, heads, images)
    frames: list[dict[str, Seen]] = [{} for _ in streams]
    with shared.computing():
        for name, batch in encoded.items():
            decoder, count = heads[name].decoder, batch.fused.shape[1]
            scenes = repeat(None) if batch.scenes is None else batch.scenes
            states = [
                recall(heads[name], known.get(name), count, scene)
                for known, scene in zip(before, scenes, strict=False)
            ]
            found, after = decoder.step(batch.fused.flatten(0, 1), batch.grid, State.join(states))
            masks, classes = (part.split(count) for part in found.float())
            for place, state in enumerate(after.split(count)):
                own = Predictions(masks[place], classes[place])
                frames[place][name] = Seen(own, state, batch.geometry)
    results = [tell(heads, seen, known) for seen, known in zip(frames, before, strict=True)]
    for stream, seen, result in zip(streams, frames, results, strict=True):
        stream.state = states_after(seen, result)
    return results


def _few(names: Mapping[str, Any] | None) -> str:
    return ", ".join(names or ()) or "no head"
