"""Closed forms of 1,000,000 x 384 vectors of 5,000 classes, read from a memory map, beside scikit-learn.

    scripts/bench -k projection

Every contestant fits in a process of its own: the whole grid of 55 forms, LDA alone and PCA alone; then scikit-learn's
LinearDiscriminantAnalysis (eigenvalue solver, the same shrinkage) and PCA (covariance solver). The peak counts
everything that the process holds, the pages of the map too. One thread; seconds are those of the processor, so that
other work on the machine does not count.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.results import keep

ROWS, DIMS, CLASSES, KEPT = 1_000_000, 384, 5_000, 128
MOST_BYTES = 4e9


def grid(x: Any, y: Any) -> None:
    """Every form, one after the other."""
    from metricgrad.projection import label_grid

    assert sum(1 for _ in label_grid(x, y)) == 55


def lda(x: Any, y: Any) -> None:
    """One form of the grid."""
    from metricgrad.projection import LDA

    LDA(shrinkage=0.1, dims=KEPT).fit(x, y)


def pca(x: Any, y: Any) -> None:
    """One without labels."""
    from metricgrad.projection import PCA

    PCA(KEPT).fit(x)


def lda_of_scikit_learn(x: Any, y: Any) -> None:
    """Its solver that takes a shrinkage."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    LinearDiscriminantAnalysis(solver="eigen", shrinkage=0.1, n_components=KEPT).fit(x, y)


def pca_of_scikit_learn(x: Any, y: Any) -> None:
    """Its solver for many rows."""
    from sklearn.decomposition import PCA

    PCA(n_components=KEPT, svd_solver="covariance_eigh").fit(x)


CONTESTANTS: dict[str, Callable[[Any, Any], None]] = {
    "grid": grid,
    "lda": lda,
    "lda_sklearn": lda_of_scikit_learn,
    "pca": pca,
    "pca_sklearn": pca_of_scikit_learn,
}


def write(folder: Path) -> None:
    """Vectors around the centres of their classes."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, CLASSES, ROWS)
    centres = rng.standard_normal((CLASSES, DIMS), dtype=np.float32)
    x = np.lib.format.open_memmap(folder / "x.npy", "w+", np.float32, (ROWS, DIMS))
    for part in range(0, ROWS, 50_000):
        labels = y[part : part + 50_000]
        x[part : part + 50_000] = (
            centres[labels] + 2 * rng.standard_normal((len(labels), DIMS), dtype=np.float32) + 1
        )
    x.flush()
    np.save(folder / "y.npy", y)


def measured(name: str, folder: Path) -> dict[str, float]:
    """Seconds and peak bytes of a contestant in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.test_projection", name, str(folder)]
    one_thread = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, **one_thread}
    )
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.alone
def test_projection(tmp_path: Path) -> None:
    """Print and keep times and peaks; hold the 4 GB."""
    write(tmp_path)
    found = {name: measured(name, tmp_path) for name in CONTESTANTS}
    for name, one in found.items():
        print(f"\n  {name:12} {one['seconds']:7.1f} s {one['peak'] / 1e9:6.2f} GB", end="")
    ratios = {
        f"{name}_ratio": found[f"{name}_sklearn"]["seconds"] / found[name]["seconds"]
        for name in ("lda", "pca")
    }
    print("\n  times scikit-learn / ours:", ", ".join(f"{key} {value:.1f}" for key, value in ratios.items()))
    seconds = {f"{name}_s": one["seconds"] for name, one in found.items()}
    peaks = {f"{name}_peak_gb": one["peak"] / 1e9 for name, one in found.items()}
    keep("projection", {**seconds, **peaks, **ratios})
    assert found["grid"]["peak"] < MOST_BYTES
    assert found["lda"]["peak"] < MOST_BYTES


if __name__ == "__main__":
    contestant, place = sys.argv[1:]
    rows, labels = np.load(f"{place}/x.npy", mmap_mode="r"), np.load(f"{place}/y.npy")
    CONTESTANTS[contestant](rows[:20_000], labels[:20_000])  # imports, and whatever else is done once
    start = time.process_time()
    CONTESTANTS[contestant](rows, labels)
    spent = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": spent, "peak": peak}))
