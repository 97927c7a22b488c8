"""Something that is measured, and the conditions that it runs under."""

import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

__all__ = ["Contestant", "on_threads"]


class Contestant(NamedTuple):
    """Something that is measured.

    Attributes:
        name: as in the table and on the command line.
        line: what it is, in one line.
        prepare: from the problem to the call that is timed.
        floats: about how many float32 numbers it keeps at its peak, from batch and dimensions.
        power: its time grows like batch ** power.
        package: what must be importable, or None.
        kernel: value of METRICGRAD_KERNEL while it runs, or None for the user's.
        threads: of torch while it runs, or None for as many as there are.
    """

    name: str
    line: str
    prepare: Callable[[Any], Callable[[], Any]]
    floats: Callable[[int, int], float] = lambda batch, dims: 0.0
    power: int = 2
    package: str | None = None
    kernel: str | None = None
    threads: int | None = None

    @property
    def importable(self) -> bool:
        """Whether the package that it needs is installed."""
        return self.package is None or importlib.util.find_spec(self.package) is not None

    @contextmanager
    def conditions(self) -> Iterator[None]:
        """Set its kernel and its threads, and what was set before afterwards."""
        kernel = os.environ.get("METRICGRAD_KERNEL")
        if self.kernel is not None:
            os.environ["METRICGRAD_KERNEL"] = self.kernel
        try:
            with on_threads(self.threads or torch.get_num_threads()):
                yield
        finally:
            if kernel is not None:
                os.environ["METRICGRAD_KERNEL"] = kernel
            else:
                os.environ.pop("METRICGRAD_KERNEL", None)

    def call(self, problem: Any) -> Callable[[], Any]:
        """Prepare the problem; returns the call that is timed, which runs under the conditions."""
        prepared = self.prepare(problem)

        def run() -> Any:
            with self.conditions():
                return prepared()

        return run


@contextmanager
def on_threads(count: int) -> Iterator[None]:
    """Let torch use so many threads, and as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
