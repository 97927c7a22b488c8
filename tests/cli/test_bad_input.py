"""Whatever is wrong with what the user gives: one clear line, exit code 2, nothing lost, nothing executed."""

import errno
import os
import pickle  # noqa: TID251 (to show that it is refused)
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.cli.outcome import QUICK, Command

Files = tuple[Path, Path]


class Bomb:
    """A pickle of it would leave a file behind if it were ever loaded."""

    def __reduce__(self) -> Any:
        """Touch a file on loading."""
        return (os.system, ("touch exploded",))


def evaluate(command: Command, x: Path, y: Path, metric: str = "recall@1") -> Any:
    """Run `evaluate` on embeddings."""
    return command("evaluate", "--embeddings", x, "--labels", y, "--metric", metric)


# ------------------------------------------------------------------------------------------ embeddings and labels


def test_missing_files(command: Command, embeddings: Files, tmp_path: Path) -> None:
    """A file that is not there is named."""
    x, y = embeddings
    evaluate(command, tmp_path / "no.npy", y).refused("there is no file", "no.npy")
    evaluate(command, x, tmp_path / "no.csv").refused("there is no file", "no.csv")
    command("evaluate", tmp_path / "no.parquet", "--metric", "f1").refused("there is no file", "no.parquet")


def test_folder_instead_of_a_file(command: Command, embeddings: Files, tmp_path: Path) -> None:
    """A folder is not a file."""
    x, y = embeddings
    evaluate(command, tmp_path, y).refused("is a folder")
    evaluate(command, x, tmp_path).refused("is a folder")


def test_empty_files(command: Command, embeddings: Files, tmp_path: Path) -> None:
    """An empty file says nothing."""
    x, y = embeddings
    for name in ("e.npy", "e.csv", "e.parquet"):
        (tmp_path / name).touch()
    evaluate(command, tmp_path / "e.npy", y).refused("is empty")
    evaluate(command, x, tmp_path / "e.csv").refused("is empty")
    command("evaluate", tmp_path / "e.csv", "--metric", "f1").refused("is empty")
    command("evaluate", tmp_path / "e.parquet", "--metric", "f1").refused("is empty")


@pytest.mark.parametrize("shape", [(40,), (40, 2, 4), (0, 8), (40, 0)])
def test_wrong_shape(command: Command, embeddings: Files, tmp_path: Path, shape: tuple[int, ...]) -> None:
    """Embeddings are (item, dim); the message says what came."""
    np.save(tmp_path / "w.npy", np.zeros(shape, np.float32))
    evaluate(command, tmp_path / "w.npy", embeddings[1]).refused(str(shape), "(item, dim)")


def test_text_instead_of_numbers(command: Command, embeddings: Files, tmp_path: Path) -> None:
    """An array of strings is no embedding."""
    np.save(tmp_path / "w.npy", np.array([["a", "b"]] * 40))
    evaluate(command, tmp_path / "w.npy", embeddings[1]).refused("(item, dim)")


@pytest.mark.parametrize("suffix", ["csv", "npy"])
@pytest.mark.parametrize("items", [38, 42])
def test_labels_of_another_length(
    command: Command, embeddings: Files, tmp_path: Path, suffix: str, items: int
) -> None:
    """As many labels as embeddings are needed; both numbers are told."""
    path = tmp_path / f"l.{suffix}"
    if suffix == "npy":
        np.save(path, np.arange(items) % 5)
    else:
        path.write_text("".join(f"{i % 5}\n" for i in range(items)), encoding="utf-8")
    evaluate(command, embeddings[0], path).refused(f"{items} labels", "40 embeddings")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite(command: Command, embeddings: Files, tmp_path: Path, value: float) -> None:
    """NaN and infinity are refused with the first row that has one."""
    points = np.load(embeddings[0])
    points[7, 3] = points[9, 0] = value
    np.save(tmp_path / "n.npy", points)
    evaluate(command, tmp_path / "n.npy", embeddings[1]).refused(
        "NaN or infinite", "2 of 40 rows", "rows 7, 9"
    )


def test_no_class_with_two_items(command: Command, embeddings: Files, tmp_path: Path) -> None:
    """Labels that never repeat leave nothing to retrieve."""
    np.save(tmp_path / "l.npy", np.arange(40))
    evaluate(command, embeddings[0], tmp_path / "l.npy").refused("at least one class with two items")


@pytest.mark.parametrize("name", ["recall@0", "recall@-1", "recall@1.5", "hit_at_0"])
def test_cut_off_that_is_none(command: Command, embeddings: Files, name: str) -> None:
    """K is a whole number >= 1."""
    evaluate(command, *embeddings, metric=name).refused("k", "whole number", ">= 1")


def test_unknown_metric(command: Command, embeddings: Files) -> None:
    """The nearest names are offered."""
    evaluate(command, *embeddings, metric="recal@1").refused("recall@k")
    evaluate(command, *embeddings, metric="avarage_precision").refused("'average_precision'")
    command("tune", "digits", "--metric", "recal@1").refused("recall@k")


def test_metric_that_cannot_be_imported(command: Command, embeddings: Files) -> None:
    """A module or a function that is not there is named."""
    evaluate(command, *embeddings, metric="no_such_module:f").refused("no_such_module")
    evaluate(command, *embeddings, metric="math:no_such_function").refused("no_such_function")


def test_pickles_are_never_loaded(command: Command, embeddings: Files, tmp_path: Path) -> None:
    """A pickled .npy, a bare pickle and pickled labels are refused without running what they hold."""
    x, y = embeddings
    np.save(tmp_path / "o.npy", np.array([Bomb(), Bomb()], dtype=object), allow_pickle=True)
    (tmp_path / "p.npy").write_bytes(pickle.dumps(Bomb()))
    for name in ("o.npy", "p.npy"):
        evaluate(command, tmp_path / name, y).refused("pickled objects", "never loaded")
        evaluate(command, x, tmp_path / name).refused("pickled objects", "never loaded")
    assert not (tmp_path / "exploded").exists()


def test_damaged_arrays(command: Command, embeddings: Files, tmp_path: Path) -> None:
    """A truncated array, an archive and random bytes are no array."""
    x, y = embeddings
    (tmp_path / "t.npy").write_bytes(x.read_bytes()[:300])
    np.savez(tmp_path / "a.npz", x=np.zeros((40, 2)))
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    (tmp_path / "r.npy").write_bytes(b"\x93NUMPY\x01\x00\x10\x00{garbage here...")
    for name in ("t.npy", "a.npy", "r.npy"):
        evaluate(command, tmp_path / name, y).refused(name)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2\n", ("2 columns", "label")),
        ("1\n2,3\n", ("line 2", "2 cells")),
        ("1\n\n2\n", ("line 2", "0 cells")),
        ("\n\n", ("no line with content",)),
    ],
)
def test_bad_label_files(
    command: Command, embeddings: Files, tmp_path: Path, text: str, words: tuple[str]
) -> None:
    """Ragged lines, holes and unnamed columns are refused with the line."""
    (tmp_path / "l.csv").write_text(text, encoding="utf-8")
    evaluate(command, embeddings[0], tmp_path / "l.csv").refused(*words)


def test_labels_that_are_not_text(command: Command, embeddings: Files, tmp_path: Path) -> None:
    """Bytes that are no UTF-8 are refused."""
    (tmp_path / "l.csv").write_bytes(b"\xff\xfe\x00a\n")
    evaluate(command, embeddings[0], tmp_path / "l.csv").refused("cannot be read as CSV")


def test_arguments_that_do_not_go_together(command: Command, embeddings: Files) -> None:
    """Half of a pair, both ways at once, neither, or the wrong kind of metric."""
    x, y = embeddings
    command("evaluate", "--metric", "recall@1").refused("expected one of", "--embeddings")
    command("evaluate", "p.csv", "--embeddings", x, "--metric", "recall@1").refused(
        "expected one of", "--embeddings"
    )
    command("evaluate", "--embeddings", x, "--metric", "recall@1").refused("without labels")
    command("evaluate", "--embeddings", x, "--labels", y).refused("--metric")
    command("evaluate", "--embeddings", x, "--labels", y, "--metric", "f1").refused("file of predictions")
    command("evaluate", "p.csv", "--metric", "recall@1").refused("--embeddings and --labels")
    command("evaluate", "--embeddings", x, "--labels", y, "--metric", "map", "--confidence", "95").refused(
        "0 and 1"
    )


@pytest.mark.parametrize(
    ("text", "metric", "words"),
    [
        ("diagnosis,prediction\n1,1\n", "f1", ("diagnosis", "named target")),
        ("target,guess\n1,1\n", "f1", ("target, guess", "score_<class>")),
        ("target,prediction\n", "f1", ("has no row",)),
        ("target,prediction\n1,\n", "f1", ("empty cell",)),
        ("target,score\n1,high\n", "auc", ("row 1", "'high'", "number")),
        ("target,score\n1,nan\n0,1\n", "auc", ("NaN", "row 0")),
        ("target,score_a\nb,1\n", "error_rate", ("'b'", "score_b")),
        ("target,target\n1,1\n", "f1", ("twice",)),
        ("target,prediction\n1,1\n", "auc", ("column score",)),
        ("target,prediction\n1,1,1\n", "f1", ("line 2", "3 cells")),
    ],
)
def test_bad_predictions(command: Command, tmp_path: Path, text: str, metric: str, words: tuple[str]) -> None:
    """Tables without the needed columns or with cells that mean nothing are refused with the place."""
    (tmp_path / "p.csv").write_text(text, encoding="utf-8")
    command("evaluate", tmp_path / "p.csv", "--metric", metric).refused(*words)


def test_damaged_parquet(command: Command, tmp_path: Path) -> None:
    """Bytes that are no Parquet are refused."""
    (tmp_path / "p.parquet").write_bytes(b"PAR1 this is not one")
    command("evaluate", tmp_path / "p.parquet", "--metric", "f1").refused("cannot be read as Parquet")


# --------------------------------------------------------------------------------------------------------- recipes


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("task: digits\nmetrics: recall@1\n", ("line 2", "'metrics'", "'metric'")),
        ("task: digits\nplan:\n  stpes: 3\n", ("line 3", "'stpes' in plan", "'steps'")),
        ("task: digits\nstart:\n  plan: {stesp: 3}\n", ("line 3", "in start.plan", "'steps'")),
        ("task: digits\ndata: {dims: 3}\n", ("'dims'", "'dim'")),
        ("task: digits\nsettings: {learning_rat: 3}\n", ("'learning_rat'", "'learning_rate'")),
        ("task: digits\nplan: {steps: many}\n", ("line 2", "plan.steps is 'many'", "integer")),
        ("task: digits\nplan: {steps: 0}\n", ("plan.steps is 0", "greater than or equal to 1")),
        ("task: digits\nplan: {steps: 3, minutes: 1}\n", ("line 2", "both steps and minutes")),
        ("task: digits\nseeds: [1, 1]\n", ("seeds", "different")),
        ("task: digits\nseeds: 3\n", ("seeds is 3", "list")),
        ("task: [digits]\n", ("task is ['digits']", "string")),
        ("task: digits\ntask: emoji\n", ("line 2", "given twice")),
        ("metric: recall@1\n", ("'task'", "needed")),
        ("task: digit\n", ("'digit'", "'digits'")),
        ("task: digits\nmethod: surogate:recall_at_k\n", ("'surogate:recall_at_k'", "'surrogate'")),
        ("task: digits\nmethod: surrogate:recall\n", ("'recall'", "'recall_at_k'")),
        ("task: digits\nproxy: supcom\n", ("'supcom'", "'supcon'")),
        ("task: no_such_module:load\n", ("no_such_module",)),
        ("task: {digits\nmetric: recall@1\n", ("line 2", "is not YAML")),
        ("task: digits\n\tplan: 3\n", ("line 2", "is not YAML")),
        ("- task\n- digits\n", ("is list",)),
        ("digits\n", ("is str",)),
        ("", ("is empty", "task: NAME")),
        ("# nothing\n", ("is empty",)),
        ("task: !!python/object/apply:os.system ['touch exploded']\n", ("is not YAML",)),
    ],
)
def test_bad_recipes(command: Command, tmp_path: Path, text: str, words: tuple[str]) -> None:
    """A recipe that says something unknown is refused with the line and the nearest right word; nothing is run."""
    (tmp_path / "r.yaml").write_text(text, encoding="utf-8")
    command("tune", tmp_path / "r.yaml", "--quiet").refused(*words)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.yaml"]


def test_recipes_that_cannot_be_read(command: Command, tmp_path: Path) -> None:
    """A missing recipe, a folder and bytes that are no text."""
    command("tune", "no.yaml").refused("cannot read the recipe no.yaml", "No such file")
    command("tune", tmp_path).refused("cannot read the recipe", "directory")
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    command("tune", tmp_path / "b.yaml").refused("not UTF-8")


@pytest.mark.parametrize(
    ("task", "assignment"),
    [
        ("digits", "data.dim=1000000000"), ("digits", "data.samples_per_class=100000000"), ("emoji", "data.dim=1e12"),
        ("words", "data.items_fit=99999999999"), ("boxes", "data.items_test=10000000"),
        ("boxes", "data.processes=100000"),
        ("fashion_ap", "data.batch=1000000000"), ("digits", "data.split_seed=99999999999999999999"),
        ("digits", "plan.steps=99999999999999999999"), ("digits", "plan.batch=9999999999999"),
        ("digits", "plan.minutes=1e300"), ("digits", "plan.minutes=.inf"), ("digits", "plan.minutes=true"),
        ("digits", "plan.tries=999999999"), ("digits", "seeds=[99999999999999999999]"),
        ("digits", "plan.steps=1" + "0" * 5000),
        ("digits", "settings.warmup=.nan"), ("digits", "plan" + ".a" * 3000 + "=1"),
        ("digits", "plan.steps=" + "[" * 3000),
        ("digits", "plan.steps=2020-99-99"), ("digits", "plan.steps=!!int 3"), ("digits", "data.dim='16'"),
        ("digits", "data={? [a] : 1}"), ("digits", "plan.steps=0x10"),
    ],
)  # fmt: skip
def test_numbers_without_sense(command: Command, tmp_path: Path, task: str, assignment: str) -> None:
    """Too large, infinite, no number, or no YAML: one line, at once, and no folder."""
    command("tune", task, "--set", assignment, "--run", "run", "--quiet").refused()
    assert not (tmp_path / "run").exists()


def test_more_than_the_memory_holds(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would not fit is refused before it is drawn."""
    monkeypatch.setattr("metricgrad._checks.free_memory", lambda: 10**9)
    command("tune", "boxes", "--set", "data.items_fit=1000000").refused(
        "GB of memory", "1.0 GB that are free"
    )


def test_bad_options(command: Command) -> None:
    """Options that clash or say nothing are refused as a recipe's keys are."""
    command("tune", "digits", "--steps", "3", "--minutes", "1").refused("both steps and minutes")
    command("tune", "digits", "--set", "plan.steps").refused("no assignment")
    command("tune", "digits", "--set", "plan.stps=3").refused("'stps' in plan", "'steps'")
    command("tune", "digits", "--set", "plan.steps=[1").refused("[1")
    command("tune", "digits", "--data", "x").refused("'data'", "dim")
    command("tune", "emojii").refused("'emojii'", "'emoji'")
    for wrong in (
        ("--seeds", "0"),
        ("--seeds", "9" * 20),
        ("--seed", "9" * 20),
        ("--minutes", "inf"),
        ("--minutes", "nan"),
    ):
        assert command("tune", "digits", *wrong).code == 2
    command("tune", "n" * 5000).refused("there is no task")
    command("report", "n" * 5000).refused("there is no run folder")


# ----------------------------------------------------------------------------------------------------- run folders


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a folder but the lock."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_run_folders_that_are_none(command: Command, tmp_path: Path) -> None:
    """A missing folder, a file and a folder of something else."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    (tmp_path / "empty").mkdir()
    for name in ("resume", "report"):
        command(name, "nowhere").refused("there is no run folder nowhere")
        command(name, "file").refused("is a file")
        command(name, "empty").refused("empty has no")


@pytest.mark.parametrize(
    "damage", ["state cut", "state replaced", "tensors cut", "tensors gone", "tensors pickled"]
)
def test_damaged_checkpoint(command: Command, stopped: Path, damage: str) -> None:
    """A checkpoint that was cut, replaced or pickled is refused; nothing in the folder is touched."""
    state = stopped / "last" / "state.json"
    tensors = next((stopped / "last").glob("*.safetensors"))
    if damage == "state cut":
        state.write_bytes(state.read_bytes()[:200])
    elif damage == "state replaced":
        state.write_text("[]", encoding="utf-8")
    elif damage == "tensors cut":
        tensors.write_bytes(tensors.read_bytes()[:-10])
    elif damage == "tensors gone":
        tensors.unlink()
    else:
        torch.save({"w": Bomb()}, tensors)  # noqa: TID251 (to show that it is refused)
    before = contents(stopped)
    command("resume", stopped, "--quiet").refused(
        "last/" + (state.name if "state" in damage else tensors.name)
    )
    assert contents(stopped) == before
    assert not (stopped.parent / "exploded").exists()


def test_weights_that_are_a_pickle(command: Command, stopped: Path) -> None:
    """The weights of a finished stage that someone replaced by a pickle are refused, and not run."""
    weights = stopped / "arms" / "seed0-start-try0.safetensors"
    torch.save({"w": Bomb()}, weights)  # noqa: TID251 (to show that it is refused)
    command("resume", stopped, "--quiet").refused("is a pickle", weights.name)
    assert not (stopped.parent / "exploded").exists()


@pytest.mark.parametrize("text", ["{unfinished", "- a list\n", "recipe: 3\n", "asked: {}\nfound: {}\n", ""])
def test_damaged_settings(command: Command, stopped: Path, text: str) -> None:
    """A config.yaml that holds no recipe cannot be resumed; it is said why."""
    (stopped / "config.yaml").write_text(text, encoding="utf-8")
    command("resume", stopped, "--quiet").refused("config.yaml")


def test_damaged_record(command: Command, stopped: Path) -> None:
    """A record that was cut below its checkpoint, or that is no JSON, is refused."""
    record = stopped / "record.jsonl"
    content = record.read_bytes()
    record.write_bytes(content[:100])
    command("resume", stopped, "--quiet").refused("record.jsonl")
    record.write_bytes(b"garbage\n" + content)
    command("report", stopped).refused("record.jsonl", "line 1")


def test_folder_of_another_run(command: Command, stopped: Path) -> None:
    """A folder that holds another run is not written to."""
    before = contents(stopped)
    command("tune", "digits", *QUICK, "--metric", "map", "--run", stopped, "--quiet").refused("another run")
    assert contents(stopped) == before


@pytest.mark.slow
def test_changed_thread_count(command: Command, stopped: Path) -> None:
    """Another number of threads is refused, and resumed with --force under a mark."""
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        command("resume", stopped, "--quiet").refused("threads", "--force")
        outcome = command("resume", stopped, "--force", "--quiet")
    finally:
        torch.set_num_threads(threads)
    assert outcome.code == 0
    assert "Resumed by force although threads was" in outcome.out


def test_folder_that_cannot_be_written(command: Command, tmp_path: Path) -> None:
    """A run folder below a file (root writes into any read-only one) is refused."""
    (tmp_path / "file").write_text("kept", encoding="utf-8")
    command("tune", "digits", *QUICK, "--run", "file/run", "--quiet").refused("cannot write", "file/run")
    assert (tmp_path / "file").read_text(encoding="utf-8") == "kept"


@pytest.mark.slow
def test_full_disk(command: Command, stopped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills up stops the run with one line; what was there is whole and is resumed later."""
    before = contents(stopped)
    flush = os.fsync

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    command("resume", stopped, "--quiet").refused("No space left on device")
    monkeypatch.setattr(os, "fsync", flush)
    after = contents(stopped)
    assert {name: after[name] for name in before if name.startswith(("last/", "arms/"))} == {
        name: content for name, content in before.items() if name.startswith(("last/", "arms/"))
    }
    assert command("resume", stopped, "--quiet").code == 0
