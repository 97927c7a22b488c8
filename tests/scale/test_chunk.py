"""The chunk that fits into a budget: what autograd keeps of a row, measured."""

import pytest
import torch
from torch import Tensor, nn

from metricgrad.errors import InputError
from metricgrad.scale import fitting_chunk


def test_counts_what_a_row_keeps() -> None:
    """ReLU keeps its output, and the next layer keeps the same storage: it counts once; weights do not count."""
    model = nn.Sequential(nn.Linear(8, 1000), nn.ReLU(), nn.Linear(1000, 2))
    assert fitting_chunk(model, torch.zeros(64, 8), memory=10 * 4000) == 10
    assert fitting_chunk(model.double(), torch.zeros(64, 8).double(), memory=10 * 4000) == 5


@pytest.mark.parametrize("rows", [1, 2, 3, 64])
def test_any_number_of_rows_may_be_probed(rows: int) -> None:
    """Also a batch smaller than the probe; the chunk may be larger than the batch it was measured on."""
    model = nn.Sequential(nn.Linear(8, 1000), nn.ReLU(), nn.Linear(1000, 2))
    assert fitting_chunk(model, torch.zeros(rows, 8), memory=100 * 4000) in (
        99,
        100,
    )  # one row: its input counts


def test_tiny_budget_gives_one_row() -> None:
    """A row that exceeds the budget is still taken alone."""
    assert fitting_chunk(nn.Sequential(nn.Linear(8, 1000), nn.ReLU()), torch.zeros(64, 8), memory=1) == 1


def test_nothing_saved_means_all_rows() -> None:
    """A model whose backward pass needs no activation takes the batch whole."""
    assert fitting_chunk(nn.Linear(8, 3), torch.zeros(64, 8), memory=1) == 64


def test_random_states_and_gradients_are_untouched() -> None:
    """The probe draws dropout masks and puts the random state back; no gradient comes of it."""
    model = nn.Sequential(nn.Linear(8, 100), nn.Dropout(0.5), nn.Tanh())
    torch.manual_seed(3)
    drawn = torch.rand(3)
    torch.manual_seed(3)
    fitting_chunk(model, torch.zeros(64, 8), memory=1000)
    torch.testing.assert_close(torch.rand(3), drawn, rtol=0, atol=0)
    assert all(value.grad is None for value in model.parameters())


def test_peak_memory_follows_the_budget() -> None:
    """What a forward pass of the chosen chunk keeps is the budget, to a row."""
    model = nn.Sequential(*(nn.Sequential(nn.Linear(64, 64), nn.GELU()) for _ in range(6)))
    inputs = torch.zeros(5000, 64)
    chunk = fitting_chunk(model, inputs, memory=2**20)
    storages: dict[int, tuple[int, Tensor]] = {}

    def keep(value: Tensor) -> Tensor:
        storages[value.untyped_storage().data_ptr()] = (value.untyped_storage().nbytes(), value)
        return value

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        output = model(inputs[:chunk])
    own = {value.untyped_storage().data_ptr() for value in (inputs, *model.parameters())}
    total = sum(size for pointer, (size, _) in storages.items() if pointer not in own)
    assert output.requires_grad
    assert total <= 2**20 < total * (chunk + 1) / chunk


@pytest.mark.parametrize("memory", [0, -1, float("nan")])
def test_wrong_budget(memory: float) -> None:
    """A budget is positive."""
    with pytest.raises(InputError, match="memory is"):
        fitting_chunk(nn.Linear(2, 2), torch.zeros(3, 2), memory=memory)


def test_no_rows() -> None:
    """Nothing can be measured on nothing."""
    with pytest.raises(InputError, match="empty"):
        fitting_chunk(nn.Linear(2, 2), torch.zeros(0, 2))
