"""`evaluate --qrels`: of vectors or of a run, and the files that are written beside the figures."""

from collections.abc import Iterable, Mapping
from typing import Any

from metricgrad.cli.figure_document import Figure, Progress
from metricgrad.cli.judged_figures import measured_of_vectors
from metricgrad.cli.run_figures import measured_of_run
from metricgrad.cli.trec_files import write_per_query
from metricgrad.cli.written import require_free

__all__ = ["figures_over_judgements"]


def figures_over_judgements(given: Mapping[str, Any], progress: Progress) -> Iterable[Figure]:
    """Measure over judgements, and write what is asked for."""
    written = [given[name] for name in ("save_run", "per_query") if given[name] is not None]
    read = [given[name] for name in ("queries", "corpus", "qrels", "run_file") if given[name] is not None]
    require_free("evaluate", "--save-run, --per-query", written, read, force=given["force"])
    if given["run_file"] is not None:
        found = measured_of_run(given["metric"], given["run_file"], given["qrels"])
    else:
        found = measured_of_vectors(
            given["metric"], given, progress, given["save_run"], given["depth"] or 1000
        )
    if given["per_query"] is not None:
        write_per_query(given["per_query"], found.queries, found.per_query())
    return found.figures()
