"""A metric of decided classes is one formula of the confusion table: for samples, resamples, tables of real numbers."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from metricgrad import metrics
from metricgrad._types import Metric
from metricgrad.errors import InputError
from metricgrad.metrics.confusion import Confusion, of_confusion
from metricgrad.metrics.known import FACTS
from metricgrad.metrics.records import metric_record
from tests.laws.cases import METRIC_CASES

COSTS = torch.rand(8, 8, generator=torch.Generator().manual_seed(1))
"""For tables of up to eight classes."""
RECORDS = [
    metric_record(case.target, **{**case.settings, **({"cost": COSTS} if "cost" in case.settings else {})})
    for case in METRIC_CASES
    if FACTS[case.target.__name__].of_confusion is not None
]
"""Every metric of decided classes with the settings of its rows of laws."""
ONE_CLASS = [
    metrics.adapt(f"{name}:{settings}")
    for name in ("f_beta", "precision", "recall", "specificity", "jaccard")
    for settings in ("positive_class=0", "average=binary,positive_class=3")
]

every_record = pytest.mark.parametrize("metric", [*RECORDS, *ONE_CLASS], ids=lambda metric: metric.name[:50])


def tables(generator: torch.Generator, count: int = 25) -> list[Tensor]:
    """Random tables of 1 to 6 classes, many with empty rows, columns, or classes, none without a sample."""
    found = []
    for _ in range(count):
        classes = int(torch.randint(1, 7, (), generator=generator))
        table = torch.randint(0, 9, (classes, classes), generator=generator)
        table *= torch.rand(classes, classes, generator=generator) < 0.7
        for part in (table, table.T):
            part[torch.rand(classes, generator=generator) < 0.2] = 0
        table[-1, 0] += table.sum() == 0
        found.append(table)
    return found


def expanded(table: Tensor) -> tuple[Tensor, Tensor]:
    """Predicted and true class of every sample of a table."""
    truths, predictions = table.nonzero().T.repeat_interleave(table[table > 0], dim=1)
    return predictions, truths


def function_of(metric: str | Metric) -> Callable[[Tensor], Tensor]:
    """The metric as a function of tables."""
    of_table = metrics.adapt(metric).of_table
    assert of_table is not None
    return of_table


@every_record
def test_a_table_is_worth_what_its_samples_are(generator: torch.Generator, metric: Metric) -> None:
    """Also one by one what it is worth in a batch; a class that does not occur changes nothing."""
    of_table = function_of(metric)
    for table in tables(generator):
        found = of_table(table)
        assert found.dtype == torch.float64 and found.shape == ()
        sides = expanded(table)
        if metric.unit == "image":
            sides = tuple(side[None, None] for side in sides)  # of one row of pixels
        wanted = metric.summarise(metric.measure(*sides))
        torch.testing.assert_close(float(found), wanted, rtol=0, atol=1e-12)
        larger = torch.nn.functional.pad(table, (0, 2, 0, 2))
        torch.testing.assert_close(of_table(larger), found, rtol=0, atol=1e-12)
        batch = torch.stack([table, table + 1, 2 * table]).expand(2, 3, -1, -1)
        alone = torch.stack([of_table(one) for one in batch[0]]).expand(2, 3)
        torch.testing.assert_close(of_table(batch), alone, rtol=0, atol=1e-15)


@every_record
def test_it_has_the_gradient_of_its_values(generator: torch.Generator, metric: Metric) -> None:
    """On positive tables of real numbers; where counts are 0, no NaN as long as the value is defined."""
    of_table = function_of(metric)
    positive = torch.rand(3, 4, 4, generator=generator, dtype=torch.float64) + 0.1
    assert torch.autograd.gradcheck(of_table, positive.requires_grad_())
    for table in tables(generator, 15):
        counts = table.double().requires_grad_()
        of_table(counts).backward()
        assert counts.grad is not None and bool(counts.grad.isfinite().all())


@every_record
def test_a_table_without_samples_has_no_value(metric: Metric) -> None:
    """NaN, among others that have one."""
    batch = torch.stack([torch.zeros(2, 2), torch.ones(2, 2)])
    assert function_of(metric)(batch).isnan().tolist() == [True, False]


@every_record
def test_the_number_of_samples_does_not_matter(generator: torch.Generator, metric: Metric) -> None:
    """Shares of samples have the value of numbers of samples, however small."""
    of_table = function_of(metric)
    for table in tables(generator, 5):
        share = table.double() / table.sum() / 1000
        torch.testing.assert_close(of_table(share), of_table(table), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "name", ["f1:threshold=0", "accuracy:threshold=0.5", "auc", "recall@1", "edit_distance"]
)
def test_what_reads_more_than_a_table_is_no_function_of_one(name: str) -> None:
    """Scores have an order, and a threshold belongs to scores."""
    assert metrics.adapt(name).of_table is None


def test_the_positive_class_is_a_row() -> None:
    """Class 1 by default; one that has no row does not occur, and nothing is wrong."""
    table = torch.tensor([[4.0, 2.0], [1.0, 3.0]])
    assert float(function_of("f1")(table)) == pytest.approx(6 / 9)
    assert float(function_of("f1:positive_class=0")(table)) == pytest.approx(8 / 11)
    assert float(function_of("f1:positive_class=5")(table)) == 1.0


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (torch.ones(3), r"the table is \(3,\).*square"),
        (torch.ones(2, 3), "square"),
        ([[1, 2], [3, 4]], "square tensor"),
        (torch.ones(3, 3), "there are 3 classes; expected two classes"),
    ],
)
def test_what_is_no_table_is_refused(table, message: str) -> None:
    """And F1 asks which of many classes is meant."""
    with pytest.raises(InputError, match=message):
        function_of("f1")(table)


@pytest.mark.parametrize("classes", [1, 2, 3, 4, 9])
def test_counts_of_samples_are_those_of_their_table(generator: torch.Generator, classes: int) -> None:
    """Margins, table and weighted sums, for resamples at once; few classes are counted another way."""
    rows = torch.randint(0, classes, (40, 2), generator=generator).double() * 3
    times = torch.randint(0, 4, (5, 40), generator=generator).double()
    numbers = rows.unique()
    table = torch.zeros(5, len(numbers), len(numbers), dtype=torch.float64)
    for sample, (predicted, true) in enumerate(rows):
        table[:, numbers == true, numbers == predicted] += times[:, sample, None]
    weights = torch.rand(len(numbers), len(numbers), generator=generator, dtype=torch.float64)
    own = Confusion(table, numbers)

    def checked(counted: Confusion) -> Tensor:
        for part in ("numbers", "predicted", "present", "right", "samples", "table"):
            assert torch.equal(getattr(counted, part), getattr(own, part)), part
        torch.testing.assert_close(counted.total(weights), own.total(weights), rtol=1e-14, atol=0)
        return counted.samples

    assert torch.equal(of_confusion(checked, rows)(times), times.sum(1))


def test_no_sample_is_no_value() -> None:
    """Of rows, too."""
    metric = metrics.adapt("macro_f1")
    assert math.isnan(metric.summarise(torch.zeros(0, 2, dtype=torch.float64)))
