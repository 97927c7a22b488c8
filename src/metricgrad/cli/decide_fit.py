"""`metricgrad decide` without a rule: one is fitted to some rows, judged on the others, and written."""

import warnings
from collections.abc import Mapping
from typing import Any

from metricgrad.cli.class_metric import metric_of_classes
from metricgrad.cli.decide_evidence import Progress, evidence
from metricgrad.cli.decided import beside, require_free, write_decisions, write_rule
from metricgrad.cli.over_the_cut import over_the_cut
from metricgrad.cli.parting import parts
from metricgrad.cli.score_kind import decided_plainly, kind_of
from metricgrad.decision import CutPoints, fit_rule
from metricgrad.metrics.adapt import metric_calls

__all__ = ["fit_file"]


def fit_file(given: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Fit a rule, judge it on other rows, write it with its decisions, and return the document.

    Args:
        given: the options of the command by name.
        progress: is told how far the draws are.

    Raises:
        InputError: an option, the metric or a file does not fit.
    """
    exact = metric_of_classes(given, progress)
    rule_path, decided_path = beside(given["predictions"], given["out"], given["decided"])
    read = [path for path in (given["predictions"], given["test"]) if path is not None]
    require_free([rule_path, decided_path], read, force=given["force"])
    pool, judged, parted = parts(exact, given)
    names, kind = pool.names, kind_of(pool, given["inputs"])
    kind_of(judged, kind)
    wanted = "cuts" if names.ordered and given["rule"] in (None, "auto") else given["rule"] or "auto"
    wanted = CutPoints(classes=len(names.classes)) if wanted == CutPoints.name else wanted
    scores = pool.scores - names.first  # classes are numbers from 0
    fitted = fit_rule(scores, pool.targets, exact, wanted, inputs=kind, groups=pool.groups)
    if isinstance(fitted.rule, CutPoints):
        fitted.rule.cuts = fitted.rule.cuts + names.first  # so that it reads the column as it stands
    fitted.rule.class_names = tuple(names.classes)
    after = fitted.rule.decide(judged.scores)
    if len(after.unique()) == 1:
        warnings.warn(f"every judging row is decided as {names.classes[int(after[0])]!r}.", stacklevel=2)
    draws = {name: given[name] for name in ("resamples", "confidence", "seed")}
    found = evidence(exact, judged, decided_plainly(judged, kind), after, fitted, progress, **draws)
    write_rule(rule_path, fitted.rule)
    write_decisions(decided_path, judged, after)
    return {
        "file": str(pool.path),
        "classes": names.classes,
        "positive_class": names.positive,
        "scores": "estimates of the class" if names.ordered else kind,
        "without": fitted.rule.without,
        "rule": fitted.rule.name,
        "words": fitted.rule.words(),
        "note": fitted.note,
        "parts": parted,
        "pool": {
            "rows": len(pool),
            "argmax": fitted.argmax_value,
            "value": fitted.value,
            "cross_fitted": fitted.cross_fitted,
        },
        "curve": over_the_cut(exact, fitted, pool),
        **found,
        "calls": {"fit": fitted.calls, "all": metric_calls(exact)},
        "written": {"rule": str(rule_path), "decisions": str(decided_path)},
    }
