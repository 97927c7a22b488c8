"""What is special to losses of the soft table: any metric of a table, what a running table remembers, slopes."""

from typing import Any

import pytest
import torch
from sklearn.metrics import balanced_accuracy_score
from torch import Tensor

from metricgrad.errors import InputError, MetricFailed
from metricgrad.losses import SlopeLoss, SoftConfusionLoss, slope_loss, soft_confusion_loss
from metricgrad.losses.soft_table import RunningTable, soft_table
from metricgrad.metrics import adapt
from metricgrad.metrics.table_metric import TableMetric, confusion_slope

OF_TABLES = (
    "accuracy",
    "balanced_accuracy",
    "g_mean",
    "macro_f1",
    "weighted_f1",
    "f_beta:beta=2,average=macro",
    "matthews_corrcoef",
    "cohen_kappa",
    "cohen_kappa:weights=quadratic",
    "jaccard:average=macro",
    "error_rate",
    "balanced_error",
    "expected_cost:cost=0 1 5; 2 0 1; 10 3 0",
)


def batch(generator: torch.Generator, samples: int = 24) -> tuple[Tensor, Tensor]:
    """Logits [sample, 3] that know something, and targets."""
    targets = torch.randint(0, 3, (samples,), generator=generator)
    logits = torch.randn(samples, 3, generator=generator, dtype=torch.float64)
    logits[torch.arange(samples), targets] += 1
    return logits.requires_grad_(), targets


@pytest.mark.parametrize("name", OF_TABLES)
def test_sharp_decisions_give_the_exact_metric(name: str, generator: torch.Generator) -> None:
    """By name and by record, lower and higher ones, within [0, best - worst]."""
    logits, targets = batch(generator)
    metric = adapt(name)
    value = metric.summarise(metric.measure(logits.detach(), targets))
    for given in (name, metric):
        sharp = float(soft_confusion_loss(logits.detach(), targets, metric=given, temperature=1e-9))
        assert sharp == pytest.approx(metric.bounds[1] - value if metric.higher_is_better else value)


@pytest.mark.parametrize("name", OF_TABLES)
def test_gradients_of_every_metric(name: str, generator: torch.Generator) -> None:
    """float64 gradcheck of the batch form; what descends by it improves the soft value."""
    logits, targets = batch(generator, 8)

    def loss(one: Tensor) -> Tensor:
        return soft_confusion_loss(one, targets, metric=name)

    assert torch.autograd.gradcheck(loss, logits)
    (gradient,) = torch.autograd.grad(loss(logits), logits)
    with torch.no_grad():
        assert float(loss(logits - 0.1 * gradient)) < float(loss(logits))


def test_a_function_of_one_table(generator: torch.Generator) -> None:
    """The formula of a user is differentiated as ours is; a metric that knows no table is sent to the slopes."""
    logits, targets = batch(generator)
    found = soft_confusion_loss(logits, targets, metric=lambda table: table.trace() / table.sum())
    torch.testing.assert_close(found, soft_confusion_loss(logits, targets, metric="accuracy"))
    with pytest.raises(InputError, match="surrogate:slope takes any metric of classes"):
        soft_confusion_loss(logits, targets, metric=adapt(weighed, higher_is_better=True))
    with pytest.raises(InputError, match="no function of the confusion table"):
        SoftConfusionLoss("roc_auc")


def test_a_batch_without_a_value_is_no_step(generator: torch.Generator) -> None:
    """Nothing to judge, or a metric that is undefined: 0 and no gradient. NaN among the logits stays NaN."""
    logits, targets = batch(generator)
    for metric, given in (
        ("macro_f1", torch.full_like(targets, -100)),
        (lambda table: table.sum() / 0 * 0, targets),
    ):
        loss = soft_confusion_loss(logits, given, metric=metric)
        (gradient,) = torch.autograd.grad(loss, logits)
        assert float(loss.detach()) == 0 and not bool(gradient.any())
    with torch.no_grad():
        logits[3, 1] = torch.nan
    assert bool(soft_confusion_loss(logits, targets, metric="macro_f1").isnan())


def test_the_running_table_is_a_decaying_sum(generator: torch.Generator) -> None:
    """Its value is that of the sum, its gradient that of the newest batch in it; momentum 0 is the batch alone."""
    batches = [batch(generator) for _ in range(4)]
    tables = [soft_table(logits.detach().softmax(1), targets) for logits, targets in batches]
    criterion, alone = SoftConfusionLoss("macro_f1", momentum=0.5), SoftConfusionLoss("macro_f1", momentum=0)
    for place, (logits, targets) in enumerate(batches):
        total = sum(0.5 ** (place - past) * tables[past] for past in range(place + 1))
        assert isinstance(total, Tensor)
        wanted = 1 - TableMetric("macro_f1", 3)(total)
        torch.testing.assert_close(criterion(logits, targets).detach(), wanted)
        torch.testing.assert_close(criterion.running.table, total)
        torch.testing.assert_close(
            alone(logits, targets), soft_confusion_loss(logits, targets, metric="macro_f1")
        )
    rest = torch.stack(tables[:3]).mul(torch.tensor([0.125, 0.25, 0.5])[:, None, None].double()).sum(0)
    logits, targets = batches[3]

    def last(one: Tensor) -> Tensor:
        return 1 - TableMetric("macro_f1", 3)(rest + soft_table(one.softmax(1), targets))

    (wanted,) = torch.autograd.grad(last(logits), logits)
    fresh = SoftConfusionLoss("macro_f1", momentum=0.5)
    for other, labels in batches[:3]:
        fresh(other, labels)
    (found,) = torch.autograd.grad(fresh(logits, targets), logits)
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("make", [SoftConfusionLoss, SlopeLoss])
def test_what_is_remembered_is_state(make: Any, generator: torch.Generator) -> None:
    """A new one that loads the state goes on as the old one; in eval mode, and of NaN, nothing is remembered."""
    first, second = make("macro_f1"), make("macro_f1")
    for _ in range(3):
        first(*batch(generator))
    second.load_state_dict(first.state_dict())
    logits, targets = batch(generator)
    kept = {name: value.clone() for name, value in first.state_dict().items()}
    first.eval()(logits, targets)
    first.train()
    with torch.no_grad():
        first(logits * torch.nan, targets)
    for name, value in first.state_dict().items():
        assert name == "steps" or torch.equal(value, kept[name]), name
    assert torch.equal(first.running(torch.eye(3).double()), second.running(torch.eye(3).double()))
    with pytest.raises(InputError, match="a table of 2 classes after one of 3"):
        first(logits[:, :2], targets % 2)


@pytest.mark.parametrize("name", OF_TABLES)
def test_slopes_at_the_soft_table_are_the_gradient(name: str, generator: torch.Generator) -> None:
    """With small steps and no pseudo-count the slope loss moves a batch as the soft metric does."""
    logits, targets = batch(generator)
    value, table = TableMetric(name, 3), soft_table(logits.detach().softmax(1), targets)
    slopes = confusion_slope(value, table, step=1e-6, pseudo_count=0.0)
    gains = slopes if value.higher_is_better else -slopes
    (found,) = torch.autograd.grad(slope_loss(logits, targets, slopes=gains).mean(), logits)
    (wanted,) = torch.autograd.grad(soft_confusion_loss(logits, targets, metric=name), logits)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-7)


def plain(predictions: Tensor, targets: Tensor) -> float:
    """Balanced accuracy as somebody would write it."""
    hits = [(predictions[targets == one] == one).double().mean() for one in targets.unique()]
    return float(torch.stack(hits).mean())


def weighed(y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
    """The same with a weight per sample, as functions of scikit-learn take it, and no formula of ours behind it."""
    return float(balanced_accuracy_score(y_true, y_pred, sample_weight=sample_weight))


@pytest.mark.parametrize(
    ("metric", "tolerance"),
    [(adapt(weighed, higher_is_better=True), 1e-9), (adapt(plain, higher_is_better=True), 2e-3)],
    ids=["with weights", "labels written out"],
)
def test_a_function_gives_the_loss_of_the_formula(
    metric: Any, tolerance: float, generator: torch.Generator
) -> None:
    """A metric that can only be called gives what our formula gives, up to whole labels; the calls are counted."""
    ours, theirs = SlopeLoss("balanced_accuracy"), SlopeLoss(metric)
    tried = 0 if tolerance < 1e-6 else 2  # `adapt` tries what takes no weights
    for step in range(1, 4):
        logits, targets = batch(generator)
        one, other = ours(logits, targets), theirs(logits, targets)
        torch.testing.assert_close(other, one, rtol=tolerance, atol=10 * tolerance)
        assert int(theirs.calls) == 10 * step + tried
    assert int(ours.calls) == 0


def test_slopes_may_be_refreshed_now_and_then(generator: torch.Generator) -> None:
    """Calls are then fewer; the table goes on."""
    criterion = SlopeLoss(adapt(plain, higher_is_better=True), refresh_every=3)
    slopes = []
    for _ in range(7):
        criterion(*batch(generator))
        slopes.append(criterion.slopes)
    assert int(criterion.calls) == 3 * 10 + 2  # `adapt` tries it twice
    assert [torch.equal(slopes[place], slopes[place + 1]) for place in range(6)] == [True, True, False] * 2


def test_lower_is_better_turns_the_slopes(generator: torch.Generator) -> None:
    """Error rate and accuracy move a network alike."""
    logits, targets = batch(generator)
    (up,) = torch.autograd.grad(SlopeLoss("accuracy")(logits, targets).sum(), logits)
    (down,) = torch.autograd.grad(SlopeLoss("error_rate")(logits, targets).sum(), logits)
    torch.testing.assert_close(up, down)


def test_a_metric_that_fails_is_told(generator: torch.Generator) -> None:
    """With what it said; one that reads no classes is refused before anything runs."""

    def broken(predictions: Tensor, targets: Tensor) -> float:
        raise ZeroDivisionError("mine")

    for function, message in (
        (broken, "ZeroDivisionError: mine"),
        (lambda p, y: float("nan"), "is undefined"),
    ):
        with pytest.raises(MetricFailed, match=message):
            SlopeLoss(function, higher_is_better=True)(*batch(generator))
    with pytest.raises(InputError, match="it reads scores"):
        SlopeLoss("roc_auc")


def test_all_ignored_is_no_measurement(generator: torch.Generator) -> None:
    """Nothing is known of the table yet: 0, no gradient, no call."""
    logits, targets = batch(generator)
    criterion = SlopeLoss(adapt(plain, higher_is_better=True))
    loss = criterion(logits, torch.full_like(targets, -100))
    assert not bool(loss.any()) and int(criterion.calls) == 0


@pytest.mark.parametrize("momentum", [-0.1, 1.0, float("nan")])
def test_momentum_that_does_not_fit(momentum: float) -> None:
    """A table that never forgets, or less than nothing."""
    with pytest.raises(InputError, match="momentum is"):
        RunningTable(momentum)


def test_slopes_that_do_not_fit(generator: torch.Generator) -> None:
    """One row and one column per class, finite."""
    for slopes in (torch.zeros(2, 2), torch.full((3, 3), torch.inf)):
        with pytest.raises(InputError, match="slopes are"):
            slope_loss(*batch(generator), slopes=slopes)
