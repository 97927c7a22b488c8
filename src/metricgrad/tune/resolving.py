"""From the arguments of a call to what is run; everything that can be checked is, before anything is written."""

from metricgrad.tune.asked import Asked, check_forms, plan_of, seeds_of, start_plan_of
from metricgrad.tune.asked_rule import deciding_of
from metricgrad.tune.cast import cast_of
from metricgrad.tune.decidable import names_classes
from metricgrad.tune.evaluator import Evaluator
from metricgrad.tune.measures import measures
from metricgrad.tune.networks import SeededModel
from metricgrad.tune.plan import Plan
from metricgrad.tune.setup import Setup
from metricgrad.tune.tryout import try_out

__all__ = ["resolved"]


def resolved(asked: Asked) -> Setup:
    """Check everything that can be checked before anything is written."""
    plan, start_plan = plan_of("plan", asked.plan), start_plan_of(asked)
    check_forms(asked)
    build = SeededModel(asked.model, asked.device)
    splits, exact, sides, told = measures(asked, plan.batch)
    deciding = deciding_of(asked.decision, exact, splits)
    seeds = seeds_of(asked.seed)

    def of_classes() -> bool:
        return names_classes(Evaluator(exact).outputs(build(seeds[0]), splits.select))

    start, arms, why = cast_of(asked, exact, plan.tries, splits, of_classes)
    setup = Setup(
        build,
        splits,
        exact,
        arms,
        start,
        plan,
        start_plan or Plan(),
        seeds,
        asked.proxy,
        [*asked.notes, *told, *why],
        sides,
        asked.equal,
        deciding,
    )
    try_out(setup)
    return setup
