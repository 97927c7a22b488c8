"""Vectors with labels: what is returned, what is claimed, and that it is the same whichever way it is computed."""

import json
import runpy
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from metricgrad.adapting import Adapted, Training, adapt_embeddings
from metricgrad.adapting.gains import Over
from metricgrad.adapting.outputs import save
from metricgrad.errors import InputError, Interrupted
from metricgrad.metrics import retrieval_ranks
from metricgrad.projection import load_projection
from metricgrad.tune.checkpoint import load_weights
from tests.adapting.small_vectors import NO_TRAINING, QUICK, of_labels, vectors
from tests.tune.small_run import same_weights
from tests.tune.test_resume import Raiser


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> Adapted:
    """A run to the end."""
    return of_labels(tmp_path_factory.mktemp("runs") / "whole")


def hits(x: np.ndarray, y: np.ndarray, asked: np.ndarray) -> float:
    """recall@1 of some items among all, by the matrix of all cosines."""
    x = x.astype(np.float64) / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)
    cosines = x[asked] @ x.T
    cosines[np.arange(len(asked)), asked] = -np.inf
    return float((y[cosines.argmax(1)] == y[asked]).mean())


def test_figures_are_those_of_the_file(found: Adapted) -> None:
    """The map of the file gives the printed figure over all items; the raw one is that of the vectors."""
    x, y = vectors()
    form = load_projection(found.folder / "adapter.safetensors")
    assert found.gain.adapted == pytest.approx(hits(form.transform(x), y, found.parts.test), abs=1e-12)
    assert found.gain.raw == pytest.approx(hits(x, y, found.parts.test), abs=1e-12)
    assert found.gain.low is not None
    assert found.gain.outcome == "gain" and found.gain.low > 0
    assert found.summary().startswith("question: new classes")


def test_apply_script_is_the_map(found: Adapted) -> None:
    """apply.py beside the file gives the same vectors as the map."""
    x, _ = vectors()
    script = runpy.run_path(str(found.folder / "apply.py"))
    np.testing.assert_allclose(script["apply"](x[:5], "document"), found.transform(x[:5]), atol=1e-6)


def test_the_contest_has_its_controls(found: Adapted) -> None:
    """The closed form starts; raw and SupCon stand beside; nobody has more tries."""
    names = [row.name for row in found.comparison.table]
    assert names == [
        "start",
        "continued",
        "raw",
        "closed-form",
        "surrogate-recall_at_k",
        "surrogate-hardest_triplet",
    ]
    assert found.forms.value > found.forms.tried[0].value and found.forms.tried[0].words == "unchanged"
    facts = json.loads((found.folder / "adapted.json").read_text())
    assert facts["question"].startswith("new classes") and facts["gain"]["outcome"] == "gain"


@pytest.mark.slow
def test_a_trained_map_is_returned_as_a_projection(tmp_path: Path) -> None:
    """Where select prefers a trained arm, its head is the map of the file."""
    method = ["surrogate:average_precision"]
    training = Training(methods=method, steps=60, grid=1, batch=128, learning_rate=3e-3)
    found = of_labels(tmp_path / "run", training=training, metric="map@r")
    assert found.comparison is not None
    returned, chosen = found.comparison.result.returned, found.comparison.result.event("chosen")
    assert returned != "start" and chosen is not None
    assert found.map.words().startswith("map trained with")
    arm = chosen["attempts"]["0"][returned]
    weights = load_weights(tmp_path / "run" / "arms" / f"seed0-{returned}-try{arm}.safetensors")
    whole = weights["linear.weight"].double() @ weights["exact.weight"]
    torch.testing.assert_close(found.map.weight, whole)
    assert (
        found.over is None and found.map.about["verdict"] == found.gain.outcome
    )  # what is returned is a control
    values = {row.name: row.value for row in found.comparison.table}
    beside = found.over_form
    assert beside is not None and beside.words == found.forms.words
    assert (beside.value, beside.adapted) == pytest.approx((values["closed-form"], values[returned]))
    assert f"the best closed form, {found.forms.words}: {beside.value:.4f} before" in found.sentence
    over = Over("continued", "the usual loss", 0.5, 0.5, -0.1, 0.1, "no evidence")
    save(replace(found, over=over))
    about = load_projection(found.folder / "adapter.safetensors").about
    assert (
        about["verdict"] == "no evidence"
    )  # over the best control, whatever it is over the vectors as they came


@pytest.mark.slow
def test_every_arm_tries_its_grid(tmp_path: Path) -> None:
    """The settings of each try stand in the record: three values each, the middle one first."""
    found = of_labels(tmp_path / "run", training=Training(steps=1, batch=64))
    begun = [event for event in found.comparison.result.events if event["event"] == "stage_started"]
    tried = {}
    for event in begun:
        tried.setdefault(event["arm"], []).append(next(iter(event["settings"]["objective"].values())))
    assert set(map(len, tried.values())) == {3}
    assert all(sorted(values)[1] == values[0] for values in tried.values())


@pytest.mark.slow
def test_interrupted_run_ends_with_the_same_bytes(tmp_path: Path, found: Adapted) -> None:
    """SIGINT in training; the same call goes on."""
    with pytest.raises(Interrupted):
        of_labels(tmp_path / "cut", observer=Raiser("evaluated", 4, signal.SIGINT))
    resumed = of_labels(tmp_path / "cut")
    assert same_weights(found.folder, tmp_path / "cut") == []
    assert resumed.gain == found.gain


@pytest.mark.slow
def test_interrupted_closed_forms_begin_anew(tmp_path: Path, found: Adapted) -> None:
    """SIGINT before there is a record; the same call makes the same run."""
    with pytest.raises(Interrupted, match="closed forms, which the next call makes anew"):
        of_labels(tmp_path / "cut", observer=Raiser("progress", 4, signal.SIGINT))
    assert of_labels(tmp_path / "cut").gain == found.gain


def test_the_closed_form_is_a_control(found: Adapted) -> None:
    """With the value on select that it was chosen by, and all that were tried in the record."""
    assert found.comparison is not None
    row = next(row for row in found.comparison.table if row.name == "closed-form")
    assert row.role == "control" and row.method == found.forms.words and row.select == found.forms.value
    told = found.comparison.result.event("closed_form_chosen")
    assert told is not None and len(told["tried"]) == len(found.forms.tried)
    if found.over is not None:
        baseline = next(row for row in found.comparison.table if row.baseline)
        assert found.over.control == baseline.name and found.over.value == pytest.approx(baseline.value)


@pytest.mark.slow
def test_the_time_that_is_left_covers_test(tmp_path: Path) -> None:
    """What training shows says how long test will take, once a closed form was measured."""
    seen: list[float] = []

    def look(event: Mapping[str, Any]) -> None:
        if event["event"] == "progress" and event.get("stages"):
            seen.append(event["after"])

    of_labels(tmp_path / "run", observer=look)
    assert seen and min(seen) > 0


@pytest.mark.slow
def test_minutes_hold_for_closed_forms_too(tmp_path: Path) -> None:
    """What has passed before the contest is spent."""
    training = Training(minutes=0.05, grid=1, batch=64, methods=["surrogate:recall_at_k"])
    found = of_labels(tmp_path / "run", training=training)
    assert found.comparison is not None
    budget = found.comparison.result.event("budget")
    assert budget is not None and budget["minutes"] == 0.05
    started = found.comparison.result.event("run_started")
    assert started is not None and budget["expected"]["before"] > 0


@pytest.mark.slow
def test_maps_and_halves_are_read_as_arrays(tmp_path: Path, found: Adapted) -> None:
    """A memory map in Fortran order gives the same run; float16 and float64 run."""
    x, _ = vectors()
    np.save(tmp_path / "x.npy", np.asfortranarray(x))
    mapped = of_labels(tmp_path / "a", vectors=np.load(tmp_path / "x.npy", mmap_mode="r"))
    assert mapped.gain == found.gain
    for number, kind in enumerate((np.float16, np.float64)):
        other = of_labels(tmp_path / str(number), vectors=x.astype(kind), training=NO_TRAINING)
        assert other.gain.outcome == "gain"


def test_permuted_labels_give_no_gain(tmp_path: Path) -> None:
    """Digits whose labels are drawn anew: no gain is claimed, whatever select has chosen."""
    x, y = load_digits(return_X_y=True)
    labels = np.random.default_rng(0).permutation(y)[:900]
    given = {"vectors": x[:900].astype(np.float32), "labels": labels, "split": "query"}
    found = of_labels(tmp_path / "run", training=NO_TRAINING, **given)
    assert found.gain.outcome in ("no evidence", "nothing to gain")


def test_digits_of_known_classes(tmp_path: Path) -> None:
    """New items of the ten digits: the interval draws items; select is saturated, so nothing is trained."""
    x, y = load_digits(return_X_y=True)
    given = {"split": "query", "training": QUICK, "folder": tmp_path / "run", "observer": lambda event: None}
    found = adapt_embeddings(x[:600].astype(np.float32), y[:600], **given)
    assert found.summary().startswith("question: new items of known classes")
    assert found.gain.scope == "over 120 queries"
    assert "select is saturated" in found.summary()
    assert found.comparison is None


def test_few_classes_have_closed_forms_alone(tmp_path: Path) -> None:
    """Fewer than 50 classes of fit: no training, and the summary says so; the same call works again."""
    x, y = vectors(classes=40)
    for _ in range(2):
        found = of_labels(tmp_path / "run", vectors=x, labels=y)
        assert found.comparison is None
        assert "closed forms only: 24 classes of fit are fewer than 50" in found.summary()
    lines = (tmp_path / "run" / "record.jsonl").read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines].count("verdict") == 1


def test_perfect_vectors_have_nothing_to_gain(tmp_path: Path) -> None:
    """Classes that are far apart: the vectors are returned as they came."""
    _, y = vectors()
    noise = np.random.default_rng(1).normal(size=(len(y), 120))
    found = of_labels(tmp_path / "run", vectors=(np.eye(120)[y] + 0.01 * noise).astype(np.float32))
    assert found.unchanged and found.gain.outcome == "nothing to gain"
    assert "select is saturated" in found.summary() and found.rebuild.startswith("index: no")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": np.linspace(0, 1, 720)}, "labels"),
        ({"labels": [0, 1]}, "2 labels"),
        ({"vectors": np.zeros(720, np.float32)}, "row, dim"),
        ({"vectors": np.ones((720, 4), int)}, "float16, float32 or float64"),
        ({"metric": "f1"}, "f1|f_beta"),
        ({"training": Training(methods=["surrogate:nothing"])}, "nothing"),
    ],
)
def test_refused(tmp_path: Path, changes, message) -> None:
    """One sentence each."""
    with pytest.raises(InputError, match=message):
        of_labels(tmp_path / "run", **changes)


def test_excluded_references_are_not_ranked() -> None:
    """The ranks among others are those of the set that leaves the query out."""
    x, y = vectors(classes=20)
    points, labels = torch.from_numpy(x), torch.from_numpy(y)
    whole = retrieval_ranks(points, labels)
    index = {"reference_embeddings": points, "reference_labels": labels}
    beside = retrieval_ranks(points[:30], labels[:30], **index, exclude=torch.arange(30))
    assert torch.equal(beside.among_all, whole.among_all[:30])
    for exclude, given in ((torch.arange(120), {}), (torch.arange(120) + 1, index), (torch.arange(2), index)):
        with pytest.raises(InputError, match="exclude"):
            retrieval_ranks(points, labels, **given, exclude=exclude)
