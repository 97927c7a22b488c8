"""Losses and metrics with one fault each, and the law that finds it; what has none keeps every law."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from metricgrad import losses
from metricgrad.errors import InputError, LawBroken
from metricgrad.metrics import adapt
from metricgrad.testing import Report, check_loss, check_metric

Loss = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """One value per row."""
    return functional.cross_entropy(logits, targets, reduction="none")


def counted(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean over the rows that are not ignored, whatever stands in the others; 0 where there is none."""
    kept = targets != -100
    safe = logits.masked_fill(~kept[:, None], 0)
    return (cross_entropy(safe, targets.where(kept, 0)) * kept).sum() / kept.sum().clamp_min(1)


def contrastive(embeddings: Tensor, labels: Tensor) -> Tensor:
    """Squared distances within classes, a hinge on those between; the mean over all pairs."""
    wide = embeddings if embeddings.dtype == torch.float64 else embeddings.float()
    squared = (wide[:, None] - wide).square().sum(2)
    same = labels[:, None] == labels
    between = (1 - (squared + 1e-12).sqrt()).clamp_min(0).square()
    return (torch.where(same, squared, between) / max(1, len(labels)) ** 2).sum()


def broken(loss: Any, *laws: str, **settings: Any) -> Report:
    """The report; it names these laws among the broken ones."""
    with pytest.raises(LawBroken) as caught:
        check_loss(loss, **settings)
    report = caught.value.report
    assert isinstance(report, Report) and str(report) == str(caught.value)
    assert set(laws) <= set(report.broken), str(report)
    return report


# ------------------------------------------------------------------------------------------ planted faults


def test_a_loss_that_is_maximised() -> None:
    """Its sign is wrong."""
    assert broken(lambda z, t: -cross_entropy(z, t), "direction").broken == ["direction"]


def test_a_loss_without_gradient() -> None:
    """It was detached."""
    report = broken(lambda z, t: cross_entropy(z.detach(), t), "flows")
    assert "no gradient" in str(report)


def test_a_loss_of_decisions() -> None:
    """Argmax has no gradient either."""
    broken(lambda z, t: (z.argmax(1) != t).double() + 0 * z.sum(1), "flows")


def test_a_missing_detach() -> None:
    """Focal weights that should be held: the gradient is not that of the loss with its weights held."""

    def weighted(z: Tensor, t: Tensor, at: Tensor) -> Tensor:
        return (1 - torch.exp(-cross_entropy(at, t))).square() * cross_entropy(z, t)

    broken(lambda z, t: weighted(z, t, z), "differences", held=weighted)
    right = check_loss(lambda z, t: weighted(z, t, z.detach()), held=weighted)
    assert right.ok
    broken(lambda z, t: weighted(z, t, z.detach()), "differences")  # where it is not declared


class Doubled(torch.autograd.Function):
    """The identity, with a backward pass that is wrong by a factor."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Return x."""
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Return twice the gradient."""
        return 2 * gradients[0]


def test_a_gradient_that_is_wrong_by_a_factor() -> None:
    """A backward pass of one's own; the report says the factor."""
    report = broken(lambda z, t: cross_entropy(Doubled.apply(z), t), "differences")
    assert "2 times the differences" in str(report)


def test_nan_at_a_saturated_logit() -> None:
    """0 * log 0 where a softmax is exactly 0."""

    def entropy(z: Tensor, t: Tensor) -> Tensor:
        p = z.softmax(1)
        return cross_entropy(z, t) + 0.1 * (-(p * p.log()).sum(1))

    assert "NaN" in str(broken(entropy, "extremes"))


def test_infinity_at_p_0() -> None:
    """The logarithm of a probability that is rounded to 0."""
    report = broken(lambda z, t: -z.softmax(1).gather(1, t[:, None])[:, 0].log(), "extremes")
    assert "infinite" in str(report) or "NaN" in str(report)
    broken(lambda p, t: -p.gather(1, t[:, None])[:, 0].log(), "extremes", takes="probabilities")


def test_a_root_without_a_slope_at_0() -> None:
    """The distance of equal embeddings."""

    def distances(e: Tensor, labels: Tensor) -> Tensor:
        d = (e[:, None] - e).square().sum(2).sqrt()
        same = labels[:, None] == labels
        return torch.where(same, d, (1 - d).clamp_min(0)).sum() / max(1, len(labels)) ** 2

    assert "gradient" in str(broken(distances, "flows", takes="embeddings"))


def test_the_order_of_the_batch() -> None:
    """Pairs of neighbours in the batch."""
    broken(lambda z, t: cross_entropy(z, t) + 0.1 * z[:, 0] * z[:, 0].roll(1), "order", "rows")


def test_the_global_random_state() -> None:
    """Negatives that are drawn from torch's generator, and a seed that is set."""
    broken(lambda z, t: cross_entropy(functional.dropout(z, 0.5), t), "randomness")

    def seeding(z: Tensor, t: Tensor) -> Tensor:
        torch.manual_seed(0)
        return cross_entropy(z, t)

    broken(seeding, "randomness")
    declared = check_loss(
        lambda z, t: cross_entropy(functional.dropout(z, 0.1), t), random=True, raises=False
    )
    assert "randomness" not in declared.broken


def test_a_sigmoid_where_a_softmax_belongs() -> None:
    """One against the rest on scores of classes that exclude each other."""

    def of_sigmoids(z: Tensor, t: Tensor) -> Tensor:
        return functional.binary_cross_entropy_with_logits(
            z, functional.one_hot(t, z.shape[1]).to(z), reduction="none"
        ).sum(1)

    assert "softmax belongs" in str(broken(of_sigmoids, "shift"))


def test_inputs_that_are_changed() -> None:
    """Labels are smoothed in place; outputs are scaled in place."""

    def changes_targets(z: Tensor, t: Tensor) -> Tensor:
        value = cross_entropy(z, t)
        t.fill_(0)
        return value

    def changes_outputs(z: Tensor, t: Tensor) -> Tensor:
        return cross_entropy(z.mul_(1.5), t)

    assert "changed the targets" in str(broken(changes_targets, "inputs"))
    assert "changed the outputs" in str(broken(changes_outputs, "inputs"))


def test_ignored_rows_that_count() -> None:
    """-100 clamped to class 0; the mean over all rows instead of those that count."""
    broken(lambda z, t: cross_entropy(z, t.clamp_min(0)), "ignored", ignore_index=-100)
    broken(lambda z, t: cross_entropy(z, t).sum() / max(1, len(t)), "ignored", ignore_index=-100)
    broken(lambda z, t: z.gather(1, t[:, None])[:, 0].neg(), "ignored", ignore_index=-100)


def test_nan_in_ignored_rows_that_leaks() -> None:
    """Masked after the softmax instead of before: NaN times 0 is NaN in the backward pass."""
    broken(cross_entropy, "ignored_nan", ignore_index=-100)
    assert check_loss(counted, ignore_index=-100).ok


def test_an_empty_batch_that_is_nan() -> None:
    """A mean of nothing."""
    broken(lambda z, t: cross_entropy(z, t).mean(), "empty")
    broken(lambda z, t: functional.cross_entropy(z, t), "empty", ignore_index=-100)


def test_a_mean_over_the_wrong_number() -> None:
    """Divided by one row less, or by the number of numbers; a sum."""
    broken(lambda z, t: cross_entropy(z, t).sum() / max(1, len(t) - 1), "rows")
    broken(lambda z, t: cross_entropy(z, t).sum(), "rows")


def test_half_precision_that_overflows() -> None:
    """A square of numbers beyond 256."""
    report = broken(lambda z, t: cross_entropy(z, t) + 1e-6 * z.square().sum(1), "half")
    assert "float16" in str(report)


def test_probabilities_where_logits_belong() -> None:
    """A softmax before the one that is in the loss."""
    assert "squashed twice" in str(broken(lambda z, t: cross_entropy(z.softmax(1), t), "certain"))
    broken(
        lambda s, t: functional.binary_cross_entropy_with_logits(s.sigmoid(), t.to(s), reduction="none"),
        "certain", takes="scores",
    )  # fmt: skip


def test_labels_that_are_numbers() -> None:
    """A weight that grows with the number of the class."""
    weighted = broken(lambda e, t: contrastive(e, t) * (1 + t.sum() / 100), "renamed", takes="embeddings")
    assert weighted.broken == ["renamed"]
    assert check_loss(contrastive, takes="embeddings").ok


def test_float64_that_is_lost() -> None:
    """Computed in float32, whether it says so or not."""
    assert "float32" in str(broken(lambda z, t: cross_entropy(z.float(), t), "float64"))
    assert "less than float64" in str(broken(lambda z, t: cross_entropy(z.float(), t).double(), "float64"))


def test_a_row_without_a_definition() -> None:
    """A label that stands alone has no positive: its loss must be 0."""

    def alone(e: Tensor, t: Tensor) -> Tensor:
        return (t[:, None] == t).sum(1) == 1

    def inputs(generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return torch.randn(7, 4, generator=generator, dtype=torch.float64), torch.tensor(
            [0, 0, 1, 1, 2, 3, 3]
        )

    def pulled(e: Tensor, t: Tensor) -> Tensor:
        same = (t[:, None] == t) & ~torch.eye(len(t), dtype=torch.bool)
        near = (e[:, None] - e).square().sum(2)
        return (near * same).sum(1) / same.sum(1).clamp_min(1)

    settings: dict[str, Any] = {"takes": "embeddings", "undefined": alone, "make_inputs": inputs}
    assert check_loss(pulled, **settings).ok
    broken(lambda e, t: pulled(e, t) + alone(e, t), "undefined", **settings)
    broken(lambda e, t: (pulled(e, t) + alone(e, t)).sum(), "undefined", **settings)


def test_a_loss_that_does_not_lower_what_it_stands_for() -> None:
    """It lowers itself, and the exact metric gets worse."""

    def errors(z: Tensor, t: Tensor) -> float:
        return float((z.argmax(1) != t).double().mean())

    assert check_loss(cross_entropy, exact=errors).ok
    report = broken(lambda z, t: cross_entropy(-z, t), "descent", exact=errors)
    assert "rises" in str(report)


def test_a_loss_beyond_its_bounds() -> None:
    """Cross-entropy has no upper bound."""
    broken(cross_entropy, "bounds", bounds=(0.0, 1.0))
    assert check_loss(lambda z, t: 1 - torch.exp(-cross_entropy(z, t)), bounds=(0.0, 1.0)).ok


def test_what_is_no_loss_at_all() -> None:
    """A number, several numbers per row, or an error: the other laws are left out."""
    for loss, said in (
        (lambda z, t: 3.0, "float"),
        (lambda z, t: z[:3, 0], r"\(3,\)"),
        (lambda z, t: z.no_such_thing, "AttributeError"),
        (lambda z, t: cross_entropy(z, t) / 0, "infinite"),
    ):
        with pytest.raises(LawBroken, match=said):
            check_loss(loss)
        report = check_loss(loss, raises=False)
        assert report.broken == ["value"] and sum(one.status == "skipped" for one in report.findings) > 10


# ------------------------------------------------------------------------------------------- what is right


def of_signs(loss: Callable[..., Tensor]) -> Loss:
    """A loss of targets -1 and 1."""
    return lambda scores, targets: loss(scores, 2 * targets - 1, reduction="none")


def distances(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Distances, of which small ones are right for class 1."""
    return torch.rand(9, generator=generator, dtype=torch.float64) * 2, torch.arange(9) % 2


TORCH: dict[str, tuple[Loss, dict[str, Any]]] = {
    "cross_entropy": (cross_entropy, {"ignore_index": -100, "skip": {"ignored_nan": "torch masks after the softmax"}}),
    "cross_entropy, mean": (functional.cross_entropy, {"skip": {"empty": "torch's mean of nothing is NaN"}}),
    "nll_loss": (lambda z, t: functional.nll_loss(z.log_softmax(1), t, reduction="none"), {}),
    "nll_loss of probabilities": (
        lambda p, t: functional.nll_loss(p.clamp_min(1e-9).log(), t, reduction="none"), {"takes": "probabilities"}
    ),
    "binary_cross_entropy_with_logits": (
        lambda s, t: functional.binary_cross_entropy_with_logits(s, t.to(s), reduction="none"), {"takes": "scores"}
    ),
    "of labels": (
        lambda s, t: functional.binary_cross_entropy_with_logits(s, t.to(s), reduction="none").mean(1),
        {"takes": "label_logits"},
    ),
    "multi_margin_loss": (lambda z, t: functional.multi_margin_loss(z, t, reduction="none"), {}),
    "hinge_embedding_loss": (
        of_signs(functional.hinge_embedding_loss),
        {"takes": "scores", "make_inputs": distances, "right": lambda t: 1.0 - t},
    ),
    "mse_loss": (lambda y, t: functional.mse_loss(y, t, reduction="none"), {"takes": "values"}),
    "smooth_l1_loss": (lambda y, t: functional.smooth_l1_loss(y, t, reduction="none"), {"takes": "values"}),
    "triplet_margin_loss": (
        lambda e, t: functional.triplet_margin_loss(*triplets(e, t)), {"takes": "embeddings", "skip": {
            "empty": "torch's mean of nothing is NaN", "extremes": "a single row has no triplet: the mean is NaN"
        }},
    ),
}  # fmt: skip


def triplets(e: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """All triplets of a batch."""
    same = t[:, None] == t
    anchor, positive, negative = torch.nonzero(
        (same & ~torch.eye(len(t), dtype=torch.bool))[:, :, None] & ~same[:, None, :], as_tuple=True
    )
    return e[anchor], e[positive], e[negative]


@pytest.mark.parametrize("name", TORCH)
def test_losses_of_torch(name: str) -> None:
    """They keep the laws, but for what is named."""
    loss, settings = TORCH[name]
    assert check_loss(loss, **settings).ok


def test_what_is_wrong_with_one_of_torch() -> None:
    """soft_margin_loss is the logarithm of 1 + exp: infinite at large scores."""
    report = check_loss(of_signs(functional.soft_margin_loss), takes="scores", raises=False)
    assert report.broken == ["half", "extremes"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "ContrastiveLoss",
        "TripletMarginLoss",
        "SupConLoss",
        "MultiSimilarityLoss",
        "LiftedStructureLoss",
        "FastAPLoss",
    ],
)
def test_losses_of_pytorch_metric_learning(name: str) -> None:
    """They keep the laws of embeddings."""
    from pytorch_metric_learning import losses as theirs

    assert check_loss(getattr(theirs, name)(), takes="embeddings").ok


OURS: dict[str, dict[str, Any]] = {
    "focal_loss": {"ignore_index": -100},
    "generalized_cross_entropy_loss": {"ignore_index": -100, "bounds": (0.0, 1 / 0.7)},
    "hardest_triplet_loss": {"takes": "embeddings"},
    "info_nce_loss": {"takes": "embeddings"},
    "lovasz_hinge_loss": {"takes": "label_logits", "whole": True},
    "lovasz_softmax_loss": {"ignore_index": -100, "whole": True},
    "soft_counts_loss": {"takes": "label_logits", "whole": True},
    "supcon_loss": {"takes": "embeddings"},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OURS)
def test_losses_of_ours(name: str) -> None:
    """They keep the laws of the tool as they keep those of the tests."""
    assert check_loss(getattr(losses, name), **OURS[name]).ok


def test_a_module_is_a_loss() -> None:
    """Its class is not."""
    assert check_loss(nn.CrossEntropyLoss(reduction="none")).name == "CrossEntropyLoss"
    with pytest.raises(InputError, match="the loss is"):
        check_loss(nn.CrossEntropyLoss)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"takes": "logit"}, "'logits'"),
        ({"skip": {"orders": "why"}}, "'order'"),
        ({"skip": {"order": " "}}, "the reason"),
    ],
)
def test_settings(settings: dict[str, Any], message: str) -> None:
    """A kind or law that there is none of; a reason that is none."""
    with pytest.raises(InputError, match=message):
        check_loss(cross_entropy, **settings)


def test_the_report() -> None:
    """It says of every law what became of it, broken ones first, with what came and what was expected."""
    lines = str(
        check_loss(lambda z, t: -cross_entropy(z, t), skip={"half": "not of interest"}, raises=False)
    ).splitlines()
    assert lines[0].endswith("13 laws kept, 1 broken, 6 left out")
    assert lines[1].split() == ["broken", "direction"]
    assert lines[2].strip().startswith("came: right outputs have -")
    assert lines[3].strip() == "expected: right outputs have a smaller loss than wrong ones"
    assert "  skipped  half: not of interest" in lines


def test_the_random_state_is_left_as_it_was() -> None:
    """The caller's, too."""
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    check_loss(cross_entropy)
    assert torch.equal(before, torch.random.get_rng_state())


# ------------------------------------------------------------------------------------------------- metrics


def hits(scores: Tensor, targets: Tensor) -> Tensor:
    """Share of the scores on the right side of 0."""
    return ((scores > 0) == (targets > 0)).double().mean()


METRIC_FAULTS: dict[str, tuple[Callable[[Tensor, Tensor], Any], dict[str, Any], str]] = {
    "a cost that is called a gain": (lambda s, t: 1 - hits(s, t), {"takes": "scores"}, "direction"),
    "in percent": (lambda s, t: 100 * hits(s, t), {"takes": "scores"}, "bounds"),
    "a sum": (lambda s, t: hits(s, t) * len(t), {"takes": "scores", "bounds": (0, 12)}, "twice"),
    "the first row alone": (lambda s, t: hits(s[:1], t[:1]), {"takes": "scores"}, "order"),
    "changed targets": (lambda s, t: hits(s, t.mul_(2)), {"takes": "scores"}, "inputs"),
    "drawn rows": (lambda s, t: hits(s[(r := torch.randperm(len(t))[:5])], t[r]), {"takes": "scores"}, "randomness"),
    "a threshold where order counts": (hits, {"takes": "scores", "order_only": True}, "increasing"),
    "class scores with a threshold": (lambda z, t: ((z > 0).long().argmax(1) == t).double(), {}, "shift"),
    "targets that are subtracted": (lambda s, t: hits(s, 1 - (1 - t)), {"takes": "scores"}, "types"),
    "labels that are numbers": (
        lambda e, t: (t.double() @ e.new_ones(len(t))) / 1e5, {"takes": "embeddings"}, "renamed"
    ),
    "no rows": (lambda s, t: hits(s, t) + s[0] * 0, {"takes": "scores"}, "empty"),
    "two numbers": (lambda s, t: s[:2], {"takes": "scores"}, "value"),
    "never perfect": (lambda s, t: hits(s, t) / 2, {"takes": "scores"}, "perfect"),
}  # fmt: skip


@pytest.mark.parametrize("name", METRIC_FAULTS)
def test_faults_of_metrics(name: str) -> None:
    """Each is found by the law that names it."""
    metric, settings, law = METRIC_FAULTS[name]
    with pytest.raises(LawBroken, match=f"broken +{law}"):
        check_metric(metric, **settings)


def test_metrics_that_are_right() -> None:
    """Functions, records and those of one value per row."""
    assert check_metric(hits, takes="scores").ok
    assert check_metric(lambda z, t: (z.argmax(1) == t).double()).ok
    assert check_metric(adapt("accuracy")).ok
    assert check_metric(adapt("roc_auc"), takes="scores", order_only=True).ok
    assert check_metric(adapt("log_loss"), takes="probabilities").ok
    assert check_metric(adapt("recall@1"), takes="embeddings", mean=False).ok
    assert check_metric(
        lambda y, t: (y - t).abs().mean(), takes="values", higher_is_better=False, bounds=(0, torch.inf)
    ).ok
    with pytest.raises(InputError, match="the metric is 3"):
        check_metric(3)
