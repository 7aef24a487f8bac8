"""Who may import whom, what comes without torch, and the exact public face of the package."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import pytest

import plainmask

SOURCE = Path(plainmask.__file__).parent

LAYERS = (
    {"errors", "public"},
    {"allocator", "atomic", "extra", "options", "progress", "threads"},
    {"graphs", "vocabulary", "pictures"},
    {"results"},
    {"data", "encoder", "metrics"},
    {"decoder", "result_files"},
    {"tasks", "video"},
    {"heads"},
    {"inference"},
    {"evaluation"},
    {"training"},
    {"bridges", "calls", "cluster", "export", "label", "serve"},
    {"cli"},
    {"__main__"},
)
"""Rooms from the bottom up; each may import itself and what lies below it, never beside it."""

WITHOUT_TORCH = {
    "allocator",
    "atomic",
    "cluster.manifest",
    "cluster.parts",
    "cluster.places",
    "cluster.store",
    "data",
    "errors",
    "extra",
    "evaluation.image_result_files",
    "evaluation.measures",
    "evaluation.report",
    "evaluation.result_files",
    "evaluation.video_measures",
    "graphs.graph",
    "graphs.onnx_file",
    "graphs.openvino_file",
    "heads.card",
    "inference.mosaic",
    "inference.tiles",
    "label.canvas",
    "label.config",
    "label.dataset",
    "label.division",
    "label.drawing",
    "label.frames",
    "label.journal",
    "label.objects",
    "label.planes",
    "label.project",
    "label.ranking",
    "label.repair",
    "label.stroke",
    "metrics",
    "options",
    "pictures",
    "progress",
    "result_files",
    "results",
    "threads",
    "video",
    "vocabulary",
}
"""Rooms that work where torch is not even loaded: results can be scored and drawn anywhere."""

CORE = {
    "PIL",
    "huggingface_hub",
    "numpy",
    "plainmask",
    "pycocotools",
    "pydantic",
    "rich",
    "safetensors",
    "scipy",
    "torch",
    "typer",
    "yaml",
}
"""What an installation without extras has."""

EXTRAS = {
    "av": {"video"},
    "lightning_fabric": {"training"},
    "torch.utils.tensorboard": {"training"},
    "starlette": {"label", "serve"},
    "prometheus_client": {"serve"},
    "cvat_sdk": {"bridges"},
    "fiftyone": {"bridges"},
    "label_studio_ml": {"bridges"},
    "onnx": {"export"},
    "onnxruntime": {"graphs"},
    "openvino": {"export", "graphs"},
    "pyarrow": {"cluster"},
    "ray": {"cluster"},
}
"""What comes with an extra, and the rooms that alone may use it."""

PUBLIC = [
    "Encoder",
    "Head",
    "HeadError",
    "HeadSegmenter",
    "HeadStream",
    "InputError",
    "InstanceResult",
    "PanopticResult",
    "PlainmaskError",
    "Predictions",
    "Segment",
    "Segmenter",
    "SemanticResult",
    "State",
    "Stream",
    "Vocabulary",
    "WeightsError",
    "evaluate",
    "fit",
    "follow",
    "load",
    "load_encoder",
    "load_official",
    "segment",
    "train",
]


class Import(NamedTuple):
    """One imported module or name, as `package.module.name`."""

    target: str
    line: int
    on_load: bool
    """Whether it happens when the module is loaded, not in a function."""


def module_name(path: Path) -> str:
    """`encoder.vit` for plainmask/encoder/vit.py, `encoder` for its package."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {
    name: path for path in sorted(SOURCE.rglob("*.py")) if (name := module_name(path))
}  # without plainmask/__init__.py, which resolves its names when asked


def imports_of(path: Path) -> Iterator[Import]:
    """Everything that a file imports at run time; blocks for type checkers do not count."""

    def walk(node: ast.AST, on_load: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                continue
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(alias.name, child.lineno, on_load)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path}:{child.lineno}: a relative import"
                for alias in child.names:
                    yield Import(f"{child.module}.{alias.name}", child.lineno, on_load)
            else:
                inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                yield from walk(child, on_load and not inside)

    return walk(ast.parse(path.read_text(encoding="utf-8")), True)


def own_module(target: str) -> str | None:
    """The module of ours that `plainmask.a.b` or `plainmask.a.b.name` is, or lies in."""
    parts = target.split(".")
    if parts[0] != "plainmask":
        return None
    for length in range(len(parts), 1, -1):
        if (name := ".".join(parts[1:length])) in MODULES:
            return name
    return None


def room_of(module: str) -> str:
    """The room that a module belongs to: the longest name in LAYERS that it begins with."""
    rooms = set().union(*LAYERS)
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        if (room := ".".join(parts[:length])) in rooms:
            return room
    raise AssertionError(f"plainmask.{module} is in no room: give it a place in LAYERS")


def level(room: str) -> int:
    return next(place for place, rooms in enumerate(LAYERS) if room in rooms)


def lies_in(module: str, rooms: set[str]) -> bool:
    return any(module == room or module.startswith(f"{room}.") for room in rooms)


@pytest.mark.parametrize("module", MODULES)
def test_nothing_imports_upwards(module: str):
    room = room_of(module)
    for found in imports_of(MODULES[module]):
        if (imported := own_module(found.target)) is None:
            continue
        other = room_of(imported)
        assert other == room or level(other) < level(room), (
            f"plainmask.{module}:{found.line} imports plainmask.{imported}, "
            f"which is not below {room}"
        )


def test_no_cycles():
    graph = {
        module: {own_module(found.target) for found in imports_of(path) if found.on_load}
        - {None, module}
        for module, path in MODULES.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_a_type_has_a_name_of_its_own():
    """Classes and aliases that other modules can see; type variables are a module's own."""
    homes: dict[str, list[str]] = {}
    for module, path in MODULES.items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            match node:
                case ast.ClassDef(name=name):
                    pass
                case ast.Assign(targets=[ast.Name(id=name)], value=value) if not (
                    isinstance(value, ast.Call) and ast.unparse(value.func) == "TypeVar"
                ):
                    pass
                case ast.AnnAssign(target=ast.Name(id=name)):
                    pass
                case _:
                    continue
            if re.fullmatch(r"[A-Z]\w*[a-z]\w*", name):
                homes.setdefault(name, []).append(module)
    assert {name: found for name, found in homes.items() if len(found) > 1} == {}


@pytest.mark.parametrize("module", [m for m in MODULES if lies_in(m, WITHOUT_TORCH)])
def test_torch_is_not_named_where_it_is_not_needed(module: str):
    for found in imports_of(MODULES[module]):
        if found.on_load:
            assert found.target.split(".")[0] != "torch", f"line {found.line}"


@pytest.mark.parametrize("module", MODULES)
def test_extras_are_imported_by_their_users_alone(module: str):
    for found in imports_of(MODULES[module]):
        if not found.on_load:
            continue
        package = found.target.split(".")[0]
        users = next((EXTRAS[n] for n in EXTRAS if f"{found.target}.".startswith(f"{n}.")), None)
        if users is not None:
            assert room_of(module) in users, f"line {found.line}: {found.target}"
        else:
            assert package in CORE | sys.stdlib_module_names, f"line {found.line}: {package}"


def loaded_after(statements: str) -> set[str]:
    """The top-level packages that a fresh Python holds after some statements."""
    code = f"{statements}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return set(done.stdout.split())


def test_importing_plainmask_loads_nothing_heavy():
    loaded = loaded_after("import plainmask; plainmask.__all__; dir(plainmask)")
    assert not loaded & (CORE - {"plainmask"})


def test_the_commands_load_what_they_need_when_they_run():
    loaded = loaded_after("import plainmask.cli")
    assert not loaded & {"torch", "numpy", "huggingface_hub", "lightning_fabric"}


def test_results_and_metrics_come_without_torch():
    names = [f"plainmask.{module}" for module in MODULES if lies_in(module, WITHOUT_TORCH)]
    statements = f"import {', '.join(names)}\nimport plainmask\nplainmask.PanopticResult"
    loaded = loaded_after(statements)
    assert "numpy" in loaded
    assert not loaded & {"torch", "huggingface_hub", "supervision", "matplotlib"}


def test_pyav_is_loaded_for_video_files_alone():
    loaded = loaded_after("import plainmask.video.sources, plainmask.video.sinks")
    assert "numpy" in loaded
    assert "av" not in loaded


def test_importing_takes_less_than_two_seconds():
    code = "import time; t = time.perf_counter(); import plainmask; print(time.perf_counter() - t)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 2


def test_public_names_are_exactly_these():
    assert plainmask.__all__ == PUBLIC
    assert set(dir(plainmask)) == {*PUBLIC, "__version__"}
    for name in PUBLIC:
        assert getattr(plainmask, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Segmentor'"):
        _ = plainmask.Segmentor
    with pytest.raises(ImportError):
        from plainmask import anything_else  # noqa: F401


def test_star_import_gives_the_public_names():
    namespace: dict[str, object] = {}
    exec("from plainmask import *", namespace)
    assert namespace.keys() - {"__builtins__"} == set(PUBLIC)


ROOMS = (
    "cluster",
    "data",
    "evaluation",
    "metrics",
    "pictures",
    "result_files",
    "training",
    "video",
)


@pytest.mark.parametrize("room", ROOMS)
def test_the_public_names_of_a_room_are_there(room: str):
    module = import_module(f"plainmask.{room}")
    for name in module.__all__:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match=f"module 'plainmask.{room}' has no attribute 'nil'"):
        _ = module.nil


def test_documents_import_public_names_alone():
    root = Path(__file__).parents[1]
    for page in (*(root / "docs").glob("*.md"), root / "README.md"):
        for module, names in re.findall(
            r"^from (plainmask\S*) import (.+)$", page.read_text("utf-8"), re.MULTILINE
        ):
            public = import_module(module).__all__
            assert {name.strip() for name in names.split(",")} <= {*public}, f"{page.name}: {names}"
