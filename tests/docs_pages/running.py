"""Run the blocks of a page from top to bottom, as a reader would, and compare what they print."""

import contextlib
import importlib.util
import io
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.cli.outcome import Command

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
BLOCK = re.compile(r"(?:`(\w+\.\w+)`:\n\n)?^```(python|console|text)\n(.*?)^```", re.DOTALL | re.MULTILINE)
SHOWN = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
NUMBER = re.compile(r"(?<![\w.])[+-]?\d+(?:,\d{3})*\.\d+")
PROGRAMS = {"python": (), "torchrun": ("-m", "torch.distributed.run")}


def outputs(page: Path, folder: Path, command: Command) -> Iterator[tuple[str, str, str]]:
    """Run a page in a folder; yields what was run, what the page shows below it and what was printed.

    A block `python` sees the names of those before it, and a block `text` after it is what it prints. One below a line
    that ends in "`NAME`:" is a file. In a block `console` each command stands after a `$`.
    """
    names: dict[str, Any] = {}
    waiting: tuple[str, str] | None = None
    for number, (file, language, body) in enumerate(BLOCK.findall(page.read_text(encoding="utf-8"))):
        if language == "text":
            assert waiting is not None, f"{page.name}: a block of text that nothing printed"
            yield waiting[0], body, waiting[1]
            waiting = None
            continue
        assert waiting is None or not waiting[1], f"{page.name} does not show what was printed: {waiting[1]}"
        waiting = None
        if file:
            (folder / file).write_text(body, encoding="utf-8")
        elif language == "python":
            path = folder / f"block_{number}.py"
            path.write_text(body, encoding="utf-8")
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                names = runpy.run_path(str(path), init_globals=names)
            waiting = body, printed.getvalue()
        else:
            for line, expected in SHOWN.findall(body):
                yield line, expected, _run(shlex.split(line), folder, command)
    assert waiting is None or not waiting[1], f"{page.name} does not show what was printed: {waiting[1]}"


def assert_same(run: str, shown: str, printed: str) -> None:
    """The same words and whole numbers; of other numbers, the shown digits but for two in the last place.

    Where the page ends in a line `...`, what follows is not compared: it depends on the machine.
    """
    lines = [[line.rstrip() for line in text.splitlines()] for text in (shown, printed)]
    if lines[0][-1:] == ["..."]:
        lines = [text[: len(lines[0]) - 1] for text in lines]
    words = [[NUMBER.sub("#", line).split() for line in text] for text in lines]
    assert words[0] == words[1], f"{run}\nprinted\n{printed}\nand the page shows\n{shown}"
    for one, other in zip(*(NUMBER.findall("\n".join(text)) for text in lines), strict=True):
        bound = 2.01 * 10.0 ** -len(one.split(".")[1])
        assert abs(float(one.replace(",", "")) - float(other.replace(",", ""))) <= bound, (run, one, other)


def load_script(name: str) -> ModuleType:
    """Import a program of scripts/."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _run(words: list[str], folder: Path, command: Command) -> str:
    program, *arguments = words
    if program == "metricgrad":
        found = command(*arguments)
        assert found.code == 0, found.err
        return found.out
    known = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE")}
    done = subprocess.run(
        [sys.executable, *PROGRAMS[program], *arguments],
        cwd=folder,
        env={**known, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
