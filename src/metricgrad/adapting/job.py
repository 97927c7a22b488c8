"""What is adapted: splits, closed forms, and how forms become networks and trained networks become maps again."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from metricgrad._types import Metric
from metricgrad.adapting.parts import Parts
from metricgrad.adapting.query_files import QueryFiles
from metricgrad.projection import PairProjection, Projection
from metricgrad.tune import Comparison, Splits

__all__ = ["Form", "Job", "Judged"]

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
        start: form -> the same as trainable heads.
        trained: (trained heads, name) -> the map that they are.
        raw: the vectors as they came; None where both sides have no common space.
        raw_is_an_arm: whether the contest can have them as a control: inputs are vectors, not sides.
        proxy: the usual loss of such data.
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
    start: Callable[[Any], nn.Module]
    trained: Callable[[Any, str], Form]
    raw: Form | None
    raw_is_an_arm: bool
    proxy: str
    too_few: str = ""
    notes: Sequence[str] = field(default_factory=list)
    side: str = "both"
    files: QueryFiles | None = None


@dataclass(frozen=True)
class Judged:
    """What a run returns.

    Attributes:
        map: the map.
        adapted: its statistics on test.
        raw: those of the vectors as they came; None where both sides have no common space.
        comparison: the contest; None where nothing was trained.
    """

    map: Form
    adapted: Tensor
    raw: Tensor | None
    comparison: Comparison | None = None
