"""What an adaptation gives: the map, and what it brings over the vectors as they came."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from metricgrad._closed_form_records import SizeCurve
from metricgrad.adapting.closed_forms import Forms
from metricgrad.adapting.gains import Gain, Over
from metricgrad.adapting.job import Form
from metricgrad.adapting.parts import Parts
from metricgrad.adapting.sentence import sentence_of
from metricgrad.projection import PairProjection
from metricgrad.tune import Comparison

__all__ = ["Adapted"]


@dataclass(frozen=True)
class Adapted:
    """The outcome of `adapt_embeddings` or `adapt_pairs`.

    Attributes:
        map: of both sides alike, or a `PairProjection` with one for each; the vectors as they came where select
            prefers these.
        metric: its name.
        gain: what it brings on test over the vectors as they came.
        over: what it brings on test over the best control by select: the vectors as they came, the best closed form,
            training on with the usual loss; None where the map is itself one of these.
        over_form: what training brings on test over the best closed form, for this metric alone; None where the map was
            not trained, or the best control is that form.
        why: where `over` is None, what the map is, and why nothing better is returned, as a sentence; else empty.
        parts: who fitted, selected and tested: numbers of rows.
        forms: the closed forms and their values on select.
        notes: what a reader should know of the data, the question first.
        comparison: of the contest; None where nothing was trained.
        curve: what smaller parts of fit give on select; None where that was not asked for.
        side: which vectors are mapped: `both`, or those of the `query` alone.
        folder: that holds map, record and report.
    """

    map: Form
    metric: str
    gain: Gain
    over: Over | None
    over_form: Over | None
    why: str
    parts: Parts
    forms: Forms
    notes: Sequence[str]
    comparison: Comparison | None
    curve: SizeCurve | None
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
        """What came out, in words: the gain over the best control, the best closed form, the vectors as they came."""
        return sentence_of(self.metric, self.map.words(), self.gain, self.over, self.why, self.over_form)

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
        if self.curve is not None:
            lines += ["", *table_of(self.curve, self.metric)]
        return "\n".join([*lines, "", f"to rebuild: {self.rebuild}", f"folder: {self.folder}"])

    @property
    def facts(self) -> dict[str, Any]:
        """Everything as plain values.

        `gain` is over the vectors as they came, `over` over the best control, `over_form` over the best closed form, as
        in the attributes; `closed_forms` are all that were tried with their values on select; `curve` has a point for
        each share of fit, on select.
        """
        return {
            "metric": self.metric,
            "question": self.parts.question,
            "sentence": self.sentence,
            "map": self.map.words(),
            "gain": vars(self.gain),
            "over": None if self.over is None else vars(self.over),
            "over_form": None if self.over_form is None else vars(self.over_form),
            "why": self.why,
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
            "curve": None if self.curve is None else asdict(self.curve),
            "folder": str(self.folder),
        }


def table_of(curve: SizeCurve, metric: str) -> list[str]:
    """A curve over the size of fit as lines of a table."""
    rows = [(f"{metric} on select by size of fit", curve.unit, "closed form", "", curve.method)]
    for point in curve.points:
        trained = f"not trained: {point.why}" if point.trained is None else f"{point.trained:.4f}"
        rows.append((f"{point.share:.0%}", f"{point.many:,}", f"{point.value:.4f}", point.words, trained))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    return lines if curve.raw is None else [*lines, f"The vectors as they came: {curve.raw:.4f}."]
