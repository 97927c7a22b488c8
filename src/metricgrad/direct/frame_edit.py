"""A symbol for every frame under the edit distance of the whole string: handwriting, phones, plates without a blank."""

import functools
import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from metricgrad._checks import describe, fail
from metricgrad._safe import divisor
from metricgrad.direct.candidates import require_choices
from metricgrad.direct.choice import tied_ones

__all__ = ["FrameEdit"]

AUTOMATON_FRAMES = 8
"""Most frames for which the positive sign is decoded: the states of the automaton explode beyond."""
_ROUNDING = 1e-9
"""Relative: how much a way may fall short of a known string before it is given up."""


class FrameEdit:
    """One symbol a frame under the unit-cost edit distance to a reference: F = sum_t S[t, y_t].

    Scores are [sample, token, class], targets symbol numbers [sample, reference], -1 beyond the end of a reference;
    a mask [sample, token] is False where there is no frame. No blank and no collapsing: a string has as many symbols as
    frames. A statistic holds 1 at the symbol of every frame.

    The negative sign is solved exactly by one Viterbi pass over frames and alignments. The positive sign is a maximum
    of a minimum; it is exact only over an automaton whose states are whole columns of distances.

    Args:
        normalize_length: divide the distance by the length of the reference (at least 1).
        automaton: also solve the positive sign, for at most 8 frames.

    Edge cases:
        No frames: the distance is the length of the reference. An empty reference: the number of frames. Tied symbols
        of a frame share the prediction; the loss is that of the first of each.

    Gradient:
        dF/dS = 1 at the symbols.

    Cost:
        O(token x (class + reference)) for -1, a few vector operations a frame. +1 runs in Python, a sample at a time:
        milliseconds for references of 10; seconds where one of 20 holds every class and epsilon is large.

    Differs from the paper:
        The positive sign is the easy one for rankings and the hard one here.

    Reference:
        [song2016direct] for the update; [mcallester2010direct] for the negative sign on strings.

    Example:
        >>> structure = FrameEdit()
        >>> scores = torch.tensor([[[0.0, 0.4], [1.0, 0.0]]], dtype=torch.float64)
        >>> structure.augment(scores, torch.tensor([[0, 0]]), epsilon=1.0, sign=-1)[0].argmax(-1).tolist()
        [[0, 0]]
    """

    exact = True
    noise = "gumbel"

    def __init__(self, *, normalize_length: bool = False, automaton: bool = False) -> None:
        self.normalize_length, self.automaton = normalize_length, automaton
        self.signs = frozenset({1, -1}) if automaton else frozenset({-1})

    def defined(
        self, scores: Tensor, targets: Int[Tensor, "sample reference"], *, mask: Tensor | None = None
    ) -> Bool[Tensor, " sample"]:
        """Return True for every sample; InputError for arguments that do not fit."""
        require_choices("FrameEdit", scores, mask, "sample, token, class")
        if not isinstance(targets, Tensor) or targets.ndim != 2 or len(targets) != len(scores):
            raise fail(
                "FrameEdit",
                f"targets are {describe(targets)}",
                "symbol numbers [sample, reference], -1 at the end",
            )
        outside = (targets < -1) | (targets >= scores.shape[2])
        if targets.is_floating_point() or targets.dtype == torch.bool or bool(outside.any()):
            came = f"hold {targets[outside][0].item()}" if bool(outside.any()) else f"are {describe(targets)}"
            raise fail("FrameEdit", f"targets {came}", f"symbol numbers 0 to {scores.shape[2] - 1}, or -1")
        if bool(((targets[:, :-1] < 0) & (targets[:, 1:] >= 0)).any()):
            raise fail("FrameEdit", "a target has -1 before its end", "-1 only after the last symbol")
        if self.automaton and scores.shape[1] > AUTOMATON_FRAMES:
            raise fail(
                "FrameEdit",
                f"{scores.shape[1]} frames with automaton=True",
                f"at most {AUTOMATON_FRAMES}",
                "Take automaton=False with update='neg', or `Candidates`.",
            )
        return torch.ones(len(scores), dtype=torch.bool, device=scores.device)

    def predict(
        self, scores: Tensor, *, targets: Tensor | None = None, mask: Tensor | None = None
    ) -> tuple[Float[Tensor, "sample token class"], Float[Tensor, " sample"]]:
        """Return the symbols of the largest scores, and the sum of these."""
        there = _there(scores, mask)
        chosen, best = tied_ones(scores.double())
        return chosen * there[..., None], (best * there).sum(1)

    def augment(
        self, scores: Tensor, targets: Tensor, *, epsilon: float, sign: int, mask: Tensor | None = None
    ) -> tuple[Float[Tensor, "sample token class"], Float[Tensor, " sample"]]:
        """Return the string of the largest F + sign * epsilon * L, and that value."""
        if sign not in self.signs:
            raise fail(
                "FrameEdit.augment",
                f"sign is {sign:+d}",
                f"one of {sorted(self.signs)}",
                "automaton=True solves +1 for at most 8 frames; `Candidates` decodes over samples.",
            )
        price = epsilon / self._unit(targets)
        there = _there(scores, mask)
        symbols = (_viterbi if sign < 0 else _by_automaton)(scores.double(), targets, price, there)
        chosen = torch.zeros(scores.shape, dtype=torch.float64, device=scores.device)
        if scores.shape[1]:
            chosen.scatter_(2, symbols[..., None], 1)
        chosen *= there[..., None]
        value = (chosen * scores.double()).sum((1, 2)) + sign * price * _distance(symbols, targets, there)
        return chosen, value

    def gradient(
        self, statistic: Tensor, targets: Tensor, *, mask: Tensor | None = None
    ) -> Float[Tensor, "sample token class"]:
        """Return dF/dscores, which is the statistic."""
        return statistic

    def task_loss(
        self, statistic: Tensor, targets: Tensor, *, mask: Tensor | None = None
    ) -> Float[Tensor, " sample"]:
        """Return the edit distance of a string to its reference."""
        there = _there(statistic, mask)
        symbols = statistic.argmax(-1) if statistic.shape[1] else there.long()
        return _distance(symbols, targets, there) / self._unit(targets)

    def _unit(self, targets: Tensor) -> Tensor:
        """Return what a distance is divided by [sample]."""
        lengths = (targets >= 0).sum(1).double()
        return divisor(lengths) if self.normalize_length else torch.ones_like(lengths)


def _there(scores: Tensor, mask: Tensor | None) -> Tensor:
    return torch.ones(scores.shape[:2], dtype=torch.bool, device=scores.device) if mask is None else mask


def _viterbi(scores: Tensor, targets: Tensor, price: Tensor, there: Tensor) -> Tensor:
    """Return the symbols [sample, token] of the largest F - price * distance.

    H_t(u), the best of t frames against u symbols, is the largest over a frame that is an extra symbol, one in place of
    another or a match, and over symbols that were left out: H_t(u) = max over u' <= u of own(u') - price (u - u').
    """
    samples, frames, _ = scores.shape
    length = targets.shape[1]
    places = torch.arange(length + 1, dtype=torch.float64, device=scores.device)
    rows = torch.arange(samples, device=scores.device)
    state = -price[:, None] * places
    ways = []
    for t in range(frames):
        best, symbol = scores[:, t].max(1)
        extra = state + (best - price)[:, None]
        match = torch.full_like(state, -torch.inf)
        wrong = torch.full_like(state, -torch.inf)
        if length:
            match[:, 1:] = state[:, :-1] + scores[:, t].gather(1, targets.clamp(min=0))
            wrong[:, 1:] = state[:, :-1] + (best - price)[:, None]
        own, kind = torch.stack([extra, wrong, match]).max(0)
        reached, source = (own + price[:, None] * places).cummax(1)
        reached = reached - price[:, None] * places
        state = torch.where(there[:, t, None], reached, state)
        ways.append((symbol, kind, source))
    symbols = torch.zeros(samples, frames, dtype=torch.int64, device=scores.device)
    u = (targets >= 0).sum(1)
    for t in range(frames - 1, -1, -1):
        symbol, kind, source = ways[t]
        place = source[rows, u]
        taken = kind[rows, place]
        reference = targets[rows, (place - 1).clamp(min=0)] if length else symbol
        symbols[:, t] = torch.where(there[:, t], torch.where(taken == 2, reference, symbol), 0)
        u = torch.where(there[:, t], place - (taken > 0).long(), u)
    return symbols


def _by_automaton(scores: Tensor, targets: Tensor, price: Tensor, there: Tensor) -> Tensor:
    """Return the symbols [sample, token] of the largest F + price * distance, sample by sample."""
    found = torch.zeros(scores.shape[:2], dtype=torch.int64)
    for sample, here in enumerate(there.cpu()):
        reference = [symbol for symbol in targets[sample].tolist() if symbol >= 0]
        way = _furthest(scores[sample, here].tolist(), reference, price[sample].item())
        found[sample, here] = torch.tensor(way, dtype=torch.int64)
    return found.to(scores.device)


def _furthest(rows: list[list[float]], reference: list[int], price: float) -> list[int]:
    """Return the best way to the best column of distances, a symbol for every row of scores.

    A way is given up when it cannot come up to a string that is known: what is left adds at most the largest score of
    every row, and a string of n symbols is at most max(n, m) away from the last m of the reference.
    """
    # symbols that the reference has not move every column alike: the best of them stands for all
    others = [sorted(set(range(len(row))) - set(reference), key=row.__getitem__)[-1:] for row in rows]
    known = [[max(range(len(row)), key=row.__getitem__) for row in rows]]
    if all(others):
        known.append([symbol for (symbol,) in others])
    start = tuple(range(len(reference) + 1))
    enough = -math.inf
    for string in known:
        column = functools.reduce(lambda one, symbol: _next_column(one, symbol, reference), string, start)
        fit = sum(row[symbol] for row, symbol in zip(rows, string, strict=True))
        enough = max(enough, fit + price * column[-1])
    enough -= _ROUNDING * max(1.0, abs(enough))
    best: dict[tuple[int, ...], tuple[float, list[int]]] = {start: (0.0, [])}
    for t, row in enumerate(rows):
        left, hope = len(rows) - t - 1, sum(map(max, rows[t + 1 :]))
        following: dict[tuple[int, ...], tuple[float, list[int]]] = {}
        for column, (score, way) in best.items():
            for symbol in (*set(reference), *others[t]):
                reached, total = _next_column(column, symbol, reference), score + row[symbol]
                if reached in following and total <= following[reached][0]:
                    continue
                furthest = min(one + max(left, len(reference) - u) for u, one in enumerate(reached))
                if total + hope + price * furthest >= enough:
                    following[reached] = (total, [*way, symbol])
        best = following
    return max(best.items(), key=lambda item: item[1][0] + price * item[0][-1])[1][1]


def _next_column(column: tuple[int, ...], symbol: int, reference: list[int]) -> tuple[int, ...]:
    """Return the distances of the longer string to every prefix of the reference."""
    following = [column[0] + 1]
    for u, other in enumerate(reference, 1):
        following.append(min(column[u] + 1, following[u - 1] + 1, column[u - 1] + (symbol != other)))
    return tuple(following)


def _distance(symbols: Tensor, targets: Tensor, there: Tensor) -> Tensor:
    """Return the edit distance [sample] of the symbols that are there to the references."""
    places = torch.arange(targets.shape[1] + 1, dtype=torch.float64, device=symbols.device)
    state = places.expand(len(symbols), -1)
    for t in range(symbols.shape[1]):
        own = state + 1
        if targets.shape[1]:
            own[:, 1:] = torch.minimum(own[:, 1:], state[:, :-1] + (targets != symbols[:, t, None]))
        reached = (own - places).cummin(1).values + places
        state = torch.where(there[:, t, None], reached, state)
    return state.gather(1, (targets >= 0).sum(1, keepdim=True))[:, 0]
