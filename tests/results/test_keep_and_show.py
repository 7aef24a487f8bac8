"""What is kept of a result, what of it can be seen, and where."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cells import PHOTO, SIZE, VOCABULARY, cells, square
from plainmask.errors import InputError
from plainmask.results import InstanceResult, Moment, PanopticResult, SemanticResult
from plainmask.results.regions import outlines_of, without_speckles
from plainmask.results.rle import Rle
from plainmask.results.segments import segments_of


def test_instances_are_kept_by_score_class_and_pixels():
    result = replace(cells(), moment=Moment(3, (7, 8, 9), (1, 2, 3)))
    assert result.keep().track_ids == (7, 8)
    assert result.keep(score=0.7).track_ids == (7,)
    assert result.keep(score=0).track_ids == (7, 8, 9)
    nuclei = result.keep(score=0, classes=["Cell Nucleus"])
    assert (nuclei.track_ids, nuclei.age, nuclei.frame_index) == ((8, 9), (2, 3), 3)
    assert nuclei.confident == 0
    assert set(np.unique(nuclei.flat_map())) == {0, 1, 2}
    hidden = replace(result, rles=(Rle.encode(np.zeros(SIZE, bool)), *result.rles[1:]))
    assert hidden.keep(score=0).track_ids == (8, 9)
    assert repr(hidden).endswith(": 1 cell nucleus of 3 candidates>")


def test_what_is_sure_is_listed_and_a_lower_score_brings_others_back():
    result = replace(cells(), moment=Moment(3, (7, 8, 9), (1, 2, 3))).sure()
    assert (result.track_ids, result.age, len(result), len(result.masks)) == ((7, 8), (1, 2), 2, 2)
    assert result.candidates.track_ids == (7, 8, 9)
    assert result.candidates.candidates.age == (1, 2, 3)
    assert repr(result).endswith("of 3 candidates>")
    assert result.keep(score=0).track_ids == (7, 8, 9)
    kept = result.keep(score=0.7)
    assert kept.candidates is kept, "what was kept is all that is left"
    assert kept.keep(score=0).track_ids == (7,)
    assert replace(result, moment=None).candidates.track_ids == ()


def test_classes_are_kept_of_label_maps():
    labels = np.full(SIZE, 2, np.int16)
    labels[:10] = 0
    scores = np.where(labels == 0, np.float32(0.4), np.float32(0.8))
    result = SemanticResult(labels, VOCABULARY, scores, Moment(0, (1, 3), (1, 1)))
    for kept in (result.keep(classes=["dish"]), result.keep(score=0.5), result.keep(classes=[2])):
        assert set(np.unique(kept.label_map)) == {-1, 2}
        assert kept.track_ids == (3,)
    assert result.keep().label_map is labels


def test_segments_are_kept_of_panoptic_results():
    ids = np.zeros(SIZE, np.int32)
    ids[:10], ids[20:] = 4, 9
    facts = {4: (0, 0.9), 9: (2, 0.6)}
    result = PanopticResult(ids, segments_of(ids, facts.__getitem__, VOCABULARY), VOCABULARY)
    kept = result.keep(score=0.7)
    assert [segment.id for segment in kept.segments] == [4]
    assert set(np.unique(kept.segment_map)) == {0, 4}
    assert [s.label for s in result.keep(classes=["dish"]).segments] == ["dish"]


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["cel"], "no class is called 'cel'; did you mean 'cell'"),
        (["zebra"], "there are cell, cell nucleus, dish"),
        ([3], "there is no class 3; ids are 0 to 2"),
    ],
)
def test_a_class_that_is_not_there(classes: list, message: str):
    with pytest.raises(InputError, match=message):
        cells().keep(classes=classes)


def test_small_objects_lie_on_top_of_large_ones_however_sure():
    """Nuclei in cells: each that is listed can be seen, in maps and in pictures."""
    cell, nucleus = square(5, 5, 20), square(10, 10, 6)
    scores = np.array([0.6, 0.95, 0.6, 0.99], np.float32)
    rles = (nucleus, cell, square(30, 30, 4), square(28, 28, 10))
    result = InstanceResult(SIZE, rles, np.array([1, 0, 1, 0]), scores, VOCABULARY)
    areas = np.bincount(result.flat_map().ravel(), minlength=5)[1:]
    assert areas.tolist() == [36, 400 - 36, 16, 100 - 16]


def test_an_object_that_others_cover_keeps_its_outline():
    halves = np.zeros((2, *SIZE), bool)
    halves[0, 10:30, 10:20], halves[1, 10:30, 20:30] = True, True
    rles = tuple(Rle.encode(mask) for mask in (halves.any(0), *halves))
    scores = np.array([0.9, 0.8, 0.8], np.float32)
    result = InstanceResult(SIZE, rles, np.array([0, 1, 1]), scores, VOCABULARY)
    assert set(np.unique(result.flat_map())) == {0, 2, 3}
    with_it = np.asarray(result.draw(PHOTO))
    only = result.keep(classes=["cell"])
    assert (np.asarray(only.draw(PHOTO))[10, 15] != PHOTO[10, 15]).any()
    assert (with_it[10, 12] != with_it[15, 15]).any(), "the outline is there"


def test_speckles_are_not_drawn_but_small_objects_are():
    size = (400, 500)
    clean = np.zeros(size, np.int32)
    clean[:200], clean[300:303, 300:303] = 1, 7
    dirty = clean.copy()
    dirty[50, 50:52], dirty[350, 100] = 2, 1
    dirty[100:130, 100:130] = 2
    clean[100:130, 100:130] = 2
    np.testing.assert_array_equal(without_speckles(dirty), clean)
    assert set(np.unique(outlines_of(clean, 1))) == {0, 1, 2, 7}


def test_the_source_is_drawn_on(tmp_path: Path):
    path = tmp_path / "photo.png"
    Image.fromarray(PHOTO).save(path)
    wanted = np.asarray(cells().draw(PHOTO))
    for image in (path, str(path), Image.open(path)):
        np.testing.assert_array_equal(np.asarray(cells().draw(image)), wanted)
    known = replace(cells(), source=path)
    np.testing.assert_array_equal(np.asarray(known.draw()), wanted)
    assert [file.name for file in known.save(tmp_path)][-1] == "photo.overlay.png"
    with pytest.raises(InputError, match=r"give what was segmented, as in draw\(image\)"):
        cells().draw()


def test_a_notebook_shows_picture_and_table(tmp_path: Path):
    html = replace(cells(), source=PHOTO)._repr_html_()
    assert '<img src="data:image/png;base64,' in html
    assert html.index("<td>cell</td>") < html.index("<td>cell nucleus</td><td>1.5</td><td>60</td>")
    assert "<img" not in cells()._repr_html_()
    gone = replace(cells(), source=tmp_path / "gone.png")._repr_html_()
    assert "gone.png: there is no such file" in gone
    unscored = SemanticResult(np.full(SIZE, 2, np.int16), VOCABULARY)
    assert "<td>dish</td><td>100.0</td><td>-</td>" in unscored._repr_html_()


def test_show_opens_the_drawing(monkeypatch: pytest.MonkeyPatch):
    shown: list[Image.Image] = []
    monkeypatch.setattr(Image.Image, "show", lambda picture: shown.append(picture))
    replace(cells(), source=PHOTO).show()
    np.testing.assert_array_equal(
        np.asarray(shown[0]), np.asarray(cells().draw(PHOTO, legend=True))
    )


def test_the_legend_lies_below_the_picture():
    image = np.full((300, 400, 3), 90, np.uint8)
    labels = np.zeros((300, 400), np.int16)
    labels[100:] = 2
    result = SemanticResult(labels, VOCABULARY)
    plain, full = np.asarray(result.draw(image)), np.asarray(result.draw(image, legend=True))
    np.testing.assert_array_equal(full[:300], plain)
    strip = full[300:].reshape(-1, 3)
    for class_id in (0, 2):
        assert (strip == VOCABULARY.classes[class_id].color).all(1).any()
    assert not (strip == VOCABULARY.classes[1].color).all(1).any()


def test_rows_are_ready_for_json_whatever_integer_the_image_has():
    assert cells().to_coco(np.int64(3))[0]["image_id"] == 3  # pyright: ignore[reportArgumentType]
    assert type(cells().to_coco(np.int64(3))[0]["image_id"]) is int  # pyright: ignore
