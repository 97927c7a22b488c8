"""What a run found, for people: a table for the terminal, plots, and one HTML page that opens offline.

Everything here reads the files of a run folder (or the same events in memory) and nothing else; no model, no data
and no metric is touched, so that a report can be made anew at any time, on any machine, from the record alone.

The names are resolved on first use: `summary_text` must not cost a caller the import of the plotting library.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metricgrad.report.page import render as render
    from metricgrad.report.reading import Run as Run
    from metricgrad.report.reading import condense as condense
    from metricgrad.report.reading import read_run as read_run
    from metricgrad.report.table import closing_table as closing_table
    from metricgrad.report.table import summary_text as summary_text

__all__ = ["Run", "closing_table", "condense", "read_run", "render", "summary_text"]

_HOMES = {
    "Run": "reading",
    "closing_table": "table",
    "condense": "reading",
    "read_run": "reading",
    "render": "page",
    "summary_text": "table",
}


def __getattr__(name: str) -> Any:
    """Import the module that holds a public name when the name is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
