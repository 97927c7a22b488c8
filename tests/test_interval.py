"""The bootstrap: equal to a plain loop, paired, deterministic, honest about what it cannot say."""

import math

import numpy as np
import pytest
import torch

from metricgrad import _resampling
from metricgrad._resampling import resampled
from metricgrad.errors import InputError, MetricFailed
from metricgrad.interval import (
    Interval,
    bootstrap,
    holm,
    interval_of,
    mean_of_units,
    p_value,
    paired_bootstrap,
)


def plain_mean(statistics: torch.Tensor) -> float:
    """The same mean under another name, so that the general road is taken."""
    return mean_of_units(statistics)


def tables(generator: torch.Generator, seeds: int, units: int = 40, undefined: int = 0) -> list[torch.Tensor]:
    """Statistics of several seeds; the first units undefined."""
    found = [torch.rand(units, 1, generator=generator, dtype=torch.float64) for _ in range(seeds)]
    for table in found:
        table[:undefined] = torch.nan
    return found


def width(found: Interval) -> float:
    """How wide an interval is."""
    assert found.low is not None and found.high is not None
    return found.high - found.low


def by_loop(a, b, summarise, groups, resamples: int, seed: int) -> np.ndarray:
    """The definition: draw groups, take their units, summarise both arms of every seed: [resample, seed]."""
    groups = torch.as_tensor(groups)
    random = np.random.default_rng(seed)
    found = []
    for draw in random.integers(int(groups.max()) + 1, size=(resamples, int(groups.max()) + 1)):
        rows = torch.cat([(groups == group).nonzero()[:, 0] for group in draw.tolist()])
        found.append([summarise(x[rows]) - summarise(y[rows]) for x, y in zip(a, b, strict=True)])
    return np.array(found)


class ByCounts:
    """The mean as a summary that takes how often each unit comes."""

    def __call__(self, statistics: torch.Tensor) -> float:
        """Mean of the first column."""
        return mean_of_units(statistics)

    def of_counts(self, statistics: torch.Tensor):
        """Weighted means."""
        return lambda times: times @ statistics[:, 0] / times.sum(-1)


@pytest.mark.parametrize("summarise", [mean_of_units, plain_mean, ByCounts(), lambda rows: float(rows.max())])
@pytest.mark.parametrize(
    "groups", [list(range(40)), [number % 7 for number in range(40)], [0] * 5 + [1] * 35]
)
def test_draws_are_those_of_a_plain_loop(generator: torch.Generator, summarise, groups: list[int]) -> None:
    """The matrix product for means, the counts and the loop for anything else draw the same groups."""
    arms = {name: tables(generator, 2) for name in "ab"}
    found = resampled("test", arms, summarise, groups=groups, resamples=50, seed=7)
    expected = by_loop(arms["a"], arms["b"], summarise, groups, 50, 7)
    np.testing.assert_allclose(found.drawn[:, 0] - found.drawn[:, 1], expected, rtol=0, atol=1e-12)
    sizes = np.bincount(groups)
    assert (found.units, found.groups, found.left_out) == (40, len(sizes), 0)
    assert math.isclose(found.effective, 40**2 / (sizes**2).sum())


def test_one_or_two_seeds_have_a_percentile_interval_widened_by_students_t(
    generator: torch.Generator,
) -> None:
    """The ends lie as far from the middle as the percentiles do, times sqrt(n / (n - 1)) t / z."""
    a, b = tables(generator, 2), tables(generator, 2)
    found = paired_bootstrap(a, b, resamples=300, confidence=0.9, seed=7)
    drawn = by_loop(a, b, mean_of_units, range(40), 300, 7).mean(1)
    widen = math.sqrt(40 / 39) * 1.6848751 / 1.6448536  # t with 39 degrees of freedom, normal: 5 % above
    ends = drawn.mean() + widen * (np.quantile(drawn, [0.05, 0.95]) - drawn.mean())
    np.testing.assert_allclose((found.low, found.high), ends, rtol=0, atol=1e-8)
    gains = tuple(mean_of_units(x) - mean_of_units(y) for x, y in zip(a, b, strict=True))
    torch.testing.assert_close(found.per_seed, gains, rtol=0, atol=1e-12)
    torch.testing.assert_close(found.value, sum(gains) / 2, rtol=0, atol=1e-12)
    assert (found.units, found.confidence, found.resamples, found.seed_error) == (40, 0.9, 300, None)


def test_three_seeds_bring_their_own_variance(generator: torch.Generator) -> None:
    """Seeds that shift all units alike: the interval is Student's of the three figures, with two degrees of freedom."""
    unit = torch.rand(50, 1, generator=generator, dtype=torch.float64)
    shifts = torch.tensor([0.1, 0.4, 0.7], dtype=torch.float64)
    found = paired_bootstrap([unit + shift for shift in shifts], [unit] * 3)
    half = 4.3026527 * float(shifts.std()) / math.sqrt(3)
    torch.testing.assert_close((found.low, found.high), (0.4 - half, 0.4 + half), rtol=0, atol=1e-5)
    assert found.seed_error == pytest.approx(float(shifts.std()) / math.sqrt(3))
    assert found.unit_error == pytest.approx(0.0, abs=1e-12)


def test_seeds_never_make_the_interval_narrower(generator: torch.Generator) -> None:
    """Three seeds that happen to agree exactly: the interval over units alone remains."""
    a = tables(generator, 1)[0]
    moved = [a.roll(number, 0) for number in range(3)]  # the same mean on other units
    three, pooled = bootstrap(moved), bootstrap([torch.stack(moved).mean(0)])
    torch.testing.assert_close((three.low, three.high), (pooled.low, pooled.high), rtol=0, atol=1e-9)


def test_chunks_and_watching_change_nothing(generator: torch.Generator, monkeypatch) -> None:
    """Any size of chunk gives the same draws; who watches is told how far they are."""
    a, b = tables(generator, 2, undefined=9), tables(generator, 2, undefined=9)
    told = []
    whole = paired_bootstrap(a, b, ByCounts(), resamples=200, watch=lambda *done: told.append(done))
    monkeypatch.setattr(_resampling, "_CHUNK", 400)
    for summarise in (ByCounts(), mean_of_units, plain_mean):
        found = paired_bootstrap(a, b, summarise, resamples=200, watch=lambda *done: told.append(done))
        torch.testing.assert_close((found.low, found.high), (whole.low, whole.high), rtol=0, atol=1e-9)
    assert told[0] == (200, 200) and told[1] == (12, 200) and told[-1] == (200, 200)


@pytest.mark.parametrize("arm", ["a", "b"])
@pytest.mark.parametrize("summarise", [mean_of_units, plain_mean, ByCounts()])
def test_units_that_one_arm_leaves_undefined_count_in_none(
    generator: torch.Generator, arm: str, summarise
) -> None:
    """Two arms that are equal wherever both are defined differ by nothing, and the others are counted."""
    full = tables(generator, 2, units=60)
    holes = [table.clone() for table in full]
    holes[0][:10], holes[1][5:25] = torch.nan, torch.nan
    a, b = (holes, full) if arm == "a" else (full, holes)
    found = paired_bootstrap(a, b, summarise, resamples=100)
    assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0)
    assert (found.units, found.left_out) == (35, 25)


def test_groups_share_their_fate(generator: torch.Generator) -> None:
    """Ten copies of every unit: by group the interval is that of the units, whatever labels name the groups."""
    unit = torch.rand(30, 1, generator=generator, dtype=torch.float64)
    copies = unit.repeat_interleave(10, 0)
    alone = bootstrap([unit])
    for labels in (torch.arange(30), [f"class {number:02d}" for number in range(30)], np.arange(30) * 10**15):
        by_group = bootstrap([copies], groups=np.repeat(np.asarray(labels), 10))
        torch.testing.assert_close((by_group.low, by_group.high), (alone.low, alone.high), rtol=0, atol=1e-9)
    taken_for_many = bootstrap([copies])
    assert width(taken_for_many) < 0.5 * width(alone)


def test_a_giant_group_counts_as_little(generator: torch.Generator) -> None:
    """Of 30 groups one that holds nine tenths of the units leaves the interval as wide as that of two."""
    table = torch.rand(300, 1, generator=generator, dtype=torch.float64)
    groups = [0] * 270 + list(range(1, 31))
    found = bootstrap([table], groups=groups)
    assert found.groups == 31 and found.effective < 1.3
    assert width(found) > 1.0


@pytest.mark.parametrize("units", [2, 4, 9])
def test_few_units_do_not_make_a_gain(units: int) -> None:
    """No effect: the interval lies above 0 in about one of forty data sets, however few the units are."""
    random = np.random.default_rng(units)
    tables = (torch.from_numpy(random.normal(size=(units, 1))) for _ in range(200))
    gains = sum((bootstrap([table], resamples=200).low or -1.0) > 0 for table in tables)
    assert gains / 200 <= 0.06


def test_pairing_removes_what_is_common(generator: torch.Generator) -> None:
    """A constant gain on units of very different difficulty has an interval of no width."""
    hard = tables(generator, 2)
    found = paired_bootstrap([table + 0.25 for table in hard], hard)
    torch.testing.assert_close((found.low, found.value, found.high), (0.25, 0.25, 0.25), rtol=0, atol=1e-12)
    alone = bootstrap(hard)
    assert alone.low is not None and alone.high is not None and alone.high - alone.low > 0.1


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


def test_a_summary_that_fails_or_is_infinite_leaves_a_resample_out() -> None:
    """`MetricFailed` and infinities are undefined values; any other exception is a fault and goes through."""
    table = torch.arange(8.0)[:, None]

    def fails(rows: torch.Tensor) -> float:
        if not bool((rows == 0).any()):
            raise MetricFailed("no zero was drawn")
        return float("inf") if not bool((rows == 1).any()) else float(rows.mean())

    found = bootstrap([table], fails, resamples=300)
    assert found.low is not None and found.undefined > 100 and found.resamples + found.undefined == 300

    def broken(rows: torch.Tensor) -> float:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        bootstrap([table], broken)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: paired_bootstrap([x], [x, x]), "the same number of seeds"),
        (lambda x: bootstrap([]), "at least one"),
        (lambda x: paired_bootstrap([x], [x[1:]]), "the same units"),
        (lambda x: bootstrap([x[:, 0]]), r"\[unit, stat\]"),
        (lambda x: bootstrap([x], confidence=95), "between 0 and 1"),
        (lambda x: bootstrap([x], resamples=0), "at least 1"),
        (lambda x: bootstrap([x], groups=[1, 1, 2]), "one for each of the 5 units"),
        (lambda x: bootstrap([x], groups=["a", None, "b", "c", "d"]), r"groups\[1\] is None"),
        (lambda x: bootstrap([x], groups=torch.rand(5)), "groups"),
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


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_an_arm_on_which_the_metric_fails_leaves_the_others_their_values(failing: int) -> None:
    """Its own figures, and differences from it, are undefined; those of the other arms are not."""
    names = ("start", "continued", "tuned")
    arms = {name: [torch.full((30, 1), float(place))] for place, name in enumerate(names)}

    def fails(statistics: torch.Tensor) -> float:
        if float(statistics[0, 0]) == failing:
            raise MetricFailed("no")
        return mean_of_units(statistics)

    table = resampled("test", arms, fails, groups=None, resamples=20, seed=0)
    for place in range(3):
        alone = np.eye(3)[place]
        beside = alone - np.eye(3)[(place + 1) % 3]
        assert math.isnan(interval_of(table, alone.tolist(), 0.95).value) is (place == failing)
        found = interval_of(table, beside.tolist(), 0.95).value
        assert math.isnan(found) is (failing in (place, (place + 1) % 3))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], []),
        ([0.2], [0.2]),
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),  # 4 * 0.005, 3 * 0.01, 2 * 0.03, then not less
        ([0.5, 0.6, 0.02], [1.0, 1.0, 0.06]),
        ([0.02, 0.02], [0.04, 0.04]),
        ([0.02, None, 0.01], [0.04, None, 0.03]),  # one that has no p-value is a hypothesis all the same
    ],
)
def test_holm_by_hand(given: list[float | None], expected: list[float | None]) -> None:
    """Sorted, times the number that is left, never less than the one before, at most 1."""
    assert holm(given) == pytest.approx(expected)


def test_holm_refuses_what_is_no_p_value() -> None:
    """NaN, too."""
    for wrong in (1.5, -0.1, math.nan):
        with pytest.raises(InputError, match="holm: a p-value is"):
            holm([0.5, wrong])


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("shift", [-0.15, 0.02, 0.1])
def test_the_p_value_is_the_level_at_which_the_interval_touches_zero(
    generator: torch.Generator, seeds: int, shift: float
) -> None:
    """A little below its confidence the interval excludes 0, a little above it holds 0."""
    a = tables(generator, seeds)
    b = [one + shift + 0.3 * torch.randn(len(one), 1, generator=generator, dtype=torch.float64) for one in a]
    table = resampled("test", {"a": a, "b": b}, mean_of_units, groups=None, resamples=400, seed=0)
    found = p_value(table, [1.0, -1.0])
    assert found is not None

    def excludes(level: float) -> bool:
        at = interval_of(table, [1.0, -1.0], 1 - level)
        assert at.low is not None and at.high is not None
        return at.low > 0 or at.high < 0

    assert 2 / 401 <= found <= 1
    assert excludes(min(found * 1.001, 1 - 1e-9)) or found == 1.0
    assert found == 2 / 401 or not excludes(found * 0.999)


def test_p_values_at_the_ends() -> None:
    """No difference: 1; one on every resample: the least that the resamples can say; too few units: none."""
    one, two = torch.ones(30, 1), torch.full((30, 1), 2.0)
    table = resampled("test", {"a": [one], "b": [two]}, mean_of_units, groups=None, resamples=99, seed=0)
    assert p_value(table, [1.0, 0.0]) == p_value(table, [1.0, -1.0]) == 2 / 100
    assert p_value(table, [2.0, -1.0]) == 1.0
    few = resampled(
        "test", {"a": [one[:1]], "b": [two[:1]]}, mean_of_units, groups=None, resamples=99, seed=0
    )
    assert p_value(few, [1.0, -1.0]) is None
