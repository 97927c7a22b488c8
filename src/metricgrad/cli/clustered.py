"""The life of a run whose cells a Ray cluster may train."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metricgrad.cli.running import carry_out
from metricgrad.errors import InputError
from metricgrad.tune.ray_cluster import connected

__all__ = ["carry_out_on"]


def carry_out_on(ray: str | None, given: Mapping[str, Any], folder: Path | None, **options: Any) -> None:
    """Carry a run out, connected to a Ray cluster before anything is loaded.

    Args:
        ray: address of the cluster; None for none.
        given: the keys of the recipe.
        folder: of the run; None for a new one.
        options: further ones of `carry_out`.

    Raises:
        InputError: as `carry_out`; the run is one of one method; no cluster answers.
        MissingExtraError: a cluster is given, and Ray is not installed.
    """
    if ray is not None and given.get("methods") is None:
        raise InputError(
            f"--ray {ray} came with {folder}, a run of one method; expected a contest, whose cells a cluster trains "
            "side by side: metricgrad compare TASK --methods A,B,... --ray auto."
        )
    with connected(ray, "--ray"):
        carry_out(given, folder, ray=ray, **options)
