"""Train on a batch of any size with the memory of one chunk, and with the gradient of the whole batch.

A loss of pairs or ranks wants a large batch, and the graph of a large batch wants memory. The gradient of the loss
with respect to the embeddings is all that the encoder needs from the rest of the batch, so the work is staged: embed
the batch in chunks without a graph, take the loss's gradient at the embeddings, then run every chunk once more with
a graph and feed its part of that gradient into it. It costs one more forward pass, which must be the first one again:
the embeddings of both are at hand and are compared. It is not gradient accumulation,
where every chunk sees its own small batch only. It helps when memory, not time, limits the batch; where the batch
fits, the plain backward pass is taken.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from metricgrad._checks import Whole, describe, fail, whole_number
from metricgrad._forward import forward
from metricgrad._structures import moved
from metricgrad.scale.chunk import MEMORY, chunks, device_of, fitting_chunk, leaves_of, rows_of, taken
from metricgrad.scale.random_state import devices_of, random_state, restore_random_state

__all__ = ["StagedBackward"]

Models = nn.Module | Sequence[nn.Module] | Mapping[str, nn.Module]


class StagedBackward:
    """Add the gradient of a loss on a batch of any size to `.grad`, chunk by chunk (exact gradient of the loss given).

    With e = model(inputs) and L = loss(e, targets): dL/dw = sum over chunks c of (de_c/dw)^T (dL/de)_c, where dL/de
    needs the embeddings alone. Each chunk is embedded twice, first without a graph, then with one and the same
    random numbers.

    Args:
        model: one encoder, or a sequence or mapping of them; then `inputs` has one entry for each, under the same
            names. The same encoder may stand there twice.
        loss: `(embeddings, targets) -> Tensor`, a scalar or one value per unit (then averaged); with several
            encoders `(embeddings, embeddings, ..., targets)` in their order. Half-precision embeddings reach it as
            float32. Parameters of the loss get their gradient too, once.
        chunk: rows that are embedded at once, >= 1; or "auto": as many as `memory` holds, measured for each encoder
            at the first call by `fitting_chunk`.
        batchnorm: what becomes of modules in train mode that use statistics of the batch (BatchNorm, InstanceNorm
            with running statistics), under which chunks and the whole differ. "raise"; or "freeze": they use and
            keep their running statistics during the call, while their weights still get a gradient.
        memory: budget in bytes for "auto".
        scaler: a `torch.amp.GradScaler`: its scale is on the gradients, as after `scaler.scale(loss).backward()`.

    Attributes:
        measured: rows at once for every encoder, where `chunk` is "auto" and a batch has been seen. Set it to repeat
            another process's choice.

    Raises:
        InputError: chunk < 1, an unknown `batchnorm`, no encoder.

    Edge cases:
        A chunk that holds the whole batch: one forward and one backward pass, nothing is embedded twice. An encoder
        that needs no gradient is embedded once, in chunks. The guard of batch statistics does not hang on the size
        of the batch. Other modules that change while they run (a generator of their own, buffers that forward
        updates, a counter) make the second pass another network; where its embeddings differ from the first ones by
        more than 1e-4 of the largest number (1e-3 on a GPU, 2e-2 in half precision and under autocast) the call
        raises. State that changes them by less (spectral norm) is not noticed: put it in eval mode.

    Gradient:
        Equal to that of one graph over the same chunks, whatever is random in the model: the random states are
        replayed. Without random modules also to that of the whole batch as one chunk; dropout draws other masks
        for chunks than for the whole, of the same kind. Under autocast call it inside; the loss runs there too.

    Cost:
        Two forward passes and one backward pass, where the plain way takes one and one: about 4/3 of its time.
        Memory: the activations of one chunk, and the embeddings and their gradient for the whole batch.

    Differs from the paper:
        None in the gradient. Code published with [patel2022recall] keeps the first pass's graph, replays no random
        state and switches BatchNorm to eval without saying so.

    Reference:
        [gao2021gradcache] section 3.

    Example:
        >>> from metricgrad.losses import supcon_loss
        >>> model = nn.Linear(8, 4)
        >>> step = StagedBackward(model, supcon_loss, chunk=16)
        >>> inputs, labels = torch.randn(64, 8), torch.arange(64) % 8
        >>> value = step(inputs, labels)  # then optimiser.step()
        >>> model.weight.grad.shape
        torch.Size([4, 8])
    """

    def __init__(
        self,
        model: Models,
        loss: Callable[..., Tensor],
        *,
        chunk: Whole | Literal["auto"],
        batchnorm: Literal["raise", "freeze"] = "raise",
        memory: float = MEMORY,
        scaler: Any = None,
    ) -> None:
        caller = "StagedBackward"
        if chunk != "auto":
            chunk = whole_number(caller, "chunk", chunk)
        if batchnorm not in ("raise", "freeze"):
            raise fail(caller, f"batchnorm is {batchnorm!r}", "'raise' or 'freeze'")
        self.models = _by_name(model)
        self._alone = isinstance(model, nn.Module) and not isinstance(model, nn.ModuleList | nn.ModuleDict)
        self.loss, self.chunk, self.batchnorm = loss, chunk, batchnorm
        self.memory, self.scaler = memory, scaler
        self.measured: dict[str, int] = {}

    def __call__(self, inputs: Any, targets: Any) -> Float[Tensor, ""]:
        """Add the gradient of the loss to `.grad` and return the loss, detached.

        Args:
            inputs: a tensor [item, ...], a (named) tuple, mapping or dataclass of parts with one row an item each, or a
                list of items; the model gets chunks of the same kind. With several encoders a sequence or mapping of
                those. They may wait on the CPU: chunks are moved to the encoder's device.
            targets: handed to the loss as they are.

        Raises:
            InputError: inputs that do not fit the encoders, a module that uses statistics of the batch, an output
                that has not one row an item, a loss without gradient, a second pass that is not the first again (what
                was added to `.grad` is then to be thrown away).
        """
        value, changed = self.added(inputs, targets)
        refuse_change(changed)
        return value

    def added(self, inputs: Any, targets: Any) -> tuple[Float[Tensor, ""], bool]:
        """Do what a call does and return beside the loss whether the second pass was another one than the first."""
        parts = self._parts(inputs)
        with self._fixed_statistics():
            if self.chunk == "auto" and not self.measured:
                self.measured = {
                    name: fitting_chunk(model, parts[name], memory=self.memory)
                    for name, model in self.models.items()
                    if rows_of("StagedBackward", parts[name])
                }
            sizes = {name: self._rows_at_once(name) for name in self.models}
            if all(rows_of("StagedBackward", parts[name]) <= sizes[name] for name in parts):
                embeddings = [_wide(self._embedded(name, part)) for name, part in parts.items()]
                return self._loss_stage(embeddings, targets), False
            return self._staged(parts, sizes, targets)

    def _rows_at_once(self, name: str) -> int:
        return self.measured.get(name, 1) if self.chunk == "auto" else int(self.chunk)

    def _staged(
        self, parts: Mapping[str, Any], sizes: Mapping[str, int], targets: Any
    ) -> tuple[Tensor, bool]:
        devices = devices_of(self.models.values())
        states: dict[tuple[str, int], Any] = {}
        leaves: dict[str, Tensor] = {}
        for name, part in parts.items():
            embedded = []
            with torch.no_grad():
                for start, stop in chunks(rows_of("StagedBackward", part), sizes[name]):
                    states[name, start] = random_state(devices)
                    embedded.append(self._embedded(name, taken(part, start, stop)))
            leaves[name] = _wide(torch.cat(embedded)).requires_grad_(_needs_gradient(self.models[name], part))
        # Casts that autocast keeps from a pass without gradient would cut the second pass off from the weights.
        torch.clear_autocast_cache()
        value = self._loss_stage(list(leaves.values()), targets)
        after = random_state(devices)
        try:
            changed = self._second_pass(parts, sizes, leaves, states)
        finally:
            restore_random_state(after)
        return value, changed

    def _second_pass(
        self,
        parts: Mapping[str, Any],
        sizes: Mapping[str, int],
        leaves: Mapping[str, Tensor],
        states: Mapping[tuple[str, int], Any],
    ) -> bool:
        """Embed every chunk again, with a graph, and feed its part of the gradient into it; whether one differed."""
        work = [
            (name, start, stop)
            for name, part in parts.items()
            if leaves[name].requires_grad
            for start, stop in chunks(rows_of("StagedBackward", part), sizes[name])
        ]
        differing: list[Tensor] = []
        last = {id(self.models[name]): place for place, (name, _, _) in enumerate(work)}
        for place, (name, start, stop) in enumerate(work):
            model, gradient = self.models[name], leaves[name].grad
            if gradient is None:  # the loss does not depend on this encoder
                continue
            with _unsynchronised(model, unless=last[id(model)] == place):
                restore_random_state(states[name, start])
                embedding = self._embedded(name, taken(parts[name], start, stop))
                differing.append(_differs(leaves[name][start:stop], embedding))
                with _no_autocast(embedding.device):
                    # equals (embedding * gradient).sum().backward() without the product
                    torch.autograd.backward(embedding, gradient[start:stop].to(embedding.dtype))
        return any(bool(one) for one in differing)  # asked at the end: a GPU is waited for once

    def _loss_stage(self, embeddings: list[Tensor], targets: Any) -> Tensor:
        """Loss and its gradient to the embeddings, and to its own parameters."""
        loss = self.loss(*embeddings, targets)
        loss = loss if loss.ndim == 0 else loss.mean()
        if not loss.requires_grad:
            raise fail(
                "StagedBackward",
                "the loss has no gradient",
                "a loss that depends on embeddings of an encoder with trainable parameters",
                "Look for detach(), no_grad or frozen parameters.",
            )
        with _no_autocast(loss.device):
            (loss if self.scaler is None else self.scaler.scale(loss)).backward()
        return loss.detach()

    def _embedded(self, name: str, part: Any) -> Tensor:
        model = self.models[name]
        output = forward(model, moved(part, device_of(model)))
        rows = rows_of("StagedBackward", part)
        if not isinstance(output, Tensor) or not output.is_floating_point() or output.shape[:1] != (rows,):
            raise fail(
                "StagedBackward",
                f"{type(model).__name__} gives {describe(output)} for {rows} rows",
                "a floating-point tensor with one row an item",
                "Wrap the model in a module that returns the embeddings alone.",
            )
        return output

    def _parts(self, inputs: Any) -> dict[str, Any]:
        """The inputs of every encoder, by its name."""
        if self._alone:
            return dict.fromkeys(self.models, inputs)
        if isinstance(inputs, Mapping) and set(inputs) == set(self.models):
            return {name: inputs[name] for name in self.models}
        if isinstance(inputs, tuple | list) and len(inputs) == len(self.models):
            return dict(zip(self.models, inputs, strict=True))
        raise fail(
            "StagedBackward",
            f"inputs are {describe(inputs)}",
            f"one entry for each of the encoders {', '.join(self.models)}",
        )

    @contextlib.contextmanager
    def _fixed_statistics(self) -> Iterator[None]:
        """Refuse or freeze the modules whose output for an item hangs on the other items of its chunk."""
        found = {
            f"{place}.{name}".strip("."): module
            for place, model in self.models.items()
            for name, module in model.named_modules()
            if _uses_batch(module)
        }
        hopeless = [name for name, module in found.items() if getattr(module, "running_mean", None) is None]
        if hopeless or (found and self.batchnorm == "raise"):
            names = ", ".join(hopeless or found)
            raise fail(
                "StagedBackward",
                f"{names} {'has' if len(hopeless or found) == 1 else 'have'} statistics of the batch in train mode",
                "modules that treat every item alone, since a part is not the whole batch",
                "Use GroupNorm or LayerNorm, for it keeps no running statistics."
                if hopeless
                else "Call .eval() on them, or give batchnorm='freeze' to use their running statistics.",
            )
        for module in found.values():
            module.training = False
        try:
            yield
        finally:
            for module in found.values():
                module.training = True


def refuse_change(changed: bool) -> None:
    """Raise InputError where the second pass was another network than the first."""
    if changed:
        raise fail(
            "StagedBackward",
            "the second pass gives other embeddings than the first, so that the gradient is of neither",
            "a model that repeats itself under the same global random states",
            "Look for a generator of the model's own, a buffer that forward updates or a counter of calls; call "
            ".eval() on that module or draw from the global generator. Throw away what was added to .grad.",
        )


@torch.no_grad()
def _differs(first: Tensor, second: Tensor) -> Tensor:
    """Whether embeddings of the same rows differ by more than the order of sums explains; never for NaN."""
    if not first.numel():
        return torch.zeros((), dtype=torch.bool)
    half = second.dtype in (torch.float16, torch.bfloat16) or torch.is_autocast_enabled(second.device.type)
    tolerance = 2e-2 if half else 1e-4 if second.device.type == "cpu" else 1e-3
    return (_wide(second) - first).abs().amax() > tolerance * first.abs().amax()


def _by_name(model: Models) -> dict[str, nn.Module]:
    if isinstance(model, Mapping | nn.ModuleDict):
        found = {str(name): item for name, item in model.items()}
    elif isinstance(model, nn.Module) and not isinstance(model, nn.ModuleList):
        found = {"": model}
    else:
        found = {str(place): item for place, item in enumerate(model)}
    if not found or not all(isinstance(item, nn.Module) for item in found.values()):
        raise fail("StagedBackward", f"model is {describe(model)}", "one torch.nn.Module or several")
    return found


def _uses_batch(module: nn.Module) -> bool:
    """Whether the module, as it stands, uses statistics of the batch or updates running ones."""
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        return (
            module.training or module.running_mean is None
        )  # without running ones eval mode changes nothing
    return isinstance(module, nn.modules.instancenorm._InstanceNorm) and (
        module.training and module.running_mean is not None
    )


def _needs_gradient(model: nn.Module, inputs: Any) -> bool:
    return any(value.requires_grad for value in model.parameters()) or any(
        isinstance(part, Tensor) and part.requires_grad for part in leaves_of(inputs)
    )


def _wide(embedding: Tensor) -> Tensor:
    return embedding.float() if embedding.dtype in (torch.float16, torch.bfloat16) else embedding


def _unsynchronised(model: nn.Module, *, unless: bool) -> contextlib.AbstractContextManager[Any]:
    """Keep DistributedDataParallel from summing gradients over processes before the last chunk."""
    no_sync: Any = getattr(model, "no_sync", None)
    return contextlib.nullcontext() if unless or no_sync is None else no_sync()


def _no_autocast(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """A backward pass runs in the types of its forward pass; autocast is not meant for it."""
    if not torch.is_autocast_enabled(device.type):
        return contextlib.nullcontext()
    return torch.autocast(device.type, enabled=False)
