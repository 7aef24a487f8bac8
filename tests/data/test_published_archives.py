"""The archives that data sets are published as are read without being unpacked."""

import io
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from datasets import MASK, WRITERS, picture
from plainmask.data.guess import guess_format
from plainmask.data.reader import DataFormat, dataset_splits, read_dataset


def pack(folder: Path, *names: str) -> bytes:
    """A zip archive of some folders or files, which are deleted, and of a Mac's leftovers."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            paths = [folder / name, *sorted((folder / name).rglob("*"))]
            for path in (path for path in paths if path.is_file()):
                archive.write(path, path.relative_to(folder))
                archive.writestr(f"__MACOSX/{path.relative_to(folder)}", b"?")
            if (folder / name).is_dir():
                shutil.rmtree(folder / name)
            else:
                (folder / name).unlink()
    return file.getvalue()


def rename(root: Path, **names: str) -> None:
    for old, new in names.items():
        old_path = next(root.rglob(f"*{old}"))
        old_path.rename(old_path.with_name(old_path.name.replace(old, new)))


def coco_instances(root: Path) -> None:
    rename(root, **{"instances_train.json": "instances_train2017.json"})
    (root / "annotations_trainval2017.zip").write_bytes(pack(root, "annotations"))
    (root / "train").rename(root / "train2017")
    (root / "train2017.zip").write_bytes(pack(root, "train2017"))


def coco_panoptic(root: Path) -> None:
    folder = root / "annotations"
    (folder / "panoptic_train.json").rename(folder / "panoptic_train2017.json")
    (folder / "panoptic_train").rename(folder / "panoptic_train2017")
    inner = pack(folder, "panoptic_train2017")
    (folder / "panoptic_train2017.zip").write_bytes(inner)
    (root / "panoptic_annotations_trainval2017.zip").write_bytes(pack(root, "annotations"))
    (root / "train").rename(root / "train2017")
    (root / "train2017.zip").write_bytes(pack(root, "train2017"))


def ade20k(root: Path) -> None:
    home = root / "ADEChallengeData2016"
    home.mkdir()
    for name in ("images", "annotations"):
        (root / name).rename(home / name)
    (root / f"{home.name}.zip").write_bytes(pack(root, home.name))


def ade20k_panoptic(root: Path) -> None:
    for name in ("ADEChallengeData2016", "annotations_instance"):
        (root / f"{name}.zip").write_bytes(pack(root, name))


def cityscapes(root: Path) -> None:
    for name in ("leftImg8bit", "gtFine"):
        (root / f"{name}_trainvaltest.zip").write_bytes(pack(root, name))


PACKERS = {
    "coco_instances": coco_instances,
    "coco_panoptic": coco_panoptic,
    "ade20k": ade20k,
    "ade20k_panoptic": ade20k_panoptic,
    "cityscapes": cityscapes,
}


@pytest.mark.parametrize("format", PACKERS)
def test_like_folders(tmp_path: Path, format: DataFormat):
    WRITERS[format](tmp_path)
    PACKERS[format](tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".png", ".jpg", ".json")]
    assert guess_format(tmp_path) == format
    assert dataset_splits(format, tmp_path) == ["train"]
    (record,) = pickle.loads(pickle.dumps(read_dataset(format, tmp_path, "train")))
    np.testing.assert_array_equal(record.annotation().masks()[-1], MASK)
    assert record.image().shape == (2, 3, 3)


def test_the_panoptic_files_of_cityscapes_lie_beside_its_archives(tmp_path: Path):
    WRITERS["cityscapes_panoptic"](tmp_path)
    (tmp_path / "leftImg8bit_trainvaltest.zip").write_bytes(pack(tmp_path, "leftImg8bit"))
    (record,) = read_dataset("cityscapes_panoptic", tmp_path, "train")
    assert len(record.annotation()) == 1
    assert record.image().shape == (2, 3, 3)


def test_files_that_an_archive_lacks_are_named(tmp_path: Path):
    WRITERS["coco_instances"](tmp_path)
    picture(tmp_path / "train/b.jpg")
    (tmp_path / "train/a.jpg").unlink()
    coco_instances(tmp_path)
    with pytest.raises(ValueError, match=r"no folder of pictures with files such as a\.jpg"):
        read_dataset("coco_instances", tmp_path, "train")
