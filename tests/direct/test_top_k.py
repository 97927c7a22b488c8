"""The set of the k best."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from metricgrad.direct.brackets import bracket
from metricgrad.direct.brute_force import BruteForce
from metricgrad.direct.direct_loss import DirectLoss
from metricgrad.direct.top_k import LOSSES, TopK
from metricgrad.errors import InputError
from metricgrad.metrics import retrieval
from tests.direct.test_brute_force import hold

BREAK_EVEN = "precision_recall_break_even"


def made(metric: str, k: int) -> TopK:
    """The structure; the last metric takes no k."""
    return TopK(metric) if metric == BREAK_EVEN else TopK(metric, k=k)


def selections(metric: str, k: int) -> BruteForce:
    """Every set of the right size among the items that are there, and its loss from the definition."""

    def listed(unit: tuple[Tensor, Tensor], shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        relevant, there = unit
        items = there.nonzero()[:, 0].tolist()
        positives = [item for item in items if relevant[item]]
        size = len(positives) if metric == BREAK_EVEN else min(k, len(items))
        features, losses = [], []
        for chosen in itertools.combinations(items, size):
            found = len(set(chosen) & set(positives))
            features.append([float(item in chosen) for item in range(*shape)])
            losses.append(
                float(found == 0)
                if metric == "hit_at_k"
                else 1 - found / max(1, size)
                if metric == "precision_at_k"
                else 1 - found / len(positives)
                if positives
                else 0.0
            )
        return torch.tensor(features).reshape(-1, *shape), torch.tensor(losses, dtype=torch.float64)

    return BruteForce(listed)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Tensor, Tensor, Tensor, int]:
    """Scores, relevance, mask and k of up to three queries of up to five items; ties abound."""
    size = draw(st.integers(1, 3)), draw(st.integers(1, 5))
    count = size[0] * size[1]
    rows = [
        torch.tensor(draw(st.lists(numbers, min_size=count, max_size=count))).reshape(size)
        for numbers in (st.integers(-1, 1), st.booleans(), st.sampled_from([True, True, False]))
    ]
    return rows[0].double() / 2, rows[1], rows[2], draw(st.integers(1, 6))


@pytest.mark.parametrize("metric", LOSSES)
@given(case=cases())
@settings(max_examples=15)
def test_equals_enumeration(metric: str, case: tuple[Tensor, Tensor, Tensor, int]):
    """Both signs, ties, masks, k beyond the items; the loss of the prediction is the mean over tied sets."""
    scores, targets, mask, k = case
    structure, every = made(metric, k), selections(metric, k)
    hold(structure, every, scores, targets, mask)
    prediction, _ = structure.predict(scores, targets=targets, mask=mask)
    mean = every.task_loss(prediction, list(zip(targets, mask, strict=True)))
    torch.testing.assert_close(structure.task_loss(prediction, targets, mask=mask), mean)


@pytest.mark.parametrize("metric", ["precision_at_k", "recall_at_k", "hit_at_k"])
def test_loss_is_the_metric(metric: str):
    """1 - L of the prediction is the exact metric."""
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(30, 9, generator=generator, dtype=torch.float64)
    targets = torch.rand(30, 9, generator=generator) < 0.4
    structure = TopK(metric, k=3)
    prediction, _ = structure.predict(scores)
    exact = getattr(retrieval, metric)(scores, targets, k=3)
    some = targets.any(1)
    torch.testing.assert_close(1 - structure.task_loss(prediction, targets)[some], exact[some].double())


def test_undefined_queries():
    """Without items nothing is defined; without positives recall and break-even are not, and L is 0 there."""
    scores = torch.zeros(3, 4)
    targets = torch.tensor([[0, 1, 0, 1], [0, 0, 0, 0], [1, 1, 1, 1]])
    mask = torch.tensor([[True], [True], [False]]).expand(3, 4)
    for metric in LOSSES:
        structure, of_positives = made(metric, 2), metric in ("recall_at_k", BREAK_EVEN)
        defined = structure.defined(scores, targets, mask=mask)
        assert defined.tolist() == [True, not of_positives, False]
        prediction, _ = structure.predict(scores, targets=targets, mask=mask)
        assert (prediction[2] == 0).all()
        loss = structure.task_loss(prediction, targets, mask=mask)
        assert loss[1].item() == (0 if of_positives else 1)
        values, _ = DirectLoss(structure, epsilon=1.0).per_unit(scores, targets, mask)
        assert values[1:].tolist() == [loss[1].item(), 0]
    assert TopK("hit_at_k", k=1).predict(scores[:, :0])[0].shape == (3, 0)
    assert TopK("hit_at_k", k=1).augment(scores[:, :0], targets[:, :0], epsilon=1.0, sign=1)[1].shape == (3,)


@pytest.mark.parametrize("metric", [name for name in LOSSES if name != "hit_at_k"])
def test_black_box_is_the_negative_update(metric: str):
    """The loss is linear in the membership: gradients are equal; the value is the loss of the prediction."""
    generator = torch.Generator().manual_seed(1)
    scores = torch.randn(20, 8, generator=generator, dtype=torch.float64)
    targets = (torch.rand(20, 8, generator=generator) < 0.4).long()
    mask = torch.rand(20, 8, generator=generator) < 0.8
    structure = made(metric, 3)
    value, slopes = structure.blackbox(scores, targets, strength=2.0, mask=mask)
    found = bracket(structure, "neg", scores, targets, epsilon=2.0, mask=mask)
    torch.testing.assert_close(slopes[found.defined], found.gradient[found.defined])
    assert (slopes != 0).any()
    prediction, _ = structure.predict(scores, targets=targets, mask=mask)
    torch.testing.assert_close(value, structure.task_loss(prediction, targets, mask=mask))
    with pytest.raises(InputError, match="hit_at_k is not linear"):
        TopK("hit_at_k", k=3).blackbox(scores, targets, strength=1.0)


def test_hinge_is_above_the_loss():
    """Max (F + L) - F(positives first) >= L; 0 where the positives lead by more than the loss."""
    generator = torch.Generator().manual_seed(2)
    scores = torch.randn(20, 6, generator=generator, dtype=torch.float64)
    targets = (torch.rand(20, 6, generator=generator) < 0.5).long()
    for metric in LOSSES:
        structure = made(metric, 2)
        hinge, defined = DirectLoss(structure, update="hinge").per_unit(scores, targets)
        loss = structure.task_loss(structure.predict(scores, targets=targets)[0], targets)
        assert (hinge >= loss - 1e-12)[defined].all()
        statistic, value = structure.ideal(scores, targets)
        torch.testing.assert_close((statistic * scores).sum(1), value)
        perfect = 10 * targets.double() + scores.clamp(-1, 1)
        hinge, _ = DirectLoss(structure, update="hinge").per_unit(perfect, targets)
        least = structure.task_loss(statistic, targets)
        torch.testing.assert_close(hinge[defined], least[defined])


SCORES, TARGETS = torch.zeros(2, 3), torch.tensor([[1, 0, 0]] * 2)


@pytest.mark.parametrize(
    ("scores", "targets", "mask", "message"),
    [
        (SCORES[0], TARGETS, None, r"floating-point tensor \(query, item\)"),
        (SCORES, TARGETS[:, :2], None, "expected one 0 or 1 for every score"),
        (SCORES, TARGETS + 1, None, "targets hold 2"),
        (SCORES / 0, TARGETS, None, "NaN"),
        (SCORES, TARGETS, TARGETS, "mask is"),
    ],
)
def test_bad_input(scores: Tensor, targets: Tensor, mask: Tensor | None, message: str):
    """What came and what was expected."""
    with pytest.raises(InputError, match=message):
        DirectLoss(TopK("recall_at_k", k=1), epsilon=1.0)(scores, targets, mask)


@pytest.mark.parametrize(
    ("metric", "k", "message"),
    [
        ("recall_at_j", 1, "Did you mean 'recall_at_k'"),
        ("recall_at_k", None, "k = None; expected a whole number >= 1"),
        ("recall_at_k", 0, "k = 0"),
        ("recall_at_k", 1.5, "k = 1.5"),
        ("recall_at_k", True, "k = True"),
        (BREAK_EVEN, 3, "expected none: the set has as many items as positives"),
    ],
)
def test_bad_structure(metric: str, k: int | None, message: str):
    """Refused at construction; break-even cannot predict without knowing how many positives there are."""
    with pytest.raises(InputError, match=message):
        TopK(metric, k=k)
    with pytest.raises(InputError, match="came without targets"):
        TopK(BREAK_EVEN).predict(SCORES)
