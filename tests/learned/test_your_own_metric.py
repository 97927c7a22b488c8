"""docs/your-own-metric.md is a program that does what the page says."""

import importlib.util
import math
import random
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("your_own_metric")]  # the page trains a model

PAGE = (Path(__file__).parents[2] / "docs" / "your-own-metric.md").read_text(encoding="utf-8")
FIRST, SECOND = PAGE.split("## Another kind of output")
TIME = re.compile(r" +(?:trained for|\d+(?:\.\d+)? (?:s|min|h)\b.*)$", re.MULTILINE)
NUMBER = re.compile(r"(?<![\w-])[+-]?\d+(?:,\d{3})*(?:\.\d+)?")


def boxes(text: str, language: str = "python") -> list[str]:
    """The fenced boxes of a language."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The boxes as one module, run as it stands on the page."""
    path = tmp_path_factory.mktemp("page") / "your_own_metric.py"
    path.write_text("".join(boxes(PAGE)), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("your_own_metric", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    state = random.getstate()
    with torch.random.fork_rng(devices=[]):
        spec.loader.exec_module(module)
    random.setstate(state)
    yield module


def fitted(result: Any) -> list[dict[str, float | None]]:
    """The trust numbers of a run, by evaluation."""
    return [event["values"] for event in result.events if event["event"] == "fitted"]


def select_values(result: Any) -> dict[str, float]:
    """The chosen select value of every arm."""
    (chosen,) = [event for event in result.events if event["event"] == "chosen"]
    return chosen["select"]["0"]


def test_the_program_is_short() -> None:
    """Under 40 lines for the metric, the model and the run; a kind of output and its run in 30."""
    first, second = (
        [line for line in "".join(boxes(part)).splitlines() if line.strip()] for part in (FIRST, SECOND)
    )
    assert 20 < len(first) < 40
    assert 10 < len(second) <= 30
    assert all(len(line) <= 120 for line in PAGE.splitlines() if not line.startswith("|"))


def test_the_metric_is_a_distance_of_keys(program: ModuleType) -> None:
    """By hand; and 0 at equality, >= 0, symmetric, at most the longer length."""
    distance = program.keyboard_distance
    assert distance("tea", "tea") == distance("", "") == 0
    assert distance("", "tea") == distance("tea", "") == 3
    assert distance("q", "p") == 1
    assert math.isclose(distance("tra", "tea"), 1 / 9)  # r lies beside e
    assert math.isclose(
        distance("g", "t"), abs(complex(0.5, 1) - 0) / 9
    )  # g: half a key right of t, a row below
    assert math.isclose(distance("tear", "ter"), 1)
    rng = random.Random(0)
    for _ in range(200):
        one, other = ("".join(rng.choices(list(program.KEYS), k=rng.randint(0, 5))) for _ in range(2))
        there, back = distance(one, other), distance(other, one)
        assert math.isclose(there, back) and (there > 0) == (one != other)
        assert abs(len(one) - len(other)) <= there <= max(len(one), len(other))


def test_the_run_gains_what_the_page_says(program: ModuleType) -> None:
    """On select clearly better than both other arms; figures as on the page, times apart, as machines vary."""
    values = select_values(program.result)
    assert values["tuned"] < min(values["start"], values["continued"]) - 0.05
    (box,) = boxes(FIRST, "text")
    shown, printed = (" ".join(TIME.sub("", text).split()) for text in (box, program.result.summary()))
    pattern = "#".join(NUMBER.split(shown))
    assert "#".join(NUMBER.split(printed)).startswith(pattern)
    figures = [float(one.replace(",", "")) for one in NUMBER.findall(shown)]
    found = [float(one.replace(",", "")) for one in NUMBER.findall(printed)]
    assert len(figures) >= 20
    for figure, value in zip(figures, found, strict=False):
        assert abs(figure - value) < 0.08, (figure, value)


def test_the_trust_numbers_are_those_of_the_page(program: ModuleType) -> None:
    """The table of the page, and what it is said to mean."""
    reports = fitted(program.result)
    rows = {
        cells[1].strip(): [float(one) for one in NUMBER.findall(cells[3])]
        for cells in (line.split("|") for line in FIRST.splitlines() if line.startswith("| "))
    }
    first, second, last = reports[0], reports[1], reports[-1]
    said = {
        "concordance": [first["concordance"], last["concordance"]],
        "mean absolute error": [last["mae_local"], last["mae_of_mean"]],
        "bias on the best tenth": [last["best_decile_bias"]],
    }
    for name, values in said.items():
        torch.testing.assert_close(rows[name], values, atol=0.08, rtol=0)
    share, changed, step, *_ = rows["sign agreement"]
    assert step == 20 and abs(share - (second["sign_agreement"] or 0)) < 0.15
    assert (second["changed_pairs"] or 0) > 0.5 * changed
    for report in reports:
        assert report["concordance"] is not None and report["concordance"] >= 0.6
        assert report["mae_local"] is not None and report["mae_of_mean"] is not None
        assert report["mae_local"] < report["mae_of_mean"]
        assert report["dropped_samples"] == 0


def test_what_is_said_at_a_smudge(program: ModuleType) -> None:
    """The start model ends the word at more of the places that show nothing than the tuned one."""
    smudges = 0.5 * torch.randn(2000, 1, 8, generator=torch.Generator().manual_seed(0))
    ends = {}
    for arm in ("start", "tuned"):
        from safetensors.torch import load_file

        (path,) = program.result.folder.glob(f"arms/seed0-{arm}-*.safetensors")
        program.model.load_state_dict(load_file(path))
        reading = program.mg.learned.words(program.LETTERS, 1).decode(program.model(smudges))
        ends[arm] = sum(text == "" for text in reading) / len(reading)
    assert 0.4 < ends["start"] < 0.6 and 0.1 < ends["tuned"] < 0.35


def test_another_kind_of_output(program: ModuleType) -> None:
    """Its decode and metric by hand; its run trusts the estimate and keeps the model working."""
    angles = torch.tensor([[1.0, 0.01], [0.0, 2.0], [-3.0, 0.0], [1.0, -0.01]])
    assert program.compass_point(angles).tolist() == [0, 4, 8, 0]
    assert [program.points_between(*pair) for pair in ((0, 15), (15, 0), (3, 11), (4, 4), (0, 7))] == [
        1, 1, 8, 0, 7,
    ]  # fmt: skip
    report = fitted(program.directions)[0]
    assert (report["concordance"] or 0) > 0.7 and (report["concordance_generated"] or 0) > 0.7
    values = select_values(program.directions)
    assert values["tuned"] < 0.7 and values["tuned"] < values["start"] + 0.05
    notes = [event["text"] for event in program.directions.events if event["event"] == "note"]
    assert not any("does not agree" in text for text in notes)


def test_the_page_is_listed() -> None:
    """The index of the documentation leads to it."""
    index = (Path(__file__).parents[2] / "docs" / "index.md").read_text(encoding="utf-8")
    assert "(your-own-metric.md)" in index
