"""What is adapted: splits, closed forms, and how forms become networks and trained networks become maps again."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from metricgrad._types import Metric
from metricgrad.adapting.gains import Over
from metricgrad.adapting.parts import Parts
from metricgrad.adapting.query_files import QueryFiles
from metricgrad.projection import PairProjection, Projection
from metricgrad.tune import Comparison, Splits

__all__ = ["Fewer", "Form", "Job", "Judged", "Start"]

Form = Projection | PairProjection


@dataclass(frozen=True)
class Job:
    """One adaptation, whether of labels or of pairs.

    Attributes:
        metric: of every figure.
        parts: who fits, selects and tests.
        splits: fit (batches to train on), select and test.
        forms: fits the closed forms, one after the other; called once.
        network: form -> what maps the inputs of select and test.
        start: form -> where training starts from it.
        trained: (trained heads, name) -> the map that they are.
        raw: the vectors as they came; None where both sides have no common space.
        proxy: the usual loss of such data.
        fewer: share of fit -> a smaller fit, drawn by the seed; smaller ones are within larger ones.
        too_few: why nothing is trained; empty where there is enough.
        notes: what a reader should know of the data, the question first.
        side: which vectors are mapped: `both`, or those of the `query` alone.
        files: what is left of test in the folder; None: nothing.
    """

    metric: Metric
    parts: Parts
    splits: Splits
    forms: Callable[[], Iterable[Any]]
    network: Callable[[Any], nn.Module]
    start: Callable[[Any], "Start"]
    trained: Callable[[Any, str], Form]
    raw: Form | None
    proxy: str
    fewer: Callable[[float], "Fewer"]
    too_few: str = ""
    notes: Sequence[str] = field(default_factory=list)
    side: str = "both"
    files: QueryFiles | None = None


@dataclass(frozen=True)
class Start:
    """Where training starts.

    Attributes:
        network: with what is trained.
        map: that it is before training: the closed form, or one near it of fewer directions.
    """

    network: nn.Module
    map: Form

    @property
    def weights(self) -> int:
        """Numbers that are trained."""
        return sum(weight.numel() for weight in self.network.parameters() if weight.requires_grad)


@dataclass(frozen=True)
class Fewer:
    """A part of fit.

    Attributes:
        many: how many units it has.
        unit: what they are: `classes`, `items` or `queries`.
        fit: batches to train on.
        forms: fits the closed forms, one after the other; called once.
        start: form -> where training starts from it.
        too_few: why nothing is trained on it; empty where there is enough.
    """

    many: int
    unit: str
    fit: Any
    forms: Callable[[], Iterable[Any]]
    start: Callable[[Any], "Start"]
    too_few: str = ""


@dataclass(frozen=True)
class Judged:
    """What a run returns.

    Attributes:
        map: the map.
        adapted: its statistics on test.
        raw: those of the vectors as they came; None where both sides have no common space.
        why: what the map is where it was not trained for the metric, and why there is no better one, as a sentence.
        over: what it brings over the best control, where it was.
        over_form: what training brings over the best closed form, where it was trained and `over` does not say it.
        comparison: the contest; None where nothing was trained.
    """

    map: Form
    adapted: Tensor
    raw: Tensor | None
    why: str
    over: Over | None = None
    over_form: Over | None = None
    comparison: Comparison | None = None
