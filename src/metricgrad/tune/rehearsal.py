"""A run as far as it goes without training: checked, splits counted, the first batch made, memory estimated.

Test is counted and not read: no picture of it is looked at, and no network sees it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from metricgrad._checks import calling, free_memory
from metricgrad._structures import form, moved, pair, tensors_of
from metricgrad._user_code import embedded
from metricgrad.errors import InputError
from metricgrad.scale.chunk import MEMORY, bytes_per_row, device_of, rows_of, taken
from metricgrad.tune.asked import one_contender
from metricgrad.tune.passes import one_pass
from metricgrad.tune.resolving import resolved
from metricgrad.tune.setup import Setup
from metricgrad.tune.splits import NAMES, batches_in, describe_split, reference_of

__all__ = ["Rehearsal", "rehearsed"]

_SHOWN = 8
"""Rows that the network is shown; as many as `bytes_per_row` measures with."""


@dataclass(frozen=True)
class Rehearsal:
    """What is known of a run before it trains.

    Attributes:
        splits: by name what is known of each: `items`, `classes`, `batches` of a pass, `reference` items.
        inputs: of the first batch of fit, in words.
        targets: of the same.
        items: of that batch.
        chunk: items that are embedded at once.
        outputs: of the first items of that batch, in words.
        device: where the network is.
        parameters: numbers in the network.
        trained: those of them that the arms train.
        memory: bytes on the device while training, by what takes them (estimate).
        free: bytes that are free there now; None where the system does not say.
        arms: names.
        steps: of each arm; None where minutes decide.
        start_steps: most that the start model is trained for before; None where it comes trained.
        seeds: of the run.
    """

    splits: Mapping[str, Mapping[str, Any]]
    inputs: str
    targets: str
    items: int
    chunk: int
    outputs: str
    device: str
    parameters: int
    trained: int
    memory: Mapping[str, int]
    free: int | None
    arms: list[str]
    steps: int | None
    start_steps: int | None
    seeds: list[int]

    @property
    def total(self) -> int:
        """All bytes together."""
        return sum(self.memory.values())

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {**asdict(self), "memory": dict(self.memory), "total": self.total}


def rehearsed(
    model: Any,
    splits: Any,
    *,
    metric: Any,
    method: str = "auto",
    settings: Any = None,
    proxy: Any = None,
    proxy_settings: Any = None,
    closed_forms: bool = True,
    **rest: Any,
) -> Rehearsal:
    """Check the arguments of `tune` and say what the run would take; nothing is trained or written.

    Args:
        model: as of `tune`, and so are all others but `side_metrics`, which would be measured on all of select.
        splits: of the run; fit is read as far as its first batch, test not at all.
        metric: of the run.
        method: of the run.
        settings: of the method.
        proxy: of the control.
        proxy_settings: of the control.
        closed_forms: whether controls that train nothing take part.
        rest: of the arguments of `tune`, without folder, task, recipe, facts, observer and force.

    Returns:
        What is known. The memory counts weights, gradient, the two moments of AdamW, the batch, what the forward pass
        of a chunk keeps for the backward pass (measured on 8 items), and embeddings with their gradient. Not counted:
        temporary results, work space of libraries, the loss of ranks, and other arms' weights on the CPU.

    Raises:
        InputError: an argument does not fit, or fit yields no batch.

    Cost:
        One batch of fit is made several times, and three forward passes of 8 items.
    """
    with calling("tune"):
        setup = resolved(
            one_contender(
                model, splits, metric, method, settings, proxy, proxy_settings, closed_forms, **rest
            )
        )
        counted = {
            name: _counted(split) for name in NAMES if (split := getattr(setup.splits, name)) is not None
        }
        network = setup.build(setup.seeds[0])
        trained = setup.parameters(network, "contender")
        batch = next(one_pass(setup.splits.fit, setup.seeds[0], 0), None)
        if batch is None:
            raise InputError("tune: fit yields no batch; expected at least one.")
        return _rehearsal(setup, network.train(), trained, *pair(batch), counted)


def _rehearsal(
    setup: Setup,
    network: nn.Module,
    trained: Mapping[str, nn.Parameter],
    inputs: Any,
    targets: Any,
    counted: Mapping[str, Mapping[str, Any]],
) -> Rehearsal:
    items, device = rows_of("tune", inputs), device_of(network)
    per_row = bytes_per_row(network, inputs)
    asked = setup.plan.chunk
    fitting = items if per_row <= 0 else max(1, int(MEMORY // per_row))
    chunk = min(items, items if asked is None else fitting if asked == "auto" else asked)
    network.eval()
    shown = min(items, _SHOWN)
    with torch.no_grad():
        outputs = embedded(network, moved(taken(inputs, 0, shown), device))
    weights = _bytes(network.state_dict().values())
    moving = _bytes(trained.values())
    memory = {
        "weights": weights,
        "gradient": moving,
        "moments of AdamW": 2 * moving,
        "the batch": _bytes(tensors_of(inputs)),
        "forward pass of a chunk": int(max(0.0, per_row) * chunk),
        "outputs and their gradient": 2 * _bytes(tensors_of(outputs)) * items // shown,
    }
    return Rehearsal(
        counted,
        form(inputs),
        form(targets),
        items,
        chunk,
        form(outputs),
        str(device),
        sum(value.numel() for value in network.parameters()),
        sum(value.numel() for value in trained.values()),
        memory,
        _free(device),
        [arm.name for arm in setup.every_arm],
        setup.plan.steps,
        setup.start_plan.steps if setup.start.attempts else None,
        list(setup.seeds),
    )


def _counted(split: Any) -> dict[str, Any]:
    """What a split says of itself, without being read."""
    facts = {**describe_split(split), "batches": batches_in(split)}
    reference = reference_of(split)
    if reference is not None:
        facts["reference"] = describe_split(reference).get("items")
    return facts


def _bytes(values: Any) -> int:
    return sum(value.nbytes for value in values if isinstance(value, Tensor))


def _free(device: torch.device) -> int | None:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return free_memory() if device.type == "cpu" else None
