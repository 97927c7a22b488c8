"""What closed forms refuse, in which words, and what they make of extremes."""

import numpy as np
import pytest
import torch

from metricgrad import projection
from metricgrad.errors import InputError
from metricgrad.projection import (
    LDA,
    PCA,
    AllButTheTop,
    Centre,
    Identity,
    Ridge,
    Whitening,
    WithinClassWhitening,
)
from tests.projection.data import DIMS, OF_LABELS, OF_PAIRS, pairs, vectors

X, Y = vectors()


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (X[0], r"x is \(6,\) of float64; .* pass x.reshape\(1, -1\)"),
        (X[None], r"x is \(1, 60, 6\)"),
        (X.astype(int), "of int64; expected an array or tensor of float16, float32 or float64"),
        (X.astype(complex), "of complex128"),
        (X[:0], "at least one row"),
        (X[:, :0], "one column"),
        ([[1.0], [1.0, 2.0]], "expected an array"),
        (np.ma.masked_array(X, X > 1), "not dense"),
        (torch.from_numpy(X).to_sparse(), "not dense"),
        (np.array([["a"]]), "expected an array"),
    ],
)
@pytest.mark.parametrize("form", OF_LABELS.values(), ids=OF_LABELS)
def test_vectors_that_are_none(form, x, words):
    """One sentence says what came."""
    with pytest.raises(InputError, match=words):
        form().fit(x, Y)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_told_with_their_rows(bad):
    """Five rows by number, in fit and in transform."""
    x = X.copy()
    x[7:14, 2] = bad
    with pytest.raises(InputError, match=r"x has NaN or infinite values in row 7, 8, 9, 10, 11 and 2 more"):
        Centre().fit(x)
    with pytest.raises(InputError, match=r"in row 12, 13 \(of rows 12 to 15\)"):
        Identity().fit(X).transform(np.concatenate([X[:12], x[12:]]), block=4)
    queries, documents = pairs()
    documents[3] = bad
    with pytest.raises(InputError, match="documents has NaN or infinite values in row 3"):
        Ridge().fit(queries, documents)


@pytest.mark.parametrize("form", [LDA, WithinClassWhitening])
def test_labels_that_are_none(form):
    """Too few, one class, floats, missing, none."""
    for labels, words in [
        (Y[:-1], "y has 59 labels; expected one for each of 60 rows"),
        (np.zeros(60, int), "y has one class; expected two or more"),
        (torch.from_numpy(Y).float(), "float"),
        (Y + 0.5, "no classes"),
        (["a", ""] * 30, "missing label"),
        (None, "y is None"),
        (np.arange(60), "no class has rows that differ"),
    ]:
        with pytest.raises(InputError, match=words):
            form().fit(X, labels)


def test_more_dimensions_than_rows_want_shrinkage():
    """And get a projection with it."""
    x, y = vectors(rows=14, dims=40)
    for form in (Whitening(0), WithinClassWhitening(0), LDA(0)):
        with pytest.raises(InputError, match=r"shrinkage is 0 .* fewer than their 40 dimensions"):
            form.fit(x, y)
    with pytest.raises(InputError, match="a shrinkage above 0"):
        Ridge(0).fit(x, x)
    for form in (Whitening(0.1), WithinClassWhitening(0.1), LDA(0.1, 6)):
        assert np.isfinite(form.fit(x, y).transform(x)).all()


def test_no_more_directions_than_there_are():
    """LDA: classes - 1 or dimensions; PCA: dimensions; all but the top leaves one."""
    assert LDA().fit(X, Y).dims_out == min(DIMS, 6)
    assert LDA().fit(X, Y % 3).dims_out == 2
    with pytest.raises(InputError, match="dims is 3 for 3 classes in 6 dimensions; expected at most 2"):
        LDA(dims=3).fit(X, Y % 3)
    with pytest.raises(InputError, match="at most the 6 dimensions"):
        PCA(7).fit(X)
    with pytest.raises(InputError, match="fewer than the 6 dimensions"):
        AllButTheTop(6).fit(X)


def test_rows_of_one_direction():
    """Nothing can be fitted; a grid leaves the unchanged rows."""
    x = np.outer(np.arange(1, 9), [1.0, 2.0, 3.0])
    for form in (Centre(), Whitening(), LDA(), PCA(1), AllButTheTop(1)):
        with pytest.raises(InputError, match=r"one direction|do not vary|no class has rows"):
            form.fit(x, np.arange(8) % 2)
    assert [form.name for form in projection.label_grid(x, np.arange(8) % 2)] == ["unchanged"]
    assert [form.name for form in projection.pair_grid(x, x)] == ["unchanged"]
    line = np.array([[1.0, 0.0], [0.0, 1.0]])
    with pytest.raises(InputError, match="do not vary in the directions that all but the top keeps"):
        AllButTheTop(1).fit(line)


def test_what_float32_rounds_is_no_spread():
    """Equal rows through a network in float32 differ in their last bits; in float64 the same numbers differ."""
    last = 1 + 2.0**-23 * np.random.default_rng(0).integers(-1, 2, (40, 6))
    for x in (last.astype(np.float32), torch.from_numpy(last).float()):
        assert [form.name for form in projection.label_grid(x, np.arange(40) % 2)] == ["unchanged"]
        assert [form.name for form in projection.pair_grid(x, x)] == ["unchanged"]
    assert len(list(projection.label_grid(last, np.arange(40) % 2))) > 1
    near = np.float32(1 + 1e-5 * np.random.default_rng(0).normal(size=(40, 6)))
    assert len(list(projection.label_grid(near, np.arange(40) % 2))) > 1


def test_grids_leave_out_what_is_impossible():
    """Forms of labels without labels or without classes of two; sides of different dimensions; equal pairs."""
    names = {form.name for form in projection.label_grid(X)}
    assert names == {"unchanged", "centring", "whitening", "all but the top"}
    assert {form.name for form in projection.label_grid(X, np.arange(60))} == names
    with pytest.raises(InputError, match="one class"):
        projection.label_grid(X, np.ones(60, int))
    queries, documents = pairs()
    assert {form.name for form in projection.pair_grid(queries[:, :4], documents)} == {
        "CCA",
        "ridge regression",
    }
    assert "within-pair whitening" not in {form.name for form in projection.pair_grid(queries, 2 * queries)}


@pytest.mark.parametrize("form", OF_PAIRS.values(), ids=OF_PAIRS)
def test_pairs_that_are_none(form):
    """Sides of different lengths, and of different dimensions where one space is needed."""
    queries, documents = pairs()
    with pytest.raises(InputError, match="60 queries and 59 documents; expected pairs"):
        form().fit(queries, documents[:-1])
    if form().__class__.__name__ in ("WithinPairWhitening", "Procrustes"):
        with pytest.raises(InputError, match="queries have 4 dimensions and documents 6"):
            form().fit(queries[:, :4], documents)
    else:
        found = form().fit(queries[:, :4], documents)
        assert found.query.transform(queries[:, :4]).shape == found.document.transform(documents).shape


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Whitening(-0.1), "shrinkage is -0.1; expected a finite number >= 0"),
        (lambda: Whitening(power=float("nan")), "power is nan"),
        (lambda: LDA(dims=0), "dims is 0; expected a whole number >= 1"),
        (lambda: PCA(2.5), "dims is 2.5"),
        (lambda: AllButTheTop(0), "components is 0"),
        (lambda: Ridge("much"), "penalty is 'much'"),
    ],
)
def test_settings_that_are_none(make, words):
    """They are refused when they are given."""
    with pytest.raises(InputError, match=words):
        make()


def test_transform_refuses_what_does_not_fit():
    """Other columns, another shape of the result."""
    found = Identity().fit(X)
    with pytest.raises(InputError, match="x has 5 columns; expected 6"):
        found.transform(X[:, :5])
    with pytest.raises(InputError, match=r"out is \(60, 5\)"):
        found.transform(X, out=np.empty((60, 5)))


def test_rows_of_zeros_stay_at_the_origin():
    """They count as they are, and come out in the direction of the bias."""
    x = X.copy()
    x[5] = 0
    found = Centre().fit(x)
    bias = found.bias / found.bias.norm()
    np.testing.assert_allclose(found.transform(x)[5], bias, atol=1e-12)
    assert not Identity().fit(x).transform(x)[5].any()


def test_lengths_neither_overflow_nor_vanish():
    """Rows of 1e300, of 1e-300 and subnormal ones have a direction."""
    found = Identity().fit(X)
    for factor in (1e300, 1e-300, 1e-310):
        np.testing.assert_allclose(found.transform(X * factor), found.transform(X), atol=1e-9)


def test_torch_types_that_numpy_does_not_know():
    """A bfloat16 tensor is read; its result is float32."""
    x = torch.from_numpy(X).bfloat16()
    found = Whitening().fit(x)
    assert found.transform(x).dtype == np.float32
    assert found(x).dtype == torch.bfloat16
