"""From a name on the command line to the things of the catalogue that have it."""

import difflib
import re
from collections.abc import Iterable
from dataclasses import replace

from metricgrad._checks import nearest
from metricgrad.cli.catalogue import Thing, things
from metricgrad.errors import InputError
from metricgrad.methods.grammar import read_method
from metricgrad.metrics import metric_by_name

__all__ = ["find"]


def find(name: str, *, also: Iterable[str] = ()) -> list[Thing]:
    """Return what has this name: a metric and a loss may share one (`recall_at_k`).

    Args:
        name: as in the list, with or without `_loss`; a metric may carry its cut-off (`recall@5`, `hit_at_10`),
            a method its options (`surrogate:recall_at_k+simix`).
        also: further names that the caller knows, for the suggestion.

    Raises:
        InputError: nothing has this name; the message says which are near.
    """
    everything = things()
    if all(name not in (thing.name, *thing.also) for thing in everything):
        name = str(read_method(name).plain)  # `surrogate:recall_at_k+simix`: an option of a thing
    found = [
        thing for thing in everything if name in (thing.name, thing.name.removesuffix("_loss"), *thing.also)
    ]
    found = found or _metric_of_its_own(name, everything)
    if not found:
        names = (
            {named for thing in everything for named in (thing.name, *thing.also)} | set(also) | {"recipe"}
        )
        close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        hint = nearest(name, close) if close else "`metricgrad list` shows them all."
        raise InputError(f"there is no metric, loss, form, rule, method or task {name!r}. {hint}")
    return found


def _metric_of_its_own(name: str, everything: list[Thing]) -> list[Thing]:
    """A metric with a cut-off or settings in its name: what its function says, and what this name means."""
    word = re.sub(r"(?<=_at_)\d+$", "k", re.sub(r"@\d+$", "@k", name.lower().partition(":")[0]))
    named = {thing.name: thing for thing in everything if thing.kind == "metric"}
    thing = named.get(word) or named.get(
        word.removesuffix("@k")
    )  # `recall@5` is another metric than `recall`
    if thing is None:
        return []
    reading = metric_by_name(name).description
    return [replace(thing, name=name, line=reading, text=f"{name} here: {reading}.\n\n{thing.text}")]
