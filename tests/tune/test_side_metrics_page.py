"""docs/side-metrics.md runs as it stands and prints what it says."""

import contextlib
import importlib.util
import io
import re
from pathlib import Path

import pytest
import torch

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "side-metrics.md").read_text(encoding="utf-8")
NUMBER = re.compile(r"[+-]?\d+\.\d+")


@pytest.mark.slow
def test_the_page_runs_and_its_table_is_true(tmp_path: Path) -> None:
    """Both runs are a gain; the first returns the control, the second the tuned model; figures to 0.003."""
    path = tmp_path / "side_metrics_page.py"
    path.write_text("".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("side_metrics_page", path)
    assert spec is not None and spec.loader is not None
    module, printed = importlib.util.module_from_spec(spec), io.StringIO()
    with torch.random.fork_rng(devices=[]), contextlib.redirect_stdout(printed):
        spec.loader.exec_module(module)
    assert (module.held.verdict, module.held.returned) == ("gain", "continued")
    assert (module.accepted.verdict, module.accepted.returned) == ("gain", "tuned")
    (table,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    shown = printed.getvalue()
    lines = shown[shown.index("\naccuracy ") + 1 :].splitlines()[: len(table.splitlines())]
    for written, line in zip(table.splitlines(), lines, strict=True):
        assert NUMBER.sub("", written).split() == NUMBER.sub("", line).split()
        numbers, now = ([float(one) for one in NUMBER.findall(text)] for text in (written, line))
        assert now == pytest.approx(numbers, abs=0.003)


def test_the_page_is_listed() -> None:
    """The index of the documentation and the page on verdicts lead to it."""
    for name in ("index.md", "statistics.md"):
        assert "(side-metrics.md)" in (DOCS / name).read_text(encoding="utf-8")
