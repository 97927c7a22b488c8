"""Metrics of several labels per sample: scikit-learn, the tables of labels, and what outputs are read as."""

import math
from functools import partial

import pytest
import sklearn.metrics
import torch

from metricgrad import metrics
from metricgrad.errors import InputError
from metricgrad.metrics.records import metric_record

several = pytest.mark.parametrize("inputs", [10, pytest.param(1000, marks=pytest.mark.slow)])
TABLES = [
    "hamming_loss",
    *(f"multilabel_f_beta:beta=2,average={average}" for average in ("macro", "micro", "weighted")),
    *(f"multilabel_jaccard_{average}" for average in ("macro", "micro", "weighted")),
]


def drawn(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Decisions and marks of up to 20 samples and 6 labels; labels that are never there or never predicted occur."""
    samples, labels = (int(torch.randint(1, most, (), generator=generator)) for most in (21, 7))
    often = torch.rand(2, 1, labels, generator=generator)
    decisions, marks = (torch.rand(2, samples, labels, generator=generator) < often).long()
    return decisions, marks


def of_tables(name: str):
    """The metric as a function of the tables of labels."""
    found = metrics.adapt(name).of_label_tables
    assert found is not None
    return found


def counted(decisions: torch.Tensor, marks: torch.Tensor) -> torch.Tensor:
    """The 2 x 2 table of every label, by scikit-learn: [label, true, predicted]."""
    return torch.from_numpy(
        sklearn.metrics.multilabel_confusion_matrix(marks.numpy(), decisions.numpy())
    ).double()


@several
def test_equals_scikit_learn(generator: torch.Generator, inputs: int) -> None:
    """With nothing wrong where there is nothing, its `zero_division=1`."""
    for _ in range(inputs):
        decisions, marks = drawn(generator)
        truth, guess = marks.numpy(), decisions.numpy()
        labels = truth.shape[1]  # one column is no set of labels for scikit-learn
        nothing_is_perfect = not any((guess.any(axis) != truth.any(axis)).any() for axis in (0, 1))
        wanted = {
            metrics.adapt("hamming_loss"): (truth != guess).mean(),
            metrics.adapt("subset_accuracy"): (truth == guess).all(1).mean(),
        }
        for average in ("macro", "micro", "samples", "weighted"):
            settings = {"average": average, "zero_division": 1.0}
            shares = {"f_beta": {"beta": 0.5}, "jaccard": {}, "precision": {}, "recall": {}}
            for name, given in shares.items():
                metric = metric_record(getattr(metrics, f"multilabel_{name}"), average=average, **given)
                if average == "weighted" and not truth.any():
                    wanted[metric] = math.nan
                elif labels > 1 and (nothing_is_perfect or name in ("f_beta", "jaccard")):
                    theirs = getattr(sklearn.metrics, f"{name.replace('f_beta', 'fbeta')}_score")
                    wanted[metric] = theirs(truth, guess, **settings, **given)
        for metric, value in wanted.items():
            found = metric.summarise(metric.measure(decisions, marks))
            torch.testing.assert_close(
                found, float(value), rtol=0, atol=1e-12, equal_nan=True, msg=metric.name
            )


@pytest.mark.parametrize("name", TABLES)
def test_tables_of_labels_give_the_value(generator: torch.Generator, name: str) -> None:
    """The record's function of tables is the metric; macro is the mean of what each label has alone."""
    metric = metrics.adapt(name)
    assert metric.reads == "labels" and metric.of_table is None
    tables, wanted = [], []
    for _ in range(30):
        decisions, marks = torch.randint(2, (2, 12, 3), generator=generator)
        tables.append(counted(decisions, marks))
        wanted.append(metric.summarise(metric.measure(decisions, marks)))
    stacked = torch.stack(tables)
    found = of_tables(name)(stacked)
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64), rtol=0, atol=1e-12)
    alone = torch.stack([of_tables(name)(stacked[:, [label]]) for label in range(3)]).mean(0)
    if metric.settings.get("average", "macro") == "macro":
        torch.testing.assert_close(found, alone, rtol=0, atol=1e-12)
    else:
        assert bool((found != alone).any())


@pytest.mark.parametrize("name", TABLES)
def test_tables_of_real_numbers_have_a_gradient(generator: torch.Generator, name: str) -> None:
    """Losses put soft counts in."""
    tables = torch.rand(2, 3, 2, 2, generator=generator, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(of_tables(name), tables)
    empty = torch.zeros(1, 2, 2, dtype=torch.float64)
    empty[0, 0, 0] = 3
    (gradient,) = torch.autograd.grad(of_tables(name)(empty.requires_grad_()).nan_to_num(0.0), empty)
    assert bool(gradient.isfinite().all())


@pytest.mark.parametrize(
    "name",
    [
        "f1_samples",
        "jaccard_samples",
        "subset_accuracy",
        "hamming_loss:threshold=0.5",
        "multilabel_f1_macro:threshold=0",
    ],
)
def test_what_is_no_function_of_tables_says_so(name: str) -> None:
    """Means over samples, and what decides by a threshold of its own."""
    assert metrics.adapt(name).of_label_tables is None


def test_scores_become_decisions() -> None:
    """Logits at 0, probabilities at one half, decisions as they are, a threshold where one is given."""
    marks = torch.tensor([[1, 0], [0, 1]])
    for outputs, settings, wanted in (
        (torch.tensor([[2.0, 0.2], [-1.0, 3.0]]), {}, 0.25),
        (torch.tensor([[0.9, 0.2], [0.4, 0.6]]), {}, 0.0),
        (torch.tensor([[1.0, 0.0], [0.0, 1.0]]), {}, 0.0),
        (torch.tensor([[1.0004, 0.2], [0.4, 0.6]]), {}, 0.0),  # rounded beyond 1
        (torch.tensor([[True, False], [True, True]]), {}, 0.25),
        (torch.tensor([[0.9, 0.2], [0.4, 0.6]]), {"threshold": 0.1}, 0.5),
        (torch.tensor([[math.inf, -1.0], [-2.0, 1.0]]), {}, 0.0),
        (torch.tensor([[0.5, 0.5], [0.5, 0.5]]), {}, 0.5),
    ):
        assert float(metrics.hamming_loss(outputs, marks, **settings)) == wanted


@pytest.mark.parametrize(
    ("outputs", "targets", "settings", "message"),
    [
        (
            torch.zeros(3, 2),
            torch.zeros(3),
            {},
            "Of one class per sample ask for a metric without multilabel",
        ),
        (torch.zeros(3, 2), torch.zeros(3, 3), {}, r"outputs are \(3, 2\).*targets are \(3, 3\)"),
        (torch.zeros(3), torch.zeros(3), {}, r"\[sample, label\]"),
        (torch.zeros(3, 2), torch.full((3, 2), 2), {}, r"targets have the values \[2.0\]; expected 0 and 1"),
        (torch.full((3, 2), 3), torch.zeros(3, 2), {}, "whole numbers .3.; expected 0 and 1"),
        (torch.full((3, 2), math.nan), torch.zeros(3, 2), {}, "NaN, first in row 0"),
        (torch.ones(3, 2).long(), torch.zeros(3, 2), {"threshold": 0.5}, "which have no threshold"),
        (torch.ones(3, 2), torch.zeros(3, 2), {"average": "binary"}, "average is 'binary'"),
        (torch.ones(3, 2), torch.zeros(3, 2), {"beta": 0}, "beta is 0"),
    ],
)
def test_what_does_not_fit_is_refused(outputs, targets, settings, message: str) -> None:
    """In one sentence."""
    with pytest.raises(InputError, match=message):
        metrics.multilabel_f_beta(outputs, targets, **settings)


@pytest.mark.parametrize(
    "name", ["hamming_loss", "f1_samples", "multilabel_f1_micro", "multilabel_f1_weighted"]
)
def test_resamples_are_repetitions(generator: torch.Generator, name: str) -> None:
    """A sample that is drawn three times counts three times."""
    metric = metrics.adapt(name)
    decisions, marks = torch.randint(2, (2, 15, 4), generator=generator)
    rows = metric.measure(decisions, marks)
    times = torch.randint(4, (20, 15), generator=generator).double()
    wanted = [metric.summarise(rows.repeat_interleave(one.long(), 0)) for one in times]
    found = metric.summarise.of_counts(rows)(times)
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("logits", [True, False])
def test_functions_of_scikit_learn_read_labels(generator: torch.Generator, logits: bool) -> None:
    """Targets of several columns are several labels: scores become decisions as for a metric of ours."""
    scores = torch.randn(30, 4, generator=generator)
    outputs, marks = scores if logits else scores.sigmoid(), torch.randint(2, (30, 4), generator=generator)
    decisions = (scores > 0).long()
    for metric, ours, reads in (
        (partial(sklearn.metrics.f1_score, average="samples", zero_division=1), "f1_samples", "labels"),
        (sklearn.metrics.get_scorer("jaccard_samples"), "jaccard_samples", "labels"),
        (partial(sklearn.metrics.f1_score, average="macro"), "multilabel_f1_macro", "classes"),
        (sklearn.metrics.accuracy_score, "subset_accuracy", "classes"),
        (sklearn.metrics.hamming_loss, "hamming_loss", "classes"),
    ):
        theirs, wanted = metrics.adapt(metric), metrics.adapt(ours)
        assert theirs.reads == reads
        found = theirs.summarise(theirs.measure(outputs, marks))
        of_decisions = wanted.summarise(wanted.measure(decisions, marks))
        if ours != "jaccard_samples":  # a sample without a label, there or predicted, is 0 for their scorer
            torch.testing.assert_close(found, of_decisions, rtol=0, atol=1e-12)
        assert 0 < found < 1


def test_a_metric_of_one_class_says_what_takes_several() -> None:
    """Where targets have several columns."""
    with pytest.raises(
        InputError, match="Several labels per sample are what multilabel_f_beta and hamming_loss take"
    ):
        metrics.f_beta(torch.zeros(3, 2), torch.zeros(3, 2), average="macro")
