"""Which column is which: by its usual names, or as the user says; what else a file does not tell of itself."""

import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from metricgrad._checks import describe
from metricgrad.errors import InputError

__all__ = ["NAMES", "Said", "assigned", "named"]

NAMES = {
    "label": (
        "label", "labels", "target", "targets", "class", "classes", "y_true", "true_label", "ground_truth", "truth",
        "gt", "y", "label_id", "label_name", "class_id", "class_name", "classname", "category", "species",
    ),
    "target": ("target", "y_true", "true_label", "ground_truth", "truth", "gt", "actual", "label", "y"),
    "prediction": (
        "prediction", "predictions", "predicted", "pred", "preds", "y_pred", "y_hat", "predicted_label", "pred_label",
    ),
    "score": ("score", "scores", "y_score", "probability", "proba", "prob"),
}  # fmt: skip
"""What people call a column, in any case of the letters; the first name counts before the others."""


@dataclass(frozen=True)
class Said:
    """What the user said of the files.

    Attributes:
        delimiter: its name, for CSV files with another one than they seem to have (see `tables.DELIMITERS`).
        columns: the name of the column by what it holds, a key of `NAMES`.
        header: whether the first line of a single column of labels is its name; None where that is to be seen.
        decimal_comma: whether numbers are written as 0,5.
    """

    delimiter: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    header: bool | None = None
    decimal_comma: bool = False


def assigned(texts: Collection[str]) -> dict[str, str]:
    """The columns that options such as `target=diagnosis` name.

    Raises:
        InputError: no such form, no such role, one said twice, one column for two.

    Example:
        >>> assigned(["target=diagnosis", "score=p(ill)=1"])
        {'target': 'diagnosis', 'score': 'p(ill)=1'}
    """
    found = {}
    for text in texts:
        role, equals, name = text.partition("=")
        if not equals or role not in NAMES or role in found or name in found.values():
            raise InputError(
                f"--column is {describe(text)}; expected WHAT=NAME, once for each of {', '.join(NAMES)}, each "
                "with a column of its own, such as target=diagnosis."
            )
        found[role] = name
    return found


def named(path: Path, role: str, names: Collection[str], said: Said) -> str | None:
    """The column that holds labels, targets, predictions or scores; None where no name says so.

    Raises:
        InputError: the column that the user names is not there; several may be meant.

    Warns:
        UserWarning: it has another name than the usual one.
    """
    if role == "score" and "*" in said.columns.get(role, ""):
        return None  # columns of several classes: `scores_of_classes`
    if role in said.columns:
        if said.columns[role] not in names:
            raise InputError(
                f"{path} has the columns {describe(', '.join(names))}; expected {describe(said.columns[role])}, the "
                f"column of --column {role}, among them."
            )
        return said.columns[role]
    if role in names:
        return role
    free = [name for name in names if name not in said.columns.values()]
    found = [name for name in free if name.lower() == role] or [
        name for name in free if name.lower() in NAMES[role]
    ]
    if len(found) > 1:
        raise InputError(
            f"{path} has the columns {describe(', '.join(found))}, each of which may be the {role}; say which one: "
            f"--column {role}={found[0]}."
        )
    if found and role != "label":
        warnings.warn(f"{path}: the column {describe(found[0])} is read as the {role}.", stacklevel=2)
    return found[0] if found else None
