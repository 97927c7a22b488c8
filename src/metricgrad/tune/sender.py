"""What a process that trains for another one takes over from it, and whether both then hold the same run."""

import contextlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from metricgrad.errors import InputError
from metricgrad.tune.contents import contents_of
from metricgrad.tune.identity import differing, identity_of
from metricgrad.tune.setup import Setup

__all__ = ["Sender"]


@dataclass(frozen=True)
class Sender:
    """The process that sends a run, as far as others must be like it.

    Attributes:
        identity: of its run.
        folder: its current one, for relative paths.
        path: where it imports from.
        threads: of each cell.
        dtype: of new tensors.
        precision: of products of float32 matrices.
    """

    identity: Mapping[str, Any]
    folder: str
    path: list[str]
    threads: int
    dtype: torch.dtype
    precision: str

    @classmethod
    def of(cls, identity: Mapping[str, Any]) -> "Sender":
        """Return this process as the sender of a run."""
        return cls(
            identity,
            os.getcwd(),
            list(sys.path),
            torch.get_num_threads(),
            torch.get_default_dtype(),
            torch.get_float32_matmul_precision(),
        )

    def take_over(self) -> None:
        """Make this process like the sender."""
        with contextlib.suppress(OSError):  # another machine may not have it: then no path is relative to it
            os.chdir(self.folder)
        sys.path += [place for place in self.path if place not in sys.path]
        torch.set_num_threads(self.threads)
        torch.set_default_dtype(self.dtype)
        torch.set_float32_matmul_precision(self.precision)

    def check(self, setup: Setup, who: str) -> None:
        """Raise InputError where this process holds other data, code or versions; `who` says which process it is."""
        mine = identity_of(setup, contents_of(setup.splits, lambda event: None), {}, None)
        mine["found"] = {**self.identity["found"], **mine["found"]}  # facts are told, not found
        if different := differing([self.identity, mine]):
            raise InputError(
                f"{who} does not hold the same as the program that sent the run: {', '.join(different)} differ. "
                "Expected the same versions, code and files in every process."
            )
