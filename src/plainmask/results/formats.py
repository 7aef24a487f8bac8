"""Results in the forms of other libraries and data sets. `Result` has these as methods.

Letters: H W image size, N segments.
"""

from __future__ import annotations

import io
import operator
import zlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from plainmask.atomic import PNG_MARK
from plainmask.errors import InputError
from plainmask.results.rle import Box
from plainmask.results.segments import Segment, extents, ids_of
from plainmask.results.task import TASKS

if TYPE_CHECKING:
    from supervision import Detections

    from plainmask.results import Result


def coco(result: Result, image_id: int | str) -> list[dict[str, Any]]:
    """Entries of a COCO results file; see `Result.to_coco`."""
    classes = result.vocabulary.classes
    return [
        {
            "image_id": image_id if isinstance(image_id, str) else operator.index(image_id),
            "category_id": classes[segment.class_id].file_id,
            "segmentation": result.rle_of(segment).to_coco(),
            "bbox": xywh(segment.box),
            "score": segment.score,
        }
        for segment in result.segments
    ]


def panoptic(result: Result) -> tuple[NDArray[np.uint8], list[dict[str, Any]]]:
    """COCO panoptic picture and `segments_info`; see `Result.to_panoptic`."""
    classes = result.vocabulary.classes
    by_id = {segment.id: segment for segment in result.segments}
    flat = result.flat_map()
    infos = [
        {
            "id": key,
            "category_id": classes[by_id[key].class_id].file_id,
            "isthing": int(by_id[key].thing),
            "iscrowd": 0,
            "area": area,
            "bbox": xywh(box),
            "score": by_id[key].score,
        }
        for key, area, box in extents(flat)
    ]
    return id_colors(flat), infos


def id_colors(flat_map: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Ids as COCO's panoptic colours: (H, W) -> (H, W, 3), id = R + 256 G + 65536 B."""
    return np.stack([flat_map & 255, flat_map >> 8 & 255, flat_map >> 16 & 255], -1).astype(
        np.uint8
    )


def hugging_face(
    segmentation: NDArray[np.int32], segments: Iterable[Segment], first_id: int
) -> dict[str, Any]:
    """Map and `segments_info` of the segments visible in it.

    Segment ids count from 1; those of the map, and of the table that is returned, from `first_id`.
    """
    visible = set(np.unique(segmentation).tolist())
    shift = first_id - 1
    infos = [
        {
            "id": segment.id + shift,
            "label_id": segment.class_id,
            "score": segment.score,
            "was_fused": not segment.thing,
        }
        for segment in segments
        if segment.id + shift in visible
    ]
    return {"segmentation": segmentation, "segments_info": infos}


def pipeline(result: Result) -> list[dict[str, Any]]:
    """As the image-segmentation pipeline of Hugging Face; see `Result.to_pipeline`."""
    flat = result.flat_map()
    visible = set(ids_of(flat))
    scored = TASKS[result.kind].objects
    track_ids = result.track_ids or [None] * len(result.segments)
    entries: list[dict[str, Any]] = []
    for segment, track_id in zip(result.segments, track_ids, strict=True):
        if segment.id not in visible:
            continue
        entry: dict[str, Any] = {
            "score": segment.score if scored else None,
            "label": segment.label,
            "mask": Image.fromarray((flat == segment.id).astype(np.uint8) * np.uint8(255)),
        }
        entries.append(entry if track_id is None else {**entry, "track_id": track_id})
    return entries


def supervision(result: Result) -> Detections:
    """Detections of the supervision library; see `Result.to_supervision`."""
    try:
        from supervision import Detections
    except ImportError as cause:
        raise InputError(
            "to_supervision needs the package supervision; pip install supervision"
        ) from cause
    segments = result.segments
    xyxy = np.array([s.box for s in segments], np.float32).reshape(-1, 4)
    # No ids: a frame that nothing tracks, or in which nothing is to be seen.
    tracked = result.moment is not None and len(result.track_ids) == len(segments)
    return Detections(
        xyxy=xyxy,
        mask=_supervision_masks(result, xyxy),
        confidence=np.array([s.score for s in segments], np.float32),
        class_id=np.array([s.class_id for s in segments], np.int64),
        tracker_id=np.array(result.track_ids, np.int64) if tracked else None,
        data={"class_name": np.array([s.label for s in segments], dtype=str)},
    )


def _supervision_masks(result: Result, xyxy: NDArray[np.float32]) -> Any:
    """N masks, compressed where the installed version can, else (N, H, W) bool."""
    try:
        from supervision import CompactMask

        compress = CompactMask.from_coco_rle
    except (ImportError, AttributeError):  # an older version
        masks = [result.mask_of(segment) for segment in result.segments]
        return np.array(masks, bool).reshape(-1, *result.image_size)
    rles = [result.rle_of(segment).to_coco() for segment in result.segments]
    inside = xyxy - np.array([0, 0, 1, 1], np.float32)  # there a box ends with its last pixel
    return compress(rles, inside, result.image_size)


def png_bytes(picture: Image.Image) -> bytes:
    """The content of a PNG file, which says that it is ours."""
    buffer, mark = io.BytesIO(), PngInfo()
    mark.add_text("Software", PNG_MARK)
    # A quarter of the time of PIL's own choice; label maps become as small, photographs 2 to 7 %
    # larger.
    picture.save(buffer, format="PNG", pnginfo=mark, compress_type=zlib.Z_RLE)
    return buffer.getvalue()


def xywh(box: Box) -> list[float]:
    """x, y, width and height of a box, as COCO has it."""
    return [box[0], box[1], box[2] - box[0], box[3] - box[1]]
