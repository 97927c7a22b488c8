"""What is special to the circle loss: its gradient with constant weights, its circle, extremes, both poolings."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from metricgrad.averages import mean_valid
from metricgrad.errors import InputError
from metricgrad.losses import circle_loss
from metricgrad.methods.objectives import named_objective
from metricgrad.pairing import has_positive


def of_row(
    positives: list[float], negatives: list[float], dtype: torch.dtype = torch.float64, **settings: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The loss of one anchor by its similarities, and the gradient by those of positives and of negatives."""
    items = torch.tensor([*positives, *negatives], dtype=dtype).unsqueeze(1).requires_grad_()
    relevance = torch.tensor([[1] * len(positives) + [0] * len(negatives)])
    anchor = torch.ones(1, 1, dtype=dtype)
    (loss,) = circle_loss(anchor, relevance, documents=items, normalize=False, **settings)
    gradient = torch.autograd.grad(loss, items)[0].squeeze(1)
    return loss.detach(), gradient[: len(positives)], gradient[len(positives) :]


def closed_form(
    positives: Tensor, negatives: Tensor, margin: float, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The loss and its gradient with constant weights, as the paper has them."""
    of_positives, of_negatives = (
        (1 + margin - positives).clamp_min(0),
        (negatives + margin).clamp_min(0),
    )
    logits = (
        -scale * of_positives * (positives - 1 + margin),
        scale * of_negatives * (negatives - margin),
    )
    loss = torch.log1p(logits[0].exp().sum() * logits[1].exp().sum())
    z = 1 - torch.exp(-loss)
    return (
        loss,
        -z * logits[0].softmax(0) * of_positives * scale,
        z * logits[1].softmax(0) * of_negatives * scale,
    )


@pytest.mark.parametrize("scale", [1.0, 8.0, 64.0])
def test_the_gradient_is_the_closed_form(scale: float, generator: torch.Generator) -> None:
    """For any similarities."""
    for _ in range(20):
        similarities = 2 * torch.rand(7, generator=generator, dtype=torch.float64) - 1
        found = of_row(similarities[:3].tolist(), similarities[3:].tolist(), margin=0.3, scale=scale)
        for one, other in zip(
            found, closed_form(similarities[:3], similarities[3:], 0.3, scale), strict=True
        ):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_weights_with_a_gradient_are_another_loss() -> None:
    """A missing detach changes the gradient of the first positive from -0.17014 to -0.15123; ours has the first."""
    positives, negatives = (
        torch.tensor([0.8, 0.6], dtype=torch.float64).requires_grad_(),
        torch.tensor([0.3, 0.1], dtype=torch.float64),
    )
    attached, _, _ = closed_form(positives, negatives, 0.25, 1.0)
    (wrong,) = torch.autograd.grad(attached, positives)
    loss, gradient, _ = of_row([0.8, 0.6], [0.3, 0.1], margin=0.25, scale=1.0)
    torch.testing.assert_close(loss, attached.detach())
    assert float(wrong[0]) == pytest.approx(-0.1512349, abs=1e-7)
    assert float(gradient[0]) == pytest.approx(-0.1701392, abs=1e-7)


@pytest.mark.parametrize("angle", [0.8, 1.5, 2.5, 3.6, 3.9])
@pytest.mark.parametrize("margin", [0.1, 0.25, 0.4])
def test_one_pair_on_the_circle_has_ln_2(margin: float, angle: float) -> None:
    """s_n^2 + (s_p - 1)^2 = 2 margin^2, where neither weight is cut off at 0."""
    radius = math.sqrt(2) * margin
    positive, negative = 1 + radius * math.cos(angle), radius * math.sin(angle)
    assert positive < 1 + margin and negative > -margin
    loss, _, _ = of_row([positive], [negative], margin=margin, scale=50.0)
    assert float(loss) == pytest.approx(math.log(2), abs=1e-10)


def test_extremes_of_float32() -> None:
    """The largest logits are 1,248; the exponential of 89 is infinite in float32."""
    loss, positive, negative = of_row([-1.0], [1.0], torch.float32, margin=0.25, scale=256.0)
    assert float(loss) == 1248.0
    assert float(positive) == -576.0 and float(negative) == 320.0
    loss, positive, negative = of_row([1.0], [-1.0], torch.float32, margin=0.25, scale=256.0)
    assert float(loss) == pytest.approx(1.12535e-7, rel=1e-3)
    assert float(negative) == 0.0 and float(positive) == pytest.approx(-7.2e-6, rel=1e-2)


@pytest.mark.parametrize(("margin", "scale"), [(0.4, 80.0), (0.25, 256.0)])
@pytest.mark.parametrize("pooling", ["anchor", "batch"])
def test_float32_equals_float64(
    margin: float, scale: float, pooling: str, generator: torch.Generator
) -> None:
    """A large batch: values to 1e-5 of the largest, and the gradient as a whole."""
    rows, labels = torch.randn(400, 32, generator=generator), torch.arange(400) // 4
    found = []
    for leaf in (rows.clone().requires_grad_(), rows.double().requires_grad_()):
        loss = circle_loss(leaf, labels, margin=margin, scale=scale, pooling=pooling)  # pyright: ignore[reportArgumentType]
        found.append((loss.detach().double(), torch.autograd.grad(loss.sum(), leaf)[0].double()))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-5, atol=0)
    difference = torch.linalg.vector_norm(found[0][1] - found[1][1])
    assert float(difference) < 1e-4 * float(torch.linalg.vector_norm(found[1][1]))


def test_the_published_code_pools_all_pairs_trap() -> None:
    """Much-copied code has one logarithm for the batch: 2.911e-6 here, where the mean of anchors is 7.28e-7."""
    rows = torch.tensor([[1.0, 0.0, 0.1], [0.9, 0.3, 0.0], [0.0, 1.0, 0.2], [0.1, 0.8, 0.4]]).double()
    assert float(circle_loss(rows, [0, 0, 1, 1]).mean()) == pytest.approx(7.2776e-7, rel=1e-4)
    assert float(circle_loss(rows, [0, 0, 1, 1], pooling="batch")) == pytest.approx(2.911e-6, rel=1e-3)


def test_names_of_classes_do_not_matter(generator: torch.Generator) -> None:
    """Texts and other numbers of the same partition."""
    rows, labels = torch.randn(6, 3, generator=generator), torch.tensor([1, 0, 1, 2, 0, 0])
    wanted = circle_loss(rows, labels)
    torch.testing.assert_close(circle_loss(rows, ["b", "a", "b", "c", "a", "a"]), wanted)
    torch.testing.assert_close(circle_loss(rows, 7 - 3 * labels), wanted)


def test_under_autocast_it_is_computed_in_float32(generator: torch.Generator) -> None:
    """Logits of 1,248 have no decimals in bfloat16."""
    rows, labels = torch.randn(40, 8, generator=generator), torch.arange(40) // 4
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under = circle_loss(rows, labels)
    torch.testing.assert_close(under, circle_loss(rows, labels))


def test_it_cannot_be_differentiated_twice(generator: torch.Generator) -> None:
    """A second derivative would be wrong in silence: it is refused."""
    rows = torch.randn(4, 3, generator=generator).requires_grad_()
    (first,) = torch.autograd.grad(circle_loss(rows, [0, 0, 1, 1]).sum(), rows, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


def test_all_pairs_of_the_batch_are_another_loss(generator: torch.Generator) -> None:
    """`batch` puts each pair once into one logarithm; by explicit sums over pairs, of labels and of two sides."""
    rows = torch.nn.functional.normalize(torch.randn(7, 3, generator=generator, dtype=torch.float64), dim=1)
    labels, margin, scale = [0, 0, 1, 1, 1, 2, 0], 0.25, 4.0

    def explicit(pairs: list[tuple[float, bool]]) -> float:
        near = sum(math.exp(-scale * max(0, 1 + margin - s) * (s - 1 + margin)) for s, same in pairs if same)
        far = sum(math.exp(scale * max(0, s + margin) * (s - margin)) for s, same in pairs if not same)
        return math.log1p(near * far)

    pairs = [
        (float(rows[one] @ rows[other]), labels[one] == labels[other])
        for one, other in itertools.combinations(range(7), 2)
    ]
    found = circle_loss(rows, labels, margin=margin, scale=scale, pooling="batch")
    assert found.ndim == 0 and float(found) == pytest.approx(explicit(pairs), rel=1e-10)

    relevance = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 1, 1]])
    between = [
        (float(rows[one] @ rows[4 + other]), bool(relevance[one, other]))
        for one, other in itertools.product(range(4), range(3))
    ]
    found = circle_loss(rows[:4], relevance, documents=rows[4:], margin=margin, scale=scale, pooling="batch")
    assert float(found) == pytest.approx(explicit(between), rel=1e-10)


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2], []])
@pytest.mark.parametrize("pooling", ["anchor", "batch"])
def test_without_pairs_of_both_kinds(labels: list[int], pooling: str) -> None:
    """One class, all singletons, nothing: 0, attached to the graph, with zero gradient."""
    rows = torch.randn(len(labels), 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = circle_loss(rows, torch.tensor(labels).long(), pooling=pooling).sum()  # pyright: ignore[reportArgumentType]
    (gradient,) = torch.autograd.grad(loss, rows)
    assert float(loss.detach()) == 0 and not bool(gradient.any())


def test_nan_stays_nan() -> None:
    """One row of NaN reaches every anchor that meets it: all, under either pooling."""
    rows = torch.tensor([[1.0, 0.0], [0.6, 0.8], [torch.nan, 1.0], [0.0, 1.0]])
    assert bool(circle_loss(rows, [0, 0, 1, 1]).isnan().all())
    assert bool(circle_loss(rows, [0, 0, 1, 1], pooling="batch").isnan())


def test_as_an_objective(generator: torch.Generator) -> None:
    """By name: the mean over rows with a positive; one value for the batch where the pooling says so."""
    rows, labels = torch.randn(6, 3, generator=generator), torch.tensor([0, 0, 1, 1, 1, 2])
    wanted = mean_valid(circle_loss(rows, labels, scale=10.0), has_positive(labels))
    torch.testing.assert_close(named_objective("circle", {"scale": 10.0})(rows, labels), wanted)
    found = named_objective("circle", {"pooling": "batch"})(rows, labels)
    torch.testing.assert_close(found, circle_loss(rows, labels, pooling="batch"))


def test_refuses() -> None:
    """Settings that do not fit; a margin beyond all cosines is warned of."""
    rows = torch.eye(3)
    with pytest.raises(InputError, match="scale is 0"):
        circle_loss(rows, [0, 0, 1], scale=0)
    with pytest.raises(InputError, match="margin is nan"):
        circle_loss(rows, [0, 0, 1], margin=float("nan"))
    with pytest.raises(InputError, match="pooling is 'all'"):
        circle_loss(rows, [0, 0, 1], pooling="all")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="2 targets"):
        circle_loss(rows, [0, 0])
    with pytest.warns(UserWarning, match="margin is 1.5"):
        circle_loss(rows, [0, 0, 1], margin=1.5)
