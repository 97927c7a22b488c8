"""A run whose arms only rotate: it keeps plain weights, goes on after a stop, and is known by its plan."""

import math
import os
import signal
from typing import Any

import pytest
import torch

from metricgrad.adapters import hyperspherical_energy
from metricgrad.errors import Interrupted, RunFolderError
from metricgrad.tune import Plan
from metricgrad.tune.checkpoint import load_weights
from tests.tune.small_run import figures, same_weights, small_model, small_run

PLAN = Plan(steps=12, evaluate_every=4, checkpoint_every=3, trainable="orthogonal")
ARMS = [f"seed0-{arm}-try0.safetensors" for arm in ("start", "continued", "tuned")]


def test_weights_are_merged_and_turned_only(tmp_path) -> None:
    """Arms load as plain networks; their weights are turned, angles and norms are the start's, biases do not move."""
    result = small_run(tmp_path / "run", plan=PLAN, seed=0)
    start, *arms = (load_weights(tmp_path / "run" / "arms" / name) for name in ARMS)
    assert result.weights().keys() == start.keys() == small_model().state_dict().keys()
    for weights in arms:
        small_model().load_state_dict(weights)
        for name in ("0.weight", "4.weight"):
            assert not torch.allclose(weights[name], start[name])  # noqa: TID251
            torch.testing.assert_close(weights[name].norm(dim=1), start[name].norm(dim=1))
            torch.testing.assert_close(
                hyperspherical_energy(weights[name]), hyperspherical_energy(start[name]), rtol=1e-4, atol=0
            )
        torch.testing.assert_close(weights["4.bias"], start["4.bias"], rtol=0, atol=0)


@pytest.mark.slow
def test_a_stopped_run_goes_on_bit_for_bit(tmp_path) -> None:
    """The checkpoint keeps weights and rotations apart."""
    small_run(tmp_path / "whole", plan=PLAN, seed=0)
    seen: list[Any] = []

    def stop_once(event) -> None:
        seen.extend([event] if event["event"] == "progress" else [])
        if len(seen) == 16:  # between two checkpoints of an arm
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        small_run(tmp_path / "stopped", plan=PLAN, seed=0, observer=stop_once)
    result = small_run(tmp_path / "stopped", plan=PLAN, seed=0)
    assert same_weights(tmp_path / "whole", tmp_path / "stopped") == []
    assert all(math.isfinite(float(value)) for value in figures(result))


def test_another_plan_is_another_run(tmp_path) -> None:
    """The folder is known by what its arms may move."""
    small_run(tmp_path / "run", plan=PLAN, seed=0)
    with pytest.raises(RunFolderError, match="plan differ"):
        small_run(tmp_path / "run", plan=PLAN.model_copy(update={"trainable": "all"}), seed=0)
