"""Files of results: their forms, and a person's own files, which are never replaced."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cells import PHOTO, SIZE, VOCABULARY, cells
from plainmask.errors import InputError
from plainmask.results import SemanticResult


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("photo.segments.json", b'{"version": "5.4.1", "shapes": []}'),
        ("photo.labels.png", None),
        ("photo.overlay.png", None),
        ("photo.overlay.png", b"notes about plainmask"),
        ("yolo/photo.txt", b"0 0.1 0.1 0.2 0.1 0.2 0.2\n"),
        ("photo.crops/001-cell.png", None),
    ],
)
def test_a_file_that_is_no_result_is_never_replaced(
    tmp_path: Path, name: str, content: bytes | None
):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    if content is None:
        Image.fromarray(PHOTO).save(path)
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    with pytest.raises(InputError, match=rf"{path.name} is there already and is no result of"):
        cells().save(
            tmp_path,
            stem="photo",
            image=PHOTO,
            forms=["labels", "segments", "overlay", "crops", "yolo"],
        )
    assert path.read_bytes() == before
    assert names(tmp_path) == [name], "nothing is written beside it"


def test_own_json_of_the_same_stem_stays(tmp_path: Path):
    """Labelme keeps NAME.json beside NAME.jpg."""
    (tmp_path / "photo.json").write_text("{}")
    cells().save(tmp_path, stem="photo", image=PHOTO)
    assert (tmp_path / "photo.json").read_text() == "{}"
    assert len(names(tmp_path)) == 4


def test_results_of_before_are_replaced(tmp_path: Path):
    forms = ("labels", "segments", "overlay", "crops", "yolo")
    first = cells().save(tmp_path, image=PHOTO, forms=forms)
    assert first == cells().save(tmp_path, image=PHOTO, forms=forms)
    SemanticResult(np.full(SIZE, 2, np.int16), VOCABULARY).save(tmp_path, image=PHOTO)
    table = json.loads((tmp_path / "result.segments.json").read_text())
    assert [row["label"] for row in table["segments"]] == ["dish"]
    assert table["segments"][0]["score"] is None, "it is not known"


def test_only_what_is_sure_is_saved(tmp_path: Path):
    _, table = cells().save(tmp_path)
    assert [row["score"] for row in json.loads(table.read_text())["segments"]] == [
        pytest.approx(0.9),
        pytest.approx(0.6),
    ]
    _, table = cells().keep(score=0).save(tmp_path)
    assert len(json.loads(table.read_text())["segments"]) == 3


def test_crops_are_cut_along_the_mask(tmp_path: Path):
    (folder,) = cells().save(tmp_path, image=PHOTO, forms=["crops"])
    assert names(folder) == ["001-cell.png", "002-cell-nucleus.png"]
    cut = np.asarray(Image.open(folder / "002-cell-nucleus.png"))
    assert cut.shape == (8, 8, 4)
    assert (cut[..., 3] > 0).sum() == 36
    assert (cut[..., :3] == 90).all()


def test_yolo_has_a_polygon_for_each_thing(tmp_path: Path):
    (path,) = cells().save(tmp_path, stem="photo", forms=["yolo"])
    assert path == tmp_path / "yolo" / "photo.txt"
    first, second = (line.split() for line in path.read_text().splitlines())
    assert (first[0], second[0]) == ("0", "1")
    corners = np.array(second[1:], float).reshape(-1, 2) * SIZE[::-1]
    assert sorted(corners.round(3).tolist()) == [[10, 10], [10, 16], [16, 10], [16, 16]]


def test_the_file_of_the_picture_names_the_results(tmp_path: Path):
    Image.fromarray(PHOTO).save(tmp_path / "dish one.png")
    paths = cells().save(tmp_path / "out", image=str(tmp_path / "dish one.png"))
    assert [path.name for path in paths] == [
        "dish one.labels.png",
        "dish one.segments.json",
        "dish one.overlay.png",
    ]


@pytest.mark.parametrize(
    ("forms", "message"),
    [
        (["overlays"], "cannot be saved as 'overlays'; did you mean 'overlay'"),
        ([], "results are saved as nothing"),
        (["overlay"], "does not know its picture"),
        (["crops"], "does not know its picture"),
    ],
)
def test_forms_that_cannot_be(tmp_path: Path, forms: list, message: str):
    with pytest.raises(InputError, match=message):
        cells().save(tmp_path, forms=forms)
    assert names(tmp_path) == []


def test_a_long_name_is_told_as_that(tmp_path: Path):
    with pytest.raises(InputError, match="the name is too long; give a shorter one"):
        cells().save(tmp_path, stem="x" * 250)
    longest = "x" * (255 - len(".segments.json"))
    assert len(cells().save(tmp_path, stem=longest)) == 2
