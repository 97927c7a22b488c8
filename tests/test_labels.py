"""What a label is: which spellings are one class, what is refused, and that all doors read alike."""

import math
import unicodedata
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import metricgrad as mg
from metricgrad import metrics
from metricgrad._labels import MISSING, number_labels, whole_labels
from metricgrad.errors import InputError
from metricgrad.pairing import ClassBatchSampler, has_positive, label_codes

FORMS = {
    "Python": lambda number: number,
    "float": lambda number: float(number),
    "numpy": lambda number: np.int16(number),
    "unsigned": lambda number: np.uint8(number),
    "half": lambda number: np.float16(number),
    "0-d tensor": lambda number: torch.tensor(number),
    "0-d array": lambda number: np.array(number),
    "Decimal": lambda number: Decimal(number),
    "Fraction": lambda number: Fraction(number),
    "bool or int": lambda number: bool(number) if number < 2 else number,
    "numpy bool or int": lambda number: np.bool_(number) if number < 2 else number,
}

WHOLE = {
    "list": list,
    "tuple": tuple,
    "object array": lambda labels: np.array(labels, dtype=object),
    "float array": lambda labels: np.array(labels, np.float32),
    "unsigned array": lambda labels: np.array(labels, np.uint64),
    "masked array": lambda labels: np.ma.array(labels, mask=False),
    "uint64 tensor": lambda labels: torch.tensor(labels).to(torch.uint64),
    "series": pandas.Series,
    "nullable series": lambda labels: pandas.Series(labels, dtype="Int64"),
    "categories": lambda labels: pandas.Series(labels, dtype="category"),
    "tensors": lambda labels: [torch.tensor(label) for label in labels],
}


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(sorted(FORMS))), min_size=1, max_size=12))
def test_a_number_is_one_class_in_every_form(items) -> None:
    """Codes are those of the plain numbers, whatever each of them is made of."""
    numbers = [number for number, _ in items]
    found = number_labels("test", {"labels": [FORMS[form](number) for number, form in items]})
    wanted = np.unique(numbers, return_inverse=True)
    assert found.classes.tolist() == wanted[0].tolist() and found.codes[0].tolist() == wanted[1].tolist()


@pytest.mark.parametrize("one", WHOLE)
@pytest.mark.parametrize("other", WHOLE)
def test_containers_meet(one: str, other: str) -> None:
    """Two sets in different containers share their codes."""
    codes = label_codes(WHOLE[one]([3, 0, 3, 7]), WHOLE[other]([7, 3]))
    assert [part.tolist() for part in codes] == [[1, 0, 1, 2], [2, 1]]


@settings(max_examples=60)
@given(
    st.lists(st.integers(-(2**65), 2**65) | st.integers(2**63 - 3, 2**63 + 3), min_size=1, max_size=8),
    st.lists(st.integers(2**63 - 3, 2**64 - 1), max_size=4),
)
def test_whole_numbers_of_any_size(numbers, others) -> None:
    """Neighbours beyond 2^53 and beyond int64 are other classes; nothing passes through a float."""
    one, other = label_codes(numbers, np.array(others, np.uint64))
    wanted = np.unique(np.array([*numbers, *others], dtype=object), return_inverse=True)[1]
    assert [*one.tolist(), *other.tolist()] == wanted.tolist()


def test_texts_in_normal_form() -> None:
    """Bytes and texts meet; two Unicode forms of a text are one class, with a warning; widths stay apart."""
    assert label_codes([b"kea", np.str_("tui"), "kea"])[0].tolist() == [0, 1, 0]
    assert label_codes(np.array([b"b", b"a"]), ["a", "b"])[1].tolist() == [0, 1]
    word = "K\u0101k\u0101 \uac00"
    forms = [unicodedata.normalize(form, word) for form in ("NFC", "NFD")]
    with pytest.warns(UserWarning, match="several Unicode forms"):
        assert label_codes(forms[:1], forms[1:]) == (torch.tensor([0]), torch.tensor([0]))
    assert label_codes([forms[1], "x"])[0].tolist() == [0, 1]  # one form only: nothing to say
    assert label_codes(["\uff11", "1"])[0].tolist() == [1, 0]


MISSING_ONES = {
    "None": [1, 1, None],
    "NaN": ["a", "a", math.nan],
    "numpy NaN": np.array([0.0, 1.0, math.nan], np.float32),
    "object array": np.array(["a", "b", None], dtype=object),
    "pandas.NA": [1, 2, pandas.NA],
    "NaT": ["a", "b", pandas.NaT],
    "numpy NaT": [1, 2, np.datetime64("NaT")],
    "Decimal": [1, 2, Decimal("nan")],
    "masked": np.ma.array([1, 2, 3], mask=[False, False, True]),
    "masked one": [1, 2, np.ma.masked],
    "empty": ["a", "b", ""],
    "as text": np.array(["a", "b", math.nan]),
    "nullable": pandas.Series([1, 2, None], dtype="Int64"),
    "texts of pandas": pandas.Series(["a", "b", None]),
    "half NaN": [1, 2, np.float16(math.nan)],
    "0-d NaN": [1, 2, np.array(math.nan)],
}


@pytest.mark.parametrize("labels", MISSING_ONES.values(), ids=MISSING_ONES)
def test_a_missing_label_is_refused_with_its_row(labels) -> None:
    """By every door that takes labels: metrics, neighbours, losses, samplers."""
    points = torch.eye(3)
    doors = (
        lambda: metrics.retrieval_ranks(points, labels),
        lambda: metrics.knn_accuracy(points, labels, k=1),
        lambda: metrics.knn_classify(points, points, labels, k=1),
        lambda: mg.positive_ranks(points, labels, temperature=0.1),
        lambda: mg.losses.supcon_loss(points, labels),
        lambda: ClassBatchSampler(labels, classes_per_batch=1, samples_per_class=2),
        lambda: has_positive(labels),
        lambda: whole_labels("test", "labels", labels),
    )
    for door in doors:
        with pytest.raises(InputError, match=r"\[2\] is .*missing label"):
            door()


def test_missing_texts_are_those_of_pandas() -> None:
    """What a data frame reads as missing is no class here; a class that is called `none` is one."""
    from pandas._libs.parsers import STR_NA_VALUES

    assert STR_NA_VALUES <= MISSING
    assert label_codes(["none", "Nan", "0", "-"])[0].unique().numel() == 4


NO_LABELS = {
    "fraction": [0, 1.5],
    "infinity": [1.0, math.inf],
    "float beyond int64": np.array([1e19, 2.0]),
    "Decimal": [Decimal("1e400")],
    "bytes": [b"\xff"],
    "complex": [1 + 0j],
    "list": [[1], [2]],
    "vector": [torch.tensor([1])],
    "float tensor": torch.zeros(2),
    "float 0-d tensors": [torch.tensor(0.0)],
    "matrix": np.zeros((2, 1), int),
    "scalar": torch.tensor(3),
    "text": "abc",
    "raw": b"abc",
    "set": {1, 2},
    "dict": {1: 2},
    "number": 5,
    "generator": (one for one in "ab"),
    "mixed": ["1", 1],
    "frame": pandas.DataFrame({"label": [1]}),
}


@pytest.mark.parametrize("labels", NO_LABELS.values(), ids=NO_LABELS)
def test_what_is_no_label_is_refused(labels) -> None:
    """One sentence, never a class by accident."""
    with pytest.raises(InputError, match="label_codes: labels"):
        label_codes(labels)


def test_texts_beside_numbers_are_refused() -> None:
    """A number is not the text that spells it, also over two sets."""
    for one, other in ((["1"], [1]), (torch.tensor([1]), np.array(["1"])), ([2**70], ["a"])):
        with pytest.raises(InputError, match="labels of one type"):
            label_codes(one, other)
    assert [part.tolist() for part in label_codes([], ["a"])] == [[], [0]]


@pytest.mark.parametrize("name", ["recall@1", "map", "knn_accuracy:k=1"])
def test_metrics_read_every_form_alike(name: str) -> None:
    """The statistics do not depend on how the labels came."""
    metric = metrics.adapt(name)
    points = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    whole = [0, 1, 2, 0, 1, 2, 0, 7]
    wanted = metric.measure(points, torch.tensor(whole))
    for form in WHOLE.values():
        torch.testing.assert_close(
            metric.measure(points, form(whole)), wanted, equal_nan=True, rtol=0, atol=0
        )
    texts = [f"class {label}" for label in whole]
    torch.testing.assert_close(metric.measure(points, texts), wanted, equal_nan=True, rtol=0, atol=0)
