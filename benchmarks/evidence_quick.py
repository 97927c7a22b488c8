"""The headlines of the README trained again with one seed each, two at a time: scripts/evidence --quick."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from metricgrad.tune import Comparison
from metricgrad.tune.compared import Row

ROOT = Path(__file__).parent.parent
HEADLINES, RUNS = ROOT / "evidence" / "headlines", ROOT / "runs" / "evidence-quick"
AT_ONCE = 2
LEFT_OUT = (
    "Left out: NDCG@10 of the descriptions of packages. Its sentence vectors alone take longer than all others "
    "together (python -m benchmarks.large_batches text_retrieval)."
)


def run(recipe: Path) -> Comparison:
    """Train a recipe as a user does, in a folder that a run of before is not in.

    Raises:
        RuntimeError: the command failed; its last words.
    """
    folder = RUNS / f"{recipe.stem}-{int(time.time())}"
    command = [sys.executable, "-m", "metricgrad", "compare", str(recipe), "--run", str(folder), "--quiet"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    found = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if found.returncode:
        raise RuntimeError(f"{recipe.stem}: {found.stderr.strip()[-500:]}")
    return Comparison.load(folder)


def lines(name: str, found: Comparison) -> Iterator[str]:
    """Of every contender: both values, the gain, and whether that is resolved."""
    (control,) = [row for row in found.table if row.baseline]
    for row in found.table:
        if row.role == "contender":
            values = f"{row.name:17} {row.value:10.4f}  {control.name:14} {control.value:10.4f}"
            gain = f"{row.gain:+9.4f} ({row.gain_low:+.4f} to {row.gain_high:+.4f})"
            yield f"{name:16} {found.metric:20} {values}  {gain}  {verdict(row)}"


def verdict(row: Row) -> str:
    """`gain` or `worse` where the interval leaves out 0; else it is not resolved by so few seeds and items.

    Example:
        >>> from types import SimpleNamespace
        >>> (
        ...     verdict(SimpleNamespace(gain_low=-0.1, gain_high=0.2)),
        ...     verdict(SimpleNamespace(gain_low=0.1, gain_high=0.2)),
        ... )
        ('not resolved', 'gain')
    """
    if row.gain_low is None or row.gain_high is None or row.gain_low <= 0 <= row.gain_high:
        return "not resolved"
    return "gain" if row.gain_low > 0 else "worse"


def quick() -> int:
    """Train all headlines and print a line of each as it comes; 1 where one failed, else 0."""
    began, failed = time.monotonic(), 0
    recipes = sorted(HEADLINES.glob("*.yaml"))
    print(f"{len(recipes)} headlines, one seed, {AT_ONCE} at a time", file=sys.stderr, flush=True)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for recipe, running in [(recipe, pool.submit(run, recipe)) for recipe in recipes]:
            try:
                for line in lines(recipe.stem[2:], running.result()):
                    print(line, flush=True)
            except RuntimeError as error:
                failed = 1
                print(f"failed: {error}", flush=True)
    print(f"{LEFT_OUT}\nOne seed: intervals are of these models, not of the methods. {_minutes(began)}")
    return failed


def _minutes(began: float) -> str:
    return f"{(time.monotonic() - began) / 60:.1f} minutes."
