"""The run of `metricgrad compare` on a task or a recipe: its methods are trained in one contest."""

from collections.abc import Mapping
from typing import Any

from metricgrad.cli.clustered import carry_out_on
from metricgrad.cli.trust import trusted_keys
from metricgrad.errors import InputError

__all__ = ["compare_methods"]


def compare_methods(what: str, given: Mapping[str, Any]) -> None:
    """Train the methods that are named and show how they stand.

    Args:
        what: a task or a recipe.
        given: the options of the command by name.

    Raises:
        InputError: no methods; a name, an option or a setting that does not fit; a cluster that does not answer;
            a cluster and processes.
        MissingExtraError: a cluster is given, and Ray is not installed.
    """
    options = {
        "metric": given["metric"],
        "higher_is_better": given["higher_is_better"],
        "metric_timeout": given["metric_timeout"],
        "methods": _names(given["methods"]),
        "controls": _names(given["controls"]),
        "equal": given["equal"],
        "decision": given["decision"],
        "group_names": given["group_names"],
        "plan": {"steps": given["steps"], "minutes": given["minutes"]},
    }
    recipe = trusted_keys(what, options, given["assignments"] or [], trusted=given["trust"])
    if not recipe.get("methods"):
        raise InputError(
            f"compare: {what} names no methods; expected --methods A,B,... or `methods:` in a recipe. Predictions of "
            "models that are trained already are compared as two or more files (.csv, .parquet, .npy)."
        )
    carry_out_on(
        given["ray"],
        given["processes"],
        recipe,
        given["run"],
        as_json=given["as_json"],
        quiet=given["quiet"],
        seeds=given["seeds"],
        csv=given["csv"],
    )


def _names(text: str | None) -> list[str] | None:
    """Names parted by commas; no name at all is an empty list."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]
