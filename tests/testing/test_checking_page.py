"""docs/checking-a-loss.md runs as it stands, and what it says of others is in its table."""

import contextlib
import csv
import io
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.checked_losses import OF_EMBEDDINGS, TORCH
from metricgrad.testing import check_loss
from metricgrad.testing.batch_laws import BATCH_LAWS
from metricgrad.testing.gradient_laws import GRADIENT_LAWS

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "checking-a-loss.md").read_text(encoding="utf-8")


def table() -> list[dict[str, str]]:
    """The rows that the benchmark wrote."""
    with (DOCS / "checked-losses.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_code_runs() -> None:
    """The boxes are one program, and the first prints what the page shows."""
    code, names = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL), dict[str, Any](__name__="page")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), torch.random.fork_rng(devices=[]):
        for box in code:
            exec(compile(box, "checking-a-loss.md", "exec"), names)  # noqa: S102 (the page's own code)
    assert printed.getvalue() == re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)[0]


def test_every_law_is_on_the_page() -> None:
    """By name."""
    named = set(re.findall(r"`(\w+)`", PAGE.split("| law | finds |")[1].split("Some losses")[0]))
    assert {law.name for law in (*GRADIENT_LAWS, *BATCH_LAWS)} <= named


def test_the_page_names_every_loss_that_breaks_a_law() -> None:
    """And counts those that break none."""
    rows, last = table(), PAGE.split("## What it says")[1]
    broken = {row["loss"] for row in rows if row["broken"]}
    assert {name.split(",")[0] for name in broken} <= set(re.findall(r"`(\w+)`", last))
    whole = {row["loss"] for row in rows} - broken
    assert f"{len(whole)} break none" in " ".join(last.split())
    assert {row["loss"] for row in rows} == {*TORCH, *OF_EMBEDDINGS}
    assert (len(TORCH), len(OF_EMBEDDINGS)) == (8, 20)


@pytest.mark.slow
@pytest.mark.parametrize("name", TORCH)
def test_the_table_is_what_comes(name: str) -> None:
    """For the losses of torch."""
    loss, settings = TORCH[name]
    broken = check_loss(loss, **settings, raises=False).broken
    assert broken == [row["broken"] for row in table() if row["loss"] == name and row["broken"]]


def test_the_page_is_listed() -> None:
    """The index of the documentation leads to it."""
    assert "(checking-a-loss.md)" in (DOCS / "index.md").read_text(encoding="utf-8")
