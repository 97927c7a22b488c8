"""What holds for every closed form: how rows are read, ordered, labelled or turned changes nothing."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from metricgrad.projection import Identity, Procrustes, Ridge, label_grid, pair_grid, query_grid
from metricgrad.projection.moments import moments
from metricgrad.projection.pair_moments import pair_moments
from tests.projection.data import DIMS, OF_LABELS, OF_PAIRS, ROWS, cosines, pairs, vectors

labelled = pytest.mark.parametrize("form", OF_LABELS.values(), ids=OF_LABELS)
paired = pytest.mark.parametrize("form", OF_PAIRS.values(), ids=OF_PAIRS)


def turning(seed: int) -> np.ndarray:
    """A rotation."""
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(DIMS, DIMS)))[0]


@labelled
def test_a_rotation_of_the_input_changes_no_cosine(form):
    """Nor does the length of a row."""
    x, y = vectors()
    turned = 3 * x @ turning(1)
    expected, found = (cosines(form().fit(rows, y), rows, rows) for rows in (x, turned))
    assert_allclose(found, expected, atol=1e-8)


@paired
def test_a_rotation_of_both_sides_changes_no_cosine(form):
    """The sides are turned alike."""
    queries, documents = pairs()
    turn = turning(2)
    expected = cosines(form().fit(queries, documents), queries, documents)
    turned = queries @ turn, documents @ turn
    assert_allclose(cosines(form().fit(*turned), *turned), expected, atol=1e-8)


@labelled
def test_the_order_of_rows_and_the_names_of_classes_do_not_count(form):
    """Rows permuted, labels renamed to texts."""
    x, y = vectors()
    order = np.random.default_rng(3).permutation(ROWS)
    names = np.array(["g", "b", "x", "a", "q", "c", "z"])
    expected, found = form().fit(x, y), form().fit(x[order], names[y[order]])
    assert_allclose(cosines(found, x, x), cosines(expected, x, x), atol=1e-8)


@paired
def test_the_order_of_pairs_does_not_count(form):
    """Both sides are permuted alike."""
    queries, documents = pairs()
    order = np.random.default_rng(3).permutation(ROWS)
    expected, found = form().fit(queries, documents), form().fit(queries[order], documents[order])
    assert_allclose(cosines(found, queries, documents), cosines(expected, queries, documents), atol=1e-8)


@given(block=st.integers(1, ROWS + 3), seed=st.integers(0, 5))
@settings(max_examples=15)
def test_sums_of_blocks_are_those_of_the_whole(block: int, seed: int):
    """For any block size, with classes and with pairs; and they are the sums by definition."""
    x, y = vectors(seed)
    found, whole = moments("test", x, y, block=block), moments("test", x, y)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    means = np.array([unit[y == label].mean(0) for label in np.unique(y)])
    within = unit - means[np.unique(y, return_inverse=True)[1]]
    for sums in (found, whole):
        assert sums.count == ROWS
        assert_allclose(sums.mean, unit.mean(0), atol=1e-12)
        assert_allclose(sums.scatter, (unit - unit.mean(0)).T @ (unit - unit.mean(0)), atol=1e-12)
        assert_allclose(sums.labelled().means, means, atol=1e-12)
        assert_allclose(sums.labelled().counts, np.bincount(y))
        pieces = sums.within
        rebuilt = pieces.directions.T @ torch.diag(pieces.values) @ pieces.directions
        assert_allclose(rebuilt, within.T @ within / ROWS, atol=1e-12)
    both = pair_moments("test", x, unit[:, :4], block=block)
    other = unit[:, :4] / np.linalg.norm(unit[:, :4], axis=1, keepdims=True)
    assert_allclose(both.across, (unit - unit.mean(0)).T @ (other - other.mean(0)), atol=1e-12)
    assert_allclose(both.document.mean, other.mean(0), atol=1e-12)


@labelled
def test_a_memory_map_is_an_array(form, tmp_path: Path):
    """A mapped file in Fortran order, a tensor and a list give the projection of the array to the last bit."""
    x, y = vectors()
    np.save(tmp_path / "x.npy", np.asfortranarray(x))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert np.isfortran(mapped)
    expected = form().fit(x, y)
    for rows in (mapped, torch.from_numpy(x), x.tolist(), x.astype(">f8")):
        found = form().fit(rows, y)
        assert torch.equal(found.weight, expected.weight)
        assert torch.equal(found.bias, expected.bias)
        assert np.array_equal(found.transform(rows).astype("<f8"), expected.transform(x))


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_half_precision_rounds_the_input_alone(dtype: str):
    """Small types are read exactly and summed in float64; the result has the type of the input."""
    x, y = vectors()
    small = x.astype(dtype)
    for found, expected in zip(label_grid(small, y), label_grid(small.astype(np.float64), y), strict=True):
        assert torch.equal(found.weight, expected.weight)
        rows = found.transform(small)
        assert rows.dtype == dtype
        assert_allclose(rows, expected.transform(small.astype(np.float64)), atol=np.finfo(dtype).eps)


@labelled
def test_transform_is_forward_in_blocks(form):
    """Into an array that is given, too."""
    x, y = vectors()
    found = form().fit(x, y)
    expected = found(torch.from_numpy(x)).numpy()
    out = np.empty_like(expected)
    assert found.transform(x, out=out, block=7) is out
    assert_allclose(out, expected, atol=1e-14)
    assert_allclose(np.linalg.norm(out, axis=1), 1)


def test_identity_gives_the_cosines_of_the_input():
    """Nothing but lengths change."""
    x, _ = vectors()
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    assert_allclose(Identity().fit(x).transform(x), unit, atol=1e-15)


def test_forms_are_those_of_the_grids():
    """A grid gives what the estimators give alone, the unchanged rows first, and no form twice."""
    x, y = vectors()
    forms = list(label_grid(x, y))
    assert forms[0].name == "unchanged"
    said = [form.words() for form in forms]
    assert len(set(said)) == len(said)
    alone = {form.words(): form for form in (make().fit(x, y) for make in OF_LABELS.values())}
    assert {"LDA to 6 directions, shrinkage 0.01", "centring", "all but the top 5 directions"} <= set(said)
    shared = [form for form in forms if form.words() in alone]
    assert len(shared) >= 4
    for form in shared:
        torch.testing.assert_close(form.weight, alone[form.words()].weight)
    queries, documents = pairs()
    of_pairs = {form.words(): form for form in pair_grid(queries, documents)}
    for make in OF_PAIRS.values():
        found = make().fit(queries, documents)
        torch.testing.assert_close(of_pairs[found.words()].query.weight, found.query.weight)
        torch.testing.assert_close(of_pairs[found.words()].document.weight, found.document.weight)


def test_outputs_have_a_mean_square_length_of_one():
    """A head that starts from a form gets outputs of ordinary size, of its own map."""
    x, y = vectors()
    unit = torch.from_numpy(x / np.linalg.norm(x, axis=1, keepdims=True))
    for form in label_grid(x, y):
        outputs = form.linear()(unit.float()).double()
        torch.testing.assert_close(outputs.square().sum(1).mean().item(), 1.0, atol=1e-5, rtol=0)
        torch.testing.assert_close(outputs, unit @ form.weight.T + form.bias, atol=1e-5, rtol=1e-5)


def test_the_gradient_is_exact():
    """Of rows, in float64; a row of zeros gets a finite one."""
    x, y = vectors()
    for form in [OF_LABELS["lda"]().fit(x, y), Identity().fit(x)]:
        rows = torch.from_numpy(x[:3]).requires_grad_()
        assert torch.autograd.gradcheck(form, (rows,))
        zero = torch.zeros(1, DIMS, dtype=torch.float64, requires_grad=True)
        (slope,) = torch.autograd.grad(form(zero).sum(), zero)
        assert bool(torch.isfinite(slope).all())


def test_forms_of_queries_alone_leave_documents():
    """Ridge regression is the least squares of unit documents on unit queries; Procrustes turns and keeps lengths."""
    queries, documents = pairs()
    q, d = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (queries, documents))
    forms = list(query_grid(queries, documents))
    assert [form.name for form in forms[:3]] == [
        "unchanged",
        "Procrustes of queries alone",
        "ridge regression of queries alone",
    ]
    for form in forms:
        assert_allclose(form.document.transform(documents), d, atol=1e-14)
    plain = Ridge(0.0).fit_queries(queries, documents)
    with_one = np.column_stack([q, np.ones(ROWS)])
    expected = with_one @ np.linalg.lstsq(with_one, d, rcond=None)[0]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert_allclose(plain.query.transform(queries), expected, atol=1e-10)
    turn = Procrustes().fit_queries(queries, documents).query.weight
    assert_allclose(turn @ turn.T / (turn @ turn.T)[0, 0], np.eye(DIMS), atol=1e-12)
    back = Procrustes().fit_queries(d @ turning(4), d)
    assert_allclose(back.query.transform(d @ turning(4)), d, atol=1e-10)


def test_ridge_regression_solves_its_equations():
    """Of centred unit rows, with the penalty in units of the mean variance."""
    queries, documents = pairs()
    q, d = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (queries, documents))
    q, d = q - q.mean(0), d - d.mean(0)
    penalty = 0.3 * np.trace(q.T @ q) / DIMS * np.eye(DIMS)
    expected = q @ np.linalg.solve(q.T @ q + penalty, q.T @ d)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = Ridge(0.3).fit(queries, documents)
    assert_allclose(found.query.transform(queries), expected, atol=1e-10)
    assert_allclose(
        found.document.transform(documents), d / np.linalg.norm(d, axis=1, keepdims=True), atol=1e-10
    )
