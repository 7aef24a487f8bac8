"""JSON lines and YouTube-VIS results: their content, and that they are valid at any time."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plainmask.errors import InputError
from plainmask.results.rle import Rle
from plainmask.video.growing import GrowingFile
from plainmask.video.tables import JsonLines, YoutubeVis
from video_results import made


def rle(form: dict[str, Any]) -> np.ndarray:
    height, width = form["size"]
    return Rle((height, width), form["counts"]).decode()


def test_a_line_a_frame(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    sink = JsonLines(path)
    items = made("panoptic", 3)
    for frame, result in items:
        sink.write(frame, result)
    assert not path.exists()
    assert sink.close() == [path]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["frame_index"] for line in lines] == [0, 1, 2]
    assert [line["seconds"] for line in lines] == [0, 0.04, 0.08]
    assert lines[2]["image_size"] == [48, 64]
    assert [len(line["segments"]) for line in lines] == [1, 2, 2]
    for segment in lines[2]["segments"]:
        assert segment["track_id"] == segment["id"]
        assert segment["age"] == (2 if segment["id"] == 300 else 3)
        mask = rle(segment["segmentation"])
        assert np.array_equal(mask, items[2][1].flat_map() == segment["id"])


def test_hidden_and_doubtful_instances_are_not_in_their_line(tmp_path: Path):
    sink = JsonLines(tmp_path / "a.jsonl")
    for frame, result in made("instance", 4):
        sink.write(frame, result)
    sink.close()
    lines = map(json.loads, (tmp_path / "a.jsonl").read_text().splitlines())
    tracks = [[segment["track_id"] for segment in line["segments"]] for line in lines]
    assert tracks == [[4, 7], [4], [4], [4, 7]]


def test_youtube_vis_has_a_mask_or_null_for_every_frame(tmp_path: Path):
    path = tmp_path / "a.ytvis.json"
    sink = YoutubeVis(path, "12")
    for frame, result in made("instance", 4):
        sink.write(frame, result)
    assert sink.close() == [path]
    assert list(tmp_path.iterdir()) == [path]
    entries = json.loads(path.read_text())
    assert [(e["video_id"], e["category_id"]) for e in entries] == [(12, 11), (12, 12), (12, 12)]
    assert [e["score"] for e in entries] == pytest.approx([0.6, 0.7, 0.1])  # of the last frame
    assert [len(e["segmentations"]) for e in entries] == [4, 4, 4]
    assert entries[0]["segmentations"] == entries[2]["segmentations"]
    assert [mask is None for mask in entries[1]["segmentations"]] == [False, True, True, False]
    assert rle(entries[1]["segmentations"][3]).sum() == 100


def test_youtube_vis_without_a_track_and_without_a_frame(tmp_path: Path):
    sink = YoutubeVis(tmp_path / "a.json", "a")
    ((frame, result),) = made("instance", 1)
    sink.write(frame, result.keep(score=0.99))
    sink.close()
    assert json.loads((tmp_path / "a.json").read_text()) == []
    assert YoutubeVis(tmp_path / "b.json", "b").close() == []
    assert list(tmp_path.iterdir()) == [tmp_path / "a.json"]


def test_pieces_that_a_full_disk_cuts_are_taken_off(tmp_path: Path):
    class Full:
        """Takes half of a piece, then nothing."""

        def __init__(self, file):
            self.file, self.calls = file, 0

        def write(self, content: bytes) -> int:
            self.calls += 1
            if self.calls > 1:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return self.file.write(bytes(content)[: len(content) // 2])

        def __getattr__(self, name: str):
            return getattr(self.file, name)

    file = GrowingFile(tmp_path / "a.txt")
    file.append(b"first\n")
    real, file._file = file._file, Full(file._file)
    with pytest.raises(InputError, match=r"a.txt cannot be written: No space left on device"):
        file.append(b"second\n")
    file._file = real
    file.append(b"third\n")
    assert list(file.lines()) == [b"first\n", b"third\n"]
    assert file.finish() == [tmp_path / "a.txt"]
    assert (tmp_path / "a.txt").read_text() == "first\nthird\n"


def test_results_are_readable_for_others(tmp_path: Path):
    file = GrowingFile(tmp_path / "a.txt")
    file.append(b"x")
    file.finish()
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
