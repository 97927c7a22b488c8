"""What must fail before anything is trained: settings, names of parameters, a rule, side metrics."""

from metricgrad.tune.deciding import AUTO
from metricgrad.tune.plan import trainable_parameters
from metricgrad.tune.pool import fit_and_pool
from metricgrad.tune.setup import Setup
from metricgrad.tune.side_metrics import try_side_metrics

__all__ = ["try_out"]


def try_out(setup: Setup) -> None:
    """Make every method and measure what is measured for the first time, with the start model of the first seed.

    Raises:
        InputError: settings, a parameter, a rule or a side metric that does not fit.
    """
    seed, splits, metric = setup.seeds[0], setup.splits, setup.metric
    for arm in setup.every_arm:
        for attempt in arm.attempts:
            fit_and_pool(splits, metric, attempt.make(), seed)
    for plan in (setup.plan, setup.start_plan):
        if plan.trainable != "all":
            trainable_parameters(setup.build(seed), plan.trainable)  # a name that the model does not have
    deciding = setup.deciding
    if deciding is not None and deciding.rule != AUTO:
        deciding.check(setup.evaluator().outputs(setup.build(seed), splits.select))
    try_side_metrics(setup.side_metrics, metric, setup.build, splits, seed, deciding)
