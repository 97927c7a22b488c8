"""Foreign metrics: what is found out about them, how they are called, and what is refused."""

import sys
import types
from functools import partial

import pytest
import sklearn.metrics
import torch
import torchmetrics

from metricgrad import metrics
from metricgrad.errors import InputError
from metricgrad.interval import mean_of_units

LOGITS = torch.randn(60, 3, generator=torch.Generator().manual_seed(3))
TARGETS = torch.randint(0, 3, (60,), generator=torch.Generator().manual_seed(4))
BINARY = TARGETS > 1
DRAWN = torch.randint(0, 60, (60,), generator=torch.Generator().manual_seed(5))


def value(metric, outputs, targets) -> float:
    """Measure and summarise."""
    return metric.summarise(metric.measure(outputs, targets))


def same(found: float, wanted: float, tolerance: float = 1e-12) -> None:
    """Equal but for rounding."""
    torch.testing.assert_close(float(found), float(wanted), rtol=0, atol=tolerance)


def largest_error(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """A metric of a set that no library has."""
    return (outputs.softmax(1)[torch.arange(len(targets)), targets] - 1).abs().max()


def nearest_is_of_its_class(outputs: torch.Tensor, targets: torch.Tensor) -> float:
    """A ranking of the samples against each other."""
    scores = outputs @ outputs.T
    scores.fill_diagonal_(-torch.inf)
    return float((targets[scores.argmax(1)] == targets).double().mean())


# ----------------------------------------------------------------------------------------------- ours


def test_records_names_and_functions_of_ours() -> None:
    """All three roads lead to the same record."""
    record = metrics.retrieval_metric(metrics.hit_at_k, k=1)
    assert metrics.adapt(record) is record
    named, made = metrics.adapt("recall@1"), metrics.adapt(partial(metrics.hit_at_k, k=1))
    assert named.description == made.description == record.description
    assert metrics.adapt(metrics.roc_auc).name == "roc_auc"
    assert metrics.adapt("error_rate", higher_is_better=False).higher_is_better is False
    with pytest.raises(InputError, match="higher_is_better=True was given"):
        metrics.adapt("error_rate", higher_is_better=True)
    with pytest.raises(InputError, match="k is missing"):
        metrics.adapt(metrics.hit_at_k)
    with pytest.raises(InputError, match="keyword only"):
        metrics.adapt(partial(metrics.hit_at_k, LOGITS, k=1))


# ----------------------------------------------------------------------------------------- scikit-learn


@pytest.mark.parametrize(
    ("metric", "outputs", "targets", "higher", "found"),
    [
        (
            sklearn.metrics.accuracy_score,
            LOGITS,
            TARGETS,
            True,
            "f(targets, argmax of outputs), higher is better",
        ),
        (
            sklearn.metrics.zero_one_loss,
            LOGITS,
            TARGETS,
            False,
            "f(targets, argmax of outputs), lower is better",
        ),
        (sklearn.metrics.matthews_corrcoef, LOGITS, TARGETS, True, "argmax of outputs"),
        (partial(sklearn.metrics.f1_score, average="macro"), LOGITS, TARGETS, True, "average='macro'"),
        (sklearn.metrics.f1_score, LOGITS.argmax(1) > 1, BINARY, True, "argmax of outputs"),
        (sklearn.metrics.roc_auc_score, LOGITS[:, 0], BINARY, True, "outputs as scores"),
        (sklearn.metrics.average_precision_score, LOGITS[:, 0], BINARY, True, "outputs as scores"),
        (sklearn.metrics.log_loss, LOGITS.softmax(1), TARGETS, False, "outputs as probabilities"),
        (sklearn.metrics.brier_score_loss, LOGITS[:, 0].sigmoid(), BINARY, False, "outputs as probabilities"),
        (sklearn.metrics.mean_squared_error, LOGITS[:, 0], LOGITS[:, 1], False, "f(targets, outputs), lower"),
        (sklearn.metrics.r2_score, LOGITS[:, 0], LOGITS[:, 1], True, "f(targets, outputs), higher"),
        (sklearn.metrics.get_scorer("f1_macro"), LOGITS, TARGETS, True, "scikit-learn scorer of f1_score"),
        (
            sklearn.metrics.get_scorer("neg_mean_squared_error"),
            LOGITS[:, 0],
            LOGITS[:, 1],
            False,
            "scorer of mean",
        ),
        (sklearn.metrics.get_scorer("roc_auc"), LOGITS[:, 0], BINARY, True, "outputs as scores"),
    ],
)
def test_scikit_learn(metric, outputs, targets, higher: bool, found: str) -> None:
    """Truth first, the right kind of prediction, the direction known; the same on drawn samples."""
    adapted = metrics.adapt(metric)
    assert adapted.higher_is_better is higher
    assert found in adapted.description
    function = getattr(metric, "_score_func", metric)
    settings = getattr(metric, "_kwargs", {})
    takes_classes = "argmax" in adapted.description and outputs.ndim == 2
    statistics = adapted.measure(outputs, targets)
    for rows in (torch.arange(60), DRAWN):
        prediction = outputs[rows].argmax(1) if takes_classes else outputs[rows]
        wanted = function(targets[rows].numpy(), prediction.numpy(), **settings)
        same(adapted.summarise(statistics[rows]), wanted, 1e-6)


def test_the_order_of_arguments_is_not_swapped() -> None:
    """Precision and recall would change places if truth and prediction did."""
    outputs, targets = torch.tensor([1, 1, 1, 0]), torch.tensor([1, 0, 0, 0])
    same(value(metrics.adapt(sklearn.metrics.precision_score), outputs, targets), 1 / 3)
    same(value(metrics.adapt(sklearn.metrics.recall_score), outputs, targets), 1.0)


def test_two_columns_for_scikit_learn() -> None:
    """Scores become their difference, probabilities the second column."""
    two = LOGITS[:, :2]
    auc = sklearn.metrics.roc_auc_score(BINARY.numpy(), (two[:, 1] - two[:, 0]).numpy())
    same(value(metrics.adapt(sklearn.metrics.roc_auc_score), two, BINARY), auc)
    chance = two.softmax(1)
    brier = sklearn.metrics.brier_score_loss(BINARY.numpy(), chance[:, 1].numpy())
    same(value(metrics.adapt(sklearn.metrics.brier_score_loss), chance, BINARY), brier, 1e-6)


def test_scorers_of_functions_of_the_user() -> None:
    """make_scorer says the direction; the function is called in scikit-learn's order."""

    def misses(y_true, y_pred, weight=1.0):
        """Share of missed positives."""
        return weight * ((y_true == 1) & (y_pred != 1)).mean()

    scorer = sklearn.metrics.make_scorer(misses, greater_is_better=False, weight=2.0)
    adapted = metrics.adapt(scorer)
    assert not adapted.higher_is_better
    same(value(adapted, torch.tensor([0, 1]), torch.tensor([1, 1])), 1.0)
    bare = metrics.adapt(misses, higher_is_better=False)
    same(value(bare, torch.tensor([0, 1]), torch.tensor([1, 1])), 0.5)
    with pytest.raises(InputError, match="its direction is not known"):
        metrics.adapt(misses)


def test_what_scikit_learn_cannot_take_is_refused() -> None:
    """Logits for a metric of probabilities, a single score for one of classes, a wrong direction."""
    with pytest.raises(InputError, match="no probabilities"):
        value(metrics.adapt(sklearn.metrics.log_loss), LOGITS, TARGETS)
    with pytest.raises(InputError, match="threshold"):
        value(metrics.adapt(sklearn.metrics.f1_score), LOGITS[:, 0], BINARY)
    with pytest.raises(InputError, match="higher_is_better=False was given"):
        metrics.adapt(sklearn.metrics.f1_score, higher_is_better=False)
    with pytest.raises(InputError, match="one number for the whole set"):
        each = partial(sklearn.metrics.f1_score, average=None)  # pyright: ignore[reportArgumentType]
        value(metrics.adapt(each), LOGITS, TARGETS)


# ----------------------------------------------------------------------------------------- torchmetrics


def test_torchmetrics() -> None:
    """Direction and bounds are its own, the state of the user's object is left alone."""
    theirs = torchmetrics.classification.MulticlassF1Score(num_classes=3, average="macro")
    theirs.update(LOGITS[:10], TARGETS[:10])
    before = theirs.compute()
    adapted = metrics.adapt(theirs)
    assert adapted.higher_is_better and adapted.bounds == (0.0, 1.0)
    assert adapted.description.startswith("torchmetrics MulticlassF1Score")
    statistics = adapted.measure(LOGITS, TARGETS)
    for rows in (torch.arange(60), DRAWN):
        wanted = metrics.f_beta(LOGITS[rows], TARGETS[rows], average="macro")
        same(adapted.summarise(statistics[rows]), float(wanted), 1e-6)
    torch.testing.assert_close(theirs.compute(), before, rtol=0, atol=0)
    error = metrics.adapt(torchmetrics.MeanSquaredError())
    assert error.higher_is_better is False
    same(value(error, torch.tensor([1.0, 2.0]), torch.tensor([1.0, 4.0])), 2.0)


def test_torchmetrics_that_do_not_fit() -> None:
    """Retrieval needs an index of queries; a metric without a direction needs one; one number is needed."""
    with pytest.raises(InputError, match="recall@1, map"):
        metrics.adapt(torchmetrics.retrieval.RetrievalMAP())
    with pytest.raises(InputError, match="its direction is not known"):
        metrics.adapt(torchmetrics.SumMetric())
    each = torchmetrics.classification.MulticlassF1Score(num_classes=3, average=None)
    with pytest.raises(InputError, match="one number for the whole set"):
        value(metrics.adapt(each), LOGITS, TARGETS)


# ------------------------------------------------------------------------------------- any other callable


def test_any_function_can_be_resampled() -> None:
    """It sees tensors of the shapes and types that it was given, and every call is counted."""
    seen = []

    def spy(outputs, targets):
        seen.append((outputs.shape[1:], outputs.dtype, targets.shape[1:], targets.dtype))
        return largest_error(outputs.float(), targets[:, 0].long())

    metric = metrics.adapt(spy, higher_is_better=False)
    assert (metric.name, metric.unit, metric.higher_is_better) == ("spy", "sample", False)
    assert "an interval draws samples" in metric.description
    outputs, targets = LOGITS.bfloat16(), TARGETS[:, None].to(torch.int16)
    statistics = metric.measure(outputs, targets)
    assert statistics.shape[0] == 60 and statistics.dtype == torch.float64
    calls = metrics.metric_calls(metric)
    for rows in (torch.arange(60), DRAWN):
        same(
            metric.summarise(statistics[rows]),
            float(largest_error(outputs[rows].float(), targets[rows, 0].long())),
        )
    assert metrics.metric_calls(metric) == calls + 2 == len(seen)
    assert set(seen) == {(torch.Size([3]), torch.bfloat16, torch.Size([1]), torch.int16)}


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.float16, torch.int64, torch.uint8, torch.bool]
)
def test_samples_come_back_as_they_were(dtype: torch.dtype) -> None:
    """Rows of statistics hold the samples without loss, whatever their shape."""
    outputs = (100 * torch.randn(7, 2, 3, generator=torch.Generator().manual_seed(0))).to(dtype)
    targets = torch.arange(7)
    held = []
    metric = metrics.adapt(lambda *pair: held.append(pair) or 0.0, higher_is_better=True)
    value(metric, outputs, targets)
    for part, wanted in zip(held[-1], (outputs, targets), strict=True):
        torch.testing.assert_close(part, wanted, rtol=0, atol=0)


def test_a_ranking_of_the_samples_is_recognised() -> None:
    """Its value changes when everyone gets a copy: refused once, then measured as a whole without an interval."""
    with pytest.raises(InputError, match="unit='whole'"):
        value(metrics.adapt(nearest_is_of_its_class, higher_is_better=True), LOGITS, TARGETS)
    whole = metrics.adapt(nearest_is_of_its_class, higher_is_better=True, unit="whole")
    assert whole.unit == "whole" and "no interval" in whole.description
    statistics = whole.measure(LOGITS, TARGETS)
    assert statistics.shape == (1, 1)
    same(whole.summarise(statistics), nearest_is_of_its_class(LOGITS, TARGETS))
    trusted = metrics.adapt(nearest_is_of_its_class, higher_is_better=True, unit="sample")
    assert len(trusted.measure(LOGITS, TARGETS)) == 60


def test_outputs_that_are_no_tensors_are_one_row() -> None:
    """Texts cannot be drawn as numbers: the value stands in a single row."""

    def same_length(outputs, targets):
        return sum(len(a) == len(b) for a, b in zip(outputs, targets, strict=True)) / len(targets)

    metric = metrics.adapt(same_length, higher_is_better=True)
    statistics = metric.measure(["ab", "c"], ["xy", "zz"])
    assert statistics.tolist() == [[0.5]]
    assert metric.summarise(statistics) == 0.5


@pytest.mark.parametrize(
    ("metric", "settings", "message"),
    [
        (largest_error, {}, "its direction is not known"),
        (7, {}, "a name, a Metric or a callable"),
        (largest_error, {"higher_is_better": True, "unit": "query"}, "unit is 'query'"),
    ],
)
def test_what_is_no_metric_is_refused(metric, settings: dict, message: str) -> None:
    """Messages say what came and what was expected."""
    with pytest.raises(InputError, match=message):
        metrics.adapt(metric, **settings)


@pytest.mark.parametrize("answer", [None, "0.5", torch.zeros(3), {"f1": 0.5}])
def test_a_function_must_return_a_number(answer) -> None:
    """Anything else is named in the message."""
    with pytest.raises(InputError, match="one number for the whole set"):
        value(metrics.adapt(lambda outputs, targets: answer, higher_is_better=True), LOGITS, TARGETS)


# ----------------------------------------------------------------------------------- by path, per sample


def test_functions_by_path(monkeypatch) -> None:
    """`package.module:function`, with the direction behind a colon or as an argument."""
    module = types.ModuleType("some_metrics")
    module.largest_error = largest_error
    monkeypatch.setitem(sys.modules, "some_metrics", module)
    wanted = float(largest_error(LOGITS, TARGETS))
    for text, given in (
        ("some_metrics:largest_error:higher_is_better=false,unit=whole", None),
        ("some_metrics:largest_error", False),
    ):
        metric = metrics.adapt(text, higher_is_better=given)
        assert metric.name == "largest_error" and not metric.higher_is_better
        same(value(metric, LOGITS, TARGETS), wanted, 1e-6)
    assert metrics.adapt("sklearn.metrics:accuracy_score").higher_is_better
    assert metrics.adapt("metricgrad.metrics:roc_auc").name == "roc_auc"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no_such_package.part:f", "cannot be imported"),
        ("math:no_such_function", "cannot be imported"),
        ("math:hypot", "its direction is not known"),
        ("math:hypot:higher_is_better=up", "true or false"),
        ("math:hypot:k=3", "a setting is 'k=3'"),
        (":f", "cannot be imported"),
    ],
)
def test_paths_that_lead_nowhere(text: str, message: str) -> None:
    """A path that cannot be imported is an InputError, not a traceback."""
    with pytest.raises(InputError, match=message):
        metrics.adapt(text)


def test_per_sample() -> None:
    """One value a sample, a mean as the summary, marked as learnable."""

    def off_by(prediction, target) -> float:
        return abs(int(prediction) - int(target))

    metric = metrics.per_sample(off_by, decode=lambda outputs: outputs.argmax(1), higher_is_better=False)
    assert metric.per_sample and metric.summarise is mean_of_units and metric.name == "off_by"
    statistics = metric.measure(LOGITS, TARGETS)
    wanted = (LOGITS.argmax(1) - TARGETS).abs().double()
    torch.testing.assert_close(statistics[:, 0], wanted, rtol=0, atol=0)
    same(metric.summarise(statistics), float(wanted.mean()))
    with pytest.raises(InputError, match="60 predictions for 59 targets"):
        metric.measure(LOGITS, TARGETS[1:])


@pytest.mark.parametrize(
    ("metric", "reads"),
    [
        ("recall@1", "embeddings"),
        ("knn_error", "embeddings"),
        ("f1", "classes"),
        ("roc_auc", "scores"),
        ("cer", "texts"),
        ("iou", "boxes"),
        ("f1:threshold=0.5", "scores"),
        (sklearn.metrics.roc_auc_score, "scores"),
        (sklearn.metrics.f1_score, "classes"),
        (sklearn.metrics.log_loss, "probabilities"),
        (sklearn.metrics.r2_score, "values"),
    ],
)
def test_what_a_metric_reads(metric, reads: str) -> None:
    """A table of predictions knows from it which column is meant."""
    assert metrics.adapt(metric).reads == reads


def test_a_function_of_the_user_reads_whatever_comes() -> None:
    """Nothing is known of it, unless it names its second argument as scikit-learn does."""
    assert metrics.adapt(largest_error, higher_is_better=False).reads is None

    def rank(y_true, y_score):
        return 0.0

    assert metrics.adapt(rank, higher_is_better=True).reads == "scores"


@pytest.mark.parametrize(
    ("text", "told"),
    [("1 / 0", "ZeroDivisionError"), ("import sys; sys.exit(3)", "SystemExit"), ("x = (", "SyntaxError")],
)
def test_a_module_that_fails_when_it_is_imported(tmp_path, monkeypatch, text: str, told: str) -> None:
    """One sentence, whatever it raises."""
    (tmp_path / "broken_metrics.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_metrics", raising=False)
    with pytest.raises(InputError, match=f"cannot be imported .*{told}"):
        metrics.adapt("broken_metrics:share", higher_is_better=True)


def share_right(predictions: torch.Tensor, targets: torch.Tensor) -> float:
    """A function of class numbers."""
    return float((predictions == targets).double().mean())


def test_a_function_of_classes_says_so() -> None:
    """Class scores become the numbers of the largest; numbers stay; the truth comes first where it is named first."""
    metric = metrics.adapt(share_right, higher_is_better=True, reads="classes")
    wanted = float((LOGITS.argmax(1) == TARGETS).double().mean())
    assert metric.reads == "classes" and "decided classes" in metric.description
    for outputs in (LOGITS, LOGITS.argmax(1), LOGITS.argmax(1)[:, None]):
        same(metric.summarise(metric.measure(outputs, TARGETS[:, None])), wanted)

    def theirs(y_true, y_pred):
        assert y_pred.ndim == 1
        return sklearn.metrics.accuracy_score(y_true, y_pred)

    swapped = metrics.adapt(theirs, higher_is_better=True, reads="classes")
    same(swapped.summarise(swapped.measure(LOGITS, TARGETS)), wanted)
    with pytest.raises(InputError, match="Of one score give a function with a threshold"):
        metric.measure(LOGITS[:, 0], TARGETS)


def test_what_reads_something_else_is_no_metric_of_classes() -> None:
    """Nothing of ours is turned around by a word."""
    with pytest.raises(InputError, match="metric roc_auc: reads='classes' was given"):
        metrics.adapt("roc_auc", reads="classes")
    assert metrics.adapt("f1", reads="classes").reads == "classes"
    with pytest.raises(InputError, match="reads is 'scores'"):
        metrics.adapt("roc_auc", reads="scores")  # pyright: ignore[reportArgumentType]


def test_a_path_says_what_it_reads() -> None:
    """Among its other settings."""
    name = f"{__name__}:share_right:higher_is_better=true,reads=classes"
    assert metrics.adapt(name).reads == "classes"
