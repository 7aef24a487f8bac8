"""Label Studio: a head as a machine learning backend that labels ahead, and answers clicks.

    from plainmask.bridges.label_studio import backend

    NewModel = backend("scenes")  # model.py of a folder that `label-studio-ml start` is given

Letters: H W image size.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from plainmask.bridges.brush import brush_rle
from plainmask.bridges.clicks import Clicks, meant
from plainmask.errors import InputError
from plainmask.extra import need
from plainmask.inference.loading import load
from plainmask.inference.segmenter import HeadSegmenter
from plainmask.inference.shared_pass import Dtype
from plainmask.results import Result
from plainmask.results.rle import Rle
from plainmask.results.trace import trace_parts

__all__ = ["Learn", "backend"]

Learn = Callable[[str, Mapping[str, Any]], HeadSegmenter[Any] | None]
"""Given an event ("ANNOTATION_CREATED", ...) and its data: a head to go on with, or None."""

INSTALL = "pip install git+https://github.com/HumanSignal/label-studio-ml-backend"
CONTROLS = {
    "BrushLabels": "brushlabels",
    "PolygonLabels": "polygonlabels",
    "RectangleLabels": "rectanglelabels",
}
"""Tags of a labelling interface that regions of pictures are made for, with the type of region."""


def backend(
    head: str | Path,
    *,
    learn: Learn | None = None,
    score: float | None = None,
    encoder: str | Path | None = None,
    device: str = "auto",
    dtype: Dtype = "auto",
) -> Any:
    """A class of `label_studio_ml.model.LabelStudioMLBase`, for `label_studio_ml.api.init_app`.

    Args:
        head: a shipped head, a head folder or a hub repository.
        learn: called in `fit` with each event about annotations; what it gives is served from then
            on.
        score: least score of what is told; None: what the head is sure of.
        encoder, device, dtype: see `plainmask.load`.

    Raises:
        InputError: label_studio_ml is not installed, or as `plainmask.load`.
    """
    module = need("label_studio_ml.model", "Label Studio", INSTALL)
    loaded = load(head, device=device, dtype=dtype, encoder=encoder)
    served = {"served": Served(loaded, learn, score)}
    return type("PlainmaskBackend", (LabelStudioHead, module.LabelStudioMLBase), served)


@dataclass
class Served:
    """What all requests share."""

    head: HeadSegmenter[Any]
    learn: Learn | None
    score: float | None
    version: int = 1
    """Counts the heads that were learnt."""


class LabelStudioHead:
    """What Label Studio asks of a backend; `backend` makes one."""

    served: ClassVar[Served]
    parsed_label_config: Mapping[str, Any]
    get_local_path: Any
    set: Any

    def setup(self) -> None:
        """Tell which head answers."""
        self.set("model_version", version_of(self.served))

    def predict(
        self, tasks: Sequence[Mapping[str, Any]], context: Any = None, **more: Any
    ) -> list[dict[str, Any]]:
        """A prediction for each task: its regions, the mean score, and which head it is of.

        Where there is a context (clicks or a box that a person just drew), the region that is
        meant; else everything that the head sees and that the labelling interface has a label for.

        Raises:
            InputError: the interface has no labels for regions of pictures, or a picture cannot be
                read.
        """
        control = Control.of(self.parsed_label_config)
        found: list[dict[str, Any]] = []
        for task in tasks:
            picture = self.served.head(self._path(task, task["data"][control.value]))
            if context and context.get("result"):
                regions = asked_region(picture.keep(0.0), control, context["result"])
            else:
                regions = regions_of(picture.keep(self.served.score), control)
            scores = [region["score"] for region in regions]
            found.append(
                {
                    "model_version": version_of(self.served),
                    "score": sum(scores) / len(scores) if scores else 0.0,
                    "result": regions,
                }
            )
        return found

    def fit(self, *given: Any, **more: Any) -> dict[str, Any]:
        """Hand an event to `learn`; what it learnt is served from now on."""
        event, data = (more["event"], more["data"]) if "event" in more else given[:2]
        served = self.served
        learnt = served.learn(event, data) if served.learn else None
        if learnt is not None:
            served.head = learnt
            served.version += 1
        return {"model_version": version_of(served)}

    def _path(self, task: Mapping[str, Any], address: str) -> str:
        """The file that a task names, fetched if need be."""
        if os.path.isfile(address):  # noqa: PTH113  (a text, perhaps an address)
            return address
        fetch = self.get_local_path
        known = "task_id" in signature(fetch).parameters  # for storage in clouds; 1.0.9 has it not
        return fetch(address, task_id=task.get("id")) if known else fetch(address)


@dataclass(frozen=True)
class Control:
    """The tag of a labelling interface that regions are for."""

    from_name: str
    to_name: str
    value: str
    """Under which name a task's data has the picture."""
    kind: str
    """Type of a region, such as "brushlabels"."""
    labels: Mapping[str, str]
    """By the class of a head, in small letters, what it is called in the interface."""

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Control:
        """The first tag of a parsed labelling interface that takes regions of a picture.

        A label stands for the classes that its `predicted_values` lists, else for that of its name.

        Raises:
            InputError: there is none.
        """
        for name, tag in config.items():
            pictures = [
                (to_name, source["value"])
                for to_name, source in zip(tag["to_name"], tag["inputs"], strict=False)
                if source["type"] == "Image" and "value" in source
            ]
            if tag["type"] not in CONTROLS or not pictures:
                continue
            labels: dict[str, str] = {}
            for label, attributes in tag["labels_attrs"].items():
                classes = attributes.get("predicted_values") or label
                labels |= {each.strip().lower(): label for each in classes.split(",")}
            return cls(name, *pictures[0], CONTROLS[tag["type"]], labels)
        raise InputError(
            f"the labelling interface has none of {', '.join(CONTROLS)} for an Image; add one with "
            "the head's classes as labels"
        )


def version_of(served: Served) -> str:
    """What Label Studio shows of the head that answers."""
    return f"{served.head.name}-{served.version}"


def regions_of(result: Result, control: Control) -> list[dict[str, Any]]:
    """Everything in a result that has a label, as regions."""
    regions: list[dict[str, Any]] = []
    for segment in result.segments:
        label = control.labels.get(segment.label.lower())
        if label is not None:
            values = values_of(result.mask_of(segment), control.kind)
            regions += [_region(control, value, label, segment.score, result) for value in values]
    return regions


def asked_region(
    result: Result, control: Control, drawn: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The region that key points and a rectangle mean, with the label that they were drawn with.

    Label Studio tells places in percent of the picture.
    """
    height, width = result.image_size
    inside: list[tuple[float, float]] = []
    outside: list[tuple[float, float]] = []
    box, label = None, ""
    for one in drawn:
        value = one["value"]
        x, y = value["x"] * width / 100, value["y"] * height / 100
        if one["type"] == "rectanglelabels":
            box = (x, y, x + value["width"] * width / 100, y + value["height"] * height / 100)
        elif one["type"] == "keypointlabels":
            (inside if int(one.get("is_positive", 1)) else outside).append((x, y))
        else:
            continue
        label = value[one["type"]][0]
    found = meant(result, Clicks(inside, outside, box))
    if found is None:
        return []
    values = values_of(found[0], control.kind)
    return [_region(control, value, label, found[1], result) for value in values]


def values_of(mask: NDArray[np.bool_], kind: str) -> list[dict[str, Any]]:
    """A mask (H, W) as values of regions: one brush or rectangle, or a polygon for each part."""
    height, width = mask.shape
    if kind == "brushlabels":
        return [{"format": "rle", "rle": brush_rle(mask)}]
    if kind == "polygonlabels":
        percent = np.array([100 / width, 100 / height])
        return [{"points": (part * percent).tolist(), "closed": True} for part in trace_parts(mask)]
    x0, y0, x1, y1 = Rle.encode(mask).box
    return [
        {
            "x": 100 * x0 / width,
            "y": 100 * y0 / height,
            "width": 100 * (x1 - x0) / width,
            "height": 100 * (y1 - y0) / height,
            "rotation": 0,
        }
    ]


def _region(
    control: Control, value: Mapping[str, Any], label: str, score: float, result: Result
) -> dict[str, Any]:
    height, width = result.image_size
    return {
        "from_name": control.from_name,
        "to_name": control.to_name,
        "type": control.kind,
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {**value, control.kind: [label]},
        "score": score,
        "readonly": False,
    }
