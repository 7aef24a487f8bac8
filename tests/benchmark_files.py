"""Golden cases written as the official files of their benchmarks: a data set, and a result."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from metric_cases import video_metrics
from plainmask.results.formats import id_colors
from plainmask.results.rle import Rle


class Benchmark(NamedTuple):
    """Where the files are, and what the published code says about them."""

    data: Path
    """The folder of the data set."""
    result: Path
    """A JSON file or a folder."""
    expected: dict[str, Any]


def write_json(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def write_png(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write_youtube_vis(folder: Path, case: str = "random") -> Benchmark:
    """`valid.json` with masks as lists of run lengths, and `results.json`."""
    table, arrays = video_metrics()
    expected = table["ytvis"][case]
    given = expected["input"]
    shapes = given["videos_T_H_W"]

    def masks(kind: str, index: int, video: int) -> np.ndarray:
        shape = shapes[video - 1]
        bits = np.unpackbits(arrays[f"ytvis/{case}/{kind}{index}_masks"], count=int(np.prod(shape)))
        return bits.reshape(shape).astype(bool)

    annotations = [
        {
            "id": index + 1,
            "video_id": video,
            "category_id": category,
            "iscrowd": crowd,
            "segmentations": [
                uncompressed(mask) if present else None
                for mask, present in zip(
                    masks("ann", index, video),
                    arrays[f"ytvis/{case}/ann{index}_present"],
                    strict=True,
                )
            ],
        }
        for index, (video, category, crowd) in enumerate(given["annotations_video_category_crowd"])
    ]
    results = [
        {
            "video_id": video,
            "category_id": category,
            "score": score,
            "segmentations": [
                Rle.encode(mask).to_coco() if mask.any() else None
                for mask in masks("det", index, video)
            ],
        }
        for index, (video, category, score) in enumerate(given["detections_video_category_score"])
    ]
    truth = {
        "videos": [
            {
                "id": video,
                "width": width,
                "height": height,
                "length": frames,
                "file_names": [f"v{video}/{5 * frame:05}.jpg" for frame in range(frames)],
            }
            for video, (frames, height, width) in enumerate(shapes, 1)
        ],
        "annotations": annotations,
        "categories": [{"id": i + 1, "name": f"c{i + 1}"} for i in range(given["categories"])],
    }
    write_json(folder / "data/valid.json", truth)
    return Benchmark(folder / "data", write_json(folder / "results.json", results), expected)


def uncompressed(mask: np.ndarray) -> dict[str, Any]:
    """Run lengths as a list, column by column, zeros first."""
    pixels = np.concatenate([[False], mask.T.ravel()])
    changes = np.flatnonzero(np.diff(pixels)) + 0
    runs = np.diff(np.concatenate([[0], changes, [mask.size]]))
    return {"size": list(mask.shape), "counts": runs.tolist()}


def write_vipseg(folder: Path, case: str = "three_random_videos") -> Benchmark:
    """`VIPSeg_720P` with a split val, and a folder with `pred.json` and `pan_pred`."""
    table, arrays = video_metrics()
    expected = table["panoptic"][case]
    truths: list[Any] = []
    results: list[Any] = []
    videos: list[Any] = []
    for number, video in enumerate(expected["videos"]):
        name, key = f"v{number}", f"panoptic/{case}/v{number}"
        target, result = arrays[f"{key}/gt"], arrays[f"{key}/pred"]
        stems = [f"{frame:08}" for frame in range(len(target))]
        for ids, place in ((target, "data/panomasksRGB"), (result, "result/pan_pred")):
            for stem, frame in zip(stems, ids, strict=True):
                write_png(folder / place / name / f"{stem}.png", id_colors(frame))
        videos.append(
            {
                "video_id": name,
                "images": [{"id": f"{name}_{s}", "file_name": f"{s}.png"} for s in stems],
            }
        )
        truths.append(
            {
                "video_id": name,
                "annotations": [
                    {
                        "image_id": f"{name}_{stem}",
                        "file_name": f"{stem}.png",
                        "segments_info": infos(frame, video["gt_segments"]),
                    }
                    for stem, frame in zip(stems, target, strict=True)
                ],
            }
        )
        results.append(
            {
                "video_id": name,
                "annotations": [
                    {
                        "file_name": f"{stem}.jpg",
                        "segments_info": infos(frame, video["pred_segments"]),
                    }
                    for stem, frame in zip(stems, result, strict=True)
                ],
            }
        )
    categories = [
        {"id": category, "name": f"c{category}", "isthing": thing}
        for category, thing in table["categories_panoptic"]
    ]
    truth = {"videos": videos, "annotations": truths, "categories": categories}
    write_json(folder / "data/panoptic_gt_VIPSeg_val.json", truth)
    write_json(folder / "result/pred.json", {"annotations": results})
    return Benchmark(folder / "data", folder / "result", expected)


def infos(frame: np.ndarray, segments: list[list[int]]) -> list[dict[str, Any]]:
    """`segments_info` of what can be seen, in the order of the list."""
    return [
        {
            "id": key,
            "category_id": category,
            "iscrowd": crowd[0] if crowd else 0,
            "bbox": [0, 0, 1, 1],
            "area": int((frame == key).sum()),
        }
        for key, category, *crowd in segments
        if (frame == key).any()
    ]


def write_vspw(folder: Path, case: str = "mixed_lengths") -> Benchmark:
    """`VSPW_480p` with a split val, and a folder of PNGs."""
    table, arrays = video_metrics()
    expected = table["vspw"][case]
    names = [f"vid{index}" for index in range(len(expected["per_video_VC"]["8"]))]
    for name in names:
        for frame, target in enumerate(arrays[f"vspw/{case}/{name}/gt_raw"]):
            write_png(folder / f"data/data/{name}/mask/{frame:08}.png", target)
        for frame, result in enumerate(arrays[f"vspw/{case}/{name}/pred"]):
            write_png(folder / f"result/{name}/{frame:08}.png", result)
    (folder / "data/val.txt").write_text("\n".join(names))
    return Benchmark(folder / "data", folder / "result", expected)


def write_davis(
    folder: Path, targets: dict[str, np.ndarray], results: dict[str, np.ndarray]
) -> Benchmark:
    """`Annotations/480p` with a list of the split val, and a folder of PNGs."""
    for place, maps in (("data/Annotations/480p", targets), ("result", results)):
        for name, frames in maps.items():
            for index, frame in enumerate(frames):
                write_png(folder / place / name / f"{index:05}.png", frame)
    listing = folder / "data/ImageSets/2017/val.txt"
    listing.parent.mkdir(parents=True)
    listing.write_text("\n".join(targets))
    return Benchmark(folder / "data", folder / "result", {})
