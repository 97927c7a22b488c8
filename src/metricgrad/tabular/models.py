"""The models of a run: networks and trees that leave a fold out, and those that learn from all of fit; kept on disk."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from metricgrad.tabular.boosting import boosted
from metricgrad.tabular.forest import Forest
from metricgrad.tabular.job import MODELS, WHOLE, Job
from metricgrad.tabular.networks import TableNetwork, new_network
from metricgrad.tabular.training import START, loss_of, probabilities, to_plateau, trained_on
from metricgrad.tune.checkpoint import load_weights, save_weights

__all__ = ["Models"]

TREES = "trees"
States = list[Mapping[str, Tensor]]
"""Weights of one arm: of the model of each fold, then of the model of all of fit."""


class Models:
    """Trains what is not there yet, one model after the other, and predicts.

    Args:
        job: what is learned.
        folder: where finished models are kept, and found again by the same run.
    """

    def __init__(self, job: Job, folder: Path) -> None:
        self.job, self.folder = job, folder
        self.facts: dict[str, list[Any]] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def network(self) -> TableNetwork:
        """A network of the right size."""
        encoder = self.job.encoder
        edges = [one.edges for one in encoder.numbers]
        features = self.job.dense.x.shape[1]
        return new_network(features, len(self.job.classes), edges, tabm=self.job.tabm, seed=self.job.seed)

    def train(self, arm: str, model: int, seconds: float) -> None:
        """Train one model of an arm; every arm but the start begins at the start."""
        if arm == TREES:
            self._kept(arm, model, lambda: self._trees(model, seconds))
        else:
            self._kept(arm, model, lambda: self._weights(arm, model, seconds))

    def states(self, arm: str) -> States:
        """The weights of an arm."""
        return [load_weights(self._path(arm, model)) for model in MODELS]

    def probabilities(
        self, state: Mapping[str, Tensor], rows: np.ndarray
    ) -> Float64[np.ndarray, "row class"]:
        """What a network with these weights says of rows."""
        network = self.network()
        network.load_state_dict(dict(state))
        return probabilities(network, self.job.dense.x[torch.from_numpy(rows)]).double().numpy()

    def forest(self, model: int) -> Forest:
        """The trees of a model."""
        arrays = {name: array.numpy() for name, array in load_weights(self._path(TREES, model)).items()}
        return Forest(arrays, len(self.job.classes), self.job.columns.x.shape[1])

    def pooled(self, arm: str, states: States | None = None) -> Float64[np.ndarray, "row class"]:
        """Probabilities of all rows of the pool, each by a model that did not learn from it."""
        job = self.job
        found = np.empty((len(job.y), len(job.classes)))
        given = states if states is not None or arm == TREES else self.states(arm)
        for model in MODELS:
            rows = job.asked(model)
            if given is None:
                found[rows] = self.forest(model).probabilities(job.columns.x[rows])
            else:
                found[rows] = self.probabilities(given[model], rows)
        return found[job.pool]

    def _weights(self, arm: str, model: int, seconds: float) -> tuple[Mapping[str, Tensor], Any]:
        """Train a network."""
        job, network = self.job, self.network()
        rows, seed = torch.from_numpy(job.learning(model)), job.seed + 10 * model
        fit = job.dense.of(rows)
        if arm == START:
            select = job.dense.of(torch.from_numpy(job.parts.select))
            fact = to_plateau(network, fit, select, seconds=seconds, seed=seed)
        else:
            network.load_state_dict(load_weights(self._path(START, model)))
            counts = fit.y.bincount(minlength=len(job.classes))
            fact = trained_on(network, loss_of(arm, job.metric, counts), fit, seconds=seconds, seed=seed + 1)
        return network.state_dict(), fact

    def _trees(self, model: int, seconds: float) -> tuple[Mapping[str, Tensor], Any]:
        """Train trees."""
        job = self.job
        fit, select = (job.columns.of(rows) for rows in (job.learning(model), job.parts.select))
        found = boosted(
            fit,
            select,
            categories=len(job.encoder.levels),
            classes=len(job.classes),
            seconds=seconds,
            seed=job.seed,
        )
        return {name: torch.from_numpy(array.copy()) for name, array in found.forest.arrays.items()}, {
            "short": found.short
        }

    def _kept(self, arm: str, model: int, make: Callable[[], tuple[Mapping[str, Tensor], Any]]) -> None:
        """Make a model unless it is kept, and keep it."""
        path = self._path(arm, model)
        if not path.exists():
            arrays, fact = make()
            save_weights(path, arrays)
            self.facts.setdefault(arm, []).append(fact)

    def _path(self, arm: str, model: int) -> Path:
        name = "whole" if model == WHOLE else f"fold{model}"
        return self.folder / f"{arm}-{name}.safetensors"
