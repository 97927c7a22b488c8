"""The start model of a task that comes trained: weights in the package, written by a script of the repository."""

from pathlib import Path
from typing import TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from metricgrad._checks import fail

__all__ = ["started"]

Network = TypeVar("Network", bound=nn.Module)


def started(network: Network, path: Path, *, task: str) -> Network:
    """Load the start weights into a network and return it, in eval.

    Args:
        network: of the shape that the weights are for.
        path: safetensors file that `scripts/train_TASK.py` wrote.
        task: its name.

    Raises:
        InputError: no such file, or not the weights of this network.
    """
    try:
        network.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise fail(
            f"task {task}",
            f"the start model {path} cannot be read ({type(error).__name__}: {error})",
            "the weights of this version's network",
            f"Install the package again, or train the start model again: python scripts/train_{task}.py",
        ) from error
    return network.eval()
