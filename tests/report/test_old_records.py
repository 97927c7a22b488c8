"""Records that were written before arms had roles are read, and say what they said."""

import shutil
from pathlib import Path

import pytest

from metricgrad._record_file import read_record
from metricgrad.report import read_run, render, summary_text

RUNS = Path(__file__).parents[1] / "data" / "old_runs"


@pytest.mark.parametrize("name", ["digits", "words"])
def test_the_same_table_and_a_page(tmp_path: Path, name: str) -> None:
    """`table.txt` is what the version that wrote the record printed of it."""
    folder = RUNS / name
    run, _ = read_run(folder)
    assert not run.start.arms
    roles = {"start": "start", "continued": "control", "tuned": "contender"}
    assert {arm.name: arm.role for arm in run.cast} == roles and run.arms == list(roles)
    told = summary_text(list(read_record(folder / "record.jsonl")))
    assert told + "\n" == (folder / "table.txt").read_text(encoding="utf-8")
    shutil.copytree(folder, tmp_path / name)
    page = render(tmp_path / name).read_text(encoding="utf-8")
    for part in ("gain-plot", "select-plot", "loss-continued", "loss-tuned"):
        assert f'id="{part}"' in page
    assert ("The learned surrogate" in page) == (name == "words")
