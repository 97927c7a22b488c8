"""Numbers as codes of a few bits within the bounds of their group, right on average."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

__all__ = ["Quantised", "bits_of", "quantised", "unpacked"]


@dataclass(frozen=True)
class _Groups:
    """Groups of one size: codes in bytes, and bounds [sample, group, 1]."""

    codes: Tensor
    low: Tensor
    high: Tensor
    size: int

    def restored(self, bits: int, wide: torch.dtype) -> Tensor:
        """Low + code * (high - low) / B, [sample, column]."""
        codes = unpacked(self.codes, bits, self.low.numel() * self.size).view(*self.low.shape[:2], self.size)
        low = self.low.to(wide)
        return (low + codes * ((self.high.to(wide) - low) / (2**bits - 1))).flatten(1)


@dataclass(frozen=True)
class Quantised:
    """A tensor in few bits.

    Attributes:
        groups: the whole groups of all samples, and the last ones, which are smaller.
        bits: of a code.
        shape, dtype: of the tensor.
    """

    groups: tuple[_Groups, ...]
    bits: int
    shape: torch.Size
    dtype: torch.dtype

    @property
    def nbytes(self) -> int:
        """Bytes that are kept."""
        return sum(part.codes.nbytes + part.low.nbytes + part.high.nbytes for part in self.groups)

    def codes(self) -> Tensor:
        """The codes in the shape of the tensor."""
        parts = [
            unpacked(part.codes, self.bits, part.low.numel() * part.size).view(len(part.low), -1)
            for part in self.groups
        ]
        return torch.cat(parts, 1).view(self.shape)

    def restored(self) -> Tensor:
        """The tensor, up to the errors."""
        wide = torch.promote_types(self.dtype, torch.float32)
        parts = [part.restored(self.bits, wide) for part in self.groups]
        return torch.cat(parts, 1).view(self.shape).to(self.dtype)


@torch.no_grad()
def quantised(
    values: Float[Tensor, "..."],
    uniforms: Float[Tensor, "..."],
    *,
    bits: int,
    group_size: int,
    metadata_dtype: torch.dtype,
) -> Quantised | None:
    """Return codes of a few bits; None where a number or a range is not finite, or nothing is there.

    Args:
        values: [sample, ...]; one axis is one sample.
        uniforms: in 0 to below 1, of the same shape.
        bits: of a code: 1, 2, 4 or 8.
        group_size: numbers of a sample that share their bounds.
        metadata_dtype: of the bounds; float64 values keep float64 ones.

    Example:
        >>> values = torch.tensor([0.0, 0.1, 0.5, 1.0])
        >>> kept = quantised(values, torch.zeros(4), bits=2, group_size=4, metadata_dtype=torch.float32)
        >>> kept.codes(), kept.nbytes
        (tensor([0, 0, 1, 3], dtype=torch.uint8), 9)
    """
    if not values.numel():
        return None
    samples = 1 if values.ndim < 2 else len(values)
    wide = values.to(torch.promote_types(values.dtype, torch.float32)).reshape(samples, -1)
    drawn = uniforms.reshape(samples, -1)
    bounds = torch.float64 if values.dtype == torch.float64 else metadata_dtype
    whole = wide.shape[1] // group_size * group_size
    parts = []
    for first, last, size in ((0, whole, group_size), (whole, wide.shape[1], wide.shape[1] - whole)):
        if first == last:
            continue
        part = _groups(wide[:, first:last], drawn[:, first:last], size, bits, bounds)
        if part is None:
            return None
        parts.append(part)
    return Quantised(tuple(parts), bits, values.shape, values.dtype)


def _groups(wide: Tensor, drawn: Tensor, size: int, bits: int, bounds: torch.dtype) -> _Groups | None:
    wide, drawn = wide.unflatten(1, (-1, size)), drawn.unflatten(1, (-1, size))
    low, high = wide.aminmax(dim=2, keepdim=True)
    low, high = _outwards(low, bounds, -torch.inf), _outwards(high, bounds, torch.inf)
    spread = high.to(wide.dtype) - low.to(wide.dtype)
    if not bool(spread.isfinite().all()):
        return None
    most = 2**bits - 1
    place = (wide - low.to(wide.dtype)) * most / torch.where(spread > 0, spread, 1.0)
    codes = (place + drawn).floor().clamp(0, most).where(spread > 0, torch.zeros_like(place))
    return _Groups(bits_of(codes.to(torch.uint8).flatten(), bits), low, high, size)


def _outwards(bound: Tensor, dtype: torch.dtype, way: float) -> Tensor:
    """Round to a type, never inwards."""
    rounded = bound.to(dtype)
    inwards = rounded.to(bound.dtype) > bound if way < 0 else rounded.to(bound.dtype) < bound
    return torch.where(inwards, rounded.nextafter(torch.full_like(rounded, way)), rounded)


def bits_of(codes: UInt8[Tensor, " item"], bits: int) -> UInt8[Tensor, " byte"]:
    """Return codes of 1, 2, 4 or 8 bits as bytes, several in each; the last byte is filled with 0."""
    per_byte = 8 // bits
    filled = torch.nn.functional.pad(codes, (0, -len(codes) % per_byte)).view(-1, per_byte)
    found = filled[:, 0].clone()
    for place in range(1, per_byte):
        found |= filled[:, place] << bits * place
    return found


def unpacked(packed: UInt8[Tensor, " byte"], bits: int, count: int) -> UInt8[Tensor, " item"]:
    """Return the codes that `bits_of` packed."""
    mask = 2**bits - 1
    parts = [packed >> bits * place & mask for place in range(8 // bits)]
    return torch.stack(parts, 1).flatten()[:count]
