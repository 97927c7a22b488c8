"""Models in their turn: networks, trees, networks that train on, each within its share of the minutes."""

from metricgrad._types import Observer
from metricgrad.metrics.command import program_of
from metricgrad.tabular.boosting import has_trees
from metricgrad.tabular.job import MODELS, WHOLE, Budget
from metricgrad.tabular.models import TREES, Models
from metricgrad.tabular.training import ARMS, SOFT, START

__all__ = ["trained_in_turn"]

WEIGHTS = {START: 9.0, TREES: 4.0}
"""Of a model in the budget; one that trains on weighs 2, rules and test 12."""
FURTHER, END, SHORTEST = 2.0, 12.0, 0.5
"""SHORTEST: seconds below which a model that trains on is not begun."""
MORE = 2.0
"""Times that weight for the model that learns from all of fit: it has half as many rows again, and judges test."""


def trained_in_turn(models: Models, minutes: float, observer: Observer, notes: list[str]) -> list[str]:
    """Train every model that is not kept yet.

    Args:
        models: of the run.
        minutes: of the whole run.
        observer: is told how far it is.
        notes: gets what was not trained, and why.

    Returns:
        The arms of which all models are there, the start first.
    """
    first = [START, TREES] if has_trees() else [START]
    if TREES not in first:
        notes.append("no boosted trees: scikit-learn is not installed (pip install 'metricgrad[table]')")
    arms = [*first, *ARMS]
    if program_of(models.job.metric) is not None:
        arms.remove(SOFT)
        notes.append(
            "no network is trained for the metric itself, no mean of networks tried: a program would run too often"
        )
    jobs = [(arm, model) for arm in arms for model in MODELS]
    weights = [WEIGHTS.get(arm, FURTHER) * (MORE if model == WHOLE else 1.0) for arm, model in jobs]
    budget = Budget(60 * minutes, [*weights, END])
    left_out: list[str] = []
    for done, (arm, model) in enumerate(jobs):
        seconds = budget.take()
        told = {"what": f"{arm} {'whole' if model == WHOLE else f'fold {model + 1}'}", "unit": "model"}
        observer({"event": "progress", "done": done, "total": len(jobs), **told})
        if arm in left_out or (arm in ARMS and seconds < SHORTEST):
            left_out += [] if arm in left_out else [arm]
        else:
            models.train(arm, model, seconds)
    observer({"event": "progress", "what": "models", "done": len(jobs), "total": len(jobs), "unit": "model"})
    for arm, what in ((START, "networks"), (TREES, "boosted trees")):
        if short := sum(bool(fact["short"]) for fact in models.facts.get(arm, [])):
            notes.append(
                f"{short} of {len(MODELS)} {what} had not reached their plateau when their minutes were over"
            )
    if left_out:
        notes.append(f"not trained, the minutes were over: {', '.join(left_out)}")
    return [arm for arm in arms if arm not in left_out]
