"""The page of a run of `adapt`: the question first, the base beside the gain, queries at both ends; damage is named."""

import json
import shutil
from pathlib import Path

import pytest

from metricgrad.errors import InputError
from metricgrad.report import render
from tests.cli.adapt_files import CLOSED, LABELS, made, write_labels
from tests.cli.outcome import Command


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of the command."""
    folder = tmp_path_factory.mktemp("adapted")
    write_labels(folder)
    return made(folder, *LABELS, *CLOSED)


def test_the_page_tells_what_the_map_brings(run: Path, command: Command) -> None:
    """In this order; `metricgrad report` draws it from the folder."""
    assert command("report", run).code == 0
    text = (run / "report.html").read_text(encoding="utf-8")
    facts = json.loads((run / "adapted.json").read_text())
    gain, best = facts["gain"], max(facts["closed_forms"], key=lambda one: one["value"])
    order = [
        facts["question"],
        f"{gain['raw']:.4f} of the vectors as they came, recall@1 {gain['adapted']:.4f} of the map",
        facts["rebuild"],
        "Evidence on the test split",
        "Queries that lose most",
        "Queries that gain most",
        "Closed forms on select",
    ]
    places = [text.index(one) for one in order]
    assert places == sorted(places)
    table = text[places[-1] :]
    rows = [table.index(f">{one['words']}<") for one in facts["closed_forms"]]
    assert min(rows) == table.index(f">{best['words']}<")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"question": 3}, "a text is 3"),
        ({"gain": {"adapted": "much", "raw": None}}, "a number is 'much'"),
        ({"over_form": {"value": 0.5, "adapted": 0.6, "words": 3}}, "a text is 3"),
        ({"closed_forms": [{"words": "LDA", "value": True}]}, "a number is True"),
        ({"closed_forms": [{"words": "LDA"}]}, "KeyError"),
    ],
)
def test_damage_is_named(run: Path, tmp_path: Path, change: dict[str, object], words: str) -> None:
    """A file of others is checked before it is shown."""
    folder = Path(shutil.copytree(run, tmp_path / "run"))
    facts = json.loads((folder / "adapted.json").read_text())
    (folder / "adapted.json").write_text(json.dumps({**facts, **change}))
    with pytest.raises(InputError, match=words):
        render(folder)


def test_a_trained_map_stands_beside_the_best_closed_form(run: Path, tmp_path: Path) -> None:
    """With its interval; a folder of before has none."""
    folder = Path(shutil.copytree(run, tmp_path / "run"))
    path = folder / "adapted.json"
    facts = json.loads(path.read_text())
    over = {"value": 0.5, "adapted": 0.625, "words": "LDA", "low": 0.1, "high": 0.15}
    path.write_text(json.dumps({**facts, "over_form": over}))
    assert "0.5000 of LDA: +0.1250 (95 % interval +0.1000 to +0.1500)" in render(folder).read_text()
    del facts["over_form"]
    path.write_text(json.dumps(facts))
    assert "over the best closed form" not in render(folder).read_text()


def test_damaged_figures_of_queries_are_named(run: Path, tmp_path: Path) -> None:
    """A line without its numbers, and markup in the name of a query, which is shown as text."""
    folder = Path(shutil.copytree(run, tmp_path / "run"))
    path = folder / "per-query.csv"
    head, *lines = path.read_text().splitlines()
    changed = [line for line in lines if line.rsplit(",", 2)[1] not in ("0.0", "")]
    marked = "<script>alert(1)</script>," + changed[0].partition(",")[2]
    path.write_text("\n".join([head, marked]))
    assert "<script>alert" not in render(folder).read_text(encoding="utf-8")
    path.write_text("\n".join([head, "7,a,b,c,d,e"]))
    with pytest.raises(InputError, match=r"adapted.json is damaged"):
        render(folder)
