"""One row for every public metric and loss; a row buys all the laws (`test_metric_laws.py`, `test_loss_laws.py`).

A metric: one `MetricCase` in `METRIC_CASES`. A loss: one `LossCase` in `LOSS_CASES`. Several rows for one target
are welcome (other settings, other inputs). `test_completeness.py` holds the targets equal to `__all__`.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Generator, Tensor

from metricgrad import losses, metrics
from tests.oracles import classification as slow_classification
from tests.oracles import multilabel as slow_multilabel
from tests.oracles import overlap as slow_overlap
from tests.oracles import probabilities as slow_probabilities
from tests.oracles import retrieval as slow_retrieval
from tests.oracles import segmentation as slow_segmentation
from tests.oracles import sequence as slow_sequence


@dataclass(frozen=True)
class MetricCase:
    """What the laws need to know about an exact metric.

    Attributes:
        target: the public function.
        make_inputs: draws `(outputs, targets)` from a generator; small, with ties and undefined units among them. Two
            tensors, or two lists of str.
        oracle: the same from a slow, torch-free definition: lists in, a list of units or one number out.
        settings: keyword arguments of target and oracle.
        ranking: one row per query, scores of items in it (else one sample per row).
        each: one value per sample (else, but for a ranking, one for all).
        increasing_map: whether a strictly increasing map of the scores must change nothing.
        empty: the value of no sample at all, where there is one for all.
        perfect: inputs on which the metric is at its best bound; `worst` at the other one.
        bounds: smallest and largest value.
        unit: what a row of its statistics is, where it is no ranking.
        skip: laws that do not apply, each with its reason.
    """

    target: Callable[..., Tensor]
    make_inputs: Callable[[Generator], tuple[Any, Any]]
    oracle: Callable[..., Any]
    settings: Mapping[str, Any] = field(default_factory=dict)
    ranking: bool = False
    each: bool = False
    increasing_map: bool = True
    empty: float = math.nan
    perfect: tuple[Any, Any] | None = None
    worst: tuple[Any, Any] | None = None
    bounds: tuple[float, float] = (0.0, 1.0)
    higher_is_better: bool = True
    unit: str = "sample"
    skip: Mapping[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The name that a failing test shows."""
        return "-".join([self.target.__name__, *(f"{key}={value}" for key, value in self.settings.items())])


@dataclass(frozen=True)
class LossCase:
    """What the laws need to know about a loss.

    Attributes:
        target: the public function. One whose first argument is `ranks` is called with the soft ranks of its inputs.
        make_inputs: draws `(scores, relevance)` for a loss of ranks, else the positional arguments, from a generator;
            float64, without gradient. The last class of `logits` is no target.
        settings: keyword arguments of the target; one that is a function gets the number of classes.
        limit: more of them, under which the loss reaches `exact` as the temperature of the ranks goes to 0.
        exact: `(*inputs) -> [unit]`, one minus the exact metric that the loss stands for, NaN where undefined.
        bounds: smallest and largest value.
        whole: one value for all units together.
        fewest: classes that `logits` must have, for a loss that is not 0 by definition.
        skip: laws that do not apply, each with its reason.
    """

    target: Callable[..., Tensor]
    make_inputs: Callable[[Generator], tuple[Any, ...]]
    exact: Callable[..., Tensor]
    settings: Mapping[str, Any] = field(default_factory=dict)
    limit: Mapping[str, Any] = field(default_factory=dict)
    bounds: tuple[float, float] = (0.0, 1.0)
    whole: bool = False
    fewest: int = 1
    skip: Mapping[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The name that a failing test shows."""
        shown = {key: getattr(value, "__name__", value) for key, value in self.settings.items()}
        return "-".join([self.target.__name__, *(f"{key}={value}" for key, value in shown.items())])

    @property
    def takes(self) -> str:
        """What the target takes, which is the name of its first parameter: `ranks`, `logits`, ..."""
        return next(iter(inspect.signature(self.target).parameters))


def tied_scores(generator: Generator) -> tuple[Tensor, Tensor]:
    """Scores on a coarse grid around 0 (many ties), relevance with an all-relevant and a none-relevant row."""
    scores = torch.randint(-3, 4, (9, 8), generator=generator).double() / 2  # [query, item]
    relevance = torch.rand(9, 8, generator=generator) < 0.4
    relevance[0], relevance[1] = True, False
    scores[2] = 0.5
    return scores, relevance


def graded_scores(generator: Generator) -> tuple[Tensor, Tensor]:
    """As `tied_scores`, with gains 0, 1, 2, 3 instead of relevance."""
    scores, relevance = tied_scores(generator)
    return scores, relevance * torch.randint(1, 4, relevance.shape, generator=generator).double()


def class_scores(generator: Generator) -> tuple[Tensor, Tensor]:
    """Scores of four classes on a grid (ties), of which the targets use three."""
    scores = torch.randint(-4, 5, (30, 4), generator=generator).double()  # [sample, class]
    return scores, torch.randint(0, 3, (30,), generator=generator)


def binary_predictions(generator: Generator) -> tuple[Tensor, Tensor]:
    """Predicted ids 0/1 and targets 0/1."""
    return torch.randint(0, 2, (30,), generator=generator), torch.randint(0, 2, (30,), generator=generator)


def binary_scores(generator: Generator) -> tuple[Tensor, Tensor]:
    """One score a sample on a grid (ties), targets 0/1."""
    scores = torch.randint(-4, 5, (40,), generator=generator).double() / 4
    return scores, torch.rand(40, generator=generator) < 0.3


def class_probabilities(generator: Generator) -> tuple[Tensor, Tensor]:
    """Probabilities of four classes with ties, of which the targets use three."""
    votes = torch.randint(0, 4, (30, 4), generator=generator).double() + torch.eye(4).repeat(8, 1)[:30]
    return votes / votes.sum(1, keepdim=True), torch.randint(0, 3, (30,), generator=generator)


def one_probability(generator: Generator) -> tuple[Tensor, Tensor]:
    """Probabilities of class 1, some of them 0 and 1."""
    return torch.randint(0, 9, (30,), generator=generator).double() / 8, torch.arange(30) % 3 // 2


def label_scores(generator: Generator) -> tuple[Tensor, Tensor]:
    """Scores of four labels on a grid (ties) and their marks; the last label is never there."""
    scores = torch.randint(-4, 5, (30, 4), generator=generator).double() / 4
    return scores, (torch.rand(30, 4, generator=generator) < 0.4).long() * torch.tensor([1, 1, 1, 0])


def label_decisions(generator: Generator) -> tuple[Tensor, Tensor]:
    """Decisions of four labels and their marks; the last label is neither there nor predicted."""
    scores, marks = label_scores(generator)
    return (scores > 0.3).long() * torch.tensor([1, 1, 1, 0]), marks


def images(generator: Generator) -> tuple[Tensor, Tensor]:
    """Scores of four classes for every pixel (ties) and the classes of pixels, of which the last is never there."""
    scores = torch.randint(-4, 5, (6, 4, 3, 2), generator=generator).double()  # [image, class, row, column]
    targets = torch.randint(0, 3, (6, 3, 2), generator=generator)
    targets[torch.rand(6, 3, 2, generator=generator) < 0.2] = -100
    targets[5] = -100
    return scores, targets


def texts(generator: Generator) -> tuple[list[str], list[str]]:
    """Readings and texts of few letters, spaces among them; equal, empty and far longer ones occur."""

    def drawn() -> str:
        length = int(torch.randint(0, 9, (1,), generator=generator))
        return "".join("ab é"[int(place)] for place in torch.randint(0, 4, (length,), generator=generator))

    predictions, targets = [drawn() for _ in range(20)], [drawn() for _ in range(20)]
    predictions[:5] = targets[:5]
    predictions[5], targets[6], predictions[7], targets[7] = "", "", "", ""
    predictions[8] = "ab" * 50
    return predictions, targets


def upright_boxes(generator: Generator) -> tuple[Tensor, Tensor]:
    """Boxes cx, cy, w, h on a grid (equal, touching, nested ones occur), and some with a side that is no length."""
    boxes = torch.randint(-3, 4, (2, 40, 4), generator=generator).double() / 2
    boxes[..., 2:] = boxes[..., 2:].abs() + 0.5
    boxes[1, :10] = boxes[0, :10] + torch.randn(10, 4, generator=generator).double() / 20
    boxes[0, 10, 2], boxes[1, 11, 3], boxes[:, 12, 2:] = 0.0, -1.0, 0.0
    return boxes[0], boxes[1]


def rotated_boxes(generator: Generator) -> tuple[Tensor, Tensor]:
    """The same with angles, of which some are equal or a quarter turn apart."""
    angles = 7 * torch.rand(2, 40, 1, generator=generator, dtype=torch.float64)
    angles[1, 20:] = angles[0, 20:] + torch.arange(20)[:, None] % 3 * torch.pi / 4
    upright = upright_boxes(generator)
    return torch.cat([upright[0], angles[0]], 1), torch.cat([upright[1], angles[1]], 1)


TIES = ("pessimistic", "mid", "optimistic", "average")
FOUR_ITEMS = torch.tensor([[0.9, 0.1, -0.5, -2.0]], dtype=torch.float64)
FIRST, LAST = torch.tensor([[1, 0, 0, 0]]).bool(), torch.tensor([[0, 0, 0, 1]]).bool()
IDS = torch.tensor([0, 1, 1, 0])
BINARY = torch.tensor([-2.0, 1.0, 3.0, -1.0], dtype=torch.float64)
BOX = torch.tensor([[1.0, 2.0, 3.0, 4.0, 0.5]], dtype=torch.float64)
ELSEWHERE = torch.tensor([[6.0, 2.0, 3.0, 4.0, 0.7]], dtype=torch.float64)

GRADED = {"perfect": "held by the binary rows", "worst": "held by the binary rows"}


def _ranking(
    target: Callable[..., Tensor], reaches_one: bool = True, reaches_zero: bool = True, **settings: Any
) -> tuple[MetricCase, ...]:
    """A retrieval metric under every reading of ties."""
    skip = {} if reaches_one else {"perfect": "more places than relevant items"}
    skip |= {} if reaches_zero else {"worst": "the last place of a finite list still counts something"}
    return tuple(
        MetricCase(
            target=target,
            make_inputs=tied_scores,
            oracle=getattr(slow_retrieval, target.__name__),
            settings={**settings, "ties": ties},
            ranking=True,
            perfect=(FOUR_ITEMS, FIRST),
            worst=(FOUR_ITEMS, LAST),
            skip=skip,
        )
        for ties in TIES
    )


def _of_texts(
    target: Callable[..., Tensor],
    *,
    each: bool = False,
    empty: float = math.nan,
    worst: tuple[str, str] | None = None,
    higher_is_better: bool = False,
    **settings: Any,
) -> tuple[MetricCase, ...]:
    """A metric of texts; one without a worst pair has no upper bound."""
    return (
        MetricCase(
            target=target,
            make_inputs=texts,
            oracle=getattr(slow_sequence, target.__name__),
            settings=settings,
            each=each,
            empty=empty,
            perfect=(["ab", "é"], ["ab", "é"]),
            worst=None if worst is None else ([worst[0]], [worst[1]]),
            bounds=(0.0, math.inf if worst is None else 1.0),
            higher_is_better=higher_is_better,
            skip={"worst": "there is no upper bound"} if worst is None else {},
        ),
    )


def _of_boxes(
    target: Callable[..., Tensor], *, each: bool = False, **settings: Any
) -> tuple[MetricCase, ...]:
    """A metric of boxes."""
    rotated = target.__name__.startswith("rotated")
    columns = 5 if rotated else 4
    return (
        MetricCase(
            target=target,
            make_inputs=rotated_boxes if rotated else upright_boxes,
            oracle=getattr(slow_overlap, target.__name__),
            settings=settings,
            each=each,
            increasing_map=False,
            perfect=(BOX[:, :columns], BOX[:, :columns]),
            worst=(BOX[:, :columns], ELSEWHERE[:, :columns]),
        ),
    )


SURE = torch.eye(2, dtype=torch.float64)[[0, 1, 1, 0]]  # of IDS
LAST_PLACES = {"worst": "positives in the last places still count something"}


def _of_probabilities(
    target: Callable[..., Tensor],
    largest: float = 1.0,
    make_inputs: Any = class_probabilities,
    **settings: Any,
) -> MetricCase:
    """A metric of probabilities; lower is better."""
    rows = (
        torch.eye(3, dtype=torch.float64)[IDS] if largest == 2 else SURE
    )  # the sum over classes is halved for two
    return MetricCase(
        target,
        make_inputs,
        getattr(slow_probabilities, target.__name__),
        settings,
        increasing_map=False,
        perfect=(rows, IDS),
        worst=(rows, 1 - IDS),
        bounds=(0.0, largest),
        higher_is_better=False,
    )


def _of_thresholds(
    target: Callable[..., Tensor], worst: bool = True, least: float = 0.0, **settings: Any
) -> MetricCase:
    """A metric of a part of the thresholds of one score."""
    return MetricCase(
        target,
        binary_scores,
        getattr(slow_probabilities, target.__name__),
        settings,
        perfect=(BINARY, IDS.bool()),
        worst=(-BINARY, IDS.bool()) if worst else None,
        bounds=(least, 1.0),
        skip={} if worst else LAST_PLACES,
    )


def _one_against_others(
    target: Callable[..., Tensor], worst: bool = True, make_inputs: Any = class_probabilities, **settings: Any
) -> MetricCase:
    """A metric of each class against others."""
    return MetricCase(
        target,
        make_inputs,
        getattr(slow_probabilities, target.__name__),
        settings,
        increasing_map=make_inputs is label_scores,
        perfect=(SURE, IDS),
        worst=(SURE, 1 - IDS) if worst else None,
        skip={} if worst else LAST_PLACES,
    )


def _of_labels(
    target: Callable[..., Tensor], make_inputs: Any = label_scores, higher: bool = True, **settings: Any
) -> MetricCase:
    """A metric of several labels per sample."""
    marks = torch.tensor([[1, 0], [1, 1], [0, 1]])
    return MetricCase(
        target,
        make_inputs,
        getattr(slow_multilabel, target.__name__),
        settings,
        increasing_map=False,
        perfect=(marks, marks),
        worst=(1 - marks, marks),
        higher_is_better=higher,
    )


AVERAGES = (
    ("binary", binary_predictions),
    ("macro", class_scores),
    ("micro", class_scores),
    ("weighted", class_scores),
)


def _of_images(target: Callable[..., Tensor], **settings: Any) -> MetricCase:
    """A metric of the pixels of all images."""
    classes = torch.tensor([[[0, 1], [1, 2]], [[2, 2], [0, -100]]])
    right = torch.nn.functional.one_hot(classes.clamp(0), 3).movedim(3, 1).double()
    return MetricCase(
        target,
        images,
        getattr(slow_segmentation, target.__name__),
        settings,
        perfect=(right, classes),
        worst=(right.roll(1, 1), classes),
        unit="image",
    )


METRIC_CASES: tuple[MetricCase, ...] = (
    *_ranking(metrics.recall_at_k, k=3),
    *_ranking(metrics.recall_at_k, k=2, normalizer="min_k_positives"),
    *_ranking(metrics.hit_at_k, k=1),
    *_ranking(metrics.hit_at_k, k=3),
    *_ranking(metrics.precision_at_k, k=1),
    *_ranking(metrics.precision_at_k, reaches_one=False, reaches_zero=False, k=20),
    *_ranking(metrics.r_precision),
    *_ranking(metrics.average_precision, reaches_zero=False),
    *_ranking(metrics.average_precision, k=2),
    *_ranking(metrics.average_precision_at_r),
    *_ranking(metrics.reciprocal_rank, reaches_zero=False),
    *_ranking(metrics.reciprocal_rank, k=2),
    *_ranking(metrics.ndcg, reaches_zero=False),
    *_ranking(metrics.ndcg, k=3),
    *(
        MetricCase(
            metrics.ndcg,
            graded_scores,
            slow_retrieval.ndcg,
            {"k": k, "ties": ties, "gains": gains},
            True,
            skip=GRADED,
        )
        for ties in TIES
        for k, gains in ((None, "linear"), (2, "linear"), (2, "exponential"))
    ),
    MetricCase(
        metrics.accuracy, class_scores, slow_classification.accuracy, perfect=(IDS, IDS), worst=(1 - IDS, IDS)
    ),
    MetricCase(
        metrics.error_rate,
        class_scores,
        slow_classification.error_rate,
        perfect=(IDS, IDS),
        worst=(1 - IDS, IDS),
        higher_is_better=False,
    ),
    MetricCase(
        metrics.balanced_error,
        class_scores,
        slow_classification.balanced_error,
        perfect=(IDS, IDS),
        worst=(1 - IDS, IDS),
        higher_is_better=False,
    ),
    *(
        MetricCase(
            metrics.f_beta,
            make_inputs,
            slow_classification.f_beta,
            {"beta": beta, "average": average},
            perfect=(IDS, IDS),
            worst=(1 - IDS, IDS),
        )
        for beta in (0.5, 1.0, 2.0)
        for average, make_inputs in AVERAGES
    ),
    *(
        MetricCase(
            target,
            make_inputs,
            getattr(slow_classification, target.__name__),
            {"average": average},
            perfect=(IDS, IDS),
            worst=(1 - IDS, IDS),
        )
        for target in (metrics.jaccard, metrics.precision, metrics.recall, metrics.specificity)
        for average, make_inputs in AVERAGES
    ),
    *(
        MetricCase(
            target,
            class_scores,
            getattr(slow_classification, target.__name__),
            perfect=(IDS, IDS),
            worst=(1 - IDS, IDS),
        )
        for target in (metrics.balanced_accuracy, metrics.g_mean)
    ),
    *(
        MetricCase(
            target,
            class_scores,
            getattr(slow_classification, target.__name__),
            settings,
            perfect=(IDS, IDS),
            worst=(1 - IDS, IDS),
            bounds=(-1.0, 1.0),
        )
        for target, settings in (
            (metrics.matthews_corrcoef, {}),
            (metrics.cohen_kappa, {}),
            (metrics.cohen_kappa, {"weights": "linear"}),
            (metrics.cohen_kappa, {"weights": "quadratic"}),
        )
    ),
    MetricCase(
        metrics.expected_cost,
        class_scores,
        slow_classification.expected_cost,
        {"cost": ((0.0, 1.0, 2.0, 4.5), (5.0, -1.0, 1.5, 0.5), (1.0, 1.0, 0.0, 2.0), (1.0, 1.0, 1.0, 0.0))},
        perfect=(IDS[1:2], IDS[1:2]),
        worst=(IDS[:1], IDS[1:2]),
        bounds=(-1.0, 5.0),
        higher_is_better=False,
    ),
    MetricCase(
        metrics.binary_average_precision,
        binary_scores,
        slow_classification.binary_average_precision,
        perfect=(BINARY, IDS.bool()),
        skip={"worst": "positives in the last places still count something"},
    ),
    MetricCase(
        metrics.roc_auc,
        binary_scores,
        slow_classification.roc_auc,
        perfect=(BINARY, IDS.bool()),
        worst=(-BINARY, IDS.bool()),
    ),
    *(
        _of_thresholds(metrics.precision_at_recall, worst=False, min_recall=recall)
        for recall in (0.1, 0.5, 1.0)
    ),
    *(_of_thresholds(metrics.recall_at_precision, min_precision=precision) for precision in (0.51, 0.8, 1.0)),
    *(
        _of_thresholds(metrics.partial_roc_auc, least=(1 - most) / (2 - most), max_fpr=most)
        for most in (0.05, 0.3, 1.0)
    ),
    _of_probabilities(metrics.log_loss, 52 * math.log(2)),
    _of_probabilities(metrics.log_loss, 52 * math.log(2), one_probability),
    _of_probabilities(metrics.brier_score, 2.0),
    _of_probabilities(metrics.brier_score, scale_by_half=True),
    _of_probabilities(metrics.brier_score, 2.0, one_probability, scale_by_half=False),
    *(_of_probabilities(metrics.expected_calibration_error, bins=bins) for bins in (1, 4, 15)),
    *(
        _one_against_others(target, worst, make_inputs, average=average)
        for average in ("macro", "weighted")
        for target, worst, make_inputs in (
            (metrics.macro_average_precision, False, class_probabilities),
            (metrics.macro_average_precision, False, label_scores),
            (metrics.roc_auc_ovr, True, class_probabilities),
            (metrics.roc_auc_ovr, True, label_scores),
            (metrics.roc_auc_ovo, True, class_probabilities),
        )
    ),
    *(
        _of_labels(metrics.multilabel_f_beta, make_inputs, beta=beta, average=average)
        for make_inputs, beta in ((label_scores, 2.0), (label_decisions, 1.0))
        for average in ("macro", "micro", "weighted", "samples")
    ),
    *(
        _of_labels(target, label_decisions, average=average)
        for target in (metrics.multilabel_jaccard, metrics.multilabel_precision, metrics.multilabel_recall)
        for average in ("macro", "micro", "weighted", "samples")
    ),
    _of_labels(metrics.subset_accuracy),
    _of_labels(metrics.hamming_loss, higher=False),
    *(
        _of_images(target, average=average)
        for target in (metrics.mean_iou, metrics.dice)
        for average in ("macro", "micro", "weighted", "binary")
    ),
    *_of_texts(metrics.edit_distance, each=True),
    *_of_texts(metrics.edit_distance, each=True, worst=("ab", "cde"), normalizer="longer"),
    *_of_texts(metrics.total_edit_distance, empty=0.0),
    *_of_texts(metrics.character_error_rate),
    *_of_texts(metrics.word_edit_distance, each=True),
    *_of_texts(metrics.word_error_rate),
    *_of_texts(metrics.sequence_accuracy, worst=("ab", "abc"), higher_is_better=True),
    *_of_boxes(metrics.iou, each=True),
    *_of_boxes(metrics.rotated_iou, each=True),
    *(
        case
        for target in (metrics.iou_above, metrics.rotated_iou_above)
        for threshold in (0.3, 1 / 3 + 1e-6, 0.9)
        for case in _of_boxes(target, threshold=threshold)
    ),
)


def free_scores(generator: Generator) -> tuple[Tensor, Tensor]:
    """Scores without ties, of about unit size; relevance with an all-relevant and a none-relevant row."""
    scores = torch.randn(6, 9, generator=generator, dtype=torch.float64)  # [query, item]
    relevance = torch.rand(6, 9, generator=generator) < 0.4
    relevance[0], relevance[1] = True, False
    return scores, relevance


def labelled_embeddings(generator: Generator) -> tuple[Tensor, Tensor]:
    """Embeddings of four classes, one of them with a single row."""
    embeddings = torch.randn(12, 5, generator=generator, dtype=torch.float64)  # [query, dim]
    return embeddings, torch.cat([torch.arange(11) % 3, torch.tensor([3])])


def class_logits(generator: Generator) -> tuple[Tensor, Tensor]:
    """Logits of five classes, of which the last is no target; two samples are ignored."""
    targets = torch.randint(0, 4, (9,), generator=generator)
    targets[0], targets[1], targets[6] = 0, losses.class_scores.IGNORED, losses.class_scores.IGNORED
    return torch.randn(9, 5, generator=generator, dtype=torch.float64), targets  # [sample, class]


def class_rows(dim: int) -> Tensor:
    """One row per class, for as many classes as any law draws."""
    return torch.randn(200, dim, generator=Generator().manual_seed(1), dtype=torch.float64)


def missed(metric: Callable[..., Tensor], ks: tuple[int | None, ...] = (None,), **settings: Any):
    """One minus an exact metric with mid ranks, averaged over the cut-offs."""

    def value(scores: Tensor, relevance: Tensor) -> Tensor:
        cut = [{} if k is None else {"k": k} for k in ks]
        values = [metric(scores, relevance, ties="mid", **one, **settings) for one in cut]
        return 1 - torch.stack(values).mean(0)

    return value


def missed_at_1(embeddings: Tensor, labels: Tensor) -> Tensor:
    """One minus hit@1 among the other rows, by cosine."""
    rows = torch.nn.functional.normalize(embeddings, dim=1)
    own = torch.arange(len(rows))
    return 1 - metrics.hit_at_k(rows @ rows.T, labels == labels.unsqueeze(1), k=1, ties="mid", query_item=own)


def wrong(logits: Tensor, targets: Tensor) -> Tensor:
    """Whether the largest logit is another class's, NaN for a sample to ignore."""
    errors = (logits.argmax(1) != targets).double()
    return torch.where(targets == losses.class_scores.IGNORED, torch.nan, errors)


def unlevel(logits: Tensor, targets: Tensor) -> Tensor:
    """Among the wrong classes, the largest probability minus the smallest one; NaN for a sample to ignore."""
    counted = targets != losses.class_scores.IGNORED
    others = torch.ones_like(logits).scatter(1, targets.where(counted, 0)[:, None], 0).bool()
    q = logits.masked_fill(~others, -torch.inf).softmax(1)
    return torch.where(counted, q.max(1).values - q.masked_fill(~others, 1).min(1).values, torch.nan)


def groups_of_three(classes: int) -> list[int]:
    """The group of every class."""
    return [place // 3 for place in range(classes)]


def three_levels(classes: int) -> losses.ClassTree:
    """Classes in pairs, pairs in fours; the third class stands by itself under the root."""
    return losses.ClassTree.from_paths(
        [["alone"] if place == 2 else [place // 4, place // 2, place] for place in range(classes)]
    )


def binary_logits(generator: Generator) -> tuple[Tensor, Tensor]:
    """One score per pixel, targets 0 or 1, two of them ignored."""
    targets = (torch.rand(9, generator=generator) < 0.4).long()
    targets[0], targets[3], targets[6] = 1, losses.class_scores.IGNORED, losses.class_scores.IGNORED
    return torch.randn(9, generator=generator, dtype=torch.float64), targets


def segmented(generator: Generator) -> tuple[Tensor, Tensor]:
    """Logits of five classes per pixel, of which the last is no target; some pixels are ignored."""
    targets = torch.randint(0, 4, (3, 4, 5), generator=generator)
    targets[torch.rand(3, 4, 5, generator=generator) < 0.1] = losses.class_scores.IGNORED
    targets[:, 0, 0] = 0
    return torch.randn(3, 5, 4, 5, generator=generator, dtype=torch.float64), targets


def of_domains(generator: Generator) -> tuple[Tensor, Tensor]:
    """Logits of a discriminator, and the shares of the source."""
    return torch.randn(9, generator=generator, dtype=torch.float64), torch.arange(9) % 2


def class_counts(classes: int) -> Tensor:
    """Counts of classes; the last of five was never seen."""
    return torch.tensor([1 + place % 4 if place != 4 or classes > 5 else 0 for place in range(classes)])


def slopes(classes: int) -> Tensor:
    """A matrix of gains, the largest on the diagonal."""
    return torch.eye(classes) - (torch.arange(classes)[:, None] - torch.arange(classes)).abs() / 100


def costs(classes: int) -> Tensor:
    """A cost for every error."""
    return 1 - torch.eye(classes)


def not_ignored(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The units that have a loss."""
    counted = targets != losses.class_scores.IGNORED
    return outputs[counted], targets[counted]


def missed_macro_f1(logits: Tensor, targets: Tensor) -> Tensor:
    """One minus macro F1 of all samples together."""
    return 1 - metrics.f_beta(*not_ignored(logits, targets), average="macro")


def wrong_pixels(logits: Tensor, targets: Tensor) -> Tensor:
    """The share of the pixels that are given another class."""
    decided, targets = not_ignored(logits.argmax(1), targets)
    return (decided != targets).double().mean()


def wrong_side(scores: Tensor, targets: Tensor) -> Tensor:
    """Whether a score has the sign of the other domain."""
    return ((scores > 0) != (targets > 0)).double()


def missed_iou(logits: Tensor, targets: Tensor) -> Tensor:
    """One minus the mean IoU of the classes that are present, of all pixels together."""
    decided, targets = not_ignored(logits.argmax(1), targets)
    return torch.stack(
        [
            1
            - ((decided == one) & (targets == one)).sum()
            / ((decided == one) | (targets == one)).sum().double()
            for one in targets.unique()
        ]
    ).mean()


def missed_binary_iou(scores: Tensor, targets: Tensor) -> Tensor:
    """One minus the IoU of class 1, of all pixels together."""
    decided, targets = not_ignored(scores > 0, targets)
    return 1 - (decided & (targets == 1)).sum() / (decided | (targets == 1)).sum().double()


KS = (1, 2, 4)
SHARP = {"cutoff_temperature": 1e-3, "offset": 0.5}
PROXY = {
    "limit": "a proxy: it approaches no metric",
    "items": "its rows are both queries and items",
    "masked": "its rows are both queries and items",
}

HELD_WEIGHTS = {"differences": "its weights are constants for the gradient, not for the value"}
SMOOTH = {"limit": "there are no temperatures, it is smooth"}
OF_ALL = {"undefined": "one value for all units together", "items": "all units share one value"}

LOSS_CASES: tuple[LossCase, ...] = (
    LossCase(
        losses.recall_at_k_loss,
        free_scores,
        missed(metrics.recall_at_k, KS, normalizer="min_k_positives"),
        {"k": KS},
        SHARP,
    ),
    LossCase(
        losses.recall_at_k_loss,
        free_scores,
        missed(metrics.recall_at_k, (3,)),
        {"k": 3, "normalizer": "positives", "cutoff_temperature": 0.5},
        SHARP,
    ),
    LossCase(losses.average_precision_loss, free_scores, missed(metrics.average_precision)),
    LossCase(losses.precision_at_k_loss, free_scores, missed(metrics.precision_at_k, KS), {"k": KS}, SHARP),
    LossCase(losses.reciprocal_rank_loss, free_scores, missed(metrics.reciprocal_rank)),
    LossCase(losses.ndcg_loss, free_scores, missed(metrics.ndcg)),
    LossCase(
        losses.ndcg_loss,
        free_scores,
        missed(metrics.ndcg, (3,)),
        {"k": 3},
        SHARP,
        skip={"bounds": "its soft cut-off lets places beyond k count a little, its ideal does not"},
    ),
    *(
        LossCase(
            losses.supcon_loss,
            labelled_embeddings,
            missed_at_1,
            {"positives": positives, "temperature": 0.5},
            bounds=(0.0, float("inf")),
            skip=PROXY,
        )
        for positives in ("outside", "inside")
    ),
    *(
        LossCase(
            target,
            labelled_embeddings,
            missed_at_1,
            settings,
            bounds=(0.0, most),
            skip=PROXY,
        )
        for target, settings, most in (
            (losses.info_nce_loss, {"temperature": 0.5}, float("inf")),
            (losses.hardest_triplet_loss, {"margin": 0.3}, 2.3),
        )
    ),
    LossCase(
        losses.extended_supcon_loss,
        labelled_embeddings,
        missed_at_1,
        {"prototypes": class_rows, "temperature": 0.5},
        bounds=(0.0, math.inf),
        skip={**PROXY, "undefined": "every sample has its prototype"},
    ),
    LossCase(
        losses.circle_class_loss,
        labelled_embeddings,
        missed_at_1,
        {"class_weights": class_rows, "scale": 16.0},
        bounds=(0.0, math.inf),
        skip={**PROXY, **HELD_WEIGHTS, "undefined": "every sample has its class"},
    ),
    *(
        LossCase(
            losses.circle_loss,
            labelled_embeddings,
            missed_at_1,
            settings,
            bounds=(0.0, math.inf),
            whole="pooling" in settings,
            skip={
                **PROXY,
                **HELD_WEIGHTS,
                **({"undefined": OF_ALL["undefined"]} if "pooling" in settings else {}),
            },
        )
        for settings in ({"scale": 8.0}, {"margin": 0.25, "scale": 256.0}, {"scale": 4.0, "pooling": "batch"})
    ),
    *(
        LossCase(
            losses.generalized_cross_entropy_loss,
            class_logits,
            wrong,
            {"exponent": exponent},
            bounds=(0.0, 1 / exponent if exponent else float("inf")),
            skip={"limit": "there are no temperatures, it is smooth"},
        )
        for exponent in (0.0, 0.7, 1.0)
    ),
    *(
        LossCase(target, class_logits, wrong, settings, bounds=(low, most), skip=SMOOTH)
        for target, settings, low, most in (
            (losses.generalized_cross_entropy_loss, {"cutoff": 0.1}, 0.0, 1 / 0.7),
            (
                losses.generalized_cross_entropy_loss,
                {"cutoff": 0.2, "exponent": 0.5, "subtract_constant": True},
                -(1 - 0.2**0.5) / 0.5,
                0.0,
            ),
            (losses.mean_absolute_error_loss, {}, 0.0, 2.0),
            (losses.symmetric_cross_entropy_loss, {}, 0.0, math.inf),
            (losses.active_passive_loss, {"alpha": 2.0}, 0.0, 6.0),
            (losses.active_passive_loss, {"passive": "mean_absolute_error"}, 0.0, 3.0),
        )
    ),
    *(
        LossCase(target, class_logits, wrong, settings, bounds=(0.0, math.inf), skip=SMOOTH)
        for target, settings in (
            (losses.balanced_softmax_loss, {"class_counts": class_counts}),
            (losses.balanced_softmax_loss, {"class_counts": class_counts, "tau": 0.0}),
            (losses.class_weighted_cross_entropy_loss, {"class_counts": class_counts}),
            (losses.class_weighted_cross_entropy_loss, {"class_counts": class_counts, "beta": 0.9}),
            (losses.focal_loss, {"gamma": 2.0}),
            (losses.focal_loss, {"gamma": 0.5, "class_weights": class_counts}),
        )
    ),
    *(
        LossCase(target, class_logits, unlevel, settings, bounds=(least, 0.0), fewest=3, skip=SMOOTH)
        for target, settings, least in (
            (losses.complement_entropy_loss, {}, -math.log(4) / 4),
            (losses.complement_entropy_loss, {"normalizer": "log_support"}, -1.0),
            (losses.complement_entropy_loss, {"normalizer": "released"}, -math.log(4) / 5),
            (losses.hierarchical_complement_entropy_loss, {"groups": groups_of_three}, -math.log(2)),
            (losses.hierarchical_complement_entropy_loss, {"tree": three_levels}, -math.log(4)),
        )
    ),
    *(
        LossCase(target, class_logits, wrong, settings, bounds=bounds, fewest=3, skip=SMOOTH)
        for target, settings, bounds in (
            (losses.complement_cross_entropy_loss, {}, (-math.log(4) / 4, math.inf)),
            (
                losses.complement_cross_entropy_loss,
                {"balance": 0.5, "normalizer": "log_support"},
                (-0.5, math.inf),
            ),
            (losses.guided_complement_entropy_loss, {}, (-1.0, 0.0)),
            (losses.guided_complement_entropy_loss, {"guide_exponent": 1.0}, (-1.0, 0.0)),
        )
    ),
    *(
        LossCase(
            losses.recall_weighted_cross_entropy_loss,
            class_logits,
            wrong,
            settings,
            bounds=(0.0, math.inf),
            skip={**SMOOTH, "items": "the weights of the classes are counted in the batch"},
        )
        for settings in (
            {},
            {"per_class": "f_1", "reduction": "weighted_mean", "floor": 0.1},
            {"counts": "released", "false_positive_term": True},
        )
    ),
    LossCase(losses.slope_loss, class_logits, wrong, {"slopes": slopes}, bounds=(-1.0, 1.0), skip=SMOOTH),
    LossCase(
        losses.expected_cost_loss,
        class_logits,
        wrong,
        {"cost_matrix": costs},
        {"temperature": 1e-9},
    ),
    LossCase(
        losses.expected_cost_loss,
        class_logits,
        wrong,
        {"cost_matrix": costs, "entropy_weight": 0.1, "temperature": 2.0},
        bounds=(-0.1 * math.log(5), 1.0),
        skip=SMOOTH,
    ),
    LossCase(
        losses.soft_confusion_loss,
        class_logits,
        missed_macro_f1,
        {"metric": "macro_f1"},
        {"temperature": 1e-9},
        whole=True,
        skip=OF_ALL,
    ),
    LossCase(
        losses.soft_counts_loss,
        class_logits,
        missed_iou,
        {"formula": "iou"},
        {"temperature": 1e-9},
        whole=True,
        skip=OF_ALL,
    ),
    LossCase(losses.lovasz_softmax_loss, class_logits, missed_iou, whole=True, skip={**OF_ALL, **SMOOTH}),
    LossCase(
        losses.lovasz_hinge_loss,
        binary_logits,
        missed_binary_iou,
        bounds=(0.0, math.inf),
        whole=True,
        skip={**OF_ALL, **SMOOTH, "masked": "a pixel has one score"},
    ),
    *(
        LossCase(
            losses.structural_similarity_loss,
            segmented,
            wrong_pixels,
            {"detach_errors": False, **settings},
            bounds=(0.0, math.inf),
            whole=True,
            skip={**OF_ALL, **SMOOTH},
        )
        for settings in ({}, {"window": 5, "window_std": None, "cutoff": 0.3})
    ),
    LossCase(
        losses.domain_mixup_loss,
        of_domains,
        wrong_side,
        bounds=(0.0, math.inf),
        skip={**SMOOTH, "masked": "a sample has one score", "undefined": "every sample has a loss"},
    ),
)
