"""What changed, with pictures, for the report: queries of a retrieval metric, samples of any other."""

from metricgrad._records import Note
from metricgrad._types import Metric, Split
from metricgrad.errors import MissingExtraError
from metricgrad.tune.evidence import Reading
from metricgrad.tune.examples import write_examples
from metricgrad.tune.folder import RunFolder
from metricgrad.tune.gallery import write_gallery

__all__ = ["keep_pictures"]


def keep_pictures(
    read: Reading, seed: int, arms: tuple[str, str], test: Split, metric: Metric, folder: RunFolder
) -> None:
    """Keep queries or samples that changed with the first seed between two arms, with pictures."""
    before, after = (read.outputs[seed, arm] for arm in arms)
    try:
        if metric.unit == "query":
            write_gallery(before, after, arms, test, folder)
        elif metric.kind is not None:
            sides = [
                (found, read.statistics[arm][0]) for found, arm in zip((before, after), arms, strict=True)
            ]
            write_examples(sides[0], sides[1], arms, test, metric, folder)
    except MissingExtraError as error:
        folder.emit(Note(f"no gallery: {error}"))
