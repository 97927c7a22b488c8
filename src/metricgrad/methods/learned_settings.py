"""The settings of a learned surrogate: how it is taught and followed, and the surrogate that they make."""

import inspect
from collections.abc import Mapping
from typing import Any

from pydantic import Field
from torch import nn

from metricgrad._checks import require_settings
from metricgrad._documents import NumberField, WholeField
from metricgrad.learned import FilteredSurrogate, LearnedSurrogate
from metricgrad.methods.descent import DescentSettings
from metricgrad.methods.trial import fitting_settings

__all__ = ["LearnedSettings", "check_objective", "make_surrogate", "space"]


class LearnedSettings(DescentSettings):
    """How the metric is learned and followed; `objective` holds the arguments of the surrogate by name.

    Args:
        surrogate_learning_rate: of Adam, for the embedding.
        surrogate_steps: before every model step.
        surrogate_warmup: surrogate steps before the first model step: half on made-up pairs, half on both kinds.
        surrogate_batch: pairs of a surrogate step.
        local_fraction: share of the pairs that come from the model and the fit split.
        replay_batches: batches of local pairs that are remembered.
        trust: least concordance of estimate and metric on held-out pairs, in -1 to 1.
        kept_floor: least share of the samples that pass the filter.
        patience: model steps below that floor before the surrogate is taught more.
        extra_steps: surrogate steps of one such lesson.
        lessons: of those after which the surrogate, still distrusted, ends the stage.
    """

    learning_rate: NumberField = Field(default=1e-4, gt=0)
    surrogate_learning_rate: NumberField = Field(default=1e-3, gt=0)
    surrogate_steps: WholeField = Field(default=5, ge=1)
    surrogate_warmup: WholeField = Field(default=2000, ge=1)
    surrogate_batch: WholeField = Field(default=128, ge=2, le=1_000_000)
    local_fraction: NumberField = Field(default=0.5, ge=0, le=1)
    replay_batches: WholeField = Field(default=20, ge=1, le=1_000_000)
    trust: NumberField = Field(default=0.7, ge=-1, le=1)
    kept_floor: NumberField = Field(default=0.1, ge=0, le=1)
    patience: WholeField = Field(default=50, ge=1)
    extra_steps: WholeField = Field(default=200, ge=1)
    lessons: WholeField = Field(default=3, ge=0)


def make_surrogate(
    encoder: nn.Module, objective: Mapping[str, Any], *, filtered: bool
) -> LearnedSurrogate | FilteredSurrogate:
    """Make a surrogate from its settings by name.

    Raises:
        InputError: an unknown setting (with the nearest ones) or one out of range.
    """
    kind = FilteredSurrogate if filtered else LearnedSurrogate
    known = set(inspect.signature(LearnedSurrogate).parameters) | set(inspect.signature(kind).parameters)
    known = known - {"encoder", "settings"}
    settings = {key: value for key, value in objective.items() if key != "symmetrize"}
    require_settings("learned", settings, known)
    return kind(encoder, **settings)


def check_objective(objective: Mapping[str, Any], *, filtered: bool) -> None:
    """Raise InputError for settings by name that make no surrogate."""
    with fitting_settings("learned", objective):
        make_surrogate(nn.Identity(), objective, filtered=filtered)


def space(*, filtered: bool) -> Mapping[str, tuple[Any, ...]]:
    """Return the settings that tries may draw."""
    values: dict[str, tuple[Any, ...]] = {
        "learning_rate": (3e-5, 1e-4, 3e-4),
        "objective.gradient_penalty_weight": (0.1, 1.0, 10.0),
        "objective.metric_scale": (0.3, 1.0),
        "local_fraction": (0.5, 0.8),
    }
    return {**values, "objective.zero_above": (0.5, 1.0, 2.0)} if filtered else values
