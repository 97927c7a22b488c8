"""Boosted trees as arrays give scikit-learn's probabilities, and damaged arrays are refused."""

import numpy as np
import pytest

from metricgrad.errors import InputError
from metricgrad.tabular.boosting import TreeRows, boosted
from metricgrad.tabular.forest import Forest

pytest.importorskip("sklearn")


def rows(classes: int, seed: int = 0, many: int = 600) -> TreeRows:
    """Two categories, one of them with many levels, and three numbers, all with gaps."""
    draw = np.random.default_rng(seed)
    x = np.column_stack(
        [draw.integers(0, 4, many), draw.integers(0, 90, many), draw.normal(size=(many, 3))]
    ).astype(float)
    score = (x[:, 0] == 2) + x[:, 2] + (x[:, 1] % 7 == 3) + 0.3 * draw.normal(size=many)
    y = np.digitize(score, np.quantile(score, np.linspace(0, 1, classes + 1)[1:-1]))
    x[draw.random(x.shape) < 0.05] = np.nan
    return TreeRows(x, y)


@pytest.mark.parametrize("classes", [2, 4])
def test_they_are_those_of_scikit_learn(classes: int) -> None:
    """On rows that they were not trained on, gaps and unknown levels among them."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    fit, select = rows(classes), rows(classes, 1)
    found = boosted(fit, select, categories=2, classes=classes, seconds=60, seed=3)
    plain = HistGradientBoostingClassifier(
        max_iter=found.rounds,
        early_stopping=False,
        random_state=3,
        categorical_features=[0, 1],
        l2_regularization=1.0,
    ).fit(fit.x, fit.y)
    theirs = plain.predict_proba(select.x)
    np.testing.assert_allclose(found.forest.probabilities(select.x), theirs, atol=1e-6)
    strange = select.x.copy()
    strange[:, 1] = np.nan
    np.testing.assert_allclose(found.forest.probabilities(strange), plain.predict_proba(strange), atol=1e-6)
    assert 10 <= found.rounds < 300 and found.rounds % 10 == 0


def test_a_class_that_fit_lacks_has_probability_0() -> None:
    """Columns are those of the table."""
    fit, select = rows(3), rows(3, 1)
    some = fit.of(np.flatnonzero(fit.y != 1))
    found = boosted(some, select, categories=2, classes=3, seconds=0, seed=0).forest.probabilities(select.x)
    assert found.shape == (600, 3) and (found[:, 1] == 0).all()
    np.testing.assert_allclose(found.sum(1), 1)


def test_weights_count() -> None:
    """Rows of weight 0 teach nothing: they are as if they were not there."""
    fit, select = rows(2), rows(2, 1)
    weighted = TreeRows(fit.x, fit.y, np.where(np.arange(600) < 300, 5.0, 1e-9))
    one = boosted(weighted, select, categories=2, classes=2, seconds=0, seed=0).forest.probabilities(select.x)
    other = boosted(fit, select, categories=2, classes=2, seconds=0, seed=0).forest.probabilities(select.x)
    assert np.abs(one - other).mean() > 0.01


@pytest.mark.parametrize(
    ("name", "value"),
    [("left", 0), ("feature", 99), ("roots", 10**6), ("seen", 7), ("value", np.nan), ("levels", 10**6)],
)
def test_damaged_tables_are_refused(name: str, value: float) -> None:
    """No walk goes astray or in a circle."""
    made = boosted(rows(2), rows(2, 1), categories=2, classes=2, seconds=0, seed=0).forest
    arrays = {key: array.copy() for key, array in made.arrays.items()}
    arrays[name][0] = value
    with pytest.raises(InputError, match="do not fit together"):
        Forest(arrays, 2, 5)
    del arrays[name]
    with pytest.raises(InputError, match="the arrays of trees"):
        Forest(arrays, 2, 5)
