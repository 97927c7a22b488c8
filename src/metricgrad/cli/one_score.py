"""What one column of scores decides by itself: the positive class above one half, or above 0 where it holds logits."""

import warnings
from pathlib import Path

from torch import Tensor

from metricgrad._checks import describe
from metricgrad.decision.scores import log_scores, read_scores

__all__ = ["cut"]


def cut(path: Path, scores: Tensor, positive: str) -> Tensor:
    """Decide each row of a column as `metricgrad decide` does without a rule: 1 for the positive class, else 0.

    Args:
        path: of the table, for messages.
        scores: [row], higher for the positive class. They are probabilities where all lie within [0, 1], else logits.
        positive: what the positive class is called, for the note that says where the cut is.

    Raises:
        InputError: a score is NaN or infinite.
    """
    numbers, kind = read_scores(str(path), scores, "auto")
    above = 0.5 if kind == "probabilities" else 0
    warnings.warn(
        f"{path}: the column score decides: {describe(positive)} above {above}, as its numbers are {kind}.",
        stacklevel=2,
    )
    return log_scores(numbers, kind).argmax(1)
