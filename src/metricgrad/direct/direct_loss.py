"""The loss whose gradient is the difference of two decodes: direct loss minimisation for any structure.

Nothing is relaxed. A structure is asked for the output that is best under the scores, and for the one that is best
under the scores and a little of the task loss; what their features differ by is handed to the network.
"""

import math
import warnings
from collections import deque
from typing import Any, Literal, NamedTuple, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from metricgrad._checks import fail, nearest, positive_number
from metricgrad._safe import divisor, log_above, or_one, share
from metricgrad._types import Structure
from metricgrad.direct.brackets import DECODES, Bracket, bracket
from metricgrad.direct.epsilon import FAR, displacement, fitted_epsilon

__all__ = ["DirectLoss", "LossBracket"]

Update = Literal["two", "pos", "neg", "hinge", "perceptron", "blackbox", "identity"]
Normalization = Literal["std", "unit"]

REFIT = 50
"""Calls between two fits of an automatic epsilon."""
MEMORY = 0.9
"""How much of the logarithm of the old epsilon stays at a refit."""
FITTED = 128
"""Most units of a batch that an epsilon is fitted to; of more, so many that are evenly spaced."""
STRENGTH = 0.5
"""Epsilon of the update "blackbox" unless another is given: the lambda of the authors' detection code."""
_SIGNS = {"two": {1, -1}, "pos": {1}, "neg": {-1}, "hinge": {1}}
_NEEDS = {"hinge": "ideal", "perceptron": "ideal", "blackbox": "blackbox", "identity": "identity"}
_SHRINKING = ("neg", "blackbox", "identity")


class LossBracket(NamedTuple):
    """What the task loss lies between, [unit] each; 0 where there is none.

    Attributes:
        lower: l_neg.
        loss: the task loss of the prediction.
        upper: l_pos.
    """

    lower: Tensor
    loss: Tensor
    upper: Tensor


class DirectLoss(nn.Module):
    """Direct loss minimisation: the value brackets the task loss, the gradient is a difference of two decodes.

    two: (M+ - M-)/(2 epsilon); pos: (M+ - M0)/epsilon; neg: (M0 - M-)/epsilon, with M0 = max F and
    M+- = max (F +- epsilon L) over the outputs of the structure. hinge: max (F + L) - F(target). perceptron:
    max F - F(target). blackbox: one more decode at scores moved by epsilon times the slope of the loss. identity:
    that slope itself.

    Args:
        structure: `Interleaving`, `Contingency`, `Multiclass`, `TopK`, `FrameEdit`, `Candidates` or one of yours.
        update: see above. "two" has a gradient at the best and at the worst output, and neither grows nor shrinks
            the scores; it is the one to begin with.
        epsilon: > 0, in the structure's unit of scores; it does not carry over to another structure or list length.
            "auto" fits it: the smallest one that moves the task loss by `moved` on average.
        normalize: "std" subtracts a unit's mean and divides by its standard deviation, "unit" divides by the root
            mean square; None leaves the scores.
        margin: positives are lowered and negatives raised by half of it before decoding, >= 0.
        noise: scale of noise on the scores, the same in both decodes, >= 0: Gumbel for structures that choose one of
            many, else normal.
        memory: so many past batches, detached, join a ranking; [query, item] with the same queries each time.
        moved: D that an automatic epsilon aims at, in (0, 1): a share of the largest loss.

    Raises:
        InputError: an update that the structure does not solve exactly or has no parts for; a number out of range;
            a margin with "pos" and raw scores, which has no gradient from the first step on.

    Edge cases:
        Units without a loss (a query without positives) have value 0 and no gradient, and are left out of the mean;
        a batch of none gives a 0 that is attached to the graph. NaN and infinite scores raise.

    Gradient:
        That of the value, to the outputs. 0 at kinks' flat sides: "pos" at the worst output, "neg" at the best one
        and where epsilon does not bridge the gap. "neg", "blackbox" and "identity" shrink raw scores to nothing,
        which lowers their value and not the loss: they warn without `normalize`. No second derivative.

    Cost:
        Two decodes, in float64; a fit of epsilon some 40 more of at most 128 units, every 50th call.

    Differs from the paper:
        Song et al. train with one side; "two" and the automatic epsilon are this project's.

    Reference:
        [song2016direct]; [mcallester2010direct]; [yue2007map] for the hinge; [vlastelica2020blackbox] and
        [rolinek2020rank] for "blackbox"; [sahoo2023backpropagation] for "identity".

    Example:
        >>> from metricgrad.direct.interleaving import Interleaving
        >>> loss = DirectLoss(Interleaving("average_precision"), epsilon=2.0)
        >>> outputs = torch.tensor([[0.2, 0.9, 0.1]], requires_grad=True)
        >>> loss(outputs, torch.tensor([[1, 0, 0]])).backward()
        >>> outputs.grad  # the positive goes up, what stands above it or near it goes down
        tensor([[-0.5000,  0.2500,  0.2500]])
    """

    epsilon: Tensor
    calls: Tensor

    def __init__(
        self,
        structure: Structure,
        *,
        update: Update = "two",
        epsilon: float | Literal["auto"] = "auto",
        normalize: Normalization | None = None,
        margin: float = 0.0,
        noise: float = 0.0,
        memory: int = 0,
        moved: float = 0.1,
    ) -> None:
        super().__init__()
        _check_update(structure, update)
        if normalize not in (None, *get_args(Normalization)):
            raise fail("DirectLoss", f"normalize is {normalize!r}", "'std', 'unit' or None")
        if not isinstance(memory, int) or memory < 0:
            raise fail("DirectLoss", f"memory is {memory!r}", "a whole number of batches >= 0")
        if not 0 < moved < 1:
            raise fail("DirectLoss", f"moved is {moved!r}", "a share between 0 and 1")
        self.structure, self.update, self.normalize, self.memory, self.moved = (
            structure,
            update,
            normalize,
            memory,
            moved,
        )
        self.margin = positive_number("DirectLoss", "margin", margin, zero=True)
        self.noise = positive_number("DirectLoss", "noise", noise, zero=True)
        self.automatic = epsilon == "auto" and update in ("two", "pos", "neg")
        start = (STRENGTH if update == "blackbox" else 1.0) if isinstance(epsilon, str) else epsilon
        if isinstance(epsilon, str) and epsilon != "auto":
            raise fail("DirectLoss", f"epsilon is {epsilon!r}", "a number > 0, or 'auto'")
        start = positive_number("DirectLoss", "epsilon", start)
        self.register_buffer("epsilon", torch.tensor(start, dtype=torch.float64))
        self.register_buffer("calls", torch.tensor(0))
        self.past: deque[tuple[Tensor, Tensor]] = deque(maxlen=memory)
        self.seen: dict[str, float] = {}
        self._warn_of_collapse()

    def forward(
        self, outputs: Tensor, targets: Any, mask: Bool[Tensor, "..."] | None = None
    ) -> Float[Tensor, ""]:
        """Return the mean over the units that have a loss.

        Args:
            outputs: scores, [query, item], [unit, item], [sample, class], [sample, token, class] or
                [query, candidate], as the structure takes them.
            targets: as the structure takes them.
            mask: False at padding; None for none.

        Returns:
            A scalar, in float32 or wider. `seen` then holds what is worth logging: epsilon, the standard deviation
            of the scores, `zero` (share of the units without a gradient), `undefined` (units without a loss) and, where
            two outputs are decoded, `moved` (share of the pairs of a ranking, or of the items, in which they differ).
        """
        values, defined = self.per_unit(outputs, targets, mask)
        return share(values.sum(), defined.sum())

    def per_unit(
        self, outputs: Tensor, targets: Any, mask: Tensor | None = None
    ) -> tuple[Float[Tensor, " unit"], Bool[Tensor, " unit"]]:
        """Return the values [unit] and which units have a loss."""
        # checked before anything is normalised: a message speaks of what came
        self.structure.defined(outputs, targets, mask=mask)
        outputs, targets, mask = self._with_past(outputs, targets, mask)
        scores = self._prepared(outputs, targets, mask)
        fixed = scores.detach()
        if self.update in DECODES:
            found = self._decoded(fixed, targets, mask)
        else:
            found = self._linearised(fixed, targets, mask)
        self._watch(outputs, targets, found, mask)
        # a sum of zeros with the right gradient: the value itself has none
        slopes = ((scores - fixed) * found.gradient).flatten(1).sum(1)
        wide = torch.promote_types(outputs.dtype, torch.float32)
        return (found.value + slopes).to(wide), found.defined

    def bracket(self, outputs: Tensor, targets: Any, mask: Tensor | None = None) -> LossBracket:
        """Return l_neg <= task loss <= l_pos [unit], for logging; NaN for a side that the structure does not solve."""
        self.structure.defined(outputs, targets, mask=mask)
        with torch.no_grad():
            scores = self._prepared(outputs, targets, mask)
            epsilon = self.epsilon.item()
            defined = self.structure.defined(scores, targets, mask=mask)
            prediction, _ = self.structure.predict(scores, targets=targets, mask=mask)
            loss = self.structure.task_loss(prediction, targets, mask=mask)
            sides = [
                bracket(self.structure, update, scores, targets, epsilon=epsilon, mask=mask).value
                if {sign} <= self.structure.signs
                else torch.full_like(loss, math.nan)
                for update, sign in (("neg", -1), ("pos", 1))
            ]
        return LossBracket(sides[0], torch.where(defined, loss, 0), sides[1])

    def get_extra_state(self) -> list[list[Tensor]]:
        """Return the batches of the memory."""
        return [list(pair) for pair in self.past]

    def set_extra_state(self, state: list[list[Tensor]]) -> None:
        """Restore them."""
        self.past = deque(((scores, targets) for scores, targets in state), maxlen=self.memory)

    def _decoded(self, scores: Tensor, targets: Any, mask: Tensor | None) -> Bracket:
        if self.automatic and self.training:
            if self.calls % REFIT == 0:
                few = torch.linspace(0, max(0, len(scores) - 1), min(FITTED, len(scores))).round().long()
                few = few.to(scores.device)
                targets_of_few = (
                    targets[few] if isinstance(targets, Tensor) else [targets[one] for one in few.tolist()]
                )
                self._fit(scores[few], targets_of_few, None if mask is None else mask[few])
            self.calls += 1
        return bracket(self.structure, self.update, scores, targets, epsilon=self.epsilon.item(), mask=mask)

    def _fit(self, scores: Tensor, targets: Any, mask: Tensor | None) -> None:
        """Renew the automatic epsilon."""

        def at(epsilon: float) -> Bracket:
            return bracket(self.structure, self.update, scores, targets, epsilon=epsilon, mask=mask)

        far = FAR * (1 + scores.abs().max().item() if scores.numel() else 1.0)
        furthest = self.structure.task_loss(at(far).upper, targets, mask=mask)
        scale = max(1.0, furthest.max().item()) if furthest.numel() else 1.0

        def apart(epsilon: float) -> float:
            return displacement(at(epsilon), self.structure, targets, mask, scale)

        previous = self.epsilon.item()
        found = fitted_epsilon(apart, previous, target=self.moved, far=far)
        kept = MEMORY if self.calls else 0.0
        self.epsilon.fill_(math.exp(kept * math.log(previous) + (1 - kept) * math.log(found)))

    def _linearised(self, scores: Tensor, targets: Any, mask: Tensor | None) -> Bracket:
        structure: Any = self.structure
        defined = structure.defined(scores, targets, mask=mask)
        if self.update == "blackbox":
            value, slopes = structure.blackbox(scores, targets, strength=self.epsilon.item(), mask=mask)
        else:
            value, slopes = structure.identity(scores, targets, mask=mask)
        alone = defined.view(-1, *[1] * (scores.ndim - 1))
        return Bracket(scores, scores, torch.where(defined, value, 0), torch.where(alone, slopes, 0), defined)

    def _with_past(
        self, outputs: Tensor, targets: Any, mask: Tensor | None
    ) -> tuple[Tensor, Any, Tensor | None]:
        """Join the detached scores of the last batches, and remember this one."""
        if not self.memory:
            return outputs, targets, mask
        if mask is not None or not isinstance(targets, Tensor) or targets.shape != outputs.shape:
            raise fail(
                "DirectLoss",
                "a memory with a mask, or with targets that are not one for every score",
                "whole rankings [query, item] with targets of the same shape",
            )
        for scores, _ in self.past:
            if len(scores) != len(outputs):
                raise fail(
                    "DirectLoss",
                    f"{len(outputs)} queries came and {len(scores)} before",
                    "the same queries each time",
                )
        joined = torch.cat([outputs, *(scores.to(outputs.dtype) for scores, _ in self.past)], 1)
        relevance = torch.cat([targets, *(part.to(targets.dtype) for _, part in self.past)], 1)
        if self.training:
            self.past.append((outputs.detach().clone(), targets.detach().clone()))
        return joined, relevance, None

    def _prepared(self, outputs: Tensor, targets: Any, mask: Tensor | None) -> Tensor:
        """Return float64 scores: normalised, with margin and noise, 0 at padding."""
        scores = outputs.double()
        here = torch.ones(scores.shape, dtype=torch.bool, device=scores.device)
        if mask is not None:
            here = mask.view(*mask.shape, *[1] * (scores.ndim - mask.ndim)).expand(scores.shape)
        scores = scores.masked_fill(~here, 0)
        if self.normalize is not None and scores.numel():
            scores = _NORMALIZED[self.normalize](_near_one(scores), here)
        if self.margin:
            if not isinstance(targets, Tensor) or targets.shape != scores.shape:
                raise fail(
                    "DirectLoss", f"margin is {self.margin}", "0, where targets are not one 0 or 1 a score"
                )
            scores = scores + self.margin * (0.5 - targets.double())
        if self.noise:
            scores = scores + self.noise * _noise(scores, getattr(self.structure, "noise", "normal"))
        return scores.masked_fill(~here, 0)

    def _watch(self, outputs: Tensor, targets: Any, found: Bracket, mask: Tensor | None) -> None:
        slopes = found.gradient.flatten(1)[found.defined]
        with torch.no_grad():
            spread = outputs.double() if mask is None else outputs.double()[mask]
            self.seen = {
                "epsilon": self.epsilon.item(),
                "score_std": spread.std(correction=0).item() if spread.numel() else 0.0,
                "zero": 1 - (slopes != 0).any(1).double().mean().item() if len(slopes) else 1.0,
                "undefined": float((~found.defined).sum()),
            }
            if self.update in DECODES:
                moved = self._moved(found, targets, mask)[found.defined]
                self.seen["moved"] = moved.mean().item() if moved.numel() else 0.0

    def _moved(self, found: Bracket, targets: Any, mask: Tensor | None) -> Tensor:
        structure: Any = self.structure
        if hasattr(structure, "moved"):
            return structure.moved(found.upper, found.lower, targets, mask=mask)
        return (found.upper != found.lower).flatten(1).double().mean(1)

    def _warn_of_collapse(self) -> None:
        if self.update in _SHRINKING and self.normalize is None:
            warnings.warn(
                f"DirectLoss: update={self.update!r} on raw scores is lowered by shrinking them; pass normalize='std'",
                RuntimeWarning,
                stacklevel=3,
            )
        if self.update == "pos" and self.margin:
            if self.normalize is None:
                raise fail(
                    "DirectLoss",
                    f"margin={self.margin} with update='pos' on raw scores",
                    "normalize='std' or 'unit'",
                    "A margin that makes the ranking worst leaves this update without any gradient.",
                )
            warnings.warn(
                "DirectLoss: a margin can leave update='pos' without any gradient; watch `zero`",
                RuntimeWarning,
                stacklevel=3,
            )


def _check_update(structure: Structure, update: str) -> None:
    if update not in get_args(Update):
        raise fail(
            "DirectLoss", f"update is {update!r}", "a known update", nearest(str(update), get_args(Update))
        )
    name = type(structure).__name__
    unsolved = _SIGNS.get(update, set()) - set(structure.signs)
    others = [one for one, signs in _SIGNS.items() if signs <= set(structure.signs)]
    if unsolved:
        raise fail(
            "DirectLoss",
            f"update={update!r} needs the sign {min(unsolved):+d}, which {name} does not solve exactly",
            f"an update that it solves: {', '.join(map(repr, others)) or 'none'}",
            "`Candidates` decodes both signs over sampled outputs.",
        )
    part = _NEEDS.get(update)
    if part is not None and not hasattr(structure, part):
        raise fail(
            "DirectLoss",
            f"update={update!r} needs a structure with `{part}`, and {name} has none",
            f"another update: {', '.join(map(repr, others))}",
        )


def _near_one(scores: Tensor) -> Tensor:
    """Return scores whose fourth powers stay in range: very large or small units times a power of two (exact)."""
    largest = scores.detach().abs().amax(tuple(range(1, scores.ndim)), keepdim=True)
    exponent = torch.frexp(largest)[1].clamp(-1000, 1000)
    factor = torch.where((exponent > 200) | (exponent < -20), torch.exp2(-exponent.double()), 1.0)
    return scores * torch.where(largest > 0, factor, 1.0)


def _by_std(scores: Tensor, here: Tensor) -> Tensor:
    axes = tuple(range(1, scores.ndim))
    count = divisor(here.sum(axes, keepdim=True))
    centred = (scores - scores.sum(axes, keepdim=True) / count).masked_fill(~here, 0)
    variance = centred.square().sum(axes, keepdim=True) / count
    return centred / or_one(variance, least=1e-12).sqrt()


def _by_norm(scores: Tensor, here: Tensor) -> Tensor:
    axes = tuple(range(1, scores.ndim))
    count = divisor(here.sum(axes, keepdim=True))
    square = scores.square().sum(axes, keepdim=True)
    flat = square < 1e-12 * count
    return scores * (count / torch.where(flat, count, square)).sqrt()


_NORMALIZED = {"std": _by_std, "unit": _by_norm}


def _noise(scores: Tensor, law: str) -> Tensor:
    if law == "gumbel":
        return -torch.log(-log_above(torch.rand_like(scores)))
    return torch.randn_like(scores)
