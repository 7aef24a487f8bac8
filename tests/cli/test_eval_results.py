"""`plainmask eval --results`: official files in, one table or one JSON object out."""

import json
from pathlib import Path

import pytest

from benchmark_files import write_davis, write_vipseg, write_vspw, write_youtube_vis
from commands import Run
from metric_cases import reference


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_json_is_one_object(run: Run, here: Path):
    data, result, expected = write_youtube_vis(here)
    code, out, err = run("eval", "--results", result, data, "--split", "valid", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["AP"] == pytest.approx(100 * expected["stats"]["AP"])
    assert found["videos"] == 4
    assert set(found["per_class"]) == {"c1", "c2", "c3"}
    assert {"AP50", "AP75", "APs", "AR1", "AR10", "IDF1", "protocol"} < set(found)


def test_several_files_and_their_order(run: Run, here: Path):
    data, result, _ = write_vipseg(here, "id_switch")
    given = result / "pred.json", result / "pan_pred", data
    code, out, _ = run("eval", *given, "--results", "--split", "val", "--json")
    assert code == 0
    assert json.loads(out)["VPQ"] == pytest.approx(94.66018599)


def test_table(run: Run, here: Path):
    data, result, _ = write_vipseg(here, "id_switch")
    code, out, err = run("eval", "--results", result, data)
    assert (code, err) == (0, "")
    for text in ("VPQ_2", "94.66", "STQ", "ID_switches", "1 video; VIPSeg rules", "c0"):
        assert text in out
    assert "None" not in out


def test_vspw_and_davis(run: Run, here: Path):
    data, result, _ = write_vspw(here / "vspw", "perfect")
    code, out, _ = run("eval", "--results", result, data, "--json")
    assert code == 0
    assert json.loads(out)["mIoU"] == json.loads(out)["mVC8"] == 100
    _, arrays = reference("jf_single")
    data, result, _ = write_davis(here / "davis", {"v": arrays["gt"]}, {"v": arrays["gt"]})
    code, out, _ = run("eval", "--results", result, data, "--unsupervised")
    assert code == 0
    assert "DAVIS rules, unsupervised" in out
    assert "v/1" in out


def test_a_report_of_results_replaces_no_file_of_someone_else(run: Run, here: Path):
    data, result, _ = write_vipseg(here, "id_switch")
    (here / "report").mkdir()
    (here / "report/per_class.csv").write_text("class,percent\n")
    code, out, err = run("eval", "--results", result, data, "--out", "report")
    assert (code, out) == (2, "")
    assert "report/per_class.csv is there already and is no result of plainmask" in err
    for _ in range(2):
        code, _, _ = run("eval", "--results", result, data, "--out", "again")
        assert code == 0


def test_what_does_not_fit_is_one_message(run: Run, here: Path):
    data, result, _ = write_youtube_vis(here)
    rows = json.loads(result.read_text())
    rows[3]["segmentations"].pop()
    result.write_text(json.dumps(rows))
    code, out, err = run("eval", "--results", result, data)
    assert (code, out) == (2, "")
    assert "results.json: these results do not fit the annotation" in err
    assert "entry 3 has 3 segmentations" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--results", "a.json"), "give the files of a result and the folder of the data set"),
        (("head",), "give one head and the folder of the data set, not 'head'"),
        (("head", "other", "data"), "give one head and the folder of the data set"),
        (("--results", "a.json", "data"), "a.json is not there; check the path"),
    ],
)
def test_wrong_usage(run: Run, arguments: tuple[str, ...], message: str):
    code, _, err = run("eval", *arguments)
    assert code == 2
    assert message in err
