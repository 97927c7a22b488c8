"""The same bits again: what a resumed run needs of PyTorch beside seeds, batches and random states."""

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

__all__ = ["deterministic"]


@contextlib.contextmanager
def deterministic(model: nn.Module) -> Iterator[None]:
    """Use PyTorch's deterministic algorithms for a model on the CPU (`torch.use_deterministic_algorithms`).

    They add in a fixed order where threads would add as they come, and move the last bit: the gradient of
    `rows[index]` is such a place, where a row is taken twice. On other devices nothing changes: there PyTorch would
    refuse or slow down more than that, and no run is promised to the bit. The caller's choice comes back at the end.

    Args:
        model: what is trained.

    Example:
        >>> with deterministic(nn.Linear(2, 2)):
        ...     torch.are_deterministic_algorithms_enabled()
        True
        >>> torch.are_deterministic_algorithms_enabled()
        False
    """
    if any(value.device.type != "cpu" for value in model.parameters()):
        yield
        return
    enabled, warn_only = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    filled = torch.utils.deterministic.fill_uninitialized_memory  # pyright: ignore[reportAttributeAccessIssue]
    torch.use_deterministic_algorithms(True, warn_only=warn_only or not enabled)
    if (
        not enabled
    ):  # costs a pass over every new tensor, for the sake of programs that read what they never wrote
        torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
        torch.utils.deterministic.fill_uninitialized_memory = filled  # pyright: ignore[reportAttributeAccessIssue]
