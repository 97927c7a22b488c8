"""Is what a search found better than what there was? Paired bootstrap, two halves, permuted labels.

A black-box search chooses among many candidates by their value on one pool; the value of the best is too high. Nothing
is accepted by it: only by what resamples, the other half or locked data say.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from metricgrad._checks import Number, Whole, fail, finite_number, whole_number
from metricgrad._labels import Labels
from metricgrad._resampling import Resamples, Summary, mean_of_units, resampled
from metricgrad.errors import InputError

__all__ = [
    "MOST_UNDEFINED",
    "CrossFit",
    "Gain",
    "Permutations",
    "cross_fit_gain",
    "paired_bootstrap",
    "paired_bootstrap_of_calls",
    "permutation_check",
]

MOST_UNDEFINED = 0.2
"""Share of the resamples that may be without a value."""


class Gain(NamedTuple):
    """A challenger beside the incumbent, on the same resamples; positive is better, whatever the metric's direction.

    Attributes:
        difference: on all items.
        mean: over the resamples.
        standard_error: deviation of the resamples (n - 1).
        lower: the alpha-quantile (linear) of the resamples.
        accept: whether lower > 0.
        resamples: that had a value for both.
        undefined: that had none, and are left out.
    """

    difference: float
    mean: float
    standard_error: float
    lower: float
    accept: bool
    resamples: int
    undefined: int


def paired_bootstrap(
    challenger: Float[Tensor, "unit stat"],
    incumbent: Float[Tensor, "unit stat"],
    summarise: Summary = mean_of_units,
    *,
    groups: Labels | None = None,
    resamples: Whole | Int[np.ndarray, "resample group"] = 1000,
    alpha: Number = 0.05,
    seed: int = 0,
    maximize: bool = True,
) -> Gain:
    """Compare two models by the statistics of the same units; accept the challenger if the lower bound is above 0.

    Args:
        challenger: what `Metric.measure` gives for it.
        incumbent: the same of the model it is to replace.
        summarise: statistics to value, `Metric.summarise`.
        groups: a label per unit; whole groups (queries) are drawn.
        resamples: how many; or the draws themselves.
        alpha: of the one-sided bound, in (0, 0.5].
        seed: of the draws; both models see the same ones.
        maximize: whether higher values are better.

    Raises:
        InputError: more than a fifth of the resamples without a value; other units; fewer than two groups; alpha
            outside (0, 0.5].

    Edge cases:
        A unit that is undefined (NaN) for one model is left out of both. Identical models: not accepted. A resample
        without a value for one model is left out of both.

    Cost:
        `resamples` summaries of each model; a summary with `of_counts` takes all at once.

    Reference:
        [koehn2004significance]

    Example:
        >>> right = torch.tensor([[1.0], [1.0], [0.0], [1.0]]).repeat(5, 1)
        >>> paired_bootstrap(right, 1 - right).accept, paired_bootstrap(right, right).accept
        (True, False)
    """
    table = resampled(
        "paired_bootstrap",
        {"challenger": [challenger], "incumbent": [incumbent]},
        summarise,
        groups=groups,
        resamples=resamples
        if isinstance(resamples, np.ndarray) and resamples.ndim
        else whole_number("paired_bootstrap", "resamples", resamples),
        seed=seed,
    )
    return _gain("paired_bootstrap", table, alpha, maximize)


def paired_bootstrap_of_calls(
    challenger: Callable[[Int[Tensor, " row"]], float],
    incumbent: Callable[[Int[Tensor, " row"]], float],
    items: Whole,
    *,
    groups: Labels | None = None,
    resamples: Whole | Int[np.ndarray, "resample group"] = 1000,
    alpha: Number = 0.05,
    seed: int = 0,
    maximize: bool = True,
) -> Gain:
    """The same for a metric that is one number for a set: it is called on every resample of stored predictions.

    Args:
        challenger: numbers of items (with repetitions) to the metric of its predictions on them. NaN, infinite or
            `MetricFailed`: the resample has no value.
        incumbent: the same of the model it is to replace.
        items: how many there are.
        groups: a label per item; whole groups are drawn.
        resamples: how many; or the draws themselves.
        alpha: of the one-sided bound, in (0, 0.5].
        seed: of the draws.
        maximize: whether higher values are better.

    Raises:
        InputError: as `paired_bootstrap`.

    Cost:
        `resamples + 1` calls of each.

    Reference:
        [koehn2004significance]

    Example:
        >>> right = torch.tensor([1.0, 1.0, 0.0, 1.0, 1.0, 1.0])
        >>> mean = lambda rows: float(right[rows].mean())
        >>> paired_bootstrap_of_calls(mean, lambda rows: 1 - mean(rows), 6, resamples=200).difference
        0.666666...
    """
    count = whole_number("paired_bootstrap_of_calls", "items", items)
    rows = torch.arange(count, dtype=torch.float64)[:, None]

    def value(drawn: Float[Tensor, "unit stat"]) -> float:
        numbers = drawn[:, 0].long()
        model = challenger if not len(numbers) or numbers[0] < count else incumbent
        return float(model(numbers % count))

    table = resampled(
        "paired_bootstrap_of_calls",
        {"challenger": [rows], "incumbent": [rows + count]},
        value,
        groups=groups,
        resamples=resamples
        if isinstance(resamples, np.ndarray) and resamples.ndim
        else whole_number("paired_bootstrap_of_calls", "resamples", resamples),
        seed=seed,
    )
    return _gain("paired_bootstrap_of_calls", table, alpha, maximize)


def _gain(caller: str, table: Resamples, alpha: Number, maximize: bool) -> Gain:
    level = finite_number(caller, "alpha", alpha)
    if not 0 < level <= 0.5:
        raise fail(caller, f"alpha is {alpha!r}", "a number in (0, 0.5]")
    if table.groups < 2:
        raise fail(caller, f"there are {table.groups} groups of defined units", "at least 2 to resample")
    total = len(table.drawn) + table.undefined
    if total < 2:
        raise fail(caller, "resamples is 1", "at least 2")
    if table.undefined > MOST_UNDEFINED * total:
        raise InputError(
            f"{caller}: the metric has no value on {table.undefined} of {total} resamples; at most "
            f"{MOST_UNDEFINED:.0%} may be without one. Use more items, or a metric that is defined on them."
        )
    sign = 1.0 if maximize else -1.0
    rises = sign * (table.drawn[:, 0, 0] - table.drawn[:, 1, 0])
    lower = float(np.quantile(rises, level))
    return Gain(
        difference=sign * float(table.values[0, 0] - table.values[1, 0]),
        mean=float(rises.mean()),
        standard_error=float(rises.std(ddof=1)),
        lower=lower,
        accept=lower > 0,
        resamples=len(rises),
        undefined=table.undefined,
    )


class CrossFit(NamedTuple):
    """What two searches say, each judged on the half that it did not see.

    Attributes:
        point: mean of the two points that were found.
        gains: out of half, of each.
        mean: of the gains.
        accept: whether the mean is above 0.
    """

    point: Tensor
    gains: tuple[float, float]
    mean: float
    accept: bool


def cross_fit_gain(
    search: Callable[[Int[Tensor, " row"]], Float[Tensor, " term"]],
    gain: Callable[[Float[Tensor, " term"], Int[Tensor, " row"]], float],
    halves: tuple[Int[Tensor, " one"], Int[Tensor, " other"]],
) -> CrossFit:
    """Search on one half and score on the other, both ways round; keep the mean point if the mean gain is above 0.

    Args:
        search: rows of the pool to the point found on them (`elite_mean`).
        gain: (point, rows) to how much better than the start it is there, positive is better.
        halves: numbers of rows; none may be in both.

    Raises:
        InputError: a row in both halves, an empty half; a gain that is not finite.

    Edge cases:
        A gain of exactly 0 is not accepted: the start stays.

    Cost:
        Two searches.

    Reference:
        [chernozhukov2018dml] for fitting across halves.

    Example:
        >>> halves = torch.tensor([0, 1]), torch.tensor([2, 3])
        >>> cross_fit_gain(lambda rows: rows[:1].double(), lambda point, rows: 0.1, halves).accept
        True
    """
    one, other = halves
    shared = set(one.tolist()) & set(other.tolist())
    if shared or not len(one) or not len(other):
        raise fail(
            "cross_fit_gain",
            f"halves of {len(one)} and {len(other)} rows share {len(shared)}",
            "two halves with rows, none in both",
        )
    points = search(one), search(other)
    gains = float(gain(points[0], other)), float(gain(points[1], one))
    if not np.isfinite(gains).all():
        raise fail(
            "cross_fit_gain", f"gains are {gains}", "finite numbers", "Is the metric defined on a half?"
        )
    mean = sum(gains) / 2
    return CrossFit((points[0] + points[1]) / 2, gains, mean, mean > 0)


class Permutations(NamedTuple):
    """What searches with permuted labels gain on locked data, where there is nothing to be gained.

    Attributes:
        gains: of each search.
        mean: of them.
        standard_error: of the mean.
        passed: whether the mean is 0 within two standard errors.
    """

    gains: tuple[float, ...]
    mean: float
    standard_error: float
    passed: bool


def permutation_check(
    search: Callable[[torch.Generator], float], n: Whole = 5, *, seed: int = 0
) -> Permutations:
    """Repeat a whole search with permuted labels: its gain on locked data must be 0 within two standard errors.

    A gain that stays is a leak: locked data reached the search. Of a metric that is not 0 on labels without meaning
    (accuracy, F1) permute the locked labels, too, and mind that shares of classes alone can be learned: MCC is 0 there.

    Args:
        search: runs everything with labels of fit and pool permuted by the generator it is handed
            (`labels[torch.randperm(len(labels), generator=generator)]`) and returns the locked gain.
        n: repetitions, at least 2.
        seed: of the permutations; each repetition has its own.

    Raises:
        InputError: n < 2; a gain that is not finite.

    Edge cases:
        Searches that all return the start have gains of 0 and pass.

    Cost:
        n searches.

    Reference:
        [ojala2010permutation]

    Example:
        >>> permutation_check(lambda generator: float(torch.randn((), generator=generator))).passed
        True
    """
    count = whole_number("permutation_check", "n", n, least=2)
    gains = [
        float(search(torch.Generator().manual_seed(_seed_of(seed, repetition))))
        for repetition in range(count)
    ]
    return _permutations(gains)


def _seed_of(seed: int, repetition: int) -> int:
    """A seed for each repetition, of no sum with another one."""
    return int(np.random.SeedSequence([seed, repetition]).generate_state(1)[0])


def _permutations(gains: Sequence[float]) -> Permutations:
    if not np.isfinite(gains).all():
        raise fail("permutation_check", f"gains are {list(gains)}", "finite numbers")
    mean = float(np.mean(gains))
    error = float(np.std(gains, ddof=1)) / len(gains) ** 0.5
    return Permutations(tuple(gains), mean, error, abs(mean) <= 2 * error)
