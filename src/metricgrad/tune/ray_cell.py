"""A cell in a worker of Ray: the run is unpacked once, compared with that of the sender, and trained cell by cell.

What comes is pickled by Ray, from the user's program to workers that Ray has started for it; no file is read so. A
worker makes itself like the program that sent the run (folder, path, threads) and checks that it holds the same: model,
data, code, versions.
"""

import importlib
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from metricgrad._records import Budget
from metricgrad.errors import InputError
from metricgrad.tune.cell import Cell, train_cell
from metricgrad.tune.sender import Sender
from metricgrad.tune.setup import Setup
from metricgrad.tune.stage import Stage
from metricgrad.tune.state import RunState
from metricgrad.tune.training import Begun

__all__ = ["Job", "carried_out"]


@dataclass(frozen=True)
class Job:
    """A run as it travels.

    Attributes:
        key: tells it from others.
        setup: pickled.
        sender: the program that sent it.
    """

    key: str
    setup: bytes
    sender: Sender


_held: dict[str, Setup] = {}
"""In a worker: the run that it holds."""


def carried_out(job: list[Any], key: str, stage: Stage, budget: Budget, begun: Begun) -> Cell:
    """Train a cell; this is what a worker calls.

    Args:
        job: a list of one reference to the job: it is fetched where the worker does not hold it yet.
        key: of the job.
        stage: what is trained.
        budget: of the run.
        begun: the weights that it begins with.

    Raises:
        InputError: the node holds another model, other data, code or versions than the program that sent the run.
    """
    if key not in _held:
        ray = importlib.import_module("ray")
        _held.clear()
        _held[key] = _unpacked(ray, ray.get(job[0]))
    return train_cell(stage, _held[key], RunState(budget), begun)


def _unpacked(ray: ModuleType, job: Job) -> Setup:
    """Make this process like the one that sent the job, and check that it holds the same."""
    job.sender.take_over()
    node = ray.util.get_node_ip_address()
    try:
        setup = ray.cloudpickle.loads(job.setup)
    except Exception as error:  # whatever the user's objects raise when they are unpacked
        raise InputError(
            f"ray: the node {node} cannot unpack the run ({type(error).__name__}: "
            f"{' '.join(str(error).split())[:200]}). Expected the same packages and modules on every node."
        ) from error
    job.sender.check(setup, f"ray: the node {node}")
    return setup
