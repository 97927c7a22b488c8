"""Settings are numbers: whatever spells one is taken, whatever would lose a gradient is refused."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from metricgrad._checks import finite_number, positive_number, require_ks, tensor_of, whole_number
from metricgrad.errors import InputError
from metricgrad.learned import FilteredSurrogate, LearnedSurrogate, ramp_filter
from metricgrad.losses import ndcg_loss, precision_at_k_loss, recall_at_k_loss, supcon_loss
from metricgrad.pairing import ClassBatchSampler, MemoryQueue, SiMix, unit_rows
from metricgrad.ranking import RankingLoss, positive_ranks
from metricgrad.relax import positive_ranks_from_scores, soft_ranks
from metricgrad.scale import StagedBackward

ROWS, LABELS = torch.randn(8, 4, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 2
SAME = LABELS[:, None] == LABELS
HALVES = torch.tensor([0.5], dtype=torch.float16)
HALF = [0.5, np.float32(0.5), np.array([0.5]), torch.tensor(0.5), HALVES, Fraction(1, 2)]
TWO = [2, np.int64(2), np.uint8(2), np.array(2), torch.tensor(2), torch.tensor([2])]


@pytest.mark.parametrize("value", HALF, ids=lambda value: type(value).__name__)
def test_what_stands_for_a_number_is_one(value):
    """Numbers, numpy scalars and tensors without a gradient."""
    for number in (finite_number("f", "x", value), positive_number("f", "x", value)):
        assert number == 0.5 and type(number) is float


@pytest.mark.parametrize("value", TWO, ids=lambda value: type(value).__name__)
def test_whole_numbers(value):
    """Also as a cut-off, alone or in a sequence."""
    number = whole_number("f", "x", value)
    assert number == 2 and type(number) is int
    assert require_ks("f", value) == (2,) and require_ks("f", [1, value]) == (1, 2)


@pytest.mark.parametrize(
    "value", [None, "x", True, np.bool_(1), 1j, [1], {}, torch.ones(2), np.ones(3), 10**400]
)
def test_what_is_no_number_is_refused(value):
    """In one sentence, not in a TypeError."""
    for check in (finite_number, positive_number, whole_number):
        with pytest.raises(InputError, match="f: x is"):
            check("f", "x", value)


@pytest.mark.parametrize(
    "k", [[], 0, -1, 1.5, "5", [1, True], np.nan, np.inf, torch.tensor([1.0, 0.5]), None, [[1]]]
)
def test_what_is_no_cut_off_is_refused(k):
    """No cut-off, one below 1, a fraction, a text."""
    with pytest.raises(InputError, match="f: k is"):
        require_ks("f", k)


def test_cut_offs_of_numpy_and_torch(generator):
    """Several at once give the loss of a tuple."""
    ranks = positive_ranks(ROWS, LABELS, temperature=0.1)
    expected = recall_at_k_loss(ranks, k=(1, 2), cutoff_temperature=(1.0, 2.0))
    for kind in (np.array, torch.tensor, list):
        found = recall_at_k_loss(ranks, k=kind([1, 2]), cutoff_temperature=kind([1.0, 2.0]))
        torch.testing.assert_close(found, expected)


def ranks_of(**settings):
    """Ranks of eight rows."""
    return positive_ranks(ROWS, LABELS, **({"temperature": 0.1} | settings))


LEARNED = {
    "RankingLoss": lambda value: RankingLoss(recall_at_k_loss, temperature=value),
    "positive_ranks": lambda value: ranks_of(temperature=value),
    "from scores": lambda value: positive_ranks_from_scores(ROWS @ ROWS.T, SAME, temperature=value),
    "soft_ranks": lambda value: soft_ranks(ROWS, temperature=value),
    "supcon": lambda value: supcon_loss(ROWS, LABELS, temperature=value),
    "supcon base": lambda value: supcon_loss(ROWS, LABELS, base_temperature=value),
    "cut-off": lambda value: recall_at_k_loss(ranks_of(), cutoff_temperature=value),
    "cut-offs": lambda value: precision_at_k_loss(ranks_of(), k=(1, 2), cutoff_temperature=[1.0, value]),
    "offset": lambda value: recall_at_k_loss(ranks_of(), offset=value),
    "offset of ndcg": lambda value: ndcg_loss(ranks_of(), k=2, offset=value),
    "gains": lambda value: ndcg_loss(ranks_of(), gains=value.expand(8, 3)),
    "epsilon": lambda value: LearnedSurrogate(nn.Identity(), epsilon=value),
    "filter": lambda value: FilteredSurrogate(nn.Identity(), full_below=value),
    "ramp": lambda value: ramp_filter(torch.zeros(2), full_below=0.1, zero_above=value),
}


@pytest.mark.parametrize("name", LEARNED)
def test_a_setting_that_asks_for_a_gradient_is_refused(name):
    """A parameter, or what is computed from one; the same number without a gradient is taken."""
    parameter = nn.Parameter(torch.tensor(0.3))
    for value in (parameter, parameter.exp()):
        with pytest.raises(InputError, match=r"asks? for a gradient"):
            LEARNED[name](value)
    LEARNED[name](parameter.detach() if name == "gains" else parameter.item())


@pytest.mark.parametrize("value", HALF[:5], ids=lambda value: type(value).__name__)
def test_a_temperature_of_any_kind(value):
    """The losses take what stands for a number, and show it as one."""
    criterion = RankingLoss(recall_at_k_loss, temperature=value)
    assert criterion.temperature == 0.5 and type(criterion.temperature) is float
    assert torch.equal(criterion(ROWS, LABELS), RankingLoss(recall_at_k_loss, temperature=0.5)(ROWS, LABELS))
    assert torch.equal(
        supcon_loss(ROWS, LABELS, temperature=value), supcon_loss(ROWS, LABELS, temperature=0.5)
    )
    assert torch.equal(soft_ranks(ROWS, temperature=value), soft_ranks(ROWS, temperature=0.5))


@pytest.mark.parametrize("criterion", ["recall", "supcon", "scores"])
def test_a_temperature_is_learned_as_the_message_says(criterion, generator):
    """Rows divided by its square root, or scores by it, and a temperature of 1: same value, and a gradient."""
    rows = unit_rows(torch.randn(8, 4, generator=generator, dtype=torch.float64))
    relevance = SAME.clone().fill_diagonal_(False)

    def of_scores(scores, temperature):
        return recall_at_k_loss(positive_ranks_from_scores(scores, relevance, temperature=temperature)).mean()

    def loss(value):
        scaled = rows / value.sqrt()
        return {
            "recall": lambda: RankingLoss(recall_at_k_loss, temperature=1, normalize=False)(scaled, LABELS),
            "supcon": lambda: supcon_loss(scaled, LABELS, temperature=1, normalize=False).mean(),
            "scores": lambda: of_scores(rows @ rows.T / value, 1),
        }[criterion]()

    value = torch.tensor(0.2, dtype=torch.float64, requires_grad=True)
    expected = {
        "recall": lambda: RankingLoss(recall_at_k_loss, temperature=0.2)(rows, LABELS),
        "supcon": lambda: supcon_loss(rows, LABELS, temperature=0.2).mean(),
        "scores": lambda: of_scores(rows @ rows.T, 0.2),
    }[criterion]()
    torch.testing.assert_close(loss(value), expected)
    assert torch.autograd.gradcheck(loss, value)


def test_whole_settings_of_numpy():
    """A sampler, a queue, SiMix and a staged step take numpy's whole numbers, and refuse fractions."""
    whole = np.int64(2)
    assert len(ClassBatchSampler(LABELS, classes_per_batch=whole, samples_per_class=whole)) == 2
    assert MemoryQueue(whole, whole).rows.shape == (2, 2)
    assert len(SiMix(pairs_per_class=whole).draw(LABELS).share) == 4
    assert StagedBackward(nn.Linear(2, 2), supcon_loss, chunk=whole).chunk == 2
    for refused in (
        lambda: ClassBatchSampler(LABELS, classes_per_batch=1.5, samples_per_class=2),
        lambda: MemoryQueue("4", 2),
        lambda: SiMix(pairs_per_class=0),
        lambda: StagedBackward(nn.Linear(2, 2), supcon_loss, chunk=True),
    ):
        with pytest.raises(InputError, match="whole number"):
            refused()


NUMBERS = np.arange(6.0).reshape(2, 3)
READ_ONLY = np.broadcast_to(NUMBERS, (2, 3))


@pytest.mark.parametrize(
    "value",
    [NUMBERS.tolist(), NUMBERS[::-1].copy()[::-1], NUMBERS.astype(">f8"), READ_ONLY, torch.from_numpy(NUMBERS)],
    ids=["lists", "reversed", "bytes the other way round", "read-only", "tensor"],
)  # fmt: skip
def test_whatever_holds_numbers_is_a_tensor(value):
    """Without a warning of numpy or torch."""
    assert torch.equal(tensor_of("f", "x", value, "numbers"), torch.from_numpy(NUMBERS))


@pytest.mark.parametrize(
    "value",
    [None, "a", [["a"]], [[1], [1, 2]], {}, 1j, torch.eye(2).to_sparse(), np.ma.array([1, 2], mask=[0, 1]), 10**30],
)  # fmt: skip
def test_what_holds_none_is_refused(value):
    """In one sentence, whatever numpy or torch say of it."""
    with pytest.raises(InputError, match=r"^f: x are .*; expected numbers"):
        tensor_of("f", "x", value, "numbers")
