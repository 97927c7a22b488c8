"""The numbers by which a learned model of a metric is judged: what each says, and from where on it warns.

A record holds the gauges of its run, so that it is read by the thresholds that the run had. Those of a record without
them are `GAUGES`.
"""

from collections.abc import Mapping
from dataclasses import replace

from metricgrad._records import Gauge

__all__ = ["GAUGES", "gauges_for"]

_ORDER = "the estimate orders outputs otherwise than the metric does"
TRUST, AGREEMENT = 0.7, 0.5

GAUGES: Mapping[str, Gauge] = {
    "kendall_tau": Gauge(
        "Kendall tau",
        "order of the local pairs: 1 is the metric's own, 0 unrelated; ties of the metric keep it below 1",
        "all local pairs have one metric value or one estimate",
        least=TRUST,
        warning=_ORDER,
        unless="concordance",
    ),
    "concordance": Gauge(
        "concordance",
        "the same over pairs with different metric alone: 1 is a perfect order, whatever the ties",
        "all local pairs have one metric value",
        least=TRUST,
        warning=_ORDER,
    ),
    "concordance_generated": Gauge(
        "concordance, generated",
        "the same on pairs made without data",
        "all generated pairs have one metric value",
    ),
    "sign_agreement": Gauge(
        "sign agreement",
        "share of the changed samples whose estimate moved the way of their metric",
        "no sample's metric changed since the evaluation before",
        least=AGREEMENT,
        warning="more often than not the estimate moved against the metric",
        counted="changed_pairs",
    ),
    "changed_pairs": Gauge(
        "changed samples", "samples whose metric changed since the evaluation before", form="count"
    ),
    "mae_local": Gauge(
        "mean absolute error, local",
        "between estimate and metric, on outputs of the model",
        "there is no such pair",
        below="mae_of_mean",
        warning="the local error is no better than that of always saying the mean",
    ),
    "mae_generated": Gauge(
        "mean absolute error, generated",
        "the same on pairs made without data",
        "no pairs are made without data",
    ),
    "mae_of_mean": Gauge(
        "error of the mean, local",
        "of always saying the mean metric: an estimate has to beat it",
        "there is no such pair",
    ),
    "best_decile_bias": Gauge(
        "bias on the best tenth",
        "estimate minus metric on the tenth with the lowest estimates; below 0 it praises what is not good",
        "there are too few pairs",
        form="signed",
    ),
    "mean_gradient_norm": Gauge(
        "gradient norm", "mean length of the estimate's gradient; the penalty asks for 1"
    ),
    "fit": Gauge("fit", "objective of the surrogate: mean squared error of the estimate"),
    "penalty": Gauge("penalty", "objective of the surrogate: mean squared distance of gradient norms from 1"),
    "kept_fraction": Gauge(
        "kept fraction",
        "share of the samples that the filter let the model learn from, since the evaluation before",
        "no step was taken since then",
    ),
    "skipped_steps": Gauge(
        "skipped steps", "model steps not taken, for the filter kept no sample", form="count"
    ),
    "pauses": Gauge("pauses", "times the model waited while the surrogate was taught more", form="count"),
    "surrogate_steps": Gauge(
        "surrogate steps", "training steps of the surrogate, warm-up included", form="count"
    ),
    "sample_metric_calls": Gauge(
        "metric calls",
        "single pairs that the metric was computed of, to check it and to train the surrogate",
        form="count",
    ),
    "dropped_samples": Gauge("dropped samples", "their metric failed or was not finite", form="count"),
    "seconds": Gauge("time", "spent on the surrogate", form="seconds"),
}
"""Of a learned surrogate, in the order of its table."""


def gauges_for(trust: float) -> dict[str, Gauge]:
    """Return the gauges of a run that asked for another order than the default.

    Example:
        >>> gauges_for(0.9)["concordance"].least
        0.9
    """
    asked = {name: replace(GAUGES[name], least=trust) for name in ("kendall_tau", "concordance")}
    return {**GAUGES, **asked}
