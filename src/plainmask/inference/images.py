"""Images through encoder and heads: alone, together where they have one size, or in tiles.

Letters: K images of one size, N windows of an image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plainmask.decoder.decoder import Predictions
from plainmask.encoder.vit import Features, check_pixels
from plainmask.errors import PlainmaskError
from plainmask.heads.head import Head
from plainmask.inference.memory import Fits
from plainmask.inference.mosaic import build_mosaic
from plainmask.inference.shared_pass import SharedPass, by_protocol
from plainmask.inference.tiles import Tile, plan_tiles
from plainmask.pictures.geometry import Geometry, InputProtocol
from plainmask.pictures.images import ImageSource, read_image
from plainmask.tasks import TaskResult
from plainmask.threads import prefetched

Pixels = NDArray[np.uint8]
OnTile = Callable[[int, int], None]

TILES_AT_A_TIME = 4
CHUNK = 8
"""Images of a list or iterator that are looked at together, at most."""
CHUNK_PIXELS = 32_000_000
"""Of a chunk: it ends with the image that has as many. Three chunks are held at a time."""
PIXELS_AT_A_TIME = 1_500_000
"""Of the model, in one pass: three images of 640 x 640. On a CPU more brings nothing."""


class Answer(NamedTuple):
    """What an image gave."""

    image: ImageSource
    """As it was handed in."""
    pixels: Pixels
    """(H, W, 3) uint8; of one that cannot be read (0, 0, 3)."""
    results: dict[str, TaskResult]
    """By head name; none where it failed."""
    error: Exception | None
    """Why it failed."""


def segment_all(
    shared: SharedPass,
    heads: Mapping[str, Head],
    images: Iterable[ImageSource],
    on_tile: OnTile | None = None,
) -> Iterator[dict[str, TaskResult]]:
    """The results of each image by head name, in order; see `Segmenter.__call__`.

    Raises:
        InputError: an image cannot be used; after the results of those before it.
        PlainmaskError: memory does not hold what it takes, likewise.
    """
    for answer in segment_each(shared, heads, images, on_tile):
        if answer.error is not None:
            raise answer.error
        yield answer.results


def segment_each(
    shared: SharedPass,
    heads: Mapping[str, Head],
    images: Iterable[ImageSource],
    on_tile: OnTile | None = None,
) -> Iterator[Answer]:
    """The same with the pixels of each, where one that fails does not stop the others.

    A thread reads the next ones while some are in the network.
    """
    fits = Fits()
    alone = isinstance(images, list | tuple) and len(images) == 1
    for chunk in _chunks(images) if alone else prefetched(_chunks(images), 1):
        read = [answer.pixels for answer in chunk if answer.error is None]
        found = iter(_segment_chunk(shared, heads, read, fits, on_tile))
        for answer in chunk:
            if answer.error is not None:
                yield answer
                continue
            results = next(found)
            if isinstance(results, Exception):
                yield answer._replace(error=results)
                continue
            # Results know their picture as it was given, a path or the picture itself: no copy.
            named = {name: replace(one, source=answer.image) for name, one in results.items()}
            yield answer._replace(results=named)


def _chunks(images: Iterable[ImageSource]) -> Iterator[list[Answer]]:
    """Images that are read, without results yet; a few at a time."""
    chunk: list[Answer] = []
    for image in images:
        chunk.append(_read(image))
        held = sum(answer.pixels.shape[0] * answer.pixels.shape[1] for answer in chunk)
        if len(chunk) == CHUNK or held >= CHUNK_PIXELS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _read(image: ImageSource) -> Answer:
    try:
        return Answer(image, read_image(image), {}, None)
    except (PlainmaskError, MemoryError) as error:
        return Answer(image, np.empty((0, 0, 3), np.uint8), {}, error)


def logits(shared: SharedPass, heads: Mapping[str, Head], pixels: Tensor) -> dict[str, Predictions]:
    """The raw network on (B, 3, H, W) uint8 pixels as they are; see `Segmenter.logits`."""
    check_pixels(pixels, shared.encoder.config.patch_size)
    with shared.computing():
        return {
            name: heads[name].decoder(features).float()
            for name, features in shared.features(pixels, heads).items()
        }


def features(shared: SharedPass, image: ImageSource, size: int | None) -> Features:
    """The encoder's own features of an image; see `Segmenter.features`."""
    pixels, patch = read_image(image), shared.encoder.config.patch_size
    height, width = pixels.shape[:2]
    if size is not None:
        protocol = InputProtocol(kind="stride", size=size)
        geometry = Geometry.plan((height, width), protocol, patch)
        windows = torch.from_numpy(geometry.fit(pixels))
    else:
        whole = torch.from_numpy(pixels).permute(2, 0, 1)[None]
        check_pixels(whole, patch)
        windows = whole[:, :, : height // patch * patch, : width // patch * patch]
    with shared.computing():
        found = shared.computing_encoder(windows.to(shared.device))
    return found._replace(taps=tuple(tap.float() for tap in found.taps))


def _segment_chunk(
    shared: SharedPass,
    heads: Mapping[str, Head],
    images: Sequence[Pixels],
    fits: Fits,
    on_tile: OnTile | None,
) -> list[dict[str, TaskResult] | Exception]:
    """A few images: those of one size go together, and fail together."""
    places: dict[tuple[int, ...], list[int]] = {}
    for place, image in enumerate(images):
        places.setdefault(image.shape, []).append(place)
    found: dict[int, dict[str, TaskResult] | Exception] = {}
    for alike in places.values():
        try:
            results = _alike(shared, heads, [images[place] for place in alike], fits, on_tile)
        except (PlainmaskError, MemoryError) as error:
            results = [error] * len(alike)
        found |= zip(alike, results, strict=True)
    return [found[place] for place in range(len(images))]


def _alike(
    shared: SharedPass,
    heads: Mapping[str, Head],
    images: Sequence[Pixels],
    fits: Fits,
    on_tile: OnTile | None,
) -> list[dict[str, TaskResult]]:
    """Images of one size."""
    size = (images[0].shape[0], images[0].shape[1])
    found: list[dict[str, TaskResult]] = [{} for _ in images]
    for protocol, group in by_protocol(heads).items():
        way = protocol.for_image(size, shared.encoder.config.patch_size)
        if way.kind == "tiles":
            results = [_tiled(shared, image, way, group, fits, on_tile) for image in images]
        else:
            results = _together(shared, group, way, images, fits)
        for all_heads, these in zip(found, results, strict=True):
            all_heads |= these
    return [{name: results[name] for name in heads} for results in found]


def _together(
    shared: SharedPass,
    heads: Mapping[str, Head],
    protocol: InputProtocol,
    images: Sequence[Pixels],
    fits: Fits,
) -> list[dict[str, TaskResult]]:
    """Images of one size, as many in a pass as is fast, or as memory holds."""
    size = (images[0].shape[0], images[0].shape[1])
    geometry = Geometry.plan(size, protocol, shared.encoder.config.patch_size)
    windows = len(geometry.windows)
    pixels = windows * geometry.model_size[0] * geometry.model_size[1]
    at_once = max(1, PIXELS_AT_A_TIME // pixels)

    def work(part: Sequence[Pixels]) -> list[dict[str, TaskResult]]:
        with shared.computing():
            predictions = {
                name: heads[name].predict(features)
                for name, features in shared.features_of(part, geometry, heads).items()
            }
        return [
            {
                name: heads[name].result(_rows(both, place * windows, windows), geometry)
                for name, both in predictions.items()
            }
            for place in range(len(part))
        ]

    found: list[dict[str, TaskResult]] = []
    for first in range(0, len(images), at_once):
        found += fits.run(work, images[first : first + at_once], "picture")
    return found


def _tiled(
    shared: SharedPass,
    image: Pixels,
    protocol: InputProtocol,
    heads: Mapping[str, Head],
    fits: Fits,
    on_tile: OnTile | None,
) -> dict[str, TaskResult]:
    """Segment an image tile by tile, several at a time; only their results are kept."""
    size = (image.shape[0], image.shape[1])
    tiles = plan_tiles(size, protocol.tile, protocol.least_overlap)
    geometry = Geometry.plan(tiles[0].size, protocol, shared.encoder.config.patch_size)
    mosaics = {
        name: build_mosaic(head.config.task, size, head.config.vocabulary)
        for name, head in heads.items()
    }

    def work(part: Sequence[Tile]) -> list[dict[str, Predictions]]:
        pixels = torch.from_numpy(np.concatenate([geometry.fit(t.cut(image)) for t in part]))
        with shared.computing():
            found = {
                name: heads[name].predict(features)
                for name, features in shared.features(pixels, heads).items()
            }
        return [
            {name: _rows(both, place, 1) for name, both in found.items()}
            for place in range(len(part))
        ]

    for first in range(0, len(tiles), TILES_AT_A_TIME):
        batch = tiles[first : first + TILES_AT_A_TIME]
        for tile, alone in zip(batch, fits.run(work, batch, "tile"), strict=True):
            for name, predictions in alone.items():
                mosaics[name].add(tile, heads[name].result(predictions, geometry))
        if on_tile:
            on_tile(first + len(batch), len(tiles))
    return {name: mosaic.result() for name, mosaic in mosaics.items()}


def _rows(predictions: Predictions, first: int, count: int) -> Predictions:
    """Those of some of the batch."""
    return Predictions(*(part[first : first + count] for part in predictions))
