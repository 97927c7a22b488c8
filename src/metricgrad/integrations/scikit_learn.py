"""Classifiers for scikit-learn: any probabilistic one that decides by a fitted rule, and a network tuned for a metric.

The metric reads classes as numbers, in the order of `classes_`: with two classes, the second one is the positive class.
"""

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from metricgrad._checks import extra, fail
from metricgrad.decision import Argmax, Rule, fit_rule
from metricgrad.metrics import adapt
from metricgrad.tune import ArraySplit, Plan, Splits, tune

_needed = ("scikit", "metricgrad.integrations.scikit_learn")
estimators = extra("sklearn.base", *_needed)
divisions = extra("sklearn.model_selection", *_needed)
validation = extra("sklearn.utils.validation", *_needed)
multiclass = extra("sklearn.utils.multiclass", *_needed)
sklearn_utils = extra("sklearn.utils", *_needed)

__all__ = ["MetricTunedClassifier", "RuleClassifier"]

FEWEST = 50
"""Rows below which no rule is fitted."""


class RuleClassifier(estimators.ClassifierMixin, estimators.MetaEstimatorMixin, estimators.BaseEstimator):
    """A probabilistic classifier that decides by a rule, which is fitted out of fold for a metric of classes.

    As `TunedThresholdClassifierCV`, for any metric and for any number of classes. The rule is kept only where it gains
    on rows that neither it nor the classifier was fitted to; else the class of the largest probability is predicted.

    Args:
        estimator: with `predict_proba`.
        metric: as `metrics.adapt` takes it, of decided classes: a name such as `"macro_f1"`, a function of ours, of
            scikit-learn or of yours.
        rule: `auto` (a threshold for two classes, a decision by slopes for more), or another one of `fit_rule`.
        cv: divisions that give every row one probability, as scikit-learn takes them.
        higher_is_better: the direction, for a function that does not tell its own.

    Attributes:
        estimator_: the classifier, fitted to all rows.
        rule_: the rule, a module of `metricgrad.decision`; `rule_.words()` says what it does.
        note_: why plain decisions were kept; empty where they were not.
        classes_: labels in their order.

    Raises:
        InputError: (in `fit`) a metric that reads no classes, an unknown rule.
        MissingExtraError: (when this module is imported) scikit-learn is not installed.

    Edge cases:
        One class, or fewer than 50 rows: no rule. `predict_proba` is that of the classifier, so its largest column need
        not be the predicted class.

    Cost:
        The fits of `cv`, one more, and that of the rule.

    Example:
        >>> from sklearn.datasets import make_classification
        >>> from sklearn.linear_model import LogisticRegression
        >>> X, y = make_classification(400, weights=[0.9], flip_y=0.1, random_state=0)
        >>> model = RuleClassifier(LogisticRegression(), metric="f_beta:beta=2").fit(X, y)
        >>> model.rule_.name, model.predict(X).sum() > model.estimator_.predict(X).sum()
        ('threshold', np.True_)
    """

    def __init__(
        self,
        estimator: Any,
        metric: Any = "macro_f1",
        *,
        rule: Any = "auto",
        cv: Any = 5,
        higher_is_better: Any = None,
    ) -> None:
        self.estimator, self.metric, self.rule, self.cv = estimator, metric, rule, cv
        self.higher_is_better = higher_is_better

    def fit(self, X: Any, y: Any) -> "RuleClassifier":
        """Fit the classifier to all rows, and the rule to probabilities out of fold.

        Args:
            X: rows, as the classifier takes them.
            y: one label per row.
        """
        metric = adapt(self.metric, higher_is_better=self.higher_is_better)
        self.estimator_ = estimators.clone(self.estimator).fit(X, y)
        self.classes_ = self.estimator_.classes_
        if hasattr(self.estimator_, "feature_names_in_"):
            self.feature_names_in_ = self.estimator_.feature_names_in_
        y = sklearn_utils.column_or_1d(y)
        codes = np.searchsorted(self.classes_, y)
        self.rule_: Rule | None = None
        if len(codes) < FEWEST or len(self.classes_) < 2:
            self.note_ = f"no rule was fitted: {len(codes)} rows of {len(self.classes_)} classes"
            return self
        found = fit_rule(self._out_of_fold(X, y), codes, metric, self.rule, inputs="probabilities")
        self.rule_, self.note_ = found.rule, found.note
        return self

    def _out_of_fold(self, X: Any, y: np.ndarray) -> np.ndarray:
        """Probabilities [row, class], each of a classifier that was not fitted to the row."""
        X, y = sklearn_utils.indexable(X, y)
        found = np.full((len(y), len(self.classes_)), np.nan)
        for train, held in divisions.check_cv(self.cv, y, classifier=True).split(X, y):
            one = estimators.clone(self.estimator).fit(
                sklearn_utils._safe_indexing(X, train), sklearn_utils._safe_indexing(y, train)
            )
            found[held] = 0  # of a class that was not among the others
            columns = np.searchsorted(self.classes_, one.classes_)
            found[np.ix_(held, columns)] = one.predict_proba(sklearn_utils._safe_indexing(X, held))
        if np.isnan(found).any():
            raise fail("RuleClassifier.fit", "cv leaves rows out", "divisions that hold every row once")
        return found

    def predict(self, X: Any) -> np.ndarray:
        """Return one label per row, as the rule decides."""
        validation.check_is_fitted(self)
        if self.rule_ is None:
            return self.estimator_.predict(X)
        return self.classes_[self.rule_.decide(self.estimator_.predict_proba(X)).numpy()]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probabilities of the classifier [row, class]."""
        validation.check_is_fitted(self)
        return self.estimator_.predict_proba(X)

    @property
    def n_features_in_(self) -> int:
        """Columns of the rows that `fit` saw."""
        validation.check_is_fitted(self)
        return self.estimator_.n_features_in_

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn may ask of it: what the classifier takes."""
        tags = super().__sklearn_tags__()
        theirs = sklearn_utils.get_tags(self.estimator).input_tags
        tags.input_tags.sparse, tags.input_tags.allow_nan = theirs.sparse, theirs.allow_nan
        return tags


class MetricTunedClassifier(estimators.ClassifierMixin, estimators.BaseEstimator):
    """A network that is trained with cross-entropy and then tuned by `tune` for a metric of classes.

    A share of the rows is held back for every choice: when training ends, which model is kept, and the rule that
    decides. Nothing is claimed, since no test split is read: measure the gain by cross-validation of the whole.

    Args:
        metric: as `tune` takes it.
        network: `(features, classes) -> nn.Module` whose outputs are logits [row, class]; None: one hidden layer of 64.
        method: of `tune`; `auto` is a portfolio of several losses, a name such as `surrogate:soft_confusion` is faster.
        steps: training steps of each arm after the start.
        start_steps: most steps with cross-entropy before; the best by the metric is the start.
        learning_rate: of the start; the arms after it take the one of their methods.
        batch_size: rows per step.
        select_size: share of the rows of every class that is held back, between 0 and 1.
        decision: of `tune`: `auto` fits a rule, `argmax` predicts the most probable class.
        higher_is_better: the direction, for a function that does not tell its own.
        device: of the network while it is trained.
        random_state: of the division, the first weights and the batches.

    Attributes:
        network_: the returned network, in float64 on the CPU; it takes rows that are scaled by `mean_` and `scale_`.
        rule_: the rule of the run; argmax where none was better.
        arm_: the arm that was returned: `tuned`, `continued` (cross-entropy went on) or `start`.
        classes_: labels in their order.

    Raises:
        InputError: (in `fit`) no class with two rows, what `tune` refuses.
        MissingExtraError: (when this module is imported) scikit-learn is not installed.

    Edge cases:
        One class: it is predicted. A class of one row is trained on and not held back. NaN is refused, as usual.

    Cost:
        That of `tune`. It writes to a temporary folder, which is removed.

    Example:
        >>> from sklearn.datasets import make_classification
        >>> X, y = make_classification(200, weights=[0.9], random_state=0)
        >>> model = MetricTunedClassifier("f1", method="surrogate:soft_confusion", steps=5, random_state=0)
        >>> model.fit(X, y).predict_proba(X[:3]).shape
        (3, 2)
    """

    def __init__(
        self,
        metric: Any = "macro_f1",
        *,
        network: Any = None,
        method: Any = "auto",
        steps: Any = 200,
        start_steps: Any = 200,
        learning_rate: Any = 0.01,
        batch_size: Any = 64,
        select_size: Any = 0.3,
        decision: Any = "auto",
        higher_is_better: Any = None,
        device: Any = None,
        random_state: Any = None,
    ) -> None:
        self.metric, self.network, self.method, self.steps = metric, network, method, steps
        self.start_steps, self.learning_rate, self.batch_size = start_steps, learning_rate, batch_size
        self.select_size, self.decision, self.device = select_size, decision, device
        self.higher_is_better, self.random_state = higher_is_better, random_state

    def fit(self, X: Any, y: Any) -> "MetricTunedClassifier":
        """Train and tune.

        Args:
            X: numbers [row, feature].
            y: one label per row.
        """
        X, y = validation.validate_data(self, X, y, dtype=np.float64)
        multiclass.check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        self.mean_ = X.mean(0)
        deviation = X.std(0)
        self.scale_ = np.where(deviation > 0, deviation, 1.0)
        self.network_, self.rule_, self.arm_ = None, Argmax(), "start"
        if len(self.classes_) > 1:
            self._tune(self._scaled(X).float(), torch.from_numpy(codes))
        return self

    def _tune(self, rows: Tensor, codes: Tensor) -> None:
        """Set the network and the rule."""
        random = sklearn_utils.check_random_state(self.random_state)
        held = _held_back(codes.numpy(), self.select_size, random)
        seed = int(random.randint(2**31))
        batch = max(2, min(self.batch_size, int((~held).sum())))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            result = tune(
                (self.network or _one_hidden_layer)(rows.shape[1], len(self.classes_)),
                Splits(ArraySplit(rows[~held], codes[~held]), ArraySplit(rows[held], codes[held])),
                metric=self.metric,
                proxy=cross_entropy,
                method=self.method,
                plan=Plan(steps=self.steps, batch=batch),
                start_plan=Plan(steps=self.start_steps, batch=batch),
                start_settings={"learning_rate": self.learning_rate},
                higher_is_better=self.higher_is_better,
                seed=seed,
                device=self.device,
                decision=self.decision,
                observer=lambda event: None,
            )
        if result.model is None or result.returned is None:
            raise RuntimeError("tune returned no model")
        self.network_ = copy.deepcopy(result.model).cpu().double().eval()
        self.rule_, self.arm_ = result.rule or Argmax(), result.returned

    def predict(self, X: Any) -> np.ndarray:
        """Return one label per row, as the rule decides."""
        logits = self._logits(X)
        plain = isinstance(self.rule_, Argmax)
        decided = logits.argmax(1) if plain else self.rule_.decide(logits)
        return self.classes_[decided.numpy()]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the softmax of the logits [row, class]; a rule may decide otherwise than its largest column."""
        return self._logits(X).softmax(1).numpy()

    def _logits(self, X: Any) -> Tensor:
        validation.check_is_fitted(self)
        rows = self._scaled(validation.validate_data(self, X, dtype=np.float64, reset=False))
        if self.network_ is None:  # there is one class
            return rows.new_zeros(len(rows), 1)
        with torch.no_grad():
            return self.network_(rows)

    def _scaled(self, X: np.ndarray) -> Tensor:
        return torch.from_numpy((X - self.mean_) / self.scale_)


def _one_hidden_layer(features: int, classes: int) -> nn.Module:
    return nn.Sequential(nn.Linear(features, 64), nn.ReLU(), nn.Linear(64, classes))


def _held_back(codes: np.ndarray, share: float, random: np.random.RandomState) -> Tensor:
    """Which rows select gets: of every class this share, at least one row of two and never all."""
    if not 0 < share < 1:
        raise fail("MetricTunedClassifier.fit", f"select_size is {share!r}", "a number between 0 and 1")
    held = torch.zeros(len(codes), dtype=torch.bool)
    for code in np.unique(codes):
        rows = random.permutation(np.flatnonzero(codes == code))
        count = min(max(round(share * len(rows)), 1), len(rows) - 1)
        held[rows[:count]] = True
    if not held.any():
        came = f"n_samples={len(codes)}, one row of each class"
        raise fail("MetricTunedClassifier.fit", came, "a class with two rows or more")
    return held
