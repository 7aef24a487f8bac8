"""What bridges say where their tool is missing."""

import subprocess
import sys

import pytest

from plainmask.bridges import cvat, fiftyone, label_studio
from plainmask.errors import InputError


def test_cvat_is_missing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "cvat_sdk", None)
    monkeypatch.delitem(sys.modules, "cvat_sdk.auto_annotation", raising=False)
    with pytest.raises(InputError, match=r'^CVAT needs .*; pip install "plainmask\[cvat\]"$'):
        cvat.create("scenes")


def test_fiftyone_is_missing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "fiftyone", None)
    monkeypatch.delitem(sys.modules, "fiftyone.core.models", raising=False)
    with pytest.raises(
        InputError, match=r'^FiftyOne needs .*; pip install "plainmask\[fiftyone\]"$'
    ):
        fiftyone.model("scenes")


def test_label_studio_is_missing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "label_studio_ml", None)
    monkeypatch.delitem(sys.modules, "label_studio_ml.model", raising=False)
    with pytest.raises(InputError, match=r"^Label Studio needs .*; pip install git\+https://"):
        label_studio.backend("scenes")


def test_bridges_load_their_tools_late():
    bridges = ("cvat", "fiftyone", "label_studio")
    modules = ", ".join(f"plainmask.bridges.{name}" for name in bridges)
    code = f"import sys, {modules}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert not loaded & {"cvat_sdk", "fiftyone", "label_studio_ml"}
