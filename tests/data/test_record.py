import subprocess
import sys

import numpy as np
import pytest

from plainmask.data.record import Record, Segments


def make_segments(index_map, class_ids) -> Segments:
    return Segments(
        np.array(index_map, np.int32), np.array(class_ids, np.int64), np.zeros(len(class_ids), bool)
    )


def test_a_record_decodes_only_when_asked():
    calls: list[str] = []
    record = Record(
        "a",
        load_image=lambda: calls.append("image") or np.zeros((1, 2, 3), np.uint8),
        load_segments=lambda: calls.append("segments") or make_segments([[0, -1]], [4]),
    )
    assert calls == []
    assert record.image().shape == (1, 2, 3)
    assert len(record.segments()) == 1
    assert calls == ["image", "segments"]


@pytest.mark.parametrize(
    ("index_map", "class_ids"),
    [([0, 1], [1, 2]), ([[0, 2]], [1, 2]), ([[-2, 0]], [1]), ([[0]], [[1]])],
    ids=["not a map", "index beyond", "index below", "nested classes"],
)
def test_impossible_segments_are_caught(index_map, class_ids):
    with pytest.raises(AssertionError):
        make_segments(index_map, class_ids)


def test_records_come_without_torch():
    modules = "plainmask.data.record, plainmask.data.label_folder"
    code = f"import sys, {modules}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
