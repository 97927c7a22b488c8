"""`list`, `explain`, `cite`, `doctor`: complete because they are made of `__all__`, docstrings and references.bib."""

import contextlib
import itertools
from pathlib import Path

import pytest
import torch

from metricgrad import direct, losses, projection, tasks
from metricgrad.cli import cite, doctor, finding
from metricgrad.cli.catalogue import KINDS, things
from metricgrad.cli.cite import bibliography, keys_in
from metricgrad.decision.known import RULES
from metricgrad.errors import InputError
from metricgrad.learned import words
from metricgrad.methods.families import road_named
from metricgrad.metrics import adapt, named_metrics, of_kind
from tests.cli.outcome import Command

THINGS = things()


def test_list_is_complete(command: Command) -> None:
    """Every named metric, public loss, method and task is listed, each with one line."""
    listed = command("list", "--json").json
    names = {kind: {item["name"] for item in listed if item["kind"] == kind} for kind in KINDS}
    assert names["metric"] == set(named_metrics())
    made = {name for name in (*losses.__all__, *direct.__all__) if name.endswith("_loss")}
    assert names["loss"] == made | {"interpolated", "relaxed"}
    assert names["structure"] == {name for name in direct.__all__ if name[0].isupper()}
    assert names["form"] == {name for name in projection.__all__ if name[0].isupper()} - {
        "Projection",
        "PairProjection",
    }
    assert names["rule"] == set(RULES)
    assert names["task"] == set(tasks.__all__)
    assert {"auto", "surrogate:recall_at_k", "direct:f_beta", "direct:hit_at_1", "learned+filter"} <= names[
        "method"
    ]
    assert all(item["line"] and "\n" not in item["line"] for item in listed)
    text = command("list").out
    assert all(item["name"] in text for item in listed)


def test_listed_methods_exist() -> None:
    """Each listed method is one that `tune` knows, for a metric of embeddings, of scores or of samples."""
    records = [adapt("recall@1"), adapt("f1"), of_kind(adapt("edit_distance"), words("ab", 3))]
    found = set()
    for name, record in itertools.product(
        [thing.name for thing in THINGS if thing.kind == "method"], records
    ):
        with contextlib.suppress(InputError):
            assert road_named(name, record).name == name or name == "auto"
            found.add(name)
    assert found == {thing.name for thing in THINGS if thing.kind == "method"}


@pytest.mark.parametrize("plural", ["metrics", "losses", "structures", "forms", "methods", "tasks"])
def test_list_of_one_kind(command: Command, plural: str) -> None:
    """`list KIND` has that kind alone."""
    kinds = {item["kind"] for item in command("list", plural, "--json").json}
    assert len(kinds) == 1


def test_explain_shows_the_docstring(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """`explain NAME` shows the whole docstring of what has that name."""
    monkeypatch.setattr(finding, "things", lambda: THINGS)  # else they are all read anew for each
    for thing in THINGS:
        out = command("explain", thing.name).out
        assert all(line.strip() in out for line in thing.text.splitlines()), thing.name


def test_a_task_may_be_spelt_with_dashes(command: Command) -> None:
    """As `tune` takes it."""
    assert command("explain", "fashion-long-tail").out == command("explain", "fashion_long_tail").out


def test_explain_says_what_a_cut_off_means(command: Command) -> None:
    """recall@5 is told apart from recall_at_5."""
    assert "any relevant item within the first 5" in command("explain", "recall@5").out
    assert "share of the relevant items within the first 5" in command("explain", "recall_at_5").out
    assert "beta=2" in command("explain", "f_beta:beta=2").out


def test_explain_a_portfolio(command: Command) -> None:
    """It is what `auto` is for classes: candidates, choice and controls are explained by either name."""
    (one,), (other,) = (command("explain", name, "--json").json for name in ("portfolio", "auto"))
    assert one == other and one["name"] == "auto"
    assert all(word in one["text"] for word in ("balanced softmax", "10 % quantile", "best control"))
    command("explain", "portfolo").refused("Did you mean 'portfolio'")


def test_explain_one_name_of_two_things(command: Command) -> None:
    """`recall_at_k` is a metric and, with its suffix left out, a loss: both are explained."""
    kinds = [item["kind"] for item in command("explain", "recall_at_k", "--json").json]
    assert kinds == ["metric", "loss"]


def test_settings_of_tasks_are_explained(command: Command) -> None:
    """Each option of a task has a type and a meaning."""
    for name in tasks.__all__:
        (found,) = command("explain", name, "--json").json
        assert found["settings"] and all(row["type"] and row["meaning"] for row in found["settings"])


def test_every_reference_is_in_the_bibliography(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a docstring refers to can be cited."""
    known = bibliography()
    monkeypatch.setattr(finding, "things", lambda: THINGS)
    monkeypatch.setattr(cite, "bibliography", lambda: known)
    assert len(known) > 10
    for thing in THINGS:
        keys = keys_in(thing.text)
        assert set(keys) <= set(known), thing.name
        if keys:
            found = command("cite", thing.name, "--json").json
            assert {entry["key"] for entry in found} >= set(keys)


def test_cite_prints_bibtex(command: Command) -> None:
    """A key and a name both give whole entries, braces balanced."""
    out = command("cite", "patel2022recall").out
    assert out.startswith("@") and "{patel2022recall," in out
    assert out.count("{") == out.count("}")
    assert "{patel2022recall," in command("cite", "recall_at_k_loss").out
    for text in bibliography().values():
        assert text.count("{") == text.count("}")
        assert "title" in text


def test_names_that_nothing_has(command: Command) -> None:
    """An unknown name is refused with the nearest ones, or with the way to all of them."""
    command("explain", "recal@1").refused("'recal@1'", "recall@k")
    command("explain", "qqqq").refused("metricgrad list")
    command("cite", "patel2022recal").refused("patel2022recall")
    command("cite", "digits").refused("no reference of its own")
    command("list", "looses").refused("losses")


def test_doctor(command: Command) -> None:
    """The doctor names versions, threads, device, folders and extras, and finds nothing that stops a run here."""
    outcome = command("doctor", "--json")
    found = outcome.json
    assert found["versions"]["torch"] == torch.__version__
    assert found["threads"]["torch"] == torch.get_num_threads()
    assert {"emoji", "scikit", "parquet"} <= set(found["extras"])
    assert "dev" not in found["extras"]
    assert not [problem for problem in found["problems"] if problem["serious"]]
    text = command("doctor").out
    assert found["cache"]["path"] in text.replace("\n", "")


def test_doctor_tells_how_to_install_what_is_missing(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing extra comes with the one line that installs it."""
    installed = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: None if name == "pillow" else installed(name))
    assert command("doctor", "--json").json["extras"]["emoji"]["missing"] == ["pillow"]
    assert "pip install 'metricgrad[emoji]'" in command("doctor").out


def test_doctor_finds_a_cache_that_cannot_be_written(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A cache folder below a file is a problem that must be mended: exit code 1."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("METRICGRAD_CACHE", str(tmp_path / "file" / "cache"))
    outcome = command("doctor")
    assert outcome.code == 1
    assert "METRICGRAD_CACHE" in outcome.out
