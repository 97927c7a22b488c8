"""The list of families: what `auto` chooses, by what a metric is and never by what it is called."""

import dataclasses
from functools import partial

import pytest
import torch

from metricgrad import metrics
from metricgrad._types import Metric
from metricgrad.errors import InputError
from metricgrad.learned import words
from metricgrad.methods.decodes import objective_for
from metricgrad.methods.families import FAMILIES, automatic, road_named, roads
from metricgrad.methods.grammar import read_method
from metricgrad.metrics import adapt, of_kind

CHOICES = [
    ("recall@1", "surrogate:recall_at_k"), ("map", "surrogate:recall_at_k"), ("knn_accuracy", "surrogate:recall_at_k"),
    ("F1", "direct:f_beta"), ("f_beta:beta=2", "direct:f_beta"), (metrics.f_beta, "direct:f_beta"),
    (partial(metrics.f_beta, beta=2), "direct:f_beta"), ("AUC", "direct:auc"),
    ("balanced_error", "direct:balanced_error"),
    (metrics.binary_average_precision, "direct:average_precision"),
    (of_kind(adapt("edit_distance"), words("ab", 3)), "learned"),
]  # fmt: skip


@pytest.mark.parametrize(("metric", "name"), CHOICES)
def test_auto_knows_a_metric_by_what_it_is(metric: object, name: str) -> None:
    """By its function and settings: another name changes nothing."""
    record = adapt(metric)
    for one in (record, dataclasses.replace(record, name="mine")):
        assert str(automatic(one)) == name
        assert road_named("auto", one).name == name


def test_a_function_of_the_same_name_is_another() -> None:
    """A function of the user that is called like ours, and any record under the name of ours, is not taken for ours."""

    def f_beta(outputs: torch.Tensor, targets: torch.Tensor) -> float:
        return float((outputs.argmax(1) == targets).double().mean())

    for record in (
        adapt(f_beta, higher_is_better=True),
        dataclasses.replace(adapt("accuracy"), name="f1"),
        dataclasses.replace(adapt("macro_f1"), name="f1"),
    ):
        assert objective_for(record) is None
        with pytest.raises(InputError, match=r"Not suited: surrogate: .*; direct: .*; learned: "):
            automatic(record)


def test_the_metric_says_the_weight_of_recall() -> None:
    """The direct loss of an F-measure has the beta of the metric, unless the settings say another."""
    metric = dataclasses.replace(adapt(partial(metrics.f_beta, beta=2)), name="mine")
    for settings, beta in (({}, 2), ({"beta": 0.5}, 0.5)):
        road = road_named("auto", metric)
        method = road.make(road.settings(objective=settings))
        assert method.loss.structure.beta == beta  # pyright: ignore[reportAttributeAccessIssue]


def test_every_listed_name_belongs_to_its_family() -> None:
    """What a family lists is read as a name of that family, and explained by something with a text."""
    for family in FAMILIES:
        listed = family.roads()
        assert listed and family.line
        for name, target in listed.items():
            assert read_method(name).family == family.name
            assert target.__doc__


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("surogate:recall_at_k", "Did you mean 'surrogate'"), ("auto+x", "no method"), ("learned:x", "no method"),
        ("learned+simix", "no method"), ("direct:auc+x", "option 'x'"), ("surrogate:recal_at_k", "'recall_at_k'"),
        ("surrogate", "no loss ''"), ("surrogate:recall_at_k, x", "no method 'x'"),
    ],
)  # fmt: skip
def test_what_is_not_there(text: str, message: str) -> None:
    """A name that nothing has is refused, with the nearest one."""
    metric: Metric = adapt("recall@1")
    with pytest.raises(InputError, match=message):
        roads(text, metric)
