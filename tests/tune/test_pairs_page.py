"""docs/pairs.md is a program."""

import importlib.util
import re
from pathlib import Path

import pytest
import torch

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.slow
def test_the_page_runs(tmp_path: Path, capsys) -> None:
    """Its blocks, one after the other: the figures that it names are those of the run."""
    pytest.importorskip("sklearn")
    page = (DOCS / "pairs.md").read_text(encoding="utf-8")
    path = tmp_path / "pairs_page.py"
    path.write_text("".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL)), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("pairs_page", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with torch.random.fork_rng(devices=[]):
        spec.loader.exec_module(module)
    assert module.result.verdict == "no evidence"
    assert module.result.returned == "closed-form" and module.result.projection.name == "CCA"
    assert "over 497 queries" in capsys.readouterr().out
    assert module.vectors.shape == (1797, 32)
    assert module.loss.isfinite()


def test_the_page_is_listed() -> None:
    """The index of the documentation leads to it."""
    assert "(pairs.md)" in (DOCS / "index.md").read_text(encoding="utf-8")
