"""`--metric "cmd: ./score.py {predictions}"`: where it is taken, where it is refused, and whose word it needs."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from metricgrad.cli.trust import check_trust, needs_trust, trusted_keys
from metricgrad.errors import InputError
from tests.cli.outcome import QUICK, Command
from tests.metrics.scripts import SHARE, script

LINE = "cmd: ./score.py {predictions}"
NEAREST = """
import csv, sys
rows = list(csv.DictReader(open(sys.argv[1], newline="")))
open("calls", "a").write(".")
points = [[float(row[name]) for name in row if name.startswith("dim_")] for row in rows]
def distance(one, other):
    return sum((a - b) ** 2 for a, b in zip(points[one], points[other]))
hits = 0
for one in range(20):
    nearest = min((other for other in range(len(rows)) if other != one), key=lambda other: distance(one, other))
    hits += rows[nearest]["target"] == rows[one]["target"]
print(hits / 20)
"""
RETRIEVAL = "cmd:higher_is_better=true,reads=embeddings: ./nearest.py {predictions}"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Two tables of predictions of 60 rows, and a table of scores; 80 % of the first, 60 % of the second are right."""
    script(tmp_path / "score.py", SHARE)
    random = np.random.default_rng(0)
    targets = random.integers(0, 2, 60)
    for name, wrong in (("old", 24), ("new", 12)):
        predicted = np.where(np.arange(60) < wrong, 1 - targets, targets)
        rows = "".join(f"{a},{b}\n" for a, b in zip(targets, predicted, strict=True))
        (tmp_path / f"{name}.csv").write_text(f"target,prediction\n{rows}", encoding="utf-8")
    chances = np.clip(0.3 + 0.3 * targets + 0.2 * random.normal(size=60), 0.01, 0.99).round(2)
    rows = "".join(f"{a},{b}\n" for a, b in zip(targets, chances, strict=True))
    (tmp_path / "scores.csv").write_text(f"target,score\n{rows}", encoding="utf-8")
    return tmp_path


def test_evaluate(command: Command, files: Path) -> None:
    """The figure of the program, with its full path, one call, and no interval."""
    found = command("evaluate", "new.csv", "--metric", LINE, "--higher-is-better", "--json").json
    assert (found["metric"], found["value"], found["calls"], found["low"]) == ("score", 0.8, 1, None)
    assert str(files / "score.py") in found["means"]
    shown = command("evaluate", "new.csv", "--metric", LINE, "--lower-is-better")
    assert (
        "0.8000  (lower is better)" in shown.out
        and "1 of score" in shown.out
        and "none can be given" in shown.out
    )
    text = "cmd:unit=sample,higher_is_better=true: ./score.py {predictions}"
    drawn = command("evaluate", "new.csv", "--metric", text, "--resamples", 5, "--json").json
    assert drawn["low"] <= 0.8 <= drawn["high"] and drawn["calls"] >= 6


def test_what_evaluate_refuses(command: Command, files: Path, embeddings: tuple[Path, Path]) -> None:
    """One sentence each; a program that is missing is told before any file is read."""
    up = "--higher-is-better"
    command("evaluate", "none.csv", "--metric", "cmd: ./none.py {predictions}", up).refused(
        "no program", "none.py"
    )
    command("evaluate", "new.csv", "--metric", LINE).refused("its direction is not known")
    command("evaluate", "new.csv", "--metric", "f1", "--metric-timeout", 3).refused("a time-out", "f1")
    command("evaluate", "new.csv", "--metric", LINE, up, "--metric-timeout", 0).refused("timeout is 0")
    script(files / "score.py", "import sys; print('too few rows', file=sys.stderr); sys.exit(3)")
    command("evaluate", "new.csv", "--metric", LINE, up).refused("exit code 3", "too few rows")
    script(files / "score.py", "import time; time.sleep(60)")
    command("evaluate", "new.csv", "--metric", LINE, up, "--metric-timeout", 0.5).refused("ran past 0.5 s")
    vectors = ("--embeddings", embeddings[0], "--labels", embeddings[1], "--metric", LINE)
    command("evaluate", *vectors, up).refused("ranks nothing")
    command("adapt", *vectors).refused("no metric of ranked items")
    pairs = ("--queries", embeddings[0], "--corpus", embeddings[0], "--qrels", "q.tsv", "--metric", LINE)
    command("evaluate", *pairs).refused("ranks nothing")
    command("adapt", *pairs).refused("no metric of ranked items")


def test_compare_files(command: Command, files: Path) -> None:
    """Both files; a claim only where samples are drawn, each resample by two calls."""
    whole = command("compare", "old.csv", "new.csv", "--metric", LINE, "--higher-is-better", "--json").json
    assert [one["value"] for one in whole["files"]] == [0.6, 0.8] and "Nothing is claimed" in whole["verdict"]
    text = "cmd:unit=sample: ./score.py {predictions}"
    options = ("--higher-is-better", "--resamples", 12, "--confidence", 0.8, "--json")
    drawn = command("compare", "old.csv", "new.csv", "--metric", text, *options).json
    assert drawn["files"][1]["verdict"] == "gain" and drawn["resamples"] == 12
    script(files / "score.py", "import sys; sys.exit('out of order')")
    command("compare", "old.csv", "new.csv", "--metric", text, *options).refused(
        "exit code 1", "out of order"
    )


@pytest.mark.slow
def test_decide(command: Command, files: Path) -> None:
    """A rule is fitted by calls, which are announced and counted."""
    text = "cmd:reads=classes: ./score.py {predictions}"
    found = command(
        "decide", "scores.csv", "--metric", text, "--higher-is-better", "--json", "--test-fraction", 0.1
    )
    assert found.code == 0, found.err
    assert found.json["calls"]["all"] >= found.json["calls"]["fit"] > 10
    assert f"note: score: {files / 'score.py'} is run once for every table of decisions" in found.err
    assert found.json["before"]["value"] == pytest.approx(found.json["others"][0]["before"])
    scores = "cmd:reads=scores: ./score.py {predictions}"
    command("decide", "scores.csv", "--metric", scores, "--higher-is-better").refused("reads scores")


@pytest.mark.slow
def test_tune_and_resume(command: Command, tmp_path: Path) -> None:
    """The path stands in the opening lines, calls in the record; a folder that names a program needs one more word."""
    script(tmp_path / "nearest.py", NEAREST)
    options = (*QUICK, "--method", "surrogate:recall_at_k", "--no-closed-forms", "--run", "run")
    found = command("tune", "digits", "--metric", RETRIEVAL, *options)
    assert found.code == 0, found.err
    assert f"nearest here: program {tmp_path / 'nearest.py'}, run as" in found.err
    calls = len((tmp_path / "calls").read_text(encoding="utf-8"))
    assert f"{calls:,} on function" in found.out, found.out
    command("resume", "run").refused("names programs", str(tmp_path / "nearest.py"), "resume run --trust")
    assert command("resume", "run", "--trust").code == 0
    assert len((tmp_path / "calls").read_text(encoding="utf-8")) == calls


def test_a_program_that_fails_on_select_ends_the_run(command: Command, tmp_path: Path) -> None:
    """With its last message, and exit code 2."""
    script(tmp_path / "nearest.py", "import sys; sys.exit('the data base is away')")
    options = (*QUICK, "--method", "surrogate:recall_at_k", "--no-closed-forms", "--run", "run", "--quiet")
    command("tune", "digits", "--metric", RETRIEVAL, *options).refused("exit code 1", "the data base is away")


@pytest.mark.parametrize("line", [f"metric: {LINE}", f"metric: {{cmd: {LINE[5:15]}}}"])
def test_a_program_without_quotes(command: Command, files: Path, line: str) -> None:
    """YAML takes the colon for its own; the message shows the quotes."""
    (files / "recipe.yaml").write_text(f"task: digits\n{line}\n", encoding="utf-8")
    command("tune", "recipe.yaml").refused('metric: "cmd: ./score.sh {predictions}"')
    command("tune", "digits", "--set", f"metric={LINE}").refused('metric: "cmd: ./score.sh {predictions}"')


def recipe(folder: Path, **keys: object) -> Path:
    """A recipe of the digits in a file."""
    path = folder / "received.yaml"
    path.write_text(yaml.safe_dump({"task": "digits", **keys}), encoding="utf-8")
    return path


@pytest.mark.parametrize("keys", [{"metric": LINE}, {"side_metrics": ["map", f" {LINE}"]}])
@pytest.mark.parametrize("name", ["tune", "compare", "settings"])
def test_a_program_in_the_file_of_a_recipe_needs_trust(
    command: Command, files: Path, keys: dict, name: str
) -> None:
    """It is refused with its path before anything is run, and so is one that is missing."""
    script(files / "score.py", "open('ran', 'w'); print(1)")
    path = recipe(files, higher_is_better=True, **keys)
    command(name, path, "--run", "run").refused(
        "names programs", LINE, str(files / "score.py"), "add --trust"
    )
    (files / "score.py").unlink()
    command(name, path, "--run", "run").refused("none that can be run", "add --trust")
    assert not (files / "ran").exists() and not (files / "run").exists()


@pytest.mark.slow
def test_a_trusted_recipe_runs_its_program(command: Command, tmp_path: Path) -> None:
    """With --trust as with the same text on the command line."""
    script(tmp_path / "nearest.py", NEAREST)
    path = recipe(
        tmp_path, metric=RETRIEVAL, method="surrogate:recall_at_k", closed_forms=False, metric_timeout=30
    )
    found = command("tune", path, *QUICK, "--trust", "--run", "run", "--json")
    assert found.code == 0, found.err
    assert (tmp_path / "calls").exists()


def test_whose_word_a_program_is(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is typed is the user's own, by an option or --set; what the file alone says is not."""
    monkeypatch.chdir(files)
    other = "cmd: ./score.py {predictions} --other"
    path = str(recipe(files, metric=LINE))
    for options, assignments in (
        ({"metric": "map"}, []),
        ({"metric": other}, []),
        ({}, [f"metric='{other}'"]),
    ):
        assert trusted_keys(path, options, assignments, trusted=False)["metric"] != LINE
    assert trusted_keys(path, {"metric": LINE}, [], trusted=False)["metric"] == LINE
    assert trusted_keys(path, {}, [], trusted=True)["metric"] == LINE
    with pytest.raises(InputError, match="add --trust"):
        trusted_keys(path, {"side_metrics": [other]}, ["plan.steps=3"], trusted=False)


def test_a_program_in_a_run_folder(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never run out of the folder, as program or as script; a side metric counts like the metric."""
    monkeypatch.chdir(files)
    (files / "run").mkdir()
    script(files / "run" / "evil.py", SHARE)
    (files / "link.py").symlink_to(files / "run" / "evil.py")
    inside = ("./run/evil.py {predictions}", "sh run/evil.py {predictions}", "./score.py --x=run/evil.py {predictions}",
              "./link.py {predictions}")  # fmt: skip
    for line in inside:
        with pytest.raises(InputError, match="nothing is ever run from there"):
            check_trust({"task": "digits", "metric": f"cmd: {line}"}, {}, Path("run"), trusted=True)
    for named in (
        {"metric": LINE},
        {"side_metrics": [LINE]},
        {"side_metrics": ["score:share:higher_is_better=true"]},
    ):
        found = {"task": "digits", **named}
        assert needs_trust(found)
        with pytest.raises(InputError, match="resume run --trust"):
            check_trust(found, {}, Path("run"), trusted=False)
        check_trust(found, {}, Path("run"), trusted=True)
