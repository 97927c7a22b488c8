"""What select says once all arms are trained: rules, falls in side metrics, portfolios, and which arm is returned."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from metricgrad._records import Chosen
from metricgrad._side_records import Fall
from metricgrad.tune.choice import attempts_of, chosen_of, without_value
from metricgrad.tune.closed_forms import ClosedForms
from metricgrad.tune.evaluator import Evaluator
from metricgrad.tune.falls import Beside, held_back, told_of
from metricgrad.tune.finalists import Finalists
from metricgrad.tune.folder import RunFolder
from metricgrad.tune.portfolio import Portfolio, told_of_picks
from metricgrad.tune.setup import Setup
from metricgrad.tune.stage import Stage
from metricgrad.tune.state import RunState

__all__ = ["Selection", "selected"]


@dataclass(frozen=True)
class Selection:
    """What select says.

    Attributes:
        chosen: the try of every arm, the arm of every seed, the seed.
        finalists: the models that stand for the arms.
        marks: what a reader must know of it.
    """

    chosen: Chosen
    finalists: Finalists
    marks: list[str]


def selected(
    setup: Setup,
    folder: RunFolder,
    evaluator: Evaluator,
    beside: Beside,
    stages: Sequence[Stage],
    state: RunState,
) -> Selection:
    """Choose by select, write every step of it, the choice itself fsynced.

    Args:
        setup: of the run.
        folder: of the run.
        evaluator: measures, and counts.
        beside: measures the side metrics.
        stages: that were trained.
        state: of the run, with the value of every stage.
    """
    select, attempts = attempts_of(stages, state.values, evaluator.better)
    trained = [(seed, arm.name) for seed in setup.seeds for arm in (setup.start, *setup.trained)]
    resamples = state.budget.resamples or setup.plan.resamples
    finalists = Finalists(setup, folder, evaluator, attempts)
    finalists.fit_rules(trained)
    forms = ClosedForms(setup, evaluator, folder.emit)
    made = forms.stand(finalists, select)

    def falls_of(models: Sequence[tuple[int, str]]) -> list[Fall]:
        return beside.falls(
            models, finalists.on_select, setup.splits, start=setup.start.name, resamples=resamples
        )

    falls = falls_of([*trained, *made])
    held, picks = held_back(falls), []
    portfolio = Portfolio(setup, finalists, evaluator, resamples)
    for arm in setup.portfolios:
        for seed in setup.seeds:
            picked, value, fallen = portfolio.pick(
                seed, arm, held, lambda seed, name: falls_of([(seed, setup.start.name), (seed, name)])
            )
            folder.emit(picked)
            select[str(seed)][arm.name] = value
            falls += fallen
            picks.append(picked)
    chosen = chosen_of(select, attempts, held_back(falls) | _stood_for(setup), evaluator.better)
    chosen = replace(chosen, argmax=finalists.argmax)
    folder.emit(chosen, durable=True)
    marks = [*finalists.told, *forms.told, *told_of_picks(picks), *told_of(falls), *without_value(chosen)]
    return Selection(chosen, finalists, marks)


def _stood_for(setup: Setup) -> set[tuple[int, str]]:
    """Seed and arm of what a portfolio has chosen from: it stands for them, and for the controls."""
    names = {name for arm in setup.portfolios for name in arm.members}
    names |= {arm.name for arm in setup.named("control") if setup.portfolios}
    return {(seed, name) for seed in setup.seeds for name in names}
