"""Our exact metrics as metrics of torchmetrics, and a metric of torchmetrics as what a run tunes for."""

import json
from pathlib import Path

import pytest
import torch
import torchmetrics
from torch import Tensor, nn

import metricgrad as mg
from metricgrad.errors import InputError
from metricgrad.integrations.torchmetrics import ExactMetric
from tests.integrations.pages import run_page
from tests.integrations.two_processes import in_two_processes

pytestmark = pytest.mark.integration("torchmetrics")


def drawn(name: str) -> tuple[Tensor, Tensor]:
    """Outputs and targets that suit a metric; 40 rows of 5 classes."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(5, (40,), generator=generator)
    outputs = torch.randn(40, 5, generator=generator) + torch.eye(5)[targets]
    if name in ("average_precision", "auc"):
        return outputs[:, 0], (targets == 0).long()
    return outputs, targets


def exact(name: str, outputs: Tensor, targets: Tensor) -> float:
    """The metric of all rows at once."""
    metric = mg.metrics.metric_by_name(name)
    return metric.summarise(metric.measure(outputs, targets))


BY_NAME = pytest.mark.parametrize("name", ["recall@1", "map", "macro_f1", "accuracy", "auc"])


@BY_NAME
@pytest.mark.parametrize("sizes", [(40,), (1, 39), (13, 0, 20, 7), (8,) * 5], ids=str)
def test_any_division_gives_the_same(name: str, sizes: tuple[int, ...]):
    """Batches of any size, an empty one among them; reset begins anew."""
    outputs, targets = drawn(name)
    metric = ExactMetric(name)
    metric.update(outputs[:3], targets[:3])
    metric.reset()
    for part in zip(outputs.split(sizes), targets.split(sizes), strict=True):
        metric.update(*part)
    assert float(metric.compute()) == exact(name, outputs, targets)
    assert metric.higher_is_better


@BY_NAME
def test_merged_and_gathered(name: str):
    """Two objects merged, and two processes whose states are gathered, have the value of all rows."""
    outputs, targets = drawn(name)
    first, second = ExactMetric(name), ExactMetric(name)
    first.update(outputs[:25], targets[:25])
    second.update(outputs[25:30], targets[25:30])
    second.update(outputs[30:], targets[30:])

    def gathered(state: Tensor, group: object = None) -> list[Tensor]:
        """What the processes hold; the package has made one tensor of the list of this one."""
        other = outputs[25:] if state.is_floating_point() else targets[25:]
        return [state, other if len(state) else state]  # nobody has references

    synced = ExactMetric(name, dist_sync_fn=gathered, distributed_available_fn=lambda: True)
    synced.update(outputs[:25], targets[:25])
    assert float(synced.compute()) == exact(name, outputs, targets)
    first.merge_state(second)
    assert float(first.compute()) == exact(name, outputs, targets)


def test_forward_is_the_batch():
    """The value of a call is that of its batch, and the batch is kept."""
    outputs, targets = drawn("accuracy")
    metric = ExactMetric("accuracy")
    value = metric(outputs[:10], targets[:10])
    assert float(value) == exact("accuracy", outputs[:10], targets[:10])
    metric(outputs[10:], targets[10:])
    assert float(metric.compute()) == exact("accuracy", outputs, targets)


def test_within_other_metrics():
    """BootStrapper, MetricCollection and MetricTracker take it."""
    outputs, targets = drawn("macro_f1")
    whole = exact("macro_f1", outputs, targets)
    torch.manual_seed(0)
    boot = torchmetrics.wrappers.BootStrapper(ExactMetric("macro_f1"), num_bootstraps=20)
    boot.update(outputs, targets)
    found = boot.compute()
    assert abs(float(found["mean"]) - whole) < 0.1
    assert 0 < float(found["std"]) < 0.2
    both = torchmetrics.MetricCollection({"f1": ExactMetric("macro_f1"), "hit": ExactMetric("accuracy")})
    tracker = torchmetrics.wrappers.MetricTracker(both)
    for rows in (targets, outputs.argmax(1)):  # the second time all are right
        tracker.increment()
        tracker.update(outputs, rows)
    best, step = tracker.best_metric(return_step=True)
    assert {key: float(value) for key, value in best.items()} == {"f1": 1.0, "hit": 1.0}
    assert set(step.values()) == {1}


def test_state_is_kept_and_moved():
    """The type of targets stays when the metric is told to be of another type, as labels are no numbers to round."""
    outputs, targets = drawn("recall@1")
    metric = ExactMetric("recall@1")
    metric.update(outputs, targets)
    metric.persistent(True)
    again = ExactMetric("recall@1")
    again.persistent(True)
    again.load_state_dict(metric.state_dict())
    again.update(outputs[:0], targets[:0])
    assert float(again.compute()) == exact("recall@1", outputs, targets)


def referenced() -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Queries with their labels, and references as a retrieval metric takes them."""
    outputs, targets = drawn("recall@1")
    return outputs[:15], targets[:15], {"reference_outputs": outputs[15:], "reference_targets": targets[15:]}


@pytest.mark.parametrize("name", ["recall@1", "map", "ndcg@5"])
def test_separate_references(name: str):
    """Queries and references in batches, in any order, have the value of the metric with all references; reset."""
    queries, labels, references = referenced()
    items, item_labels = references.values()
    record = mg.metrics.metric_by_name(name)
    expected = record.summarise(record.measure(queries, labels, **references))
    assert expected != exact(name, queries, labels)
    metric = ExactMetric(name)
    for late in (False, True):
        if late:
            metric.update(queries[:7], labels[:7])
        for part in zip(items.split(10), item_labels.split(10), strict=True):
            metric.update_references(*part)
        if not late:
            metric.update(queries[:7], labels[:7])
        metric.update(queries[7:], labels[7:])
        assert float(metric.compute()) == expected
        metric.update_references(queries[:1], labels[:1])
        assert float(metric.compute()) != expected  # what was computed before is not remembered
        metric.reset()
    metric.update(queries, labels)
    assert float(metric.compute()) == exact(name, queries, labels)


def test_references_in_forward_merges_and_states():
    """A batch of forward is ranked against all references so far; merged, saved and in a collection they are kept."""
    queries, labels, references = referenced()
    items, item_labels = references.values()
    record = mg.metrics.metric_by_name("map")

    def of(rows: slice) -> float:
        return record.summarise(record.measure(queries[rows], labels[rows], **references))

    metric = ExactMetric("map")
    metric.update_references(items, item_labels)
    assert float(metric(queries[:6], labels[:6])) == of(slice(6))
    assert float(metric(queries[6:], labels[6:])) == of(slice(6, None))
    assert float(metric.compute()) == of(slice(None))
    first, second = ExactMetric("map"), ExactMetric("map")
    first.update(queries[:6], labels[:6])
    first.update_references(items[:5], item_labels[:5])
    second.update_references(items[5:], item_labels[5:])
    second.update(queries[6:], labels[6:])
    first.merge_state(second)
    assert float(first.compute()) == pytest.approx(
        of(slice(None)), abs=1e-12
    )  # the rows of the second come first
    metric.persistent(True)
    again = ExactMetric("map", compute_on_cpu=True)
    again.persistent(True)
    again.load_state_dict(metric.state_dict())
    assert float(again.compute()) == of(slice(None))
    both = torchmetrics.MetricCollection(
        {"map": ExactMetric("map"), "hit": ExactMetric("recall@1")}, compute_groups=False
    )
    both.update(queries, labels)
    both["map"].update_references(items, item_labels)
    found = both.compute()
    assert float(found["map"]) == of(slice(None))
    assert float(found["hit"]) == exact("recall@1", queries, labels)


def test_references_of_two_processes(tmp_path: Path):
    """Gloo processes that hold parts of both, one of them all references, or one references and the other queries."""
    in_two_processes("tests.integrations.torchmetrics_program", tmp_path)
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text("utf-8")) for rank in (0, 1))
    assert first == second
    queries, labels, references = referenced()
    record = mg.metrics.metric_by_name("map")
    expected = record.summarise(record.measure(queries, labels, **references))
    alone = record.summarise(record.measure(queries, labels))
    assert len(first) == 4
    for case, value in first.items():
        assert value == pytest.approx(alone if case == "no references" else expected, abs=1e-12), case


@pytest.mark.filterwarnings("ignore:The ``compute`` method:UserWarning")
def test_what_is_refused():
    """No row, texts, another number of targets, references of a metric that ranks nothing."""
    with pytest.raises(InputError, match="measured per sample; expected a retrieval metric"):
        ExactMetric("accuracy").update_references(torch.zeros(1, 2), torch.zeros(1))
    with pytest.raises(InputError, match=r"update_references: .* as many targets"):
        ExactMetric("map").update_references(torch.zeros(1, 2), torch.zeros(2))
    with pytest.raises(InputError, match="no row came"):
        only = ExactMetric("map")
        only.update_references(torch.eye(2), torch.arange(2))
        only.compute()
    metric = ExactMetric("recall@1")
    with pytest.raises(InputError, match=r"no row came; expected update\(preds, target\)"):
        metric.compute()
    with pytest.raises(InputError, match="Number texts first"):
        metric.update(torch.zeros(1, 2), ["a"])
    with pytest.raises(InputError, match="as many targets"):
        metric.update(torch.zeros(1, 2), torch.zeros(2))
    with pytest.raises(InputError, match="direction is not known"):
        ExactMetric(lambda outputs, targets: 0.0)
    assert not ExactMetric(lambda outputs, targets: 0.0, higher_is_better=False).higher_is_better


def test_theirs_is_tuned_for():
    """A metric of torchmetrics is the metric of a run, and its value on select is that of the package."""
    outputs, targets = drawn("accuracy")
    splits = mg.Splits(*(mg.ArraySplit(outputs[rows], targets[rows]) for rows in (slice(20), slice(20, 40))))
    theirs = torchmetrics.classification.MulticlassCohenKappa(5)
    result = mg.tune(
        nn.Linear(5, 5), splits, metric=theirs, method="surrogate:soft_confusion",
        plan=mg.Plan(steps=4), decision="argmax", observer=lambda event: None,
    )  # fmt: skip
    chosen = result.event("chosen")
    assert result.model is not None and chosen is not None
    theirs.update(result.model(outputs[20:]), targets[20:])
    chosen = chosen["select"]["0"][result.returned]
    torch.testing.assert_close(float(theirs.compute()), chosen, rtol=0, atol=1e-6)


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """docs/integrations/torchmetrics.md is a program; batches give the value of the whole."""
    page = run_page("torchmetrics.md", tmp_path, monkeypatch)
    torch.testing.assert_close(float(page.value), page.whole)
    queries, items = slice(40, 60), slice(40)
    measured = page.recall.measure(
        page.inputs[queries],
        page.targets[queries],
        reference_outputs=page.inputs[items],
        reference_targets=page.targets[items],
    )
    assert float(page.against) == page.recall.summarise(measured)
