"""An evaluator of sentence-transformers as the metric of a run: called as it is, with embeddings that are there."""

import copy
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from metricgrad._checks import describe, extra, fail, nearest, require_matrix, whole_number
from metricgrad._resampling import mean_of_units
from metricgrad._types import Metric
from metricgrad._user_code import called
from metricgrad.errors import Interrupted, MetricFailed
from metricgrad.integrations.evaluator_units import is_mean, number_of_units, only, parts_of, values_of_units
from metricgrad.integrations.sentence_lookup import CALLER, Asked, Asking, Known, around, batches_of
from metricgrad.metrics.foreign import number_of, told

_package = extra("sentence_transformers", "sentence-transformers", "An evaluator of sentences")

__all__ = ["Evaluated", "Texts", "evaluator_metric"]

_DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


class Texts:
    """A split of the texts that an evaluator asks for, each once: features as its inputs, their numbers as targets.

    Attributes:
        items: number of texts.
    """

    def __init__(self, batches: Sequence[tuple[dict[str, Any], Tensor]], items: int) -> None:
        self.items, self._batches = items, batches

    def __iter__(self) -> Iterator[tuple[dict[str, Any], Tensor]]:
        """Yield the batches; the dict of features is another one at every pass, as models add to it."""
        return ((dict(features), numbers) for features, numbers in self._batches)


class Evaluated(NamedTuple):
    """What `mg.tune` and `mg.compare` take of evaluators.

    Attributes:
        metric: of the run.
        select: split of the texts of the evaluator that chooses.
        test: of those of the evaluator that judges; None without one.
    """

    metric: Metric
    select: Texts
    test: Texts | None


def evaluator_metric(
    model: Any,
    select: Any,
    test: Any = None,
    *,
    key: str | None = None,
    higher_is_better: bool | None = None,
    batch_size: int = 32,
) -> Evaluated:
    """Make a metric and splits of evaluators of sentence-transformers (exact: the evaluators are called as they are).

    An evaluator holds texts and asks a model to embed them. Here they become splits, which the run embeds like any
    other; then the evaluator is called with a model that looks their embeddings up. It is called once with `model` now,
    to know its texts, and once with what that gave: both values must be the same.

    | evaluator | unit | interval |
    |---|---|---|
    | `InformationRetrievalEvaluator`, `RerankingEvaluator` | query | draws queries; their values are averaged |
    | `TripletEvaluator`, `BinaryClassificationEvaluator`, `EmbeddingSimilarityEvaluator` | triplet, pair | draws \
them and calls the evaluator with each draw |
    | any other that embeds texts: `TranslationEvaluator`, `ParaphraseMiningEvaluator`, `MSEEvaluator`, yours, ... | \
the whole | none: what may be drawn is not known |
    | `LabelAccuracyEvaluator` and those of sparse, multi-vector and cross-encoder models | | refused: they read more \
than embeddings |

    Args:
        model: the `SentenceTransformer` that is tuned, as it is at the start.
        select: evaluator that chooses steps and arms.
        test: evaluator of the same kind that is read once, at the end; None: nothing is claimed.
        key: which of its values, without the evaluator's name before it, as in `cosine_map@100`; None: its
            `primary_metric`.
        higher_is_better: direction of `key`; None for the primary metric, of which the evaluator says it.
        batch_size: texts per batch of a split.

    Returns:
        Metric and splits. With them go a fit split of yours and `OutputOf(model, "sentence_embedding")`.

    Raises:
        InputError: no `SentenceTransformer`; an evaluator that raises, asks for no text or for anything else than
            texts, or has another value when embeddings are looked up; no such key, or one whose direction is not known;
            evaluators of two kinds; a fit split that is measured (by a method that asks for the metric).
        MetricFailed: (on measuring) the evaluator raised or returned no finite number.

    Edge cases:
        Prompts and tasks of `encode_query` and `encode_document`, `truncate_dim` and `precision` are those of the
        evaluator and the model. No CSV file is written, and nothing is added to the model card. The evaluators are
        copied, and are as they were.

    Cost:
        Features of all texts in memory. Pairs and triplets: their embeddings in float64 for every arm, and one call of
        the evaluator per resample.
    """
    if not isinstance(model, _package.SentenceTransformer):
        raise fail(CALLER, f"the model is {describe(model)}", "a SentenceTransformer")
    batch_size = whole_number(CALLER, "batch_size", batch_size)
    judges = [_Judge(model, one, key) for one in (select, test) if one is not None]
    first = judges[0]
    for other in judges[1:]:
        if (type(other.evaluator), other.name) != (type(first.evaluator), first.name):
            came = f"select is {first}, and test is {other}"
            raise fail(CALLER, came, "evaluators of one kind, with one primary metric", "Name it as key=.")
    places = [0, len(first.asked)]
    splits = [
        Texts(
            [(features, numbers + place) for features, numbers in batches_of(model, one.asked, batch_size)],
            len(one.asked),
        )
        for one, place in zip(judges, places, strict=False)
    ]
    up = first.direction(key, higher_is_better)
    return Evaluated(_Measured(judges).record(up), splits[0], splits[1] if test is not None else None)


class _Judge:
    """One evaluator, what it asks for, and how it is called with embeddings of that."""

    def __init__(self, model: Any, evaluator: Any, key: str | None) -> None:
        self.given, self.evaluator, asks = (_copied(evaluator, model) for _ in range(3))
        asking = Asking(model)
        modes = [(module, module.training) for module in model.modules()]
        model.eval()
        try:
            found = called(
                f"the evaluator {type(evaluator).__name__}",
                asks,
                around(model, asking),
                expected="an evaluator that reads a model by encode, encode_query and encode_document alone",
                remedy="LabelAccuracyEvaluator, for one, reads a layer of its own: tune the network with it for "
                "accuracy instead.",
            )
        finally:
            for module, mode in modes:
                module.training = mode
        self.asked: list[Asked] = asking.asked
        if not self.asked:
            came = f"the evaluator {type(evaluator).__name__} asks for no text"
            raise fail(CALLER, came, "an evaluator with texts, which calls model.encode")
        self.primary = asks.primary_metric if isinstance(found, dict) else None
        self.key = self._key(found, key)
        self.value_at_start = self._number(found)
        self._known = Known({}, torch.zeros(0))
        self._model = around(model, self._known)
        self._places = {one: place for place, one in enumerate(self.asked)}
        if hasattr(self.evaluator, "batch_size"):
            self.evaluator.batch_size = len(self.asked)
        self.parts = parts_of(evaluator)
        self.units = number_of_units(evaluator) if self.parts is not None or is_mean(evaluator) else 1
        self._check_looked_up(asking.rows)

    def __str__(self) -> str:
        return f"{type(self.evaluator).__name__} of {self.name}"

    @property
    def name(self) -> str:
        """Of the value, without the name of the evaluator."""
        own = getattr(self.evaluator, "name", "")
        return self.key.removeprefix(f"{own}_") if self.key else type(self.evaluator).__name__

    def direction(self, key: str | None, given: bool | None) -> bool:
        """The direction of the value: that of the primary metric is the evaluator's, of any other is given."""
        known = bool(self.evaluator.greater_is_better) if key is None or self.key == self.primary else None
        if known is None and given is None:
            raise fail(CALLER, f"the direction of {self.name} is not known", "higher_is_better=True or False")
        if known is not None and given not in (None, known):
            came = f"higher_is_better={given} was given"
            raise fail(CALLER, came, f"{known}, which the evaluator says of {self.name}")
        return bool(known if given is None else given)

    def value(self, table: Tensor) -> float:
        """The value of the evaluator with embeddings of everything that it asks for [text, dim]."""
        self._known.place, self._known.table = self._places, table
        return self._called(copy.copy(self.evaluator), self._model)

    def values(self, table: Tensor) -> list[float]:
        """The value of every query."""
        self._known.place, self._known.table = self._places, table
        return values_of_units(self.evaluator, self._model, self._called)

    def rows(self, table: Tensor) -> Float[Tensor, "unit stat"]:
        """The embeddings of every pair or triplet behind its number and that of their type."""
        assert self.parts is not None
        routed = {(one.text, one.task): place for place, one in enumerate(self.asked)}
        places = torch.tensor(
            [
                [routed[text, task] for text in getattr(self.evaluator, name)]
                for name, task in self.parts.texts.items()
            ]
        )
        facts = torch.tensor([[number, _DTYPES.index(table.dtype)] for number in range(self.units)])
        return torch.cat([facts.double(), table[places.T].double().flatten(1)], 1)

    def value_of_rows(self, rows: Float[Tensor, "unit stat"]) -> float:
        """The value of the pairs or triplets of some rows of `rows`."""
        assert self.parts is not None
        units = rows[:, 0].long().tolist()
        some = only(self.evaluator, self.parts, units)
        width = len(self.parts.texts)
        table = rows[:, 2:].to(_DTYPES[int(rows[0, 1])]).reshape(len(rows) * width, -1)
        prompts = {one[::2]: one.prompt for one in self.asked}
        place = {}
        for part, (name, task) in enumerate(self.parts.texts.items()):
            for row, text in enumerate(getattr(some, name)):
                place[Asked(text, prompts[text, task], task)] = row * width + part
        self._known.place, self._known.table = place, table
        return self._called(some, self._model)

    def _called(self, evaluator: Any, model: Any) -> float:
        try:
            found = evaluator(model)
        except (Interrupted, MetricFailed):
            raise
        except Exception as error:  # whatever an evaluator raises
            raise MetricFailed(f"{self}: it raised {told(error)}; expected one number.") from error
        return self._number(found)

    def _number(self, found: Any) -> float:
        number = number_of(found[self.key] if self.key else found)
        if number is None:
            raise MetricFailed(f"{self}: it returned {describe(found)}; expected one finite number, or NaN.")
        return number

    def _key(self, found: Any, key: str | None) -> str | None:
        """The name of the value among those that came; None where one number came."""
        if not isinstance(found, dict):
            if key is not None:
                raise fail(CALLER, f"key is {key!r}, and the evaluator returns one number", "no key")
            return None
        own = getattr(self.evaluator, "name", "")
        whole = self.primary if key is None else f"{own}_{key}" if own else key
        if whole not in found:
            names = [name.removeprefix(f"{own}_") for name in found]
            came = (
                f"the evaluator has no primary metric ({self.primary!r})"
                if key is None
                else f"key is {key!r}"
            )
            raise fail(CALLER, came, "the name of a value", nearest(str(key), names))
        return whole

    def _check_looked_up(self, table: Tensor) -> None:
        """The value must be that of the model, and of known units it must follow from them."""
        again = {"with looked-up embeddings": self.value(table)}
        if is_mean(self.given):
            again["as the mean of its queries"] = mean_of_units(torch.tensor(self.values(table))[:, None])
        elif self.parts is not None:
            again["of all its units"] = self.value_of_rows(self.rows(table))
        for how, value in again.items():
            near = torch.isclose(
                torch.tensor(value), torch.tensor(self.value_at_start), 1e-4, 1e-6, equal_nan=True
            )
            if not bool(near):
                came = f"{self} gives {self.value_at_start:.6g} with the model and {value:.6g} {how}"
                raise fail(CALLER, came, "an evaluator whose value follows from the embeddings of its texts")


class _Measured:
    """The evaluators of a run as `measure` and `summarise` of a record: which one it is, the targets say."""

    def __init__(self, judges: Sequence[_Judge]) -> None:
        self._judges = judges

    def identity_parts(self) -> tuple[Any, ...]:
        """What makes two of them the same: the evaluators as they were given, and the value."""
        return tuple((judge.given, judge.key) for judge in self._judges)

    def record(self, higher_is_better: bool) -> Metric:
        """The metric."""
        first = self._judges[0]
        kind = type(first.evaluator).__name__
        if is_mean(first.given):
            unit, drawn = "sample", "an interval draws its queries"
        elif first.parts is not None:
            unit, drawn = "sample", "an interval draws its pairs or triplets and calls it with each draw"
        else:
            unit, drawn = "whole", f"no interval, as what may be drawn of a {kind} is not known"
        return Metric(
            name=first.name,
            measure=self.measure,
            summarise=mean_of_units if first.parts is None else self.summarise,
            higher_is_better=higher_is_better,
            bounds=(-float("inf"), float("inf")),
            unit=unit,
            description=f"{kind} of sentence-transformers, called as it is; {drawn}",
            reads="embeddings",
        )

    def measure(self, outputs: Any, targets: Any, **reference: Any) -> Float[Tensor, "unit stat"]:
        """Statistics: a value per query, a row per pair or triplet, or the value of the whole.

        Args:
            outputs: embeddings [text, dim].
            targets: numbers of the texts, as the splits give them.
            **reference: none; what an evaluator ranks against is in it.
        """
        rows = require_matrix(CALLER, "embeddings", outputs, "text, dim").detach().cpu()
        numbers = torch.as_tensor(targets).cpu()
        place = 0
        for number, judge in enumerate(self._judges):
            own = torch.arange(place, place + len(judge.asked))
            if not reference and torch.equal(numbers.sort().values, own):
                return self._of(judge, rows[numbers.argsort()], number)
            place += len(judge.asked)
        came = "a split with a reference" if reference else f"targets are {describe(numbers)}"
        raise fail(
            CALLER,
            f"{came}, and no texts of an evaluator",
            "a whole split that evaluator_metric returned",
            "A method that asks for the metric on rows of fit (blackbox, judge) cannot be used with it.",
        )

    def _of(self, judge: _Judge, table: Tensor, number: int) -> Float[Tensor, "unit stat"]:
        if is_mean(judge.given):
            return torch.tensor(judge.values(table), dtype=torch.float64)[:, None]
        if judge.parts is None:
            return torch.tensor([[judge.value(table)]], dtype=torch.float64)
        rows = judge.rows(table)
        rows[:, 0] += sum(one.units for one in self._judges[:number])
        return rows

    def summarise(self, statistics: Float[Tensor, "unit stat"]) -> float:
        """The value of pairs or triplets, any of them and any number of times."""
        if not len(statistics):
            return float("nan")
        rows, judge = statistics.clone(), self._judges[0]
        if int(rows[0, 0]) >= judge.units:
            rows[:, 0] -= judge.units
            judge = self._judges[1]
        return judge.value_of_rows(rows)


def _copied(evaluator: Any, model: Any) -> Any:
    """A copy that shares nothing but the model, which an evaluator that was called may hold."""
    return copy.deepcopy(evaluator, {id(model): model})
