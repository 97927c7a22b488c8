"""Groups of units: checked before anything is trained, compared between splits, the classes of a retrieval test."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, SubsetRandomSampler, TensorDataset

from metricgrad.errors import InputError
from metricgrad.metrics import adapt
from metricgrad.tune import ArraySplit, ClassBatchSplit, Plan, Splits, tune
from metricgrad.tune.given_data import UnpackedSplit
from metricgrad.tune.groups import check_groups, grouping_of, groups_digest, shared_groups
from metricgrad.tune.outputs import collect


def splits(groups=None, test=None) -> Splits:
    """Three splits of 30 items."""
    inputs = torch.rand(90, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(90) % 2
    parts = [ArraySplit(inputs[rows], labels[rows]) for rows in (slice(30), slice(30, 60), slice(60, 90))]
    return Splits(parts[0], parts[1], test or parts[2], groups=groups)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"test": [1, 2, 3]}, "groups\\['test'\\] has 3 labels, but test has 30 items"),
        ({"select": list("ab") * 16}, "select has 30 items"),
        ({"tests": [0] * 30}, "did you mean"),
        ({"test": [0.5] * 30}, "groups"),
        ({"fit": [None] * 30}, "missing"),
        ({"test": torch.zeros(30, 2).long()}, "groups"),
    ],
)
def test_groups_that_do_not_fit_are_refused(groups: dict, message: str) -> None:
    """Before anything is trained: one label per unit of a split that is there."""
    with pytest.raises(InputError, match="(?i)" + message):
        check_groups(splits(groups))


def test_groups_of_a_loader_are_counted() -> None:
    """Whatever yields batches is counted before anything is trained."""
    loader = DataLoader(TensorDataset(torch.rand(7, 3), torch.arange(7)), batch_size=2)
    check_groups(splits({"test": list("aabbccd")}, loader))
    with pytest.raises(InputError, match="test has 7 items"):
        check_groups(splits({"test": list("aabb")}, loader))
    with pytest.raises(InputError, match="no such split"):
        check_groups(Splits(loader, loader, groups={"test": [1]}))
    batches = list(loader)
    for test in (batches, UnpackedSplit(loader, tuple), ArraySplit(torch.rand(7, 3), list("abcdefg"))):
        check_groups(splits({"test": list("aabbccd")}, test))  # pyright: ignore[reportArgumentType]
        with pytest.raises(InputError, match="test has 7 items"):
            check_groups(splits({"test": list("aabb")}, test))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([1] * 30, r"expected a dict such as \{"),
        ("test", r"expected a dict such as \{"),
        (3, r"expected a dict such as \{"),
        ({1: [2]}, "groups of fit, select or test"),
    ],
)
def test_groups_are_a_dict(groups, message: str) -> None:
    """Not the labels alone, and by the names of splits: without the checks of types that tests run under."""
    given = splits()
    object.__setattr__(given, "groups", groups)
    with pytest.raises(InputError, match=message):
        check_groups(given)


def shuffled(inputs: torch.Tensor, labels: torch.Tensor) -> dict:
    """Splits that give items in another order than they lie in."""
    pairs = TensorDataset(inputs, labels)
    return {
        "array": ArraySplit(inputs, labels, batch=7, shuffle=True),
        "classes": ClassBatchSplit(inputs, labels, classes_per_batch=3, samples_per_class=4),
        "loader": DataLoader(pairs, batch_size=7, shuffle=True),
        "subset": DataLoader(pairs, batch_size=7, sampler=SubsetRandomSampler(range(30))),
        "unpacked": UnpackedSplit(DataLoader(pairs, batch_size=7, shuffle=True), tuple),
    }


@pytest.mark.parametrize("form", ["array", "classes", "loader", "subset", "unpacked"])
def test_a_shuffled_test_split(form: str) -> None:
    """Its classes are read in the order that is measured; groups by places would be those of other items."""
    inputs, labels = torch.rand(30, 3, generator=torch.Generator().manual_seed(0)), torch.arange(30) // 5
    test = shuffled(inputs, labels)[form]
    read = torch.as_tensor(grouping_of("test", splits(None, test), adapt("recall@1")).labels)
    assert torch.equal(read, collect(torch.nn.Identity(), test)[1]) and not torch.equal(read, labels)
    with pytest.raises(InputError, match="test, which is shuffled; expected a test split in a fixed order"):
        check_groups(splits({"test": list(range(30))}, test))
    check_groups(
        Splits(test, splits().select, groups={"fit": list(range(30))})
    )  # of fit only who is in it counts


@pytest.mark.parametrize("form", [list, np.array, torch.tensor])
def test_groups_that_splits_share_are_told(form) -> None:
    """A patient of fit says nothing new in test."""
    fit, test = form([number // 3 for number in range(30)]), form([number // 3 + 8 for number in range(30)])
    (told,) = shared_groups(splits({"fit": fit, "test": test}))
    assert told.startswith("2 of the 10 groups of test also stand in fit")
    assert not shared_groups(splits({"test": test})) and not shared_groups(splits())


def test_a_retrieval_test_is_grouped_by_class() -> None:
    """The classes of its queries, from a split in memory or a loader; groups of the user come first."""
    metric = adapt("recall@1")
    found = grouping_of("test", splits(), metric)
    assert found.noun == "class" and found.labels is not None and len(found.labels) == 30
    loader = DataLoader(TensorDataset(torch.rand(7, 3), torch.tensor([3, 3, 1, 1, 5, 5, 5])), batch_size=3)
    assert grouping_of("test", splits(None, loader), metric).labels.tolist() == [3, 3, 1, 1, 5, 5, 5]  # pyright: ignore
    given = grouping_of("test", splits({"test": list(range(30))}), metric)
    assert (given.noun, given.labels) == ("group", list(range(30)))
    assert grouping_of("test", splits(), adapt("accuracy")).labels is None


def test_targets_that_are_no_labels_are_told() -> None:
    """Queries of a metric of the user's own may have targets of any form."""
    found = grouping_of("test", splits(None, [(torch.rand(4, 3), torch.rand(4, 2))]), adapt("recall@1"))  # pyright: ignore
    assert found.labels is None and found.told is not None


def test_the_digest_knows_who_is_with_whom() -> None:
    """Equal groups under equal names have one hash."""
    first, same = groups_digest(splits({"test": [0, 0, 1]})), groups_digest(splits({"test": [0.0, 0, True]}))
    assert first == same != groups_digest(splits({"test": [0, 1, 1]}))


def test_a_run_draws_groups_and_says_so(tmp_path: Path) -> None:
    """24 patients of five pictures each; fewer resamples where the plan says so; the report names them."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(2, (320,), generator=generator)
    inputs = torch.randn(320, 4, generator=generator) + labels[:, None]
    parts = [ArraySplit(inputs[a:b], labels[a:b], batch=50) for a, b in ((0, 100), (100, 200), (200, 320))]
    patients = [f"patient {number // 5}" for number in range(120)]
    result = tune(
        torch.nn.Linear(4, 2),
        Splits(*parts, groups={"test": patients}),
        metric="accuracy",
        proxy=torch.nn.functional.cross_entropy,
        method="direct:multiclass",
        plan=Plan(steps=4, evaluate_every=2, resamples=70),
        folder=tmp_path / "run",
        observer=lambda event: None,
    )
    verdict = result.event("verdict")
    assert verdict is not None
    assert (verdict["units"], verdict["groups"], verdict["group"], verdict["resamples"]) == (
        120,
        24,
        "group",
        70,
    )
    assert "over 120 samples in 24 groups" in verdict["sentence"]
    assert "test groups" in result.summary() and "120 samples in 24 groups; 70 resamples" in result.summary()
