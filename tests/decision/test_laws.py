"""What every rule of class scores keeps, whatever the metric."""

import pytest
import torch

from metricgrad.decision import Argmax, ClassBiases, PriorShift, Rule, SlopeDecode, Threshold, fit_rule
from metricgrad.metrics import adapt
from metricgrad.metrics.table_metric import TableMetric
from tests.decision.data import pool

RULES: list[type[Rule]] = [Argmax, Threshold, SlopeDecode, PriorShift, ClassBiases]
METRICS = ("macro_f1", "balanced_error", "accuracy")


def made(kind: type[Rule]) -> Rule:
    """A rule that takes every item of the pool as it is: bootstrap resamples know an order of the samples."""
    return ClassBiases(bags=1) if kind is ClassBiases else kind()


def fitted(kind: type[Rule], metric: str = "macro_f1") -> tuple[Rule, torch.Tensor, torch.Tensor]:
    """A rule, and logits and classes that it was fitted to."""
    logits, y = pool(1, 240, 2 if kind is Threshold else 4)
    return made(kind).fit(logits, y, metric), logits, y


def gain(decided: torch.Tensor, y: torch.Tensor, metric: str, classes: int) -> float:
    """Value of decisions, higher is better."""
    cells = (y * classes + decided).bincount(minlength=classes**2).reshape(classes, classes).double()
    return float(TableMetric(metric, classes).gains(cells))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", RULES)
def test_logits_and_probabilities_give_one_rule(kind: type[Rule], metric: str):
    """Also logits with a constant of their own in each row."""
    rule, logits, y = fitted(kind, metric)
    shifted = logits + torch.arange(len(y), dtype=torch.float64)[:, None] / 16
    for scores in (logits.softmax(1), shifted):
        other = made(kind).fit(scores, y, metric)
        assert torch.equal(other.decide(scores), rule.decide(logits))


@pytest.mark.parametrize("kind", RULES)
def test_the_order_of_the_samples_does_not_matter(kind: type[Rule]):
    """A permuted pool gives the same rule."""
    rule, logits, y = fitted(kind)
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    other = made(kind).fit(logits[order], y[order], "macro_f1")
    assert torch.equal(other.decide(logits), rule.decide(logits))


@pytest.mark.parametrize("kind", [kind for kind in RULES if kind not in (Threshold, ClassBiases)])
def test_the_order_of_the_classes_does_not_matter(kind: type[Rule]):
    """Classes that are renamed are decided under their new names (a coordinate search knows an order of classes)."""
    rule, logits, y = fitted(kind)
    order = torch.tensor([2, 0, 3, 1])
    place = order.argsort()
    other = made(kind).fit(logits[:, order], place[y], "macro_f1")
    assert torch.equal(other.decide(logits[:, order]), place[rule.decide(logits)])


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", [*RULES])
def test_a_rule_is_never_below_argmax_on_its_pool(kind: type[Rule], metric: str):
    """Argmax is one of the candidates."""
    for seed in range(5):
        logits, y = pool(seed, 80, 2 if kind is Threshold else 3)
        classes = logits.shape[1]
        rule = kind().fit(logits, y, metric)
        ruled, plain = (gain(d, y, metric, classes) for d in (rule.decide(logits), logits.argmax(1)))
        assert ruled >= plain - 1e-12


@pytest.mark.parametrize("kind", RULES)
def test_where_nothing_wins_a_rule_is_argmax(kind: type[Rule]):
    """A metric that is constant, or is best already, moves no decision."""
    logits, y = pool(2, 100, 2 if kind is Threshold else 3)
    for metric in (adapt(lambda outputs, targets: 0.5, higher_is_better=True), "accuracy"):
        truth = y if metric != "accuracy" else logits.argmax(1)
        rule = kind().fit(logits, truth, metric)
        assert torch.equal(rule.decide(logits), logits.argmax(1))


@pytest.mark.parametrize("kind", RULES)
def test_equal_samples_are_decided_alike(kind: type[Rule]):
    """Whatever else is in the batch."""
    rule, logits, _ = fitted(kind)
    twice = torch.cat([logits, logits.flip(0)])
    found = rule.decide(twice)
    assert torch.equal(found[: len(logits)], found[len(logits) :].flip(0))
    assert torch.equal(found[:1], rule.decide(logits[:1]))


@pytest.mark.parametrize("kind", [kind for kind in RULES if kind is not Threshold])
def test_a_class_absent_from_the_pool_keeps_argmax(kind: type[Rule]):
    """Nothing is known of it: it is decided where argmax says it, and nowhere else."""
    logits, y = pool(3, 300, 4)
    here = (y != 1) & (logits.argmax(1) != 1)
    rule = made(kind).fit(logits[here], y[here], "macro_f1")
    assert torch.equal(rule.decide(logits) == 1, logits.argmax(1) == 1)
    if kind is not Argmax:
        assert not torch.equal(rule.decide(logits), logits.argmax(1))


def test_slope_decode_is_argmax_for_accuracy_of_calibrated_scores():
    """The slope of accuracy is the same for every right decision and for every wrong one."""
    logits, y = pool(4, 300, 4)
    rule = SlopeDecode().fit(logits, y, "accuracy")
    assert torch.equal(rule.decide(logits), logits.argmax(1))


def test_slope_decode_is_the_bayes_decision_of_a_linear_cost():
    """Whatever the table, the slope of a linear cost is the cost."""
    logits, y = pool(5, 400, 3)
    cost = torch.tensor([[0.0, 1.0, 2.0], [5.0, 0.0, 1.0], [9.0, 3.0, 0.0]], dtype=torch.float64)
    metric = adapt(lambda outputs, targets: cost[targets, outputs].mean(), higher_is_better=False)
    value = TableMetric(metric, 3)
    rule = SlopeDecode().fit(logits, y, value)
    p = logits.softmax(1)
    assert not rule.is_argmax
    assert (
        rule.decide(logits) == (p @ cost).argmin(1)
    ).double().mean() > 0.99  # slopes come from 20,000 labels
    assert 1 + 9 < value.calls <= 2 + 1 + 6 * (9 + 1 + 1)  # two try the function; equal tables take one call


@pytest.mark.parametrize(
    ("rule", "items"),
    [
        ("slope", 200),
        ("threshold", 200),
        ("prior", 800),
        pytest.param("biases", 3_000, marks=pytest.mark.slow),
    ],
)
def test_a_function_of_labels_gets_the_rule_of_its_formula(rule: str, items: int):
    """A metric that can only be called gives the same rule, but for the rounding of slopes and thinned cuts."""
    logits, y = pool(6, items, 2 if rule == "threshold" else 3)
    by_formula = fit_rule(logits, y, "macro_f1", rule)
    by_call = fit_rule(logits, y, adapt(share_of_f1, higher_is_better=True), rule)
    assert by_formula.calls == 0 and by_call.calls > 0
    assert by_call.cross_fitted == pytest.approx(by_formula.cross_fitted, abs=0.01)
    assert by_call.argmax_value == pytest.approx(by_formula.argmax_value)


def share_of_f1(outputs: torch.Tensor, targets: torch.Tensor) -> float:
    """Macro F1 of labels, as anybody writes it."""
    hits = torch.bincount(targets[outputs == targets], minlength=3)
    sizes = torch.bincount(targets, minlength=3) + torch.bincount(outputs, minlength=3)
    return float((2 * hits / sizes)[sizes > 0].mean())


def test_a_rule_says_how_it_is_fitted_how_it_decides_and_in_which_words():
    """What a rule lacks is named when it is made, not when it is first used."""
    kind = type(
        "Lacking", (Rule,), {"words": lambda self: "none", "_choose": lambda self, logs: logs.argmax(1)}
    )
    with pytest.raises(TypeError, match="_fit"):
        kind()
