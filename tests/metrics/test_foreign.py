"""What a foreign function may do: return odd things, raise, change its arguments, print; never other statistics."""

import math
import random
import sys
import warnings
from decimal import Decimal
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
import sklearn.metrics
import torch
import torchmetrics
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import distributed

from metricgrad import metrics
from metricgrad.errors import InputError, MetricFailed
from tests.metrics.called_metrics import FORMS, precision

LOGITS = torch.randn(60, 3, generator=torch.Generator().manual_seed(3))
TARGETS = torch.randint(0, 3, (60,), generator=torch.Generator().manual_seed(4))


def value(metric, outputs, targets) -> float:
    """Measure and summarise."""
    return metric.summarise(metric.measure(outputs, targets))


def same(found: float, wanted: float) -> None:
    """Equal, both NaN included."""
    torch.testing.assert_close(found, wanted, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize(
    ("returned", "number"),
    [
        (np.ma.masked, math.nan),
        (np.ma.array([1.0], mask=True), math.nan),
        (np.longdouble("0.25"), 0.25),
        (torch.tensor([[0.5]], dtype=torch.bfloat16), 0.5),
        (np.bool_(True), 1.0),
        (Fraction(1, 4), 0.25),
        (Decimal("0.75"), 0.75),
        (float("nan"), math.nan),
    ],
)
def test_what_counts_as_a_number(returned: object, number: float) -> None:
    """Whatever holds one real number is one; a masked value is undefined, never 0."""
    metric = metrics.adapt(lambda *_: returned, higher_is_better=True)
    same(value(metric, LOGITS, TARGETS), number)


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        (None, "it returned None"),
        ("0.5", "it returned '0.5'"),
        (1j, "it returned 1j"),
        (torch.tensor(1j), r"0\.\+1\.j"),
        (np.zeros(3), r"\(3,\) of float64"),
        (math.inf, "it returned inf"),
        ({"f1": 0.5}, "it returned {'f1': 0.5}"),
    ],
)
def test_what_is_no_number(returned: object, told: str) -> None:
    """Refused with what came; infinite numbers cannot be subtracted, so they are no values of a metric."""
    metric = metrics.adapt(lambda *_: returned, higher_is_better=True)
    with pytest.raises(MetricFailed, match=told):
        value(metric, LOGITS, TARGETS)


@pytest.mark.parametrize("raised", [ZeroDivisionError("no positive"), KeyError("x"), RecursionError("deep")])
def test_a_metric_that_raises_is_told_by_name(raised: Exception) -> None:
    """One error of ours with the metric's name, the exception's type and its text, which stays its cause."""

    def stumbles(outputs, targets):
        raise raised

    metric = metrics.adapt(stumbles, higher_is_better=True, unit="sample")
    with pytest.raises(MetricFailed, match=f"stumbles: it raised {type(raised).__name__}") as told:
        metric.summarise(metric.measure(LOGITS, TARGETS))
    assert str(raised) in str(told.value) and told.value.__cause__ is raised


class Unprintable(Exception):
    """An exception that cannot even be shown."""

    def __str__(self) -> str:
        """Fail."""
        raise ValueError


@pytest.mark.parametrize(
    "returned", [Decimal("sNaN"), 10**400, Fraction(10**400), torch.empty(1, device="meta"), Unprintable]
)
def test_what_breaks_while_it_is_read_is_told_too(returned: object) -> None:
    """A number too large for a float, an exception without a text."""

    def odd(outputs, targets):
        if returned is Unprintable:
            raise Unprintable
        return returned

    with pytest.raises(MetricFailed, match="odd: it raised"):
        value(metrics.adapt(odd, higher_is_better=True, unit="sample"), LOGITS, TARGETS)


# ------------------------------------------------------------------------------------------- copies


class Vandal:
    """Changes everything that it is given, then and afterwards."""

    def __init__(self) -> None:
        self.kept: list = []

    def __call__(self, outputs, targets) -> float:
        """The sum of what came; what was kept from before is spoilt as well."""
        found = float(sum(float(part.sum()) for part in self._arrays((outputs, targets))))
        self.kept += self._arrays((outputs, targets))
        for part in self.kept:
            part *= 0
        for part in (outputs, targets):
            if isinstance(part, list | dict):
                part.clear()
        return found

    def _arrays(self, value) -> list:
        if isinstance(value, torch.Tensor | np.ndarray):
            return [value]
        items = value.values() if isinstance(value, dict) else value
        return [one for item in items for one in self._arrays(item)]


def wide(*shape: int) -> torch.Tensor:
    """Random float64 numbers."""
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("outputs", "targets"),
    [
        (wide(6), wide(6)),
        (wide(6, 3), torch.arange(6)),
        (torch.arange(6), torch.arange(6).float()),
        (wide(6).numpy(), wide(6).numpy()),
        ([wide(2), wide(3)], [wide(1), wide(1)]),
        ({"boxes": wide(4, 4), "scores": [wide(4)]}, {"boxes": wide(4, 4)}),
        ((wide(3), {"a": wide(2).numpy()}), wide(3)),
    ],
)
def test_a_metric_works_on_copies(outputs, targets) -> None:
    """Whatever it does to its arguments stays its own: the data, the statistics and every later value."""
    before = [torch.as_tensor(part).clone() for part in Vandal()._arrays((outputs, targets))]
    metric = metrics.adapt(Vandal(), higher_is_better=True, unit="sample")
    rows = metric.measure(outputs, targets)
    kept = rows.clone()
    values = {metric.summarise(rows) for _ in range(3)}
    assert len(values) == 1 and torch.equal(rows, kept)
    assert values.pop() == pytest.approx(sum(float(part.sum()) for part in before))
    for part, wanted in zip(Vandal()._arrays((outputs, targets)), before, strict=True):
        torch.testing.assert_close(torch.as_tensor(part), wanted, rtol=0, atol=0)


def test_what_cannot_be_copied_is_told() -> None:
    """A generator has no copy."""
    metric = metrics.adapt(lambda outputs, targets: 0.0, higher_is_better=True)
    with pytest.raises(InputError, match="cannot be copied"):
        metric.measure((one for one in range(3)), [1, 2, 3])


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=8), st.sampled_from([1, 2, 3]))
def test_whole_numbers_of_64_bits_come_back(numbers: list[int], width: int) -> None:
    """Rows of float64 hold every int64, drawn with replacement too."""
    held = []
    metric = metrics.adapt(lambda *pair: held.append(pair) or 0.0, higher_is_better=True, unit="sample")
    outputs, targets = torch.tensor(numbers)[:, None].expand(-1, width), torch.tensor(numbers).flip(0)
    rows = metric.measure(outputs, targets)
    drawn = torch.randint(0, len(numbers), (5,), generator=torch.Generator().manual_seed(0))
    for index in (torch.arange(len(numbers)), drawn):
        metric.summarise(rows[index])
        assert torch.equal(held[-1][0], outputs[index]) and torch.equal(held[-1][1], targets[index])
    assert bool(rows.isfinite().all())


@pytest.mark.parametrize("dtype", [torch.uint16, torch.uint32, torch.uint64])
def test_unsigned_numbers_come_back(dtype: torch.dtype) -> None:
    """To their largest."""
    numbers = torch.tensor([0, 1, torch.iinfo(dtype).max], dtype=dtype)
    held = []
    metric = metrics.adapt(lambda *pair: held.append(pair) or 0.0, higher_is_better=True, unit="sample")
    value(metric, torch.zeros(3, 0), numbers)
    assert held[-1][1].dtype == dtype and held[-1][1].tolist() == numbers.tolist()
    assert held[-1][0].shape == (3, 0)


@pytest.mark.parametrize(
    ("outputs", "targets", "rows"),
    [
        (LOGITS.numpy(), TARGETS.numpy(), 60),
        (LOGITS, TARGETS.numpy() == 1, 60),
        (LOGITS.double().numpy()[::-1], TARGETS, 60),
        (LOGITS, np.array(["a", "b"] * 30), 1),
        (LOGITS.numpy().astype(">f4"), TARGETS, 1),
        (np.ma.array(LOGITS.numpy(), mask=False), TARGETS, 1),
        (LOGITS, TARGETS[:50], 1),
        (LOGITS.to_sparse(), TARGETS, 1),
    ],
)
def test_arrays_are_drawn_and_come_back_as_arrays(outputs, targets, rows: int) -> None:
    """Arrays of numpy as well as tensors; anything else is one row."""
    held = []
    metric = metrics.adapt(lambda *pair: held.append(pair) or 0.0, higher_is_better=True)
    statistics = metric.measure(outputs, targets)
    metric.summarise(statistics)
    assert len(statistics) == rows
    for part, wanted in zip(held[-1], (outputs, targets), strict=True):
        assert type(part) is type(wanted) and part.shape == wanted.shape and part.dtype == wanted.dtype
        assert bool((part == wanted).all()) if rows > 1 else True


# ---------------------------------------------------------------------------------- in which order


@pytest.mark.parametrize("form", FORMS)
def test_the_first_parameter_decides(form: str) -> None:
    """Precision stays precision in every form that can be called; never recall."""
    predicted, target = torch.tensor([1, 1, 1, 0, 0]), torch.tensor([1, 0, 0, 0, 1])
    metric = metrics.adapt(FORMS[form], higher_is_better=True)
    assert value(metric, predicted, target) == pytest.approx(1 / 3)
    first = "targets" if form != "outputs first" else "outputs"
    assert f"f({first}, " in metric.description


def test_a_scorer_of_a_function_of_the_user_in_any_form() -> None:
    """make_scorer keeps the order, the sign and the settings."""
    predicted, target = torch.tensor([1, 1, 1, 0, 0]), torch.tensor([1, 0, 0, 0, 1])
    for form in (precision, partial(precision), FORMS["object"], FORMS["bound method"]):
        scorer = sklearn.metrics.make_scorer(form, greater_is_better=False)
        metric = metrics.adapt(scorer)
        assert metric.higher_is_better is False
        assert value(metric, predicted, target) == pytest.approx(1 / 3)


# ------------------------------------------------------------------------------------ scikit-learn


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (sklearn.metrics.auc, r"its first parameters are \(x, y\)"),
        (sklearn.metrics.silhouette_score, r"\(X, labels\)"),
        (sklearn.metrics.davies_bouldin_score, r"\(X, labels\)"),
        (sklearn.metrics.pairwise_distances, r"\(X, Y\)"),
        (sklearn.metrics.consensus_score, r"\(a, b\)"),
        (sklearn.metrics.roc_curve, "table, curve or text"),
        (sklearn.metrics.det_curve, "table, curve or text"),
        (sklearn.metrics.confusion_matrix, "table, curve or text"),
        (sklearn.metrics.classification_report, "table, curve or text"),
        (sklearn.metrics.precision_recall_fscore_support, "table, curve or text"),
        (sklearn.metrics.homogeneity_completeness_v_measure, "table, curve or text"),
        (partial(sklearn.metrics.confusion_matrix, normalize="true"), "table, curve or text"),
        (sklearn.metrics.PredictionErrorDisplay, "table, curve or text"),
        (sklearn.metrics.check_scoring, "estimator"),
        (sklearn.metrics.make_scorer, "score_func"),
    ],
)
def test_what_is_no_metric_of_truth_and_prediction(function, told: str) -> None:
    """Refused by name when it is given, with or without a direction."""
    for direction in (None, True):
        with pytest.raises(InputError, match=told):
            metrics.adapt(function, higher_is_better=direction)


@pytest.mark.parametrize("name", sorted(sklearn.metrics.get_scorer_names()))
def test_every_scorer_is_taken(name: str) -> None:
    """Each has a direction and reads something."""
    found = metrics.adapt(sklearn.metrics.get_scorer(name))
    assert found.reads in ("classes", "labels", "scores", "probabilities", "values")
    assert found.higher_is_better is not name.startswith("neg_")


@pytest.mark.parametrize("name", sorted(sklearn.metrics.__all__))
def test_every_public_function_is_a_metric_or_refused(name: str) -> None:
    """Measured on data that fits what it reads, or one sentence; never another exception."""
    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(40, 2, generator=generator)
    targets = (logits[:, 1] + torch.randn(40, generator=generator) > 0).long()
    outputs = {"values": logits[:, 1].exp(), "probabilities": logits.softmax(1)}
    try:
        metric = metrics.adapt(getattr(sklearn.metrics, name), higher_is_better=None)
        found = value(metric, outputs.get(metric.reads or "", logits), targets)
    except InputError as error:
        assert "expected" in str(error)
    else:
        assert isinstance(found, float)


@pytest.mark.parametrize("columns", [0, 1, 2])
def test_decision_values_and_probabilities_of_one_and_two_columns(columns: int) -> None:
    """hinge_loss gets decision values, roc_auc scores, brier_score_loss and log_loss probabilities of class 1."""
    generator = torch.Generator().manual_seed(6)
    logits = 2 * torch.randn(50, 2, generator=generator, dtype=torch.float64)
    logit = logits[:, 1] - logits[:, 0]
    targets = (torch.rand(50, generator=generator) < logit.sigmoid()).long()
    truth = targets.numpy()
    scores = {0: logit, 1: logit[:, None], 2: logits}[columns]
    chance = {0: logit.sigmoid(), 1: logit.sigmoid()[:, None], 2: logits.softmax(1)}[columns]
    for function, given_outputs, prediction in (
        (sklearn.metrics.hinge_loss, scores, logit),
        (sklearn.metrics.roc_auc_score, scores, logit),
        (sklearn.metrics.average_precision_score, chance, logit),
        (sklearn.metrics.brier_score_loss, chance, logit.sigmoid()),
        (sklearn.metrics.log_loss, chance, logit.sigmoid()),
        (sklearn.metrics.d2_brier_score, chance, logit.sigmoid()),
    ):
        for shape in ((50,), (50, 1)):
            found = value(metrics.adapt(function), given_outputs, targets.reshape(shape))
            assert found == pytest.approx(function(truth, prediction.numpy()), abs=1e-9)


# ------------------------------------------------------------------------------------ torchmetrics


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """A process group of one, in which any collective operation is a failure of the test."""
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)

    def refuse(*_, **__):
        raise AssertionError("a collective operation")

    for name in ("all_gather", "all_gather_object", "all_reduce", "barrier", "broadcast"):
        monkeypatch.setattr(distributed, name, refuse)
    yield
    distributed.destroy_process_group()


@pytest.mark.parametrize(
    "metric",
    [
        torchmetrics.classification.MulticlassAccuracy(3),
        torchmetrics.classification.MulticlassAccuracy(3, dist_sync_on_step=True),
        torchmetrics.wrappers.BootStrapper(torchmetrics.classification.MulticlassAccuracy(3), std=False),
        torchmetrics.classification.MulticlassAccuracy(3) + torchmetrics.classification.MulticlassF1Score(3),
        torchmetrics.wrappers.ClasswiseWrapper(
            torchmetrics.classification.MulticlassAccuracy(3, average=None)
        ),
    ],
)
def test_torchmetrics_never_wait_for_other_processes(alone, metric) -> None:
    """Nor those within others."""
    adapted = metrics.adapt(metric, higher_is_better=True)
    try:
        assert math.isfinite(value(adapted, LOGITS, TARGETS))
    except MetricFailed as error:
        assert "it returned {" in str(error)
    assert metric.sync_on_compute


@pytest.mark.parametrize(
    ("metric", "told"),
    [
        (
            torchmetrics.MetricCollection(
                [torchmetrics.MeanSquaredError(), torchmetrics.MeanAbsoluteError()]
            ),
            "holds 2",
        ),
        (torchmetrics.MeanMetric(), "aggregates values"),
        (torchmetrics.AUROC, "cannot be made an object without arguments"),
        (torchmetrics.retrieval.RetrievalMRR(), "needs flat scores"),
    ],
)
def test_torchmetrics_that_are_no_single_metric(metric, told: str) -> None:
    """Refused in one sentence, with a direction as well."""
    with pytest.raises(InputError, match=told):
        metrics.adapt(metric, higher_is_better=True)


def test_torchmetrics_of_columns_classes_and_users() -> None:
    """A column beside a vector is a vector; a class is made an object; a user's `update` may take the truth first."""

    class Under(torchmetrics.Metric):
        """Share of targets above the output."""

        higher_is_better = False

        def __init__(self) -> None:
            super().__init__()
            self.add_state("values", default=[])

        def update(self, target, preds):
            self.values.append((target > preds).double())

        def compute(self):
            return torch.cat(self.values).mean()

    scores, targets = torch.linspace(0, 1, 20), torch.arange(20) % 2
    wanted = sklearn.metrics.roc_auc_score(targets.numpy(), scores.numpy())
    for outputs in (scores, scores[:, None]):
        found = value(metrics.adapt(torchmetrics.classification.BinaryAUROC), outputs, targets)
        assert found == pytest.approx(wanted, abs=1e-6)
        assert value(metrics.adapt(Under()), outputs, targets) == float((targets > scores).double().mean())
    with pytest.raises(InputError, match=r"take MulticlassAUROC\(num_classes=3\)"):
        value(metrics.adapt(torchmetrics.classification.BinaryAUROC()), LOGITS, TARGETS)
    assert metrics.adapt(torchmetrics.classification.BinaryAUROC).reads == "scores"
    assert metrics.adapt(torchmetrics.MeanSquaredError()).reads == "values"


@pytest.mark.parametrize("columns", [0, 1])
@pytest.mark.parametrize(
    "metric",
    [
        torchmetrics.classification.MulticlassAccuracy(2),
        torchmetrics.classification.MulticlassCalibrationError(2),
        torchmetrics.F1Score(task="multiclass", num_classes=2),
        1 - torchmetrics.classification.MulticlassAccuracy(2),
    ],
)
def test_one_score_is_no_class_of_torchmetrics(metric, columns: int) -> None:
    """A probability would lose its decimals and be class 0; ids in a column are ids."""
    chance = torch.linspace(0, 1, 20).reshape(-1, *[1] * columns)
    adapted, targets = (
        metrics.adapt(metric, higher_is_better=metric.higher_is_better is not False),
        torch.arange(20) % 2,
    )
    for given_targets in (targets, targets[:, None].float()):
        with pytest.raises(InputError, match=r"For one score of class 1 take Binary\w+\(\)"):
            value(adapted, chance, given_targets)
    scores = torch.stack([1 - chance.flatten(), chance.flatten()], 1)
    assert math.isfinite(value(adapted, scores, targets[:, None]))


@pytest.mark.parametrize(
    ("metric", "reads"),
    [
        (torchmetrics.classification.BinaryCalibrationError(), "scores"),
        (torchmetrics.classification.BinaryHingeLoss, "scores"),
        (torchmetrics.classification.BinaryLogAUC(), "scores"),
        (torchmetrics.classification.BinarySpecificityAtSensitivity(0.5), "scores"),
        (torchmetrics.classification.BinaryPrecision(), "classes"),
        (torchmetrics.Specificity(task="binary"), "classes"),
        (torchmetrics.text.CharErrorRate(), "texts"),
    ],
)
def test_what_torchmetrics_read(metric, reads: str) -> None:
    """Those for which the size of a score counts never get a column of predictions."""
    assert metrics.adapt(metric, higher_is_better=None if "Spec" not in repr(metric) else True).reads == reads


class Uninstalled(torchmetrics.MeanSquaredError):
    """A class that cannot be made an object for want of a package."""

    def __init__(self) -> None:
        raise ModuleNotFoundError("install nltk")


def test_a_class_of_torchmetrics_that_cannot_be_made() -> None:
    """One sentence, whatever its making raises."""
    with pytest.raises(InputError, match="ModuleNotFoundError: install nltk"):
        metrics.adapt(Uninstalled)


# --------------------------------------------------------------------------- anything at any call


def leaves(metric, outputs, targets):
    """Measure; exits are failures, and the mode of gradients is as before."""
    try:
        return value(metric, outputs, targets)
    finally:
        assert torch.is_grad_enabled()


@pytest.mark.parametrize("unit", ["sample", "whole", "each"])
def test_what_a_metric_leaves_behind(unit: str) -> None:
    """It may turn gradients off and leave; the training goes on with them."""

    def rude(outputs, targets):
        torch.set_grad_enabled(False)
        if float(targets.sum()) > 100:
            sys.exit(0)
        return float((outputs - targets).abs().sum())

    metric = (
        metrics.per_sample(rude, higher_is_better=False)
        if unit == "each"
        else metrics.adapt(rude, higher_is_better=False, unit=unit)
    )
    assert leaves(metric, torch.zeros(12), torch.ones(12)) == (1 if unit == "each" else 12)
    with pytest.raises(MetricFailed, match="raised SystemExit: 0"):
        leaves(metric, torch.zeros(12), torch.full((12,), 101))


@settings(max_examples=40)
@given(
    faults=st.lists(st.sampled_from(["none", "raise", "nan", "none returned", "print", "mutate", "masked", "draw"]),
                    min_size=1, max_size=12),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_metrics_that_misbehave_at_random_calls(faults: list[str], seed: int) -> None:
    """A value, NaN or one sentence at every call; the statistics and the samples stay what they were."""
    calls = iter(faults * 100)
    outputs, targets = wide(12), wide(12).roll(seed)

    def moody(outputs, targets):
        fault, found = next(calls), float((outputs * targets).mean())
        if fault == "raise":
            raise random.Random(seed).choice([ValueError("no"), ZeroDivisionError(), KeyError(1)])
        if fault == "mutate":
            outputs.zero_()
            targets.fill_(math.nan)
        if fault == "print":
            print("measuring", file=sys.stderr)
            warnings.warn("careful", UserWarning, stacklevel=1)
        return {"nan": math.nan, "none returned": None, "masked": np.ma.masked}.get(fault, found)

    metric = metrics.adapt(moody, higher_is_better=True, unit="sample")
    rows = metric.measure(outputs, targets)
    kept, draws = rows.clone(), np.random.default_rng(seed)
    for _ in range(8):
        index = torch.from_numpy(draws.integers(12, size=12))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                found = metric.summarise(rows[index])
            except MetricFailed as error:
                assert str(error).startswith("moody: it ")
            else:
                assert math.isnan(found) or found == float((outputs[index] * targets[index]).mean())
    assert torch.equal(rows, kept)
