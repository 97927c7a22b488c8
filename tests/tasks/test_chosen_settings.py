"""The settings that tasks bring are those that the tables of tries chose."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from metricgrad.tasks import boxes, emoji, words

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(
    ("task", "arm", "sign"),
    [(words, "FEDS", 1.0), (boxes, "LS", -1.0)],
    ids=["words", "boxes"],  # an edit distance is to be small, an overlap large
)
def test_settings_are_the_best_of_the_tries(task: ModuleType, arm: str, sign: float) -> None:
    """Method, settings and those of the control arm."""
    name = task.__name__.rpartition(".")[2]
    with (DOCS / f"learned-{name}-tries.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))

    def best(arms: set[str]) -> tuple[str, Mapping[str, Any]]:
        row = min((row for row in rows if row["arm"] in arms), key=lambda row: sign * float(row["select"]))
        return row["arm"], json.loads(row["settings"])

    assert best({"LS", "FEDS", "LS + proxy"}) == (arm, task.SETTINGS)
    assert best({"proxy"})[1] == task.PROXY_SETTINGS


def test_emoji_settings_are_the_best_of_the_tries() -> None:
    """Those of both arms, by the mean over the divisions; both had as many tries."""
    frozen = yaml.safe_load(Path(emoji.__file__).with_name("emoji_settings.yaml").read_text(encoding="utf-8"))
    with (DOCS / "emoji-tries.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    tries = {arm: [row for row in rows if row["arm"] == arm] for arm in ("continued", "tuned")}
    assert len(tries["continued"]) == len(tries["tuned"]) > 1
    for (arm, rows), key in zip(tries.items(), ("proxy_settings", "settings"), strict=True):
        best = max(rows, key=lambda row: float(row["mean"]))
        assert json.loads(best["settings"]) == frozen[key]
        assert arm == "continued" or best["method"] == frozen["method"]
