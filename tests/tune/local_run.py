"""A contest as a program of a user, whose cells are trained in processes of this machine.

Run it with: python -m tests.tune.local_run FOLDER PROCESSES [WHAT]
"""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from metricgrad.tune import side_by_side
from tests.tune.side_by_side_run import contest
from tests.tune.small_run import small_model


class Held:
    """Makes the small model. In a worker it says who it is and waits as long as the folder holds `hold`.

    Args:
        folder: where it looks.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def identity_parts(self) -> int:
        """It is the same one wherever it looks."""
        return 0

    def __call__(self, seed: int) -> nn.Module:
        """Return the model of a seed."""
        hold = self.folder / "hold"
        if multiprocessing.parent_process() is not None and hold.exists():
            (self.folder / f"held-{os.getpid()}").touch()
            while hold.exists():
                time.sleep(0.02)
        return small_model(seed)


class Elsewhere:
    """A metric that is another one in every process."""

    def identity_parts(self) -> int:
        """What it is known by."""
        return os.getpid()

    def __call__(self, outputs: Tensor, targets: Tensor) -> float:
        """Some number."""
        return float(outputs.mean())


class TwoWords(Exception):
    """An error that cannot be made again of its text."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


class Coded(Exception):
    """An error that says something else when it is made again of its text."""

    def __init__(self, code: object) -> None:
        super().__init__(f"code {code}")


class Pooling:
    """A proxy loss that begins a pool of processes in a worker, writes down who is in it, and never ends it.

    Args:
        folder: where that is written.
    """

    pools: ClassVar[list[ProcessPoolExecutor]] = []

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def identity_parts(self) -> int:
        """It is the same one wherever it writes."""
        return 0

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Some loss."""
        if multiprocessing.parent_process() is not None and not self.pools:
            self.pools.append(ProcessPoolExecutor(1, multiprocessing.get_context("spawn")))
            (self.folder / f"pool-{self.pools[0].submit(os.getpid).result()}").touch()
        return outputs.square().mean()


def leaving(outputs: Tensor, targets: Tensor) -> Tensor:
    """A proxy loss that ends the program."""
    sys.exit(5)


def failing(outputs: Tensor, targets: Tensor) -> Tensor:
    """A proxy loss with a defect of the user's."""
    raise LookupError("no such class: 7")


def deadly(outputs: Tensor, targets: Tensor) -> Tensor:
    """A proxy loss that kills its process, but not the program."""
    if multiprocessing.parent_process() is not None:
        os.kill(os.getpid(), signal.SIGKILL)
    return outputs.square().mean()


def after(cells: int, act: Callable[[], None]) -> Callable[[Any], None]:
    """An observer that acts once, when at least this many cells have come."""
    acted = False

    def observer(event: Any) -> None:
        nonlocal acted
        if not acted and event["event"] == "progress" and event["unit"] == "cell" and event["done"] >= cells:
            acted = True
            act()

    return observer


def stopped() -> None:
    """Press Ctrl-C, as a terminal does: every process gets it."""
    for child in multiprocessing.active_children():
        assert child.pid is not None
        os.kill(child.pid, signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)


def begun(event: Any) -> None:
    """An observer that ends the program in the middle of the second stage, where one process trains."""
    if event["event"] == "progress" and event["what"] == "seed 0 warm" and event["done"] == 2:
        os.kill(os.getpid(), signal.SIGTERM)


def killed(place: Path) -> Callable[[], None]:
    """Hold the cells and kill the first one that says who it is."""

    def kill() -> None:
        while not (held := list(place.glob("held-*"))):
            time.sleep(0.02)
        os.kill(int(held[0].name.removeprefix("held-")), signal.SIGKILL)
        (place / "hold").unlink()

    def hold() -> None:
        (place / "hold").touch()
        threading.Thread(target=kill, daemon=True).start()

    return hold


WRONG: dict[str, dict[str, Any]] = {
    "failing": {"proxy": failing},
    "elsewhere": {
        "metric": Elsewhere(),
        "methods": ["surrogate:average_precision"],
        "higher_is_better": True,
    },
    "deadly": {"proxy": deadly},
    "leaving": {"proxy": leaving},
}


def main(folder: str, processes: str, what: str = "") -> None:
    """Run one contest; what goes wrong is said in one line, `TYPE: TEXT`, and what that came from in another."""
    torch.set_num_threads(1)
    side_by_side.MOST_LOSSES = 1  # every loss begins a process
    place = Path(folder).parent
    changes: dict[str, Any] = {
        "killed": {"observer": after(3, killed(place))},
        "held": {"observer": after(3, (place / "hold").touch)},
        "stopped": {"observer": after(5, stopped)},
        "begun": {"observer": begun},
        "pooling": {"proxy": Pooling(place)},
        "pooling-stopped": {"proxy": Pooling(place), "observer": after(5, stopped)},
    }.get(what, {})
    if what in WRONG:
        changes = {**WRONG[what], "seeds": 0}
    try:
        contest(Path(folder), model=Held(place), processes=int(processes), **changes)
    except Exception as error:
        assert not multiprocessing.active_children()
        cause = " ".join(str(error.__cause__).split())
        sys.exit(f"{type(error).__name__}: {error}\n{cause}")
    assert not multiprocessing.active_children()


if __name__ == "__main__":
    main(*sys.argv[1:])
