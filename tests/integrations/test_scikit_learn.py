"""Our classifiers are estimators of scikit-learn: its checks, pipelines and searches; what the metric gains."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, f1_score
from sklearn.model_selection import GridSearchCV, cross_val_predict, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn

from metricgrad.decision import Argmax, fit_rule
from metricgrad.errors import InputError
from metricgrad.integrations.scikit_learn import MetricTunedClassifier, RuleClassifier
from tests.integrations.pages import run_page

pytestmark = pytest.mark.integration("scikit-learn")

ESTIMATORS = [
    RuleClassifier(LogisticRegression()),
    MetricTunedClassifier(method="surrogate:soft_confusion", steps=2, start_steps=60, random_state=0),
]


@pytest.mark.filterwarnings("ignore")  # scikit-learn's checks ask for them
@parametrize_with_checks(ESTIMATORS)
def test_checks_of_scikit_learn(estimator, check):
    """All of them."""
    check(estimator)


def rare(classes: int = 2, rows: int = 1600) -> tuple[Any, ...]:
    """Train and test rows, of which the last classes are rare and hard to tell."""
    weights = [0.9, 0.1] if classes == 2 else [0.7, 0.2, 0.1]
    X, y = make_classification(
        rows,
        10,
        n_informative=5,
        n_classes=classes,
        weights=weights,
        flip_y=0.02,
        class_sep=0.6,
        random_state=0,
    )
    named = np.array(["maybe", "no", "yes"])[y]
    return tuple(train_test_split(X, named, test_size=0.5, stratify=y, random_state=0))


def test_the_rule_is_that_of_fit_rule():
    """Out-of-fold probabilities are those of cross_val_predict, and the rule is fitted to them."""
    X, _, y, _ = rare(3)
    model = RuleClassifier(LogisticRegression(), "macro_f1").fit(X, y)
    p = cross_val_predict(LogisticRegression(), X, y, method="predict_proba")
    rule = fit_rule(p, np.unique(y, return_inverse=True)[1], "macro_f1").rule
    assert type(model.rule_) is type(rule)
    np.testing.assert_array_equal(model.predict(X), model.classes_[rule.decide(model.predict_proba(X))])


@pytest.mark.parametrize("classes", [2, 3])
def test_the_metric_gains(classes: int):
    """On rows that nothing was fitted to, the rule is above the classifier, for a metric of theirs, too."""
    X, held, y, truth = rare(classes)
    for metric, score in (("macro_f1", f1_score), (balanced_accuracy_score, balanced_accuracy_score)):
        model = RuleClassifier(LogisticRegression(), metric).fit(X, y)
        macro = {"average": "macro"} if score is f1_score else {}
        plain, ruled = (score(truth, one.predict(held), **macro) for one in (model.estimator_, model))
        assert ruled > plain
        assert model.note_ == ""


def test_nothing_to_gain():
    """Accuracy of a good classifier, and few rows: what it predicts itself."""
    X, held, y, _ = rare()
    for model in (
        RuleClassifier(LogisticRegression(), "accuracy", rule="argmax").fit(X, y),
        RuleClassifier(LogisticRegression()).fit(X[:40], y[:40]),
    ):
        np.testing.assert_array_equal(model.predict(held), model.estimator_.predict(held))


def test_within_pipelines_and_searches():
    """A pipeline within, one around, a grid over settings of both levels, and copies."""
    X, held, y, _ = rare()
    inner = make_pipeline(StandardScaler(), RandomForestClassifier(5, random_state=0))
    search = GridSearchCV(
        make_pipeline(StandardScaler(), RuleClassifier(inner, "f1")),
        {
            "ruleclassifier__metric": ["f1", "accuracy"],
            "ruleclassifier__estimator__randomforestclassifier__max_depth": [2, 3],
        },
        scoring="f1_macro",
        cv=2,
    ).fit(X, y)
    assert len(search.cv_results_["params"]) == 4
    assert not np.isnan(search.cv_results_["mean_test_score"]).any()
    again = copy.deepcopy(search.best_estimator_)
    np.testing.assert_array_equal(again.predict(held), search.predict(held))
    assert clone(search.best_estimator_).get_params()["ruleclassifier__rule"] == "auto"


def test_a_network_of_the_user():
    """A factory makes it; the same random_state gives the same probabilities; the better arm by select is returned."""
    X, held, y, truth = rare(3)

    def linear(features: int, classes: int) -> nn.Module:
        return nn.Linear(features, classes)

    settings = {"network": linear, "method": "surrogate:soft_confusion", "steps": 20, "random_state": 3}
    first, second = (MetricTunedClassifier("macro_f1", **settings).fit(X, y) for _ in range(2))
    np.testing.assert_array_equal(first.predict_proba(held), second.predict_proba(held))
    assert isinstance(first.network_, nn.Linear)
    assert first.arm_ in ("start", "continued", "tuned")
    assert f1_score(truth, first.predict(held), average="macro") > 0.4  # 0.28 for the largest class
    np.testing.assert_allclose(first.predict_proba(held).sum(1), 1.0)
    plain = MetricTunedClassifier(decision="argmax", **settings).fit(X, y)
    assert isinstance(plain.rule_, Argmax)
    np.testing.assert_array_equal(plain.predict(held), plain.classes_[plain.predict_proba(held).argmax(1)])


def test_the_global_random_state_is_left():
    """A fit draws from generators of its own."""
    X, _, y, _ = rare(rows=100)
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    MetricTunedClassifier("f1", method="surrogate:soft_confusion", steps=2, random_state=0).fit(X, y)
    assert bool((torch.random.get_rng_state() == before).all())


def test_what_is_refused():
    """A metric that reads no classes, a share that is none, divisions that leave rows out."""
    X, _, y, _ = rare()
    with pytest.raises(InputError, match="classes"):
        RuleClassifier(LogisticRegression(), "recall@1").fit(X, y)
    with pytest.raises(InputError, match="between 0 and 1"):
        MetricTunedClassifier(select_size=1.5).fit(X, y)
    half = [(np.arange(400), np.arange(400, 800))]
    with pytest.raises(InputError, match="hold every row once"):
        RuleClassifier(LogisticRegression(), cv=half).fit(X, y)


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """docs/integrations/scikit-learn.md is a program; on rows of test the rule is above the classifier."""
    page = run_page("scikit-learn.md", tmp_path, monkeypatch)
    assert page.ruled > page.plain
