"""The published models: which repositories and files there are, and what is in them.

See docs/model.md 2.7.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from plainmask.results.task import Task

IMAGE_FILES = ("model.safetensors", "pytorch_model.bin")
"""Names under which a repository of image PMT may hold the weights; safetensors first."""


@dataclass(frozen=True)
class Published:
    """One published model."""

    repository: str
    files: tuple[str, ...]
    """Names that its weights may have in the repository; the first that exists counts."""
    task: Task
    encoder: str | None
    """Preset; None: the file holds its own."""
    input_size: int
    vocabulary: str
    thresholds: Mapping[str, float] = field(default_factory=dict)
    """Those that differ from the usual ones."""


def _images() -> dict[str, Published]:
    rows: tuple[tuple[str, Task, str, int, str], ...] = (
        ("coco_panoptic_pmt_small_640_dinov3", "panoptic", "small", 640, "coco_panoptic"),
        ("coco_panoptic_pmt_base_640_dinov3", "panoptic", "base", 640, "coco_panoptic"),
        ("coco_panoptic_pmt_large_640_dinov3", "panoptic", "large", 640, "coco_panoptic"),
        ("coco_panoptic_pmt_large_1280_dinov3", "panoptic", "large", 1280, "coco_panoptic"),
        ("coco_instance_pmt_large_640_dinov3", "instance", "large", 640, "coco_instance"),
        ("coco_instance_pmt_large_1280_dinov3", "instance", "large", 1280, "coco_instance"),
        ("ade20k_semantic_pmt_large_512_dinov3", "semantic", "large", 512, "ade20k_semantic"),
    )
    return {
        f"tue-mps/{name}": Published(
            f"tue-mps/{name}", IMAGE_FILES, task, f"dinov3-{size}", input_size, vocabulary
        )
        for name, task, size, input_size, vocabulary in rows
    }


_VIDEO_FILES = {
    "tue-mps/PMT_Video": (
        "Dinov2_online/yt-2019_dinov2_online_68.8.pth",
        "Dinov2_online/yt-2021_dinov2_online_63.8.pth",
        "Dinov2_online/vipseg_dinov2_online_55.3_48.2.pth",
        "Dinov2_online/vspw_dinov2_online_94.6_64.3.pth",
        "Dinov3_online/yt-2019_dinov3_online_69.2.pth",
        "Dinov3_online/yt-2021_dinov3_online_64.3.pth",
        "Dinov3_online/ovis_dinov3_online_52.0.pth",
        "Dinov3_online/vipseg_dinov3_online_55.5_49.2.pth",
        "Dinov3_online/vspw_dinov3_online_94.9_65.7.pth",
        "Dinov2_segmenter/yt-2019_dinov2_segmenter.pth",
        "Dinov2_segmenter/yt-2021_dinov2_segmenter.pth",
        "Dinov2_segmenter/ovis_dinov2_segmenter.pth",
        "Dinov2_segmenter/vipseg_dinov2_segmenter.pth",
        "Dinov2_segmenter/vspw_dinov2_segmenter.pth",
        "Dinov3_segmenter/yt-2019_dinov3_segmenter.pth",
        "Dinov3_segmenter/yt-2021_dinov3_segmenter.pth",
        "Dinov3_segmenter/ovis_dinov3_segmenter.pth",
        "Dinov3_segmenter/vipseg_dinov3_segmenter.pth",
        "Dinov3_segmenter/vspw_dinov3_segmenter.pth",
        "Dinov3_segmenter/ovis_small_dinov3_segmenter.pth",
        "Dinov3_segmenter/ovis_base_dinov3_sgemnter.pth",  # spelt so
    ),
    "tue-mps/LVMT": (
        "Dinov2_online/yt_2019_dinov2_online_70.1.pth",
        "Dinov2_online/yt_2021_dinov2_online_66.4.pth",
        "Dinov2_online/yt_2022_dinov2_online_48.4.pth",
        "Dinov2_online/ovis_dinov2_online_55.6.pth",
        "Dinov2_online/vipseg_dinov2_online_56.6_51.3.pth",
        "Dinov2_online/vspw_dinov2_online_95.2_65.4.pth",
        "Dinov3_online/yt_2019_dinov3_online_69.6.pth",
        "Dinov3_online/yt_2021_dinov3_online_65.7.pth",
        "Dinov3_online/yt_2022_dinov3_online_51.5.pth",
        "Dinov3_online/ovis_small_dinov3_online_39.1.pth",
        "Dinov3_online/ovis_base_dinov3_online_48.1.pth",
        "Dinov3_online/ovis_dinov3_online_56.5.pth",
        "Dinov3_online/vipseg_dinov3_online_60.3_53.4.pth",
        "Dinov3_online/vspw_dinov3_online_95.3_66.4.pth",
    ),
}

_VIDEO_DATA: dict[str, tuple[Task, int, str, int]] = {
    "yt-2019": ("instance", 448, "ytvis2019", 10),
    "yt-2021": ("instance", 448, "ytvis2021", 10),
    "yt-2022": ("instance", 448, "ytvis2022", 10),
    "ovis": ("instance", 544, "ovis", 20),
    "vipseg": ("panoptic", 720, "vipseg", 10),
    "vspw": ("semantic", 720, "vspw", 10),
}
"""First part of a file's name -> task, shorter side, vocabulary and top_k (docs/model.md 3.4)."""


def _videos() -> dict[str, Published]:
    found: dict[str, Published] = {}
    for repository, files in _VIDEO_FILES.items():
        for file in files:
            stem = file.split("/")[1].replace("yt_", "yt-")
            task, size, vocabulary, top_k = _VIDEO_DATA[stem.split("_")[0]]
            found[f"{repository}/{file}"] = Published(
                repository, (file,), task, None, size, vocabulary, {"top_k": top_k}
            )
    return found


PUBLISHED: Mapping[str, Published] = MappingProxyType(_images() | _videos())
"""The name that `plainmask.load` takes -> what its weights are."""
