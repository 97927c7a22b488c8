"""`metricgrad adapt --table`: from a file to a model, its evidence and its folder."""

import sys
from collections.abc import Collection, Mapping
from typing import Any

import typer
from torch import from_numpy

from metricgrad.cli.adapt_run import require_only
from metricgrad.cli.class_metric import metric_of_classes, try_program
from metricgrad.cli.output import noted, print_json
from metricgrad.cli.table_files import read_question
from metricgrad.cli.table_run import learned_of
from metricgrad.cli.table_text import draw
from metricgrad.errors import InputError
from metricgrad.metrics.adapt import metric_calls

__all__ = ["OWN", "adapt_table"]

OWN = {
    "table", "train", "test", "target", "metric", "groups", "time", "id_column", "positive_class", "sample_weight",
    "higher_is_better",
    "minutes", "seed", "out", "delimiter", "force", "as_json", "quiet",
}  # fmt: skip
"""Options that say something where a table is learned."""
MINUTES = 5.0


def adapt_table(given: Mapping[str, Any], said: Collection[str]) -> None:
    """Read a table, learn it, and show what came out.

    Args:
        given: the options of the command by name.
        said: names of those that came.

    Raises:
        InputError: an option, the metric, the table or the folder does not fit.
    """
    require_only("--table", said, OWN)
    if given["metric"] is None:
        raise InputError(
            "adapt: --table came without --metric; expected one of classes, such as macro_f1 or mcc."
        )
    minutes = MINUTES if given["minutes"] is None else given["minutes"]
    if not 0 < minutes < float("inf"):
        raise InputError(f"adapt: --minutes is {minutes}; expected a number above 0.")

    def noting(event: Mapping[str, Any]) -> None:
        if not given["quiet"]:
            sys.stderr.write(f"note: {event['text']}\n")

    asked = {"metric": given["metric"], "higher_is_better": given["higher_is_better"], "metric_timeout": None}
    metric = metric_of_classes(asked, noting)
    with noted(quiet=given["quiet"]) as notes:
        cells, question, words = read_question(given, metric)

    def opened(lines: list[str], job: Any) -> None:
        if not given["as_json"]:
            typer.echo("\n".join([*words, *lines]))
        try_program(metric, from_numpy(job.y[job.parts.select]), len(job.pool), len(job.classes), noting)

    facts = {**learned_of(cells, question, given, opened, minutes=minutes, notes=notes), "read": words}
    facts["calls"] = metric_calls(metric)
    if given["as_json"]:
        print_json(facts)
    else:
        draw(facts)
