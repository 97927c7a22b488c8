"""`metricgrad decide` with the file of a rule: it decides the rows of another file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metricgrad.cli.decided import beside, require_free, write_decisions
from metricgrad.cli.score_kind import kind_of
from metricgrad.cli.scored import Names, said_of, scored_as
from metricgrad.decision import LabelThresholds, load_rule
from metricgrad.decision.suited import reads_one_number
from metricgrad.errors import InputError

__all__ = ["apply_file"]

_OF_FITTING = ("metric", "test", "test_fraction", "groups", "out", "positive_class", "higher_is_better")
"""Options that say nothing where a fitted rule is applied."""


def apply_file(given: Mapping[str, Any]) -> dict[str, Any]:
    """Decide the rows of a table by a rule from a file, write the decisions, and return the document.

    Args:
        given: the options of the command by name.

    Raises:
        InputError: an option of fitting, or a file does not fit.
    """
    for name in _OF_FITTING:
        if given[name] is not None:
            raise InputError(
                f"decide: --{name.replace('_', '-')} came with the file of a rule; expected it where a rule is fitted. "
                "Leave it out."
            )
    rule = load_rule(given["rule"])
    if isinstance(rule, LabelThresholds):
        raise InputError(
            f"decide: {given['rule']} holds a rule {rule.name}, which reads scores of several labels per row; expected "
            "a rule of one class per row."
        )
    _, path = beside(given["predictions"], None, given["decided"])
    require_free([path], [given["predictions"], Path(given["rule"])], force=given["force"])
    classes = list(rule.class_names) or [str(number) for number in range(rule.classes)]
    names = Names(classes, ordered=reads_one_number(rule.name))
    scored = scored_as(
        given["predictions"], said_of(given), names, groups=None, ids=given["ids"], target=False
    )
    kind_of(scored, rule.inputs if given["inputs"] == "auto" else given["inputs"])
    decided = rule.decide(scored.scores)
    write_decisions(path, scored, decided)
    counts = decided.bincount(minlength=rule.classes).tolist()
    return {
        "file": str(scored.path),
        "rows": len(scored),
        "rule": rule.name,
        "metric": rule.metric,
        "words": rule.words(),
        "decided": dict(zip(names.classes, counts, strict=True)),
        "written": {"decisions": str(path)},
    }
