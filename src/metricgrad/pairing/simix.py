"""SiMix: virtual rows between two samples of a class, for a larger batch at no cost to the encoder.

A virtual row is a e_i + (1 - a) e_j for two rows of one class and a random share a. Its similarities to everything,
other virtual rows among them, are those of the real rows mixed in the same shares, so nothing is encoded again: with
the sparse matrix M whose first rows are the identity and whose others hold a and 1 - a, they are M S M^T. M is never
formed: three numbers a row stand for it, and products with it are gathers.

It makes rankings longer and gives each query more positives, which helps where batches are small for what they have
to show. It does nothing for classes with one row in the batch.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from metricgrad._checks import Whole, describe, fail, require_matrix, whole_number
from metricgrad._labels import Labels, number_labels

__all__ = ["SiMix", "VirtualRows", "mix_rows", "mix_similarities"]


class VirtualRows(NamedTuple):
    """The virtual rows of a batch: `share` of the row `first`, 1 - `share` of the row `second`."""

    first: Int[Tensor, " virtual"]
    second: Int[Tensor, " virtual"]
    share: Float[Tensor, " virtual"]


@dataclass(frozen=True)
class SiMix:
    """Which virtual rows a batch gets; `metricgrad.RankingLoss(..., simix=SiMix())` uses them.

    Args:
        pairs_per_class: None for every unordered pair of rows of a class, m (m - 1) / 2 of m rows; a number for a
            random subset of that many, drawn anew at each call (all pairs of a class that has no more).
        virtual_queries: whether virtual rows are queries too; False leaves them items that others are ranked with.
        generator: where random numbers come from; None for the global one of torch, which a resumed run restores.

    Raises:
        InputError: pairs_per_class is not a whole number >= 1.

    Differs from the paper:
        The official code mixes embeddings, for 3, 4 or 6 rows a class only; the paper speaks of similarities. Both
        give the same numbers, here for classes of any sizes.

    Reference:
        [patel2022recall], similarity mixup.

    Example:
        >>> virtual = SiMix(generator=torch.Generator().manual_seed(0)).draw(["a", "b", "a", "a"])
        >>> virtual.first.tolist(), virtual.second.tolist()
        ([0, 0, 2], [2, 3, 3])
    """

    pairs_per_class: Whole | None = None
    virtual_queries: bool = True
    generator: Generator | None = None

    def __post_init__(self) -> None:
        """Check the settings."""
        if self.pairs_per_class is not None:
            count = whole_number("SiMix", "pairs_per_class", self.pairs_per_class)
            object.__setattr__(self, "pairs_per_class", count)
        if not isinstance(self.virtual_queries, bool):
            raise fail("SiMix", f"virtual_queries is {self.virtual_queries!r}", "True or False")

    def draw(self, labels: Labels) -> VirtualRows:
        """Draw the virtual rows of a batch: pairs of rows of one label and their shares, uniform in [0, 1).

        Args:
            labels: integers or strings, one per row, in any order and any class sizes.

        Returns:
            The rows, class by class; `first` < `second`. The label of a virtual row is that of its `first`.

        Raises:
            InputError: labels that are not one-dimensional.

        Edge cases:
            A class with one row has no pair; a batch of such classes has no virtual row.

        Cost:
            O(row log row + virtual) time and memory; class x pairs_per_class^2 comparisons for a subset.
        """
        (codes,) = number_labels("SiMix.draw", {"labels": labels}).codes
        order = torch.argsort(codes, stable=True)  # class by class
        sizes = torch.bincount(codes)
        pairs = sizes * (sizes - 1) // 2  # [class]
        if self.pairs_per_class is None:
            classes = torch.repeat_interleave(pairs)
            number = torch.arange(len(classes), device=codes.device) - (pairs.cumsum(0) - pairs)[classes]
        else:
            classes, number = _subset(pairs, int(self.pairs_per_class), self.generator)
        low, high = _pair(number)
        starts = (sizes.cumsum(0) - sizes)[classes]
        share = torch.rand(len(classes), generator=self.generator, device=codes.device)
        return VirtualRows(order[starts + low], order[starts + high], share)


def mix_rows(embeddings: Float[Tensor, "row dim"], virtual: VirtualRows) -> Float[Tensor, "mixed dim"]:
    """Append the virtual rows to the real ones: M E (exact).

    e_v = a e_i + (1 - a) e_j. They are not scaled to length 1: the similarity of a virtual row with itself is
    a^2 + (1 - a)^2 + 2 a (1 - a) s_ij, less than 1 for unit rows that differ.

    Args:
        embeddings: the real rows; half precision is mixed and returned in float32.
        virtual: as `SiMix.draw` gives them.

    Returns:
        Real rows, then virtual ones.

    Raises:
        InputError: no matrix, or a number of a row that it does not have.

    Gradient:
        Exact, to the real rows; none to the shares.

    Cost:
        O((row + virtual) x dim).

    Reference:
        [patel2022recall], similarity mixup.

    Example:
        >>> virtual = VirtualRows(torch.tensor([0]), torch.tensor([1]), torch.tensor([0.25]))
        >>> mix_rows(torch.eye(2), virtual)
        tensor([[1.0000, 0.0000],
                [0.0000, 1.0000],
                [0.2500, 0.7500]])
    """
    rows = _wide("mix_rows", "embeddings", embeddings, "row, dim")
    _check(virtual, rows, "mix_rows")
    return _appended(rows, virtual, 0)


def mix_similarities(
    similarities: Float[Tensor, "row row"], virtual: VirtualRows, *, virtual_queries: bool = True
) -> Float[Tensor, "query mixed"]:
    """Return the similarities of real and virtual rows from those of the real ones: M S M^T (exact).

    S'[u, v] = sum over the two shares of u and the two of v. It equals the product of the rows of `mix_rows`, which
    is the cheaper route where the embeddings are at hand: `positive_ranks` never stores what this returns.

    Args:
        similarities: of the real rows; half precision is mixed and returned in float32.
        virtual: as `SiMix.draw` gives them.
        virtual_queries: False leaves the virtual rows out of the first axis: S M^T.

    Returns:
        Real rows first, along both axes.

    Raises:
        InputError: no square matrix, or a number of a row that it does not have.

    Gradient:
        Exact, to the similarities; none to the shares.

    Cost:
        O((row + virtual)^2) time and memory, by gathers.

    Reference:
        [patel2022recall], similarity mixup.

    Example:
        >>> virtual = VirtualRows(torch.tensor([0]), torch.tensor([1]), torch.tensor([0.25]))
        >>> mix_similarities(torch.eye(2), virtual)[-1]
        tensor([0.2500, 0.7500, 0.6250])
    """
    caller = "mix_similarities"
    scores = _wide(caller, "similarities", similarities, "row, row")
    if scores.shape[0] != scores.shape[1]:
        raise fail(
            caller, f"similarities are {describe(scores)}", "a square matrix, every row with every row"
        )
    _check(virtual, scores, caller)
    mixed = _appended(scores, virtual, 1)  # [row, mixed]
    return _appended(mixed, virtual, 0) if virtual_queries else mixed


def _appended(matrix: Tensor, virtual: VirtualRows, axis: int) -> Tensor:
    """Return the matrix with the mixtures of its slices along an axis after them."""
    one, two = matrix.index_select(axis, virtual.first), matrix.index_select(axis, virtual.second)
    share = virtual.share.to(matrix.dtype)
    mixtures = torch.lerp(two, one, share.unsqueeze(1) if axis == 0 else share)
    return torch.cat([matrix, mixtures], axis)


def _wide(caller: str, name: str, value: Tensor, axes: str) -> Tensor:
    """Return a checked matrix in float32 or wider."""
    require_matrix(caller, name, value, axes)
    return value if value.dtype.itemsize >= 4 else value.float()


def _check(virtual: VirtualRows, matrix: Tensor, caller: str) -> None:
    """Raise InputError where the three fields differ in length or have another shape than [virtual]."""
    shapes = {tuple(field.shape) for field in virtual}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1:
        came = ", ".join(
            f"{name} {describe(field)}" for name, field in zip(virtual._fields, virtual, strict=True)
        )
        raise fail(caller, f"virtual rows have {came}", "three fields of one length [virtual]")
    if matrix.device.type == "cpu" and len(
        virtual.share
    ):  # a GPU would be waited for; there the gather stops
        low = min(int(virtual.first.min()), int(virtual.second.min()))
        high = max(int(virtual.first.max()), int(virtual.second.max()))
        if low < 0 or high >= len(matrix):
            raise fail(
                caller, f"virtual rows mix rows {low} to {high} of {len(matrix)}", "numbers of real rows"
            )


def _subset(pairs: Tensor, wanted: int, generator: Generator | None) -> tuple[Tensor, Tensor]:
    """Draw `wanted` different pair numbers of every class, or all; return class and number [virtual].

    Floyd's way to draw n of N without listing the N: for j = N - n, ..., N - 1 draw t from 0..j and take it, or j
    itself where t was taken before. Here for all classes at once, so the loop has n turns whatever their number.
    """
    counts = pairs.clamp(max=wanted)  # [class]
    width = int(counts.max()) if len(counts) else 0
    chosen = torch.full((len(pairs), width), -1, device=pairs.device)  # [class, pair]
    drawn = torch.randint(2**62, chosen.shape, generator=generator, device=pairs.device)
    for turn in range(width):
        last = (pairs - counts + turn).clamp(min=0)
        candidate = drawn[:, turn] % (last + 1)  # off from uniform by 2^-62 x pairs
        taken = (chosen[:, :turn] == candidate.unsqueeze(1)).any(1)
        chosen[:, turn] = torch.where(taken, last, candidate)
    classes, places = torch.nonzero(
        torch.arange(width, device=pairs.device) < counts.unsqueeze(1), as_tuple=True
    )
    return classes, chosen[classes, places]


def _pair(number: Tensor) -> tuple[Tensor, Tensor]:
    """Return the pair low < high of a number in the order (0, 1), (0, 2), (1, 2), (0, 3), ..."""
    high = ((1 + torch.sqrt(1 + 8 * number.double())) / 2).long()
    high = high - (high * (high - 1) // 2 > number).long()  # the root may be rounded up over a whole number
    high = high + (high * (high + 1) // 2 <= number).long()
    return number - high * (high - 1) // 2, high
