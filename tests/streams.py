"""Segmenters with tiny heads for videos, and videos for them."""

from typing import Any

import numpy as np

import plainmask
from plainmask.results.task import Task
from tiny import tiny_encoder, tiny_video_head


def segmenters(*tasks: Task, **updates: Any) -> plainmask.Segmenter:
    encoder = tiny_encoder()
    heads = {task: tiny_video_head(task, encoder, **updates) for task in tasks}
    return plainmask.Segmenter(encoder, heads, device="cpu")


def segmenter(task: Task = "panoptic", **updates: Any) -> plainmask.HeadSegmenter[Any]:
    return segmenters(task, **updates)[task]


def video(seed: int, count: int = 5, size: tuple[int, int] = (50, 70)) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    first = generator.integers(0, 256, (*size, 3), np.uint8)
    return [np.roll(first, 3 * time, axis=1) for time in range(count)]
