"""What is trained on the features of the emoji: a head that begins as a closed form, or one that begins at random."""

from collections.abc import Callable
from functools import cache
from typing import Any, Literal

from torch import nn

from metricgrad.projection import LDA, Projection
from metricgrad.tasks.closed_form_head import ClosedFormHead
from metricgrad.tasks.film_head import FilmHead

__all__ = ["HEAD_OPTIONS", "head_of"]

HEAD_OPTIONS = {"head", "dim", "directions", "shrinkage", "dropout_bits"}
"""The options of the task that say what head it has."""


def head_of(
    fit: Any,
    *,
    head: Literal["closed_form", "film"],
    dim: int,
    directions: int | None,
    shrinkage: float,
    dropout_bits: Literal[16, 64],
) -> Callable[[int], nn.Module]:
    """Return seed -> the head before training; one that begins as a closed form begins alike for every seed.

    Args:
        fit: the fit split; the closed form is fitted when it is first asked for.
        head: as the options of the task have it, and so on.
        dim: of the embedding.
        directions: of the closed form.
        shrinkage: of the closed form.
        dropout_bits: of a FiLM head.
    """
    if head == "film":
        mean, deviation = fit.inputs.mean(0), fit.inputs.std(0)
        return lambda seed: FilmHead(mean, deviation, dim=dim, dropout_bits=dropout_bits)

    @cache
    def form() -> Projection:
        return LDA(shrinkage=shrinkage, dims=directions).fit(fit.inputs, fit.targets)

    return lambda seed: ClosedFormHead(form(), dim=dim)
