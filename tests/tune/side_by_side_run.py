"""A small contest whose cells are trained by workers that a test holds in its hand: any order, any loss."""

import contextlib
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from metricgrad._records import Budget
from metricgrad.tune import Comparison, Contender, Plan, compare
from metricgrad.tune.cell import train_cell
from metricgrad.tune.setup import Setup
from metricgrad.tune.side_by_side import Arrived
from metricgrad.tune.stage import Stage
from metricgrad.tune.state import RunState
from metricgrad.tune.training import Begun
from tests.tune.small_run import small_model, small_splits

Key = tuple[int, str, int]
"""Seed, arm, try."""


class HandWorkers:
    """Workers in this process that train one cell at each look, as an order says.

    Args:
        order: from the number of cells that are away to the place of the one that comes back.
        lost: called with what is to be trained; true where its worker dies.
        trained: receives the key of every cell that was trained to its end.
        looked: called at each look, before anything is trained.
    """

    described = "the cells are trained by hand"

    def __init__(
        self,
        order: Callable[[int], int] = lambda count: count - 1,
        *,
        lost: Callable[[Stage], bool] = lambda stage: False,
        trained: Callable[[Key], None] = lambda key: None,
        looked: Callable[[], None] = lambda: None,
    ) -> None:
        self.order, self.lost, self.trained, self.looked = order, lost, trained, looked
        self.setup: Setup | None = None
        self.away: list[tuple[Stage, Begun, Budget]] = []

    def send(self, stage: Stage, begun: Begun, budget: Budget) -> None:
        """Remember what is to be trained."""
        self.away.append((stage, begun, budget))

    def arrived(self, seconds: float) -> tuple[list[Arrived], Sequence[str]]:
        """Train one cell, or lose it."""
        self.looked()
        stage, begun, budget = self.away.pop(self.order(len(self.away)))
        if self.lost(stage):
            return [Arrived(stage, None, "it was killed")], []
        assert self.setup is not None
        torch.rand(3)  # what a worker has done before changes nothing
        cell = train_cell(stage, self.setup, RunState(budget), begun)
        self.trained((stage.seed, stage.arm, stage.attempt))
        return [Arrived(stage, cell)], []


def contest(folder: Path | None, workers: HandWorkers | None = None, **changes: Any) -> Comparison:
    """Two contenders, a control and a trained start; two seeds, two tries: 14 cells, here or by workers."""
    arguments: dict[str, Any] = {
        "metric": "recall@1",
        "methods": [
            Contender("warm", "surrogate:recall_at_k"),
            Contender("hot", "surrogate:recall_at_k", {"objective": {"temperature": 0.2}}),
        ],
        "controls": ["continued"],
        "proxy": "supcon",
        "seeds": (0, 1),
        "plan": Plan(steps=4, evaluate_every=2, checkpoint_every=2, resamples=100, tries=2),
        "start_plan": Plan(steps=2, evaluate_every=2),
        "folder": folder,
        "observer": lambda event: None,
    }
    with working(workers):
        return compare(changes.pop("model", small_model), small_splits(), **(arguments | changes))


@contextlib.contextmanager
def working(workers: HandWorkers | None) -> Iterator[None]:
    """Let `compare` give its cells to these workers."""

    @contextlib.contextmanager
    def crew(setup: Setup, identity: Any) -> Iterator[HandWorkers]:
        assert workers is not None
        workers.setup = setup
        yield workers

    @contextlib.contextmanager
    def crew_at(address: str | None) -> Iterator[Any]:
        yield None if workers is None else crew

    with patch.object(sys.modules["metricgrad.tune.compare"], "crew_at", crew_at):
        yield


def killed(folder: str, log: str) -> None:
    """The contest with cells in some order, as a program that the tests kill; what was trained goes into a file."""
    torch.set_num_threads(1)

    def write(key: Key) -> None:
        with Path(log).open("a", encoding="utf-8") as file:
            file.write(f"seed{key[0]}-{key[1]}-try{key[2]}\n")

    draws = random.Random(3)
    contest(Path(folder), HandWorkers(draws.randrange, trained=write), seeds=0)
