"""The doors of `metricgrad adapt`: vectors, a table, and the map of a run that is applied or exported."""

from collections.abc import Collection, Mapping
from typing import Any

from metricgrad.errors import InputError

__all__ = ["through_its_door"]


def through_its_door(given: Mapping[str, Any], said: Collection[str]) -> None:
    """Carry out what the options ask for.

    Args:
        given: the options of the command by name.
        said: names of those that came.

    Raises:
        InputError: options of two doors, or an option that says nothing behind its door.
    """
    apply, export = given["apply"], given["export"]
    if given["table"] is not None or given["train"] is not None:
        from metricgrad.cli.adapt_table import adapt_table

        adapt_table(given, said)
        return
    if wrong := sorted(
        {"test", "target", "time", "id_column", "positive_class", "sample_weight", "higher_is_better"}
        & set(said)
    ):
        raise InputError(
            f"adapt: --{wrong[0].replace('_', '-')} came without a table; expected it with --table or --train."
        )
    if apply is not None and export is not None:
        raise InputError("adapt: --apply and --export came together; expected one of them.")
    if apply is not None:
        from metricgrad.cli.adapt_apply import apply_run

        apply_run(given, said)
    elif export is not None:
        from metricgrad.cli.adapt_export import export_run

        export_run(given, said)
    else:
        from metricgrad.cli.adapting import carry_out

        _require_fit(given)
        carry_out({**given, "side": given["side"] or "both"})


def _require_fit(given: Mapping[str, Any]) -> None:
    """Refuse what says nothing where a map is fitted."""
    if given["file"] is not None:
        raise InputError(
            f"adapt: {given['file']} came without --apply or --export; expected vectors to adapt as --embeddings, or "
            "as --queries and --corpus."
        )
    if given["out"] is not None:
        raise InputError(
            "adapt: --out came without --apply or --export; expected --run, which names the folder of a run."
        )
