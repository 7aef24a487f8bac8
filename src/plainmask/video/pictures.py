"""Results as one PNG a frame: label pictures, and the result files of VIPSeg and VSPW."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
from PIL import Image

from plainmask import __version__
from plainmask.atomic import check_replaceable, write_result
from plainmask.errors import InputError
from plainmask.results import Result, SemanticResult
from plainmask.results.formats import png_bytes
from plainmask.video.frames import Frame
from plainmask.video.growing import GrowingFile


class LabelPictures:
    """FOLDER/FRAME.png: what `Result.label_picture` gives."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._frames = 0

    def write(self, frame: Frame, result: Result) -> None:
        """Write a picture."""
        write_result(self._folder / f"{frame.name}.png", png_bytes(result.label_picture()))
        self._frames += 1

    def close(self) -> list[Path]:
        """Nothing is left to do."""
        return [self._folder] if self._frames else []


class VspwPictures:
    """FOLDER/VIDEO/FRAME.png: 8-bit, the class's number in masks less 1; 255 for no class."""

    def __init__(self, folder: Path, video: str):
        self._folder = folder / video
        self._frames = 0

    def write(self, frame: Frame, result: Result) -> None:
        """Write a picture."""
        assert isinstance(result, SemanticResult)
        values = [entry.file_id - 1 for entry in result.vocabulary.classes]
        by_class = np.array([*values, 255], np.uint8)  # the last is also that of -1, no class
        picture = Image.fromarray(by_class[result.label_map])
        write_result(self._folder / f"{frame.name}.png", png_bytes(picture))
        self._frames += 1

    def close(self) -> list[Path]:
        """Nothing is left to do."""
        return [self._folder] if self._frames else []


class VipsegPictures:
    """FOLDER/pan_pred/VIDEO/FRAME.png, id = R + 256 G + 65536 B, and FOLDER/pred.json.

    The JSON file keeps the other videos that an earlier run listed in it. Until the end, the list
    of segments waits on disk.
    """

    def __init__(self, folder: Path, video: str):
        self._path = folder / "pred.json"
        self._maps = folder / "pan_pred" / video
        self._video = video
        self._others()  # what cannot be kept is refused before the work
        check_replaceable(self._path)
        self._frames = GrowingFile(folder / f"pred.json.{video}")

    def write(self, frame: Frame, result: Result) -> None:
        """Write a picture, and keep the list of its segments."""
        colors, infos = result.to_panoptic()
        write_result(self._maps / f"{frame.name}.png", png_bytes(Image.fromarray(colors)))
        entry = {
            "file_name": f"{frame.name}.jpg",  # of the frame, as published
            "segments_info": [_published(info) for info in infos],
        }
        self._frames.append(json.dumps(entry).encode() + b"\n")

    def close(self) -> list[Path]:
        """Write the JSON file."""
        file = GrowingFile(self._path)
        try:
            file.append(b'{"plainmask": "%s", "annotations": [\n' % __version__.encode())
            for other in self._others():
                file.append(json.dumps(other).encode() + b",\n")
            file.append(b'{"video_id": %s, "annotations": [' % json.dumps(self._video).encode())
            frames = 0
            for line in self._frames.lines():
                file.append((b",\n " if frames else b"\n ") + line.rstrip(b"\n"))
                frames += 1
            file.append(b"]}]}\n")
            if not frames:
                file.discard()
                return []
        except BaseException:
            file.discard()
            raise
        finally:
            self._frames.discard()
        return [*file.finish(), self._maps]

    def _others(self) -> list[Any]:
        """The entries of other videos."""
        try:
            content: Any = json.loads(self._path.read_bytes())
            entries = cast(list[dict[str, Any]], content["annotations"])
            return [entry for entry in entries if entry["video_id"] != self._video]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError) as cause:
            raise InputError(
                f"{self._path} is there, and no list of panoptic results that could be added to; "
                "move it, or give another folder"
            ) from cause


def _published(info: dict[str, Any]) -> dict[str, Any]:
    """A segment as the published files list it: boxes are one pixel short (docs/model.md 4.6)."""
    x, y, width, height = info["bbox"]
    return {
        "id": info["id"],
        "category_id": info["category_id"],
        "iscrowd": 0,
        "bbox": [int(x), int(y), int(width) - 1, int(height) - 1],
        "area": info["area"],
    }
