"""What `fit_rule` and the rules do with pools that are small, flat, undefined or not what they should be."""

import math
from functools import partial

import numpy as np
import pytest
import torch

from metricgrad.decision import (
    Argmax,
    ClassBiases,
    CutPoints,
    LabelThresholds,
    PriorShift,
    SlopeDecode,
    Threshold,
    cross_fitted,
    fit_rule,
)
from metricgrad.errors import InputError
from metricgrad.metrics import adapt
from tests.decision.data import pool
from tests.decision.plain import PlainMetric
from tests.oracles.decision import value_of_table


def test_a_pool_of_thirty_keeps_argmax_and_says_why():
    """Below 50 items no rule is fitted."""
    logits, y = pool(0, 30, 2)
    fitted = fit_rule(logits, y, "macro_f1")
    assert isinstance(fitted.rule, Argmax)
    assert fitted.note == "argmax was kept: threshold wants 50 items and the pool has 30"
    assert fitted.value == fitted.cross_fitted == fitted.argmax_value


@pytest.mark.parametrize(("rule", "least"), [("slope", 200), ("prior", 800), ("biases", 3_000)])
def test_every_rule_has_its_least_pool(rule: str, least: int):
    """One item fewer keeps argmax."""
    logits, y = pool(0, least - 1, 3)
    assert f"wants {least:,} items" in fit_rule(logits, y, "macro_f1", rule).note


def test_auto_is_a_threshold_for_two_classes_and_slope_decode_for_more():
    """By the number of columns; one score is two classes."""
    logits, y = pool(1, 400, 2, skew=2.0)
    assert fit_rule(logits, y, "macro_f1").rule.name == "threshold"
    assert fit_rule(logits[:, 1] - logits[:, 0], y, "macro_f1").rule.name == "threshold"
    logits, y = pool(1, 400, 3)
    assert fit_rule(logits, y, "macro_f1").rule.name == "slope"


def test_the_value_that_chooses_is_that_of_the_cross_fitted_decisions():
    """Every item is decided by a rule that did not see it; halves depend on the classes alone."""
    logits, y = pool(2, 400, 3)
    fitted = fit_rule(logits, y, "macro_f1")
    assert torch.equal(fitted.decisions, cross_fitted(logits, y, "macro_f1"))
    metric = adapt("macro_f1")
    assert fitted.cross_fitted == pytest.approx(metric.summarise(metric.measure(fitted.decisions, y)))
    assert fitted.value >= fitted.argmax_value


def test_labels_at_random_keep_argmax_most_of_the_time():
    """Where no rule can help, the cross-fitted value seldom says that one does."""
    kept = 0
    for seed in range(12):
        logits, y = pool(seed, 200, 3)
        y = y[torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))]
        fitted = fit_rule(logits, y, PlainMetric(partial(value_of_table, "mcc"), 3))
        kept += isinstance(fitted.rule, Argmax)
    assert kept >= 4  # one in two by chance: a value on the other half is above or below


@pytest.mark.parametrize("rule", ["threshold", "prior", "auto"])
def test_one_class_only_keeps_argmax(rule: str):
    """There is nothing to decide between."""
    logits, _ = pool(3, 900, 2)
    fitted = fit_rule(logits, torch.zeros(900, dtype=torch.long), "macro_f1", rule)
    assert fitted.note == "argmax was kept: the pool holds one class only"


@pytest.mark.parametrize("classes", [2, 3])
def test_equal_scores_keep_argmax_or_decide_one_class(classes: int):
    """All items are alike, so all get one class."""
    p = torch.full((300, classes), 1 / classes, dtype=torch.float64)
    y = torch.arange(300) % classes
    fitted = fit_rule(p, y, "macro_f1")
    assert len(fitted.rule.decide(p).unique()) == 1


@pytest.mark.parametrize("classes", [2, 3])
def test_a_metric_that_is_undefined_everywhere_keeps_argmax(classes: int):
    """The note says what the metric raised."""

    def refuses(outputs, targets):
        raise RuntimeError("no pictures here")

    logits, y = pool(4, 300, classes)
    fitted = fit_rule(logits, y, adapt(refuses, higher_is_better=True, unit="whole"))
    assert isinstance(fitted.rule, Argmax) and math.isnan(fitted.argmax_value)
    assert "no pictures here" in fitted.note


def test_a_metric_that_has_slopes_and_no_value_keeps_argmax():
    """It is defined only where every cell of a table is filled, as by the pseudo-count: no prior shift is better."""

    def wants_every_cell(outputs, targets, sample_weight):
        return float(sample_weight[outputs == targets].sum()) if len(sample_weight) == 9 else math.nan

    logits, y = pool(4, 300, 3)
    logits[:, 2] += 50 * (y == 2)  # no item of class 2 is ever taken for another
    fitted = fit_rule(logits, y, adapt(wants_every_cell, higher_is_better=True, unit="whole"))
    assert isinstance(fitted.rule, Argmax) and "undefined for every candidate" in fitted.note


def test_a_metric_that_is_undefined_for_some_tables_leaves_those_out():
    """Precision without a prediction has no value; the best of the other cuts is taken."""

    def precision(outputs, targets):
        return (targets[outputs == 1] == 1).double().mean() if bool((outputs == 1).any()) else math.nan

    logits, y = pool(5, 300, 2)
    rule = Threshold().fit(logits, y, adapt(precision, higher_is_better=True))
    assert 0 < int(rule.decide(logits).sum()) < 300


def test_a_flat_start_is_left():
    """F1 is 0 because nothing is predicted positive: the cut goes where it is not."""
    logits, y = pool(6, 300, 2)
    rare = torch.stack([logits[:, 0] + 20, logits[:, 1]], 1)
    fitted = fit_rule(rare, y, "f1")
    assert fitted.argmax_value == 0 and fitted.cross_fitted > 0.5


def test_biases_leave_the_plateau_of_g_mean():
    """One class is never decided, so G-mean is 0 and no single bias of another class changes that."""
    logits, y = pool(7, 400, 4)
    logits[:, 2:] -= 20

    def g_mean(outputs, targets):
        recalls = [(outputs[targets == k] == k).double().mean() for k in targets.unique()]
        return float(torch.stack(recalls).prod() ** (1 / len(recalls)))

    rule = ClassBiases(bags=1).fit(logits, y, adapt(g_mean, higher_is_better=True))
    assert g_mean(logits.argmax(1), y) == 0 and g_mean(rule.decide(logits), y) > 0.3


def test_more_cuts_than_calls_are_thinned_and_it_says_so():
    """A metric without a formula is called for 1,000 cuts."""
    logits, y = pool(8, 1_100, 2)
    rule = Threshold().fit(logits, y, share_right)
    assert rule.note == "the metric has no formula: 1,000 cuts were looked at, not every one"


share_right = adapt(
    lambda outputs, targets: float((outputs == targets).sum()) / len(targets), higher_is_better=True
)


def test_few_items_of_a_class_take_the_bias_of_the_prior_shift():
    """Nine items fit no bias of their own."""
    logits, y = pool(9, 600, 3)
    keep = torch.cat([(y != 2).nonzero()[:, 0], (y == 2).nonzero()[:9, 0]])
    logits, y = logits[keep], y[keep]
    rule = ClassBiases(bags=1).fit(logits, y, "macro_f1")
    shift = PriorShift().fit(logits, y, "macro_f1").biases
    free = ClassBiases(bags=1, least_of_class=0).fit(logits, y, "macro_f1")
    assert bool(rule.biases.any()) and not torch.equal(rule.biases, free.biases)
    assert torch.isfinite(shift).all()


@pytest.mark.parametrize("metric", ["roc_auc", "binary_average_precision", "recall@1"])
def test_a_ranking_metric_is_refused(metric: str):
    """Every cut changes exactly nothing."""
    logits, y = pool(0, 60, 2)
    with pytest.raises(InputError, match="so no decision rule changes it"):
        fit_rule(logits, y, metric)


@pytest.mark.parametrize(
    ("scores", "inputs", "said"),
    [
        ([[0.5, 0.6], [0.2, 0.8]], "auto", "rows do not sum to 1"),
        ([[2.0, -1.0], [0.2, 0.8]], "probabilities", "Of logits say inputs='logits'"),
        ([[0.5, math.nan], [0.2, 0.8]], "auto", "NaN or infinite"),
        ([[[0.5]]], "auto", "one score of class 1"),
        ([[0.5, 0.5], [0.2, 0.8]], "words", "'auto', 'logits' or 'probabilities'"),
    ],
)
def test_scores_that_are_none_are_refused(scores, inputs, said):
    """The message says what came and what to do."""
    with pytest.raises(InputError, match=said):
        fit_rule(scores, [0, 1][: len(scores)], "accuracy", inputs=inputs)


def test_a_fitted_rule_refuses_the_other_kind():
    """A rule that was fitted to probabilities reads no logits, and the reverse."""
    logits, y = pool(0, 100, 3)
    with pytest.raises(InputError, match="where probabilities are read"):
        PriorShift().fit(logits.softmax(1), y, "accuracy").decide(logits)
    with pytest.raises(InputError, match="where logits are read"):
        PriorShift().fit(logits, y, "accuracy").decide(logits.softmax(1))
    with pytest.raises(InputError, match="scores have 2 classes; expected 3"):
        PriorShift().fit(logits, y, "accuracy").decide(logits[:, :2])
    with pytest.raises(InputError, match="Call fit"):
        SlopeDecode().decide(logits)
    assert PriorShift().fit(logits, y, "accuracy").decide(logits[:0]).shape == (0,)


def test_texts_for_classes_are_refused_with_the_line_that_numbers_them():
    """Nobody guesses which column a text belongs to."""
    logits, _ = pool(0, 2, 2)
    with pytest.raises(InputError, match=r"names.index\(value\)"):
        fit_rule(logits, np.array(["yes", "no"]), "accuracy")
    with pytest.raises(InputError, match="a target is 5 where scores have 2 classes"):
        fit_rule(logits, [0, 5], "accuracy")
    with pytest.raises(InputError, match="for 2 samples"):
        fit_rule(logits, [0, 1, 1], "accuracy")


def test_an_unknown_rule_is_refused():
    """With all names that there are."""
    logits, y = pool(0, 60, 2)
    with pytest.raises(InputError, match="one of auto, argmax, threshold"):
        fit_rule(logits, y, "accuracy", "treshold")
    with pytest.raises(InputError, match="expected two"):
        Threshold().fit(*pool(0, 60, 3), "accuracy")


def test_cut_points_and_labels_say_what_they_want():
    """One number per sample; 0 and 1 per label; a metric that reads labels."""
    with pytest.raises(InputError, match="one number per sample"):
        CutPoints().fit(torch.zeros(3, 2), [0, 1, 2], "accuracy")
    with pytest.raises(InputError, match="0 and 1"):
        LabelThresholds().fit(
            torch.zeros(3, 2), torch.tensor([[0, 2], [1, 0], [0, 0]]), "multilabel_f1_macro"
        )
    with pytest.raises(InputError, match="it reads classes"):
        LabelThresholds().fit(torch.zeros(3, 2), torch.zeros(3, 2), "macro_f1")


def test_words_are_plain():
    """What a reader is told of each rule."""
    assert Threshold().fit([0.1, 0.3, 0.35, 0.8], [0, 1, 1, 1], "f1").words() == (
        "class 1 from a probability of 0.200 on (argmax: from 0.5 on)."
    )
    logits, y = pool(1, 400, 3)
    words = SlopeDecode(class_names=["cat", "dog", "fox"]).fit(logits, y, "macro_f1").words()
    assert words.startswith(
        "The class of the least expected cost. Costs, where the mean mistake costs 1:\n  true "
    )
    assert "cat" in words and words.count("\n") == 6
    numbered = Threshold(class_names=["0", "1"]).fit([0.1, 0.3, 0.35, 0.8], [0, 1, 1, 1], "f1")
    assert numbered.words().startswith("class 1 from")
    rare = PriorShift().fit(logits, y, "balanced_error").words()
    assert "rare classes are decided more often" in rare
    assert "times" in ClassBiases(bags=1).fit(logits, y, "macro_f1").words()


@pytest.mark.parametrize("p", [None, [["a", "b"]], [[1.0, 2.0], [1.0]], {"a": 1}, torch.eye(2).to_sparse()])
def test_scores_that_are_no_numbers_are_refused(p):
    """By every rule, when it is fitted and when it decides."""
    fitted = Threshold().fit([0.1, 0.9], [0, 1], "f1")
    for call in (
        lambda: fit_rule(p, [0, 1], "f1"),
        lambda: fitted.decide(p),
        lambda: CutPoints().fit(p, [0, 1], "accuracy"),
        lambda: LabelThresholds().fit(p, [[0, 1], [1, 0]], "multilabel_f1_macro"),
    ):
        with pytest.raises(InputError, match=r"(scores|values) are"):
            call()


@pytest.mark.parametrize("counts", ["abc", {"a": 1}, [math.inf, 1, 1], [math.nan, 1, 1], [1, 1]])
def test_class_counts_that_do_not_fit_are_refused(counts):
    """An infinite count would make every share NaN, and the rule one of nothing."""
    logits, y = pool(1, 900, 3)
    for rule in (
        "prior",
        ClassBiases(class_counts=counts) if counts != "abc" and counts != {"a": 1} else "prior",
    ):
        with pytest.raises(InputError, match="class_counts are"):
            PriorShift(class_counts=counts).fit(logits, y, "macro_f1")
        if not isinstance(rule, str):
            with pytest.raises(InputError, match="class_counts are"):
                rule.fit(logits, y, "macro_f1")


@pytest.mark.parametrize("y", [[0, 1, 2_000_000], [0, math.nan, 1], ["a", "b", "c"]])
def test_ordered_classes_that_are_none_are_refused(y):
    """A table of millions of classes is not begun."""
    with pytest.raises(InputError, match="target"):
        CutPoints().fit([0.1, 0.5, 0.9], y, "accuracy")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("classes", [2, 4])
def test_probabilities_of_half_precision_are_probabilities(dtype: torch.dtype, classes: int):
    """Rounded, their rows sum to 1 only nearly; they are read as what they are, and decided as wide ones are."""
    logits, y = pool(5, 400, classes, skew=1.5)
    halves = logits.softmax(1).to(dtype)
    found, wanted = (fit_rule(p, y, "balanced_accuracy") for p in (halves, logits.softmax(1)))
    assert found.rule.inputs == "probabilities" and found.rule.name == wanted.rule.name != "argmax"
    assert found.cross_fitted == pytest.approx(wanted.cross_fitted, abs=0.03)


def test_why_a_metric_is_undefined_is_said_once():
    """The sentence of the metric stands in that of the rule."""
    logits, y = pool(1, 60, 2)

    def broken(predictions: torch.Tensor, targets: torch.Tensor) -> float:
        raise ValueError("no such thing")

    note = fit_rule(logits, y, adapt(broken, higher_is_better=True)).note
    assert "(broken: it raised ValueError: no such thing; expected" in note and note.count("raised") == 1


@pytest.mark.parametrize(("whole", "words"), [(1.02, "sums to 1.02"), (100.0, "sums to 100")])
def test_parts_of_another_whole_are_not_read_as_logits(whole: float, words: str):
    """Percentages, and probabilities that somebody rounded up: their softmax would say nothing."""
    logits, y = pool(2, 300, 3)
    parts = whole * logits.softmax(1)
    with pytest.raises(InputError, match=f"{words}.*Divide each row by its sum"):
        fit_rule(parts, y, "macro_f1")
    assert fit_rule(parts, y, "macro_f1", inputs="logits").rule.inputs == "logits"


def test_a_slope_that_is_undefined_is_named_where_argmax_is_kept():
    """Otherwise it would look as if slope decode had found nothing better."""
    logits, y = pool(2, 300, 3)

    def sometimes(predictions: torch.Tensor, targets: torch.Tensor) -> float:
        return math.nan if len(targets) > 300 else float((predictions == targets).double().mean())

    fitted = fit_rule(logits, y, adapt(sometimes, higher_is_better=True))
    assert isinstance(fitted.rule, Argmax) and fitted.note.endswith(
        "(the slope of the metric is undefined here)"
    )
