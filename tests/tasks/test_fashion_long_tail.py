"""The task fashion_long_tail: who is drawn, how few of the rare classes are left, its model."""

from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from metricgrad.errors import InputError
from metricgrad.tasks import fashion_long_tail
from metricgrad.tasks.fashion_mnist import pictures_folder
from tests.tasks.real_data import found_or_skipped
from tests.tasks.test_fashion_ap import numbers, write


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with 1,200 + 100 made-up pictures."""
    return write(tmp_path_factory.mktemp("data") / "fashion-mnist", 1200, 100)


def test_fit_alone_has_a_long_tail(folder) -> None:
    """110 of one class down to 11 of another; select and test have all classes alike; no picture is in two splits."""
    splits = fashion_long_tail.load({"folder": folder, "imbalance": 10}).splits
    counts = [torch.bincount(part.targets).tolist() for part in (splits.fit, splits.select, splits.test)]
    assert sorted(counts[0])[::9] == [11, 110] and counts[1:] == [[10] * 10, [10] * 10]
    drawn = [number for part in (splits.fit, splits.select, splits.test) for number in numbers(part)]
    assert len(set(drawn)) == len(drawn)
    assert [seed for seed, _ in drawn[-101:]] == [0] + [1] * 100  # test is the official file, whole
    classes = torch.tensor([number % 10 for _, number in numbers(splits.fit)])
    assert_close(splits.fit.targets, classes)


def test_the_seed_draws(folder) -> None:
    """The same seed the same pictures; another seed other pictures, and another order of the classes."""
    first, same, other = (
        fashion_long_tail.load({"folder": folder, "split_seed": seed}).splits for seed in (0, 0, 1)
    )
    assert first.fit.digest == same.fit.digest and first.select.digest == same.select.digest
    assert torch.bincount(first.fit.targets).tolist() != torch.bincount(other.fit.targets).tolist()
    assert first.test.digest == other.test.digest


def test_model_and_proxy_fit(folder) -> None:
    """Ten scores per picture, and every weight has a gradient."""
    task = fashion_long_tail.load({"folder": folder, "batch": 64})
    model = task.model(0)
    inputs, targets = next(iter(task.splits.fit))
    outputs = model(inputs)
    assert outputs.shape == (64, 10)
    task.proxy(outputs, targets).backward()
    assert all(bool(value.grad.abs().sum() > 0) for value in model.parameters())


def test_missing_files_name_the_task_and_the_command(tmp_path) -> None:
    """One sentence says which task needs what, and how to get it."""
    with pytest.raises(
        InputError, match=r"task fashion_long_tail: the pictures are not in .*scripts/fetch-data"
    ):
        fashion_long_tail.load({"folder": tmp_path})


def test_the_real_pictures() -> None:
    """The counts that the documentation gives."""
    found_or_skipped(lambda: pictures_folder("fashion_long_tail"))
    splits = fashion_long_tail.load({}).splits
    counts = torch.bincount(splits.fit.targets)
    assert (len(splits.fit.targets), int(counts.max()), int(counts.min())) == (13_650, 5_500, 55)
    assert torch.bincount(splits.select.targets).tolist() == [500] * 10 and len(splits.test.targets) == 10_000
