"""The map in the folder of a finished `metricgrad adapt`, which may have been received: it is read, nothing else is."""

from collections.abc import Collection
from pathlib import Path

import torch

from metricgrad._layout import check_layout
from metricgrad.errors import InputError
from metricgrad.projection import PairProjection, Projection, load_projection

__all__ = ["map_of", "one_map", "require_only"]

SIDES = ("query", "document")


def require_only(door: str, said: Collection[str], own: Collection[str]) -> None:
    """Refuse options that say nothing here.

    Args:
        door: `--apply` or `--export`.
        said: names of the options that came.
        own: those that say something.
    """
    if wrong := sorted(set(said) - set(own)):
        raise InputError(
            f"adapt: --{wrong[0].replace('_', '-')} came with {door}, where it says nothing; leave it out."
        )


def map_of(run: Path) -> Projection | PairProjection:
    """Read the map; InputError where the folder is none, or its map is damaged."""
    if not run.is_dir():
        there = "is a file" if run.exists() else "is not there"
        raise InputError(
            f"the run folder {run} {there}; expected the folder of a finished `metricgrad adapt`."
        )
    check_layout(run)
    if not (run / "adapter.safetensors").exists():
        raise InputError(
            f"{run} has no adapter.safetensors; expected the folder of a finished `metricgrad adapt`. A run that was "
            "interrupted is finished by its own command with --run."
        )
    return load_projection(run / "adapter.safetensors")


def one_map(form: Projection | PairProjection, side: str | None, run: Path) -> Projection:
    """The map of one side; InputError where the sides differ and none is said, or no such side is."""
    if side is not None and side not in SIDES:
        raise InputError(f"adapt: --side is {side!r}; expected query or document.")
    if isinstance(form, Projection):
        return form
    if side is None and _differ(form):
        raise InputError(
            f"adapt: the map of {run} has two sides that differ, and no --side came; expected --side query or --side "
            "document."
        )
    return form.document if side == "document" else form.query


def _differ(form: PairProjection) -> bool:
    query, document = form.query, form.document
    return not (torch.equal(query.weight, document.weight) and torch.equal(query.bias, document.bias))
