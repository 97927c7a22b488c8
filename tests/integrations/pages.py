"""The pages of docs/integrations are programs: run one and look at what it leaves."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
import torch

PAGES = Path(__file__).parents[2] / "docs" / "integrations"


def run_page(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Run the Python of a page, its blocks one after the other, in a folder; returns the names that it leaves."""
    code = "".join(re.findall(r"```python\n(.*?)```", (PAGES / name).read_text(encoding="utf-8"), re.DOTALL))
    path = folder / f"{Path(name).stem.replace('-', '_')}_page.py"
    path.write_text(code, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.chdir(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        spec.loader.exec_module(module)
    return module
