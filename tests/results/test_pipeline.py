"""`to_pipeline` against transformers' own image-segmentation pipeline."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from plainmask.results import InstanceResult, PanopticResult, Result, SemanticResult
from plainmask.results.base import Moment
from plainmask.results.rle import Rle
from plainmask.results.segments import segments_of
from plainmask.vocabulary import Vocabulary

SIZE = (6, 9)
NAMES = Vocabulary.numbered(3)


def semantic() -> SemanticResult:
    label_map = np.zeros(SIZE, np.int16)
    label_map[3:] = 2
    return SemanticResult(label_map, NAMES, np.full(SIZE, 0.5, np.float32))


def instance() -> InstanceResult:
    masks = np.zeros((4, *SIZE), bool)
    masks[0, :4, :4] = masks[1, 1:3, 1:3] = masks[2, 5, 5:] = True  # the last one is empty
    rles = tuple(Rle.encode(mask) for mask in masks)
    scores = np.array([0.75, 0.875, 0.25, 0.625], np.float32)
    return InstanceResult(SIZE, rles, np.array([1, 2, 0, 0]), scores, NAMES)


def panoptic() -> PanopticResult:
    segment_map = np.zeros(SIZE, np.int32)
    segment_map[3:] = 1
    segment_map[4, 2:6] = 4
    facts = {1: (0, 0.75), 4: (1, 0.5)}
    return PanopticResult(segment_map, segments_of(segment_map, facts.__getitem__, NAMES), NAMES)


def empty() -> InstanceResult:
    return InstanceResult(SIZE, (), np.zeros(0, np.int64), np.zeros(0, np.float32), NAMES)


class Processor:
    """Gives the pipeline what a result says that a network's post-processing gives."""

    def __init__(self, result: Result):
        found = result.to_hf()
        if isinstance(found, dict):
            found = found | {"segmentation": torch.from_numpy(found["segmentation"])}
            setattr(self, f"post_process_{result.kind}_segmentation", self.give)
        else:
            found = torch.from_numpy(found)
            self.post_process_semantic_segmentation = self.give
        self.found = found

    def give(self, outputs: Any, **options: Any) -> list[Any]:
        return [self.found]


def theirs(result: Result) -> list[dict[str, Any]]:
    """What their pipeline makes of the same post-processed prediction."""
    from transformers import MaskFormerConfig
    from transformers.pipelines.image_segmentation import ImageSegmentationPipeline

    pipeline = ImageSegmentationPipeline.__new__(ImageSegmentationPipeline)
    pipeline.image_processor = Processor(result)
    names = {entry.id: entry.name for entry in NAMES.classes}
    pipeline.model = torch.nn.Module()
    pipeline.model.config = MaskFormerConfig(id2label=names)
    return pipeline.postprocess({"target_size": [SIZE]})


@pytest.mark.parametrize("make", [semantic, instance, panoptic, empty])
def test_as_the_pipeline_gives_it(make: Any):
    ours, expected = make().to_pipeline(), theirs(make())
    assert [list(entry) for entry in ours] == [list(entry) for entry in expected]
    for one, other in zip(ours, expected, strict=True):
        assert (one["score"], one["label"]) == (other["score"], other["label"])
        assert type(one["score"]) is type(other["score"])
        assert isinstance(one["mask"], Image.Image)
        assert (one["mask"].mode, one["mask"].size) == (other["mask"].mode, other["mask"].size)
        assert one["mask"].tobytes() == other["mask"].tobytes()


def test_pixels_without_a_class_are_no_segment():
    label_map = np.full(SIZE, -1, np.int16)
    assert SemanticResult(label_map, NAMES).to_pipeline() == []


def test_tracks_keep_their_ids():
    frame = replace(panoptic(), moment=Moment(0, (1, 4), (1, 1)))
    assert [entry["track_id"] for entry in frame.to_pipeline()] == [1, 4]
