"""What an adaptation gives: the map, and what it brings over the vectors as they came."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import Tensor

from metricgrad._types import Metric
from metricgrad.adapting.closed_forms import Forms
from metricgrad.adapting.job import Form
from metricgrad.adapting.parts import Parts
from metricgrad.differences import CONFIDENCE, Differences, Grouping
from metricgrad.projection import PairProjection
from metricgrad.tune import Comparison

__all__ = ["Adapted", "Gain", "gain_over_raw"]

Outcome = Literal["gain", "no evidence", "worse", "nothing to gain", "nothing claimed"]


@dataclass(frozen=True)
class Gain:
    """The map beside the vectors as they came, on test.

    Attributes:
        raw: the metric of the vectors as they came; None where the sides have no common space.
        adapted: of the map.
        low: lower end of the interval of adapted - raw.
        high: upper end.
        scope: what the interval is over.
        outcome: what may be said of it.
    """

    raw: float | None
    adapted: float
    low: float | None
    high: float | None
    scope: str
    outcome: Outcome


@dataclass(frozen=True)
class Adapted:
    """The outcome of `adapt_embeddings` or `adapt_pairs`.

    Attributes:
        map: of both sides alike, or a `PairProjection` with one for each; the vectors as they came where select
            prefers these.
        metric: its name.
        gain: what it brings on test.
        parts: who fitted, selected and tested: numbers of rows.
        forms: the closed forms and their values on select.
        notes: what a reader should know of the data, the question first.
        comparison: of the contest; None where nothing was trained.
        side: which vectors are mapped: `both`, or those of the `query` alone.
        folder: that holds map, record and report.
    """

    map: Form
    metric: str
    gain: Gain
    parts: Parts
    forms: Forms
    notes: Sequence[str]
    comparison: Comparison | None
    side: str
    folder: Path

    @property
    def unchanged(self) -> bool:
        """Whether the vectors as they came are returned."""
        return self.map.words() == "unchanged"

    def transform(self, x: Any, side: Literal["query", "document"] = "query") -> np.ndarray:
        """Map vectors [row, dim] of a side, in blocks."""
        form = getattr(self.map, side) if isinstance(self.map, PairProjection) else self.map
        return form.transform(x)

    @property
    def sentence(self) -> str:
        """What came out, in words."""
        gain, name = self.gain, self.map.words()
        value = f"{self.metric} {gain.adapted:.4f}"
        if self.unchanged:
            return f"Nothing to gain: on select nothing is better than the vectors as they came ({value} on test)."
        if gain.raw is None or gain.low is None or gain.high is None:
            return (
                f"Adapted by {name}: {value} on test, beside which the vectors as they came have no figure."
            )
        words = {
            "gain": f"Gain: adapted by {name}",
            "worse": f"Worse: adapted by {name}",
            "nothing claimed": f"Nothing is claimed of {name}",
        }.get(gain.outcome, f"No evidence of a gain by {name}")
        interval = f"{CONFIDENCE:.0%} interval {gain.low:+.4f} to {gain.high:+.4f} {gain.scope}"
        return (
            f"{words}: {value} against {gain.raw:.4f} of the vectors as they came, "
            f"{gain.adapted - gain.raw:+.4f} ({interval})."
        )

    @property
    def rebuild(self) -> str:
        """What has to be mapped before it is used."""
        if self.unchanged:
            return "index: no (nothing changes)"
        if self.side == "query":
            return "index: no (documents stay as they are; map the queries)"
        return "index: yes (map all documents, then every query)"

    def summary(self) -> str:
        """Everything as plain text, the question first."""
        lines = [*self.notes, "", self.sentence]
        lines.append(
            f"closed forms: {len(self.forms.tried)} tried, best on select: {self.forms.words} ({self.forms.value:.4f})"
        )
        if self.comparison is not None:
            lines += ["", self.comparison.summary()]
        return "\n".join([*lines, "", f"to rebuild: {self.rebuild}", f"folder: {self.folder}"])

    @property
    def facts(self) -> dict[str, Any]:
        """Everything as plain values."""
        return {
            "metric": self.metric,
            "question": self.parts.question,
            "sentence": self.sentence,
            "map": self.map.words(),
            "gain": vars(self.gain),
            "parts": {
                "by": self.parts.by,
                **{name: len(getattr(self.parts, name)) for name in ("fit", "select", "test")},
                "left_out": self.parts.left_out,
            },
            "notes": list(self.notes),
            "closed_forms": [vars(one) for one in self.forms.tried],
            "side": self.side,
            "rebuild": self.rebuild,
            "comparison": None if self.comparison is None else self.comparison.facts,
            "folder": str(self.folder),
        }


def gain_over_raw(
    metric: Metric, adapted: Tensor, raw: Tensor | None, grouping: Grouping, *, unchanged: bool
) -> Gain:
    """Compare test statistics, paired over units."""
    value = float(metric.summarise(adapted))
    if raw is None:
        return Gain(None, value, None, None, "", "nothing claimed")
    compared = Differences(metric, {"adapted": [adapted], "raw": [raw]}, grouping)
    found = compared.interval({"adapted": 1.0, "raw": -1.0})
    outcome: Outcome = "nothing to gain" if unchanged else compared.against("raw")[0].claim
    before, after = (compared.interval({arm: 1.0}).value for arm in ("raw", "adapted"))
    return Gain(before, after, found.low, found.high, compared.scope.partition(";")[0], outcome)
