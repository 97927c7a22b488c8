"""A contest as a program of a user, for the tests of Ray: its network says where it runs.

Run it with: python -m tests.integrations.ray_run FOLDER ADDRESS|here [WHAT]
"""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from metricgrad.errors import InputError
from metricgrad.tune import Comparison, Plan, compare
from tests.tune.small_run import small_splits


class Telling(nn.Module):
    """Passes on what comes. Where the folder holds `hold`, it says who its parent is and waits until that is gone."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.folder = folder

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the inputs."""
        hold = Path(self.folder) / "hold"
        if hold.exists():
            (hold.parent / f"held-{os.getppid()}").touch()
            while hold.exists():
                time.sleep(0.02)
        return inputs


def failing(outputs: Tensor, targets: Tensor) -> Tensor:
    """A proxy loss with a defect of the user's."""
    raise LookupError("no such class: 7")


class Elsewhere:
    """A metric that is another one in every process."""

    def identity_parts(self) -> int:
        """What it is known by."""
        return os.getpid()

    def __call__(self, outputs: Tensor, targets: Tensor) -> float:
        """Some number."""
        return float(outputs.mean())


class Locked(Elsewhere):
    """A metric that cannot be sent anywhere."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def identity_parts(self) -> int:
        """What it is known by."""
        return 0


def contest(folder: Path, told: Path, **changes: Any) -> Comparison:
    """Two contenders and a control, two seeds, a start that is trained: 8 cells."""
    told.mkdir(exist_ok=True)
    torch.manual_seed(0)
    model = nn.Sequential(Telling(str(told)), nn.Linear(12, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 8))
    arguments: dict[str, Any] = {
        "metric": "recall@1",
        "methods": ["surrogate:recall_at_k", "surrogate:average_precision"],
        "controls": ["continued"],
        "proxy": "supcon",
        "seeds": (0, 1),
        "plan": Plan(steps=6, evaluate_every=3, checkpoint_every=2, resamples=200),
        "start_plan": Plan(steps=4, evaluate_every=2),
        "folder": folder,
        "observer": lambda event: None,
    }
    return compare(model, small_splits(), **(arguments | changes))


def held(told: Path) -> Any:
    """An observer from whose third cell on every cell waits in the network, once."""

    def observer(event: Any) -> None:
        if event["event"] == "progress" and event["unit"] == "cell" and event["done"] == 3:
            with contextlib.suppress(FileExistsError):
                (told / "was held").touch(exist_ok=False)
                (told / "hold").touch()

    return observer


def interrupted(event: Any) -> None:
    """An observer that presses Ctrl-C after the third cell."""
    if event["event"] == "progress" and event["unit"] == "cell" and event["done"] == 3:
        os.kill(os.getpid(), signal.SIGINT)


def refused(folder: Path, address: str) -> Iterator[str]:
    """Ask for what no cluster can do: a metric with a lock, one that is another in every process, too many threads."""
    own = {"methods": ["surrogate:average_precision"], "higher_is_better": True, "ray": address}
    for number, changes in enumerate(({"metric": Locked(), **own}, {"metric": Elsewhere(), **own}, own)):
        torch.set_num_threads(1 + number // 2)
        try:
            contest(folder / str(number), folder / "told", **changes)
        except InputError as error:
            yield str(error)


def main(folder: str, address: str, what: str = "") -> None:
    """Run one contest; what goes wrong is said in one line, `TYPE: TEXT`."""
    torch.set_num_threads(1)
    told = Path(folder).with_name(f"{Path(folder).name}-told")
    changes: dict[str, Any] = {
        "held": {"observer": held(told)},
        "interrupted": {"observer": interrupted},
        "failing": {"proxy": failing},
    }.get(what, {})
    if what == "refused":
        Path(folder).mkdir()
        sys.exit("\n".join(refused(Path(folder), address)))
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    if what == "connected":
        import ray

        ray.init(address=address, log_to_driver=False, logging_level="CRITICAL")
        contest(Path(folder), told, ray="auto")
        assert ray.is_initialized()
        ray.shutdown()
        return
    try:
        contest(Path(folder), told, ray=None if address == "here" else address, **changes)
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {error}")
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert address == "here" or not sys.modules["ray"].is_initialized()


if __name__ == "__main__":
    main(*sys.argv[1:])
