"""Labels to codes, codes to lists of positives."""

import numpy as np
import pytest
import torch

from metricgrad.errors import InputError
from metricgrad.pairing import has_positive, label_codes, positive_lists

FORMS = {
    "tensor": lambda labels: torch.tensor(labels, dtype=torch.long),
    "int32": lambda labels: torch.tensor(labels, dtype=torch.int32),
    "list": list,
    "array": lambda labels: np.array(labels, dtype=np.int64),
    "strings": lambda labels: [f"class {label}" for label in labels],
    "string array": lambda labels: np.array([f"class {label}" for label in labels]),
}


def listed(codes, item_codes, own, positive):
    """Positives by definition."""
    rows = []
    for query, code in enumerate(codes):
        row = [item for item, other in enumerate(item_codes) if other == code and not (own and item == query)]
        rows.append(sorted([*row, query]) if own and positive and row else row)
    return rows


@pytest.mark.parametrize("own", ["items", "positive", "references"])
@pytest.mark.parametrize("form", FORMS)
def test_lists_equal_the_definition(form, own, generator):
    """Any kind of labels gives the positives of the definition, in ascending order, padded with 0."""
    labels = [*torch.randint(0, 5, (13,), generator=generator).tolist(), 9]
    others = labels if own != "references" else torch.randint(2, 8, (17,), generator=generator).tolist()
    codes, item_codes = label_codes(FORMS[form](labels), FORMS[form](others))
    lists, counts = positive_lists(
        codes, item_codes, queries_are_items=own != "references", query_is_positive=own == "positive"
    )
    expected = listed(labels, others, own != "references", own == "positive")
    assert [row[:count] for row, count in zip(lists.tolist(), counts.tolist(), strict=True)] == expected
    assert all(not any(row[count:]) for row, count in zip(lists.tolist(), counts.tolist(), strict=True))
    assert lists.shape[1] == max(map(len, expected))


def test_lists_of_nothing():
    """Empty queries and empty items give one column and no positive."""
    none = torch.zeros(0, dtype=torch.long)
    assert positive_lists(none, none, queries_are_items=True)[0].shape == (0, 1)
    lists, counts = positive_lists(torch.tensor([0, 1]), none, queries_are_items=False)
    assert lists.shape == (2, 1) and counts.tolist() == [0, 0]


def test_mixed_labels_meet_by_equality():
    """A list and a tensor of the same integers share codes; text beside numbers is refused."""
    one, other = label_codes([3, 5, 3], torch.tensor([5, 3]))
    assert one.tolist() == [other[1], other[0], other[1]]
    with pytest.raises(InputError, match="labels of one type"):
        label_codes(["3"], torch.tensor([3]))


@pytest.mark.parametrize(
    "labels", [torch.zeros(2, 2, dtype=torch.long), torch.zeros(3), "abc", np.zeros((2, 1), int)]
)
def test_refuses(labels):
    """Labels that are not one-dimensional, floating-point tensors and a single string are refused."""
    with pytest.raises(InputError, match="label_codes"):
        label_codes(labels)


def test_has_positive():
    """True where another row has the label."""
    assert has_positive([1, 2, 1, 3]).tolist() == [True, False, True, False]
    assert has_positive([]).tolist() == []
