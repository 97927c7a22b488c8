"""A network is called with the inputs of a batch: whole, by name or by place."""

import collections
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence

from metricgrad._forward import forward


class Two(nn.Module):
    """Two arguments, of which one has a default value or not."""

    def forward(self, a: Any, b: Any) -> Any:
        """Return what came."""
        return a, b


class Optional(nn.Module):
    """One argument and another that may be left out, as networks of texts have."""

    def forward(self, ids: Any = None, mask: Any = None, **_: Any) -> Any:
        """Return what came."""
        return ids, mask


class Whole(nn.Module):
    """One argument."""

    def forward(self, batch: Any, scale: float = 1.0) -> Any:
        """Return what came."""
        return batch, scale


class Any_(nn.Module):
    """Says nothing of its arguments."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return what came."""
        return args, kwargs


Pair = collections.namedtuple("Pair", "a b")


@pytest.mark.parametrize(
    ("model", "inputs", "wanted"),
    [
        (Two(), (1, 2), (1, 2)),
        (Two(), [1, 2], (1, 2)),
        (Two(), {"b": 2, "a": 1}, (1, 2)),
        (nn.DataParallel(Two()), {"b": 2, "a": 1}, (1, 2)),
        (Optional(), {"ids": 1}, (1, None)),
        (Optional(), collections.UserDict(mask=2, ids=1), (1, 2)),
        (Optional(), {"ids": 1, "token_type_ids": 3}, (1, None)),
        (Optional(), (1, 2), ((1, 2), None)),
        (Whole(), {"x": 1}, ({"x": 1}, 1.0)),
        (Whole(), {"x": 1, "scale": 2}, ({"x": 1, "scale": 2}, 1.0)),
        (Whole(), {}, ({}, 1.0)),
        (Whole(), {3: 1}, ({3: 1}, 1.0)),
        (Whole(), (1, 2), ((1, 2), 1.0)),
        (Any_(), {"x": 1}, (({"x": 1},), {})),
        (Any_(), (1, 2), (((1, 2),), {})),
    ],
)
def test_inputs_are_given_whole_by_name_or_by_place(model: nn.Module, inputs: Any, wanted: Any) -> None:
    """By name and place only where `forward` says so."""
    assert forward(model, inputs) == wanted


@pytest.mark.slow
def test_a_compiled_network_is_asked_for_its_own_arguments() -> None:
    """The wrapper of torch.compile takes anything."""
    assert forward(torch.compile(Two(), backend="eager"), {"b": 2, "a": 1}) == (1, 2)


def test_records_stay_whole_where_one_argument_takes_them() -> None:
    """A packed sequence and a named tuple are one argument."""
    packed = pack_sequence([torch.ones(3, 2), torch.ones(2, 2)])
    assert forward(nn.GRU(2, 4), packed)[1].shape == (1, 2, 4)
    assert forward(Whole(), Pair(1, 2)) == (Pair(1, 2), 1.0)


def test_what_fits_neither_way_raises_as_the_network_does() -> None:
    """The error is that of the plain call."""
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'b'"):
        forward(Two(), (1, 2, 3))
