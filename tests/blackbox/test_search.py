"""The parts together: a whole search on scores of three unequal classes, with what it finds and what it must not."""

import functools
from typing import NamedTuple

import pytest
import torch
from torch import nn

from metricgrad.blackbox import (
    Gain,
    HeadAdapter,
    OptunaProposer,
    as_candidate,
    as_numbers,
    default_radius,
    elite_mean,
    first_candidates,
    mixture_weights,
    paired_bootstrap,
    permutation_check,
    within_radius,
)
from metricgrad.metrics import adapt

pytest.importorskip("optuna", reason="it comes with the extra search")
SHARES = torch.tensor([0.8, 0.15, 0.05])
STEPS = 30


class Data(NamedTuple):
    """Features and labels of one part."""

    x: torch.Tensor
    y: torch.Tensor


def _data(count: int, seed: int) -> Data:
    random = torch.Generator().manual_seed(seed)
    y = SHARES.multinomial(count, replacement=True, generator=random)
    return Data(0.8 * torch.eye(3)[y] + torch.randn(count, 3, generator=random), y)


def _start(fit: Data) -> nn.Linear:
    torch.manual_seed(0)
    network = nn.Linear(3, 3)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.05)
    for _ in range(200):
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(fit.x), fit.y).backward()
        optimiser.step()
    return network


class Search:
    """Mixtures of the losses of the classes, from a start, judged on a pool."""

    def __init__(self, fit: Data, pool: Data, metric: str) -> None:
        self.fit, self.pool, self.metric, self.calls = fit, pool, adapt(metric), 0
        self.adapter = HeadAdapter(_start(fit), "bias", fit.x)
        self.units = self.adapter.features(fit.x)
        self.counts = fit.y.bincount(minlength=3)
        self.losses = self.terms(torch.zeros(3)).detach()
        self.radius = default_radius(self.counts)

    def terms(self, phi: torch.Tensor) -> torch.Tensor:
        """The mean loss of each class."""
        outputs = self.adapter.outputs(self.units, phi)
        items = nn.functional.cross_entropy(outputs, self.fit.y, reduction="none")
        return torch.zeros(3).index_add(0, self.fit.y, items) / self.counts

    def trained(self, a: torch.Tensor) -> torch.Tensor:
        """The inner steps."""
        weights = mixture_weights(a.float())
        phi = torch.zeros(3, requires_grad=True)
        optimiser = torch.optim.Adam([phi], lr=2 * self.radius / STEPS)
        for _ in range(STEPS):
            optimiser.zero_grad()
            (weights * self.terms(phi) / self.losses).sum().backward()
            optimiser.step()
            with torch.no_grad():
                phi.copy_(within_radius(phi, self.radius))
        return phi.detach()

    def statistics(self, phi: torch.Tensor, part: Data) -> torch.Tensor:
        """What the metric measures."""
        return self.metric.measure(self.adapter.outputs(self.adapter.features(part.x), phi), part.y)

    def judge(self, a: torch.Tensor) -> float:
        """The metric on the pool, counted."""
        self.calls += 1
        return self.metric.summarise(self.statistics(self.trained(a), self.pool))

    def run(self, budget: int) -> torch.Tensor:
        """The elite mean of a whole search."""
        proposer = OptunaProposer(3, "tpe", seed=0)
        for one in first_candidates(self.counts, self.losses).values():
            proposer.enqueue(one)
        for _ in range(budget):
            candidate = proposer.ask()
            proposer.tell(candidate, self.judge(as_numbers(candidate)))
        return elite_mean(*proposer.observed())

    def gain(self, a: torch.Tensor, part: Data, resamples: int = 300) -> Gain:
        """What it found beside the start."""
        phis = self.trained(a), torch.zeros(3)
        return paired_bootstrap(
            *(self.statistics(phi, part) for phi in phis), self.metric.summarise, resamples=resamples
        )


@functools.cache
def _found() -> tuple[Search, torch.Tensor]:
    search = Search(_data(1500, 1), _data(1500, 2), "macro_f1")
    return search, search.run(20)


def test_it_gains_on_locked_data():
    """More macro-F1 on data that nobody saw, and the pool's gate says so; every call was counted."""
    search, found = _found()
    assert search.calls == 20
    assert search.gain(found, search.pool).accept
    assert search.gain(found, _data(4000, 3)).lower > 0


def test_it_is_the_same_again():
    """Same seed, same result, bit for bit."""
    search, found = _found()
    assert torch.equal(Search(search.fit, search.pool, "macro_f1").run(20), found)


def test_plain_training_stays():
    """The first candidate trains on; a network at its optimum hardly moves, and the gate lets nothing pass."""
    search, _ = _found()
    first = first_candidates(search.counts, search.losses)
    assert search.trained(first["continuing"]).norm() < 0.1
    assert search.trained(first["inverse_frequency"]).norm() > 1
    assert not search.gain(first["continuing"], search.pool).accept


def test_a_radius_of_one_would_be_too_small():
    """Why the radius follows the class shares: the biases that are found lie outside of 1."""
    search, found = _found()
    assert search.radius > 2
    assert search.trained(found).norm() > 1


@pytest.mark.slow
def test_nothing_is_gained_from_permuted_labels():
    """Where labels say nothing, neither does what was found."""

    def search(generator: torch.Generator) -> float:
        parts, draw = [], int(torch.randint(2**31, (), generator=generator))
        for place, count in enumerate((200, 200, 2000)):
            part = _data(count, draw + place)
            parts.append(Data(part.x, part.y[torch.randperm(count, generator=generator)]))
        one = Search(parts[0], parts[1], "mcc")
        return one.gain(one.run(8), parts[2], resamples=10).difference

    assert permutation_check(search, n=8).passed


def test_first_candidates_come_first():
    """In their order, before what the sampler draws."""
    proposer = OptunaProposer(3, "random", seed=0)
    first = first_candidates([8, 2, 1], [1.0, 1.0, 1.0])
    for one in first.values():
        proposer.enqueue(one)
    assert [proposer.ask() for _ in first] == [as_candidate(one) for one in first.values()]
