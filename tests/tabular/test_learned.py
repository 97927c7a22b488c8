"""The whole run over a small table: who competes, what is chosen, what is left, and going on after a stop."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from metricgrad.errors import InputError
from metricgrad.metrics import adapt
from metricgrad.tabular import load_table_model
from metricgrad.tabular.choosing import chosen_of, offers_of
from metricgrad.tabular.job import MODELS, Budget
from metricgrad.tabular.models import Models
from metricgrad.tabular.prepared import Question, prepared
from metricgrad.tabular.training import ARMS, WEIGHTED, loss_of
from tests.tabular.small_tables import NAMES, learned, one_run, table

pytest.importorskip("sklearn")


@pytest.mark.slow
def test_the_leaderboard() -> None:
    """Controls and candidates; one line is used; pool values are those of the choice; the record is plain JSON."""
    found = one_run()
    names = [line.name for line in found.judged.lines]
    assert names[:2] == ["network, argmax", "network + rule"]
    assert {"boosted trees, argmax", "boosted trees + rule"} <= set(names)
    assert [line.name for line in found.judged.lines if line.used] == [found.chosen.used.name]
    record = json.loads((found.folder / "result.json").read_text(encoding="utf-8"))
    assert record["used"]["name"] == found.chosen.used.name
    assert record["parts"]["fit"] + record["parts"]["select"] + record["parts"]["test"] == 700
    with (found.folder / "leaderboard.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == names


def test_the_saved_model_decides_as_it_was_judged() -> None:
    """From its folder alone, and from cells: the metric of the test rows is that of the leaderboard."""
    found = one_run()
    model, cells = load_table_model(found.folder), table()
    decided = model.decide(model.probabilities({name: one for name, one in cells.items() if name != "y"}))
    test = found.job.parts.test
    metric = adapt("f1")
    numbers = torch.tensor([NAMES.index(decided[row]) for row in test])
    value = metric.summarise(metric.measure(numbers, torch.from_numpy(found.job.y[test])))
    (line,) = [line for line in found.judged.lines if line.used]
    assert float(value) == pytest.approx(line.test)


def test_predictions_of_the_pool_are_out_of_fold(tmp_path: Path) -> None:
    """Who predicts a row did not learn from it; every row of the pool is asked once."""
    job = one_run().job
    asked = np.concatenate([job.asked(model) for model in MODELS])
    assert np.array_equal(np.sort(asked), np.sort(job.pool))
    assert not set(job.pool.tolist()) & set(job.parts.test.tolist())
    assert all(not set(job.asked(model)) & set(job.learning(model)) for model in MODELS)


@pytest.mark.slow
def test_what_is_kept_is_not_trained_again(tmp_path: Path) -> None:
    """Only the model that is missing is made; the result is that of one run."""
    first = one_run()
    folder = tmp_path / "again"
    shutil.copytree(first.folder, folder)
    (folder / "parts" / "start-fold1.safetensors").unlink()
    before = {path.name: path.stat().st_mtime_ns for path in (folder / "parts").iterdir()}
    again = learned(folder=folder)
    after = {path.name: path.stat().st_mtime_ns for path in (folder / "parts").iterdir()}
    assert before.items() <= after.items() and "start-fold1.safetensors" in after
    trees = [[line for line in one.judged.lines if line.name.startswith("boosted")] for one in (first, again)]
    assert [line.test for line in trees[0]] == [line.test for line in trees[1]]


@pytest.mark.slow
def test_every_arm_takes_part_where_there_is_time(tmp_path: Path) -> None:
    """Trained on, balanced, the metric's own loss with and without a rule; the gate keeps the start or says why not."""
    found = learned(minutes=0.7, folder=tmp_path)
    names = {line.name for line in found.judged.lines}
    assert {
        "network, trained on + rule",
        "class weights, argmax",
        "class weights + rule",
        "balanced softmax, argmax",
        "balanced softmax + rule",
        "soft metric, argmax",
        "soft metric + rule",
    } <= names
    models = Models(found.job, tmp_path / "parts")
    offers = offers_of(models, ["start", "trees", *ARMS])
    chosen = chosen_of(found.job, offers, 200)
    assert chosen.used.name == found.chosen.used.name
    controls = {"network, argmax", "network + rule", "class weights + rule", "boosted trees + rule"}
    assert {gain.over for gain in found.judged.gains} == controls - {chosen.used.name}
    assert chosen.network.name == "network + rule" or (chosen.low is not None and chosen.low > 0)


def test_class_weights_are_inverse_frequencies() -> None:
    """In the training rows every class has the same sum of weights; a class without rows has none."""
    targets = torch.tensor([0] * 6 + [1] * 2 + [3])
    logits = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
    found = loss_of(WEIGHTED, adapt("macro_f1"), targets.bincount(minlength=4))(logits, targets)
    weight = torch.tensor([9 / (3 * 6), 9 / (3 * 2), 0, 9 / 3])
    wanted = torch.nn.functional.cross_entropy(logits, targets, weight=weight, reduction="none")
    torch.testing.assert_close(found, wanted)


def test_the_budget_is_shared_out() -> None:
    """What a job leaves goes to the others; nothing is left behind the end."""
    budget = Budget(100.0, [1.0, 1.0, 2.0])
    assert budget.take() == pytest.approx(25, abs=0.1)
    assert budget.take() == pytest.approx(100 / 3, abs=0.1)
    budget.began -= 200
    assert budget.remaining == 0 and Budget(0.0, [1.0, 1.0]).take() == 0


def test_groups_times_and_weights() -> None:
    """Columns with another use are not learned from; what they hold is checked."""
    cells = table()

    def job_of(**more: str):
        return prepared(cells, Question(adapt("f1"), "y", cells["y"], NAMES, "yes", **more), tabm=False)

    assert "group" in [column.name for column in job_of().encoder.schema.columns]
    by_group = job_of(groups="group")
    assert "group" not in [column.name for column in by_group.encoder.schema.columns]
    groups = np.array(cells["group"])
    parts = by_group.parts
    assert not set(groups[parts.test]) & set(groups[parts.training])
    by_time = job_of(time="day")
    days = np.array(cells["day"])
    assert max(days[by_time.parts.training]) < min(days[by_time.parts.test])
    cells["w"] = ["2", "0.5"] * 350
    weight = job_of(weight="w").weight
    assert weight is not None and weight[:2].tolist() == [1.6, 0.4]
    for option, column, words in (
        ("weight", "z", "--sample-weight z has '-"),
        ("weight", "colour", "--sample-weight colour has"),
        ("time", "colour", "--time colour has"),
        ("groups", "nothing", "no column 'nothing'"),
    ):
        with pytest.raises(InputError, match=words):
            job_of(**{option: column})


@pytest.mark.parametrize("trees_win", [True, False])
def test_select_decides_between_network_and_trees(trees_win: bool) -> None:
    """Whatever the pool says: the fold models have less time and fewer rows than the models that would be used."""
    job = one_run().job
    offers = offers_of(Models(job, one_run().folder / "parts"), ["start", "trees"])
    first, truth = len(job.parts.fit), torch.from_numpy(job.y[job.pool])
    changed = []
    for offer in offers:
        decisions = truth.clone()
        wrong = slice(0, first) if offer.trees == trees_win else slice(first, None)
        decisions[wrong] = 1 - decisions[wrong]
        value = float(job.metric.summarise(job.metric.measure(decisions, truth)))
        changed.append(replace(offer, fitted=replace(offer.fitted, decisions=decisions), value=value))
    assert chosen_of(job, changed, 100).used.trees is trees_win
