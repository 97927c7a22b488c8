"""Settings of every arm are tried before anything is trained or written."""

from pathlib import Path
from typing import Any

import pytest
import torch

from metricgrad.errors import InputError
from metricgrad.methods.decodes import named_direct
from metricgrad.methods.objectives import named_objective
from metricgrad.metrics import adapt
from metricgrad.tune import Plan
from tests.tune.small_run import small_run

WRONG: list[tuple[str, dict[str, Any]]] = [
    ("settings", {"objective": {"k": "abc"}}),
    ("settings", {"objective": {"k": [1, "x"]}}),
    ("settings", {"objective": {"k": {}}}),
    ("settings", {"objective": {"k": -3}}),
    ("settings", {"objective": {"temperature": "hot"}}),
    ("settings", {"objective": {"temperature": [0.1]}}),
    ("settings", {"objective": {"temperature": -1}}),
    ("settings", {"objective": {"cutoff_temperature": None}}),
    ("settings", {"objective": {"step": "cubic"}}),
    ("settings", {"objective": {"simix": {"pairs_per_class": "many"}}}),
    ("settings", {"learning_rate": True}),
    ("settings", {"learning_rate": "0.1"}),
    ("settings", {"gradient_clip": float("nan")}),
    ("settings", {"proxy_weight": 0.1, "proxy": {"temperature": {}}}),
    ("proxy_settings", {"objective": {"temperature": "abc"}}),
    ("proxy_settings", {"objective": {"temperature": 0}}),
    ("start_settings", {"objective": {"temperature": None}}),
    ("plan", {"trainable": "nonsense"}),
    ("plan", {"trainable": ","}),
    ("start_plan", {"trainable": "no.such.module"}),
    ("start_plan", {"minutes": 1}),
]


@pytest.mark.parametrize(("where", "given"), WRONG)
def test_settings_that_cannot_work_are_refused_at_once(
    tmp_path: Path, where: str, given: dict[str, Any]
) -> None:
    """Before the first stage, and without a folder."""
    value = Plan(**given) if "plan" in where else given
    with pytest.raises(InputError):
        small_run(tmp_path / "run", **{where: value})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("f_beta", {"beta": "two"}), ("average_precision", {"update": "left"}), ("average_precision", {"moved": "abc"}),
        ("error_rate", {"moved": -1}), ("multiclass", {"update": 3}), ("ndcg", {"epsilon": []}),
    ],
)  # fmt: skip
def test_settings_of_direct_losses(name: str, settings: dict[str, Any]) -> None:
    """The same of a loss that decodes."""
    with pytest.raises(InputError):
        named_direct(name, adapt("accuracy"), settings)


def test_a_trial_draws_nothing() -> None:
    """The random state is as it was, also where the loss draws (simix)."""
    state = torch.get_rng_state()
    named_objective("recall_at_k", {"k": 1, "simix": True, "temperature": 0.1})
    named_direct("average_precision", adapt("average_precision"), {"moved": 0.1})
    assert torch.equal(torch.get_rng_state(), state)
