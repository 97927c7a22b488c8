"""Models in their turn: networks, trees, networks that train on, each within its share of the minutes."""

from metricgrad._types import Observer
from metricgrad.tabular.boosting import has_trees
from metricgrad.tabular.job import MODELS, WHOLE, Budget
from metricgrad.tabular.models import TREES, Models
from metricgrad.tabular.training import ARMS, START

__all__ = ["trained_in_turn"]

WEIGHTS = {START: 11.0, TREES: 5.0}
"""Of a model in the budget; one that trains on weighs 2.5, rules and test 8."""
FURTHER, END, SHORTEST = 2.5, 8.0, 0.5
"""SHORTEST: seconds below which a model that trains on is not begun."""


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
    jobs = [(arm, model) for arm in arms for model in MODELS]
    budget = Budget(60 * minutes, [*(WEIGHTS.get(arm, FURTHER) for arm, _ in jobs), END])
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
    if left_out:
        notes.append(f"not trained, the minutes were over: {', '.join(left_out)}")
    return [arm for arm in arms if arm not in left_out]
