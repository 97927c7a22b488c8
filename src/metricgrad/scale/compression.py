"""Keep what linear layers save for the backward pass in few bits, with a gradient that is right on average.

Exact ways come first: `StagedBackward` (twice the forward pass, the memory of one chunk), checkpointing and
`torch.autograd.graph.save_on_cpu` change no gradient. This one adds noise to it and no second forward pass.

Only the inputs of linear layers and convolutions are compressed, since their gradients are linear in what is saved: an
error without bias stays without bias. A ReLU keeps one exact bit per item. Everything else (tanh, GELU, normalisations,
softmax, the loss) is kept as it is: there the mean of many compressed gradients would not be the gradient.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.utils import parametrize
from torch.utils.weak import WeakIdKeyDictionary

from metricgrad._checks import Whole, fail, whole_number
from metricgrad.errors import InputError
from metricgrad.scale.quantising import Quantised, bits_of, quantised, unpacked

__all__ = ["Saved", "compress_activations"]

AT_ONCE = 2**20
"""Numbers that are compressed or restored at a time: what is needed beside the tensor itself."""

_LINEAR = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass
class Saved:
    """What was saved within `compress_activations`.

    Attributes:
        plain: bytes of the tensors that were compressed.
        stored: bytes that are kept of them.
    """

    plain: int = 0
    stored: int = 0


@dataclass(frozen=True)
class _Mask:
    """Where a ReLU lets a gradient through."""

    bits: Tensor
    shape: torch.Size
    dtype: torch.dtype


@dataclass(frozen=True)
class _Codes:
    """A tensor in few bits, a part of its samples after the other."""

    parts: list[Quantised]
    shape: torch.Size

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in self.parts)

    def restored(self) -> Tensor:
        first = self.parts[0].groups[0].low
        whole = torch.empty(self.shape, dtype=self.parts[0].dtype, device=first.device)
        for place, part in zip(whole.split([part.shape[0] for part in self.parts]), self.parts, strict=True):
            place.copy_(part.restored())
        return whole


class _Compressor:
    """Packs and unpacks what layers save.

    Args:
        model: whose parameters are never compressed.
        bits, group_size, least, metadata_dtype, seed: see `compress_activations`.
    """

    def __init__(
        self, model: nn.Module, bits: int, group_size: int, least: int, metadata: torch.dtype, seed: int
    ) -> None:
        self.bits, self.group_size, self.least, self.metadata = bits, group_size, least, metadata
        self.seed, self.generators = seed, dict[torch.device, torch.Generator]()
        self.weights = {value.untyped_storage().data_ptr() for value in model.parameters()}
        self.known: Any = WeakIdKeyDictionary()  # inputs that live: their version, and what is kept of them
        self.saved = Saved()

    def around(self, layer: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
        """The forward pass of a layer under hooks."""
        pack = self._mask if type(layer) is nn.ReLU else None

        def compressed(given: Tensor) -> Any:
            inputs = [given]  # the graph keeps the hook: it must not keep the inputs
            try:
                with saved_tensors_hooks(
                    pack or (lambda saved: self._pack(saved, inputs[0], layer)), _restored
                ):
                    return forward(given)
            finally:
                inputs.clear()

        return compressed

    def _mask(self, saved: Tensor) -> Any:
        if not saved.is_floating_point() or saved.numel() < self.least:
            return saved
        kept = _Mask(bits_of((saved > 0).flatten().to(torch.uint8), 1), saved.shape, saved.dtype)
        return self._counted(saved, kept, kept.bits.nbytes)

    def _pack(self, saved: Tensor, given: Tensor, layer: Any) -> Any:
        if not saved.is_floating_point() or saved.numel() < self.least or self._is_weight(saved, layer):
            return saved
        same = (
            saved.untyped_storage().data_ptr() == given.untyped_storage().data_ptr()
            and saved.shape == given.shape
            and saved.stride() == given.stride()
            and saved.dtype == given.dtype
        )
        version, kept = self.known.get(given, (None, None)) if same else (None, None)
        if kept is not None and version == given._version:  # two copies of one tensor have one error
            return kept
        kept = self._quantised(saved)
        if kept is None:
            return saved
        if same:
            self.known[given] = (given._version, kept)
        return self._counted(saved, kept, kept.nbytes)

    def _counted(self, saved: Tensor, kept: Any, stored: int) -> Any:
        self.saved.plain += saved.nbytes
        self.saved.stored += stored
        return kept

    def _is_weight(self, saved: Tensor, layer: Any) -> bool:
        """Whether it is a parameter, a view of one, or the copy of one in half precision that autocast makes."""
        if saved.untyped_storage().data_ptr() in self.weights:
            return True
        weight = layer.weight
        return weight.dtype != saved.dtype and saved.shape in (weight.shape, weight.mT.shape)

    def _quantised(self, saved: Tensor) -> _Codes | None:
        if saved.ndim < 2:  # one sample
            return None
        if saved.device not in self.generators:
            self.generators[saved.device] = torch.Generator(saved.device).manual_seed(self.seed)
        wide = torch.promote_types(saved.dtype, torch.float32)
        parts = []
        for some in saved.split(max(1, AT_ONCE * len(saved) // saved.numel())):
            uniforms = torch.rand(
                some.shape, dtype=wide, device=some.device, generator=self.generators[some.device]
            )
            part = quantised(
                some, uniforms, bits=self.bits, group_size=self.group_size, metadata_dtype=self.metadata
            )
            if part is None:
                return None
            parts.append(part)
        return _Codes(parts, saved.shape)


def compress_activations(
    model: nn.Module,
    bits: Literal[1, 2, 4, 8] = 4,
    *,
    seed: Whole,
    policy: Callable[[str, nn.Module], bool] = lambda name, layer: True,
    group_size: Whole = 256,
    least: Whole = 4096,
    metadata_dtype: Literal["float32", "bfloat16"] = "float32",
) -> contextlib.AbstractContextManager[Saved]:
    """Within it, a forward pass saves the inputs of linear layers in a few bits each (estimate).

    A sample is cut into groups of `group_size` numbers. A group keeps its smallest and largest number, lo and hi, and
    for each number x a code of a few bits:

        code = floor((x - lo) B / (hi - lo) + u)    B = 2^bits - 1, u uniform in 0 to 1
        restored = lo + code (hi - lo) / B

    The mean of what is restored is x, its variance ((hi - lo) / B)^2 f (1 - f), f the fractional part before u.

    Args:
        model: the network. Its `Linear` and `Conv1d` to `Conv3d` layers save codes, its `ReLU` layers save one bit per
            number. Subclasses, layers with a parametrisation, functions and all other modules save what they always do:
            a `torch.nn.functional.relu` keeps the whole tensor alive, and nothing is won.
        bits: of a code.
        seed: of u. Give another one at every step, such as its number, since the errors of all steps would otherwise be
            alike. No other random state is touched.
        policy: `(name, layer) -> bool`, which of those layers take part.
        group_size: numbers that share their bounds; the last group of a sample may be smaller.
        least: smaller tensors are kept as they are.
        metadata_dtype: of the bounds. With `bfloat16` they are rounded outwards before the codes are made; a group of
            equal numbers is then no longer exact. float64 tensors keep float64 bounds.

    Returns:
        The context; its value are the bytes before and after, of what was compressed.

    Raises:
        InputError: other bits; a second derivative is taken through what was compressed.

    Edge cases:
        A group of equal numbers is exact. Parameters, tensors with NaN or infinity or without an axis of samples, and
        what is not floating point are kept as they are. A tensor that several layers take is compressed once. The
        outputs of the forward pass are the same bits as without.

    Gradient:
        Of a network of linear layers and ReLU without bias, and noisy. Behind another layer only the gradients of the
        weights of the compressed layers are noisy. No second derivatives.

    Cost:
        bits + 64 / group_size bits per number (float32 bounds) instead of 32; one random number, a few passes over the
        tensor when it is saved and one when it is restored, a million numbers at a time. On Linux CPUs the C library
        keeps large freed blocks between the small codes; MALLOC_MMAP_THRESHOLD_=65536 in the environment returns them.

    Differs from the paper:
        Codes are made with the bounds as they are stored, so that the mean is exact. The published code rounds bounds
        after the codes are made, and compresses other layers, too; the paper chooses bits per layer.

    Reference:
        [chen2021actnn] section 3.

    Example:
        >>> model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 8))
        >>> with compress_activations(model, seed=0) as saved:
        ...     loss = model(torch.randn(128, 64)).square().mean()
        >>> loss.backward()
        >>> saved.plain, saved.stored
        (294912, 26624)
    """
    caller = "compress_activations"
    if bits not in (1, 2, 4, 8):
        raise fail(caller, f"bits is {bits!r}", "1, 2, 4 or 8")
    if metadata_dtype not in ("float32", "bfloat16"):
        raise fail(caller, f"metadata_dtype is {metadata_dtype!r}", "'float32' or 'bfloat16'")
    compressor = _Compressor(
        model,
        bits,
        whole_number(caller, "group_size", group_size),
        whole_number(caller, "least", least),
        getattr(torch, metadata_dtype),
        whole_number(caller, "seed", seed, least=0),
    )
    layers: list[Any] = [
        layer
        for name, layer in model.named_modules()
        if type(layer) in (*_LINEAR, nn.ReLU)
        and not parametrize.is_parametrized(layer)
        and policy(name, layer)
    ]
    return _under_hooks(compressor, layers)


@contextlib.contextmanager
def _under_hooks(compressor: _Compressor, layers: list[Any]) -> Iterator[Saved]:
    with contextlib.ExitStack() as stack:
        for layer in layers:
            own = layer.__dict__.get("forward")
            layer.forward = compressor.around(layer, layer.forward)
            stack.callback(_given_back, layer, own)
        yield compressor.saved


def _given_back(layer: Any, own: Any) -> None:
    if own is None:
        del layer.forward
    else:
        layer.forward = own


def _restored(kept: Any) -> Tensor:
    if isinstance(kept, Tensor):
        return kept
    if torch.is_grad_enabled():
        raise InputError(
            "compress_activations: a second derivative (create_graph=True) of compressed activations; expected first "
            "ones: a product of two restored tensors is biased. Compute this part outside of the context."
        )
    if isinstance(kept, _Mask):
        return unpacked(kept.bits, 1, kept.shape.numel()).view(kept.shape).to(kept.dtype)
    return kept.restored()
