"""What `deploy/` starts: every option is one of the command's, every extra and file is there.

No image is built here: that takes a network and a daemon.
"""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from plainmask.cli import app

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"


def options() -> set[str]:
    """Of `plainmask serve`."""
    group: Any = typer.main.get_command(app)
    return {option for each in group.commands["serve"].params for option in each.opts}


def assert_known(words: list[str]) -> None:
    assert {word for word in words if word.startswith("--")} <= options()


def test_the_container_starts_the_server():
    text = (DEPLOY / "Containerfile").read_text("utf-8")
    (entry,) = re.findall(r"^ENTRYPOINT (\[.*\])$", text, re.MULTILINE)
    words = yaml.safe_load(entry)
    assert words[:2] == ["plainmask", "serve"]
    assert_known(words)
    (extras,) = re.findall(r"/source\[(.*?)\]", text)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert set(extras.split(",")) <= set(project["project"]["optional-dependencies"])
    for code in re.findall(r'"?-c"?,? "([^"]+)"', text):
        compile(code, "Containerfile", "exec")


def test_the_image_holds_what_is_built():
    kept = re.findall(r"^!(.*)$", (DEPLOY / "Containerfile.dockerignore").read_text(), re.MULTILINE)
    assert all((ROOT / name).exists() for name in kept)
    build = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    included = build["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert {"src", "pyproject.toml", build["project"]["readme"], *included} <= set(kept)


def test_compose_starts_it_on_cpu_and_gpu():
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))["services"]
    assert list(services) == ["cpu", "gpu"]
    for service in services.values():
        assert_known(service["command"])
        assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
    assert "cuda" in services["gpu"]["command"]


def test_the_unit_of_systemd(tmp_path: Path):
    text = (DEPLOY / "plainmask.service").read_text("utf-8")
    (command,) = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    assert_known(command.split())
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / "plainmask.service"
    unit.write_text(text.replace("/opt/plainmask/bin/plainmask", sys.executable))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True
    )
    about_it = [line for line in done.stderr.splitlines() if "plainmask" in line]
    assert about_it == []


def test_what_the_page_says_of_kserve():
    page = (ROOT / "docs/serve.md").read_text("utf-8")
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (container,) = yaml.safe_load(block)["spec"]["predictor"]["containers"]
    assert_known(container["args"])
    for line in re.findall(r"^docker run .* plainmask( .*)?$", page, re.MULTILINE):
        assert_known(line.split())
