"""Summaries of counts: a row that comes three times counts as three rows, for every metric that is told how often."""

import pytest
import torch

from metricgrad.metrics import adapt

CLASSES = ("f1", "macro_f1", "micro_f1", "weighted_f1", "balanced_error")
SCORES = ("roc_auc", "binary_average_precision")
PARTS = (
    "precision_at_recall:min_recall=0.6",
    "recall_at_precision:min_precision=0.6",
    "partial_roc_auc:max_fpr=0.4",
)
SEVERAL = ("ece", "macro_average_precision", "roc_auc_ovr", "roc_auc_ovo", "roc_auc_ovr:average=weighted",
           "roc_auc_ovo_weighted", "weighted_average_precision")  # fmt: skip
TEXTS = ("character_error_rate", "word_error_rate", "total_edit_distance")


def rows_of(name: str, samples: int, generator: torch.Generator, levels: int) -> tuple:
    """A metric and the statistics of random samples; few levels of the score tie many."""
    metric = adapt(name)
    truth = torch.randint(2, (samples,), generator=generator)
    if name in SEVERAL:
        votes = torch.randint(1, levels + 1, (samples, 3), generator=generator).double()
        truth = torch.randint(3, (samples,), generator=generator)
        return metric, metric.measure(votes / votes.sum(1, keepdim=True), truth)
    if name in SCORES + PARTS:
        return metric, metric.measure(torch.randint(levels, (samples,), generator=generator).double(), truth)
    if name in CLASSES:
        classes = 2 if name == "f1" else levels
        guesses, truth = torch.randint(classes, (2, samples), generator=generator)
        return metric, metric.measure(guesses, truth)
    words = ["", "a", "ab ba", "b a", "aabb"]
    picks = torch.randint(len(words), (2, samples), generator=generator).tolist()
    return metric, metric.measure(*([words[pick] for pick in side] for side in picks))


@pytest.mark.parametrize("name", [*CLASSES, *SCORES, *PARTS, *SEVERAL, *TEXTS])
@pytest.mark.parametrize(("samples", "levels"), [(1, 2), (7, 2), (30, 3), (30, 1000)])
def test_counts_are_repetitions(name: str, samples: int, levels: int, generator: torch.Generator) -> None:
    """Undefined resamples (one class only, nothing drawn of a text) are NaN on both ways."""
    metric, rows = rows_of(name, samples, generator, levels)
    times = torch.randint(4, (20, samples), generator=generator).double()
    times[:, 0] += times.sum(1) == 0
    found = metric.summarise.of_counts(rows)(times)
    expected = torch.tensor(
        [metric.summarise(rows.repeat_interleave(one.long(), 0)) for one in times], dtype=torch.float64
    )
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12, equal_nan=True)
