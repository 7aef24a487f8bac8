"""Video consistency in its three readings against the published script and by hand."""

import numpy as np
import pytest

from metric_cases import percent, reference, video_metrics
from plainmask.errors import InputError
from plainmask.metrics.miou import MeanIoU
from plainmask.metrics.vc import VideoConsistency


@pytest.mark.parametrize("case", video_metrics()[0]["vspw"])
def test_published(case: str):
    table, arrays = video_metrics()
    expected = table["vspw"][case]
    metric = VideoConsistency()
    iou = MeanIoU([str(index) for index in range(124)], ignore=-1, rule="vspw")
    videos = len(expected["per_video_VC"]["8"])
    for video in range(videos):
        targets, results = (arrays[f"vspw/{case}/vid{video}/{kind}"] for kind in ("gt_raw", "pred"))
        for target, result in zip(targets, results, strict=True):
            metric.update(result, target, video=str(video))
            iou.update(result, target.astype(np.int16) - 1)
    figures = metric.figures()
    for length in (8, 16):
        own, printed = f"VC{length}_own_windows_only", f"VC{length}_as_printed_by_published_script"
        assert figures[f"mVC{length}"] == percent(expected[own])
        assert figures[f"mVC{length}_published"] == percent(expected[printed])
        by_video = expected[f"mVC{length}_mean_of_video_means"]
        assert figures[f"mVC{length}_by_video"] == percent(by_video)
        for video, mean in enumerate(expected["per_video_VC"][str(length)]):
            values = metric.values[length].get(str(video))
            assert (100 * np.mean(values) if values else None) == percent(mean)
    assert iou.figures()["mIoU"] == percent(expected["mIoU"])


def test_official():
    table, arrays = reference("vc")
    expected = table["expected"]
    metric = VideoConsistency()
    for video in range(3):
        for target, result in zip(arrays[f"gt{video}"], arrays[f"pred{video}"], strict=True):
            metric.update(result, target, video=str(video))
    figures = metric.figures()
    for length in (8, 16):
        windows = [value for values in metric.values[length].values() for value in values]
        assert windows == pytest.approx(expected[f"VC{length}_per_window"], abs=1e-9)
        assert figures[f"mVC{length}"] == percent(expected[f"VC{length}"])
        printed = expected[f"VC{length}_running_as_in_one_public_script"]
        assert figures[f"mVC{length}_published"] == percent(printed)


def test_by_hand():
    metric = VideoConsistency(windows=(2,))
    targets = [[[1, 1, 2, 0]], [[1, 1, 3, 0]], [[1, 1, 3, 0]]]
    results = [[[5, 5, 5, 5]], [[5, 6, 5, 5]], [[0, 0, 0, 0]]]
    for target, result in zip(targets, results, strict=True):
        metric.update(np.array(result), np.array(target), video="a")
    # Of the first two frames three pixels are constant, in two of them the result is, too; the
    # last two frames are the last window, which does not count.
    assert metric.figures()["mVC2"] == pytest.approx(100 * 2 / 3)


def test_short_videos_and_nothing():
    metric = VideoConsistency()
    for _ in range(8):
        metric.update(np.zeros((2, 2)), np.zeros((2, 2)), video="a")
    assert set(metric.figures().values()) == {None}
    metric.update(np.zeros((2, 2)), np.zeros((2, 2)), video="a")
    assert metric.figures()["mVC8"] == metric.figures()["mVC16_published"] == 100
    assert metric.figures()["mVC16"] is None


def test_refuses():
    metric = VideoConsistency()
    with pytest.raises(InputError, match=r"\(2, 2\) for a target of \(2, 3\)"):
        metric.update(np.zeros((2, 2)), np.zeros((2, 3)), video="a")
    metric.update(np.zeros((2, 3)), np.zeros((2, 3)), video="a")
    with pytest.raises(InputError, match=r"\(3, 2\) after one of \(2, 3\) in the video 'a'"):
        metric.update(np.zeros((3, 2)), np.zeros((3, 2)), video="a")
    metric.update(np.zeros((3, 2)), np.zeros((3, 2)), video="b")
