"""The metric as an error of samples: what is counted, what is checked, and what may fail how often."""

import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metricgrad.errors import InputError
from metricgrad.learned import SampleErrors, classes, rotated_boxes, upright_boxes, words
from metricgrad.learned.workers import Workers
from metricgrad.metrics import adapt, of_kind, per_sample

LETTERS = "abcd"
KIND: Any = words(LETTERS, 5)
BOXES: Any = rotated_boxes()


def rng(seed: int = 0) -> np.random.Generator:
    """A seeded generator."""
    return np.random.default_rng(seed)


def letters_apart(prediction: str, target: str) -> float:
    """A symmetric error of two texts."""
    return float(len(set(prediction) ^ set(target)))


def of_texts(function: Callable[[Any, Any], float] = letters_apart, **settings: Any) -> SampleErrors:
    """Errors of a function of two texts."""
    own = {name: settings.pop(name) for name in ("symmetrize", "processes") if name in settings}
    return SampleErrors(per_sample(function, kind=KIND, **{"higher_is_better": False, **settings}), **own)


# ------------------------------------------------------------------------------------------------ counts


def test_calls_and_drops_are_counted() -> None:
    """Every sample is a call, those without a number are dropped; a look for symmetry is three calls per pair."""
    outputs, targets = KIND.pairs(300, rng())
    errors = of_texts(lambda prediction, target: math.nan if target == targets[7] else 1.0)
    assert errors.calls == errors.dropped == 0
    found = errors(outputs, targets)
    without = sum(target == targets[7] for target in targets)
    assert found.shape == (300,) and found.dtype == torch.float64
    assert errors.calls == 300 and errors.dropped == without == int(torch.isnan(found).sum())
    errors(outputs[:5], targets[:5])
    assert errors.calls == 305
    fine = of_texts()
    fine.check(rng(), outputs, targets)
    assert (fine.calls, fine.samples, fine.dropped) == (300, 0, 0)


def test_no_sample() -> None:
    """No call, no error."""
    errors = of_texts()
    assert errors(torch.zeros(0, 5, 5), []).shape == (0,)
    assert errors.calls == 0


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_what_is_no_number_is_dropped(value: float) -> None:
    """Infinities too, whichever way is better."""
    outputs, targets = KIND.pairs(4, rng())
    for settings in ({}, {"higher_is_better": True, "bounds": (0.0, 1.0)}):
        errors = of_texts(lambda prediction, target: value, **settings)
        assert torch.isnan(errors(outputs, targets)).all() and errors.dropped == 4


def failing(share: float, how: str) -> Callable[[Any, Any], float]:
    """An error that has no number for every so many-th call."""
    every, count = round(1 / share), [0]

    def sometimes(prediction: str, target: str) -> float:
        count[0] += 1
        if count[0] % every:
            return letters_apart(prediction, target)
        if how == "raises":
            raise ValueError("no number for this pair")
        return math.nan if how == "is NaN" else math.inf

    return sometimes


@pytest.mark.parametrize("how", ["raises", "is NaN", "is infinite"])
def test_the_bound_of_failures(how: str) -> None:
    """Half a percent is dropped and counted for as long as the run lasts; five percent ends it."""
    outputs, targets = KIND.pairs(100, rng())
    errors = of_texts(failing(0.005, how))
    for _ in range(30):
        errors(outputs, targets)
    assert errors.calls == 3000 and errors.dropped == 15
    errors = of_texts(failing(0.05, how))
    with pytest.raises(InputError, match=r"no number for 15 of 300 samples.*at most 1 %"):
        for _ in range(30):
            errors(outputs, targets)


def test_ten_failures_are_always_allowed() -> None:
    """Of the first samples, however few they are; the eleventh ends the run."""
    outputs, targets = KIND.pairs(11, rng())
    errors = of_texts(lambda prediction, target: math.nan)
    assert torch.isnan(errors(outputs[:10], targets[:10])).all()
    with pytest.raises(InputError, match="11 of 11"):
        errors(outputs[10:], targets[10:])


# ---------------------------------------------------------------------------------------------- metrics


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("edit_distance", KIND), ("edit_distance:normalizer=longer", KIND), ("sequence_accuracy", KIND),
        ("rotated_iou", BOXES), ("iou", upright_boxes()),
    ],
)  # fmt: skip
def test_our_metrics_are_distances(name: str, kind: Any) -> None:
    """The check finds them 0 at equality and symmetric; errors are the metric's, or what it lacks to its best."""
    metric = of_kind(adapt(name), kind)
    errors = SampleErrors(metric)
    for seed in range(3):
        errors.check(rng(seed), *kind.pairs(120, rng(seed)))
    outputs, targets = kind.pairs(60, rng(9))
    values = metric.measure(outputs, targets)[:, 0]
    found = errors(outputs, targets)
    torch.testing.assert_close(found, 1 - values if metric.higher_is_better else values)
    assert (found >= 0).all() and len(found.unique()) >= 2
    assert errors.dropped == 0


@pytest.mark.parametrize("name", ["cer", "wer"])
def test_rates_over_a_set(name: str) -> None:
    """A rate over all letters is no mean over samples and is refused; a sum of samples has their errors."""
    with pytest.raises(InputError, match="not a mean over samples"):
        SampleErrors(of_kind(adapt(name), KIND))
    outputs, targets = KIND.pairs(30, rng())
    total, mean = (
        SampleErrors(of_kind(adapt(one), KIND)) for one in ("total_edit_distance", "edit_distance")
    )
    torch.testing.assert_close(total(outputs, targets), mean(outputs, targets))


def test_boxes_that_are_none() -> None:
    """A prediction without an area has the largest error; a target without one is nobody's equal and is shown."""
    errors = SampleErrors(of_kind(adapt("rotated_iou"), BOXES))
    good = torch.tensor([[0.5, 0.5, 1.0, 2.0, 0.1]] * 3)
    bad = torch.tensor([[0.5, 0.5, 0.0, 2.0, 0.1], [0.5, 0.5, -1.0, 2.0, 0.1], [0.5, 0.5, 0.0, 0.0, 0.0]])
    assert errors(bad, good).tolist() == errors(good, bad).tolist() == errors(bad, bad).tolist() == [1.0] * 3
    errors.check(rng(), bad, good)
    with pytest.raises(InputError, match="against itself is 1; expected 0 at equality"):
        errors.check(rng(), good, bad)


# ------------------------------------------------------------------------------- what is no distance


def longer_costs(prediction: str, target: str) -> float:
    """What is added costs 2, what is missing 1."""
    difference = len(prediction) - len(target)
    return float(2 * difference if difference > 0 else -difference)


def test_an_asymmetric_metric() -> None:
    """Refused with a pair; or the mean of both directions, with a warning; both are calls."""
    outputs, targets = KIND.pairs(150, rng())
    with pytest.raises(InputError, match=r"the other way round \(\d+ of 100 pairs\).*symmetrize=True"):
        of_texts(longer_costs).check(rng(), outputs, targets)
    errors = of_texts(longer_costs, symmetrize=True)
    with pytest.warns(UserWarning, match="longer_costs is not symmetric"):
        errors.check(rng(), outputs, targets)
    predictions = KIND.decode(outputs)
    expected = [1.5 * abs(len(one) - len(other)) for one, other in zip(predictions, targets, strict=True)]
    torch.testing.assert_close(errors(outputs, targets), torch.tensor(expected, dtype=torch.float64))
    assert (errors.calls, errors.samples) == (600, 150)


def test_a_symmetric_metric_is_not_warned_about() -> None:
    """`symmetrize` may be set although nothing needs it."""
    outputs, targets = KIND.pairs(50, rng())
    errors = of_texts(symmetrize=True)
    errors.check(rng(), outputs, targets)
    torch.testing.assert_close(errors(outputs, targets), of_texts()(outputs, targets))


def test_not_zero_at_equality() -> None:
    """Refused with the pair and its value."""
    outputs, targets = KIND.pairs(20, rng())
    with pytest.raises(InputError, match=r"against itself is 1; expected 0 at equality"):
        of_texts(lambda prediction, target: 1.0 + letters_apart(prediction, target)).check(
            rng(), outputs, targets
        )


def test_negative_errors() -> None:
    """Refused, also where the value is above the best one that was named; rounding below 0 is 0."""
    outputs, targets = KIND.pairs(20, rng())
    with pytest.raises(InputError, match="errors >= 0"):
        of_texts(lambda prediction, target: -letters_apart(prediction, target))(outputs, targets)
    with pytest.raises(InputError, match=r"is -1; expected errors >= 0.*bounds"):
        of_texts(lambda prediction, target: 2.0, higher_is_better=True, bounds=(0.0, 1.0))(outputs, targets)
    assert of_texts(lambda prediction, target: -1e-12)(outputs, targets).tolist() == [0.0] * 20


def test_what_must_be_known_of_a_metric() -> None:
    """The kind of its outputs, and its best value where higher is better."""
    with pytest.raises(InputError, match="what the outputs of the model are is not known"):
        SampleErrors(per_sample(letters_apart, higher_is_better=False))
    with pytest.raises(InputError, match="its best value is not known"):
        of_texts(higher_is_better=True)
    with pytest.raises(InputError, match="not a mean over samples"):
        SampleErrors(of_kind(adapt("f1"), classes(2)))


def exact(prediction: str, target: str) -> float:
    """An importable metric of one sample."""
    return float(prediction != target)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["random", "numpy", "torch"])
def test_workers_import_nothing_of_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A file there that has the name of a library is not run by the processes that measure."""
    (tmp_path / f"{name}.py").write_text(
        "open('RAN', 'w').close()\nraise ImportError('mine')\n", encoding="utf-8"
    )
    here = [part for part in map(os.path.abspath, sys.path)]
    monkeypatch.setattr(sys, "path", here)
    monkeypatch.chdir(tmp_path)
    Workers(per_sample(exact, higher_is_better=False).measure, 1).close()
    assert not (tmp_path / "RAN").exists()
