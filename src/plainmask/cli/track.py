"""`plainmask track`: videos in; overlay videos, tables and result files out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plainmask.cli.console import complain, print_table
from plainmask.cli.options import (
    Classes,
    Compile,
    Device,
    EncoderSource,
    Json,
    Score,
    check_score,
    class_ids,
    words,
)
from plainmask.errors import InputError, PlainmaskError
from plainmask.progress import Progress, counted, pace

if TYPE_CHECKING:
    from plainmask.inference.segmenter import HeadSegmenter
    from plainmask.inference.tracking import TrackingProtocol
    from plainmask.results import Result
    from plainmask.video.frames import Frame, Video
    from plainmask.video.sinks import Sinks

STOPPED = "stopped"

EXAMPLE = (
    "Example:  plainmask track street.mp4 --out out --save mp4,jsonl\n\n"
    "Example:  plainmask track 0        (the first camera; Ctrl-C ends it)"
)


def track(
    videos: Annotated[
        list[str],
        typer.Argument(
            metavar="VIDEO",
            help="Video files, folders of frames, addresses (rtsp://, http://), camera numbers.",
        ),
    ],
    head: Annotated[
        str, typer.Option(help="A shipped head, a head folder, or a hub repository (user/name).")
    ] = "moving-objects",
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("out"),
    save: Annotated[
        str, typer.Option(help="Some of mp4, jsonl, png, ytvis, vipseg, vspw, with commas.")
    ] = "mp4,jsonl",
    protocol: Annotated[
        str,
        typer.Option(
            help="online: each result as its frame comes; offline: as published, with classes "
            "over the whole video."
        ),
    ] = "online",
    score: Score = None,
    classes: Classes = None,
    device: Device = "auto",
    compiled: Compile = False,
    encoder: EncoderSource = None,
    as_json: Json = False,
) -> None:
    """Follow what is seen in videos, frame by frame.

    A video that cannot be used is reported, the others go on, and the exit code is 1. Ctrl-C ends
    the command and keeps the results up to that frame. With --json there is one object a line for
    each video.
    """
    from plainmask.allocator import keep_freed_memory
    from plainmask.cli.videos import open_videos, video_places
    from plainmask.inference.loading import load
    from plainmask.inference.tracking import AHEAD, check_protocol
    from plainmask.results.places import check_writable
    from plainmask.video.sinks import check_kinds, known_kinds, open_sinks
    from plainmask.video.sources import open_video

    kinds = known_kinds(words(save))
    check_score(score)
    rules = check_protocol(protocol)
    opened, problems = open_videos(videos)
    if not opened:
        raise InputError("; ".join(problems.values()))
    check_writable(out)
    keep_freed_memory()
    segmenter = load(head, device=device, compile=compiled, encoder=encoder)
    config = segmenter.head.config
    check_kinds(kinds, config)
    for name, message in problems.items():
        report_failure(name, message, as_json=as_json)
    keep = class_ids(classes, config.vocabulary)
    failed = len(problems)
    places = video_places(list(opened), out)
    for (source, early), (folder, stem) in zip(opened.items(), places, strict=True):
        try:
            video = early or open_video(source)
            sinks = open_sinks(kinds, folder, stem, config)
        except InputError as error:
            report_failure(early.name if early else str(source), str(error), as_json=as_json)
            failed += 1
            continue
        # The offline protocol gives all results at the end.
        together = video.count or AHEAD if rules == "offline" else AHEAD
        progress = Progress(video.count, "frame", together=together)
        with video:
            results = follow_video(segmenter, video, rules, score, keep)
            failure = run(results, sinks, progress)
        progress.clear()
        report(video, sinks, progress, failure, as_json=as_json)
        if failure == STOPPED:
            of = f"{sinks.frames} of " if video.count else ""
            frames = counted(video.count or sinks.frames, "frame")
            left = f", whose results are in {out}" if sinks.frames else "; nothing was written"
            complain("stopped", f"{video.name} after {of}{frames}{left}")
            raise typer.Exit(130)
        failed += bool(failure)
    if failed:
        complain("error", f"{failed} of {counted(len(videos), 'video')} failed")
        raise typer.Exit(1)


def follow_video(
    segmenter: HeadSegmenter[Any],
    video: Video,
    protocol: TrackingProtocol,
    score: float | None,
    classes: list[int] | None,
) -> Iterator[tuple[Frame, Result]]:
    """Each frame with its result, of which only what is asked for is kept."""
    from plainmask.inference.follow import follow
    from plainmask.inference.tracking import AHEAD

    seen = Progress(video.count, "frame seen", "frames seen", together=AHEAD)
    pairs = follow(segmenter.stream(), video, protocol=protocol, on_seen=seen.step)
    for frame, result in pairs:
        # Without either, doubtful candidates go on to the forms that are made for scoring.
        asked = score is not None or classes is not None
        yield frame, result.keep(score, classes) if asked else result


def run(frames: Iterator[tuple[Frame, Result]], sinks: Sinks, progress: Progress) -> str:
    """Save the results of a video to its end; what went wrong, if anything did."""
    try:
        with sinks:
            for frame, result in frames:
                sinks.write(frame, result)
                progress.step()
    except (PlainmaskError, MemoryError, RuntimeError) as error:  # torch's out of memory is one
        return str(error)
    except KeyboardInterrupt:
        return STOPPED
    return ""


def report(video: Video, sinks: Sinks, progress: Progress, failure: str, *, as_json: bool) -> None:
    """Print the tracks of a video, where its files are, and what went wrong."""
    if as_json:
        row: dict[str, Any] = {
            "video": video.name,
            "frames": sinks.frames,
            "damaged_frames": video.skipped,
            "seconds_per_frame": round(progress.seconds_each, 4),
            "tracks": sinks.summary.to_json(),
            "files": [str(path) for path in sinks.paths],
        }
        print(json.dumps(row | ({"error": failure} if failure else {})), flush=True)
    elif sinks.frames:
        print_table(
            ("track", "class", "frames", "score %"),
            [
                (str(row.id), row.label, str(row.frames), f"{100 * row.score:.0f}")
                for row in sinks.summary.rows()
            ],
            title=f"{video.name}: {counted(sinks.frames, 'frame')}, {pace(progress.seconds_each)}, "
            f"results: {', '.join(map(str, sinks.paths))}",
        )
    if failure and failure != STOPPED:
        complain("error", failure)


def report_failure(name: str, message: str, *, as_json: bool) -> None:
    """Say which video cannot be opened and why; for programs on stdout as well."""
    complain("error", message)
    if as_json:
        print(json.dumps({"video": name, "error": message}), flush=True)
