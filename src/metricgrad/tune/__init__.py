"""The loop: arms at equal budget, selection on `select`, one reading of `test`, a verdict, a resumable folder."""

from metricgrad.tune.arms import Contender as Contender
from metricgrad.tune.compare import compare as compare
from metricgrad.tune.compared import Comparison as Comparison
from metricgrad.tune.given_form import GivenForm as GivenForm
from metricgrad.tune.pair_split import PairSplit as PairSplit
from metricgrad.tune.plan import Plan as Plan
from metricgrad.tune.result import Result as Result
from metricgrad.tune.run import tune as tune
from metricgrad.tune.splits import ArraySplit as ArraySplit
from metricgrad.tune.splits import ClassBatchSplit as ClassBatchSplit
from metricgrad.tune.splits import Splits as Splits

__all__ = [
    "ArraySplit",
    "ClassBatchSplit",
    "Comparison",
    "Contender",
    "GivenForm",
    "PairSplit",
    "Plan",
    "Result",
    "Splits",
    "compare",
    "tune",
]
