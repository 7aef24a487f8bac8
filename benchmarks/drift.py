"""Whether a memory holds: videos played forward and backward again and again, one stream each.

    python benchmarks/drift.py --data ../shared/data/davis2016 --head moving-objects [--plays 4]
    python benchmarks/drift.py --data ../shared/data/camvid --head street-video

For each of the passes (one forward or backward): of instance heads J, of the track that lies best
on the object over all passes; of semantic heads mIoU. A memory that drifts loses in the later ones.
Each frame is encoded once; what is remembered goes on through all passes. About 15 minutes on two
cores for the 20 videos of DAVIS 2016, 4 passes forward and 4 backward.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainmask.allocator import keep_freed_memory
from plainmask.data.guess import guess_format
from plainmask.data.reader import read_dataset
from plainmask.data.record import Annotation, LabelledVideo, group_videos
from plainmask.evaluation.measures import target_map
from plainmask.inference.loading import load
from plainmask.inference.segmenter import HeadSegmenter
from plainmask.inference.stream import Seen, encode, recall, tell
from plainmask.metrics.miou import MeanIoU
from plainmask.results import IGNORE, InstanceResult


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--head", required=True)
    parser.add_argument("--plays", type=int, default=4, help="forward and backward, so often")
    parser.add_argument("--videos", type=int, help="only the first so many")
    options = parser.parse_args()

    keep_freed_memory()
    segmenter = load(options.head)
    config = segmenter.head.config
    records = read_dataset(
        guess_format(options.data), options.data, options.split, config.vocabulary
    )
    videos = group_videos(records)[: options.videos]
    measure = {"instance": regions, "semantic": classes}[config.task]
    passes = measure(segmenter, videos, options.plays)
    print("pass " + "".join(f"{number:8}" for number in range(1, len(passes) + 1)))
    print("     " + "".join(f"{value:8.1f}" for value in passes))
    print(f"last / first: {passes[-1] / passes[0]:.3f}")


def play(
    segmenter: HeadSegmenter[Any], video: LabelledVideo, plays: int
) -> Iterator[tuple[int, int, Any]]:
    """Pass, frame and result of a video that is played forward and backward `plays` times."""
    shared, heads = segmenter.shared, {segmenter.name: segmenter.head}
    encoded = [encode(shared, heads, [frame.image()])[segmenter.name] for frame in video.frames]
    forward = list(range(len(video)))
    states: dict[str, Any] = {}
    for number, order in enumerate([forward, forward[::-1]] * plays):
        for place in order:
            batch = encoded[place]
            with shared.computing():
                before = recall(segmenter.head, states.get(segmenter.name), len(batch.fused[0]))
                found, after = segmenter.head.decoder.step(batch.fused[0], batch.grid, before)
            seen = {segmenter.name: Seen(found.float(), after, batch.geometry)}
            (result,) = tell(heads, seen, states).values()
            states = {segmenter.name: after.with_tracks_of(result.state)}
            yield number, place, result


def regions(
    segmenter: HeadSegmenter[Any], videos: Sequence[LabelledVideo], plays: int
) -> list[float]:
    """J of each pass, the mean over objects, in percent."""
    found: list[NDArray[np.float64]] = []
    for video in videos:
        wanted = [frame.annotation() for frame in video.frames]
        for track in sorted({int(key) for frame in wanted for key in frame.track_ids}):
            masks = [_mask_of(frame, track) for frame in wanted]
            found.append(best_track(play(segmenter, video, plays), masks, 2 * plays))
        print(video.id, np.round(found[-1], 1), flush=True)
    return np.mean(found, axis=0).tolist()


def _mask_of(frame: Annotation, track: int) -> NDArray[np.bool_]:
    """(H, W): nothing where the frame does not show the object."""
    mask = np.zeros(frame.size, np.bool_)
    for place in np.flatnonzero(frame.track_ids == track):
        mask |= frame.masks()[place]
    return mask


def best_track(
    frames: Iterator[tuple[int, int, Any]], masks: Sequence[NDArray[np.bool_]], passes: int
) -> NDArray[np.float64]:
    """(passes,): J of the track that lies best on an object over all passes, in percent."""
    overlaps: defaultdict[int, NDArray[np.float64]] = defaultdict(lambda: np.zeros(passes))
    empty = np.zeros(passes)  # frames without the object, in which a track shows nothing: 1
    for number, place, result in frames:
        assert isinstance(result, InstanceResult)
        sure = result.keep(result.confident)
        shown = dict(zip(sure.track_ids, sure.masks, strict=True))
        if not masks[place].any():
            empty[number] += 1
            for track, mask in shown.items():
                overlaps[track][number] -= float(mask.any())
            continue
        for track, mask in shown.items():
            union = int((mask | masks[place]).sum())
            overlaps[track][number] += float((mask & masks[place]).sum()) / union
    totals = [total + empty for total in overlaps.values()] or [empty]
    return 100 * max(totals, key=lambda total: float(total.sum())) / len(masks)


def classes(
    segmenter: HeadSegmenter[Any], videos: Sequence[LabelledVideo], plays: int
) -> list[float]:
    """mIoU of each pass over all videos, in percent."""
    names = segmenter.head.config.vocabulary.names
    metrics = [MeanIoU(names, ignore=IGNORE) for _ in range(2 * plays)]
    for video in videos:
        targets = [target_map(frame.annotation()) for frame in video.frames]
        for number, place, result in play(segmenter, video, plays):
            metrics[number].update(result.label_map, targets[place])
    return [float(metric.figures()["mIoU"] or 0) for metric in metrics]


if __name__ == "__main__":
    main()
