"""What `metricgrad decide` writes: the rule, and a table of decisions: id, target and decision of each row."""

import csv
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from metricgrad.cli import written as files
from metricgrad.cli.scored import Scored
from metricgrad.decision import Rule, save_rule

__all__ = ["beside", "require_free", "write_decisions", "write_rule"]


def beside(predictions: Path, out: Path | None, decided: Path | None) -> tuple[Path, Path]:
    """Paths of the rule and of the decisions: as they were said, else beside the predictions and beside the rule.

    Example:
        >>> [path.name for path in beside(Path("a.csv"), None, None)]
        ['a-rule.json', 'a-decided.csv']
        >>> [path.name for path in beside(Path("a.csv"), Path("mcc.json"), None)]
        ['mcc.json', 'mcc-decided.csv']
    """
    rule = out or predictions.with_name(f"{predictions.stem}-rule.json")
    return rule, decided or rule.with_name(f"{(out or predictions).stem}-decided.csv")


def require_free(written: Sequence[Path], read: Sequence[Path], *, force: bool) -> None:
    """Refuse to write over a file that is read, twice to one file, or without force over any that is there."""
    files.require_free("decide", "--out, --decided", written, read, force=force)


def write_rule(path: Path, rule: Rule) -> None:
    """Write a rule.

    Raises:
        InputError: the file cannot be written, or does not end in .json or .safetensors.
    """
    with files.writing(path, "--out"):
        save_rule(rule, path)


def write_decisions(path: Path, scored: Scored, decided: Tensor) -> None:
    """Write a line for each row: its id (or its number, from 1), its target where it has one, and its class.

    Raises:
        InputError: the file cannot be written.
    """
    classes = scored.names.classes
    columns = {"row": scored.numbers.tolist()} if scored.ids is None else {"id": scored.ids}
    if scored.targets is not None:
        columns["target"] = [classes[one] for one in scored.targets.tolist()]
    columns["decision"] = [classes[one] for one in decided.tolist()]
    with files.writing(path, "--decided"), path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
