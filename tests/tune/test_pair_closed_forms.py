"""Controls that train nothing in runs over pairs: raw inputs, and the best closed form of queries and documents."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from metricgrad import Qrels, metrics
from metricgrad.errors import CheckpointError, InputError
from metricgrad.pairing import TwoTowers
from metricgrad.projection import CCA, PairProjection
from metricgrad.report import summary_text
from metricgrad.tune import ArraySplit, Contender, PairSplit, Plan, Result, Splits, closed_forms, compare
from metricgrad.tune.closed_forms import CHOOSING
from metricgrad.tune.fit_rows import fit_rows
from metricgrad.tune.untrained import untrained_controls
from tests.tune.pair_run import DIM, DOCUMENTS, QUERIES, judgements, pair_run, pair_splits, vectors
from tests.tune.small_run import figures
from tests.tune.test_closed_forms import arms, of

BRIEF = Plan(steps=2, evaluate_every=2, resamples=200)
UNCHANGED = "unchanged, of the inputs"


def poor(_seed: int = 0) -> TwoTowers:
    """Towers that keep two directions of ten."""
    torch.manual_seed(0)
    return TwoTowers(nn.Linear(DIM, 2), nn.Linear(DIM, 2))


def run(folder: Path | None = None, **changes: Any) -> Result:
    """A few steps from poor towers."""
    return pair_run(folder, **({"model": poor, "plan": BRIEF} | changes))


def other_splits(queries: Tensor, documents: Tensor, qrels: Qrels | None = None) -> Splits:
    """Other inputs of as many queries and documents."""
    index = ArraySplit(documents, torch.arange(DOCUMENTS), side="document")
    qrels = judgements() if qrels is None else qrels
    fit = PairSplit(queries, documents, qrels, query_numbers=torch.arange(60), batch=20)
    select, test = (
        ArraySplit(queries[some], some, side="query", reference=index)
        for some in (torch.arange(60, 90), torch.arange(90, QUERIES))
    )
    return Splits(fit, select, test)


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """Two seeds of one start that loses most: queries are documents, turned, so that CCA finds them."""
    return run(tmp_path_factory.mktemp("pairs") / "run", seed=(0, 1))


def test_closed_forms_of_pairs_are_controls(spoilt: Result) -> None:
    """Both controls take part; forms are of outputs and inputs, the best of them by select is returned."""
    assert arms(spoilt) == ["start", "continued", "raw", "closed-form", "tuned"]
    for event in of(spoilt, "closed_form_chosen"):
        values = [one["value"] for one in event["tried"]]
        words = [one["words"] for one in event["tried"]]
        assert event["value"] == max(values) and event["words"] == words[values.index(event["value"])]
        assert words[0] == "unchanged, of the outputs" and UNCHANGED in words and not event["note"]
        for name in ("within-pair whitening", "Procrustes", "CCA", "ridge regression", "centring"):
            assert {
                end
                for end in ("outputs", "inputs")
                for one in words
                if one.startswith(name) and one.endswith(end)
            } == {
                "outputs",
                "inputs",
            }
    (chosen,) = of(spoilt, "chosen")
    values = chosen["select"]["0"]
    assert spoilt.returned == "closed-form" and values["closed-form"] > values["raw"]
    assert of(spoilt, "verdict")[0]["baseline"] == "closed-form"
    assert of(spoilt, "closed_form_chosen")[0]["words"] in summary_text(spoilt.events)


def test_its_values_are_those_of_a_form_that_is_fitted_by_hand(spoilt: Result) -> None:
    """CCA on every query of fit and relevant document, measured on select: the same value to the last digit."""
    queries, documents = vectors()
    pairs = [(query, int(document)) for query in range(60) for document in judgements().positives(query)]
    asked, found = (list(part) for part in zip(*pairs, strict=True))
    form, metric = (
        CCA(0.1, 0.5).fit(queries[asked], documents[found]),
        metrics.judged("ndcg@10", judgements()),
    )
    some = torch.arange(60, 90)
    value = metric.summarise(
        metric.measure(
            form.query(queries[some]),
            some,
            reference_outputs=form.document(documents),
            reference_targets=torch.arange(DOCUMENTS),
        )
    )
    tried = {one["words"]: one["value"] for one in of(spoilt, "closed_form_chosen")[0]["tried"]}
    assert tried["CCA, shrinkage 0.1, power 0.5, of the inputs"] == float(value)
    raw = metric.measure(
        queries[some], some, reference_outputs=documents, reference_targets=torch.arange(DOCUMENTS)
    )
    assert tried[UNCHANGED] == of(spoilt, "chosen")[0]["select"]["0"]["raw"] == float(metric.summarise(raw))


def test_equal_starts_are_fitted_once(spoilt: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both seeds have one start: forms are measured once, and all figures are those of forms measured for each."""
    first, second = of(spoilt, "closed_form_chosen")
    assert {**first, "seed": 1, "time": second["time"]} == second
    assert of(spoilt, "verdict")[0]["metric_calls"][CHOOSING] == len(first["tried"])
    monkeypatch.setattr(closed_forms, "_digest", lambda parts: None)
    again = run(seed=(0, 1))
    of_inputs = sum(one["words"].endswith("of the inputs") for one in first["tried"])
    calls = of(again, "verdict")[0]["metric_calls"][CHOOSING]
    assert calls == 2 * len(first["tried"]) - of_inputs
    assert figures(again) == figures(spoilt)


def test_it_is_loaded_and_applied(spoilt: Result, tmp_path: Path) -> None:
    """Each side by its own map, alone and together; arrays that are missing are refused."""
    loaded, form = Result.load(spoilt.folder, model=poor), spoilt.projection
    queries, documents = vectors()
    assert isinstance(form, PairProjection) and of(spoilt, "closed_form_chosen")[0]["of"] == "inputs"
    for result in (spoilt, loaded):
        assert result.model is not None
        both = result.model(query=queries, document=documents)
        for side, rows in (("query", queries), ("document", documents)):
            expected = form.get_submodule(side)(rows)
            assert torch.equal(both[side], expected) and torch.equal(result.model(**{side: rows}), expected)
            assert torch.equal(result.predict({side: rows}), expected)
    folder = shutil.copytree(spoilt.folder, tmp_path / "copy")
    (folder / "projection.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"projection\.safetensors"):
        Result.load(folder, model=poor)


def test_a_form_of_outputs_follows_the_towers() -> None:
    """Whole numbers are no vectors: there is no raw arm, and forms are of what the towers give."""
    queries, documents = ((part * 10).long() for part in vectors())

    class Turned(nn.Module):
        """Reads whole numbers; all that it says is a hundred times as loud along one direction."""

        def __init__(self, seed: int) -> None:
            super().__init__()
            turned = torch.linalg.qr(torch.randn(DIM, DIM, generator=torch.Generator().manual_seed(seed))).Q
            self.linear = nn.Linear(DIM, DIM, bias=False)
            self.linear.weight.data = turned @ torch.diag(torch.tensor([100.0] + 9 * [1.0]))

        def forward(self, numbers: Tensor) -> Tensor:
            return self.linear(numbers.float())

    def towers(_seed: int = 0) -> TwoTowers:
        return TwoTowers(Turned(1), Turned(2))

    result = run(model=towers, splits=other_splits(queries, documents), settings={"learning_rate": 1e-6})
    assert arms(result) == ["start", "continued", "closed-form", "tuned"]
    (event,) = of(result, "closed_form_chosen")
    assert {one["words"].rsplit(" ", 1)[1] for one in event["tried"]} == {"outputs"}
    assert result.returned == "closed-form" and isinstance(result.projection, PairProjection)
    assert result.model is not None
    start = towers()
    for side, rows in (("query", queries), ("document", documents)):
        expected = result.projection.get_submodule(side)(start(**{side: rows}))
        torch.testing.assert_close(result.model(**{side: rows}), expected, rtol=0, atol=0)


@pytest.mark.parametrize("model", ["as they are", "frozen"])
def test_documents_stay_where_their_tower_is_not_trained(model: str) -> None:
    """Only forms that leave documents as they are: the index need not be built again."""
    torch.manual_seed(0)
    document = None if model == "as they are" else nn.Linear(DIM, DIM)
    towers = TwoTowers(nn.Linear(DIM, DIM), document, side="query")
    result = run(model=towers)
    (event,) = of(result, "closed_form_chosen")
    kinds = {one["words"].split(",")[0] for one in event["tried"]}
    assert kinds == {"unchanged", "Procrustes of queries alone", "ridge regression of queries alone"}
    _, documents = vectors()
    assert result.returned == "closed-form" and event["of"] == "inputs" and result.model is not None
    found = nn.functional.normalize(result.model(document=documents), dim=1)
    torch.testing.assert_close(found, nn.functional.normalize(documents, dim=1))


def test_raw_inputs_are_returned_where_they_are_best(tmp_path: Path) -> None:
    """Queries that are their documents: nothing beats them, each side is given back as it came."""
    _, documents = vectors()
    queries = documents[torch.arange(QUERIES) % DOCUMENTS]
    qrels = Qrels.of_pairs(
        torch.arange(QUERIES), torch.arange(QUERIES) % DOCUMENTS, queries=QUERIES, items=DOCUMENTS
    )
    splits = other_splits(queries, documents, qrels)
    result = run(tmp_path / "run", splits=splits, metric=metrics.judged("recall@1", qrels))
    assert result.returned == "raw" and result.projection is None
    for one in (result, Result.load(tmp_path / "run", model=poor)):
        assert one.model is not None
        assert torch.equal(one.model(query=queries), queries)
        assert torch.equal(one.model(document=documents), documents)


def test_two_spaces_have_no_raw_vectors() -> None:
    """Sides of other dimensions: CCA and ridge regression bring inputs together, and raw is refused."""
    queries, documents = vectors()
    wide = torch.cat([queries, queries.flip(1)], 1)
    splits, metric = other_splits(wide, documents), metrics.judged("ndcg@10", judgements())
    towers = TwoTowers(nn.Linear(2 * DIM, 4), nn.Linear(DIM, 4))
    result = run(model=towers, splits=splits)
    assert arms(result) == ["start", "continued", "closed-form", "tuned"]
    tried = [one["words"] for one in of(result, "closed_form_chosen")[0]["tried"]]
    of_inputs = {one.split(",")[0] for one in tried if one.endswith("of the inputs")}
    assert of_inputs == {"CCA", "ridge regression"}
    with pytest.raises(
        InputError, match="control raw is asked for, but queries have 20 dimensions and documents 10"
    ):
        compare(
            towers,
            splits,
            metric=metric,
            methods=[Contender("other", "surrogate:ndcg")],
            proxy="info_nce",
            controls=["raw"],
        )


def test_sides_that_say_nothing_leave_the_outputs() -> None:
    """Two spaces of which one holds a single vector: no form of the inputs, and that is no error."""
    queries, _ = vectors()
    same = torch.ones(DOCUMENTS, DIM + 1)
    result = run(
        model=TwoTowers(nn.Linear(DIM, 4), nn.Linear(DIM + 1, 4)), splits=other_splits(queries, same)
    )
    (event,) = of(result, "closed_form_chosen")
    assert {one["words"] for one in event["tried"]} == {"unchanged, of the outputs"}


def test_a_select_split_without_sides_has_no_closed_form() -> None:
    """The record says why."""
    splits, metric = pair_splits(), metrics.judged("ndcg@10", judgements())
    plain = ArraySplit(splits.select.inputs, splits.select.targets)
    found, told = untrained_controls(None, metric, Splits(splits.fit, plain))
    assert not found
    assert told == ["there is no control closed-form: inputs of select are (30, 10) of torch.float32"]


def test_every_relevant_pair_is_a_row(tmp_path: Path) -> None:
    """Of the queries of fit alone, by hand and from memory maps; a document of two queries is there twice."""
    queries, documents = (part.numpy() for part in vectors())
    np.save(tmp_path / "q.npy", queries)
    np.save(tmp_path / "d.npy", documents)
    maps = [np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "qd"]
    numbers = [7, 3, 90]
    for given in ((queries, documents), maps):
        fit = PairSplit(*given, judgements(), query_numbers=torch.tensor(numbers), batch=2)
        found = fit_rows(TwoTowers(nn.Identity()), fit, documents_stay=False)
        relevant = [(query, int(one)) for query in numbers for one in judgements().positives(query)]
        assert len(relevant) == 6
        for rows, source, place in zip(found.rows, (queries, documents), (0, 1), strict=True):
            np.testing.assert_array_equal(rows.numpy(), source[[pair[place] for pair in relevant]])


def test_more_pairs_than_are_read_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as there is room for, the same ones every time."""
    monkeypatch.setattr("metricgrad.tune.fit_rows.MOST_PAIRS", 50)
    fit: Any = pair_splits().fit
    first, second = (fit_rows(TwoTowers(nn.Identity()), fit, documents_stay=False) for _ in range(2))
    assert [len(part) for part in first.rows] == [50, 50]
    for one, other in zip(first.rows, second.rows, strict=True):
        assert torch.equal(one, other)
