"""Which columns hold the scores of a class each: by name, by a pattern of the user, or called as the classes are."""

import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from metricgrad._checks import describe
from metricgrad.cli.naming import Said
from metricgrad.errors import InputError

__all__ = ["called_as_classes", "scores_of_classes"]


def scores_of_classes(path: Path, names: Collection[str], said: Said) -> dict[str, str]:
    """The columns with the scores of a class each, as `score_<class>`: by that name, or by a pattern with a star.

    The user says `score=p_*` where they are called `p_cat`, `p_dog`: the star stands for the class.

    Raises:
        InputError: a pattern with several stars, or that fits no column.

    Warns:
        UserWarning: which classes a pattern gives.
    """
    pattern = said.columns.get("score", "")
    if "*" not in pattern:
        return {name: name for name in names if name.startswith("score_")}
    first, last = pattern.split("*", 1)
    long = len(first) + len(last)
    fits = [name for name in names if name.startswith(first) and name.endswith(last) and len(name) > long]
    found = {name: name[len(first) : len(name) - len(last)] for name in fits}
    if "*" in last or not found:
        raise InputError(
            f"{path} has the columns {describe(', '.join(names))}; expected some that --column score={pattern} fits, "
            "where one star stands for the class."
        )
    classes = describe(", ".join(found.values()))
    warnings.warn(
        f"{path}: --column score={pattern} gives the scores of the classes {classes}.", stacklevel=2
    )
    return {name: f"score_{one}" for name, one in found.items()}


def called_as_classes(
    path: Path, columns: Mapping[str, list[Any]], classes: Collection[str] | None
) -> dict[str, list[Any]]:
    """Return the columns with those that are called as the classes are as `score_<class>`; as they are for other names.

    The classes are those that are known, and further columns are left out. Otherwise they are those of the target, and
    every column but `id` must be one: a further one may be a class that no row has.

    Args:
        path: of the table.
        columns: those with a role have its name (`target`, `--id`), all others their own.
        classes: what is known of them.

    Warns:
        UserWarning: which columns are read so.
    """
    roles = {name: cells for name, cells in columns.items() if name == "target" or name.startswith("--")}
    free = {name: cells for name, cells in columns.items() if name not in roles}
    found = {str(cell).strip() for cell in roles.get("target", [])} if classes is None else set(classes)
    further = [name for name in free if name not in found and name.lower() != "id"]
    if len(found) < 2 or not found <= set(free) or (classes is None and further):
        return roles
    scores = {f"score_{name}": cells for name, cells in free.items() if name in found}
    named = describe(", ".join(name for name in free if name in found))
    warnings.warn(f"{path}: the columns {named} are read as the scores of these classes.", stacklevel=2)
    return {**roles, **scores}
