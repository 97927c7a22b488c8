"""Nothing public escapes the laws: the rows of `cases.py` are exactly what `__all__` names."""

import inspect

from metricgrad import losses, metrics
from tests.laws.cases import LOSS_CASES, METRIC_CASES

MACHINERY = {
    "adapt",
    "classification_metric",
    "command",
    "exact",
    "judged",
    "judged_ranks",
    "knn_accuracy",
    "knn_classify",
    "knn_classify_from_scores",
    "knn_error",
    "knn_metric",
    "metric_by_name",
    "metric_calls",
    "named_metrics",
    "nearest_items",
    "of_kind",
    "per_sample",
    "ranks_from_scores",
    "retrieval_metric",
    "retrieval_ranks",
    "sample_metric",
}
"""Public functions of `metrics` that are no metrics of scores; each has tests of its own in `tests/metrics`."""


MAKERS = {"interpolated", "relaxed"}
"""Public functions of `losses` that make a loss of a metric; their tests are `tests/losses/test_one_definition.py`."""


def functions(module) -> set[str]:
    """Names of the functions that a module lists as public."""
    return {name for name in getattr(module, "__all__", ()) if inspect.isfunction(getattr(module, name))}


def test_every_metric_has_a_row() -> None:
    """A new metric without a row of laws fails here, and so does a row without a public metric."""
    assert {case.target.__name__ for case in METRIC_CASES} == functions(metrics) - MACHINERY
    assert functions(metrics) >= MACHINERY
    assert all(getattr(metrics, case.target.__name__) is case.target for case in METRIC_CASES)


def test_every_loss_has_a_row() -> None:
    """A new loss without a row of laws fails here, and so does a row without a public loss."""
    assert {case.target.__name__ for case in LOSS_CASES} == functions(losses) - MAKERS
    assert functions(losses) >= MAKERS
    assert all(getattr(losses, case.target.__name__) is case.target for case in LOSS_CASES)


def test_every_skipped_law_has_a_reason() -> None:
    """A case may excuse itself from a law, but it says why."""
    for case in (*METRIC_CASES, *LOSS_CASES):
        assert all(len(reason.split()) > 2 for reason in case.skip.values()), case.label


def test_labels_tell_rows_apart() -> None:
    """Two rows of one label would hide which one fails."""
    for rows in (METRIC_CASES, LOSS_CASES):
        labels = [(case.label, case.make_inputs.__name__) for case in rows]
        assert len(labels) == len(set(labels))
