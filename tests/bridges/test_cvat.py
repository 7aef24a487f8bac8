"""The functions for CVAT, as its own command and its own agent load, check and call them."""

import argparse
import logging
import re
import shlex
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import plainmask
from plainmask.bridges import cvat
from plainmask.bridges.clicks import Clicks, meant
from plainmask.bridges.cvat_shapes import mask_of_shape, shape_points
from plainmask.data.coco_masks import decode_mask
from plainmask.errors import InputError
from plainmask.results.trace import trace_parts
from tiny import save_with_encoder, tiny_encoder, tiny_head, tiny_video_head
from videos import pictures

sdk = pytest.importorskip("cvat_sdk.auto_annotation", reason="pip install 'plainmask[cvat]'")
driver = pytest.importorskip("cvat_sdk.auto_annotation.driver")
masks = pytest.importorskip("cvat_sdk.masks")
models = pytest.importorskip("cvat_sdk.models")
common = pytest.importorskip("cvat_cli._internal.common")
commands = pytest.importorskip("cvat_cli._internal.commands_all")
parsers = pytest.importorskip("cvat_cli._internal.parsers")
agent = pytest.importorskip("cvat_cli._internal.agent_driver")
interacting = pytest.importorskip("cvat_cli._internal.agent_driver_interaction")
tracking = pytest.importorskip("cvat_cli._internal.agent_driver_tracking")


def saved_head(folder: Path, task: Any, *, video: bool = False) -> Path:
    encoder = tiny_encoder()
    head = (tiny_video_head if video else tiny_head)(task, encoder)
    return save_with_encoder(head, encoder, folder / f"tiny-{task}")


FRAMES = [Image.fromarray(picture) for picture in pictures(4)]
HEIGHT, WIDTH = FRAMES[0].height, FRAMES[0].width


def loaded(*parameters: str) -> Any:
    """As `cvat-cli` loads what `--function-module` and `-p` name."""
    given = dict(parsers.parse_function_parameter(text) for text in parameters)
    return common.FunctionLoader("plainmask.bridges.cvat", None, given).load()


def context(threshold: float | None = None, polygons: bool = False) -> Any:
    return driver._DetectionFunctionContextImpl(
        frame_name="a.png", conf_threshold=threshold, conv_mask_to_poly=polygons
    )


def checked(function: Any, shapes: Any, polygons: bool = False) -> Any:
    """What CVAT's driver makes of shapes in a data set that has all labels of the head but one."""
    labels = [
        models.Label(name=label.name, id=100 + label.id, type="any", attributes=[], sublabels=[])
        for label in function.spec.labels[:-1]
    ]
    mapper = driver._AnnotationMapper(
        logging.getLogger("test"),
        function.spec.labels,
        labels,
        allow_unmatched_labels=True,
        conv_mask_to_poly=polygons,
    )
    tags, kept = mapper.validate_and_remap(shapes, 5)
    assert tags == []
    assert all(shape.frame == 5 and shape.label_id in (100, 101) for shape in kept)
    return kept


def decoded(points: Any) -> np.ndarray:
    return masks.decode_mask(points, image_width=WIDTH, image_height=HEIGHT)


@pytest.mark.parametrize("task", ["semantic", "instance", "panoptic"])
def test_detection_gives_the_masks_of_the_head(tmp_path: Path, task: Any):
    path = saved_head(tmp_path, task, video=task == "panoptic")  # which is surer of something
    function = loaded(f"head=str:{path}", "device=str:cpu")
    assert [label.name for label in function.spec.labels] == ["class_0", "class_1", "class_2"]
    expected = plainmask.load(path, device="cpu")(FRAMES[0]).keep(0.05)
    shapes = function.detect(context(0.05), FRAMES[0])
    assert len(shapes) == len(expected.segments) > 0
    for shape, segment in zip(shapes, expected.segments, strict=True):
        assert shape.label_id == segment.class_id
        assert shape.score == segment.score
        np.testing.assert_array_equal(decoded(shape.points), expected.mask_of(segment))
    wanted = sum(segment.class_id < 2 for segment in expected.segments)
    assert len(checked(function, shapes)) == wanted


def test_polygons_of_one_object_are_a_group(tmp_path: Path):
    path = saved_head(tmp_path, "panoptic", video=True)
    function = loaded(f"head=str:{path}", "device=str:cpu")
    expected = plainmask.load(path, device="cpu")(FRAMES[0])
    shapes = function.detect(context(polygons=True), FRAMES[0])
    assert {shape.type.value for shape in shapes} == {"polygon"}
    left = list(shapes)
    for group, segment in enumerate(expected.segments, 1):
        parts = len(trace_parts(expected.mask_of(segment)))
        own, left = left[:parts], left[parts:]
        assert {getattr(shape, "group", None) for shape in own} == {group if parts > 1 else None}
        filled = decode_mask([list(shape.points) for shape in own], (HEIGHT, WIDTH))
        np.testing.assert_array_equal(filled, expected.mask_of(segment))
    assert left == []
    assert len(shapes) > len(expected.segments) > 0
    checked(function, shapes, polygons=True)


def test_the_threshold_is_the_least_score(tmp_path: Path):
    function = loaded(f"head=str:{saved_head(tmp_path, 'instance')}", "device=str:cpu")
    every = function.detect(context(0.0), FRAMES[0])
    least = sorted(shape.score for shape in every)[len(every) // 2]
    some = function.detect(context(least), FRAMES[0])
    assert 0 < len(some) < len(every)
    assert min(shape.score for shape in some) >= least


@pytest.fixture
def worker() -> Any:
    """The state of an agent's worker process, put back afterwards."""
    yield
    agent.set_worker_current_function(None)


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("kind", ["mask", "polygon", "rectangle"])
def test_an_agent_tracks_a_shape(tmp_path: Path, kind: str):
    path = saved_head(tmp_path, "instance", video=True)
    function = loaded(f"head=str:{path}", "kind=str:tracking", "device=str:cpu")
    expected = list(plainmask.load(path, device="cpu").track(np.stack(FRAMES)))
    followed = expected[0].track_ids[0]
    first = shape_points(kind, expected[0].mask_of(expected[0].segments[0]))
    numbers = iter(range(9))
    tracking.AgentTrackingFunctionDriver.init_worker(lambda: f"state-{next(numbers)}")
    agent.set_worker_current_function(function)
    drawn = sdk.TrackableShape(type=kind, points=first)
    nowhere = sdk.TrackableShape(type="rectangle", points=[0, 0, 1, 1])
    states = tracking._worker_job_init_tracking(7, FRAMES[0], [drawn, nowhere])
    seen = 0
    for frame, result in zip(FRAMES[1:], expected[1:], strict=True):
        shape, lost = tracking._worker_job_track(7, frame, states)
        assert lost is None
        if followed not in result.track_ids:
            assert shape is None
            continue
        segment = result.segments[result.track_ids.index(followed)]
        assert shape.type == kind
        assert shape.points == shape_points(kind, result.mask_of(segment))
        seen += 1
    assert seen > 0


@pytest.mark.usefixtures("worker")
def test_an_agent_asks_again_without_another_pass(tmp_path: Path):
    path = saved_head(tmp_path, "instance")
    function = loaded(f"head=str:{path}", "kind=str:interaction", "device=str:cpu")
    every = plainmask.load(path, device="cpu")(FRAMES[0]).keep(0.0)
    rows, columns = np.nonzero(every.mask_of(every.segments[0]))
    points = ((float(columns[0]), float(rows[0])),)
    interacting.AgentInteractionFunctionDriver.init_worker(None)
    agent.set_worker_current_function(function)
    prompts = interacting._InteractionPromptsImpl(
        pos_points=points, neg_points=(), bounding_box=None
    )
    (shape,) = interacting._worker_job_interact("key", FRAMES[0], prompts)
    function.head = None  # whoever needs it again fails
    assert interacting._worker_job_interact_from_cache("key", prompts) == [shape]
    chosen = meant(every, Clicks(points))
    assert chosen is not None
    np.testing.assert_array_equal(decoded(shape.points), chosen[0])
    assert float(shape.attributes[0].value) == pytest.approx(chosen[1], abs=1e-4)


@pytest.mark.parametrize("kind", ["mask", "polygon", "rectangle"])
def test_shapes_come_back(kind: str):
    mask = np.zeros((20, 30), bool)
    mask[3:9, 4:12] = True
    np.testing.assert_array_equal(mask_of_shape(kind, shape_points(kind, mask), (20, 30)), mask)


def test_the_command_lines_of_the_page_are_understood():
    page = Path(__file__).parents[2] / "docs/bridges.md"
    lines = re.findall(
        r"^cvat-cli (.*)$", page.read_text("utf-8").replace("\\\n", ""), re.MULTILINE
    )
    assert len(lines) == 3
    for line in lines:
        parser = argparse.ArgumentParser()
        common.configure_common_arguments(parser)
        commands.COMMANDS.configure_parser(parser)
        parsed = parser.parse_args(shlex.split(line))
        assert parsed.function_module == "plainmask.bridges.cvat"
        names = signature(cvat.create).parameters
        assert parsed.function_parameters.keys() <= names.keys()


def test_bad_parameters(tmp_path: Path):
    path = str(saved_head(tmp_path, "semantic"))
    with pytest.raises(
        InputError, match=r"no function of the kind 'track'; did you mean 'tracking'"
    ):
        cvat.create(path, kind="track")
    with pytest.raises(InputError, match="'tiny-semantic' has no memory, so it cannot track"):
        cvat.create(path, kind="tracking", device="cpu")
