"""Structures of tensors: moved whole, joined part by part, or refused in one sentence that names the batch."""

import dataclasses
from collections import OrderedDict, namedtuple
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from metricgrad._structures import form, items_of, joined, moved, no_tensor, one_tensor, pair, tensors_of
from metricgrad.errors import InputError

Both = namedtuple("Both", ["logits", "hidden"])


@dataclasses.dataclass
class Output:
    """What some networks return."""

    logits: Tensor
    hidden: Tensor | None = None


@dataclasses.dataclass
class ModelOutput(OrderedDict):
    """A dict and a dataclass in one, as transformers has it: parts that are None are no keys."""

    logits: Tensor | None = None
    hidden: Tensor | None = None

    def __post_init__(self) -> None:
        """Fill the dict."""
        for field in dataclasses.fields(self):
            if getattr(self, field.name) is not None:
                self[field.name] = getattr(self, field.name)


def _batch(size: int) -> Tensor:
    return torch.arange(2.0 * size).view(size, 2)


FORMS: dict[str, Any] = {
    "dict": lambda x: {"logits": x, "hidden": {"last": x + 1, "texts": [str(row) for row in x.tolist()]}},
    "ordered": lambda x: OrderedDict(a=x),
    "tuple": lambda x: (x, (x + 1, None)),
    "list of parts": lambda x: [x, x + 1, x + 2],
    "named tuple": lambda x: Both(x, x + 1),
    "dataclass": lambda x: Output(x),
    "model output": lambda x: ModelOutput(logits=x),
    "array": lambda x: x.numpy(),
    "half": lambda x: x.half(),
    "texts": lambda x: tuple(str(row) for row in x.tolist()),
}


@given(name=st.sampled_from(sorted(FORMS)), sizes=st.lists(st.integers(4, 7), min_size=1, max_size=4))
def test_batches_joined_are_the_batch_of_all_items(name: str, sizes: list[int]) -> None:
    """Whatever the form: joining batches gives what one batch of all items would have given, of the same type."""
    whole = torch.cat([_batch(size) for size in sizes])
    found = joined("outputs", [FORMS[name](_batch(size)) for size in sizes], sizes)
    wanted = FORMS[name](whole)
    assert type(found) is (list if name == "texts" else type(wanted))
    assert repr(found) == repr(list(wanted) if name == "texts" else wanted)


@pytest.mark.parametrize(
    ("batches", "rows", "wanted"),
    [
        ([torch.ones(4), torch.tensor(1.0)], [4, 1], (5,)),
        ([torch.ones(4, 3), torch.ones(3)], [4, 1], (5, 3)),
        ([torch.tensor(1.0), torch.tensor(2.0)], [1, 1], (2,)),
        ([np.ones((4, 3)), np.ones(3)], [4, 1], (5, 3)),
    ],
)
def test_an_axis_lost_in_a_batch_of_one_comes_back(batches: Any, rows: Any, wanted: Any) -> None:
    """Where the other batches show it."""
    assert tuple(joined("outputs", batches, rows).shape) == wanted


def test_batches_of_several_lengths_are_a_list_of_items() -> None:
    """One entry for each item, cut as its batch was padded; within a dict, too."""
    parts = [
        {"logits": torch.ones(2, 3, 5), "label": torch.ones(2)},
        {"logits": torch.ones(1, 4, 5), "label": torch.ones(1)},
    ]
    found = joined("outputs", parts, [2, 1])
    assert [tuple(row.shape) for row in found["logits"]] == [(3, 5), (3, 5), (4, 5)]
    assert found["label"].shape == (3,)
    assert joined("targets", [["a"], ["b", "c"]], [1, 2]) == ["a", "b", "c"]
    assert joined("outputs", [[torch.ones(3), torch.ones(2)], [torch.ones(4)]], [2, 1])[2].shape == (4,)


@pytest.mark.parametrize(
    ("batches", "rows", "message"),
    [
        ([torch.tensor(1.0), torch.tensor(2.0)], [4, 4], "a batch is one number for 4 items"),
        (
            [torch.ones(4, 2), torch.ones(3)],
            [4, 3],
            r"batch 1 is \(3,\) of torch.float32 for 3 items.*squeeze",
        ),
        ([torch.ones(4, 2), torch.ones(2)], [4, 2], "batch 1.*squeeze"),
        ([torch.ones(4), np.ones(4)], [4, 4], "one form"),
        ([torch.ones(4), None], [4, 4], "batch 1 is None"),
        ([{"a": torch.ones(4)}, {"b": torch.ones(4)}], [4, 4], "a dict of a and batch 1 is a dict of b"),
        ([(torch.ones(4),), (torch.ones(4), torch.ones(4))], [4, 4], "batch 1"),
        ([{"loss": 0.5}, {"loss": 0.25}], [4, 4], r"outputs\['loss'\]: a batch is 0.5"),
        (["text", "text"], [4, 4], "a batch is 'text'"),
        ([{"a": {"b": torch.tensor(1.0)}}], [4], r"outputs\['a'\]\['b'\]: a batch is one number"),
    ],
)
def test_what_cannot_be_joined_is_one_sentence(batches: Any, rows: Any, message: str) -> None:
    """With the part and the batch."""
    with pytest.raises(InputError, match=message):
        joined("outputs", batches, rows)


@pytest.mark.parametrize("name", sorted(set(FORMS) - {"texts"}))
def test_a_structure_keeps_its_form_when_moved(name: str) -> None:
    """Its tensors are on the device, all else is as it was."""
    value = FORMS[name](_batch(3))
    found = moved(value, torch.device("meta"))
    assert type(found) is type(value)
    assert all(tensor.is_meta for tensor in tensors_of(found))
    assert len(list(tensors_of(found))) == len(list(tensors_of(value)))
    assert items_of(value) == 3


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ((1, 2, 3), r"a tuple of 3 \(int, int, int\)"),
        ({"x": 1, "y": 2}, "a dict of x, y"),
        (torch.ones(2, 3), r"\(2, 3\) of torch.float32"),
        ("ab", "'ab'"),
        ([], "an empty list"),
        (Output(torch.ones(2)), "a Output of logits, hidden"),
        (ModelOutput(torch.ones(2)), "a ModelOutput of logits;"),
        (OrderedDict(x=1), "a dict of x;"),
    ],
)
def test_a_batch_that_is_no_pair_is_named(batch: Any, message: str) -> None:
    """With the option that reads it."""
    with pytest.raises(InputError, match=f"{message}.*unpack"):
        pair(batch)
    assert form(batch)


@pytest.mark.parametrize(
    ("outputs", "remedy"),
    [
        ({"loss": torch.tensor(0.5), "logits": torch.ones(2, 3)}, r"OutputOf\(network, 'logits'\)\.$"),
        (ModelOutput(torch.ones(2), torch.ones(2)), r"OutputOf\(network, 'logits'\), or 'hidden'\.$"),
        (ModelOutput(torch.ones(2)), r"OutputOf\(network, 'logits'\)\.$"),
        ({"hidden": (torch.ones(2),)}, "a module whose forward returns that tensor alone"),
        (
            {"query": torch.ones(2), "document": torch.ones(2)},
            "a module whose forward returns that tensor alone",
        ),
        ((torch.ones(2), torch.ones(2)), "a module whose forward returns that tensor alone"),
        (None, "a module whose forward returns that tensor alone"),
    ],
)
def test_outputs_that_are_no_tensor_name_the_way_out(outputs: Any, remedy: str) -> None:
    """Of a mapping the parts that have a row per item; of anything else, a module around the network."""
    with pytest.raises(InputError, match=remedy):
        one_tensor("here", outputs)
    assert str(no_tensor("here", outputs, "a tensor", "x")).startswith("here: the network returns ")
