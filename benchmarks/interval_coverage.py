"""How often do the intervals hold the truth? Simulated data, the package's own intervals, a table.

    python -m benchmarks.interval_coverage            # docs/interval-coverage.csv, the page's table (20 minutes)

Each case is simulated 1,000 times from a fixed seed. Units come in groups of equal or unequal sizes (geometric, 5 on
average) and share a part of their fate with their group.

    mean, difference   hits of two arms that are equally good, the difference of their shares
    mean, skewed       one arm, exponential group effects (skewness 2), the mean
    F1, figure         one arm, the F measure of a class of 30 % against its true value
    F1, difference     two arms that are equally good
    ..., two files     accuracy, F1 and recall@1 of two files, measured and compared as `metricgrad compare` does it.
                       The models are equally good; half of the variance of what decides about an error is common to
                       both. Sizes `single`: every row is drawn for itself. recall@1 is drawn by class

With several seeds each has an effect of its own, `seed_effect` times the standard error of one seed from the choice
of units, and half of the units' noise is common to all seeds. Columns: `covered`, percent of the intervals that hold
the truth; `below` and `above`, percent that lie wholly on either side of it (of a difference: false `worse`, false
`gain`); `width`, median width in standard errors of the estimate (3.92 is that of a normal interval).
"""

import csv
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from metricgrad.differences import Differences, Grouping
from metricgrad.interval import Interval, bootstrap, mean_of_units, paired_bootstrap
from metricgrad.metrics import adapt

CSV = Path(__file__).parent.parent / "docs" / "interval-coverage.csv"
PAGE = CSV.parent / "statistics.md"
REPETITIONS, RESAMPLES = 1000, 500
F1 = adapt("f1").summarise
FILES = ("accuracy, two files", "F1, two files", "recall@1, two files")
PRESENT, FOUND, FALSE = 0.3, 0.7, 0.1  # share of the class; share of it that is predicted; of the others


class Case(NamedTuple):
    """What is simulated."""

    figure: str
    groups: int
    sizes: str
    seeds: int = 1
    seed_effect: float = 0.0


def cases() -> Iterator[Case]:
    """Few and many groups for every figure, then several seeds."""
    for figure in ("mean, difference", "mean, skewed", "F1, figure", "F1, difference"):
        for groups in (3, 5, 10, 15, 20, 50, 200):
            yield Case(figure, groups, "unequal")
        for groups in (20, 50, 200):
            yield Case(figure, groups, "equal")
    for figure in FILES:
        for groups in (20, 50, 200):
            yield Case(figure, groups, "unequal")
        if figure != "recall@1, two files":
            for rows in (100, 1000):
                yield Case(figure, rows, "single")
    for seeds in (3, 5):
        for effect in (0.0, 1.0, 3.0):
            for groups in (20, 200):
                yield Case("mean, difference", groups, "unequal", seeds, effect)


def simulated(case: Case, random: np.random.Generator) -> tuple[Interval, float]:
    """One data set's interval, and the truth."""
    if case.sizes == "unequal":
        sizes = random.geometric(0.2, case.groups)
    else:
        sizes = np.full(case.groups, 1 if case.sizes == "single" else 5)
    groups = torch.from_numpy(np.repeat(np.arange(case.groups), sizes))
    settings = {"groups": groups, "resamples": RESAMPLES, "seed": int(random.integers(2**31))}
    if case.figure in FILES:
        return _two_files(case, sizes, random), 0.0
    if case.seeds > 1:
        arms = _with_seeds(case, sizes, random)
        return paired_bootstrap(arms, [torch.zeros_like(arms[0])] * case.seeds, **settings), 0.0
    if case.figure == "mean, difference":
        ease = random.beta(1.0, 1.0, case.groups)
        arms = [_hits(np.clip(ease + random.normal(0, 0.2, case.groups), 0, 1), sizes, random) for _ in "ab"]
        return paired_bootstrap([arms[0]], [arms[1]], mean_of_units, **settings), 0.0
    if case.figure == "mean, skewed":
        values = np.repeat(random.exponential(1.0, case.groups), sizes) + random.normal(0, 1, sizes.sum())
        return bootstrap([torch.from_numpy(values)[:, None]], mean_of_units, **settings), 1.0
    if case.figure == "F1, figure":
        truth = 2 * PRESENT * FOUND / (PRESENT * (1 + FOUND) + (1 - PRESENT) * FALSE)
        return bootstrap([_rows(sizes, random)], F1, **settings), truth
    present = _present(sizes, random)
    a, b = (_rows(sizes, random, present) for _ in "ab")
    return paired_bootstrap([a], [b], F1, **settings), 0.0


def _hits(ease: np.ndarray, sizes: np.ndarray, random: np.random.Generator) -> Tensor:
    """1 for a hit, of units whose groups are more or less easy."""
    return torch.from_numpy(random.random(sizes.sum()) < np.repeat(ease, sizes)).double()[:, None]


def _present(sizes: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Whether the class is there, more often in some groups than in others: 30 % on average."""
    share = random.beta(3 * PRESENT, 3 * (1 - PRESENT), len(sizes))
    return random.random(sizes.sum()) < np.repeat(share, sizes)


def _rows(sizes: np.ndarray, random: np.random.Generator, present: np.ndarray | None = None) -> Tensor:
    """(predicted, present) of every unit; some groups are found better than others."""
    present = _present(sizes, random) if present is None else present
    shares = [random.beta(4 * mean, 4 * (1 - mean), len(sizes)) for mean in (FOUND, FALSE)]
    found, false = (np.repeat(share, sizes) for share in shares)
    predicted = random.random(sizes.sum()) < np.where(present, found, false)
    return torch.from_numpy(np.stack([predicted, present], 1)).double()


def _two_files(case: Case, sizes: np.ndarray, random: np.random.Generator) -> Interval:
    """The difference of two files of the same rows, measured and compared as the command does it."""
    metric, groups = (
        adapt(case.figure.split(",")[0]),
        torch.from_numpy(np.repeat(np.arange(case.groups), sizes)),
    )
    if metric.unit == "query":
        centres = np.repeat(random.normal(size=(case.groups, 8)), sizes, 0)
        common = centres + random.normal(0, 0.5, centres.shape)
        outputs = [torch.from_numpy(common + random.normal(0, 0.5, centres.shape)) for _ in "ab"]
        targets, grouping = groups, Grouping(groups, "class")
    else:
        present = _present(sizes, random)
        common = np.repeat(random.normal(0, 0.5, case.groups), sizes) + random.normal(0, 0.5, len(present))
        limit = np.where(present, *(NormalDist().inv_cdf(share) for share in (1 - FOUND, FALSE)))
        wrong = [common + random.normal(0, np.sqrt(0.5), len(present)) < limit for _ in "ab"]
        outputs = [torch.from_numpy(present != one).long() for one in wrong]
        targets = torch.from_numpy(present).long()
        grouping = None if case.sizes == "single" else Grouping(groups, "group")
    statistics = {name: [metric.measure(one, targets)] for name, one in zip("ab", outputs, strict=True)}
    compared = Differences(metric, statistics, grouping, RESAMPLES, seed=int(random.integers(2**31)))
    return compared.interval({"b": 1.0, "a": -1.0})


def _with_seeds(case: Case, sizes: np.ndarray, random: np.random.Generator) -> list[Tensor]:
    """Differences of every seed: group effects of all seeds and of each, noise of units, an effect of the seed."""
    units = sizes.sum()
    error = np.sqrt(
        (0.5 * (sizes**2).sum() + 0.5 * units) / units**2
    )  # of one seed, from the choice of units
    common = np.repeat(random.normal(0, 0.5, case.groups), sizes) + random.normal(0, 0.5, units)
    effects = random.normal(0, case.seed_effect * error, case.seeds)
    own = (
        np.repeat(random.normal(0, 0.5, case.groups), sizes) + random.normal(0, 0.5, units) for _ in effects
    )
    return [
        torch.from_numpy(common + one + effect)[:, None] for one, effect in zip(own, effects, strict=True)
    ]


def measured(case: Case, repetitions: int = REPETITIONS) -> dict[str, object]:
    """Simulate one case."""
    random = np.random.default_rng(zlib.crc32(repr(tuple(case)).encode()))
    found = [simulated(case, random) for _ in range(repetitions)]
    low = np.array([np.nan if one.low is None else one.low for one, _ in found])
    high = np.array([np.nan if one.high is None else one.high for one, _ in found])
    values, truth = np.array([one.value for one, _ in found]), np.array([truth for _, truth in found])
    kept = np.isfinite(low) & np.isfinite(values)  # data sets with a figure
    low, high, values, truth = (part[kept] for part in (low, high, values, truth))
    covered = 100 * np.mean((low <= truth) & (truth <= high))
    below, above = 100 * np.mean(high < truth), 100 * np.mean(low > truth)
    return {
        **case._asdict(),
        "covered": f"{covered:.1f}",
        "below": f"{below:.1f}",
        "above": f"{above:.1f}",
        "width": f"{np.median(high - low) / values.std():.2f}",
    }


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """The rows as the page shows them."""
    titles = ["figure", "groups", "sizes", "seeds", "seed effect", "covered", "below", "above", "width"]
    lines = [titles, ["---"] * len(titles), *([str(cell) for cell in row.values()] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def main() -> None:
    """Write the CSV and put the table into the page."""
    rows = []
    for case in cases():
        rows.append(measured(case))
        sys.stderr.write(f"{rows[-1]}\n")
    with CSV.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    before, _, rest = PAGE.read_text(encoding="utf-8").partition("| figure | groups |")
    after = rest[rest.index("\n\n") :]
    PAGE.write_text(before + table(rows) + after, encoding="utf-8")


if __name__ == "__main__":
    main()
