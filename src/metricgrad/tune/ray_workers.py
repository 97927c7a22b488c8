"""Cells as tasks of a Ray cluster: how a run travels there, where there is room, what comes back."""

import contextlib
import functools
import time
import uuid
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import torch

from metricgrad._checks import fail
from metricgrad._records import Budget
from metricgrad.tune.contest import Crew
from metricgrad.tune.ray_cell import Job, carried_out
from metricgrad.tune.ray_cluster import connected
from metricgrad.tune.sender import Sender
from metricgrad.tune.setup import Setup
from metricgrad.tune.side_by_side import Arrived
from metricgrad.tune.stage import Stage
from metricgrad.tune.training import Begun

__all__ = ["RayWorkers", "crew_at"]

SECONDS_BETWEEN_LOOKS = 10.0
"""How often it is looked whether some node can take a cell at all."""


@contextlib.contextmanager
def crew_at(address: str | None) -> Iterator[Crew | None]:
    """Connect to a Ray cluster and return what trains the cells of a run there; None without an address.

    Args:
        address: `auto` or `HOST:PORT`; see `connected`.

    Raises:
        MissingExtraError, InputError: as `connected`.
    """
    with connected(address) as ray:
        yield None if ray is None else functools.partial(_working, ray)


@contextlib.contextmanager
def _working(ray: ModuleType, setup: Setup, identity: Mapping[str, Any]) -> Iterator["RayWorkers"]:
    """Have the cells of a run trained; at the end nothing of it goes on there."""
    workers = RayWorkers(ray, setup, identity)
    try:
        yield workers
    finally:
        workers.close()


class RayWorkers:
    """Workers that a Ray cluster starts.

    Args:
        ray: the module, connected.
        setup: of the run.
        identity: of the run.

    Raises:
        InputError: model, data or metric cannot be pickled, or no node has room for a cell.
    """

    def __init__(self, ray: ModuleType, setup: Setup, identity: Mapping[str, Any]) -> None:
        self._ray, self._threads = ray, torch.get_num_threads()
        if self._room() < self._threads:
            raise fail(
                "ray",
                f"a cluster whose largest node has {self._room():g} CPUs",
                f"{self._threads}: a cell trains with as many threads as this process has, which decide its last bits",
                f"Set OMP_NUM_THREADS={max(1, int(self._room()))}, or start nodes with more (ray start --num-cpus).",
            )
        nodes = self._nodes()
        self.described = (
            f"the cells are trained on a Ray cluster (nodes: {len(nodes)}, CPUs: {sum(nodes):g}), each with as many "
            f"threads as this process has: {self._threads}"
        )
        job = Job(uuid.uuid4().hex, _packed(ray, setup), Sender.of(identity))
        self._job = ray.put(job)
        self._key = job.key
        gpus = int(identity["found"]["device"] == "cuda")
        self._task = ray.remote(num_cpus=self._threads, num_gpus=gpus, max_retries=0)(carried_out)
        self._begun: dict[int, Any] = {}
        self._away: dict[Any, Stage] = {}
        self._failed: BaseException | None = None
        self._looked, self._full = time.monotonic(), False

    def send(self, stage: Stage, begun: Begun, budget: Budget) -> None:
        """Have a cell trained as soon as a node has room."""
        if stage.role == "start":
            reference = begun
        elif stage.seed not in self._begun:
            reference = self._begun[stage.seed] = self._ray.put(begun)
        else:
            reference = self._begun[stage.seed]
        self._away[self._task.remote([self._job], self._key, stage, budget, reference)] = stage

    def arrived(self, seconds: float) -> tuple[list[Arrived], list[str]]:
        """Wait for cells, not longer than this; return those that came, and sentences for the record."""
        if self._failed is not None:
            raise self._failed
        away = list(self._away)
        self._ray.wait(away, timeout=seconds)
        done, _ = self._ray.wait(away, num_returns=len(away), timeout=0)
        came = [one for one in map(self._taken, done) if one is not None]
        if self._failed is not None and not came:
            raise self._failed
        return came, [] if done else self._waiting()

    def _taken(self, reference: Any) -> Arrived | None:
        """What became of a cell; None where the user's code raised, which is kept for the next call."""
        stage = self._away.pop(reference)
        try:
            return Arrived(stage, self._ray.get(reference))
        except self._ray.exceptions.RayTaskError as error:  # raised by what the worker called
            cause = error.cause if isinstance(error.cause, Exception) else error
            cause.__cause__ = None if cause is error else error
            self._failed = self._failed or cause
            return None
        except self._ray.exceptions.RayError as error:  # worker or node is gone, and what it gave with it
            return Arrived(stage, None, type(error).__name__)

    def _waiting(self) -> list[str]:
        """Say once where no node that is left can take a cell."""
        if time.monotonic() - self._looked < SECONDS_BETWEEN_LOOKS:
            return []
        self._looked = time.monotonic()
        before, self._full = self._full, self._room() < self._threads
        if before or not self._full:
            return []
        return [
            f"no node of the cluster has the {self._threads} CPUs of a cell any more: the run waits for one"
        ]

    def _room(self) -> float:
        """CPUs of the largest node that lives."""
        return max(self._nodes(), default=0.0)

    def _nodes(self) -> list[float]:
        """CPUs of every node that lives."""
        return [node["Resources"].get("CPU", 0.0) for node in self._ray.nodes() if node["Alive"]]

    def close(self) -> None:
        """End the cells that are under way."""
        for reference in self._away:
            self._ray.cancel(reference, force=True)
        self._away, self._begun = {}, {}


def _packed(ray: ModuleType, setup: Setup) -> bytes:
    try:
        return ray.cloudpickle.dumps(setup)
    except Exception as error:  # whatever the user's objects raise when they are pickled
        raise fail(
            "ray",
            f"the run cannot be sent to another process ({type(error).__name__}: {' '.join(str(error).split())[:200]})",
            "model, splits, metric and losses that can be pickled",
            "Files, locks and generators cannot be; without a cluster everything stays in this process.",
        ) from error
