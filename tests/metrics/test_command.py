"""An external program as a metric: its value, its table, its failures, and that no shell is asked."""

import csv
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from metricgrad import metrics
from metricgrad.errors import InputError, MetricFailed
from metricgrad.interval import bootstrap
from metricgrad.metrics.command import FAILED, LATE, LATE_IN_ALL, program_of, watch_calls
from metricgrad.metrics.table_metric import TableMetric
from metricgrad.metrics.typed import program_typed, typed_metric
from metricgrad.tune.fingerprint import fingerprint
from tests.metrics.scripts import SHARE, script

PREDICTED, TARGETS = torch.tensor([0, 1, 2, 1]), torch.tensor([0, 1, 1, 1])


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def value(metric, outputs=PREDICTED, targets=TARGETS) -> float:
    """Measure and summarise."""
    return metric.summarise(metric.measure(outputs, targets))


def made(text: str, line: str = "./score.py {predictions}", **settings):
    """The metric of a program in the current folder."""
    script(Path("score.py"), text)
    return metrics.command(line, **{"higher_is_better": True, **settings})


def test_the_number_that_it_prints() -> None:
    """It equals the same figure computed here; the record says what was found, and every call is counted."""
    metric = made(SHARE)
    assert value(metric) == 0.75
    assert (metric.name, metric.unit, metric.reads, metric.higher_is_better) == ("score", "whole", None, True)
    assert str(Path("score.py").absolute()) in metric.description and "no interval" in metric.description
    assert metrics.metric_calls(metric) == 1
    value(metric)
    assert metrics.metric_calls(metric) == 2
    assert not made(SHARE, higher_is_better=False).higher_is_better


COPY = """
import shutil, sys
for path in sys.argv[1:]:
    shutil.copy(path, "kept-" + path.rsplit("/", 1)[1])
print(1)
"""
CHANCES = torch.tensor([[0.25, 0.75], [0.5, 0.5]])


@pytest.mark.parametrize(
    ("reads", "outputs", "targets", "wanted"),
    [
        (
            "classes",
            torch.tensor([[0.1, 2.0], [3.0, 0.0]]),
            [1, 0],
            "index,target,prediction\n0,1,1\n1,0,0\n",
        ),
        ("classes", torch.tensor([[1], [0]]), [[1], [0]], "index,target,prediction\n0,1,1\n1,0,0\n"),
        (
            "scores",
            torch.tensor([0.1, -2.0], dtype=torch.float64),
            [1, 0],
            "index,target,score\n0,1,0.1\n1,0,-2.0\n",
        ),
        ("scores", CHANCES, [1, 0], "index,target,score\n0,1,0.75\n1,0,0.5\n"),
        ("probabilities", CHANCES, [1, 0], "index,target,score_0,score_1\n0,1,0.25,0.75\n1,0,0.5,0.5\n"),
        ("values", CHANCES[:, :1], [0.5, 2.0], "index,target,prediction\n0,0.5,0.25\n1,2.0,0.5\n"),
        ("embeddings", CHANCES.bfloat16(), [7, 8], "index,target,dim_0,dim_1\n0,7,0.25,0.75\n1,8,0.5,0.5\n"),
        (None, CHANCES, [1, 0], "index,target,score_0,score_1\n0,1,0.25,0.75\n1,0,0.5,0.5\n"),
        (None, torch.tensor([True, False]), [1, 0], "index,target,prediction\n0,1,1\n1,0,0\n"),
        (None, torch.tensor([2**62 + 1, 0]), [1, 0], f"index,target,prediction\n0,1,{2**62 + 1}\n1,0,0\n"),
    ],
)
def test_the_table_that_it_reads(reads, outputs, targets, wanted: str) -> None:
    """Index, target, and columns by what is read."""
    assert value(made(COPY, reads=reads), outputs, torch.tensor(targets)) == 1
    assert Path("kept-predictions.csv").read_text(encoding="utf-8") == wanted


def test_texts_and_targets_by_themselves() -> None:
    """Texts stand as they are, quoted where CSV wants it; targets alone are another file."""
    texts, truth = ["a, b", 'say "x"', "zwei\nZeilen", "ü"], ["a", "b", "c", "ü"]
    value(made(COPY, "./score.py --t={targets} {predictions}".replace("--t=", "")), texts, truth)
    with open("kept-predictions.csv", encoding="utf-8", newline="") as file:
        assert [row["prediction"] for row in csv.DictReader(file)] == texts
    assert Path("kept-targets.csv").read_text(encoding="utf-8") == "index,target\n0,a\n1,b\n2,c\n3,ü\n"


def test_parquet() -> None:
    """The same columns, with their types."""
    parquet = pytest.importorskip("pyarrow.parquet")
    value(made(COPY, "./score.py {predictions.parquet}"), CHANCES, TARGETS[:2])
    wanted = {"index": [0, 1], "target": [0, 1], "score_0": [0.25, 0.5], "score_1": [0.75, 0.5]}
    assert parquet.read_table("kept-predictions.parquet").to_pydict() == wanted


def test_nothing_is_left_behind(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    """The temporary folder has spaces in its path, is the user's alone, and is gone afterwards."""
    folder = place / "a folder; touch owned"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    seen = "import os, sys; print(os.stat(os.path.dirname(sys.argv[1])).st_mode & 0o077)"
    assert value(made(seen)) == 0
    assert value(made(SHARE)) == 0.75
    assert not list(folder.iterdir()) and not Path("owned").exists()


@pytest.mark.parametrize(
    "line",
    [
        "./score.py {predictions} ; touch owned",
        "./score.py {predictions} '$(touch owned)' `touch owned` && touch owned",
        "./score.py '{predictions}' > owned",
        "./score.py {predictions} | tee owned",
    ],
)
def test_there_is_no_shell(line: str) -> None:
    """What a shell would carry out is an argument."""
    echo = "import json, sys; json.dump(sys.argv[2:], open('arguments', 'w')); print(0.5)"
    assert value(made(echo, line)) == 0.5
    assert json.loads(Path("arguments").read_text(encoding="utf-8")) == shlex.split(line)[2:]
    assert not Path("owned").exists()


def test_a_path_in_the_middle_of_a_word() -> None:
    """The placeholder may be part of an argument, and stays one argument."""
    text = "import sys; assert sys.argv[1].startswith('--in=/'), sys.argv; print(len(sys.argv))"
    assert value(made(text, "./score.py '--in={predictions}; touch owned'")) == 2


def test_a_program_with_spaces_in_its_path() -> None:
    """Quoted as for a shell, or as a list of words."""
    Path("my scores").mkdir()
    path = script(Path("my scores/the score.py"), SHARE)
    for line in ("'my scores/the score.py' {predictions}", [path, "{predictions}"]):
        metric = metrics.command(line, higher_is_better=True)
        assert value(metric) == 0.75 and metric.name == "the-score"


# ------------------------------------------------------------------------------------------- failures


EXIT_3 = "import sys; print(0.5); print('no model\\nno luck', file=sys.stderr); sys.exit(3)"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (EXIT_3, "exit code 3.*no model / no luck"),
        ("import os; os.kill(os.getpid(), 11)", "killed by SIGSEGV"),
        ("print('hello')", "last line of its stdout is 'hello'"),
        ("print('nan')", "last line of its stdout is 'nan'"),
        ("print('inf')", "'inf'"),
        ("print('1e999')", "'1e999'"),
        ("print('0.5 0.6')", "'0.5 0.6'"),
        ("print('0.5\\ndone')", "'done'"),
        ("print('0,5')", "'0,5'"),
        ("print('1_000')", "'1_000'"),
        ("print('85%')", "'85%'"),
        ("print('\\x1b[31m0.5')", r"x1b\[31m0.5'"),
        ("pass", "printed nothing on stdout"),
        ("import sys; sys.stdout.buffer.write(bytes(range(128, 256)))", "last line of its stdout"),
        ("raise ValueError('a bad column')", "exit code 1.*ValueError: a bad column"),
        ("print('x' * 1_000_000)", "'xxx"),
    ],
)  # fmt: skip
def test_what_is_no_number_fails(text: str, words: str) -> None:
    """One sentence that says what came, with the last lines that the program said."""
    with pytest.raises(MetricFailed, match=f"metric score: .*{words}") as caught:
        value(made(text))
    assert len(str(caught.value)) < 900 and "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "number"),
    [("print('-.5e-3')", -0.0005), ("print('  7  ')", 7.0), ("print('x' * 200_000); print(+1.0)", 1.0)],
)
def test_what_is_a_number(text: str, number: float) -> None:
    """Signs, exponents and spaces; what stands on earlier lines does not matter."""
    assert value(made(text)) == number


STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-IS", "-c", '''
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open("child", "w").write(str(os.getpid()))
time.sleep(60)
'''])
while not (os.path.exists("child") and os.path.getsize("child")):
    time.sleep(0.01)
print("waiting", flush=True)
"""


def gone(file: str) -> bool:
    """Whether the process whose number a file holds ends within a second."""
    number, end = int(Path(file).read_text(encoding="utf-8")), time.monotonic() + 1
    while time.monotonic() < end:
        try:
            os.kill(number, 0)
            state = Path(f"/proc/{number}/stat")
            if state.exists() and state.read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z":
                return True
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    return False


def test_a_program_and_a_child_that_ignore_sigterm_are_killed() -> None:
    """The whole group, when its time is over."""
    metric = made(STUBBORN + "time.sleep(60)", timeout=2)
    began = time.monotonic()
    with pytest.raises(MetricFailed, match=r"it ran past 2 s and was killed.*waiting"):
        value(metric)
    assert time.monotonic() - began < 10
    assert gone("child")


def test_a_child_that_keeps_the_output_open_is_not_waited_for() -> None:
    """The number counts when the program ends; what it leaves behind in its group is killed."""
    began = time.monotonic()
    assert value(made(STUBBORN + "print(0.25)")) == 0.25
    assert time.monotonic() - began < 20
    assert gone("child")


def test_a_descendant_that_left_the_group_is_not_waited_for() -> None:
    """It lives on, and keeps the output open; nobody waits for it."""
    text = STUBBORN.replace("time.sleep(60)\n'''])", "time.sleep(60)\n'''], start_new_session=True)")
    assert text != STUBBORN
    try:
        assert value(made(text + "print(0.5)")) == 0.5
    finally:
        os.kill(int(Path("child").read_text(encoding="utf-8")), signal.SIGKILL)


def test_output_without_end_is_cut_and_killed() -> None:
    """No memory is filled by it."""
    with pytest.raises(MetricFailed, match="ran past 1 s"):
        value(made("while True: print('0.5' * 10_000)", timeout=1))


def test_it_reads_no_input() -> None:
    """Standard input is empty, so that nothing waits for a key."""
    assert value(made("import sys; print(len(sys.stdin.read()))")) == 0


def test_after_three_time_outs_it_is_not_started_any_more() -> None:
    """A hanging program costs three times its time, however often it is asked."""
    metric = made("import time; open('runs', 'a').write('x'); time.sleep(60)", timeout=0.5)
    for _ in range(LATE + 2):
        with pytest.raises(MetricFailed, match=r"past 0\.5 s"):
            value(metric)
    assert len(Path("runs").read_text(encoding="utf-8")) <= LATE == metrics.metric_calls(metric)


@pytest.mark.slow
def test_a_program_that_hangs_on_some_rows_still_measures_others() -> None:
    """As a search that hangs on the pool ends with a figure of select; ten of any kind in a row are enough."""
    text = '[ "$(wc -l < "$1")" -eq 5 ] || sleep 60\necho 0.75\n'
    Path("score.sh").write_text(text, encoding="utf-8")
    metric = metrics.command("sh score.sh {predictions}", higher_is_better=True, timeout=1)
    for _ in range(LATE + 1):
        with pytest.raises(MetricFailed, match="past"):
            value(metric, PREDICTED[:3], TARGETS[:3])
    assert value(metric) == 0.75
    for rows in (*range(1, 4), *range(5, 12)) * 2:
        with pytest.raises(MetricFailed, match="past"):
            value(metric, torch.zeros(rows).long(), torch.zeros(rows).long())
    with pytest.raises(MetricFailed, match=f"{LATE_IN_ALL} calls in a row"):
        value(metric)


def test_a_program_that_never_gives_a_number_is_given_up() -> None:
    """Not one that failed where it had no value, and gave numbers elsewhere."""
    metric = made("open('runs', 'a').write('x'); raise SystemExit('no weights')")
    for _ in range(FAILED + 2):
        with pytest.raises(MetricFailed, match="no weights") as caught:
            value(metric)
    assert "20 times in a row" in str(caught.value)
    assert len(Path("runs").read_text(encoding="utf-8")) == FAILED == metrics.metric_calls(metric)
    moody = made(SHARE.replace("print()", "sys.exit(rows[0]['prediction'] == '7')"))
    assert value(moody) == 0.75
    for _ in range(FAILED + 1):
        with pytest.raises(MetricFailed, match="exit code 1"):
            value(moody, torch.full((4,), 7))
    assert value(moody) == 0.75


TOLD = """
import sys; sys.path[:] = {path!r}
import torch
from metricgrad import metrics
metric = metrics.command("./score.py {{predictions}}", higher_is_better=True)
metric.measure(torch.tensor([1]), torch.tensor([1]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_who_is_told_to_end_takes_the_program_along(
    number: int, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No program and no file is left where this process ends by a signal."""
    (place / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(place / "temporary"))
    script(Path("score.py"), STUBBORN + "time.sleep(60)")
    process = subprocess.Popen([sys.executable, "-c", TOLD.format(path=sys.path)], stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while not (Path("child").exists() and Path("child").stat().st_size) and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(number)
    assert process.wait(20) != 0
    assert gone("child") and not list((place / "temporary").iterdir())


# ------------------------------------------------------------------------------- before anything is run


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("./none.py {predictions}", "there is no program /.*/none.py"),
        ("no-such-program-here {predictions}", "no program 'no-such-program-here' on PATH"),
        ("plain.txt {predictions}", r"\./plain.txt is one in the current folder"),
        ("./plain.txt {predictions}", "not executable.*chmod"),
        ("./folder {predictions}", "is no file"),
        ("~/score.py {predictions}", "There is no shell"),
        ("A=1 ./score.py {predictions}", "There is no shell"),
        ("sh gone.sh {predictions}", "there is no file 'gone.sh'"),
        ("./score.py", "expected {predictions}"),
        ("./score.py predictions.csv", "expected {predictions}"),
        ("./score.py {prediction}", "no placeholder {prediction}"),
        ("./score.py {predictions.json}", "no placeholder {predictions.json}"),
        ("./score.py {predictions} {target}", "no placeholder {target}"),
        ("{predictions}", "a program before its files"),
        ("./score.py '{predictions}", "quotes that end"),
        ("", "a program and {predictions}"),
        ("./score.py {predictions} \0", "a program and {predictions}"),
    ],
)
def test_what_cannot_be_run_is_refused_before(line: str, words: str) -> None:
    """One sentence; nothing is started."""
    script(Path("score.py"), "open('ran', 'w')")
    Path("plain.txt").write_text("no program", encoding="utf-8")
    Path("folder").mkdir()
    with pytest.raises(InputError, match=words):
        metrics.command(line, higher_is_better=True)
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"higher_is_better": None}, "its direction is not known"),
        ({"higher_is_better": "up"}, "higher_is_better is 'up'"),
        ({"reads": "boxes"}, "reads is 'boxes'"),
        ({"unit": "query"}, "unit is 'query'"),
        ({"timeout": 0}, "timeout is 0"),
        ({"timeout": float("nan")}, "timeout is nan"),
        ({"name": "a b"}, "its name is 'a b'"),
    ],
)
def test_settings_that_do_not_fit(settings: dict, words: str) -> None:
    """Each is refused by its name."""
    with pytest.raises(InputError, match=words):
        made(SHARE, **settings)


def test_braces_of_others_stay() -> None:
    """What awk and JSON have in braces is no placeholder."""
    awk = shutil.which("awk")
    if awk is None:
        pytest.skip("no awk here")
    line = "awk -F, 'NR > 1 {rows++; hits += ($2 == $3)} END {print hits / rows}' {predictions}"
    assert value(metrics.command(line, higher_is_better=True)) == 0.75


def test_a_script_that_cannot_be_started() -> None:
    """Without a first line that names an interpreter, or with one that is not there."""
    for text in ("print(1)\n", "#!/no/such/interpreter\n"):
        Path("score.py").write_text(text, encoding="utf-8")
        Path("score.py").chmod(0o755)
        with pytest.raises(MetricFailed, match=r"cannot be run: .*#!/bin/sh"):
            value(metrics.command("./score.py {predictions}", higher_is_better=True))


@pytest.mark.parametrize("outputs", [torch.zeros(4, 3, 2), torch.zeros(4, 0), [[1], [2]], {"a": 1}, 3.0])
def test_what_no_table_holds_is_refused(outputs) -> None:
    """Images, nested lists and mappings."""
    with pytest.raises(InputError, match=r"outputs are .* expected one row per sample"):
        value(made(SHARE), outputs, torch.zeros(4))


def test_rows_that_do_not_fit_and_outputs_that_are_no_probabilities() -> None:
    """As for any other metric."""
    with pytest.raises(InputError, match="one target for each row"):
        value(made(SHARE), PREDICTED, TARGETS[:3])
    with pytest.raises(InputError, match="no probabilities"):
        value(made(SHARE, reads="probabilities"), torch.randn(4, 3), TARGETS)
    with pytest.raises(InputError, match="predicted class ids or scores"):
        value(made(SHARE, reads="classes"), torch.tensor([0.2, 0.3, 0.4, 0.5]), TARGETS)


# -------------------------------------------------------------------------------------------- intervals


def test_an_interval_is_drawn_only_where_it_is_asked_for() -> None:
    """One call per measurement; with unit='sample' one per resample. A resample that fails is left out."""
    whole = made(SHARE)
    assert whole.measure(PREDICTED, TARGETS).shape == (1, 1)
    fails = SHARE.replace(
        "print()", "sys.exit(len({row['index'] for row in rows}) != 4 or rows[0]['target'] != '0')"
    )
    sample = made(fails, unit="sample")
    assert "per resample" in sample.description
    statistics = sample.measure(PREDICTED, TARGETS)
    assert len(statistics) == 4 and metrics.metric_calls(sample) == 0
    found = bootstrap([statistics], sample.summarise, resamples=6)
    assert metrics.metric_calls(sample) == 7
    assert found.value == 0.75 and 0 < found.undefined <= 6


def test_rules_of_decision_ask_it() -> None:
    """A table of decisions is written out as class numbers; equal ones are asked once, failures are undefined."""
    table = torch.tensor([[3.0, 1.0], [0.0, 4.0]])
    judge = TableMetric(made(SHARE, reads="classes"), 2)
    assert judge(torch.stack([table, table])).tolist() == [0.875, 0.875] and judge.calls == 1
    broken = TableMetric(made("raise SystemExit('no')", reads="classes"), 2)
    assert broken(table).isnan() and broken.failure is not None and "exit code 1" in broken.failure


def test_whoever_watches_is_told_the_calls() -> None:
    """How often, and how long each took."""
    metric, told = made(SHARE), []
    watch_calls(metric, lambda calls, seconds: told.append((calls, seconds)), 0.0)
    watch_calls(metrics.adapt("f1"), lambda calls, seconds: told.append((calls, seconds)))
    value(metric), value(metric)
    assert [calls for calls, _ in told] == [1, 2] and all(seconds > 0 for _, seconds in told)


# ---------------------------------------------------------------------------------------------- by text


@pytest.mark.parametrize(
    ("text", "given", "wanted"),
    [
        ("cmd: ./score.py {predictions}", {"higher_is_better": False}, ("score", False, None, "whole", 60.0)),
        (
            "cmd:higher_is_better=true,reads=classes,timeout=5,unit=sample,name=mine: ./score.py {predictions}",
            {"timeout": 9.0},
            ("mine", True, "classes", "sample", 5.0),
        ),
        (
            "  cmd:./score.py {predictions}",
            {"higher_is_better": True, "timeout": 9.0},
            ("score", True, None, "whole", 9.0),
        ),
    ],
)  # fmt: skip
def test_a_program_as_it_is_typed(text: str, given: dict, wanted: tuple) -> None:
    """Settings stand between cmd: and a colon; options of the command fill in what is not said there."""
    script(Path("score.py"), SHARE)
    metric = typed_metric(text, **given)
    program = program_of(metric)
    assert program is not None
    assert (metric.name, metric.higher_is_better, metric.reads, metric.unit, program.seconds) == wanted
    assert program_typed(text).path == str(Path("score.py").absolute())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cmd:read=classes: ./score.py {predictions}", "no setting 'read'.*'reads'"),
        ("cmd:higher_is_better=up: ./score.py {predictions}", "higher_is_better is 'up'"),
        ("cmd:higher_is_better=false: ./score.py {predictions}", "one direction"),
        ("cmd:timeout=long: ./score.py {predictions}", "timeout is 'long'"),
        ("cmd:", "a program and {predictions}"),
    ],
)
def test_texts_that_do_not_fit(text: str, words: str) -> None:
    """Each is refused by what is wrong with it."""
    script(Path("score.py"), SHARE)
    with pytest.raises(InputError, match=words):
        typed_metric(text, higher_is_better=True)


def test_no_text_alone_starts_a_program() -> None:
    """`adapt`, and so `tune` in Python, wants the call that says it."""
    script(Path("score.py"), "open('ran', 'w')")
    with pytest.raises(InputError, match=r"metrics\.command"):
        metrics.adapt("cmd: ./score.py {predictions}", higher_is_better=True)
    assert not Path("ran").exists()


def test_a_run_knows_its_program_by_its_content() -> None:
    """Another text of the script is another metric; where it lies, and how often it was called, is not."""
    first = fingerprint(made(SHARE)).values
    metric = made(SHARE)
    value(metric)
    assert fingerprint(metric).values == first
    assert fingerprint(made(SHARE + "\n")).values != first
    assert fingerprint(made(SHARE, reads="classes")).values != first
    assert fingerprint(made(SHARE, "./score.py {predictions} --strict")).values != first
