import pickle
import subprocess
import sys
from functools import partial

import numpy as np
import pytest

from plainmask.data.record import Annotation, Record, group_videos, with_classes
from plainmask.errors import InputError


def make_segments(index_map, class_ids) -> Annotation:
    return Annotation.of_map(np.array(index_map, np.int32), class_ids)


def black() -> np.ndarray:
    return np.zeros((1, 2, 3), np.uint8)


def frame(id: str, sequence: str | None, place: int | None) -> Record:
    return Record(id, black, partial(make_segments, [[0, -1]], [4]), sequence, place)


class TestSegments:
    def test_of_map(self):
        segments = make_segments([[0, -1, 1]], [7, 3])
        assert segments.layers.tolist() == [[[0, -1, 1]]]
        assert segments.crowd.tolist() == [False, False]
        assert segments.track_ids.tolist() == [0, 1]
        assert (len(segments), segments.size) == (2, (1, 3))
        assert segments.class_ids.dtype == segments.track_ids.dtype == np.int64
        assert segments.layers.dtype == segments.index_map.dtype == np.int32

    def test_disjoint_masks_share_a_layer(self):
        masks = np.eye(4, dtype=bool).reshape(4, 2, 2)
        segments = Annotation.of_masks(list(masks), (2, 2), [0] * 4)
        assert len(segments.layers) == 1
        assert segments.index_map.tolist() == [[0, 1], [2, 3]]

    @pytest.mark.parametrize("seed", range(20))
    def test_masks_come_back_whatever_overlaps(self, seed: int):
        random = np.random.default_rng(seed)
        masks = random.random((random.integers(0, 9), 6, 7)) < random.random()
        crowd = random.random(len(masks)) < 0.5
        tracks = random.permutation(len(masks)) * 5
        segments = Annotation.of_masks(list(masks), (6, 7), range(len(masks)), crowd, tracks)
        np.testing.assert_array_equal(segments.masks(), masks)
        np.testing.assert_array_equal(segments.crowd, crowd)
        np.testing.assert_array_equal(segments.track_ids, tracks)
        assert 1 <= len(segments.layers) <= max(1, len(masks))
        assert len(segments.layers) >= masks.sum(0, initial=0).max()

    def test_one_map_cannot_hold_overlapping_segments(self):
        segments = Annotation.of_masks([np.ones((2, 2), bool)] * 2, (2, 2), [0, 1])
        with pytest.raises(InputError, match=r"2 lie on 2 layers"):
            _ = segments.index_map

    @pytest.mark.parametrize(
        ("index_map", "class_ids"),
        [([0, 1], [1, 2]), ([[0, 2]], [1, 2]), ([[-2, 0]], [1]), ([[0]], [[1]])],
        ids=["not a map", "index beyond", "index below", "nested classes"],
    )
    def test_impossible_maps_are_caught(self, index_map, class_ids):
        with pytest.raises(AssertionError):
            make_segments(index_map, class_ids)

    def test_a_segment_on_two_layers_is_caught(self):
        layers = np.array([[[0, -1]], [[-1, 0]]], np.int32)
        with pytest.raises(AssertionError, match="two layers"):
            Annotation(layers, np.array([1]), np.array([False]), np.array([0]))

    def test_a_track_with_two_segments_is_caught(self):
        with pytest.raises(AssertionError, match="two segments"):
            Annotation.of_map(np.array([[0, 1]], np.int32), [1, 1], track_ids=[5, 5])


class TestRecord:
    def test_it_decodes_only_when_asked(self):
        calls: list[str] = []
        record = Record(
            "a",
            load_image=lambda: calls.append("image") or black(),
            load_annotation=lambda: calls.append("segments") or make_segments([[0, -1]], [4]),
        )
        assert record.labelled
        assert calls == []
        assert record.image().shape == (1, 2, 3)
        assert len(record.annotation()) == 1
        assert calls == ["image", "segments"]

    def test_without_annotation(self):
        record = Record("test/0", black, None)
        assert not record.labelled
        with pytest.raises(InputError, match="no annotation for test/0"):
            record.annotation()


class TestVideos:
    def test_frames_come_in_the_order_of_time(self):
        records = [frame("b/1", "b", 1), frame("a/0", "a", 0), frame("b/0", "b", 0)]
        videos = group_videos(records)
        assert [(video.id, len(video)) for video in videos] == [("b", 2), ("a", 1)]
        assert [record.id for record in videos[0].frames] == ["b/0", "b/1"]

    def test_single_pictures_are_refused(self):
        with pytest.raises(InputError, match="x is a single picture"):
            group_videos([frame("x", None, None)])

    def test_two_frames_at_one_place_are_refused(self):
        with pytest.raises(InputError, match="a/1 and a/2 are both frame 0 of the video a"):
            group_videos([frame("a/1", "a", 0), frame("a/2", "a", 0)])


class TestWithClasses:
    def test_other_classes_are_left_out(self):
        segments = Annotation.of_map(
            np.array([[0, 1, 2, -1]], np.int32), [4, 5, 6], [False, True, True], [7, 8, 9]
        )
        record = Record("a", black, lambda: segments, classes=frozenset({4}))
        (changed,) = with_classes([record], {4: 0, 6: 0})
        kept = changed.annotation()
        assert kept.index_map.tolist() == [[0, -1, 1, -1]]
        assert kept.class_ids.tolist() == [0, 0]
        assert kept.crowd.tolist() == [False, True]
        assert kept.track_ids.tolist() == [7, 9]
        assert changed.classes == {0}

    def test_layers_stay(self):
        overlapping = Annotation.of_masks([np.ones((1, 2), bool)] * 3, (1, 2), [1, 2, 3])
        (changed,) = with_classes([Record("a", black, lambda: overlapping)], {1: 1, 3: 0})
        assert changed.annotation().masks().all()
        assert changed.annotation().class_ids.tolist() == [1, 0]

    def test_records_known_to_keep_nothing_are_left_out(self):
        records = [
            Record("known", black, black, classes=frozenset({9})),
            Record("unknown", black, black),
            Record("unlabelled", black, None),
        ]
        left = with_classes(records, {1: 1})
        assert [record.id for record in left] == ["unknown", "unlabelled"]

    def test_they_travel_to_worker_processes(self):
        (record,) = with_classes([frame("a/0", "a", 0)], {4: 2})
        again = pickle.loads(pickle.dumps(record))
        assert again.annotation().class_ids.tolist() == [2]


def test_readers_come_without_torch():
    code = "import sys, plainmask.data.reader; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
