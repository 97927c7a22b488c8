"""Keep and restore what a forward pass draws random numbers from, so that it can be run a second time."""

import random
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["RandomState", "devices_of", "random_state", "restore_random_state"]


class RandomState(NamedTuple):
    """States of the global generators of python, numpy, torch on the CPU and torch on other devices."""

    python: Any
    numpy: Any
    cpu: Tensor
    devices: dict[torch.device, Tensor]


def devices_of(models: Iterable[nn.Module]) -> set[torch.device]:
    """Return the devices other than the CPU that parameters lie on: each has a generator of its own."""
    return {value.device for model in models for value in model.parameters()} - {torch.device("cpu")}


def random_state(devices: Iterable[torch.device] = ()) -> RandomState:
    """Return the random states now."""
    return RandomState(
        random.getstate(),
        np.random.get_state(),  # noqa: NPY002 (layer drop and augmentation draw from the global state)
        torch.get_rng_state(),
        {device: torch.get_device_module(device).get_rng_state(device) for device in devices},
    )


def restore_random_state(state: RandomState) -> None:
    """Restore what `random_state` returned."""
    random.setstate(state.python)
    np.random.set_state(state.numpy)  # noqa: NPY002
    torch.set_rng_state(state.cpu)
    for device, value in state.devices.items():
        torch.get_device_module(device).set_rng_state(value, device)
