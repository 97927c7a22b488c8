"""Exact metrics of the scores of several classes: each class against the others, averaged over classes.

They take probabilities or logits [sample, class] with class ids, which `probability_rows` reads, or any scores
[sample, label] with marks 0 and 1 of several labels per sample. All return a float64 scalar tensor without gradient.
"""

from collections.abc import Callable
from functools import partial
from itertools import combinations
from typing import Literal, get_args

import torch
from jaxtyping import Float, Float64, Shaped
from torch import Tensor

from metricgrad._checks import fail
from metricgrad._columns import one_column
from metricgrad._safe import ratio
from metricgrad.metrics.class_summaries import average_precision_of_rows, roc_auc_of_rows
from metricgrad.metrics.confusion import Times, mean_of
from metricgrad.metrics.facts import Facts
from metricgrad.metrics.of_rows import OfCounts, of_all
from metricgrad.metrics.probability_rows import READ, class_marks, label_scores, scores_of_each_class

__all__ = ["macro_average_precision", "roc_auc_ovo", "roc_auc_ovr"]

Outputs = Shaped[Tensor, "sample class"] | Shaped[Tensor, "sample"]
Targets = Shaped[Tensor, "sample"] | Shaped[Tensor, "sample class"]
Average = Literal["macro", "weighted"]


def macro_average_precision(
    outputs: Outputs, targets: Targets, *, average: Average = "macro", from_logits: bool | None = None
) -> Float64[Tensor, ""]:
    """Mean over the classes of the average precision of each against the others (exact).

        mean_c sum_t (recall_t - recall_{t-1}) precision_t     t runs over the distinct scores of class c

    For several labels per sample this is what that field calls mAP.

    Args:
        outputs: probabilities or logits [sample, class]; with marks any scores [sample, label].
        targets: class ids [sample], or marks 0 and 1 [sample, label].
        average: `macro` counts every class alike, `weighted` as often as it occurs among the targets.
        from_logits: of class ids, True reads outputs as logits, False as probabilities; None reads rows that are no
            probabilities as logits.

    Returns:
        float64 scalar in [0, 1], higher is better.

    Raises:
        InputError: shapes or types that do not fit, NaN, a target without a column, an unknown average, with class ids
            numbers that are neither probabilities nor logits for sure.

    Edge cases:
        ties: one threshold. A class without a positive has no value and is left out (scikit-learn: 0 and a warning). No
        sample: NaN.

    Gradient: none.

    Cost: O(class * sample * log(sample)).

    Reference:
        [manning2008retrieval]

    Example:
        >>> outputs = torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7]])
        >>> macro_average_precision(outputs, torch.tensor([0, 0, 1]))
        tensor(1., dtype=torch.float64)
    """
    rows = class_rows("macro_average_precision", outputs, targets, from_logits=from_logits)
    return of_all(partial(average_precision_of_classes, average=average), rows)


def average_precision_of_classes(
    rows: Float[Tensor, "sample column"], *, average: Average = "macro"
) -> OfCounts:
    """Average precision of rows as `class_rows` makes them."""
    return _each_against_the_others("macro_average_precision", average_precision_of_rows, rows, average)


def roc_auc_ovr(
    outputs: Outputs, targets: Targets, *, average: Average = "macro", from_logits: bool | None = None
) -> Float64[Tensor, ""]:
    """Mean over the classes of the area under the ROC curve of each against the others (exact): one versus rest.

        mean_c mean over pairs of [s_c(positive) > s_c(negative)] + [s_c(positive) = s_c(negative)] / 2

    Args:
        outputs: probabilities or logits [sample, class]; with marks any scores [sample, label].
        targets: class ids [sample], or marks 0 and 1 [sample, label].
        average: `macro` counts every class alike, `weighted` as often as it occurs among the targets.
        from_logits: of class ids, True reads outputs as logits, False as probabilities; None reads rows that are no
            probabilities as logits.

    Returns:
        float64 scalar in [0, 1], higher is better; scikit-learn's `roc_auc_score(multi_class="ovr")`.

    Raises:
        InputError: shapes or types that do not fit, NaN, a target without a column, an unknown average, with class ids
            numbers that are neither probabilities nor logits for sure.

    Edge cases:
        ties: a tied pair counts 1/2. A class that no sample has, or every one, has no value and is left out
        (scikit-learn refuses such targets). No sample, or one class only: NaN.

    Gradient: none.

    Cost: O(class * sample * log(sample)).

    Reference:
        [fawcett2006roc], section 9

    Example:
        >>> outputs = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.4, 0.2, 0.4], [0.3, 0.1, 0.6]])
        >>> roc_auc_ovr(outputs, torch.tensor([0, 1, 2, 0]))
        tensor(0.8056, dtype=torch.float64)
    """
    rows = class_rows("roc_auc_ovr", outputs, targets, from_logits=from_logits)
    return of_all(partial(roc_auc_of_classes, average=average), rows)


def roc_auc_of_classes(rows: Float[Tensor, "sample column"], *, average: Average = "macro") -> OfCounts:
    """Area one versus rest of rows as `class_rows` makes them."""
    return _each_against_the_others("roc_auc_ovr", roc_auc_of_rows, rows, average)


def roc_auc_ovo(
    outputs: Outputs,
    targets: Shaped[Tensor, "sample"] | Shaped[Tensor, "sample 1"],
    *,
    average: Average = "macro",
    from_logits: bool | None = None,
) -> Float64[Tensor, ""]:
    """Mean over the pairs of classes of the area under the ROC curve between them (exact): one versus one.

        mean_{a < b} (AUC of s_a for a against b + AUC of s_b for b against a) / 2

    Args:
        outputs: probabilities or logits [sample, class].
        targets: class ids [sample].
        average: `macro` counts every pair alike, `weighted` by the number of samples of its two classes.
        from_logits: True reads outputs as logits, False as probabilities; None reads rows that are no probabilities as
            logits.

    Returns:
        float64 scalar in [0, 1], higher is better; scikit-learn's `roc_auc_score(multi_class="ovo")`.

    Raises:
        InputError: shapes or types that do not fit, NaN, a target without a column, an unknown average, numbers that
            are neither probabilities nor logits for sure.

    Edge cases:
        ties: a tied pair counts 1/2. A class that no sample has is left out (scikit-learn refuses such targets). No
        sample, or one class only: NaN.

    Gradient: none.

    Cost: O(class * sample * log(sample)), and O(class^2) areas.

    Reference:
        [handtill2001auc]

    Example:
        >>> outputs = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.4, 0.2, 0.4], [0.3, 0.1, 0.6]])
        >>> roc_auc_ovo(outputs, torch.tensor([0, 1, 2, 0]))
        tensor(0.8333, dtype=torch.float64)
    """
    rows = one_class_rows("roc_auc_ovo", outputs, targets, from_logits=from_logits)
    return of_all(partial(roc_auc_of_pairs, average=average), rows)


def roc_auc_of_pairs(rows: Float[Tensor, "sample column"], *, average: Average = "macro") -> OfCounts:
    """Area one versus one of rows as `class_rows` makes them."""
    _require_average("roc_auc_ovo", average)
    scores, marks = rows.tensor_split(2, dim=1)
    pairs = list(combinations(range(marks.shape[1]), 2))
    members = [marks[:, pair].any(1).nonzero()[:, 0] for pair in map(list, pairs)]
    sides = [
        [roc_auc_of_rows(torch.stack([scores[rows, a], marks[rows, a]], 1)) for a in pair]
        for pair, rows in zip(pairs, members, strict=True)
    ]

    def of_counts(times: Times) -> Tensor:
        own = [times.index_select(-1, rows) for rows in members]
        both = zip(own, sides, strict=True)
        values = [(first(part) + second(part)) / 2 for part, (first, second) in both]
        many = torch.stack([part.sum(-1) for part in own], -1)
        return _averaged(torch.stack(values, -1), many, average)

    return of_counts


def class_rows(
    caller: str, outputs: Outputs, targets: Targets, *, from_logits: bool | None = None
) -> Float64[Tensor, "sample column"]:
    """Check and return the score of every class and whether it is that of the sample: twice as many columns."""
    if not isinstance(targets, Tensor) or one_column(targets).ndim == 1:
        return one_class_rows(caller, outputs, targets, from_logits=from_logits)
    scores = label_scores(caller, outputs)
    return torch.cat([scores, class_marks(caller, targets, *scores.shape)], 1)


def one_class_rows(
    caller: str, outputs: Outputs, targets: Targets, *, from_logits: bool | None = None
) -> Float64[Tensor, "sample column"]:
    """The same of one class per sample."""
    scores = scores_of_each_class(caller, outputs, targets, from_logits=from_logits)
    return torch.cat([scores, class_marks(caller, targets, *scores.shape)], 1)


def _each_against_the_others(
    caller: str, of_class: Callable[[Tensor], OfCounts], rows: Tensor, average: Average
) -> OfCounts:
    """Average a metric of (score, mark) rows over the classes that have a value."""
    _require_average(caller, average)
    scores, marks = rows.tensor_split(2, dim=1)
    each = [of_class(torch.stack(columns, 1)) for columns in zip(scores.T, marks.T, strict=True)]

    def of_counts(times: Times) -> Tensor:
        return _averaged(torch.stack([one(times) for one in each], -1), times @ marks, average)

    return of_counts


def _averaged(values: Tensor, many: Tensor, average: Average) -> Tensor:
    """Mean over the last axis where there is a value, weighted by how many samples it is of or not."""
    defined = ~values.isnan()
    if average == "macro":
        return mean_of(values, defined)
    many = many * defined
    return ratio((many * values.nan_to_num(0.0)).sum(-1), many.sum(-1), otherwise=float("nan"))


def _require_average(caller: str, average: str) -> None:
    if average not in get_args(Average):
        raise fail(caller, f"average is {average!r}", f"one of {', '.join(get_args(Average))}")


_of_classes = partial(
    Facts,
    reads="probabilities",
    describe=lambda sentence, settings: (
        f"{sentence}; {READ}" if settings["from_logits"] is None else sentence
    ),
)

FACTS = (
    _of_classes(
        macro_average_precision,
        rows=partial(class_rows, "macro_average_precision"),
        of_rows=average_precision_of_classes,
        aliases={"weighted_average_precision": {"average": "weighted"}},
    ),
    _of_classes(
        roc_auc_ovo,
        rows=partial(one_class_rows, "roc_auc_ovo"),
        of_rows=roc_auc_of_pairs,
        aliases={"roc_auc_ovo_weighted": {"average": "weighted"}},
    ),
    _of_classes(
        roc_auc_ovr,
        rows=partial(class_rows, "roc_auc_ovr"),
        of_rows=roc_auc_of_classes,
        aliases={"roc_auc_ovr_weighted": {"average": "weighted"}},
    ),
)
