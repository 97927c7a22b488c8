"""Is a learned model of the metric to be believed? It is examined on pairs that did not teach it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metricgrad._types import MethodRun
from metricgrad.learned import FilteredSurrogate, LearnedSurrogate, agreement, sign_agreement
from metricgrad.learned.pairs import Pairs
from metricgrad.methods.gauges import gauges_for
from metricgrad.methods.pair_maker import PairMaker, first_batches

__all__ = ["HELD_OUT", "PROBE", "Exam", "Findings"]

PROBE = 512
"""Held-out pairs of either kind on which trust is measured."""
POINTS = 200
"""Of these so many are kept for the report."""
HELD_OUT = 10_000_000
"""In the seed of held-out made-up pairs; training counts its draws from 0 and never gets here."""


@dataclass(frozen=True)
class Findings:
    """What an exam found.

    Attributes:
        values: by name of the gauge; NaN where undefined.
        local: points (metric, estimate) of outputs of the model.
        generated: the same of pairs made without data.
        measured: estimates and errors of the local pairs, which the next exam compares with its own.
        trusted: whether the model may follow the estimate.
    """

    values: Mapping[str, float]
    local: list[list[float]]
    generated: list[list[float]]
    measured: tuple[Tensor, Tensor]
    trusted: bool


class Exam:
    """Examines a surrogate at every evaluation, by the pairs of `select` and by made-up ones that never teach.

    Args:
        surrogate: that is examined.
        pairs: makes the pairs.
        run: whose `select` split and seed are used.
        trust: least concordance that is asked for.
    """

    def __init__(
        self, surrogate: LearnedSurrogate | FilteredSurrogate, pairs: PairMaker, run: MethodRun, trust: float
    ) -> None:
        self.surrogate, self.pairs, self.run, self.trust = surrogate, pairs, run, trust
        self.before: tuple[Tensor, Tensor] | None = None

    def sit(self, *, followed: bool) -> Findings:
        """Examine the surrogate as it is.

        Args:
            followed: whether the model has followed it already: then made-up pairs, which are no longer like the
                outputs of the model, do not decide.
        """
        local, errors, estimates = self._probe()
        near = agreement(estimates, errors)
        values = {
            "mae_local": near.mean_absolute_error,
            "mae_of_mean": near.of_mean,
            "kendall_tau": near.kendall_tau,
            "concordance": near.concordance,
            "best_decile_bias": near.best_decile_bias,
        }
        trusted, generated = near.passes(self.trust), []
        if self.pairs.kind.pairs is not None:
            made_up = self.pairs.made_up(np.random.default_rng((self.run.seed, HELD_OUT, 1)), PROBE)
            guesses = self.surrogate.estimate(made_up.z, made_up.y)
            wide = agreement(guesses, made_up.errors)
            values |= {"mae_generated": wide.mean_absolute_error, "concordance_generated": wide.concordance}
            trusted = trusted and (followed or wide.passes(self.trust))
            generated = _points(made_up.errors, guesses)
        fit = self.surrogate.fit(*local)
        agreeing, changed = math.nan, 0
        if self.before is not None:
            agreeing, changed = sign_agreement(self.before[0], estimates, self.before[1], errors)
        values |= {
            "sign_agreement": agreeing,
            "changed_pairs": changed,
            "mean_gradient_norm": float(fit.gradient_norm),
            "fit": float(fit.fit.detach()),
            "penalty": float(fit.penalty.detach()),
        }
        return Findings(values, _points(errors, estimates), generated, (estimates, errors), trusted)

    def finished(self, findings: Findings, counts: Mapping[str, float]) -> dict[str, Any]:
        """Return the fields of a `Fitted` record, and keep what the next exam compares with.

        Args:
            findings: of the last sitting.
            counts: further gauges, of the method.
        """
        self.before = findings.measured
        values = {**findings.values, **counts}
        return {
            "values": {name: None if math.isnan(value) else value for name, value in values.items()},
            "local": findings.local,
            "generated": findings.generated,
            "gauges": gauges_for(self.trust),
        }

    def distrust(self, findings: Findings) -> str:
        """Return why the surrogate must not touch the model; empty where it may."""
        if findings.trusted:
            return ""
        shown = ("concordance", "mae_local", "mae_of_mean", "concordance_generated")
        known = {name: findings.values[name] for name in shown if name in findings.values}
        numbers = ", ".join(
            f"{name} {'undefined' if math.isnan(value) else format(value, '.3g')}"
            for name, value in known.items()
        )
        return (
            f"the learned surrogate does not agree with the metric on held-out pairs ({numbers}); expected concordance "
            f">= {self.trust} and an error below that of the mean. It must not touch the model. Teach it longer "
            "(surrogate_warmup), lower objective.metric_scale or gradient_penalty_weight, or give an encoder that fits."
        )

    def batches(self) -> Sequence[tuple[Any, Any]]:
        """Return the first samples of `select`, before its first pass: the same ones every time."""
        if hasattr(self.run.select, "set_epoch"):
            self.run.select.set_epoch(0)  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
        return first_batches(self.run.select, PROBE)

    def _probe(self) -> tuple[Pairs, Tensor, Tensor]:
        """Errors and estimates of the model on samples of `select`."""
        zs, ys, errors = [], [], []
        for inputs, targets in self.batches():
            outputs = self.pairs.outputs(inputs)
            z, y = self.pairs.kind.compare(outputs, targets)
            zs.append(z.detach())
            ys.append(y.detach())
            errors.append(self.pairs.errors(outputs, targets).to(z))
        z, y, measured = torch.cat(zs), torch.cat(ys), torch.cat(errors)
        return Pairs.known(z, y, measured), measured, self.surrogate.estimate(z, y)


def _points(errors: Tensor, estimates: Tensor) -> list[list[float]]:
    """Points (metric, estimate) for the report, the first ones."""
    known = ~torch.isnan(errors)
    rows = torch.stack([errors[known].double(), estimates[known].double()], 1)[:POINTS]
    return [[round(float(one), 5) for one in row] for row in rows]
