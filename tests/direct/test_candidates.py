"""Lists of outputs with a task loss each."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from metricgrad.direct.brute_force import BruteForce
from metricgrad.direct.candidates import Candidates, candidate_losses, gumbel_candidates
from metricgrad.direct.direct_loss import DirectLoss
from metricgrad.errors import InputError
from tests.direct.test_brute_force import hold


def listed(unit: tuple[Tensor, Tensor], shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Every candidate that is there, and its loss."""
    losses, there = unit
    return torch.eye(*shape, dtype=torch.float64)[there], losses[there]


@st.composite
def cases(draw: st.DrawFn) -> tuple[Tensor, Tensor, Tensor]:
    """Scores, losses and mask of up to three queries; ties abound."""
    size = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    count = size[0] * size[1]
    numbers = st.lists(st.integers(-2, 2), min_size=count, max_size=count)
    scores, losses = (torch.tensor(draw(numbers), dtype=torch.float64).reshape(size) / 2 for _ in range(2))
    there = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    return scores, losses, torch.tensor(there).reshape(size)


@given(cases())
@settings(max_examples=25)
def test_equals_enumeration(case: tuple[Tensor, Tensor, Tensor]):
    """Both signs, ties, masks, losses of any sign."""
    scores, losses, mask = case
    hold(Candidates(), BruteForce(listed), scores, losses, mask)
    torch.testing.assert_close(Candidates().defined(scores, losses, mask=mask), mask.any(1))


def test_what_is_masked_does_not_matter():
    """Not even NaN, in scores or losses; a query without candidates has value 0 and no gradient."""
    scores = torch.tensor([[1.0, torch.nan, 0.5], [torch.nan] * 3], dtype=torch.float64, requires_grad=True)
    losses = torch.tensor([[0.5, torch.inf, 0.0], [0.1, 0.2, 0.3]])
    mask = torch.tensor([[True, False, True], [False] * 3])
    values, defined = DirectLoss(Candidates(), epsilon=2.0).per_unit(scores, losses, mask)
    values.sum().backward()
    # M+ = 1 + 2 * 0.5 at the first, M- = 0.5 - 0 at the third
    torch.testing.assert_close(values, torch.tensor([(2.0 - 0.5) / 4, 0.0], dtype=torch.float64))
    assert defined.tolist() == [True, False]
    torch.testing.assert_close(scores.grad, torch.tensor([[0.25, 0, -0.25], [0, 0, 0]]).double())


def test_losses_of_candidates():
    """One call of Python for each, over lists or tensors."""

    def distance(candidate: Tensor, target: Tensor) -> float:
        return (candidate != target).double().mean().item()

    candidates = torch.tensor([[[0, 1], [1, 1]], [[1, 0], [0, 0]]])
    targets = torch.tensor([[0, 1], [1, 1]])
    expected = torch.tensor([[0.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
    torch.testing.assert_close(candidate_losses(distance, candidates, targets), expected)
    listed = candidate_losses(lambda one, other: abs(len(one) - len(other)), [["a", "abc"]], ["ab"])
    torch.testing.assert_close(listed, torch.ones(1, 2, dtype=torch.float64))
    assert candidate_losses(distance, [], []).shape == (0, 0)


def test_gumbel_draws():
    """The prediction first, then draws from the softmax of every token; scores are the logits' sums."""
    logits = torch.tensor([[[0.0, 1.0, -1.0], [2.0, 0.0, 0.0]]]).requires_grad_()
    drawn, scores = gumbel_candidates(logits, 4001, generator=torch.Generator().manual_seed(0))
    assert drawn[0, 0].tolist() == [1, 0]
    one_hot = torch.nn.functional.one_hot(drawn, 3)  # [unit, candidate, token, class]
    torch.testing.assert_close(scores, (one_hot * logits[:, None]).sum((2, 3)))
    torch.testing.assert_close(one_hot[0, 1:].float().mean(0), logits[0].softmax(1), atol=0.03, rtol=0)
    weights = torch.arange(4001.0)
    (scores * weights).sum().backward()
    expected = (one_hot * weights[:, None, None]).sum(1).to(logits.dtype)
    torch.testing.assert_close(logits.grad, expected)


def test_gumbel_draws_follow_their_generator():
    """One seed, one list; the count of units and tokens may be 0."""
    logits = torch.zeros(2, 3, 5)
    first, again, other = (
        gumbel_candidates(logits, 4, generator=torch.Generator().manual_seed(seed))[0] for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    for empty in (logits[:0], logits[:, :0]):
        drawn, scores = gumbel_candidates(empty, 4)
        assert drawn.shape == (len(empty), 4, empty.shape[1])
        torch.testing.assert_close(scores, torch.zeros(len(empty), 4))
    assert gumbel_candidates(logits, 1)[0].shape == (2, 1, 3)


def test_training_finds_the_better_symbol():
    """Draws, their losses and the update together lower the expected loss of a sampled output."""
    logits = torch.zeros(4, 2, 3, requires_grad=True)
    targets = torch.arange(8).reshape(4, 2) % 3
    generator = torch.Generator().manual_seed(3)
    criterion = DirectLoss(Candidates(), epsilon=2.0)
    optimiser = torch.optim.SGD([logits], lr=1.0)
    for _ in range(12):
        candidates, scores = gumbel_candidates(logits, 6, generator=generator)
        losses = candidate_losses(lambda one, other: (one != other).sum().item(), candidates, targets)
        optimiser.zero_grad()
        (4 * criterion(scores, losses)).backward()
        optimiser.step()
    assert torch.equal(logits.argmax(2), targets)


SCORES, LOSSES = torch.zeros(2, 3), torch.ones(2, 3)


@pytest.mark.parametrize(
    ("scores", "losses", "mask", "message"),
    [
        (SCORES[0], LOSSES[0], None, r"floating-point tensor \(query, candidate\)"),
        (SCORES.long(), LOSSES, None, "int64"),
        (SCORES[:, :0], LOSSES[:, :0], None, "at least one candidate"),
        (SCORES, LOSSES[:, :2], None, "`candidate_losses` computes them"),
        (SCORES, LOSSES.long(), None, "a floating-point task loss"),
        (SCORES / 0, LOSSES, None, "scores has NaN"),
        (SCORES, LOSSES / 0, None, "targets has NaN"),
        (SCORES, LOSSES, LOSSES, "mask is"),
        (SCORES, LOSSES, LOSSES[:, :2].bool(), r"bool of the shape \(2, 3\)"),
    ],
)
def test_bad_input(scores: Tensor, losses: Tensor, mask: Tensor | None, message: str):
    """What came and what was expected."""
    with pytest.raises(InputError, match=message):
        DirectLoss(Candidates(), epsilon=1.0)(scores, losses, mask)


def test_bad_lists():
    """Lists that do not fit, losses that are none, logits that are none."""
    with pytest.raises(InputError, match="1 lists of candidates came with 2 targets"):
        candidate_losses(lambda one, other: 0.0, [["a"]], ["a", "b"])
    with pytest.raises(InputError, match="lists of 1 to 2 candidates"):
        candidate_losses(lambda one, other: 0.0, [["a"], ["a", "b"]], ["a", "b"])
    with pytest.raises(InputError, match="first in row 1"):
        candidate_losses(lambda one, other: float(other), [["a"], ["a"]], ["0", "nan"])
    with pytest.raises(InputError, match="count is 0"):
        gumbel_candidates(torch.zeros(1, 1, 2), 0)
    for logits, message in (
        (torch.zeros(1, 2), r"\(unit, token, class\)"),
        (torch.zeros(1, 2, 0), "at least one class"),
        (torch.full((1, 1, 2), torch.inf), "logits has NaN or infinite"),
    ):
        with pytest.raises(InputError, match=message):
            gumbel_candidates(logits, 2)
