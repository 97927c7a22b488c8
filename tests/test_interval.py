"""The bootstrap: equal to a plain loop, paired, deterministic, honest about what it cannot say."""

import math

import numpy as np
import pytest
import torch

from metricgrad import interval
from metricgrad.errors import InputError
from metricgrad.interval import bootstrap, mean_of_units, paired_bootstrap


def plain_mean(statistics: torch.Tensor) -> float:
    """The same mean under another name, so that the general road is taken."""
    return mean_of_units(statistics)


def tables(generator: torch.Generator, seeds: int, units: int = 40, undefined: int = 0) -> list[torch.Tensor]:
    """Statistics of several seeds; the first units undefined."""
    found = [torch.rand(units, 1, generator=generator, dtype=torch.float64) for _ in range(seeds)]
    for table in found:
        table[:undefined] = torch.nan
    return found


def by_loop(a, b, summarise, resamples: int, confidence: float, seed: int) -> tuple[float, float]:
    """The definition: draw units, summarise both arms of every seed on them, average, take percentiles."""
    units = len(a[0])
    draws = np.random.default_rng(seed).integers(units, size=(resamples, units))
    found = []
    for draw in torch.from_numpy(draws):
        gains = [summarise(x[draw]) - summarise(y[draw]) for x, y in zip(a, b, strict=True)]
        found.append(sum(gains) / len(gains))
    tail = (1 - confidence) / 2
    return tuple(np.quantile(found, [tail, 1 - tail]))


@pytest.mark.parametrize("summarise", [mean_of_units, plain_mean, lambda rows: float(rows.max())])
@pytest.mark.parametrize("undefined", [0, 5])
def test_equals_a_plain_loop(generator: torch.Generator, summarise, undefined: int) -> None:
    """The matrix product for means and the loop for anything else draw the same units."""
    a, b = tables(generator, 3, undefined=undefined), tables(generator, 3, undefined=undefined)
    if summarise is not mean_of_units:
        a, b = [x.nan_to_num(0.0) for x in a], [x.nan_to_num(0.0) for x in b]
    found = paired_bootstrap(a, b, summarise, resamples=300, confidence=0.9, seed=7)
    low, high = by_loop(a, b, summarise, 300, 0.9, 7)
    torch.testing.assert_close((found.low, found.high), (float(low), float(high)), rtol=0, atol=1e-12)
    gains = tuple(summarise(x) - summarise(y) for x, y in zip(a, b, strict=True))
    torch.testing.assert_close(found.per_seed, gains, rtol=0, atol=1e-12)
    torch.testing.assert_close(found.value, sum(gains) / 3, rtol=0, atol=1e-12)
    assert (found.units, found.confidence, found.resamples) == (40, 0.9, 300)


def test_both_roads_agree(generator: torch.Generator, monkeypatch) -> None:
    """For a mean with undefined units, in chunks too."""
    a, b = tables(generator, 2, undefined=9), tables(generator, 2, undefined=9)
    for chunk in (4_000_000, 400):
        monkeypatch.setattr(interval, "_CHUNK", chunk)
        fast, slow = (
            paired_bootstrap(a, b, summarise, resamples=200) for summarise in (mean_of_units, plain_mean)
        )
        torch.testing.assert_close((fast.low, fast.high), (slow.low, slow.high), rtol=0, atol=1e-12)


def test_pairing_removes_what_is_common(generator: torch.Generator) -> None:
    """A constant gain on units of very different difficulty has an interval of no width."""
    hard = tables(generator, 2)
    found = paired_bootstrap([table + 0.25 for table in hard], hard)
    torch.testing.assert_close((found.low, found.value, found.high), (0.25, 0.25, 0.25), rtol=0, atol=1e-12)
    alone = bootstrap(hard)
    assert alone.low is not None and alone.high is not None and alone.high - alone.low > 0.1


def test_seeds_are_averaged_before_units_are_drawn(generator: torch.Generator) -> None:
    """The interval is that of the per-unit mean over seeds."""
    a = tables(generator, 4)
    found, pooled = bootstrap(a), bootstrap([torch.stack(a).mean(0)])
    torch.testing.assert_close((found.low, found.high), (pooled.low, pooled.high), rtol=0, atol=1e-12)


def test_deterministic_per_seed(generator: torch.Generator) -> None:
    """The same seed gives the same interval, another one does not, and torch's own generator is left alone."""
    a = tables(generator, 1)
    state = torch.get_rng_state()
    assert bootstrap(a, seed=1) == bootstrap(a, seed=1)
    assert bootstrap(a, seed=1) != bootstrap(a, seed=2)
    torch.testing.assert_close(torch.get_rng_state(), state, rtol=0, atol=0)


@pytest.mark.parametrize(
    "table",
    [
        torch.tensor([[0.5]]),
        torch.zeros(0, 1),
        torch.tensor([[0.5], [torch.nan], [torch.nan]]),
        torch.full((4, 1), torch.nan),
    ],
)
def test_too_few_units_have_no_interval(table: torch.Tensor) -> None:
    """Fewer than two defined units: the value alone, without a warning."""
    found = paired_bootstrap([table], [table])
    assert found.low is None and found.high is None and found.resamples == 0
    assert found.value == 0.0 or math.isnan(found.value)


def test_undefined_resamples_are_left_out(generator: torch.Generator) -> None:
    """A summary that needs a rare unit is undefined without it; the others count."""
    table = torch.rand(8, 1, generator=generator)

    def needs_the_first(rows: torch.Tensor) -> float:
        return float(rows.mean()) if bool((rows == table[0]).any()) else math.nan

    found = bootstrap([table], needs_the_first, resamples=500)
    assert found.low is not None and 200 < found.resamples < 450  # 1 - (7/8)^8 = 66 % have it


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: paired_bootstrap([x], [x, x]), "the same number of seeds"),
        (lambda x: bootstrap([]), "at least one"),
        (lambda x: paired_bootstrap([x], [x[1:]]), "the same units"),
        (lambda x: bootstrap([x[:, 0]]), r"\[unit, stat\]"),
        (lambda x: bootstrap([x], confidence=95), "between 0 and 1"),
        (lambda x: bootstrap([x], resamples=0), "at least 1"),
    ],
)
def test_what_does_not_fit_is_refused(call, message: str) -> None:
    """Messages say what came and what was expected."""
    with pytest.raises(InputError, match=message):
        call(torch.rand(5, 1, generator=torch.Generator().manual_seed(0)))


@pytest.mark.slow
def test_coverage(generator: torch.Generator) -> None:
    """The 95 % interval of a mean holds the true mean in about 95 % of 400 data sets of 60 units."""
    covered = 0
    for number in range(400):
        table = torch.rand(60, 1, generator=generator, dtype=torch.float64) ** 2  # true mean 1/3
        found = bootstrap([table], resamples=600, seed=number)
        assert found.low is not None and found.high is not None
        covered += found.low <= 1 / 3 <= found.high
    assert 0.91 <= covered / 400 <= 0.98
