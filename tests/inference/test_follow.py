"""Frame and result side by side: online, offline, from sources of every kind."""

import gc
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import plainmask
from cameras import Request, camera, serving
from plainmask.errors import InputError
from plainmask.inference.follow import follow
from plainmask.results.task import Task
from plainmask.video.frames import BreakOffError, Frame, Video
from plainmask.video.sinks import open_sinks
from plainmask.video.sources import open_video
from plainmask.video.summary import Summary
from tiny import tiny_encoder, tiny_video_head
from video_results import made
from videos import pictures, until_error, write_video


def segmenter(task: Task) -> plainmask.HeadSegmenter:
    encoder = tiny_encoder()
    return plainmask.Segmenter(encoder, {task: tiny_video_head(task, encoder)}, device="cpu")[task]


@pytest.mark.parametrize("begun", [1, 0], ids=["left after a frame", "never begun"])
@pytest.mark.parametrize("way", ["closed", "let go of"])
@pytest.mark.parametrize("heads", ["one", "all"])
def test_a_camera_that_is_left_is_let_go_of(begun: int, way: str, heads: str):
    hung_up = threading.Event()
    answer = camera(1000)

    def answered(request: Request) -> None:
        try:
            answer(request)
        except OSError:  # nobody listens
            hung_up.set()

    encoder = tiny_encoder()
    model = plainmask.Segmenter(encoder, {"a": tiny_video_head("semantic", encoder)}, device="cpu")
    with serving(answered) as address:
        results = (model["a"] if heads == "one" else model).track(address)
        for _ in range(begun):
            next(results)
        if way == "closed" and begun:
            results.close()
            assert hung_up.wait(5), "while it is still held"
        del results
        gc.collect()
        assert hung_up.wait(5)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs a list of open files")
@pytest.mark.parametrize("way", ["closed", "let go of"])
def test_a_file_that_is_left_is_closed_at_once(tmp_path: Path, way: str):
    path = write_video(tmp_path / "a.mp4", pictures(60))
    results = segmenter("semantic").track(path, ahead=2)
    next(results)
    time.sleep(0.3)  # what reads ahead waits until there is room
    if way == "closed":
        results.close()
    else:
        del results
    deadline = time.monotonic() + 5  # a thread in the middle of a frame lets go after it
    while held(path) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not held(path)


def held(path: Path) -> bool:
    """Whether this process has the file open."""
    links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return path in [link.resolve() for link in links]


def test_a_video_of_ones_own_is_not_closed(tmp_path: Path):
    model, path = segmenter("semantic"), write_video(tmp_path / "a.mp4", pictures(4))
    with open_video(path) as video:
        results = model.track(video)
        next(results)
        del results
        assert len(list(model.track(video))) == 4


@pytest.mark.parametrize("protocol", ["online", "offline"])
@pytest.mark.parametrize("task", ["semantic", "instance", "panoptic"])
def test_each_frame_with_its_own_result(tmp_path: Path, task: Task, protocol):
    model = segmenter(task)
    path = write_video(tmp_path / "a.mp4", pictures(20))
    pairs = list(follow(model.stream(), open_video(path), protocol=protocol))
    expected = list(model.track(path, protocol=protocol))
    assert [frame.name for frame, _ in pairs] == [f"{place:05d}" for place in range(20)]
    for (frame, result), wanted in zip(pairs, expected, strict=True):
        assert frame.image.shape[:2] == result.image_size
        assert int(frame.name) == result.frame_index
        assert np.array_equal(result.flat_map(), wanted.flat_map())


def breaking_off(count: int) -> Video:
    def read() -> Iterator[Frame]:
        for place, image in enumerate(pictures(count)):
            yield Frame(image, place / 25, f"{place:05d}")
        raise BreakOffError("the cable is out")

    return Video("camera 3", read)


@pytest.mark.parametrize("protocol", ["online", "offline"])
def test_results_up_to_where_the_source_breaks_off(protocol):
    pairs, error = until_error(
        follow(segmenter("semantic").stream(), breaking_off(13), protocol=protocol)
    )
    assert len(pairs) == 13
    assert isinstance(error, InputError)
    assert str(error) == "camera 3 breaks off after 13 frames: the cable is out"


def test_a_source_without_a_frame():
    pairs, error = until_error(follow(segmenter("semantic").stream(), open_video([])))
    assert not pairs
    assert "holds no frame" in str(error)


def test_offline_needs_a_source_that_can_be_read_twice():
    video = open_video(iter(pictures(2)))
    with pytest.raises(InputError, match="can be read only once"):
        next(follow(segmenter("semantic").stream(), video, protocol="offline"))
    assert len(list(follow(segmenter("semantic").stream(), video))) == 2


def test_what_is_seen_is_reported_before_offline_results():
    seen: list[int] = []
    video = open_video(pictures(9))
    stream = segmenter("semantic").stream()
    results = follow(stream, video, protocol="offline", on_seen=lambda: seen.append(1))
    next(results)
    assert len(seen) == 9
    list(results)
    assert len(seen) == 9


def test_a_live_source_is_not_read_ahead():
    """The first result is there before the second frame is."""
    model = segmenter("semantic")
    given: list[int] = []

    def read() -> Iterator[Frame]:
        for place, image in enumerate(pictures(6)):
            given.append(place)
            yield Frame(image, float(place), str(place))

    found = follow(model.stream(), Video("camera", read, live=True))
    next(found)
    assert len(given) <= 5  # one in work, two waiting, one being handed over


def test_summary_counts_what_is_surely_seen():
    summary = Summary()
    for _, result in made("instance", 4):
        summary.update(result)
    rows = {row.id: row for row in summary.rows()}
    assert {key: row.label for key, row in rows.items()} == {4: "car", 7: "person"}
    assert rows[4].frames == 4
    assert rows[4].score == pytest.approx(0.6)
    assert [row["id"] for row in summary.to_json()] == [4, 7]
    summary = Summary()
    for _, result in made("panoptic", 4):
        summary.update(result)
    assert [(row.id, row.label, row.frames) for row in summary.rows()] == [
        (1, "road", 4),
        (300, "car", 3),
    ]


def test_memory_does_not_grow_with_the_video(tmp_path: Path):
    """A few hundred frames from source to files; what is held after 60 is held after 240.

    Of ten moments each the least counts: some frames are on their way, more or fewer.
    """
    model = segmenter("instance")
    first = pictures(1, (48, 64))[0]
    held: list[list[int]] = [[], []]

    def images() -> Iterator[np.ndarray]:
        for place in range(240):
            yield np.roll(first, 2 * place, axis=1)

    head = model.head
    tracemalloc.start()
    try:
        with open_sinks(["jsonl", "mp4", "ytvis"], tmp_path, "a", head.config) as sinks:
            video = open_video(images())
            for place, (frame, result) in enumerate(follow(model.stream(), video)):
                sinks.write(frame, result)
                if 50 <= place % 180 < 60:
                    held[place // 180].append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert sinks.frames == 240
    assert min(held[1]) - min(held[0]) < 200_000, held  # one frame kept each time would be 1.6 MB


@pytest.mark.parametrize("task", ["semantic", "instance", "panoptic"])
def test_frames_seen_by_image_heads_can_be_drawn_and_saved(task: Task, tmp_path: Path):
    encoder = tiny_encoder()
    head = tiny_video_head(task, encoder, "none")
    model = plainmask.Segmenter(encoder, {task: head}, device="cpu")[task]
    kinds = ("mp4", "jsonl", "png")
    with open_sinks(kinds, tmp_path, "seen", head.config) as sinks:
        for frame, result in follow(model.stream(), open_video(pictures(3))):
            sinks.write(frame, result)
            assert result.draw(frame.image).size == (64, 48)
            if task == "instance":
                assert all(segment.area for segment in result.keep(score=0.0).segments)
                assert result.keep(score=2.0).segments == []
    assert sinks.frames == 3
