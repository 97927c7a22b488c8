"""Rules of decision: fifty classes and 100,000 items, and a binary cut beside scikit-learn's tuned threshold.

    scripts/bench -k decision

One thread. `TunedThresholdClassifierCV` gets the same scores from a classifier that passes them on, `cv="prefit"`, and
looks at its 100 cuts (the default); ours looks at every cut between two distinct scores.
"""

from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import TunedThresholdClassifierCV

from benchmarks.results import keep
from metricgrad.bench.timer import medians, turn
from metricgrad.decision import SlopeDecode, Threshold, fit_rule

ITEMS = 100_000


class PassThrough(ClassifierMixin, BaseEstimator):
    """A classifier whose probability of class 1 is its only feature."""

    classes_ = np.array([0, 1])
    n_features_in_ = 1

    def fit(self, features: Any, y: Any) -> "PassThrough":
        """Nothing to learn."""
        return self

    def predict_proba(self, features: Any) -> Any:
        """Both columns."""
        return np.stack([1 - features[:, 0], features[:, 0]], 1)

    def predict(self, features: Any) -> Any:
        """The cut one half."""
        return (features[:, 0] > 0.5).astype(int)


def scores(classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of a classifier with rare classes, and the true classes."""
    generator = torch.Generator().manual_seed(0)
    shares = torch.exp(-4 / classes * torch.arange(classes, dtype=torch.float64))
    y = torch.multinomial(shares, ITEMS, replacement=True, generator=generator)
    noise = torch.randn(ITEMS, classes, dtype=torch.float64, generator=generator)
    return torch.nn.functional.one_hot(y, classes) * 2.0 + noise + shares.log(), y


def test_decision() -> None:
    """Print and keep the times; hold the 2 seconds."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        logits, y = scores(50)
        slope = turn(lambda: SlopeDecode().fit(logits, y, "macro_f1"))
        door = turn(lambda: fit_rule(logits, y, "macro_f1"))
        logits, y = scores(2)
        p = logits.softmax(1)[:, 1]
        features, labels = p.numpy()[:, None], y.numpy()
        tuned = TunedThresholdClassifierCV(PassThrough(), scoring="f1", cv="prefit", refit=False)
        calls = {"ours": lambda: Threshold().fit(p, y, "f1"), "theirs": lambda: tuned.fit(features, labels)}
        ours, theirs = medians(calls, 3).values()
        f1_of_ours = fit_rule(p, y, "f1").value
    finally:
        torch.set_num_threads(threads)
    print(
        f"\n  slope decode, 50 classes, {ITEMS:,} items: {slope:.2f} s; with its cross-fitted value {door:.2f} s"
    )
    print(f"  threshold, {ITEMS:,} items: {1e3 * ours:.0f} ms for every cut, F1 {f1_of_ours:.4f}")
    print(f"  TunedThresholdClassifierCV: {1e3 * theirs:.0f} ms for 100 cuts, F1 {tuned.best_score_:.4f}")
    print(f"  ratio: {theirs / ours:.0f}")
    keep(
        "decision",
        {
            "slope decode, 50 classes, 100,000 items, s": slope,
            "fit_rule, 50 classes, 100,000 items, s": door,
            "threshold, 100,000 items, ms": 1e3 * ours,
            "TunedThresholdClassifierCV, 100 cuts, ms": 1e3 * theirs,
            "threshold times_as_fast": theirs / ours,
        },
    )
    assert slope <= 2
    assert f1_of_ours >= tuned.best_score_ - 1e-9
