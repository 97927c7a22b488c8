"""What a network gives for a split is computed once, and everything that measures it reads the same."""

import base64
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from metricgrad._types import OutputKind
from metricgrad.metrics import per_sample
from metricgrad.tune import ArraySplit, Plan, Splits
from metricgrad.tune.outputs import collect
from tests.report import synthetic_runs
from tests.tune.small_run import small_model, small_run, small_splits


class Locked:
    """A test split with pictures that knows whether one of its batches is being looked at."""

    def __init__(self, split: ArraySplit) -> None:
        self.split, self.inputs, self.targets, self.open = split, split.inputs, split.targets, False

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches."""
        for batch in self.split:
            self.open = True
            yield batch
            self.open = False

    def pictures(self, indices: Sequence[int]) -> list[bytes]:
        """One picture an index."""
        return [base64.b64decode(synthetic_runs.picture(1)) for _ in indices]


def _letter(prediction: str, target: Tensor) -> float:
    return float(prediction == "ab"[int(target) % 2])


LETTERS = per_sample(
    _letter,
    higher_is_better=True,
    name="letter",
    kind=OutputKind("letters", lambda outputs: ["ab"[int(row[0] > 0)] for row in outputs], nn.Identity),
)


def _two_classes(split: Any) -> ArraySplit:
    return ArraySplit(split.inputs, split.targets % 2, batch=64)


@pytest.mark.parametrize("letters", [False, True])
def test_every_model_sees_the_test_split_once(tmp_path: Path, letters: bool) -> None:
    """Metric, curves and pictures of changed items are computed of one pass per model: two seeds, three arms."""
    splits, passes, numbers = small_splits(), Counter[int](), count()
    fit, select, test = (
        _two_classes(part) if letters else part for part in (splits.fit, splits.select, splits.test)
    )
    assert isinstance(test, ArraySplit)
    locked = Locked(test)

    def model(seed: int) -> nn.Module:
        network = nn.Linear(12, 2) if letters else small_model(seed)
        number = next(numbers)

        def seen(*_: Any) -> None:
            passes[number] += locked.open

        network.register_forward_hook(seen)
        return network

    small_run(
        tmp_path / "run",
        model=model,
        splits=Splits(fit, select, locked),
        metric=LETTERS if letters else "recall@1",
        proxy=nn.functional.cross_entropy if letters else "supcon",
        method="surrogate:average_precision" if letters else "surrogate:recall_at_k",
        plan=Plan(steps=4, evaluate_every=4),
        start_plan=None,
    )
    assert (tmp_path / "run" / ("examples.json" if letters else "gallery.json")).exists()
    assert sorted((+passes).values()) == [-(-len(test.inputs) // 64)] * 6


@pytest.mark.parametrize("training", [True, False])
def test_a_pass_leaves_the_model_as_it_was(training: bool) -> None:
    """Train mode and random states are the same after it."""
    model, select = small_model().train(training), small_splits().select
    state = torch.get_rng_state()
    collect(model, select)
    assert model.training is training and torch.equal(torch.get_rng_state(), state)
