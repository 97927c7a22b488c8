"""Queries or samples that changed with tuning, with pictures, for the report."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from metricgrad._records import Note
from metricgrad._types import Metric, Split
from metricgrad.errors import MissingExtraError
from metricgrad.tune.examples import write_examples
from metricgrad.tune.folder import RunFolder
from metricgrad.tune.gallery import write_gallery
from metricgrad.tune.outputs import Outputs

__all__ = ["write_changed"]


def write_changed(
    outputs: Mapping[str, Outputs],
    statistics: Mapping[str, Sequence[Tensor]],
    arms: tuple[str, str],
    test: Split,
    metric: Metric,
    folder: RunFolder,
) -> None:
    """Keep what changed between two arms with the first seed: a gallery of queries, or examples of samples.

    Args:
        outputs: what the first seed's model of each arm gives for the split; without them nothing is kept.
        statistics: of the metric for each arm, those of the first seed first.
        arms: the baseline and the contender.
        test: the split; one without pictures leaves nothing.
        metric: of the run.
        folder: of the run.
    """
    if not outputs:
        return
    before, after = (outputs[arm] for arm in arms)
    try:
        if metric.unit == "query":
            write_gallery(before, after, arms, test, folder)
        elif metric.kind is not None:
            first, second = ((outputs[arm], statistics[arm][0]) for arm in arms)
            write_examples(first, second, arms, test, metric, folder)
    except MissingExtraError as error:
        folder.emit(Note(f"no gallery: {error}"))
