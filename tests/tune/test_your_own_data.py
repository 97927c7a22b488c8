"""docs/your-own-data.md is a program."""

import importlib.util
import re
from pathlib import Path

import pytest
import torch

from metricgrad.tune import Result

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.slow
def test_the_page_runs(tmp_path: Path, capsys) -> None:
    """Its blocks, one after the other, end with a run that kept the loss that was trained."""
    page = (DOCS / "your-own-data.md").read_text(encoding="utf-8")
    path = tmp_path / "your_own_data.py"
    path.write_text("".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL)), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("your_own_data", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with torch.random.fork_rng(devices=[]):
        spec.loader.exec_module(module)
    assert isinstance(module.result, Result)
    assert list(module.result.folder.glob("arms/*start*-loss.safetensors"))
    assert "accuracy" in capsys.readouterr().out


def test_the_page_is_listed() -> None:
    """The index of the documentation leads to it."""
    assert "(your-own-data.md)" in (DOCS / "index.md").read_text(encoding="utf-8")
