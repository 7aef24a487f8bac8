"""CamVid with its clips: street scenes, every frame labelled with classes (semantic video).

ROOT/images/SPLIT/NAME.jpg, ROOT/labels/SPLIT/NAME.png, ROOT/classes.json   as a label folder
ROOT/camvid.json   {"splits": {SPLIT: [{"id", "frames": [NAME, …]}, …]}}, in the order of time
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from plainmask.data.coco_json import read_json, repeated
from plainmask.data.files import refuse
from plainmask.data.label_folder import read_label_folder
from plainmask.data.record import Record
from plainmask.errors import InputError
from plainmask.vocabulary import Vocabulary


@dataclass(frozen=True)
class _Clip:
    id: str
    frames: tuple[str, ...]


@dataclass(frozen=True)
class _File:
    splits: dict[str, tuple[_Clip, ...]]


def read_camvid_clips(
    root: str | Path, split: str | None = None, vocabulary: Vocabulary | None = None
) -> list[Record]:
    """List the frames of all clips, clip by clip; nothing is decoded yet.

    A class is one object: its id is the track id, the same in all frames.

    Args:
        root: the folder with `camvid.json`.
        split: such as train, val or test.
        vocabulary: see `read_label_folder`.

    Raises:
        InputError: as `read_label_folder`; also for a split or frames that are not there, and for
            frames that are in no clip or in several.
    """
    root = Path(root)
    clips_file = root / "camvid.json"
    splits = read_json(clips_file, _File).splits
    if split is None or split not in splits:
        raise InputError(
            f"{clips_file} has no split {split!r}; the splits there are {', '.join(splits)}"
        )
    pictures = {record.id: record for record in read_label_folder(root, split, vocabulary)}
    names = [name for clip in splits[split] for name in clip.frames]
    problems = repeated(names, "frame")
    problems += [f"frame {name} has no files" for name in names if name not in pictures]
    problems += [f"frame {name} is in no clip" for name in sorted(pictures.keys() - set(names))]
    problems += repeated([clip.id for clip in splits[split]], "clip")
    refuse(clips_file, f"every frame of {split} belongs to one clip", problems)
    return [
        replace(pictures[name], sequence=clip.id, frame=place)
        for clip in splits[split]
        for place, name in enumerate(clip.frames)
    ]
