"""The evidence: recipes that can be run, a page with the figures of its tables, a cell that is read as it ran."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks import evidence, evidence_page, evidence_quick, evidence_trees
from metricgrad._types import Metric
from metricgrad.cli.recipe import Entry, Recipe, read_recipe
from metricgrad.methods.families import road_named
from metricgrad.metrics import adapt
from metricgrad.tune import Comparison
from metricgrad.tune.compared import Row

RECIPES = sorted([*evidence.RECIPES.glob("*.yaml"), *evidence_quick.HEADLINES.glob("*.yaml")])
NOT_ROADS = ("auto", "continued", "raw", "closed-form", "proxy")


LOSSES, SEARCHES = {"surrogate", "direct"}, {"mixture", "evolution", "value_function"}
FAMILIES: dict[str, set[str]] = {
    "classes": LOSSES | SEARCHES | {"policy", "auto"},
    "embeddings": LOSSES | SEARCHES,
    "scores": LOSSES | SEARCHES,
    "pixels": LOSSES,
    "texts": SEARCHES | {"policy", "learned", "learned+filter"},
    "boxes": {"learned", "learned+filter"},
}
"""By what a metric reads: the families that apply (decision 90)."""
NOT_SEARCHED = ("digits", "text_retrieval")
"""Tasks of embeddings where nothing can be held back, or no one last layer can be moved."""
LEFT: dict[str, set[str]] = {
    "emoji-map": {"mixture", "value_function"},
    "fashion-rare-mcc": {"value_function", "policy"},
}
"""Families that apply to a cell and have not been trained there; docs/evidence.md names them, too."""


def family(method: str) -> str:
    """The family of a method: of searches the search, of two steps the surrogate."""
    first, _, name = method.partition(":")
    return {"blackbox": name, "alternating": "surrogate"}.get(first, first)


def entries(recipe: Recipe) -> list[Entry]:
    """Methods and controls, each with its settings."""
    given = [*(recipe.methods or []), *(recipe.controls or [])]
    return [Entry(method=one) if isinstance(one, str) else one for one in given]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_recipe_names_methods_that_there_are(path: Path) -> None:
    """With settings that they have, a control that trains on, and five seeds where it is a cell."""
    recipe = Recipe(**read_recipe(path))
    metric: Metric = adapt(recipe.metric)
    for one in entries(recipe):
        if one.method not in NOT_ROADS and not one.method.startswith(("blackbox:", "learned")):
            road = road_named(one.method, metric, lambda *given: None)
            road.settings(**one.settings)
    assert recipe.controls
    if path.parent == evidence.RECIPES:
        assert recipe.seeds == [0, 1, 2, 3, 4]
    names = [one.name or one.method for one in entries(recipe)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("cell", evidence.cells(), ids=lambda cell: cell.name)
def test_a_cell_has_every_family_that_applies(cell: evidence.Cell) -> None:
    """But those that are known to be left."""
    recipe = Recipe(**read_recipe(cell.path))
    reads = adapt(recipe.metric).reads
    assert reads is not None
    wanted = FAMILIES[reads] - (SEARCHES if recipe.task in NOT_SEARCHED else set())
    given = {
        family(one.method) for one in entries(recipe) if one.method not in NOT_ROADS or one.method == "auto"
    }
    assert wanted - given == LEFT.get(cell.name, set())


def test_the_page_has_the_figures() -> None:
    """`python -m benchmarks.evidence_page` would change nothing."""
    written = evidence_page.written()
    assert evidence_page.PAGE.read_text(encoding="utf-8") == written, (
        "run: python -m benchmarks.evidence_page"
    )


def test_every_cell_is_of_a_recipe() -> None:
    """And every arm of a cell."""
    known = {cell.name for cell in evidence.cells()}
    rows = evidence.rows_of(evidence.CELLS)
    assert {row["cell"] for row in rows} <= known
    assert {row["cell"] for row in evidence.rows_of(evidence.ARMS)} == {row["cell"] for row in rows}
    assert list(rows[0]) == evidence.OF_CELL
    assert list(evidence.rows_of(evidence.ARMS)[0]) == evidence.OF_ARM


def test_a_digest_is_of_what_a_recipe_says(tmp_path: Path) -> None:
    """Comments and the order of keys change nothing, a setting does."""
    first, second, third = (tmp_path / f"{name}.yaml" for name in "abc")
    first.write_text("# one\ntask: digits\nmetric: map\n", encoding="utf-8")
    second.write_text("metric: map\ntask: digits\n", encoding="utf-8")
    third.write_text("metric: map\ntask: digits\nseeds: [1]\n", encoding="utf-8")
    digests = [evidence.Cell(path.stem, path).digest for path in (first, second, third)]
    assert digests[0] == digests[1] != digests[2]


def test_rows_of_a_cell_take_the_place_of_its_former_ones(tmp_path: Path) -> None:
    """And cells stay in the order of their names."""
    path = tmp_path / "arms.csv"
    evidence.put(path, ["cell", "arm"], "b", [{"cell": "b", "arm": "x"}])
    evidence.put(path, ["cell", "arm"], "a", [{"cell": "a", "arm": "y"}, {"cell": "a", "arm": "z"}])
    evidence.put(path, ["cell", "arm"], "b", [{"cell": "b", "arm": "w"}])
    assert [tuple(row.values()) for row in evidence.rows_of(path)] == [("a", "y"), ("a", "z"), ("b", "w")]


def row(low: float | None, high: float | None) -> Row:
    """A contender with that interval."""
    given: dict[str, Any] = {"gain": 0.0, "gain_low": low, "gain_high": high}
    nothing = dict.fromkeys(("value", "low", "high", "select", "p_value", "adjusted", "claim"))
    more = {"name": "a", "role": "contender", "method": "m", "seconds": 0.0, "steps": 1}
    return Row(**more, **nothing, **given, baseline=False, returned=False)


@pytest.mark.parametrize(
    ("low", "high", "told"),
    [
        (-0.1, 0.1, "not resolved"),
        (0.0, 0.1, "not resolved"),
        (0.01, 0.1, "gain"),
        (-0.2, -0.1, "worse"),
        (None, None, "not resolved"),
    ],
)
def test_a_headline_is_resolved_where_its_interval_leaves_out_0(
    low: float | None, high: float | None, told: str
) -> None:
    """Else it says so."""
    assert evidence_quick.verdict(row(low, high)) == told


@pytest.mark.slow
def test_a_cell_is_trained_read_and_not_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its tables have the figures of the run, with which trees are paired; a changed recipe is left again."""
    recipes = tmp_path / "recipes"
    recipes.mkdir()
    path = recipes / "small.yaml"
    text = "task: imbalanced_f1\nmetric: f1\nseeds: [0, 1]\nplan: {steps: 4}\nstart: {plan: {steps: 20}}\n"
    text += "controls: [continued]\nmethods: [auto, 'surrogate:slope']\n"
    path.write_text(
        text.replace("methods: [auto,", "methods: [{name: auto, method: auto},"), encoding="utf-8"
    )
    for name, value in (("RECIPES", recipes), ("RUNS", tmp_path / "runs")):
        monkeypatch.setattr(evidence, name, value)
    for name in ("ARMS", "CELLS"):
        monkeypatch.setattr(evidence, name, tmp_path / f"{name}.csv")
    (cell,) = evidence.cells()
    evidence.fill([cell])
    (line,) = evidence.rows_of(tmp_path / "CELLS.csv")
    arms = evidence.rows_of(tmp_path / "ARMS.csv")
    assert {arm["role"] for arm in arms} == {"start", "control", "candidate", "contender"}
    record = Comparison.load(cell.run).table
    assert {arm["arm"]: arm["test"] for arm in arms} == {one.name: f"{one.value:.4f}" for one in record}
    assert line["opponent"] == next(one.name for one in record if one.baseline)
    assert line["seeds"] == "2" and line["worse_than_start"].endswith(" of 2")
    assert line["auto_beside"] in {one.name for one in record} - {"auto"}
    assert "small" in capsys.readouterr().out
    assert evidence.done() == {"small": cell.digest}
    for name, value in (("TRIED", tmp_path / "tries.csv"), ("READ", tmp_path / "trees.csv")):
        monkeypatch.setattr(evidence_trees, name, value)
    assert evidence_trees.cells() == [cell]
    evidence_trees.choose(cell)
    evidence_trees.read(cell, "abc")
    (trees,) = evidence.rows_of(tmp_path / "trees.csv")
    assert float(trees["gain_low"]) < float(trees["gain"]) < float(trees["gain_high"])
    assert float(trees["gain"]) == pytest.approx(float(trees["test"]) - float(trees["arm_value"]), abs=2e-4)
    path.write_text(path.read_text(encoding="utf-8").replace("steps: 4", "steps: 5"), encoding="utf-8")
    assert evidence.done()["small"] != cell.digest
