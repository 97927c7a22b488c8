"""The laws that every exact metric keeps, one test per law and row of `cases.py`."""

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.laws.cases import METRIC_CASES, MetricCase

every_metric = pytest.mark.parametrize("case", METRIC_CASES, ids=lambda case: case.label)
SEEDS = range(3)


def every_seed(law: Callable[[MetricCase, int], None]) -> Callable[[MetricCase], None]:
    """Hold a law for every seed in one test: a test for each took as long as the law itself."""

    def held(case: MetricCase) -> None:
        for seed in SEEDS:
            law(case, seed)

    held.__doc__ = law.__doc__
    return held


def inputs(case: MetricCase, seed: int) -> tuple[Any, Any]:
    """Draw the inputs of a case: tensors or lists of str."""
    return case.make_inputs(torch.Generator().manual_seed(seed))


def listed(side: Any) -> list:
    """A side as the oracles take it."""
    return side.tolist() if isinstance(side, Tensor) else side


def chosen(side: Any, rows: Tensor) -> Any:
    """Some rows of a side."""
    return side[rows] if isinstance(side, Tensor) else [side[int(row)] for row in rows]


def value(case: MetricCase, outputs: Any, targets: Any) -> Tensor:
    """Call the metric with the settings of the case."""
    return case.target(outputs, targets, **case.settings)


def skip_unless(case: MetricCase, law: str) -> None:
    """Skip a law that the case excuses itself from, with its reason."""
    if law in case.skip:
        pytest.skip(case.skip[law])


def same(found: Tensor, wanted: Tensor) -> None:
    """Equal up to the rounding of sums taken in another order, NaN in the same places."""
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12, equal_nan=True)


@every_metric
@every_seed
def test_equals_the_slow_definition(case: MetricCase, seed: int) -> None:
    """The loop-written definition gives the same, ties and undefined units included."""
    outputs, targets = inputs(case, seed)
    wanted = case.oracle(listed(outputs), listed(targets), **case.settings)
    wanted = [math.nan if item is None else item for item in wanted] if case.ranking else wanted
    same(value(case, outputs, targets), torch.tensor(wanted, dtype=torch.float64))


@every_metric
@every_seed
def test_order_of_items_does_not_matter(case: MetricCase, seed: int) -> None:
    """A permutation of the items (of the samples) changes nothing; one of the queries permutes the values."""
    outputs, targets = inputs(case, seed)
    generator = torch.Generator().manual_seed(100 + seed)
    before = value(case, outputs, targets)
    rows = torch.randperm(len(outputs), generator=generator)
    if case.ranking:
        items = torch.randperm(outputs.shape[1], generator=generator)
        same(value(case, outputs[:, items], targets[:, items]), before)
    if case.ranking or case.each:
        before = before[rows]
    same(value(case, chosen(outputs, rows), chosen(targets, rows)), before)


@every_metric
@every_seed
def test_increasing_map_changes_nothing(case: MetricCase, seed: int) -> None:
    """Only the order of the scores counts: negative scores are scores."""
    outputs, targets = inputs(case, seed)
    if not case.increasing_map or not isinstance(outputs, Tensor) or not outputs.is_floating_point():
        pytest.skip("predicted ids, texts and boxes have no scale")
    before = value(case, outputs, targets)
    for mapped in (outputs - 100.0, outputs.exp(), 3 * outputs + 7, outputs.float(), outputs.bfloat16()):
        same(value(case, mapped, targets), before)


@every_metric
@every_seed
def test_stays_within_bounds(case: MetricCase, seed: int) -> None:
    """Every defined value lies within the stated bounds, in float64."""
    found = value(case, *inputs(case, seed))
    defined = found[~found.isnan()]
    assert found.dtype == torch.float64
    assert defined.numel()
    assert bool(((defined >= case.bounds[0]) & (defined <= case.bounds[1])).all())


@every_metric
def test_perfect_input_reaches_the_bound(case: MetricCase) -> None:
    """The best input gets the best value."""
    skip_unless(case, "perfect")
    assert case.perfect is not None
    best = case.bounds[1] if case.higher_is_better else case.bounds[0]
    found = value(case, *case.perfect)
    same(found, torch.full_like(found, best))


@every_metric
def test_worst_input_reaches_the_bound(case: MetricCase) -> None:
    """The worst input gets the worst value."""
    skip_unless(case, "worst")
    assert case.worst is not None
    worst = case.bounds[0] if case.higher_is_better else case.bounds[1]
    found = value(case, *case.worst)
    same(found, torch.full_like(found, worst))


@every_metric
@every_seed
def test_batch_is_the_stack_of_its_queries(case: MetricCase, seed: int) -> None:
    """A query's value does not depend on the other queries, nor a sample's on the other samples."""
    if not (case.ranking or case.each):
        pytest.skip("one value for all samples; concatenated statistics are held by the records' test")
    outputs, targets = inputs(case, seed)
    singles = [value(case, outputs[row : row + 1], targets[row : row + 1]) for row in range(len(outputs))]
    same(torch.cat(singles), value(case, outputs, targets))


@every_metric
def test_without_a_query_or_sample(case: MetricCase) -> None:
    """Empty input has no value: no row where each has one, NaN for all samples together (0 for a sum)."""
    outputs, targets = inputs(case, 0)
    found = value(case, outputs[:0], targets[:0])
    one_each = case.ranking or case.each
    same(found, torch.tensor([] if one_each else case.empty, dtype=torch.float64))


@every_metric
def test_inputs_are_left_alone(case: MetricCase) -> None:
    """A metric changes neither its outputs nor its targets, and carries no gradient."""
    outputs, targets = inputs(case, 0)
    copies = copy.deepcopy((listed(outputs), listed(targets)))
    if isinstance(outputs, Tensor) and outputs.is_floating_point():
        outputs.requires_grad_()
    assert not value(case, outputs, targets).requires_grad
    assert (listed(outputs), listed(targets)) == copies
