"""The life of a run whose cells a Ray cluster, or processes of this machine, may train."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metricgrad.cli.running import carry_out
from metricgrad.errors import InputError
from metricgrad.tune.ray_cluster import connected

__all__ = ["carry_out_on"]


def carry_out_on(
    ray: str | None, processes: int | None, given: Mapping[str, Any], folder: Path | None, **options: Any
) -> None:
    """Carry a run out, connected to a Ray cluster before anything is loaded.

    Args:
        ray: address of the cluster; None for none.
        processes: how many of this machine; None or 1 for this one.
        given: the keys of the recipe.
        folder: of the run; None for a new one.
        options: further ones of `carry_out`.

    Raises:
        InputError: as `carry_out`; the run is one of one method; a cluster and processes; no cluster answers.
        MissingExtraError: a cluster is given, and Ray is not installed.
    """
    if ray is not None and processes is not None:
        raise InputError(f"--ray {ray} came with --processes {processes}; expected one of both.")
    asked = (
        f"--ray {ray}" if ray is not None else f"--processes {processes}" if processes is not None else None
    )
    if asked is not None and given.get("methods") is None:
        raise InputError(
            f"{asked} came with {folder}, a run of one method; expected a contest, whose cells are trained side by "
            f"side: metricgrad compare TASK --methods A,B,... {asked}."
        )
    with connected(ray, "--ray"):
        carry_out(given, folder, ray=ray, processes=processes, **options)
