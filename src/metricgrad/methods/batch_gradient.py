"""The gradient of an objective over a batch, which is whole, larger than memory (in chunks), or shared by processes."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from metricgrad._checks import fail
from metricgrad._structures import moved, tensors_of
from metricgrad._types import MethodRun
from metricgrad._user_code import called, embedded
from metricgrad.methods.given_loss import require_gradient
from metricgrad.pairing import TwoTowers
from metricgrad.scale import SharedBackward, StagedBackward, current
from metricgrad.scale.chunk import device_of

__all__ = ["BatchGradient"]


class BatchGradient:
    """Adds the gradient of the mean objective of a batch to the parameters.

    Args:
        run: what the method was given: network, size of a chunk, seed.
        objective: `(outputs, targets) -> Tensor`, a scalar or one value per unit (then averaged).

    Attributes:
        measured: rows at once for every encoder, where the size of a chunk was measured; else empty.
    """

    def __init__(self, run: MethodRun, objective: Callable[[Any, Any], Tensor]) -> None:
        self.model, self.objective = run.model, objective
        parameters = list(run.parameters.values())
        self.device = parameters[0].device
        self.shared = self.staged = None
        towers = run.model.towers if isinstance(run.model, TwoTowers) else None
        if towers is not None and current().size > 1:
            raise fail(
                "TwoTowers",
                f"{current().size} processes",
                "one process: pairs are not shared out among several",
            )
        if current().size > 1:
            self.shared = SharedBackward(
                run.model,
                objective,
                parameters=parameters,
                chunk=run.chunk,
                seed=run.seed,
                processes=current(),
            )
            self.staged = self.shared.staged
        elif run.chunk is not None and towers is not None:
            self.staged = StagedBackward(towers, self._of_sides, chunk=run.chunk)
        elif run.chunk is not None:
            self.staged = StagedBackward(run.model, objective, chunk=run.chunk)

    def __call__(self, inputs: Any, targets: Any, *, step: int) -> Tensor:
        """Add the gradient; returns the mean objective before the step of this number."""
        if self.shared is not None:
            return self.shared(inputs, moved(targets, self.device), step=step)
        if self.staged is not None:
            return self.staged(inputs, moved(targets, self.device))
        outputs = embedded(self.model, moved(inputs, device_of(self.model)))
        device = next((value.device for value in tensors_of(outputs)), self.device)
        loss = self.objective(outputs, moved(targets, device))
        loss = loss if loss.ndim == 0 else loss.mean()
        require_gradient("training", loss, outputs)
        called(
            "the backward pass", loss.backward, expected="a loss and a network that torch can differentiate"
        )
        return loss

    def _of_sides(self, queries: Tensor, documents: Tensor, targets: Any) -> Tensor:
        """The objective of embeddings that came tower by tower; a tower without weights left them where they were."""
        return self.objective({"query": queries, "document": documents.to(queries.device)}, targets)

    @property
    def measured(self) -> Mapping[str, int]:
        """A copy of what was measured."""
        return {} if self.staged is None else dict(self.staged.measured)

    @measured.setter
    def measured(self, sizes: Mapping[str, int]) -> None:
        if self.staged is not None:
            self.staged.measured = dict(sizes)
