"""What a run leaves to its caller: a summary whose places exist, a copy with a report, progress that adds up."""

import gc
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import metricgrad as mg
from metricgrad.errors import CheckpointError, InputError, RunFolderError
from metricgrad.tune import Result
from tests.report import synthetic_runs
from tests.tune.small_run import small_model, small_run, small_splits
from tests.tune.test_learned_road import run as learned_run


def one_seed(folder: Path | None = None, **changes: Any) -> Result:
    """The small run with one seed and one try."""
    plan = mg.Plan(steps=4, evaluate_every=4)
    return small_run(folder, **{"seed": 0, "plan": plan, "start_plan": None, **changes})


def places(text: str) -> list[Path]:
    """The paths that a text names."""
    return [Path(found) for found in re.findall(r"(?<!\S)/\S+", text)]


@pytest.mark.slow
def test_every_place_that_a_summary_names_is_there(tmp_path: Path) -> None:
    """Weights of a run without a folder go with its result, so no place is named; a folder's are named and stay."""
    loose = one_seed()
    assert places(loose.summary()) == [] and "save(" in loose.summary()
    kept = one_seed(tmp_path / "run")
    text = kept.summary()
    del kept
    gc.collect()
    assert places(text) == [tmp_path / "run" / "best.safetensors"] and places(text)[0].is_file()


@pytest.mark.parametrize("name", ["mine", "deep/er/one", "with space"])
def test_a_saved_result_has_its_report(tmp_path: Path, name: str) -> None:
    """The copy is whole: weights, record, report; what was temporary is gone at once."""
    result = one_seed()
    before = result.folder
    folder = result.save(tmp_path / name)
    assert not before.exists()
    assert {"best.safetensors", "record.jsonl", "report.html"} <= {path.name for path in folder.iterdir()}
    assert str(folder / "report.html") in result.summary()
    assert Result.load(folder).verdict == result.verdict


@pytest.mark.parametrize("give", ["network", "function", "compiled"])
def test_load_gives_the_network(tmp_path: Path, give: str) -> None:
    """The network of a loaded result has the returned weights; what was given is as it was."""
    result = one_seed(tmp_path / "run")
    given = small_model()
    before = {name: value.clone() for name, value in given.state_dict().items()}
    model: Any = {
        "network": given,
        "function": small_model,
        "compiled": torch.compile(given, backend="eager"),
    }
    loaded = Result.load(tmp_path / "run", model=model[give])
    assert loaded.model is not None and result.model is not None
    inputs = torch.randn(5, 12)
    torch.testing.assert_close(loaded.model.eval()(inputs), result.model.eval()(inputs), rtol=0, atol=0)
    torch.testing.assert_close(given.state_dict(), before, rtol=0, atol=0)


def test_load_says_what_does_not_fit(tmp_path: Path) -> None:
    """Another network, an unfinished run, no run at all: one sentence each."""
    one_seed(tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"0\.weight"):
        Result.load(tmp_path / "run", model=nn.Sequential(nn.Linear(3, 2)))
    record = tmp_path / "run" / "record.jsonl"
    lines = record.read_text().splitlines(keepends=True)
    record.write_text("".join(line for line in lines if '"finished"' not in line))
    with pytest.raises(InputError, match="not finished"):
        Result.load(tmp_path / "run", model=small_model)
    with pytest.raises(InputError, match=r"no record\.jsonl"):
        Result.load(tmp_path, model=small_model)


@pytest.mark.parametrize(
    ("changes", "of"),
    [
        ({"seed": (0, 1), "plan": mg.Plan(steps=4, evaluate_every=4, tries=2)}, 8),
        ({"start_plan": mg.Plan(steps=4, evaluate_every=4)}, 3),
        ({"proxy": None, "start_plan": None}, 1),
    ],
)
def test_stages_are_counted_and_what_is_left(changes: Mapping[str, Any], of: int) -> None:
    """Only stages that train are counted; each says how many steps may come after it, the last one none."""
    seen: list[Mapping[str, Any]] = []
    one_seed(observer=seen.append, **changes)
    budget = next(event for event in seen if event["event"] == "budget")
    steps = [event for event in seen if event["event"] == "progress" and event["unit"] == "step"]
    assert budget["stages"] == of and {event["stages"] for event in steps} == {of}
    assert sorted({event["stage"] for event in steps}) == list(range(1, of + 1))
    left = [event["total"] - event["done"] + event["later"] for event in steps]
    assert left[0] == 4 * of - 1 and left[-1] == 0 and left == sorted(left, reverse=True)


def test_a_resumed_run_goes_on_counting(tmp_path: Path) -> None:
    """The numbers of the stages are those of the uninterrupted run."""

    class Enough(Exception):
        """Raised by the observer."""

    def stop(event: Mapping[str, Any]) -> None:
        if event["event"] == "stage_finished" and event["arm"] == "continued":
            raise Enough

    with pytest.raises(Enough):
        one_seed(tmp_path / "run", observer=stop)
    seen: list[Mapping[str, Any]] = []
    one_seed(tmp_path / "run", observer=seen.append)
    trained = [event for event in seen if event["event"] == "progress" and event["stages"]]
    assert trained[-1]["stage"] == 2


@pytest.mark.slow
def test_the_warm_up_of_a_learned_surrogate_is_shown() -> None:
    """Every surrogate step before the first model step is told, up to the last one."""
    seen: list[Mapping[str, Any]] = []
    learned_run(observer=seen.append)
    warm = [event for event in seen if event["event"] == "progress" and "learns the metric" in event["what"]]
    assert [event["done"] for event in warm] == list(range(1, 151)) and warm[0]["total"] == 150


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"proxy": None},
        {"metric": "map", "seed": (0, 1)},
        {"splits": mg.Splits(small_splits().fit, small_splits().select)},
    ],
)
def test_training_that_changed_nothing_says_so(changes: Mapping[str, Any]) -> None:
    """A learning rate that is far too small is named, for each arm that it left as it was."""
    rate = {"learning_rate": 1e-15}
    plan = mg.Plan(steps=2, evaluate_every=2)
    model = nn.Sequential(nn.Linear(12, 8))
    verdict = one_seed(model=model, plan=plan, settings=rate, proxy_settings=rate, **changes).event("verdict")
    assert verdict is not None
    told = [mark for mark in verdict["marks"] if "no prediction changed" in mark and "1e-15" in mark]
    assert [mark.split(":")[0] for mark in told] == (
        ["tuned"] if "proxy" in changes else ["continued", "tuned"]
    )


def test_training_that_changed_something_does_not() -> None:
    """A run whose figures move has no such mark."""
    verdict = one_seed(settings={"learning_rate": 0.05}, proxy_settings={"learning_rate": 0.05}).event(
        "verdict"
    )
    assert verdict is not None and not any("no prediction changed" in mark for mark in verdict["marks"])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"event": "verdict"}, "wrong at verdict"),
        ({"event": "finished", "returned": "tuned", "weights": "w"}, "wrong at seconds"),
        ({"event": "chosen", "select": {}, "attempts": {}, "returned": {}, "best_seed": "x"}, "best_seed"),
        (
            {"event": "chosen", "select": {}, "attempts": {}, "returned": {}, "best_seed": float("inf")},
            "best_seed",
        ),
        ({"event": "tested", "seed": 0, "arm": ["tuned"], "value": 1, "units": 3}, "wrong at arm"),
        ({"event": "note", "text": None}, "wrong at text"),
    ],
)
def test_a_record_whose_fields_are_wrong(tmp_path: Path, line: dict[str, Any], said: str) -> None:
    """It is refused when it is read, with the line, not when its verdict or its network is asked for."""
    synthetic_runs.write(tmp_path, synthetic_runs.finished())
    count = len(Result.load(tmp_path).events)
    with (tmp_path / "record.jsonl").open("a", encoding="utf-8") as record:
        record.write(
            json.dumps({"event": "of a later version", "verdict": 5}) + "\n" + json.dumps(line) + "\n"
        )
    with pytest.raises(InputError, match=rf"line {count + 2} \({line['event']}\).*{said}"):
        Result.load(tmp_path)


@pytest.mark.parametrize("name", ["a" * 300, "a\0b", "file", "dangling"])
def test_places_where_no_result_can_be_saved(tmp_path: Path, name: str) -> None:
    """One sentence, and the result stays where it is."""
    synthetic_runs.write(tmp_path / "run", synthetic_runs.finished())
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    result = Result.load(tmp_path / "run")
    with pytest.raises(RunFolderError, match=r"Result\.save: "):
        result.save(tmp_path / name)
    assert result.folder == tmp_path / "run"


def test_a_folder_with_a_null_character() -> None:
    """It is no path, and nothing is trained first."""
    with pytest.raises(InputError, match="expected a path"):
        one_seed(Path("a\0b"))
