"""What is known of an exact metric beside its function, as one small value: a record is made of it.

Every module of metrics ends in `FACTS`, one entry for each of its functions. From there a metric has its name on the
command line, its record for `tune` and the bootstrap, and its description; no other file names it.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from metricgrad._checks import fail, require_settings
from metricgrad._types import Reading
from metricgrad.metrics.of_rows import OfCounts

__all__ = ["Facts", "settings_of"]

_OF_COST = "tile"
"""A setting of how a value is computed, of which the value does not depend."""


@dataclass(frozen=True)
class Facts:
    """Everything that a record needs to know of a metric.

    Attributes:
        function: the public function; the first line of its docstring describes the metric in lists.
        reads: what it makes of the outputs; `classes` becomes `scores` where a threshold is set.
        rows: `(outputs, targets, **settings) -> Tensor` [unit] or [unit, stat], what is kept of each unit. Units of
            `query` also take `reference_outputs=` and `reference_targets=`.
        of_rows: `(rows, **settings) -> OfCounts`, the value of rows; None for the mean over the units that have one.
        of_confusion: `(Confusion, **settings) -> value`, of a metric of decided classes: what it is of their table.
        of_label_tables: `settings -> (tables of labels -> value)`, of a metric of several labels per sample; None
            where it is no function of these tables (see `label_tables`).
        formula: whose keywords are the settings, where these are not all of the function's.
        higher_is_better: the direction.
        bounds: smallest and largest value, or a function of the settings that returns them.
        per_sample: whether it is a mean (or a sum) of one value for each sample, so that it can be learned.
        unit: what a row is.
        describe: `(sentence, settings) -> description`, for what the first line of the docstring does not say.
        short: what tables call it, `{k}` for its k; None for the name of the function (`ndcg@5` with a k).
        aliases: further names, each with the settings that it stands for; `recall@k` is one of a metric that is
            asked for its k, and another name than `recall`.
        plain: of settings that are given in several forms, how one becomes the value that stands in the record.
        nothing: outputs and targets without a sample, on which settings are tried; None for those of `reads`.
    """

    function: Callable[..., Tensor]
    reads: Reading
    rows: Callable[..., Tensor]
    of_rows: Callable[..., OfCounts] | None = None
    of_confusion: Callable[..., Tensor] | None = None
    of_label_tables: Callable[[Mapping[str, Any]], Callable[[Tensor], Tensor] | None] = lambda settings: None
    formula: Callable[..., Tensor] | None = None
    higher_is_better: bool = True
    bounds: tuple[float, float] | Callable[[Mapping[str, Any]], tuple[float, float]] = (0.0, 1.0)
    per_sample: bool = False
    unit: str = "sample"
    describe: Callable[[str, Mapping[str, Any]], str] = lambda sentence, settings: sentence
    short: str | None = None
    aliases: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    plain: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    nothing: tuple[Any, Any] | None = None

    @property
    def name(self) -> str:
        """Name of the function."""
        return self.function.__name__

    @property
    def sentence(self) -> str:
        """First line of the docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    def complete(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """All settings by name, those that were not given at their defaults.

        Raises:
            InputError: a setting that the metric does not have, or one that it lacks.
        """
        known = self._parameters()
        require_settings(self.name, given, known)
        for name, default in known.items():
            if default is inspect.Parameter.empty and name not in given:
                remedy = "" if name == "k" else f"By name: {self.name}:{name}=VALUE."
                raise fail(self.name, f"{name} is missing", f"a value for {name}", remedy)
        settings = {name: given.get(name, default) for name, default in known.items() if name != _OF_COST}
        return {name: self.plain.get(name, lambda value: value)(value) for name, value in settings.items()}

    def label(self, given: Mapping[str, Any]) -> str:
        """What tables call it with these settings: `hit@1`, `recall_at_10`, `f_beta (beta=2)`."""
        own = self._own(given)
        k = own.pop("k", self._parameters().get("k"))
        name = self.name if k is None else f"{self.name.removesuffix('_at_k')}@{k}"
        if self.short is not None:
            name = self.short.format(k=k)
        return f"{name} ({_listed(own)})" if own else name

    def description(self, given: Mapping[str, Any]) -> str:
        """Which reading of an ambiguous name this is, in one sentence."""
        own, sentence = self._own(given), self.sentence.removesuffix(".")
        return self.describe(f"{sentence} [{_listed(own)}]" if own else sentence, self.complete(given))

    def _own(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The settings among those given that belong to the formula, not to how rows are found."""
        known = settings_of(self.formula or self.function)
        return {name: value for name, value in given.items() if name in known}

    def _parameters(self) -> dict[str, Any]:
        """All settings with their defaults."""
        return {**settings_of(self.formula or self.function), **settings_of(self.rows)}


def settings_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The settings of a function, which are its keywords but for references, with their defaults.

    Example:
        >>> def share(outputs, targets, *, k, reference_outputs=None, ties="mid"): ...
        >>> list(settings_of(share)), settings_of(share)["ties"]
        (['k', 'ties'], 'mid')
    """
    return {
        parameter.name: parameter.default
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY and not parameter.name.startswith("reference_")
    }


def _listed(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in settings.items())
