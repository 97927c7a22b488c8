"""The rules (i) to (vi) of the class sampler."""

import itertools
import time
from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metricgrad.errors import InputError
from metricgrad.pairing import ClassBatchSampler


def labels_of(counts):
    """Class c appears counts[c] times."""
    return torch.repeat_interleave(torch.tensor(counts))


def most(groups, classes_per_batch):
    """The largest T with sum of min(groups, T) >= P T, by trying all."""
    return max(t for t in range(sum(groups) + 1) if sum(min(g, t) for g in groups) >= classes_per_batch * t)


@settings(max_examples=60)
@given(
    counts=st.lists(st.integers(0, 13), min_size=1, max_size=9),
    classes=st.integers(1, 4),
    size=st.integers(2, 4),
    small=st.sampled_from(["drop", "keep"]),
    epoch=st.integers(0, 3),
)
def test_batches(counts, classes, size, small, epoch):
    """Every batch has P classes with K distinct samples each; the number of batches is the largest possible."""
    labels = labels_of(counts)
    groups = [n // size if n >= size else int(small == "keep" and n >= 2) for n in counts]
    if sum(group > 0 for group in groups) < classes:
        with pytest.raises(InputError, match="can give a group"):
            ClassBatchSampler(labels, classes_per_batch=classes, samples_per_class=size, small_classes=small)
        return
    sampler = ClassBatchSampler(
        labels, classes_per_batch=classes, samples_per_class=size, small_classes=small
    )
    sampler.set_epoch(epoch)
    batches = list(sampler)
    assert len(batches) == len(sampler) == most(groups, classes)
    for batch in batches:
        sizes = Counter(labels[batch].tolist())
        assert len(sizes) == classes
        assert all(have == min(size, counts[label]) for label, have in sizes.items())
    taken = list(itertools.chain(*batches))
    assert len(taken) == len(set(taken))
    dropped = sampler.dropped
    assert dropped.tail_groups == sum(groups) - classes * len(batches)
    assert dropped.small_classes == sum(n > 0 and g == 0 for n, g in zip(counts, groups, strict=True))
    small_items = sum(n for n, g in zip(counts, groups, strict=True) if g == 0)
    assert dropped.small_class_items == small_items
    assert dropped.leftover_items == sum(n % size for n in counts if n >= size)


def test_same_epoch_same_batches():
    """An epoch depends on seed and number alone; the next one differs, leftovers too."""
    labels = labels_of([7] * 6)
    settings: dict[str, Any] = {"classes_per_batch": 2, "samples_per_class": 3}
    one, other = (ClassBatchSampler(labels, seed=4, **settings) for _ in range(2))
    first = list(one)
    assert list(other) == first
    one.set_epoch(1)
    assert list(one) != first
    one.set_epoch(0)
    assert list(one) == first
    assert list(ClassBatchSampler(labels, seed=5, **settings)) != first
    left = []
    for epoch in range(4):
        one.set_epoch(epoch)
        left.append(frozenset(range(len(labels))) - set(itertools.chain(*one)))
    assert len(set(left)) == 4


def test_classes_spread_over_the_epoch():
    """300 classes x 12, K = 4, P = 100: 9 batches, and each three of them in turn cover all classes."""
    labels = labels_of([12] * 300)
    batches = list(ClassBatchSampler(labels, classes_per_batch=100, samples_per_class=4))
    assert len(batches) == 9
    for start in (0, 3, 6):
        seen = {label for batch in batches[start : start + 3] for label in labels[batch].tolist()}
        assert len(seen) == 300


def test_repeat_fills_up_and_warns():
    """A small class is filled with its own samples, each at least once."""
    labels = labels_of([2, 3, 5])
    with pytest.warns(UserWarning, match="2 classes are repeated"):
        sampler = ClassBatchSampler(labels, classes_per_batch=3, samples_per_class=4, small_classes="repeat")
    (batch,) = list(sampler)
    assert Counter(labels[batch].tolist()) == {0: 4, 1: 4, 2: 4}
    assert {0, 1, 2, 3, 4} <= set(batch)


@pytest.mark.parametrize(
    "change",
    [{"classes_per_batch": 0}, {"samples_per_class": 1}, {"samples_per_class": 0}, {"small_classes": "skip"}],
)
def test_refuses(change):
    """P < 1, K < 2 and unknown words are refused."""
    arguments: dict[str, Any] = {"classes_per_batch": 1, "samples_per_class": 2} | change
    with pytest.raises(InputError, match="ClassBatchSampler"):
        ClassBatchSampler(labels_of([4, 4]), **arguments)


def of_epochs(number, seed=0):
    """The batches of so many epochs by `set_epoch`."""
    sampler = ClassBatchSampler(labels_of([6] * 4), classes_per_batch=2, samples_per_class=3, seed=seed)
    epochs = []
    for epoch in range(number):
        sampler.set_epoch(epoch)
        epochs.append(list(sampler))
    return epochs


@given(calls=st.lists(st.one_of(st.none(), st.integers(0, 9)), max_size=6), seed=st.integers(0, 99))
def test_passes_count_on_from_the_last_number(calls, seed):
    """With and without `set_epoch`, whole and broken passes: (seed, number of the pass) alone decides the batches."""
    sampler = ClassBatchSampler(labels_of([6] * 4), classes_per_batch=2, samples_per_class=3, seed=seed)
    expected, number = of_epochs(16, seed), 0
    for place, call in enumerate(calls):
        if call is not None:
            sampler.set_epoch(call)
            number = call
        iter(sampler)  # asked for and not used
        if place % 2:
            assert next(iter(sampler)) == expected[number][0]
        else:
            assert list(sampler) == expected[number]
        number += 1
        assert sampler.epoch == number


@pytest.mark.parametrize("workers", [{}, {"num_workers": 2}, {"num_workers": 2, "persistent_workers": True}])
def test_in_a_data_loader(workers):
    """A DataLoader takes it as its batch sampler; a plain loop sees a new epoch in every pass."""
    labels = labels_of([6] * 4)
    data = torch.utils.data.TensorDataset(torch.arange(24), labels)
    sampler = ClassBatchSampler(labels, classes_per_batch=2, samples_per_class=3)
    loader = torch.utils.data.DataLoader(data, batch_sampler=sampler, **workers)
    assert len(loader) == 4
    seen = [[items.tolist() for items, _ in loader] for _ in range(3)]
    assert seen == of_epochs(3) and seen[0] != seen[1] != seen[2]
    loader.batch_sampler.sampler.set_epoch(1)  # as Lightning does
    assert [items.tolist() for items, _ in loader] == seen[1]


@pytest.mark.parametrize("epoch", [-1, 0.5, None, "1"])
def test_an_epoch_is_a_number(epoch):
    """Whole and not negative, and so is the seed."""
    with pytest.raises(InputError, match="whole number >= 0"):
        ClassBatchSampler(labels_of([4, 4]), classes_per_batch=1, samples_per_class=2).set_epoch(epoch)
    with pytest.raises(InputError, match="whole number >= 0"):
        ClassBatchSampler(labels_of([4, 4]), classes_per_batch=1, samples_per_class=2, seed=epoch)


def test_an_epoch_is_quick():
    """6,000 items of 1,000 classes: an epoch takes a few milliseconds (20 asked for; 100 on a loaded machine)."""
    sampler = ClassBatchSampler(labels_of([6] * 1000), classes_per_batch=170, samples_per_class=6)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        assert len(list(sampler)) == 5
        times.append(time.perf_counter() - start)
    assert min(times) < 0.1
