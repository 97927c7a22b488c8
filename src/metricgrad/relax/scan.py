"""Soft ranks of sorted lists and their gradient: the plain torch text.

This is the seam of `soft_rank.py`. It sorts, and calls the four functions here; `kernels/scan.py` has the same four,
compiled, with this text as its reference. Everything is computed in float64, whatever the type of the scores.

With z the scores in rising order, divided by the temperature, and p(u) the step at -u, item i of n has the rank
n - i + sum over j < i of p(z_i - z_j) - sum over j > i of p(z_j - z_i): all items above count 1, and what the step
lacks of that is taken off again. Ties come out right in any order, because p(0) = 1/2. The Laplace step has
p(u) = exp(-u) / 2, so that both sums are scans; the logistic one is summed over a window, and its p is 0 beyond.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad

__all__ = ["laplace_gradient", "laplace_ranks", "logistic_gradient", "logistic_ranks"]

BLOCK_ELEMENTS = 2**20
"""Differences that the logistic step is evaluated for at a time; another number changes time and no result."""

BLOCK_ITEMS = 256
"""Most items whose windows are evaluated together: their common window is wider than each of them."""

PIECE = 32
"""Items of a piece of a scan, a power of two."""

Rows = Float[Tensor, "row item"]
Order = Int[Tensor, "row item"]
Counts = Int[Tensor, " row"]


def laplace_ranks(ordered: Rows, order: Order, counts: Counts, temperature: float, descending: bool) -> Rows:
    """Return the soft ranks for the Laplace step; exact ranks with ties in the middle for a temperature of 0.

    Args:
        ordered: scores in rising order, infinite ones included; the first `counts` of a row take part.
        order: where each of them stands in the list.
        counts: how many take part; if there is NaN among them, the last one is.
        temperature: width of the step, >= 0.
        descending: whether the highest score has the first rank, or the lowest one.

    Returns:
        The ranks, in the order of the list; 1 for an item that takes no part, NaN for all others beside a NaN.
    """
    lower, upper = _neighbourhoods(ordered, counts, temperature)
    return _placed_ranks((lower - upper) / 2, ordered, order, counts, descending)


def laplace_gradient(
    ordered: Rows, order: Order, counts: Counts, temperature: float, descending: bool, upstream: Rows
) -> Rows:
    """Return the gradient by the scores, in the order of the list, given the one by the ranks (same order).

    The gradient by z_i is half of the sum over j of exp(-|z_i - z_j|) (g_j - g_i). Each side is a scan again:
    P_i = exp(z_{i-1} - z_i) (P_{i-1} + (A_{i-1} + 1) (g_{i-1} - g_i)) for the items below, with A their sum of
    exponentials. Differences of g go in, so that equal ones cancel exactly. An infinite score has gradient 0.
    """
    weights = _weights(upstream, order, counts)
    pull = torch.zeros_like(weights)
    for flipped in (False, True):
        decay = _decay(ordered, counts, temperature)
        side = weights
        if flipped:  # the decay towards the next item instead of the one before
            decay, side = decay.roll(-1, 1).flip(1), weights.flip(1)
        reach = _scan(decay, decay)  # A_i = d_i (A_{i-1} + 1)
        step = torch.zeros_like(side)
        step[:, 1:] = (reach[:, :-1] + 1) * (side[:, :-1] - side[:, 1:])
        part = _scan(decay, decay * step)
        pull += part.flip(1) if flipped else part
    return _placed_gradient(pull / 2, ordered, order, counts, temperature, descending)


def logistic_ranks(
    ordered: Rows, order: Order, counts: Counts, temperature: float, descending: bool, window: float
) -> Rows:
    """Return the soft ranks for the logistic step, see `laplace_ranks`.

    Args:
        ordered: as there.
        order: as there.
        counts: as there.
        temperature: width of the step, > 0.
        descending: as there.
        window: how many temperatures apart two items still feel each other.

    Returns:
        As there.
    """
    balance = torch.zeros(ordered.shape, dtype=torch.float64, device=ordered.device)
    for rows, items, others, gaps, taking_part in _windows(ordered, counts, temperature, window):
        places = torch.arange(ordered.shape[1], device=ordered.device)
        sign = (places[items].unsqueeze(1) - places[others]).sign()  # [item, other]
        lacking = torch.sigmoid(-gaps) * sign * taking_part.unsqueeze(1)  # [row, item, other]
        balance[rows, items] = lacking.sum(2)
    return _placed_ranks(balance, ordered, order, counts, descending)


def logistic_gradient(
    ordered: Rows,
    order: Order,
    counts: Counts,
    temperature: float,
    descending: bool,
    window: float,
    upstream: Rows,
) -> Rows:
    """Return the gradient by the scores: the sum over j of slope(z_i - z_j) (g_j - g_i), see `laplace_gradient`."""
    weights = _weights(upstream, order, counts)
    pull = torch.zeros_like(weights)
    for rows, items, others, gaps, taking_part in _windows(ordered, counts, temperature, window):
        v = torch.exp(-gaps)
        slope = v / (1 + v).square() * taking_part.unsqueeze(1)  # [row, item, other]
        difference = weights[rows, None, others] - weights[rows, items, None]
        pull[rows, items] = (slope * difference).sum(2)
    return _placed_gradient(pull, ordered, order, counts, temperature, descending)


def _neighbourhoods(ordered: Tensor, counts: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Return the sums of exp(-|z_i - z_j|) over the items below and over the items above each item."""
    decay = _decay(ordered, counts, temperature)
    onward = decay.roll(-1, 1)  # the first decay is 0, and so is the last one here
    return _scan(decay, decay), _scan(onward.flip(1), onward.flip(1)).flip(1)


def _decay(ordered: Tensor, counts: Tensor, temperature: float) -> Tensor:
    """Return exp(z_{i-1} - z_i), 0 for the first item and for those that take no part."""
    values = ordered.double()
    gaps = values.diff(dim=1) / temperature
    gaps.masked_fill_(values[:, 1:] == values[:, :-1], 0)  # also between two equal infinities
    decay = torch.zeros_like(values)
    decay[:, 1:] = torch.exp(-gaps)
    return decay.masked_fill_(~_inside(ordered, counts), 0)


def _scan(decay: Tensor, step: Tensor) -> Tensor:
    """Return x with x_i = decay_i x_{i-1} + step_i along the rows: inside pieces by doubling, then over the pieces."""
    rows, items = step.shape
    padding = (0, -items % PIECE)
    total, factor = (
        pad(part, padding).reshape(rows, -1, PIECE) for part in (step, decay)
    )  # [row, piece, item]
    for shift in (2**power for power in range(PIECE.bit_length() - 1)):
        total[..., shift:] = total[..., shift:] + factor[..., shift:] * total[..., :-shift]
        factor[..., shift:] = factor[..., shift:] * factor[..., :-shift]
    if total.shape[1] > 1:
        ends = _scan(factor[..., -1], total[..., -1])  # [row, piece]
        total[:, 1:] += factor[:, 1:] * ends[:, :-1].unsqueeze(2)
    return total.flatten(1)[:, :items]


def _windows(
    ordered: Tensor, counts: Tensor, temperature: float, window: float
) -> Iterator[tuple[slice, slice, slice, Tensor, Tensor]]:
    """Cut the lists into blocks of rows and items; yield each with the items that its windows reach.

    Yields:
        Rows, items, other items, |z_i - z_j| [row, item, other], and which of the others take part [row, other].
    """
    inside = _inside(ordered, counts)
    values = ordered.double().masked_fill(~inside | ordered.isnan(), torch.inf)  # searching needs an order
    rows, items = values.shape
    breadth = max(1, min(BLOCK_ITEMS, BLOCK_ELEMENTS // max(1, items)))
    height = max(1, BLOCK_ELEMENTS // max(1, breadth * items))
    for row in range(0, rows, height):
        part = values[row : row + height].contiguous()
        for item in range(0, items, breadth):
            own = part[:, item : item + breadth]
            reach = window * temperature
            first = int(torch.searchsorted(part, own[:, :1] - reach).min())
            last = int(torch.searchsorted(part, own[:, -1:] + reach, right=True).max())
            other = part[:, first:last]
            gaps = (other.unsqueeze(1) - own.unsqueeze(2)).abs_().div_(temperature)  # [row, item, other]
            gaps.masked_fill_(other.unsqueeze(1) == own.unsqueeze(2), 0)
            others, lists = slice(first, last), slice(row, row + height)
            yield lists, slice(item, item + breadth), others, gaps, inside[lists, others]


def _inside(ordered: Tensor, counts: Tensor) -> Tensor:
    """Return which places of the sorted rows hold an item that takes part."""
    return torch.arange(ordered.shape[1], device=ordered.device) < counts.unsqueeze(1)


def _broken(ordered: Tensor, counts: Tensor) -> Tensor:
    """Return which rows [row, 1] have NaN among the items that take part."""
    last = ordered.gather(1, (counts - 1).clamp(min=0).unsqueeze(1))
    return last.isnan() & (counts > 0).unsqueeze(1)


def _weights(upstream: Tensor, order: Tensor, counts: Tensor) -> Tensor:
    """Return the gradient by the ranks in rising order of the scores, 0 where an item takes no part."""
    return upstream.gather(1, order).double().masked_fill_(~_inside(order, counts), 0)


def _placed_ranks(
    balance: Tensor, ordered: Tensor, order: Tensor, counts: Tensor, descending: bool
) -> Tensor:
    """Turn the soft part of the ranks into ranks, in the order of the list."""
    places = torch.arange(ordered.shape[1], device=ordered.device)
    ranks = counts.unsqueeze(1) - places + balance if descending else places + 1 - balance
    ranks.masked_fill_(_broken(ordered, counts), torch.nan).masked_fill_(~_inside(ordered, counts), 1)
    return torch.empty_like(ordered).scatter_(1, order, ranks.to(ordered.dtype))


def _placed_gradient(
    pull: Tensor, ordered: Tensor, order: Tensor, counts: Tensor, temperature: float, descending: bool
) -> Tensor:
    """Turn the gradient by z into the one by the scores, in the order of the list."""
    gradient = pull.masked_fill(ordered.isinf(), 0).div_(temperature if descending else -temperature)
    gradient.masked_fill_(_broken(ordered, counts), torch.nan).masked_fill_(~_inside(ordered, counts), 0)
    return torch.empty_like(ordered).scatter_(1, order, gradient.to(ordered.dtype))
