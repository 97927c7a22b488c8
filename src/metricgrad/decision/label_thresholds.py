"""Several labels per sample: a threshold for each."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from metricgrad._checks import describe, fail, require_finite, tensor_of
from metricgrad._types import Metric
from metricgrad.decision.cuts import best_cut
from metricgrad.decision.rule import MARGIN, Rule
from metricgrad.decision.scores import log_scores
from metricgrad.metrics.adapt import adapt
from metricgrad.metrics.label_tables import are_probabilities

__all__ = ["LabelThresholds"]

_CALLS = 50
"""Cuts of one label for a metric that is no function of the tables of the labels."""

_SHIFTS = [-0.5 + 0.05 * step for step in range(51)]

_Self = TypeVar("_Self", bound="LabelThresholds")
Odds = Float64[Tensor, "sample label"]
Marks = Bool[Tensor, "sample label"]
Gain = Callable[[Odds], float]


class LabelThresholds(Rule):
    """A label is there where its score is above the label's own cut (exact for macro averages, else an estimate).

    A macro average is a sum over labels, so the best of every cut of each label is the best of all. Other metrics are
    climbed label by label, once from one half and once from the prior shift: cuts that are lower the rarer a label is.

    Attributes:
        cuts: log odds [label] above which a label is there; a buffer.

    Args:
        sweeps: over the labels, at most.
        settings: `inputs`, `class_names` (of the labels).

    Edge cases:
        A label that no sample of the pool has, or that every sample has, keeps the cut one half. A metric that is no
        function of the 2 x 2 tables of the labels (F1 of samples, subset accuracy, a function of others) is called for
        at most 50 cuts per label. Cuts of one half where nothing is better.

    Gradient: none.

    Cost: O(label sample log sample) per sweep and a table of all labels per cut; 50 calls per label otherwise.

    Reference:
        [lipton2014optimal]: the best cut differs from label to label, and is half the best F1 of the label.

    Example:
        >>> p = torch.tensor([[0.1, 0.9], [0.3, 0.6], [0.4, 0.2], [0.2, 0.7]])
        >>> y = torch.tensor([[0, 1], [1, 0], [1, 0], [0, 1]])
        >>> rule = LabelThresholds().fit(p, y, "multilabel_f1_macro")
        >>> rule.decide(p).tolist()
        [[0, 1], [1, 0], [1, 0], [0, 1]]
    """

    name = "labels"
    least = 200
    cuts: Tensor

    def __init__(self, *, sweeps: int = 3, **settings: object) -> None:
        super().__init__(**settings)  # pyright: ignore[reportArgumentType]
        self.sweeps = sweeps
        self.register_buffer("cuts", torch.zeros(0, dtype=torch.float64))

    def fit(self: _Self, p: Any, y: Any, metric: Any) -> _Self:
        """Fit a cut for each label.

        Args:
            p: probabilities or logits [sample, label].
            y: 0 and 1 [sample, label].
            metric: a metric that reads labels, such as `multilabel_f1_macro`.
        """
        caller = "LabelThresholds.fit"
        odds = self._read(caller, p)
        marks = tensor_of(caller, "targets", y, "0 and 1 [sample, label]").cpu()
        if marks.shape != odds.shape or not bool(((marks == 0) | (marks == 1)).all()) or not len(odds):
            came = f"targets are {describe(marks)} for scores {describe(odds)}"
            raise fail(caller, came, "0 and 1 [sample, label], of at least one sample")
        record = metric if isinstance(metric, Metric) else adapt(metric)
        if record.reads not in ("labels", None):
            raise fail(
                f"metric {record.name}", f"it reads {record.reads}", "a metric of several labels per sample"
            )
        self.metric, self.classes, self.seen = record.name, odds.shape[1], _mixed(marks == 1)
        self.check_names(caller)
        self._fit(odds, marks == 1, record)
        return self

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """A cut for each label."""
        return {**super().shapes(), "cuts": (self.classes,)}

    def words(self) -> str:
        """The cut of each label as a probability."""
        lines = [
            f"  {self.class_names[k] if self.class_names else f'label {k}'} from a probability of {float(cut):.3f} on"
            for k, cut in enumerate(self.cuts.sigmoid())
        ]
        return "\n".join(["Labels that are there (one half without a rule):", *lines])

    def forward(self, p: Tensor) -> Int64[Tensor, "sample label"]:
        """As `decide`, without its checks."""
        return self._choose(_odds(p, self.inputs == "probabilities"))

    def _read(self, caller: str, p: Any) -> Odds:
        expected = "probabilities or logits [sample, label]"
        given = tensor_of(caller, "scores", p, expected).cpu()
        if given.ndim != 2:
            raise fail(caller, f"scores are {describe(given)}", expected)
        scores = require_finite(caller, "scores", given.double())
        within = are_probabilities(scores)
        if self.inputs == "probabilities" and not within:
            reach = f"from {float(scores.min()):.4g} to {float(scores.max()):.4g}"
            raise fail(caller, f"scores reach {reach} where probabilities are read", "numbers from 0 to 1")
        if self.inputs == "auto":
            self.inputs = "probabilities" if within else "logits"
        return _odds(scores, self.inputs == "probabilities")

    def _decided(self, logs: Odds) -> Int64[Tensor, "sample label"]:
        return self._choose(logs)

    def _choose(self, logs: Odds) -> Int64[Tensor, "sample label"]:
        return (logs > self.cuts).long()

    def _fit(self, logs: Odds, y: Marks, value: Metric) -> None:
        self._search(logs, y, value)

    def _search(self, odds: Odds, marks: Marks, metric: Metric) -> None:
        """Set the cuts to the best that either start leads to."""
        sign = 1.0 if metric.higher_is_better else -1.0

        def gain(cuts: Tensor) -> float:
            decided = (odds > cuts).long()
            value = sign * float(metric.summarise(metric.measure(decided, marks.long())))
            return value if value == value else -torch.inf

        half = torch.zeros(self.classes, dtype=torch.float64)
        prior = torch.logit(marks.double().mean(0).clamp(1e-6, 1 - 1e-6))
        shifted = max((tau * torch.where(self.seen, prior, 0.0) for tau in _SHIFTS), key=gain)
        found = max((self._climb(start, odds, marks, metric, gain) for start in (half, shifted)), key=gain)
        self.cuts = found if gain(found) > gain(half) + MARGIN else half

    def _climb(self, start: Tensor, odds: Odds, marks: Marks, metric: Metric, gain: Gain) -> Tensor:
        """Cut by cut to the best place, until no move is better."""
        cuts, best = start.clone(), gain(start)
        place = _by_tables if metric.of_label_tables is not None else _by_calls
        for _ in range(self.sweeps):
            before = best
            for label in self.seen.nonzero()[:, 0].tolist():
                other = place(label, cuts, odds, marks, metric, gain)
                value = gain(other)
                if value > best + MARGIN:
                    cuts, best = other, value
            if best <= before:
                break
        return cuts


def _by_tables(label: int, cuts: Tensor, odds: Odds, marks: Marks, metric: Metric, gain: Gain) -> Tensor:
    """The cuts with the best of every cut of one label, by a formula of all tables."""
    assert metric.of_label_tables is not None
    formula, sign = metric.of_label_tables, 1.0 if metric.higher_is_better else -1.0
    tables = _tables(odds > cuts, marks)

    def gains(of_label: Tensor) -> Tensor:
        every = tables.repeat(len(of_label), 1, 1, 1)
        every[:, label] = of_label
        return (sign * formula(every)).nan_to_num(nan=-torch.inf)

    y = marks[:, label].long()
    cut = best_cut(
        odds[:, label],
        torch.zeros_like(y),
        torch.ones_like(y),
        y,
        gains,
        classes=2,
        present=float(cuts[label]),
        distance=torch.sigmoid,
    )
    return _with(cuts, label, cut.at)


def _by_calls(label: int, cuts: Tensor, odds: Odds, marks: Marks, metric: Metric, gain: Gain) -> Tensor:
    """The same by calling the metric for some cuts between the scores of one label."""
    scores = odds[:, label].unique()
    middles = (scores[:-1] + scores[1:]) / 2
    ends = torch.stack([scores[0] - 1, scores[-1] + 1])
    if len(middles) > _CALLS:
        middles = middles[torch.linspace(0, len(middles) - 1, _CALLS).long()]
    return max((_with(cuts, label, float(cut)) for cut in torch.cat([middles, ends])), key=gain)


def _with(cuts: Tensor, label: int, cut: float) -> Tensor:
    cuts = cuts.clone()
    cuts[label] = cut
    return cuts


def _odds(scores: Tensor, probabilities: bool) -> Odds:
    """Log odds of each label."""
    if not probabilities:
        return scores.double()
    columns = log_scores(scores.reshape(-1), "probabilities")
    return (columns[:, 1] - columns[:, 0]).reshape(scores.shape)


def _mixed(marks: Marks) -> Bool[Tensor, "label"]:
    """Labels that some sample has and some has not."""
    return marks.any(0) & ~marks.all(0)


def _tables(decided: Marks, marks: Marks) -> Float64[Tensor, "label 2 2"]:
    """Table [true, predicted] of each label."""
    both = torch.stack([(marks == y) & (decided == k) for y in (0, 1) for k in (0, 1)])
    return both.double().sum(1).T.reshape(-1, 2, 2)
