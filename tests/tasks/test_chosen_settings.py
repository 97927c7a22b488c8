"""The settings that tasks bring for learned surrogates are those that the tables of tries chose."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from metricgrad.tasks import boxes, words

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
