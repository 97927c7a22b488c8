"""`fit_rule` for one real number of ordered classes and for several labels: plain decisions, halves, guards."""

import itertools
import math

import pytest
import torch
from sklearn.metrics import cohen_kappa_score, f1_score
from torch import Tensor

from metricgrad.decision import (
    CutPoints,
    Fitted,
    LabelThresholds,
    Midpoint,
    Rounding,
    Threshold,
    cross_fitted,
    fit_rule,
)
from metricgrad.decision.halves import first_half
from metricgrad.errors import InputError
from metricgrad.metrics import adapt

QWK, F1 = "quadratic_kappa", "multilabel_f1_macro"


def levels(seed: int, items: int, *, noise: float = 0.5) -> tuple[Tensor, Tensor]:
    """A number per sample that knows something of four skewed classes, drawn to their mean as in a regression."""
    generator = torch.Generator().manual_seed(seed)
    latent = torch.randn(items, generator=generator, dtype=torch.float64)
    y = torch.bucketize(latent, torch.tensor([0.7, 1.3, 1.8], dtype=torch.float64))
    return 0.4 + 0.5 * (latent + noise * torch.randn(items, generator=generator, dtype=torch.float64)), y


def labels(seed: int, items: int) -> tuple[Tensor, Tensor]:
    """Logits of three labels, the later the rarer; they are too low, so that one half is a bad cut."""
    generator = torch.Generator().manual_seed(seed)
    latent = torch.randn(items, 3, generator=generator) - torch.tensor([0.3, 1.0, 1.6])
    return 1.5 * latent - 1.5 + torch.randn(items, 3, generator=generator), (latent > 0).long()


def judged_by_hand(fitted: Fitted, metric: str, y: Tensor) -> float:
    """The value of the decisions of the pool."""
    record = adapt(metric)
    return record.summarise(record.measure(fitted.decisions, y))


def test_auto_takes_cuts_for_a_number_of_more_than_two_ordered_classes() -> None:
    """Rounding beside; the value that chooses is that of the halves; one more than the largest target are decided."""
    p, y = levels(0, 400)
    fitted = fit_rule(p, y, QWK)
    assert isinstance(fitted.rule, CutPoints) and not isinstance(fitted.rule, Rounding)
    nearest = p.round().clamp(0, 3)
    assert fitted.argmax_value == pytest.approx(cohen_kappa_score(y, nearest, weights="quadratic"))
    assert torch.equal(fitted.decisions, cross_fitted(p, y, QWK))
    assert fitted.cross_fitted == pytest.approx(judged_by_hand(fitted, QWK, y))
    assert fitted.argmax_value + 0.05 < fitted.cross_fitted < fitted.value
    column = fit_rule(p[:, None], y.double(), "cohen_kappa:weights=linear")
    assert column.rule.name == "cuts" and column.rule.metric == "cohen_kappa:weights=linear"


def test_what_auto_leaves_as_it_was() -> None:
    """Two classes, and metrics without an order: the number is the score of class 1; by name cuts fit any of them."""
    p, y = levels(0, 400)
    assert isinstance(fit_rule(p, y.clamp(max=1), QWK).rule, Threshold)
    with pytest.raises(InputError, match="a target is 3 where scores have 2 classes"):
        fit_rule(p, y.where(y == 0, 3), "macro_f1")
    by_name = fit_rule(p, y, "macro_f1", "cuts")
    assert by_name.rule.name == "cuts" and by_name.argmax_value < by_name.cross_fitted
    assert fit_rule(p, y.clamp(max=1), "f1", CutPoints(classes=2)).rule.classes == 2


def test_auto_takes_thresholds_for_a_metric_of_labels() -> None:
    """One half beside; logits and probabilities give the same decisions."""
    p, y = labels(0, 500)
    fitted = fit_rule(p, y, F1)
    assert isinstance(fitted.rule, LabelThresholds) and not isinstance(fitted.rule, Midpoint)
    assert fitted.argmax_value == pytest.approx(f1_score(y, p > 0, average="macro"))
    assert fitted.cross_fitted == pytest.approx(f1_score(y, fitted.decisions, average="macro"))
    assert fitted.argmax_value < fitted.cross_fitted <= fitted.value + 1e-9
    again = fit_rule(p.double().sigmoid(), y, F1)
    assert torch.equal(again.decisions, fitted.decisions) and again.rule.inputs == "probabilities"


@pytest.mark.parametrize("metric", [QWK, "macro_f1", "accuracy"])
def test_cuts_on_small_pools_are_the_best_of_all(metric: str) -> None:
    """Every pair of places, for three classes: never below any rounding, and mostly the best of all."""
    best = 0
    for seed in range(30):
        p, y = levels(seed, 12)
        y = y.clamp(max=2)
        record = adapt(metric)

        def value(decided: Tensor, y: Tensor = y, record=record) -> float:
            found = record.summarise(record.measure(decided, y))
            return -math.inf if math.isnan(found) else found

        rising = p.sort().values
        places = torch.cat([rising[:1] - 1, (rising[1:] + rising[:-1]) / 2, rising[-1:] + 1])
        every = max(
            value(torch.bucketize(p, torch.stack(pair)))
            for pair in itertools.combinations_with_replacement(places, 2)
        )
        found = value(CutPoints(classes=3).fit(p, y, metric).decide(p))
        assert value(Rounding(classes=3).fit(p, y, metric).decide(p)) <= found <= every + 1e-9
        best += found >= every - 1e-9
    assert best >= 24


def test_permuted_samples_give_the_same_rule() -> None:
    """The rule of the whole pool does not depend on the order of the items."""
    order = torch.randperm(400, generator=torch.Generator().manual_seed(1))
    for (p, y), metric in ((levels(2, 400), QWK), (labels(2, 400), F1)):
        kind = CutPoints if metric == QWK else LabelThresholds
        one, other = kind().fit(p, y, metric), kind().fit(p[order], y[order], metric)
        assert torch.equal(one.cuts, other.cuts) and bool(one.cuts.any())


def test_small_pools_keep_the_plain_decision() -> None:
    """From 200 items on."""
    for (p, y), metric, plain in ((levels(0, 199), QWK, "rounding"), (labels(0, 199), F1, "midpoint")):
        fitted = fit_rule(p, y, metric)
        assert fitted.rule.name == plain and fitted.value == fitted.cross_fitted == fitted.argmax_value
        assert f"{plain} was kept:" in fitted.note and "wants 200 items and the pool has 199" in fitted.note
        assert torch.equal(fitted.rule.decide(p), fitted.decisions)


def test_one_class_and_labels_that_never_change_keep_the_plain_decision() -> None:
    """There is nothing to decide between."""
    p, y = levels(0, 300)
    one = fit_rule(p, torch.full_like(y, 2), QWK)
    assert one.note == "rounding was kept: the pool holds one class only" and one.rule.classes == 3
    p, y = labels(0, 300)
    none = fit_rule(p, torch.zeros_like(y), F1)
    assert none.note == "midpoint was kept: every label of the pool is there in all samples or in none"


def test_an_absent_label_keeps_one_half_among_the_others() -> None:
    """Nothing is known of it; the halves may lack a class, too, and still know how many there are."""
    p, y = labels(3, 500)
    y[:, 2] = 0
    fitted = fit_rule(p, y, F1)
    assert fitted.rule.name == "labels" and float(fitted.rule.get_buffer("cuts")[2]) == 0
    p, y = levels(3, 300)
    y[y == 3] = 2
    y[int(p.argmax())] = 3  # one item of the last class: one half has none
    assert fit_rule(p, y, QWK).rule.classes == 4


@pytest.mark.parametrize("rule", ["rounding", "midpoint"])
def test_plain_decisions_by_name(rule: str) -> None:
    """As argmax: no fit, no note."""
    (p, y), metric = (levels(0, 300), QWK) if rule == "rounding" else (labels(0, 300), F1)
    fitted = fit_rule(p, y, metric, rule)
    assert fitted.rule.name == rule and not fitted.note and fitted.value == fitted.argmax_value


def test_a_metric_that_is_undefined_keeps_the_plain_decision() -> None:
    """NaN on all tables, NaN on some."""
    p, y = levels(4, 300)
    never = adapt(lambda predicted, truth: math.nan, higher_is_better=True, reads="classes")
    fitted = fit_rule(p, y, never, "cuts")
    assert fitted.rule.name == "rounding" and "undefined for every candidate" in fitted.note
    p, marks = labels(4, 300)
    never = adapt(lambda predicted, truth: math.nan, higher_is_better=True, unit="whole")
    fitted = fit_rule(p, marks, never, "labels")
    assert fitted.rule.name == "midpoint" and "undefined for every candidate" in fitted.note

    def sometimes(predicted: Tensor, truth: Tensor) -> float:
        few = float((predicted == 1).double().mean()) < 0.3
        return f1_score(truth, predicted, average="macro") if few else math.nan

    rule = LabelThresholds().fit(p, marks, adapt(sometimes, higher_is_better=True, unit="whole"))
    assert float(rule.decide(p).double().mean()) < 0.3


def test_calls_of_a_metric_without_a_formula_are_counted() -> None:
    """For both."""
    p, y = levels(5, 220)
    own = adapt(
        lambda predicted, truth: -float(((predicted - truth).double() ** 2).mean()),
        higher_is_better=True,
        reads="classes",
    )
    assert fit_rule(p, y, own, "cuts").calls > 10
    p, marks = labels(5, 210)
    own = adapt(lambda predicted, truth: float((predicted == truth).double().mean()), higher_is_better=True)
    assert fit_rule(p[:, :2], marks[:, :2], own, "labels").calls > 50


def test_labels_at_random_seldom_gain() -> None:
    """The cross-fitted value of permuted targets is about 0: no rule can help."""
    gains = []
    for seed in range(12):
        generator = torch.Generator().manual_seed(seed)
        p, y = levels(seed, 300)
        fitted = cross_fitted(p, y[torch.randperm(300, generator=generator)], QWK)
        y = y[torch.randperm(300, generator=torch.Generator().manual_seed(seed))]
        gains.append(cohen_kappa_score(y, fitted, weights="quadratic"))
    assert abs(sum(gains) / len(gains)) < 0.04 and sum(gain > 0.05 for gain in gains) <= 4


def test_halves_share_labels_and_keep_groups_whole() -> None:
    """Sets of labels alternate; whole groups go where their labels are rarer."""
    _, y = labels(6, 400)
    half = first_half(y)
    assert int(half.sum()) == 200
    for label in range(3):
        here, there = (int(y[part, label].sum()) for part in (half, ~half))
        assert abs(here - there) <= 4
    groups = torch.arange(400) // 4
    half = first_half(y, groups)
    assert bool((half.reshape(100, 4).sum(1) % 4 == 0).all()) and 180 <= int(half.sum()) <= 220


def test_what_does_not_fit_is_refused() -> None:
    """Several columns for cuts, one for labels, other targets, metrics that read something else."""
    p, y = labels(0, 300)
    with pytest.raises(InputError, match="one number per sample"):
        fit_rule(p, y[:, 0], QWK, "cuts")
    with pytest.raises(InputError, match="0 and 1"):
        fit_rule(p, 2 * y, F1)
    with pytest.raises(InputError, match="it reads classes"):
        fit_rule(p, y, "macro_f1", "labels")
    with pytest.raises(InputError, match="it reads labels"):
        fit_rule(*levels(0, 300), F1, "cuts")
    with pytest.raises(InputError, match="groups has 3 labels"):
        fit_rule(p, y, F1, groups=[1, 2, 3])
