"""What is left of test in the folder: rankings and judgements for trec_eval and its kin, and a line for every query."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TextIO

import numpy as np
from torch import Tensor, nn

from metricgrad._layout import temporary_of
from metricgrad._trec import judgement_lines, run_lines
from metricgrad._types import Metric
from metricgrad.adapting.names import Names
from metricgrad.adapting.rankings import ranked_items
from metricgrad.adapting.relevance import Relevance
from metricgrad.adapting.rows import RowSplit
from metricgrad.errors import RunFolderError

__all__ = ["Mapped", "QueryFiles"]

MOST_LINES, MOST_JUDGEMENTS = 5_000_000, 1_000_000
"""Of one file: some 200 MB."""
DEPTH, DEPTH_WITHOUT_K = 100, 1_000
JUDGED, PER_QUERY = "qrels.test.tsv", "per-query.csv"


@dataclass(frozen=True)
class Mapped:
    """Test under one map.

    Attributes:
        network: maps the inputs of test.
        values: the metric of every test query [query, 1].
    """

    network: nn.Module
    values: Tensor


@dataclass(frozen=True)
class QueryFiles:
    """Which files are written of test; all that decides it is known before anything is trained.

    `run.NAME.trec` holds the first items of every test query, `qrels.test.tsv` (TREC: qid 0 docid grade) what is
    relevant to these queries, `per-query.csv` the metric of each. Equal similarities are in the order of the metric,
    relevant items last.

    Attributes:
        metric: of the figures.
        test: who asks, against what.
        relevance: what is relevant.
        names: of queries and items.
    """

    metric: Metric
    test: RowSplit
    relevance: Relevance
    names: Names

    @property
    def ranked(self) -> int:
        """How many items are ranked for a query."""
        others = 0 if self.test.reference is None else len(self.test.reference.rows)
        return others + (len(self.test.rows) - 1 if self.test.side is None else 0)

    @property
    def depth(self) -> int:
        """Items of a query in a run: 100, or as many as the metric reads; 1,000 where it does not say how many."""
        k = self.metric.settings.get("k")
        return min(self.ranked, DEPTH_WITHOUT_K if k is None else max(DEPTH, k))

    @cached_property
    def no_runs(self) -> str:
        """Why no run is written; empty where they are."""
        ties, lines = self.metric.settings["ties"], self.depth * len(self.test.rows)
        if ties != "pessimistic":
            return f"ties={ties} is no order that a file could show"
        return self._spaces or (f"each would have {lines:,} lines" if lines > MOST_LINES else "")

    @cached_property
    def no_judgements(self) -> str:
        """Why no judgements are written; empty where they are."""
        lines = self.relevance.many(self.test.rows)
        return self._spaces or (f"it would have {lines:,} lines" if lines > MOST_JUDGEMENTS else "")

    @cached_property
    def _spaces(self) -> str:
        found = self.names.broken
        return f"the id {found} has a space within, which parts the columns" if found else ""

    @property
    def notes(self) -> list[str]:
        """What is not written, and what the runs do not show."""
        found = []
        if self.no_runs:
            found.append(f"no run.*.trec is written: {self.no_runs}")
        elif self.metric.settings.get("k") is None and self.depth < self.ranked:
            found.append(
                f"run.*.trec hold the first {self.depth:,} of {self.ranked:,} items per query, and {self.metric.name} "
                "may read more of them: of the files alone the figure may be lower"
            )
        if self.no_judgements:
            found.append(f"no {JUDGED} is written: {self.no_judgements}")
        return found

    def write(self, arms: Mapping[str, Mapped], folder: Path) -> None:
        """Write the files; `arms` are `raw` and `control`, where there are such, and `adapted`.

        Raises:
            RunFolderError: the folder is read-only, full or missing.
        """
        for name, arm in arms.items():
            if not self.no_runs:
                with _anew(folder / f"run.{name}.trec") as file:
                    file.writelines(run_lines(self._lists(arm.network), self.names.item))
        asked = self.test.rows.tolist()
        if not self.no_judgements:
            judged = ((self.names.query(one), *self.relevance.judged(one)) for one in asked)
            with _anew(folder / JUDGED) as file:
                file.writelines(judgement_lines(judged, self.names.item))
        with _anew(folder / PER_QUERY) as file:
            writer = csv.writer(file, lineterminator="\n")
            columns = _columns({name: arm.values[:, 0].double().numpy() for name, arm in arms.items()})
            writer.writerow(["query", *columns])
            names = map(self.names.query, asked)
            writer.writerows(zip(names, *map(_cells, columns.values()), strict=True))

    def _lists(self, network: nn.Module) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        normalize = self.metric.settings["normalize"]
        for query, items, scores in ranked_items(
            network, self.test, self.relevance, self.depth, normalize=normalize
        ):
            yield self.names.query(query), items, scores


def _columns(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The values of the arms, then how much the map is better than each of the others."""
    others = [name for name in values if name != "adapted"]
    return {**values, **{f"adapted-{name}": values["adapted"] - values[name] for name in others}}


def _cells(values: np.ndarray) -> Iterable[str]:
    """All digits; nothing for a query without a figure."""
    return ("" if value != value else repr(value) for value in values.tolist())


@contextmanager
def _anew(path: Path) -> Iterator[TextIO]:
    """A file beside the path that takes its place when it is whole: a link of that name is not followed."""
    place = temporary_of(path)
    try:
        with place.open("x", encoding="utf-8", newline="") as file:
            yield file
        place.replace(path)
    except OSError as error:
        raise RunFolderError(
            f"cannot write {path}: {error.strerror or error}; expected a folder that can be written to, with room."
        ) from error
    finally:
        with suppress(OSError):
            place.unlink(missing_ok=True)
