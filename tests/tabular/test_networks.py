"""Networks in training and in their plain form, and what each loss does to them."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from metricgrad.errors import InputError
from metricgrad.metrics import adapt
from metricgrad.tabular.ensemble import Ensemble, Pieces
from metricgrad.tabular.networks import TableNetwork, new_network
from metricgrad.tabular.training import ARMS, Rows, log_loss, loss_of, probabilities, to_plateau, trained_on

EDGES = [(-1.0, 0.0, 0.5, 2.0), (), (0.0, 1.0)]


def rows(many: int = 300) -> Rows:
    """Three classes, the last one rare, and what tells them apart."""
    x = torch.randn(many, 4, generator=torch.Generator().manual_seed(0))
    return Rows(x, (x[:, 0] * x[:, 1] > 0.3).long() + (x[:, 2] > 1.3).long())


def network(tabm: bool) -> TableNetwork:
    """A new one; TabM where it is installed."""
    if tabm:
        pytest.importorskip("tabm")
    return new_network(4, 3, EDGES, tabm=tabm, seed=1)


def test_pieces_by_hand() -> None:
    """Before a piece 0, behind it 1, within the share; numbers with fewer than three edges have none."""
    found = Pieces(EDGES)(torch.tensor([[0.25, 9.0, 0.5, 1.0], [-7.0, 0.0, 0.0, 0.0], [9.0, 0.0, 0.0, 0.0]]))
    torch.testing.assert_close(found[0, 4:], torch.tensor([1.0, 0.5, 0.0]))
    assert found[1, 4:].tolist() == [0, 0, 0] and found[2, 4:].tolist() == [1, 1, 1]


@pytest.mark.parametrize("tabm", [True, False])
def test_the_plain_form_says_the_same(tabm: bool) -> None:
    """After training, too: the mean probability of the members."""
    made, data = network(tabm), rows()
    to_plateau(made, data, data, seconds=0.2, seed=0)
    with torch.no_grad():
        wanted = made.eval()(data.x).softmax(2).mean(1)
    torch.testing.assert_close(made.folded()(data.x), wanted)
    torch.testing.assert_close(Ensemble(made.folded().state_dict())(data.x), wanted)
    assert made.folded().features == 4 and made.folded().classes == 3


def test_a_seed_is_a_network() -> None:
    """The same seed gives the same weights and the same training; global random state is left alone."""
    before = torch.random.get_rng_state()
    one, other = network(False), network(False)
    data = rows()
    for made in (one, other):
        trained_on(made, loss_of("continued", adapt("macro_f1"), data.y.bincount()), data, seconds=60, seed=3)
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.slow
def test_every_arm_learns() -> None:
    """Each lowers what it is for: log loss, or raises macro-F1 of argmax; a budget of nothing makes no step."""
    data, metric = rows(), adapt("macro_f1")
    start = network(False)
    to_plateau(start, data, data, seconds=0.3, seed=0)

    def value(made: TableNetwork) -> float:
        return float(metric.summarise(metric.measure(probabilities(made, data.x).argmax(1), data.y)))

    for arm in ARMS:
        made = copy.deepcopy(start)
        steps = trained_on(made, loss_of(arm, metric, data.y.bincount()), data, seconds=60, seed=0)
        assert steps == 150
        assert value(made) > value(start) - 0.02 and not torch.equal(made(data.x), start(data.x))
        assert trained_on(made, loss_of(arm, metric, data.y.bincount()), data, seconds=0, seed=0) == 0


def test_a_metric_that_is_called_trains_by_its_slopes() -> None:
    """A function without a formula."""

    def agreement(predictions: Any, targets: Any) -> float:
        return float((predictions == targets).double().mean())

    data = rows()
    loss = loss_of("soft_metric", adapt(agreement, higher_is_better=True), data.y.bincount())
    assert trained_on(network(False), loss, data, seconds=60, seed=0) == 150


def test_weights_count() -> None:
    """Rows of weight 0 are as if they were not there; the loss is that of the weighted rows."""
    data = rows()
    half = torch.arange(300) < 150
    weighted = Rows(data.x, data.y, half.float())
    made = network(False)
    assert log_loss(made, weighted) == pytest.approx(log_loss(made, data.of(half.nonzero()[:, 0])))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("w0", lambda one: one[:, :-1]),
        ("head", lambda one: one * torch.nan),
        ("place", lambda one: one + 50),
        ("width", lambda one: one * 0),
        ("offset", lambda one: one.double()),
    ],
)
def test_damaged_arrays_are_refused(name: str, change: Any) -> None:
    """One sentence, and no error from within torch."""
    arrays: dict[str, Tensor] = dict(network(False).folded().state_dict())
    with pytest.raises(InputError, match="the arrays of a network"):
        Ensemble({**arrays, name: change(arrays[name])})
    del arrays[name]
    with pytest.raises(InputError, match="the arrays of a network"):
        Ensemble(arrays)
