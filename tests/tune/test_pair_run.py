"""`tune` with pairs of queries and documents: what is trained, chosen and judged, and that it resumes."""

import copy
import signal
from pathlib import Path

import pytest
import torch
from torch import nn

from metricgrad import metrics
from metricgrad.errors import InputError, Interrupted
from metricgrad.methods import batch_gradient
from metricgrad.pairing import TwoTowers
from metricgrad.tune import ArraySplit, Contender, Plan, Splits, compare
from metricgrad.tune.checkpoint import load_weights
from tests.tune.pair_run import DIM, judgements, pair_run, pair_splits, towers, vectors
from tests.tune.small_run import figures, same_weights, small_run
from tests.tune.test_resume import Raiser


def plain_towers(_seed: int = 0) -> nn.Module:
    """Two towers without random parts, in float64."""
    torch.manual_seed(0)
    return TwoTowers(nn.Linear(DIM, 8), nn.Linear(DIM, 8)).double()


def double_splits() -> Splits:
    """The pairs in float64."""
    queries, documents = (part.double() for part in vectors())
    splits = pair_splits()
    reference = ArraySplit(documents, splits.test.reference.targets, side="document")
    fit = copy.copy(splits.fit)
    fit.queries, fit.documents = queries, documents
    others = (
        ArraySplit(queries[one.targets], one.targets, side="query", reference=reference)
        for one in (splits.select, splits.test)
    )
    return Splits(fit, *others)


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["ndcg@10", metrics.adapt("ndcg@10")])
def test_a_named_metric_is_one_over_the_judgements(tmp_path: Path, metric: object) -> None:
    """Numbers of queries and documents are no labels: 0.03 came of a network whose NDCG was 0.8."""
    judged = pair_run(
        tmp_path / "judged", side_metrics=[metrics.judged("recall@5", judgements())], may_fall=1.0
    )
    named = pair_run(tmp_path / "named", metric=metric, side_metrics=["recall@5"], may_fall=1.0)
    assert figures(named) == figures(judged)
    assert same_weights(tmp_path / "judged", tmp_path / "named") == []


def test_training_on_pairs_finds_documents(tmp_path: Path) -> None:
    """The tuned towers rank far better than random ones on queries that were not trained; the unit is the query."""
    plan, fast = Plan(steps=16, evaluate_every=8), {"learning_rate": 0.1}
    result = pair_run(tmp_path, plan=plan, settings=fast, proxy_settings=fast)
    tested = {event["arm"]: event["value"] for event in result.events if event["event"] == "tested"}
    assert tested["tuned"] > tested["start"] + 0.2
    assert tested["continued"] > tested["start"] + 0.2
    assert "over 30 queries" in result.summary()
    curve = result.event("curve")
    assert curve is not None and curve["value"][0] <= curve["value"][-1] > 0.5
    started = result.event("run_started")
    assert started is not None and started["splits"]["fit"] == {"items": 60}


@pytest.mark.slow
def test_interrupted_run_ends_with_the_same_bytes(tmp_path: Path) -> None:
    """With dropout and a pull to the start a resumed run is the uninterrupted one, bit for bit."""
    settings = {"settings": {"pull_to_start": 5.0}}
    whole = pair_run(tmp_path / "whole", **settings)
    with pytest.raises(Interrupted):
        pair_run(tmp_path / "cut", observer=Raiser("progress", 11, signal.SIGINT), **settings)
    resumed = pair_run(tmp_path / "cut", **settings)
    assert same_weights(whole.folder, tmp_path / "cut") == []
    assert figures(whole) == figures(resumed)


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [7, "auto"])
def test_chunks_train_to_the_same_weights(tmp_path: Path, chunk) -> None:
    """Both towers are embedded in chunks of their own rows."""
    arguments = {"model": plain_towers, "splits": double_splits()}
    pair_run(tmp_path / "whole", **arguments)
    plan = Plan(steps=6, evaluate_every=3, checkpoint_every=4, chunk=chunk)
    pair_run(tmp_path / "chunks", plan=plan, **arguments)
    for path in (tmp_path / "whole" / "arms").iterdir():
        found = load_weights(tmp_path / "chunks" / "arms" / path.name)
        torch.testing.assert_close(found, load_weights(path), rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    "changes",
    [{"document": None}, {"side": "query"}, {"document": None, "shared": True}],
    ids=["documents as they are", "query side", "shared"],
)
@pytest.mark.parametrize("chunk", [16, pytest.param(None, marks=pytest.mark.slow)])
def test_towers_that_are_trained(tmp_path: Path, changes, chunk) -> None:
    """Documents of the query side alone keep their embeddings; a shared tower moves both sides."""

    def model(_seed: int) -> nn.Module:
        query = nn.Linear(DIM, DIM if changes.get("document", 0) is None else 8)
        return TwoTowers(query, **{"document": nn.Sequential(nn.Linear(DIM, 8), nn.Dropout(0.5)), **changes})

    plan = Plan(steps=2, evaluate_every=2, chunk=chunk)
    result = pair_run(tmp_path, model=model, plan=plan, settings={"learning_rate": 0.1})
    _, documents = vectors()
    torch.manual_seed(0)
    start, tuned = model(0), model(0)
    start.load_state_dict(load_weights(result.folder / "arms" / "seed0-start-try0.safetensors"))
    tuned.load_state_dict(load_weights(result.folder / "arms" / "seed0-tuned-try0.safetensors"))
    before, after = (one.eval()(document=documents) for one in (start, tuned))
    assert torch.equal(before, after) == (not changes.get("shared", False))
    assert not torch.equal(start(query=documents), tuned(query=documents))


@pytest.mark.slow
def test_every_loss_of_two_sides(tmp_path: Path) -> None:
    """One contest of the surrogates, the hardest triplet and a direct loss, over InfoNCE, all with graded pairs."""
    methods = ["surrogate:recall_at_k", "surrogate:hardest_triplet", "surrogate:average_precision"]
    methods += [
        "surrogate:reciprocal_rank",
        "surrogate:precision_at_k",
        "surrogate:ndcg",
        "direct:average_precision",
    ]
    comparison = compare(
        towers(),
        pair_splits(hard_negatives=1),
        metric=metrics.judged("mrr@10", judgements()),
        proxy="info_nce",
        methods=[Contender(name.split(":")[0] + str(place), name) for place, name in enumerate(methods)],
        plan=Plan(steps=2, evaluate_every=2, batch=16),
        folder=tmp_path,
        observer=lambda event: None,
    )
    trained = {event["arm"] for event in comparison.result.events if event["event"] == "stage_finished"}
    assert len(trained) == 1 + len(methods)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"proxy": "supcon"}, "supcon: the batch holds queries and documents; expected rows under labels"),
        ({"model": nn.Linear(DIM, 8)}, "TwoTowers"),
        ({"splits": None, "method": "surrogate:recall_at_k+simix"}, "simix was set"),
    ],
)
def test_refuses(tmp_path: Path, changes, message) -> None:
    """A loss of labels, a network of one side, mixtures: one sentence each."""
    with pytest.raises(InputError, match=message):
        pair_run(tmp_path, **changes)


def test_rows_without_a_side_are_refused(tmp_path: Path) -> None:
    """A select split that does not say its side is not embedded as queries in silence."""
    splits = pair_splits()
    plain = ArraySplit(splits.select.inputs, splits.select.targets, reference=splits.select.reference)
    with pytest.raises(InputError, match="the network TwoTowers: it raised TypeError"):
        pair_run(tmp_path, splits=Splits(splits.fit, plain))


def test_several_processes_are_refused(tmp_path: Path, monkeypatch) -> None:
    """Pairs are not shared out among processes."""
    several = type("Several", (), {"size": 2})()
    monkeypatch.setattr(batch_gradient, "current", lambda: several)
    with pytest.raises(InputError, match="TwoTowers: 2 processes; expected one process"):
        pair_run(tmp_path)


def test_unpack_leaves_pairs_as_they_are(tmp_path: Path) -> None:
    """A function for the batches of a loader is not called with those of pairs."""
    splits = pair_splits()
    both = Splits(splits.fit, splits.select, unpack=lambda batch: 1 / 0)
    assert pair_run(tmp_path, splits=both, plan=Plan(steps=1)).event("chosen") is not None


def test_towers_refuse() -> None:
    """What a pair of towers cannot be."""
    layer = nn.Linear(2, 2)
    for arguments, settings, message in (
        ((3,), {}, "query is 3"),
        ((layer, 3), {}, "document is 3"),
        ((layer, layer), {"shared": True}, "shared came beside a document tower"),
        ((layer,), {"shared": True, "side": "query"}, "shared came beside side='query'"),
        ((layer,), {"side": "document"}, "side is 'document'"),
    ):
        with pytest.raises(InputError, match=message):
            TwoTowers(*arguments, **settings)
    with pytest.raises(InputError, match="neither query nor document"):
        TwoTowers(layer)()


def test_both_losses_of_pairs_take_labels(tmp_path: Path) -> None:
    """The hardest triplet against InfoNCE on rows under class labels, settings included."""
    result = small_run(
        tmp_path,
        steps=2,
        proxy="info_nce",
        method="surrogate:hardest_triplet",
        settings={"objective": {"margin": 0.3}},
        proxy_settings={"objective": {"temperature": 0.1}},
        seed=0,
        plan=Plan(steps=2, evaluate_every=2),
        start_plan=None,
    )
    assert result.event("verdict") is not None
