"""How long a person waits for `metricgrad --help`, as a whole process, beside an empty one and one that imports typer.

    scripts/bench -k help

They take turns; figures are medians of 11 processes, and processor seconds of the process, which a busy machine does
not lengthen. What a command shows of itself needs neither torch nor numpy: the last line says whether they were
imported.
"""

import os
import statistics
import subprocess
import sys
import time

from benchmarks.results import keep

ROUNDS = 11
CONTESTANTS = {
    "empty": ["-c", "pass"],
    "typer": ["-c", "import typer"],
    "help": ["-m", "metricgrad", "--help"],
    "tune_help": ["-m", "metricgrad", "tune", "--help"],
}


def _seconds(arguments: list[str]) -> tuple[float, float]:
    """Seconds by the clock and of the processor of a process."""
    before, start = os.times(), time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    spent = after.children_user - before.children_user + after.children_system - before.children_system
    return time.perf_counter() - start, spent


def test_help() -> None:
    """Both kinds of seconds are kept."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in CONTESTANTS}
    for turn in range(ROUNDS + 1):
        for name, arguments in CONTESTANTS.items():
            one = _seconds(arguments)
            if turn:  # the first turn reads the files from the disk
                found[name].append(one)
    figures: dict[str, float] = {}
    for name, each in found.items():
        clock, spent = (statistics.median(part) for part in zip(*each, strict=True))
        figures |= {f"{name}_ms": 1e3 * clock, f"{name}_cpu_ms": 1e3 * spent}
    imported = "import sys, metricgrad.cli.app; print(*(name in sys.modules for name in ('torch', 'numpy')))"
    heavy = subprocess.run(
        [sys.executable, "-c", imported], check=True, capture_output=True, text=True
    ).stdout
    print("\n".join(f"{name:18} {value:7.1f}" for name, value in figures.items()))
    print(f"torch, numpy imported: {heavy.strip()}")
    keep("help", figures)
    assert heavy.split() == ["False", "False"]
