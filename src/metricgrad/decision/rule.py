"""What every rule of decision is: a small module that is fitted to a pool and turns scores into classes."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar, final

import torch
from jaxtyping import Float64, Int64
from torch import Tensor, nn

from metricgrad._checks import fail
from metricgrad._decision_records import plain_name
from metricgrad.decision.graph import write_onnx
from metricgrad.decision.scores import Inputs, Scores, class_numbers, log_scores, read_scores
from metricgrad.metrics.table_metric import TableMetric

__all__ = ["MARGIN", "Argmax", "Rule", "table_of"]

MARGIN = 1e-9
"""A rule is better than argmax where it gains more than this."""

LogScores = Float64[Tensor, "sample class"]
Classes = Int64[Tensor, "sample"]
_Rule = TypeVar("_Rule", bound="Rule")


class Rule(nn.Module, ABC):
    """A rule of decision; each rule says how it is fitted (`_fit`), how it decides (`_choose`) and in which words.

    Attributes:
        name: as `fit_rule` takes it.
        least: items that `fit_rule` wants before it fits this rule.
        inputs: what the scores are, `logits` or `probabilities`; `auto` until it is fitted.
        classes: how many there are; 0 until it is fitted.
        metric: the name of the metric it was fitted for; empty until then.
        class_names: one per class, for words and files; empty where they are numbers.
        note: what was done otherwise than asked, in one sentence; empty where nothing was.
    """

    name: ClassVar[str]
    least: ClassVar[int] = 50

    def __init__(self, *, inputs: Inputs = "auto", class_names: Sequence[str] = ()) -> None:
        super().__init__()
        self.inputs: Inputs = inputs
        self.class_names = tuple(map(str, class_names))
        self.classes, self.metric, self.note = 0, "", ""
        self.seen: Tensor
        self.register_buffer("seen", torch.zeros(0, dtype=torch.bool))

    def fit(self: _Rule, p: Any, y: Any, metric: Any) -> _Rule:
        """Fit the rule to scores and true classes for a metric of decided classes.

        Args:
            p: probabilities or logits [sample, class], or one score of class 1 [sample].
            y: true classes [sample], whole numbers.
            metric: anything that `metrics.adapt` takes and that reads classes, or a `TableMetric`.

        Returns:
            The rule itself. It is argmax where nothing is better by 1e-9.

        Raises:
            InputError: other shapes or values, no item, a metric that reads something else than classes.
        """
        caller = f"{type(self).__name__}.fit"
        logs = self._read(caller, p)
        if not len(logs):
            raise fail(caller, "there is no item", "at least one")
        self.classes, self.note = self._count_classes(logs, y), ""
        self.check_names(caller)
        truth = class_numbers(caller, y, len(logs), self.classes)
        value = metric if isinstance(metric, TableMetric) else TableMetric(metric, self.classes)
        self.metric = value.metric.name
        self.seen = truth.bincount(minlength=self.classes) > 0
        self._fit(logs, truth, value)
        return self

    def decide(self, p: Any) -> Int64[Tensor, "sample *label"]:
        """Decide classes [sample] for probabilities or logits; ties: the lowest class.

        Raises:
            InputError: not fitted, another number of classes, NaN, logits for probabilities or the reverse.
        """
        caller = f"{type(self).__name__}.decide"
        self._require_fitted(caller)
        logs = self._read(caller, p)
        if self._columns(logs) != self.classes:
            came = f"scores have {self._columns(logs)} classes"
            raise fail(caller, came, f"{self.classes}, as the rule was fitted")
        return self._decided(logs)

    def forward(self, p: Scores) -> Classes:
        """As `decide`, without its checks: what stands in an exported graph, on the device of the scores."""
        return self._decided(log_scores(p, "probabilities" if self.inputs == "probabilities" else "logits"))

    @abstractmethod
    def words(self) -> str:
        """The rule in plain words."""

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every array, by name, for the number of classes."""
        return {"seen": (self.classes,)}

    def is_sound(self) -> bool:
        """Whether arrays from a file can be those of a fitted rule."""
        return bool(self.seen.any())

    def example(self) -> Tensor:
        """Scores of two items."""
        return torch.zeros(2, self.classes)

    def to_onnx(
        self, path: Path | str, *, network: nn.Module | None = None, inputs: Tensor | None = None
    ) -> Path:
        """Write the rule as an ONNX graph of float32 scores -> `classes`; with a network, of `inputs` -> `classes`.

        `nn.Sequential(network, rule)` is the same in PyTorch: the network's outputs are read as the scores of the fit.

        Args:
            path: of the file.
            network: takes one tensor and gives the scores that the rule was fitted to.
            inputs: an example of what the graph takes, of two items or more: needed with a network, and for scores that
                are one number per sample.

        Raises:
            InputError: not fitted, or a network without inputs.
            MissingExtraError: onnx or onnxscript is not installed.
        """
        self._require_fitted(f"{type(self).__name__}.to_onnx")
        if network is not None and inputs is None:
            raise fail(
                "to_onnx", "a network was given without inputs", "an example of its inputs, two items or more"
            )
        return write_onnx(path, self, self.example() if inputs is None else inputs, network)

    @property
    def without(self) -> str:
        """Name of what decides without it: argmax of class scores, rounding of one number, the midpoint of labels."""
        return plain_name([self.name])

    def class_name(self, k: int) -> str:
        """What class k is called in a sentence: by its name, where that is a number as `class 3`."""
        name = self.class_names[k] if self.class_names else str(k)
        return f"class {name}" if name.lstrip("-").isdecimal() else name

    def _read(self, caller: str, p: Any) -> Tensor:
        """What `_fit` and `_choose` take, of what the user gives; what it is, is kept from the fit on."""
        scores, self.inputs = read_scores(caller, p, self.inputs)
        return log_scores(scores, self.inputs)

    def _count_classes(self, scores: Tensor, y: Any) -> int:
        return scores.shape[1]

    def _columns(self, scores: Tensor) -> int:
        return scores.shape[1]

    @abstractmethod
    def _fit(self, logs: LogScores, y: Classes, value: Any) -> None:
        """Set the arrays of the rule for the scores and truth of a pool; of classes, the metric is a `TableMetric`."""

    @abstractmethod
    def _choose(self, logs: LogScores) -> Classes:
        """Classes among those of the pool."""

    def _decided(self, logs: LogScores) -> Classes:
        """An item whose largest score is that of a class absent from the pool keeps it: nothing is known of it."""
        largest = logs.argmax(1)
        return torch.where(self.seen[largest], self._choose(logs), largest)

    def _among_seen(self, scores: Tensor) -> Classes:
        """The largest score among classes of the pool."""
        return scores.masked_fill(~self.seen, -torch.inf).argmax(1)

    def _require_fitted(self, caller: str) -> None:
        if not self.classes:
            raise fail(caller, "the rule was not fitted", "a fitted rule", "Call fit(p, y, metric) first.")

    def check_names(self, caller: str) -> None:
        """Raise InputError unless there is a name of its own for every class, or none at all."""
        names = len(self.class_names)
        if names and not names == len(set(self.class_names)) == self.classes:
            came = f"class_names has {names} names, {len(set(self.class_names))} of them different"
            raise fail(caller, came, f"one name for each of {self.classes} classes")


@final
class Argmax(Rule):
    """The class of the largest score: what is decided without a rule. Ties: the lowest class.

    Example:
        >>> rule = Argmax().fit([[0.9, 0.1], [0.2, 0.8]], [0, 1], "accuracy")
        >>> rule.decide([[0.5, 0.5], [0.4, 0.6]]), rule.words()
        (tensor([0, 1]), 'The class of the largest score (argmax).')
    """

    name = "argmax"
    least = 0

    def words(self) -> str:
        """One sentence."""
        return "The class of the largest score (argmax)."

    def _fit(self, logs: LogScores, y: Classes, value: TableMetric) -> None:
        pass

    def _choose(self, logs: LogScores) -> Classes:
        return logs.argmax(1)


def table_of(decided: Classes, y: Classes, classes: int) -> Float64[Tensor, "true predicted"]:
    """Confusion table of decisions.

    Example:
        >>> table_of(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]), 2)
        tensor([[1., 1.],
                [0., 1.]], dtype=torch.float64)
    """
    cells = (y * classes + decided).bincount(minlength=classes * classes)
    return cells.reshape(classes, classes).double()
