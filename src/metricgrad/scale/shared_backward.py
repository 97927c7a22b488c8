"""The gradient of one global batch, computed by several processes that embed a part of it each."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from metricgrad._checks import LARGEST_WHOLE
from metricgrad.scale.chunk import rows_of, taken
from metricgrad.scale.gather import gather_rows, sum_gradients
from metricgrad.scale.processes import Processes
from metricgrad.scale.random_state import devices_of, random_state, restore_random_state
from metricgrad.scale.staged_backward import StagedBackward, refuse_change

__all__ = ["SharedBackward"]


class SharedBackward:
    """Add the gradient of a loss on a global batch to `.grad`, the same on every process (exact gradient).

    Args:
        model: one encoder, with the same weights on every process.
        loss: as in `StagedBackward`; computed by every process, on the embeddings of all.
        parameters: those whose gradients are summed over the processes.
        chunk: rows that a process embeds at once; None for its whole part.
        seed: of what the model draws (dropout): every process and step draws other numbers.
        processes: see `joined`.

    Attributes:
        staged: the staged step on the part of this process.

    Edge cases:
        What the loss draws is the same on every process, and the same as with one. What the model draws is not what
        one process would draw. Fewer rows than processes: some embed an empty batch.

    Gradient:
        Equal to that of one process up to rounding, where the model draws nothing.

    Cost:
        The embeddings of the global batch and the gradients travel once a step.

    Reference:
        [gao2021gradcache]; [patel2022recall] for the size of batches.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Callable[..., Tensor],
        *,
        parameters: Sequence[nn.Parameter],
        chunk: int | Literal["auto"] | None,
        seed: int,
        processes: Processes,
    ) -> None:
        self.loss, self.parameters, self.seed, self.processes = loss, parameters, seed, processes
        self.staged = StagedBackward(
            model, self._loss_of_all, chunk=LARGEST_WHOLE if chunk is None else chunk
        )
        self._devices, self._in_chunks = devices_of([model]), chunk is not None
        self._rows, self._shared = 0, random_state()

    def __call__(self, inputs: Any, targets: Any, *, step: int) -> Float[Tensor, ""]:
        """Add the gradient of the loss to `.grad` and return the loss, detached.

        Args:
            inputs: the global batch, the same on every process.
            targets: of the global batch.
            step: number of the step, for the random numbers of the model.

        Returns:
            The loss; NaN on every process where it is not finite on one, so that all of them end there.

        Raises:
            InputError: as in `StagedBackward`.
            ProcessLost: another process has ended.
        """
        rank, size = self.processes.rank, self.processes.size
        self._rows = rows_of("SharedBackward", inputs)
        self._shared = random_state(self._devices)
        words = np.random.SeedSequence((self.seed, step, rank)).generate_state(1, np.uint64)
        torch.manual_seed(int(words[0] >> np.uint64(1)))
        try:
            value, changed = self.staged.added(taken(inputs, rank, self._rows, size), targets)
        finally:
            restore_random_state(self._shared)
        if self._in_chunks:  # a part may be one chunk here and two there: all processes ask, and all refuse
            refuse_change(self.processes.largest(int(changed)) > 0)
        sum_gradients(self.parameters)
        somewhere = self.processes.largest(int(not torch.isfinite(value)))
        return torch.full_like(value, torch.nan) if somewhere else value

    def _loss_of_all(self, embeddings: Tensor, targets: Any) -> Tensor:
        """The loss of the gathered rows, under the random states that all processes share."""
        own = random_state(self._devices)
        restore_random_state(self._shared)
        try:
            return self.loss(gather_rows(embeddings, rows=self._rows), targets)
        finally:
            self._shared = random_state(self._devices)
            restore_random_state(own)
