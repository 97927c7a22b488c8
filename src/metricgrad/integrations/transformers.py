"""The Trainer of Hugging Face transformers: a loss of ours in it, exact metrics beside it, and its networks in `tune`.

Nothing of transformers is imported: outputs of its networks are read by name.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from metricgrad._checks import fail
from metricgrad._forward import forward
from metricgrad._structures import form
from metricgrad._types import Metric
from metricgrad.integrations.gathering import of_all_processes, processes
from metricgrad.methods.objectives import named_objective
from metricgrad.metrics import adapt

__all__ = ["OutputOf", "loss_for_trainer", "metrics_for_trainer"]

IGNORED = -100
"""The label of what does not count, in transformers and in our losses of classes."""


class OutputOf(nn.Module):
    """A network that returns one part of the outputs of another one, as `tune` and our losses take them.

    The weights stay those of the network inside: `result.model.network` is it, tuned.

    Args:
        network: any network that returns a `ModelOutput` or another mapping.
        part: the name of the part, `logits`, `pooler_output`, ...; or a function outputs -> tensor.

    Example:
        >>> class Network(nn.Module):
        ...     def forward(self, input_ids):
        ...         return {"logits": input_ids.float(), "attentions": ()}
        >>> OutputOf(Network())({"input_ids": torch.tensor([[1, 2]])})
        tensor([[1., 2.]])
    """

    def __init__(self, network: nn.Module, part: str | Callable[[Any], Tensor] = "logits") -> None:
        super().__init__()
        self.network, self.part = network, part

    def forward(self, inputs: Any) -> Tensor:
        """Return the part for the inputs of a batch: a dict goes to the network by name, anything else by place.

        Raises:
            InputError: the network returns no such part.
        """
        return _part("OutputOf", forward(self.network, inputs), self.part)


def loss_for_trainer(
    loss: str | Callable[[Any, Any], Tensor],
    *,
    part: str | Callable[[Any], Tensor] = "logits",
    gather_across_devices: bool = False,
    **settings: Any,
) -> Callable[..., Tensor]:
    """Return a loss as `Trainer(..., compute_loss_func=)` takes it.

    Args:
        loss: the name of one of ours without `_loss` ("soft_counts", "supcon", "recall_at_k", ...), or any
            callable `(outputs, targets) -> loss`: a `RankingLoss`, a `DirectLoss`, a function. One value per unit is
            averaged. A module with parameters of its own is not trained by the Trainer.
        part: which part of the outputs it takes: `logits`, `pooler_output`, ...; or a function outputs -> tensor.
        gather_across_devices: with several processes: take the outputs and labels of all of them, for a loss that
            compares rows. The gradient is that of one process with the whole batch. Else each process has the loss of
            its own rows.
        **settings: of a loss by name; see `metricgrad explain NAME`.

    Returns:
        `(outputs, labels, num_items_in_batch=None) -> loss`. With gradient accumulation the Trainer divides by
        nothing and says how many labels all small batches hold together; each small batch then counts by its share.
        That equals the loss of the large batch where the loss is a mean over labels. A ranking loss compares only the
        rows of a small batch, of all processes where they are gathered.

    Raises:
        InputError: there is no such loss or setting; the loss has parameters; when called: no labels, no such part, or
            rows of processes that differ in shape.

    Example:
        >>> compute_loss = loss_for_trainer("focal", gamma=0.0)
        >>> compute_loss({"logits": torch.zeros(2, 2)}, torch.tensor([0, 1]))
        tensor(0.6931)
        >>> compute_loss({"logits": torch.zeros(2, 2)}, torch.tensor([0, 1]), num_items_in_batch=4)
        tensor(0.3466)
    """
    objective = _objective(loss, settings)

    def compute_loss(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> Tensor:
        if labels is None:
            raise fail(
                "loss_for_trainer",
                "the batch has no labels",
                "a column `labels`",
                "TrainingArguments(remove_unused_columns=False) keeps columns that the network does not take.",
            )
        rows, shared = _part("loss_for_trainer", outputs, part), 1
        if gather_across_devices:
            rows = of_all_processes("loss_for_trainer", "outputs", rows)
            labels, shared = of_all_processes("loss_for_trainer", "labels", labels), processes()
        mean = objective(rows, labels).mean()
        if num_items_in_batch is None:
            return mean
        # The Trainer multiplies by the number of processes, as each is to give its share of the loss of all labels.
        return mean * (labels != IGNORED).sum() / (shared * num_items_in_batch)

    return compute_loss


def metrics_for_trainer(
    *metrics: Any, higher_is_better: bool | None = None
) -> Callable[[Any], dict[str, float]]:
    """Return exact metrics as `Trainer(..., compute_metrics=)` takes them.

    Args:
        *metrics: names ("f1", "recall@1") or whatever `tune(metric=)` takes.
        higher_is_better: direction of metrics that do not tell their own.

    Returns:
        `EvalPrediction -> {name: value}`. The Trainer puts `eval_` before each name. Predictions of several parts: the
        first one is measured.

    Raises:
        InputError: a metric is unknown, or none is given.

    Example:
        >>> import numpy as np
        >>> from types import SimpleNamespace
        >>> seen = SimpleNamespace(predictions=np.array([[2.0, 1.0], [0.0, 1.0]]), label_ids=np.array([0, 0]))
        >>> metrics_for_trainer("accuracy")(seen)
        {'accuracy': 0.5}
    """
    if not metrics:
        raise fail("metrics_for_trainer", "there is no metric", "at least one")
    records: list[Metric] = [adapt(metric, higher_is_better=higher_is_better) for metric in metrics]

    def compute_metrics(seen: Any) -> dict[str, float]:
        outputs = seen.predictions[0] if isinstance(seen.predictions, tuple) else seen.predictions
        outputs, labels = torch.as_tensor(outputs), torch.as_tensor(seen.label_ids)
        return {record.name: float(record.summarise(record.measure(outputs, labels))) for record in records}

    return compute_metrics


def _objective(
    loss: str | Callable[[Any, Any], Tensor], settings: Mapping[str, Any]
) -> Callable[[Any, Any], Tensor]:
    if isinstance(loss, str):
        objective = named_objective(loss, settings, complete=True)
        if hasattr(objective, "begin"):
            came = f"{loss} asks for facts of a run, or remembers something between steps"
            raise fail(
                "loss_for_trainer", came, "a loss of a batch alone", "Give its function with these facts."
            )
        return objective
    if settings:
        came = f"settings {settings} came for a callable"
        raise fail("loss_for_trainer", came, "none: set them where you make the callable")
    if isinstance(loss, nn.Module) and any(value.requires_grad for value in loss.parameters()):
        came = f"{type(loss).__name__} has parameters, which the Trainer does not train"
        raise fail("loss_for_trainer", came, "a loss without any", "Make it a part of the network.")
    return loss


def _part(caller: str, outputs: Any, part: str | Callable[[Any], Tensor]) -> Tensor:
    """Return one part of the outputs of a network."""
    if callable(part):
        return part(outputs)
    if not isinstance(outputs, Mapping) or part not in outputs:
        raise fail(
            caller, f"the network returns {form(outputs)}", f"a part {part!r}", "Name another one as part=."
        )
    return outputs[part]
