"""Rules against every candidate there is, on small random pools."""

from functools import partial

import numpy as np
import pytest
import torch

from metricgrad.decision import ClassBiases, CutPoints, LabelThresholds, SlopeDecode, Threshold
from metricgrad.decision.cuts import best_cut
from metricgrad.metrics.table_metric import TableMetric
from tests.decision.data import pool
from tests.decision.plain import PlainMetric
from tests.oracles import decision as slow

METRICS = ("f_macro", "mcc", "kappa", "balanced_accuracy", "g_mean", "accuracy")


def small_binary(seed: int, items: int) -> tuple[list[float], list[int]]:
    """Scores of which some are equal, and classes."""
    generator = np.random.default_rng(seed)
    return (generator.integers(0, 12, items) / 12).tolist(), generator.integers(0, 2, items).tolist()


@pytest.mark.parametrize("word", METRICS)
@pytest.mark.parametrize("count", [80, pytest.param(2_000, marks=pytest.mark.slow)])
def test_a_threshold_is_the_best_of_every_cut(word: str, count: int):
    """The gain is the best of all cuts, and the items above are those of one of the best."""
    value = PlainMetric(partial(slow.value_of_table, word), 2)
    for seed in range(count):
        scores, targets = small_binary(seed, 2 + seed % 9)
        y = torch.tensor(targets)
        cut = best_cut(
            torch.tensor(scores, dtype=torch.float64), torch.zeros_like(y), torch.ones_like(y), y, value.gains,
            classes=2, present=0.5,
        )  # fmt: skip
        every = slow.every_cut(scores, targets, partial(slow.value_of_table, word))
        best = max(found for _, found in every)
        assert cut.gain == pytest.approx(best, abs=1e-12)
        assert cut.above in [above for above, found in every if found >= best - 1e-12]
        assert sum(score > cut.at for score in scores) == cut.above


@pytest.mark.parametrize("word", ["f_macro", "balanced_accuracy", "mcc"])
@pytest.mark.parametrize("count", [3, pytest.param(60, marks=pytest.mark.slow)])
def test_biases_of_three_classes_stay_below_every_cell_and_above_argmax(word: str, count: int):
    """A coordinate search ends between argmax and the best point of the whole arrangement of tie lines."""
    function = partial(slow.value_of_table, word)
    reached = 0
    for seed in range(count):
        logits, y = pool(seed, 7, 3)
        optimum = slow.best_of_three_biases(logits.tolist(), y.tolist(), function)
        rule = ClassBiases(bags=1, least_of_class=0).fit(logits, y, PlainMetric(function, 3))
        found = function(slow.table_of(rule.decide(logits).tolist(), y.tolist(), 3))
        start = function(slow.table_of(logits.argmax(1).tolist(), y.tolist(), 3))
        assert start - 1e-12 <= found <= optimum + 1e-12
        reached += found > optimum - 1e-12
    assert reached >= count / 3


@pytest.mark.parametrize("word", METRICS)
def test_slope_decode_is_the_slow_reference(word: str):
    """Rounds, kept slopes and decisions, of a few hundred items in plain loops."""
    function = partial(slow.value_of_table, word)
    for seed in range(4):
        logits, y = pool(seed, 60, 3 + seed % 2)
        p = logits.softmax(1)
        rule = SlopeDecode().fit(p, y, PlainMetric(function, p.shape[1]))
        seen = set(y.tolist())
        if len(seen) < p.shape[1]:
            continue  # the reference knows nothing of absent classes
        start, values, kept, decisions = slow.slope_decode(p.tolist(), y.tolist(), function)
        assert rule.start_value == pytest.approx(start)
        assert rule.round_values == pytest.approx(values)
        assert rule.is_argmax == (kept is None)
        assert rule.decide(p).tolist() == decisions


def test_cut_points_are_the_best_of_all_pairs_of_cuts():
    """Two cuts of eight values: the search reaches the best of every pair in most pools, and never beats it."""
    function = partial(slow.value_of_table, "quadratic_kappa")
    reached = 0
    for seed in range(20):
        generator = np.random.default_rng(seed)
        values = generator.random(8) * 2
        y = np.clip(np.round(values + generator.normal(0, 0.6, 8)), 0, 2).astype(int).tolist()
        places = np.sort(np.concatenate([[-1.0], (np.sort(values)[1:] + np.sort(values)[:-1]) / 2, [3.0]]))
        best = max(
            function(slow.table_of([int(v > low) + int(v > high) for v in values], y, 3))
            for low in places
            for high in places[places >= low]
        )
        rule = CutPoints(classes=3).fit(values, y, PlainMetric(function, 3))
        found = function(slow.table_of(rule.decide(values).tolist(), y, 3))
        rounded = function(slow.table_of(np.clip(np.ceil(values - 0.5), 0, 2).astype(int).tolist(), y, 3))
        assert rounded - 1e-12 <= found <= best + 1e-12
        reached += found > best - 1e-12
    assert reached >= 14


def test_label_thresholds_of_a_macro_average_are_exact():
    """Every label has the best of its own cuts: what `Threshold` finds for that label alone."""
    generator = torch.Generator().manual_seed(0)
    p = torch.rand(60, 4, generator=generator, dtype=torch.float64)
    y = (torch.rand(60, 4, generator=generator, dtype=torch.float64) < p**2).long()
    rule = LabelThresholds().fit(p, y, "multilabel_f1_macro")
    for label in range(4):
        alone = Threshold().fit(p[:, label], y[:, label], "f1")
        value = TableMetric("f1", 2)
        tables = [
            torch.stack([(y[:, label] == a) & (said == b) for a in (0, 1) for b in (0, 1)])
            .sum(1)
            .reshape(2, 2)
            .double()
            for said in (rule.decide(p)[:, label], alone.decide(p[:, label]))
        ]
        assert value(tables[0]) == pytest.approx(float(value(tables[1])))
