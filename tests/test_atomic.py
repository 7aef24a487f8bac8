"""Which files may be replaced."""

import json
from pathlib import Path

import pytest

from plainmask.atomic import LIST_MARK, check_replaceable, write_result
from plainmask.errors import InputError

ROW = {"video_id": 1, "category_id": 1, "score": 0.5, "segmentations": [None]}


@pytest.mark.parametrize(
    "content",
    [
        b"[]",
        b"[]\n",
        b"[\n]",
        b'[{"video_id": 1}]',
        json.dumps([ROW]).encode(),
        json.dumps([ROW], indent=1).encode(),
        b'{"annotations": []}',
        b'{"shapes": [], "plainmask": 1}',
        b"\x89PNG\r\n\x1a\n",
        b"mine",
        b"\xff\xd8\xff\xe0\x00\x10JFIF",
        b"<!doctype html><meta charset=utf-8><title>",
        b"class,percent\n",
        b" ",
    ],
)
def test_files_of_others_are_never_replaced(tmp_path: Path, content: bytes):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.json is there already and is no result of plainmask"):
        write_result(path, LIST_MARK + b"]\n")
    assert path.read_bytes() == content
    check_replaceable(path, content)  # the same is no loss


@pytest.mark.parametrize("content", [b"", LIST_MARK + b"]\n", b'{"plainmask": "0.1.0"}'])
def test_results_and_empty_files_are(tmp_path: Path, content: bytes):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    assert write_result(path, b"new").read_bytes() == b"new"


def test_marked_lists_are_lists():
    assert json.loads(LIST_MARK + b"]\n") == []
