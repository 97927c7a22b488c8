"""What the family of learned surrogates is called, what it suits, and the roads that it offers."""

from typing import Any

from metricgrad._types import Metric
from metricgrad.learned import FilteredSurrogate, LearnedSurrogate, SampleErrors
from metricgrad.methods.family import Family
from metricgrad.methods.grammar import MethodName, unknown_method
from metricgrad.methods.learned_method import Learned
from metricgrad.methods.learned_settings import LearnedSettings, space
from metricgrad.methods.proxy import Proxy, own_proxy, with_weights
from metricgrad.methods.road import Road

__all__ = ["FAMILY"]


def _road(name: MethodName, metric: Metric, proxy: Proxy | None) -> Road:
    """`learned` or `learned+filter`: the metric itself says what is learned."""
    if name.objective or any(option != "filter" for option in name.options):
        raise unknown_method(name, "learned or learned+filter")
    filtered = bool(name.options)
    SampleErrors(metric)  # a metric that cannot be learned must fail now

    def make(settings: Any) -> Learned:
        return Learned(settings, filtered=filtered, proxy=own_proxy(str(name), settings, proxy))

    return Road(str(name), make, LearnedSettings, with_weights(space(filtered=filtered), proxy))


def _suits(metric: Metric) -> MethodName | str:
    if metric.per_sample and metric.kind is not None:
        return MethodName("learned")
    return f"{metric.name} is no mean over samples" if metric.kind else "the kind of the outputs is not known"


FAMILY = Family(
    name="learned",
    line="Learns the metric from samples, then lowers what was learned.",
    settings=LearnedSettings,
    suits=_suits,
    road=_road,
    roads=lambda: {"learned": LearnedSurrogate, "learned+filter": FilteredSurrogate},
)
