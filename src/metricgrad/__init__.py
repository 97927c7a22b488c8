"""Train for the metric you report: tune a PyTorch model for a metric that has no gradient, with held-out evidence.

    import metricgrad as mg

    ranks = mg.positive_ranks(embeddings, labels, temperature=0.05)         # a loss in a loop of your own
    loss = mg.mean_valid(mg.losses.recall_at_k_loss(ranks, k=1), ranks)
    result = mg.tune(model, splits, metric="recall@1", proxy="supcon")      # or the whole job, with a control arm

The names below are imported when they are first asked for: `import metricgrad` alone costs nothing.
"""

import importlib
import sys
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metricgrad import decision as decision
    from metricgrad import direct as direct
    from metricgrad import learned as learned
    from metricgrad import losses as losses
    from metricgrad import metrics as metrics
    from metricgrad import projection as projection
    from metricgrad._qrels import Qrels as Qrels
    from metricgrad._types import Metric as Metric
    from metricgrad.adapting import adapt_embeddings as adapt_embeddings
    from metricgrad.adapting import adapt_pairs as adapt_pairs
    from metricgrad.averages import mean_valid as mean_valid
    from metricgrad.errors import MetricgradError as MetricgradError
    from metricgrad.metrics import per_sample as per_sample
    from metricgrad.ranking import RankingLoss as RankingLoss
    from metricgrad.ranking import positive_ranks as positive_ranks
    from metricgrad.relax import positive_ranks_from_scores as positive_ranks_from_scores
    from metricgrad.tune import ArraySplit as ArraySplit
    from metricgrad.tune import ClassBatchSplit as ClassBatchSplit
    from metricgrad.tune import Plan as Plan
    from metricgrad.tune import Result as Result
    from metricgrad.tune import Splits as Splits
    from metricgrad.tune import compare as compare
    from metricgrad.tune import tune as tune

    __version__: str

__all__ = [
    "ArraySplit",
    "ClassBatchSplit",
    "Metric",
    "MetricgradError",
    "Plan",
    "Qrels",
    "RankingLoss",
    "Result",
    "Splits",
    "__version__",
    "adapt_embeddings",
    "adapt_pairs",
    "compare",
    "decision",
    "direct",
    "learned",
    "losses",
    "mean_valid",
    "metrics",
    "per_sample",
    "positive_ranks",
    "positive_ranks_from_scores",
    "projection",
    "tune",
]

_HOMES = {
    "ArraySplit": "tune",
    "ClassBatchSplit": "tune",
    "Metric": "_types",
    "MetricgradError": "errors",
    "Plan": "tune",
    "Qrels": "_qrels",
    "RankingLoss": "ranking",
    "Result": "tune",
    "Splits": "tune",
    "adapt_embeddings": "adapting",
    "adapt_pairs": "adapting",
    "compare": "tune",
    "mean_valid": "averages",
    "per_sample": "metrics",
    "positive_ranks": "ranking",
    "positive_ranks_from_scores": "relax",
}
"""The module of each name; a name of `__all__` that is missing here is a subpackage."""


def __getattr__(name: str) -> Any:
    """Import the home of a public name when the name is first asked for."""
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("metricgrad")
    elif name in _HOMES:
        value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    elif name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted({*globals(), *__all__})


def _later(module: str, name: str) -> Callable[..., Any]:
    """A function that imports itself on its first call."""

    def call(*args: Any, **settings: Any) -> Any:
        return getattr(importlib.import_module(f"{__name__}.{module}"), name)(*args, **settings)

    return call


class _Tune(ModuleType):
    """The subpackage `metricgrad.tune`, which is called like the function of the same name that it holds.

    A subpackage and a function of one name would otherwise hide each other, depending on what is imported first.
    """

    def __call__(self, *args: Any, **settings: Any) -> Any:
        """Call `metricgrad.tune.tune`."""
        return self.tune(*args, **settings)


class _Root(ModuleType):
    """This package; it notices when `metricgrad.tune` is imported and hands the report in, a floor tune cannot see."""

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "tune" and isinstance(value, ModuleType):
            value.__class__ = _Tune
            value.__signature__ = signature(value.tune)  # pyright: ignore[reportAttributeAccessIssue]
            render: Callable[[Path], Path] = _later("report.page", "render")
            value.Result.renderer = render
            value.Result.summariser = _later("report.table", "summary_text")


sys.modules[__name__].__class__ = _Root
