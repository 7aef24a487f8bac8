"""Hooks of mkdocs: what the site has beside the pages of docs/, and links that hold in both places.

Texts that people read elsewhere in the repository (README, cards, benchmarks) become pages as they
are, so nothing is kept twice. The reference is made from docstrings and from the commands' own
help. Links are written for the repository; here they are turned to the page of what they name.
"""

from __future__ import annotations

import importlib
import os
import posixpath
import re
import subprocess
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]

TEXTS = {
    "README.md": "start.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks/index.md",
    "benchmarks/ablations/README.md": "benchmarks/ablations.md",
    **{
        path.relative_to(ROOT).as_posix(): f"heads/{path.parent.name}.md"
        for path in sorted(ROOT.glob("src/plainmask/heads/*/README.md"))
    },
}
"""File of the repository -> page."""

MODULES = ("", ".video", ".data", ".training", ".evaluation", ".metrics", ".cluster")
"""Where the public names live, below plainmask."""

COMMANDS = (
    "",
    "segment",
    "track",
    "train",
    "eval",
    "cluster",
    "data check",
    "data convert",
    "heads list",
    "heads show",
    "doctor",
)

_FIRST_STEPS = "## Install"
"""Where the README stops to say what plainmask is, which the page index.md begins with."""
_ALONE = ("index.md", "start.md")
"""Pages that stand alone in their tab, and need no list of its pages."""
_ABOUT = "show_root_heading: false, show_root_toc_entry: false, members: false"
"""How a module's own docstring opens its page."""
_LINK = re.compile(r"(!?)\[([^\]\n]*)\]\(([^)\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are no files of docs/."""
    pages = {page: (ROOT / text).read_text("utf-8") for text, page in TEXTS.items()}
    _, heading, steps = pages["start.md"].partition(_FIRST_STEPS)
    pages["start.md"] = f"# First steps\n\n{heading}{steps}"
    for module in MODULES:
        pages[f"api/plainmask{module}.md"] = reference_page("plainmask" + module)
    pages["commands.md"] = commands_page()
    for uri, content in pages.items():
        files.append(File.generated(config, uri, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn the links; what plainmask is, index.md says in the words of the README."""
    uri = page.file.src_uri
    if uri in _ALONE:
        page.meta["hide"] = ["navigation"]
    home = next((text for text, made in TEXTS.items() if made == uri), f"docs/{uri}")
    turned = turn_links(markdown, home, uri, files)
    if uri != "index.md":
        return turned
    about = (ROOT / "README.md").read_text("utf-8").partition(_FIRST_STEPS)[0]
    _, _, pages = turned.partition("\n")
    return f"{turn_links(about, 'README.md', uri, files)}## Documentation\n{pages}"


def turn_links(markdown: str, home: str, uri: str, files: Files) -> str:
    """Links to files of the repository lead to their pages; without a page, the words stay.

    Args:
        markdown: as it stands in the file `home` of the repository.
        home: what its links start from.
        uri: the page that it becomes.
        files: of the site.
    """

    def turned(found: re.Match[str]) -> str:
        mark, words, target = found.groups()
        path, hash_mark, anchor = target.partition("#")
        if not path or ":" in path:
            return found[0]
        named = posixpath.normpath(posixpath.join(posixpath.dirname(home), path))
        wanted = TEXTS.get(named) or named.removeprefix("docs/")
        if files.get_file_from_path(wanted) is None:
            return words
        place = posixpath.relpath(wanted, posixpath.dirname(uri) or ".")
        return f"{mark}[{words}]({place}{hash_mark}{anchor})"

    return _LINK.sub(turned, markdown)


def reference_page(module: str) -> str:
    """The public names of a module: functions first, then what they give and raise."""
    names: list[str] = getattr(importlib.import_module(module), "__all__", [])
    about = f"::: {module}\n    options: {{{_ABOUT}}}\n"
    entries = [f"::: {module}.{name}\n" for name in sorted(names, key=kind_of)]
    return "\n".join([f"# {module}\n", about, *entries])


def kind_of(name: str) -> tuple[bool, bool, str]:
    """Where a name stands in the reference: functions, then classes, then errors."""
    return not name.islower(), name.endswith("Error"), name


def commands_page() -> str:
    """What `--help` says, command by command."""
    parts = ["# Commands\n"]
    for command in COMMANDS:
        call = ["plainmask", *command.split()]
        parts.append(f"## {' '.join(call)}\n\n```text\n{help_of(call)}\n```\n")
    return "\n".join(parts)


def help_of(call: list[str]) -> str:
    """The help of a command, without boxes and colours."""
    done = subprocess.run(
        [sys.executable, "-m", *call, "--help"],
        env=os.environ | {"TYPER_USE_RICH": "0", "COLUMNS": "88"},
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return done.stdout.strip()
