"""Side metrics on the command line: options, recipe keys, table, JSON, page, and a resumed run."""

from pathlib import Path

import pytest

from tests.cli.outcome import QUICK, Command


@pytest.mark.slow
def test_side_metrics_from_options_to_table_json_and_page(command: Command, tmp_path: Path) -> None:
    """Each has a table of its own, an entry in the JSON and a section of the page; `resume` shows the same."""
    folder = tmp_path / "run"
    options = ["--side-metric", "map", "--side-metric", "knn_accuracy", "--may-fall", "0.5"]
    result = command("tune", "digits", *QUICK, *options, "--no-closed-forms", "--run", folder, "--json")
    assert result.code == 0, result.err
    shown = result.json
    assert [side["name"] for side in shown["side_metrics"]] == ["map", "knn_accuracy"]
    first = shown["side_metrics"][0]
    assert first["may_fall"] == 0.5 and first["higher_is_better"] is True
    assert {(one["arm"], one["split"]) for one in first["measured"]} == {
        (arm, split) for arm in ("start", "continued", "tuned") for split in ("select", "test")
    }
    assert [fall["arm"] for fall in first["falls"]] == ["continued", "tuned"]
    rows = [line.split()[0] for line in shown["summary"].splitlines() if line[:1].isalpha()]
    place = rows.index("map")
    assert rows[place : place + 4] == ["map", "start", "continued", "tuned"]
    assert "it may fall by 0.5" in shown["summary"] and "on select (map)" in shown["summary"]
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert '<h2 id="side">Side metrics</h2>' in page and "<h3>knn_accuracy</h3>" in page
    assert command("resume", folder, "--json").json["side_metrics"] == shown["side_metrics"]


def test_a_recipe_names_side_metrics_and_limits(command: Command, tmp_path: Path) -> None:
    """The keys are checked before training; `explain recipe` knows them."""
    recipe = tmp_path / "recipe.yaml"
    for keys, words in {
        "side_metrics: [map, accuracy]\nmay_fall: {map: 0.02}": "the side metric accuracy reads classes",
        "side_metrics: [map]\nmay_fall: {mapp: 0.02}": "Did you mean 'map'",
        "side_metrics: ['math:dist']": "package.module:name:higher_is_better=true",
    }.items():
        recipe.write_text(f"task: digits\n{keys}\n", encoding="utf-8")
        command("tune", recipe, *QUICK, "--run", tmp_path / "run", "--quiet").refused(words)
        assert not (tmp_path / "run").exists()
    keys = {row["key"] for row in command("explain", "recipe", "--json").json}
    assert {"side_metrics", "may_fall"} <= keys
