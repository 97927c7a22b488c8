"""Exact metrics of probabilities: how good they are as probabilities, whatever is decided by them.

They take the probability of every class [sample, class], or one of class 1 per sample. Logits of a network go through
softmax first; `probability_rows` says what is which. All return a float64 scalar tensor without gradient.
"""

from functools import partial

import torch
from jaxtyping import Float, Float64, Shaped
from torch import Tensor

from metricgrad._checks import fail, whole_number
from metricgrad.metrics.confusion import Times, tally
from metricgrad.metrics.facts import Facts
from metricgrad.metrics.of_rows import OfCounts, of_all
from metricgrad.metrics.probability_rows import READ, probabilities_and_targets

__all__ = ["brier_score", "expected_calibration_error", "log_loss"]

Outputs = Shaped[Tensor, "sample class"] | Shaped[Tensor, "sample"]
Targets = Shaped[Tensor, "sample"] | Shaped[Tensor, "sample 1"]

LARGEST_LOG_LOSS = -torch.log(torch.tensor(torch.finfo(torch.float64).eps, dtype=torch.float64)).item()
"""Of a sample whose class has probability 0."""


def log_loss(outputs: Outputs, targets: Targets, *, from_logits: bool | None = None) -> Float64[Tensor, ""]:
    """Mean of minus the natural logarithm of the probability of the true class (exact): cross-entropy.

        - 1/n sum_i log p_i(y_i)

    Args:
        outputs: probabilities [sample, class], rows that sum to 1, or of class 1 [sample]; or logits.
        targets: class ids, one column each.
        from_logits: True reads outputs as logits, False as probabilities. None reads rows [sample, class] that are no
            probabilities as logits, and one column as the probability of class 1.

    Returns:
        float64 scalar in [0, 36.04], lower is better; scikit-learn's `log_loss`, minus its scorer `neg_log_loss`.

    Raises:
        InputError: shapes or types that do not fit, NaN, a target without a column, numbers that are neither
            probabilities nor logits for sure.

    Edge cases:
        A probability of 0 or 1 is clipped to [eps, 1 - eps], as scikit-learn does: eps of the type of the
        probabilities, float64 for logits. No sample: NaN.

    Gradient: none; cross-entropy is a loss of its own.

    Cost: O(sample * class).

    Reference:
        [gneiting2007proper]

    Example:
        >>> log_loss(torch.tensor([[0.5, 0.5], [0.25, 0.75]], dtype=torch.float64), torch.tensor([0, 1]))
        tensor(0.4904, dtype=torch.float64)
    """
    return log_loss_rows("log_loss", outputs, targets, from_logits=from_logits).mean()


def log_loss_rows(
    caller: str, outputs: Outputs, targets: Targets, *, from_logits: bool | None = None
) -> Float64[Tensor, "sample"]:
    """Minus the logarithm of the probability of the true class of every sample."""
    probabilities, ids = probabilities_and_targets(caller, outputs, targets, from_logits=from_logits)
    eps = torch.finfo(probabilities.dtype).eps
    return -probabilities.gather(1, ids[:, None])[:, 0].clamp(eps, 1 - eps).double().log()


def brier_score(
    outputs: Outputs,
    targets: Targets,
    *,
    scale_by_half: bool | None = None,
    from_logits: bool | None = None,
) -> Float64[Tensor, ""]:
    """Mean squared distance of the probabilities of all classes from 1 for the true class and 0 for the others (exact).

        1/n sum_i sum_c (p_i(c) - [y_i = c])^2      of two classes half of it: 1/n sum_i (p_i(1) - y_i)^2

    Args:
        outputs: probabilities [sample, class], rows that sum to 1, or of class 1 [sample]; or logits.
        targets: class ids, one column each.
        scale_by_half: whether the sum is halved; None halves it for two classes only, as scikit-learn does.
        from_logits: as for `log_loss`.

    Returns:
        float64 scalar, lower is better: in [0, 2], halved in [0, 1]; scikit-learn's `brier_score_loss`, minus its
        scorer `neg_brier_score`.

    Raises:
        InputError: shapes or types that do not fit, NaN, a target without a column, numbers that are neither
            probabilities nor logits for sure.

    Edge cases: No sample: NaN.

    Gradient: none.

    Cost: O(sample * class).

    Reference:
        [brier1950verification]

    Example:
        >>> brier_score(torch.tensor([0.1, 0.9, 0.8, 0.3]).double(), torch.tensor([0, 1, 1, 0]))
        tensor(0.0375, dtype=torch.float64)
    """
    rows = brier_rows("brier_score", outputs, targets, scale_by_half=scale_by_half, from_logits=from_logits)
    return rows.mean()


def brier_rows(
    caller: str,
    outputs: Outputs,
    targets: Targets,
    *,
    scale_by_half: bool | None = None,
    from_logits: bool | None = None,
) -> Float64[Tensor, "sample"]:
    """Squared distance of every sample."""
    if scale_by_half is not None and not isinstance(scale_by_half, bool):
        raise fail(caller, f"scale_by_half is {scale_by_half!r}", "true, false or None")
    probabilities, ids = probabilities_and_targets(caller, outputs, targets, from_logits=from_logits)
    marks = torch.nn.functional.one_hot(ids, probabilities.shape[1])
    halved = scale_by_half or (scale_by_half is None and probabilities.shape[1] == 2)
    return (probabilities.double() - marks).square().sum(1) / (2 if halved else 1)


def expected_calibration_error(
    outputs: Outputs, targets: Targets, *, bins: int = 15, from_logits: bool | None = None
) -> Float64[Tensor, ""]:
    """Mean gap between confidence and accuracy over bins of equal width of the confidence (exact): top-label ECE.

        sum_b n_b/n |accuracy_b - confidence_b|       b-th bin: confidence in ((b - 1)/bins, b/bins]

    The confidence of a sample is its largest probability, and accuracy the share of samples whose class of largest
    probability is the true one. The form with bins of equal mass (as many samples in each) gives other values: it moves
    the borders to where the confidences are. So does the calibration of one class (of the column as it is).

    Args:
        outputs: probabilities [sample, class], rows that sum to 1, or of class 1 [sample]; or logits.
        targets: class ids, one column each.
        bins: their number.
        from_logits: as for `log_loss`.

    Returns:
        float64 scalar in [0, 1], lower is better.

    Raises:
        InputError: shapes or types that do not fit, NaN, a target without a column, numbers that are neither
            probabilities nor logits for sure, bins < 1.

    Edge cases:
        ties: the lowest class is predicted. A confidence on a border belongs to the bin below it. A bin without a
        sample counts nothing. No sample: NaN. Few samples: the error of a calibrated model is above 0, the more the
        smaller the bins are.

    Gradient: none.

    Cost: O(sample * class).

    Reference:
        [guo2017calibration], equation 3

    Example:
        >>> expected_calibration_error(torch.tensor([[0.75, 0.25], [0.25, 0.75]]), torch.tensor([0, 0]))
        tensor(0.2500, dtype=torch.float64)
    """
    rows = calibration_rows("expected_calibration_error", outputs, targets, from_logits=from_logits)
    return of_all(partial(calibration_error_of_rows, bins=bins), rows)


def calibration_rows(
    caller: str, outputs: Outputs, targets: Targets, *, from_logits: bool | None = None
) -> Float64[Tensor, "sample 2"]:
    """Confidence of every sample, and whether its predicted class is the target."""
    probabilities, ids = probabilities_and_targets(caller, outputs, targets, from_logits=from_logits)
    return torch.stack([probabilities.amax(1).double(), (probabilities.argmax(1) == ids).double()], 1)


def calibration_error_of_rows(rows: Float[Tensor, "sample 2"], *, bins: int = 15) -> OfCounts:
    """Expected calibration error of (confidence, right) rows."""
    many = whole_number("expected_calibration_error", "bins", bins)
    borders = torch.arange(1, many, dtype=torch.float64) / many
    index = torch.bucketize(rows[:, 0].contiguous(), borders)
    gaps = rows[:, 1] - rows[:, 0]

    def of_counts(times: Times) -> Tensor:
        return tally(index, times * gaps, many).abs().sum(-1) / times.sum(-1)

    return of_counts


_proper = partial(
    Facts,
    reads="probabilities",
    higher_is_better=False,
    describe=lambda sentence, settings: (
        f"{sentence}; {READ}" if settings["from_logits"] is None else sentence
    ),
)

FACTS = (
    _proper(
        brier_score,
        rows=partial(brier_rows, "brier_score"),
        bounds=lambda settings: (0.0, 1.0 if settings["scale_by_half"] else 2.0),
        aliases={"neg_brier_score": {}, "brier_score_loss": {}, "brier": {}},
    ),
    _proper(
        expected_calibration_error,
        rows=partial(calibration_rows, "expected_calibration_error"),
        of_rows=calibration_error_of_rows,
        aliases={"ece": {}},
    ),
    _proper(
        log_loss,
        rows=partial(log_loss_rows, "log_loss"),
        bounds=(0.0, LARGEST_LOG_LOSS),
        aliases={"neg_log_loss": {}},
    ),
)
