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
from plainmask.results.segments import Segment, extents

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


def supervision(result: Result) -> Detections:
    """Detections of the supervision library; see `Result.to_supervision`."""
    try:
        from supervision import Detections
    except ImportError as cause:
        raise InputError(
            "to_supervision needs the package supervision; pip install supervision"
        ) from cause
    segments = result.segments
    masks = [result.mask_of(segment) for segment in segments]
    return Detections(
        xyxy=np.array([s.box for s in segments], np.float32).reshape(-1, 4),
        mask=np.array(masks, bool).reshape(-1, *result.image_size),
        confidence=np.array([s.score for s in segments], np.float32),
        class_id=np.array([s.class_id for s in segments], np.int64),
        data={"class_name": np.array([s.label for s in segments], dtype=str)},
    )


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
