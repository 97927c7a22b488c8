"""The pages of the documentation: all in the navigation, and all that is public in the reference."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

import metricgrad

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
ELSEWHERE = {"tasks": "docs/tasks.md"}
"""Rooms whose names are explained on a page of their own."""


def pages_of(navigation: Any) -> Iterator[str]:
    """The files that a part of `nav` names."""
    if isinstance(navigation, str):
        yield navigation
    else:
        for part in navigation.values() if isinstance(navigation, dict) else navigation:
            yield from pages_of(part)


def described() -> Iterator[str]:
    """What the directives of the reference name."""
    for page in sorted(DOCS.rglob("*.md")):
        yield from re.findall(r"^::: (\S+)$", page.read_text(encoding="utf-8"), re.MULTILINE)


def hidden(room: ModuleType) -> set[str]:
    """Names of files of a folder: what is imported under one of them, mkdocstrings takes for the file."""
    return {found.name for found in pkgutil.iter_modules(getattr(room, "__path__", ()))}


def rooms() -> Iterator[tuple[str, ModuleType]]:
    """The modules of the package that say what is public in them."""
    yield "metricgrad", metricgrad
    for found in pkgutil.iter_modules(metricgrad.__path__):
        if not found.name.startswith("_") and found.name not in ELSEWHERE:
            room = importlib.import_module(f"metricgrad.{found.name}")
            if hasattr(room, "__all__"):
                yield room.__name__, room


def test_every_page_is_in_the_navigation() -> None:
    """Once each; a page of a decision is reached from their list."""
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    listed = sorted(pages_of(settings["nav"]))
    written = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert listed == sorted(page for page in written if not re.match(r"decisions/\d", page))


def test_everything_public_is_in_the_reference() -> None:
    """Each name of a room is described there or under the path where it is defined."""
    paths: set[str] = set()
    objects: set[int] = set()
    for path in described():
        value = pkgutil.resolve_name(path)
        paths.add(path)
        objects.add(id(value))
        if inspect.ismodule(value):
            shown = set(value.__all__) - hidden(value)
            paths |= {f"{path}.{name}" for name in shown}
            objects |= {id(getattr(value, name)) for name in shown}
    missing = [
        f"{room}.{name}"
        for room, module in rooms()
        for name in module.__all__
        if f"{room}.{name}" not in paths and id(getattr(module, name)) not in objects
    ]
    assert missing == ["metricgrad.__version__"]


def test_the_front_page_shows_what_the_command_prints() -> None:
    """Its excerpt is one of the page on `decide`, whose commands a test runs."""
    front = (DOCS / "index.md").read_text(encoding="utf-8")
    (excerpt,) = re.findall(r"^```text\n(.*?)^```", front, re.MULTILINE | re.DOTALL)
    page = (DOCS / "decide.md").read_text(encoding="utf-8")
    command = re.search(r"^metricgrad decide .*$", front, re.MULTILINE)
    assert command is not None and f"$ {command[0]} --out rule.json" in page
    assert excerpt in page
