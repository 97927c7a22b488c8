"""A run adds in a fixed order: the same bits with several threads, also in a user's model."""

import pytest
import torch
from torch import Tensor, nn

from metricgrad.tune import Plan, Result, tune
from metricgrad.tune.checkpoint import load_weights
from metricgrad.tune.deterministic import deterministic
from tests.tune.small_run import small_splits


@pytest.fixture
def _four_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


class Gathering(nn.Module):
    """Takes every row of a wide layer many times, whose gradient threads would add as they come."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(12, 8)

    def forward(self, inputs: Tensor) -> Tensor:
        """Embed."""
        assert torch.are_deterministic_algorithms_enabled() or not self.training
        rows = self.layer(inputs)
        again = torch.arange(4096 * len(rows)) % len(rows)
        return (rows[again].view(4096, *rows.shape) * torch.linspace(0.1, 1, 4096)[:, None, None]).mean(0)


@pytest.mark.usefixtures("_four_threads")
def test_gradients_have_the_same_bits():
    """Rows that are taken many times get the same gradient each time."""
    rows, weights = torch.randn(100, 64), torch.randn(50_000, 64)
    index = torch.arange(len(weights)) % len(rows)
    found = []
    with deterministic(nn.Linear(1, 1)):
        for _ in range(5):
            leaf = rows.clone().requires_grad_()
            found.append(torch.autograd.grad((leaf[index] * weights).sum(), leaf)[0])
    assert all(torch.equal(found[0], other) for other in found[1:])


@pytest.mark.usefixtures("_four_threads")
def test_a_run_has_the_same_bits(tmp_path):
    """Two runs of a model that takes rows again and again end with the same weights."""
    for name in ("one", "other"):
        tune(
            lambda seed: Gathering(),
            small_splits(),
            metric="recall@1",
            proxy="supcon",
            folder=tmp_path / name,
            plan=Plan(steps=6, evaluate_every=3),
            observer=lambda event: None,
        )
    assert Result.load(tmp_path / "one").events[-1]["event"] == "finished"
    for path in sorted((tmp_path / "one" / "arms").iterdir()):
        one, other = (load_weights(tmp_path / name / "arms" / path.name) for name in ("one", "other"))
        assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize(("enabled", "warn_only"), [(False, False), (True, False), (True, True)])
def test_the_callers_choice_comes_back(enabled: bool, warn_only: bool):
    """Whatever was chosen before stands again, also after an exception."""
    torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
    try:
        with pytest.raises(KeyError), deterministic(nn.Linear(1, 1)):
            assert torch.are_deterministic_algorithms_enabled()
            assert torch.is_deterministic_algorithms_warn_only_enabled() == (warn_only or not enabled)
            raise KeyError
        assert torch.are_deterministic_algorithms_enabled() == enabled
        assert torch.is_deterministic_algorithms_warn_only_enabled() == warn_only
        assert torch.utils.deterministic.fill_uninitialized_memory
    finally:
        torch.use_deterministic_algorithms(False)


def test_other_devices_are_left_alone():
    """Only the CPU promises bits."""
    with deterministic(nn.Linear(1, 1, device="meta")):
        assert not torch.are_deterministic_algorithms_enabled()
