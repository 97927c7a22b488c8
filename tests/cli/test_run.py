"""`tune`, `resume`, `report`: from a command line to a verdict, through an interruption, and what is seen meanwhile."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch.testing import assert_close

from metricgrad.cli import progress
from metricgrad.cli.progress import Drawing
from metricgrad.report import read_run
from tests.cli.outcome import QUICK, Command

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def _finished_once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    from typer.testing import CliRunner

    from metricgrad.cli.main import app

    folder = tmp_path_factory.mktemp("finished") / "run"
    result = CliRunner().invoke(app, ["tune", "digits", *QUICK, "--run", str(folder)])
    assert result.exit_code == 0, result.stderr
    return folder, result.stdout, result.stderr


@pytest.fixture
def finished(_finished_once: tuple[Path, str, str], tmp_path: Path) -> Path:
    """A folder of a finished run."""
    return Path(shutil.copytree(_finished_once[0], tmp_path / "run"))


def test_closing_table(_finished_once: tuple[Path, str, str]) -> None:
    """The end says: the verdict, each arm with its interval, what recall@1 means, where weights and report are."""
    folder, out, _ = _finished_once
    run, _ = read_run(folder)
    assert run.verdict is not None
    assert out.startswith(run.verdict.sentence)
    for arm in ("start", "continued", "tuned"):
        value = run.verdict.arms[arm]["value"]
        assert any(line.startswith(arm) and f"{value:.4f}" in line for line in out.splitlines())
    assert "any relevant item at rank 1" in out
    assert str(folder / "best.safetensors") in out and str(folder / "report.html") in out
    assert (folder / "report.html").is_file() and (folder / "best.safetensors").is_file()


def test_progress_without_a_terminal(_finished_once: tuple[Path, str, str]) -> None:
    """Where standard error is no terminal there are a few plain lines, none of them on standard output."""
    _, out, err = _finished_once
    assert "\x1b" not in out + err
    for text in (
        "run folder",
        "recall@1 here: any relevant item at rank 1",
        "6 steps for each arm, 3 stages",
        "seed 0 tuned: select recall@1 0.",
        "the test split is read, once",
    ):
        assert text in err
        assert text not in out
    assert len(err.splitlines()) < 16


def test_json_has_what_the_table_has(command: Command, finished: Path) -> None:
    """--json gives every figure of the table, the places, and the table itself as text."""
    found = command("report", finished, "--json").json
    run, _ = read_run(finished)
    assert run.verdict is not None
    assert found["verdict"] == run.verdict.verdict
    assert found["evidence"]["arms"] == run.verdict.arms
    assert found["evidence"]["gains"] == run.verdict.gains
    assert found["evidence"]["sentence"] == run.verdict.sentence
    assert found["run"]["metric_description"] == run.start.metric_description
    assert found["evidence"]["metric_calls"]["test"] == 5  # three arms that train, and two that do not
    (form,) = found["closed_forms"]
    assert form["words"] in found["summary"] and form["value"] == max(one["value"] for one in form["tried"])
    assert Path(found["weights"]).is_file() and Path(found["report"]).is_file()
    assert found["summary"] + "\n" == command("report", finished).out


@pytest.mark.parametrize(
    "words",
    [
        ("tune", "digits"),
        pytest.param(("compare", "digits", "--methods", "surrogate:ndcg"), marks=pytest.mark.slow),
    ],
)
def test_names_of_groups_are_asked_for(command: Command, tmp_path: Path, words: tuple[str, ...]) -> None:
    """The three digits of test by their names, in record, page and stored recipe; without the option by number."""
    assert command(*words, *QUICK, "--group-names", "--run", tmp_path / "run").code == 0
    run, _ = read_run(tmp_path / "run")
    assert run.groups is not None and run.groups.noun == "class"
    assert len(run.groups.names) == 3 and set(run.groups.names) <= set("0123456789")
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert f'<th scope="row">{run.groups.names[0]}</th>' in page and ">class 1<" not in page
    assert "group_names: true" in (tmp_path / "run" / "config.yaml").read_text(encoding="utf-8")


def test_groups_without_names_are_numbered(_finished_once: tuple[Path, str, str]) -> None:
    """As long as nobody asks for names."""
    run, _ = read_run(_finished_once[0])
    assert run.groups is not None and run.groups.names == []
    assert ">class 1<" in (_finished_once[0] / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_finished_run_is_shown_again(command: Command, finished: Path) -> None:
    """`resume` of a finished run and the command that made it show the result and change nothing of it."""
    kept = {
        name: (finished / name).read_bytes() for name in ("record.jsonl", "best.safetensors", "config.yaml")
    }
    for arguments in (("resume", finished), ("tune", "digits", *QUICK, "--run", finished)):
        outcome = command(*arguments, "--quiet", "--json")
        assert outcome.code == 0
        assert outcome.err == ""
        assert outcome.json["evidence"]["sentence"]
    assert {name: (finished / name).read_bytes() for name in kept} == kept


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_is_resumed_to_the_same_end(
    command: Command, finished: Path, tmp_path: Path, interrupt: Callable[..., None], number: int
) -> None:
    """Ctrl-C and SIGTERM end with 130 and the line that resumes; resumed, the run ends as the uninterrupted one."""
    interrupt("tuned", 3, number)
    outcome = command("tune", "digits", *QUICK, "--run", "a folder")
    assert outcome.code == 130
    assert outcome.err.splitlines()[-1] == "resume with: metricgrad resume 'a folder'"
    assert outcome.out == ""
    outcome = command("resume", "a folder")
    assert outcome.code == 0
    assert "resumed at seed 0 tuned, step 3" in outcome.err
    names = [
        path.relative_to(finished) for path in finished.rglob("*.safetensors") if path.parent.name != "last"
    ]
    assert len(names) == 6  # three arms, best and its closed form, test
    for name in names:
        assert_close(load_file(tmp_path / "a folder" / name), load_file(finished / name), rtol=0, atol=0)


def test_ctrl_c_before_the_run(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while data are loaded ends with 130, one line and no run folder."""

    def load(options: object, observer: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("metricgrad.tasks.digits.load", load)
    outcome = command("tune", "digits")
    assert outcome.code == 130
    assert outcome.err.splitlines() == [
        "metricgrad: interrupted; what was finished is kept, the same command goes on from there"
    ]
    assert not Path("runs").exists()


def test_defects_keep_their_traceback(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not raised on purpose is not dressed up as the user's mistake."""

    def load(options: object, observer: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr("metricgrad.tasks.digits.load", load)
    with pytest.raises(ZeroDivisionError, match="a defect"):
        command("tune", "digits")


@pytest.mark.slow
def test_runs_are_numbered(command: Command, finished: Path, tmp_path: Path) -> None:
    """Without --run the folders are runs/TASK-METRIC-NUMBER, and none is used twice."""
    shutil.copytree(finished, tmp_path / "runs" / "digits-recall@1-007")
    found = command("tune", "digits", *QUICK, "--quiet", "--json").json
    assert found["folder"] == "runs/digits-recall@1-008"


@pytest.mark.slow
def test_recipe_file(command: Command, tmp_path: Path) -> None:
    """A recipe runs what it says; options of the command line go over it."""
    recipe = "task: digits\nmetric: map\nseeds: [3]\nplan: {steps: 500}\nstart: {plan: {steps: 4, evaluate_every: 4}}\n"
    (tmp_path / "r.yaml").write_text(recipe, encoding="utf-8")
    arguments = ("--steps", "2", "--tries", "2", "--batch", "32", "--method", "surrogate:average_precision")
    found = command("tune", "r.yaml", *arguments, "--quiet", "--json").json
    assert found["run"]["metric"] == "map"
    assert found["run"]["seeds"] == [3]
    assert found["run"]["method"] == "surrogate:average_precision"
    assert (found["budget"]["steps"], found["budget"]["tries"]) == (2, 2)
    assert "proxy:supcon" in found["run"]["proxy"]


@pytest.mark.slow
def test_task_of_ones_own(command: Command, tmp_path: Path) -> None:
    """A task is a function load(options, observer) in any module, named package.module:name; so is a proxy."""
    text = (
        "from metricgrad.losses import supcon_loss\n"
        "from metricgrad.tasks import digits\n\n\n"
        "def load(options, observer):\n"
        "    observer({'event': 'note', 'text': f'options {sorted(options)}'})\n"
        "    return digits.load({'dim': options['width']}, observer)\n\n\n"
        "def own_proxy(outputs, targets):\n"
        "    return supcon_loss(outputs, targets, temperature=0.2).mean()\n"
    )
    (tmp_path / "own_task_of_a_test.py").write_text(text, encoding="utf-8")
    (tmp_path / "r.yaml").write_text(
        "task: own_task_of_a_test:load\nproxy: own_task_of_a_test:own_proxy\ndata: {width: 8}\nseeds: [0]\n"
        "plan: {steps: 2}\nstart: {plan: {steps: 2}}\n",
        encoding="utf-8",
    )
    outcome = command("tune", "r.yaml", "--json", "--run", "own")
    assert outcome.code == 0
    assert "note: options ['width']" in outcome.err
    assert outcome.json["run"]["proxy"] == "proxy:own_proxy"
    command("resume", "own", "--quiet").refused(
        "the task 'own_task_of_a_test:load' from", "own_task_of_a_test.py", "the proxy", "resume own --trust"
    )
    assert command("resume", "own", "--trust", "--quiet").code == 0


@pytest.mark.slow
def test_minutes(command: Command) -> None:
    """--minutes becomes steps, which are told before training."""
    outcome = command(
        "tune", "digits", "--minutes", "0.02", *QUICK[2:], "--set", "plan.evaluate_every=100", "--json"
    )
    assert outcome.code == 0
    budget = outcome.json["budget"]
    assert budget["minutes"] == 0.02 and budget["steps"] >= 1
    assert "0.02 minutes at" in outcome.err


def test_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """On a terminal there is a bar with steps, rate and the select metric, and the notes above it."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_DRAWINGS", 0.0)
    step = {"event": "progress", "what": "seed 0 tuned", "total": 5, "unit": "step", "select": 0.75}
    with Drawing() as draw:
        draw({"event": "note", "text": "as [it] was"})
        for done in range(1, 6):
            draw({**step, "done": done})
            time.sleep(0.01)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err)
    assert "note: as [it] was" in text
    for part in ("seed 0 tuned", "5/5", "steps/s", "select 0.7500"):
        assert part in text


@pytest.mark.parametrize(
    ("what", "total", "metric"),
    [
        ("seed 0 tuned", 400, "recall@1"),
        ("seed 123 continued", 20_000, "binary_average_precision"),
        ("seed 4444 start", 2_000, "edit_distance"),
    ],
)
def test_a_bar_fits_eighty_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], what: str, total: int, metric: str
) -> None:
    """Nothing of the bar's line is wrapped, and it says what is left of the stage and of the run."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_DRAWINGS", 0.0)
    clock = iter(range(1000))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    step = {"event": "progress", "what": what, "total": total, "unit": "step", "select": 0.7512}
    with Drawing() as draw:
        draw._metric = f"select {metric}"
        for done in range(1, 6):
            draw({**step, "done": done, "stage": 12, "stages": 45, "later": 3 * total})
            assert draw._bars is not None
            draw._bars.refresh()
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err).replace("\r", "\n")
    bars = [line for line in text.splitlines() if line.strip()]
    assert all(line.startswith(f"{what} (12/45)") and len(line.rstrip()) <= 80 for line in bars)
    assert "run " in bars[-1] and "0.7512" in bars[-1] and f"/{total}" in bars[-1]


def test_lines_are_rare(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Into a file goes a line every few seconds with rate and time left, not one for each step."""
    clock = iter(range(1000))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)) / 2)
    with Drawing() as draw:
        for done in range(100):
            draw({"event": "progress", "what": "features", "done": done, "total": 100, "unit": "picture"})
    lines = capsys.readouterr().err.splitlines()
    assert 8 <= len(lines) <= 11
    assert lines[0] == "features: 10 of 100 pictures, 2.0 pictures/s, 45 s left"


def test_quiet_draws_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """--quiet is quiet."""
    with Drawing(quiet=True) as draw:
        draw({"event": "note", "text": "psst"})
        draw({"event": "progress", "what": "x", "done": 1, "total": 1, "unit": "step"})
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_own_model_example(tmp_path: Path) -> None:
    """The example of a model of one's own runs as it stands and leaves a run."""
    arguments = [sys.executable, str(ROOT / "examples" / "own_model.py"), str(tmp_path / "run")]
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "recall@1" in done.stdout and "tuned" in done.stdout
    assert (tmp_path / "run" / "report.html").is_file()
    first = (tmp_path / "run" / "record.jsonl").read_text(encoding="utf-8").splitlines()[0]
    assert json.loads(first)["seeds"] == [0, 1]
