"""Facts stand beside a metric's function: what is known of it, and that nothing else need name it."""

import inspect

import pytest
import torch
from torch import Tensor

from metricgrad import metrics
from metricgrad._types import Metric
from metricgrad.errors import InputError
from metricgrad.metrics import names, records
from metricgrad.metrics.class_rows import prediction_rows
from metricgrad.metrics.confusion import Confusion, of_confusion
from metricgrad.metrics.facts import Facts
from metricgrad.metrics.known import FACTS, FAMILIES
from metricgrad.metrics.of_rows import of_all
from tests.laws.cases import METRIC_CASES, MetricCase

NEIGHBOURS = {"knn_accuracy", "knn_error"}


def test_every_metric_has_facts() -> None:
    """Every function with a row of laws has an entry under its name, and no entry is of anything else."""
    assert FACTS.keys() == {case.target.__name__ for case in METRIC_CASES} | NEIGHBOURS
    assert all(getattr(metrics, name) is facts.function for name, facts in FACTS.items())


def test_no_two_metrics_have_one_name() -> None:
    """Neither functions nor aliases."""
    called = [name for facts in FACTS.values() for name in (facts.name, *facts.aliases)]
    assert len(called) == len(set(called)) == len(FACTS) + len(names.ALIASES)


@pytest.mark.parametrize("case", METRIC_CASES, ids=lambda case: case.label)
def test_facts_agree_with_the_laws(case: MetricCase) -> None:
    """Direction and bounds of the record are those that the laws are held to."""
    metric = records.metric_record(case.target, **case.settings)
    assert metric.higher_is_better == case.higher_is_better
    assert metric.bounds == case.bounds
    assert metric.unit == ("query" if case.ranking else case.unit)


@pytest.mark.parametrize(
    "name", ["recall@3", "macro_f1", "knn_error@7", "edit_distance:normalizer=longer", "iou"]
)
def test_function_and_settings_make_the_record_again(name: str) -> None:
    """They are all that there is to a metric but for its name."""
    metric = metrics.adapt(name)
    assert metric.function is not None
    again = records.metric_record(metric.function, **metric.settings)
    facts = ("higher_is_better", "bounds", "per_sample", "unit", "reads", "settings")
    assert all(getattr(metric, fact) == getattr(again, fact) for fact in facts)


def matthews(outputs: Tensor, targets: Tensor, *, threshold: float | None = None) -> Tensor:
    """Correlation of predicted and target classes (exact)."""
    rows = prediction_rows("matthews", outputs, targets, threshold=threshold)
    return of_all(lambda table: of_confusion(_matthews, table), rows)


def _matthews(counted: Confusion) -> Tensor:
    """Of several classes ([gorodkin2004comparing])."""
    predicted, present, samples = counted.predicted, counted.present, counted.samples
    joint = counted.right.sum(-1) * samples - (predicted * present).sum(-1)
    spread = [samples**2 - (side**2).sum(-1) for side in (predicted, present)]
    return joint / (spread[0] * spread[1]).sqrt()


@pytest.fixture
def with_matthews(monkeypatch: pytest.MonkeyPatch) -> Facts:
    """A decision metric as a newcomer adds it: the function, its formula and one entry of facts."""
    facts = Facts(
        matthews,
        "classes",
        lambda outputs, targets, *, threshold=None: prediction_rows(
            "matthews", outputs, targets, threshold=threshold
        ),
        of_rows=lambda rows: of_confusion(_matthews, rows),
        bounds=(-1.0, 1.0),
        aliases={"matthews_again": {}},
    )
    monkeypatch.setitem(FAMILIES, "classification", (*FAMILIES["classification"], facts))
    monkeypatch.setitem(FACTS, "matthews", facts)
    monkeypatch.setitem(names.ALIASES, "matthews_again", ("matthews", {}))
    return facts


@pytest.mark.parametrize("name", ["matthews", "matthews_again", "matthews_again:threshold=0"])
def test_a_new_decision_metric_has_its_name(
    with_matthews: Facts, generator: torch.Generator, name: str
) -> None:
    """It is listed, made by name, measured and resampled, and agrees with scikit-learn."""
    sklearn = pytest.importorskip("sklearn.metrics")
    assert (
        metrics.named_metrics()["matthews"]
        == metrics.named_metrics()["matthews_again"]
        == with_matthews.sentence
    )
    metric = metrics.adapt(name)
    assert isinstance(metric, Metric) and metric.bounds == (-1.0, 1.0) and not metric.per_sample
    assert metric.reads == ("scores" if "threshold" in name else "classes")
    classes = 2 if "threshold" in name else 4
    targets = torch.randint(0, classes, (60,), generator=generator)
    outputs = torch.nn.functional.one_hot(targets, classes) + torch.randn(60, classes, generator=generator)
    predictions = outputs.argmax(1)
    if "threshold" in name:
        outputs = outputs[:, 1] - outputs[:, 0]
    rows = metric.measure(outputs, targets)
    wanted = sklearn.matthews_corrcoef(targets.numpy(), predictions.numpy())
    torch.testing.assert_close(metric.summarise(rows), float(wanted), rtol=0, atol=1e-12)
    drawn = torch.randint(0, 60, (60,), generator=generator)
    times = torch.bincount(drawn, minlength=60).double()
    resampled = metric.summarise.of_counts(rows)(times)
    torch.testing.assert_close(float(resampled), metric.summarise(rows[drawn]), rtol=0, atol=1e-12)


def test_a_setting_it_does_not_have(with_matthews: Facts) -> None:
    """It is refused with those that it has."""
    with pytest.raises(InputError, match=r"no setting 'beta'; expected one of its settings \(threshold\)"):
        metrics.adapt("matthews_again:beta=2")


def test_every_setting_of_a_record_is_one_of_its_function() -> None:
    """But for those of how embeddings are ranked."""
    for name, facts in FACTS.items():
        own = inspect.signature(facts.function).parameters
        needed = {"k": 3, "min_recall": 0.5, "min_precision": 0.5, "max_fpr": 0.5, "cost": "0 1; 1 0"}
        settings = facts.complete({key: value for key, value in needed.items() if key in own})
        assert settings.keys() - own.keys() <= {"normalize"}, name
