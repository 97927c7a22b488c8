"""Metrics by name: what each name means, and what happens to a name that means nothing."""

from pathlib import Path

import pytest
import torch

from metricgrad import metrics
from metricgrad.errors import InputError
from metricgrad.metrics.known import FACTS
from metricgrad.metrics.names import ALIASES

POINTS = torch.nn.functional.normalize(torch.randn(30, 4, generator=torch.Generator().manual_seed(1)))
LABELS = torch.arange(30) % 7


@pytest.mark.parametrize(
    ("name", "function", "settings"),
    [
        ("recall@1", metrics.hit_at_k, {"k": 1}),
        ("Recall@4", metrics.hit_at_k, {"k": 4}),
        ("hit@5", metrics.hit_at_k, {"k": 5}),
        ("hit_at_k@5", metrics.hit_at_k, {"k": 5}),
        ("hit_at_5", metrics.hit_at_k, {"k": 5}),
        ("recall_at_5", metrics.recall_at_k, {"k": 5}),
        ("recall_at_k:k=5", metrics.recall_at_k, {"k": 5}),
        (
            "recall_at_k@2:normalizer=min_k_positives",
            metrics.recall_at_k,
            {"k": 2, "normalizer": "min_k_positives"},
        ),
        ("precision@3", metrics.precision_at_k, {"k": 3}),
        ("precision_at_3", metrics.precision_at_k, {"k": 3}),
        ("map", metrics.average_precision, {}),
        ("mAP", metrics.average_precision, {}),
        ("average_precision", metrics.average_precision, {}),
        ("mrr", metrics.reciprocal_rank, {}),
        ("ndcg", metrics.ndcg, {}),
        ("ndcg@10", metrics.ndcg, {"k": 10}),
        ("r_precision", metrics.r_precision, {}),
        ("hit@1:ties=mid, normalize=false", metrics.hit_at_k, {"k": 1, "ties": "mid", "normalize": False}),
    ],
)
def test_retrieval_names(name: str, function, settings: dict) -> None:
    """A name gives the record of its function, under the name as it was given."""
    found = metrics.metric_by_name(name)
    wanted = metrics.retrieval_metric(function, **settings)
    assert found.name == name
    assert found.description == wanted.description
    statistics = found.measure(POINTS, LABELS)
    torch.testing.assert_close(statistics, wanted.measure(POINTS, LABELS), rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize(
    ("name", "function", "settings"),
    [
        ("f1:average=binary", metrics.f_beta, {"average": "binary"}),
        ("weighted_f1", metrics.f_beta, {"average": "weighted"}),
        ("macro_f1", metrics.f_beta, {"average": "macro"}),
        ("micro_f1", metrics.f_beta, {"average": "micro"}),
        ("f_beta:beta=2,average=macro", metrics.f_beta, {"beta": 2, "average": "macro"}),
        ("f1:positive_class=0", metrics.f_beta, {"positive_class": 0}),
        ("error_rate", metrics.error_rate, {}),
        ("accuracy", metrics.accuracy, {}),
        ("balanced_error", metrics.balanced_error, {}),
    ],
)
def test_classification_names(generator: torch.Generator, name: str, function, settings: dict) -> None:
    """The same for classifiers."""
    outputs, targets = torch.randn(20, 3, generator=generator), torch.arange(20) % 3
    found = metrics.metric_by_name(name)
    wanted = float(function(outputs, targets, **settings))
    torch.testing.assert_close(found.summarise(found.measure(outputs, targets)), wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["roc_auc", "auc", "binary_average_precision"])
def test_binary_names(name: str) -> None:
    """A perfect order gets 1."""
    found = metrics.metric_by_name(name)
    assert found.summarise(found.measure(torch.tensor([0.1, 0.7, 0.9]), torch.tensor([0, 1, 1]))) == 1.0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("recal@1", "Did you mean 'recall@k'"),
        ("averge_precision", "'average_precision'"),
        ("nonsense", "there is no such metric"),
        ("f1_scor", "Did you mean 'f1_score'"),
        ("kappa_score", "'cohen_kappa_score'"),
        ("", "name is ''"),
        ("@1", "name is '@1'"),
        ("hit", "came without a k"),
        ("recall@0", "k is '0'"),
        ("recall@-1", "k is '-1'"),
        ("recall@1.5", "k is '1.5'"),
        ("recall@", "k is ''"),
        ("recall_at_0", "k is"),
        ("r_precision@5", "came with a k"),
        ("map@x", "k is 'x'"),
        ("f1:k=3", "came with a k"),
        ("f1:beta", "setting=value"),
        ("f1:beta=x", "beta is 'x'"),
        ("f1:bta=2", "Did you mean 'beta'"),
        ("map:name=other", "a setting of the metric"),
        ("hit@1:ties=none", "ties is 'none'"),
        ("hit@1:normalize=no", "true or false"),
        (
            "precision_at_recall",
            "min_recall is missing; expected .* By name: precision_at_recall:min_recall=",
        ),
        ("partial_roc_auc:max_fpr=0", r"max_fpr is 0; expected a number in \(0, 1\]"),
        ("roc_auc_ovr:average=micro", "average is 'micro'; expected one of macro, weighted"),
        ("log_loss:from_logits=yes", "from_logits is 'yes'; expected true, false or None"),
        ("ece:bins=0", "bins is 0"),
        ("expected_cost", "By name: expected_cost:cost="),
        ("expected_cost:cost=0 1; 2", "expected a square matrix"),
        ("expected_cost:cost=0 1; 2 3; 4 5", "expected a square matrix"),
        ("expected_cost:cost=3", "expected a square matrix"),
        ("expected_cost:cost=nowhere.csv", "no file of numbers"),
        ("expected_cost:cost=0 1e999; 1 0", "finite numbers"),
        ("expected_cost:cost=0 1-; 1 0", "could not convert"),
        ("cohen_kappa:weights=cubic", "none, linear or quadratic"),
        ("mcc:average=macro", "no setting 'average'"),
        ("precision:average=samples", "average is 'samples'"),
    ],
)
def test_names_that_mean_nothing(name: str, message: str) -> None:
    """Every one is an InputError that says what is wrong and what is near."""
    with pytest.raises(InputError, match=message):
        metrics.metric_by_name(name)


def test_every_listed_name_is_understood() -> None:
    """What `list` shows can be asked for, and every public metric is listed."""
    listed = metrics.named_metrics()
    assert all(sentence.endswith(".") for sentence in listed.values())
    needed = {
        "precision_at_recall": "min_recall=0.5",
        "recall_at_precision": "min_precision=0.5",
        "partial_roc_auc": "max_fpr=0.5",
        "expected_cost": "cost=0 1; 5 0",
    }
    for name in listed:
        asked = name.replace("@k", "@3").replace("_at_k", "_at_3")
        asked += f":{needed[name]}" if name in needed else ""
        assert metrics.adapt(asked).name == asked.removeprefix("neg_")
    for function in ("hit_at_k", "ndcg", "f_beta", "roc_auc"):
        assert function in listed


def test_the_three_recalls_differ() -> None:
    """recall@5 is any relevant item among five, recall_at_5 the share of them, recall that of a class."""
    some, share = metrics.metric_by_name("recall@5"), metrics.metric_by_name("recall_at_5")
    assert "any relevant item within the first 5 (metric learning's recall@5)" in some.description
    assert some.summarise(some.measure(POINTS, LABELS)) > share.summarise(share.measure(POINTS, LABELS))
    of_classes = metrics.metric_by_name("recall")
    assert of_classes.reads == "classes" and "not recall@k" in of_classes.description
    assert metrics.metric_by_name("recall:k=5").settings == some.settings
    assert metrics.metric_by_name("precision").function is metrics.precision
    assert metrics.metric_by_name("precision@5").function is metrics.precision_at_k


@pytest.mark.parametrize(
    ("name", "function", "settings"),
    [
        ("f1_macro", metrics.f_beta, {"beta": 1.0, "average": "macro"}),
        ("f1_weighted", metrics.f_beta, {"beta": 1.0, "average": "weighted"}),
        ("precision_micro", metrics.precision, {"average": "micro"}),
        ("recall_macro", metrics.recall, {"average": "macro"}),
        ("jaccard_weighted", metrics.jaccard, {"average": "weighted"}),
        ("jaccard", metrics.jaccard, {}),
        ("specificity:positive_class=0", metrics.specificity, {"positive_class": 0}),
        ("balanced_accuracy", metrics.balanced_accuracy, {}),
        ("g_mean", metrics.g_mean, {}),
        ("matthews_corrcoef", metrics.matthews_corrcoef, {}),
        ("MCC", metrics.matthews_corrcoef, {}),
        ("kappa", metrics.cohen_kappa, {}),
        ("cohen_kappa:weights=quadratic", metrics.cohen_kappa, {"weights": "quadratic"}),
        ("qwk", metrics.cohen_kappa, {"weights": "quadratic"}),
        ("quadratic_kappa", metrics.cohen_kappa, {"weights": "quadratic"}),
        ("linear_kappa", metrics.cohen_kappa, {"weights": "linear"}),
        ("expected_cost:cost=0 1; 5 0", metrics.expected_cost, {"cost": ((0.0, 1.0), (5.0, 0.0))}),
        ("expected_cost:cost=0 1;5.5e0 -.5", metrics.expected_cost, {"cost": ((0.0, 1.0), (5.5, -0.5))}),
    ],
)
def test_names_of_decided_classes(name: str, function, settings: dict) -> None:
    """scikit-learn's names of scorers, and what people say."""
    found = metrics.metric_by_name(name)
    assert found.function is function and found.settings.items() >= settings.items()
    assert found.reads == "classes" and found.of_table is not None


@pytest.mark.parametrize("text", ["0,1\n5,0\n", "0 1\n5 0", " 0.0, 1.0 ;5, 0"])
def test_costs_stand_in_a_file(tmp_path: Path, text: str) -> None:
    """A line for each true class, parted by commas or spaces; the record holds the numbers."""
    path = tmp_path / "costs.csv"
    path.write_text(text)
    found = metrics.metric_by_name(f"expected_cost:cost={path}")
    assert found.settings["cost"] == ((0.0, 1.0), (5.0, 0.0)) and found.bounds == (0.0, 5.0)


SCIKIT = {
    "accuracy_score": {},
    "average_precision_score": {},
    "balanced_accuracy_score": {},
    "brier_score_loss": {},
    "cohen_kappa_score": {"weights": "quadratic"},
    "f1_score": {"average": "macro"},
    "fbeta_score": {"beta": 2},
    "hamming_loss": {},
    "jaccard_score": {"average": "weighted"},
    "log_loss": {},
    "matthews_corrcoef": {},
    "precision_score": {},
    "recall_score": {"average": "micro"},
    "roc_auc_score": {},
    "zero_one_loss": {},
}
"""Functions of scikit-learn that are metrics here, with settings of either."""


@pytest.mark.parametrize("name", SCIKIT)
def test_functions_of_scikit_learn_by_name(generator: torch.Generator, name: str) -> None:
    """The name gives its figure and its direction."""
    theirs = getattr(pytest.importorskip("sklearn.metrics"), name)
    settings = ",".join(f"{key}={value}" for key, value in SCIKIT[name].items())
    found = metrics.metric_by_name(f"{name}:{settings}" if settings else name)
    assert found.higher_is_better is not name.endswith("_loss")
    targets, scores = torch.arange(40) % 2, torch.rand(40, generator=generator, dtype=torch.float64)
    if name == "hamming_loss":
        targets, scores = targets.reshape(20, 2), scores.reshape(20, 2)
    given = scores if found.reads in ("scores", "probabilities") else (scores > 0.5).long()
    wanted = theirs(targets.numpy(), given.numpy(), **SCIKIT[name])
    outputs = given if found.reads != "labels" else given.double()
    torch.testing.assert_close(
        found.summarise(found.measure(outputs, targets)), float(wanted), rtol=0, atol=1e-9
    )


def test_no_other_function_of_scikit_learn_is_one_of_ours() -> None:
    """Whoever adds one adds its name; the area under any curve is `auc` there, under that of ROC here."""
    theirs = pytest.importorskip("sklearn.metrics").__all__
    understood = {name for name in theirs if name in {**ALIASES, **FACTS}}
    assert understood == {*SCIKIT, "auc"}
