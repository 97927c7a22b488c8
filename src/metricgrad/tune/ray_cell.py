"""A cell in a worker of Ray: the run is unpacked once, compared with that of the sender, and trained cell by cell.

What comes is pickled by Ray, from the user's program to workers that Ray has started for it; no file is read so. A
worker makes itself like the program that sent the run (folder, path, threads) and checks that it holds the same: model,
data, code, versions.
"""

import contextlib
import importlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch

from metricgrad._records import Budget
from metricgrad.errors import InputError
from metricgrad.tune.cell import Cell, train_cell
from metricgrad.tune.contents import contents_of
from metricgrad.tune.identity import differing, identity_of
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
        identity: of the run: a worker must find the same.
        folder: the current one of the program, for relative paths.
        path: where the program imports from.
        threads: of each cell.
        dtype: of new tensors.
    """

    key: str
    setup: bytes
    identity: Mapping[str, Any]
    folder: str
    path: list[str]
    threads: int
    dtype: torch.dtype


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
    with contextlib.suppress(OSError):  # another machine may not have it: then no path is relative to it
        os.chdir(job.folder)
    sys.path += [place for place in job.path if place not in sys.path]
    torch.set_num_threads(job.threads)
    torch.set_default_dtype(job.dtype)
    node = ray.util.get_node_ip_address()
    try:
        setup = ray.cloudpickle.loads(job.setup)
    except Exception as error:  # whatever the user's objects raise when they are unpacked
        raise InputError(
            f"ray: the node {node} cannot unpack the run ({type(error).__name__}: "
            f"{' '.join(str(error).split())[:200]}). Expected the same packages and modules on every node."
        ) from error
    mine = identity_of(setup, contents_of(setup.splits, lambda event: None), {}, None)
    mine["found"] = {**job.identity["found"], **mine["found"]}  # facts are told, not found
    if different := differing([job.identity, mine]):
        raise InputError(
            f"ray: the node {node} does not hold the same as the program that sent the run: "
            f"{', '.join(different)} differ. Expected the same versions, code and files on every node."
        )
    return setup
