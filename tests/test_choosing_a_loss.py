"""The page on which loss for which metric says what the code says."""

import importlib.util
import sys
from pathlib import Path

import pytest

from metricgrad.methods.objectives import loss_named, objectives
from metricgrad.methods.stands_for import losses_for
from metricgrad.metrics import adapt
from metricgrad.metrics.known import FACTS

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def script():
    """The script that writes the page."""
    spec = importlib.util.spec_from_file_location("loss_table", ROOT / "scripts" / "loss_table.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_as_the_code_has_it(script) -> None:
    """Run scripts/loss_table.py where this fails."""
    page = script.PAGE.read_text(encoding="utf-8")
    assert page.partition(script.BEGIN)[2].partition(script.END)[0].strip() == script.tables()


def test_every_metric_and_every_loss_has_its_place(script) -> None:
    """Each metric has a row; each loss stands in a row of a metric or among the proxies."""
    text = script.tables()
    assert all(f"`{name}`" in text for name in [*FACTS, *objectives()])


def test_what_a_loss_names_is_a_metric() -> None:
    """A name that is misspelt would stand for nothing, in silence."""
    named = {
        metric
        for loss in objectives()
        for metric in getattr(sys.modules[loss_named(loss).__module__], "STANDS_FOR", ())
    }
    assert named and named <= set(FACTS)


@pytest.mark.parametrize(
    ("metric", "among", "not_among"),
    [
        ("recall@1", "recall_at_k", "supcon"),
        ("macro_f1", "soft_confusion", "average_precision"),
        ("quadratic_kappa", "slope", "soft_counts"),
        ("mean_iou", "lovasz_softmax", "supcon"),
        ("ndcg@10", "ndcg", "soft_confusion"),
    ],
)
def test_some_of_them(metric: str, among: str, not_among: str) -> None:
    """By hand."""
    found = losses_for(adapt(metric))
    assert among in found and not_among not in found
