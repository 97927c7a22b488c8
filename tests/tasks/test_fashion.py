"""The task fashion: who is drawn, which labels are replaced, its model."""

from pathlib import Path

import pytest
import torch

from metricgrad.errors import InputError
from metricgrad.tasks import fashion
from metricgrad.tasks.fashion_mnist import pictures_folder
from tests.tasks.real_data import found_or_skipped
from tests.tasks.test_fashion_ap import numbers, write


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with 1,200 + 100 made-up pictures."""
    return write(tmp_path_factory.mktemp("data") / "fashion-mnist", 1200, 100)


def test_every_picture_is_in_one_split(folder) -> None:
    """1,100 fit, 100 select, the official test part; a smaller fit is drawn class by class from the same pictures."""
    splits, fewer = (fashion.load({"folder": folder, "items_fit": count}).splits for count in (None, 200))
    drawn = [number for part in (splits.fit, splits.select, splits.test) for number in numbers(part)]
    assert len(set(drawn)) == len(drawn) == 1300
    assert torch.bincount(splits.select.targets).tolist() == [10] * 10
    assert torch.bincount(fewer.fit.targets).tolist() == [20] * 10
    assert set(numbers(fewer.fit)) < set(numbers(splits.fit))
    with pytest.raises(InputError, match="items_fit is 1101"):
        fashion.load({"folder": folder, "items_fit": 1101})


def test_labels_of_fit_alone_are_replaced(folder) -> None:
    """About the rate of them, never by the same class; those of a lower rate are replaced at a higher one as well."""
    clean, some, more = (fashion.load({"folder": folder, "flip": rate}).splits for rate in (0.0, 0.2, 0.4))
    wrong = [part.fit.targets != clean.fit.targets for part in (some, more)]
    assert 0.15 < float(wrong[0].double().mean()) < 0.25 and 0.35 < float(wrong[1].double().mean()) < 0.45
    assert bool((wrong[0] <= wrong[1]).all())
    assert torch.bincount(more.fit.targets[wrong[1]], minlength=10).min() > 20
    assert torch.equal(more.select.targets, clean.select.targets)
    assert torch.equal(more.test.targets, clean.test.targets)
    assert torch.equal(more.fit.inputs, clean.fit.inputs)


def test_model_and_proxy_fit(folder) -> None:
    """Ten scores per picture, and every weight has a gradient."""
    task = fashion.load({"folder": folder, "batch": 64})
    model = task.model(0)
    inputs, targets = next(iter(task.splits.fit))
    outputs = model(inputs)
    assert outputs.shape == (64, 10)
    task.proxy(outputs, targets).backward()
    assert all(bool(value.grad.abs().sum() > 0) for value in model.parameters())


def test_missing_files_name_the_task_and_the_command(tmp_path) -> None:
    """One sentence says which task needs what, and how to get it."""
    with pytest.raises(InputError, match=r"task fashion: the pictures are not in .*scripts/fetch-data"):
        fashion.load({"folder": tmp_path})


def test_the_real_pictures() -> None:
    """The counts that the documentation gives."""
    found_or_skipped(lambda: pictures_folder("fashion"))
    splits = fashion.load({}).splits
    assert torch.bincount(splits.fit.targets).tolist() == [5500] * 10
    assert torch.bincount(splits.select.targets).tolist() == [500] * 10 and len(splits.test.targets) == 10_000
