"""The package root: a dozen names, imported when they are asked for, the same to people and to type checkers."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import metricgrad


def test_every_public_name_is_there() -> None:
    """Each name of `__all__` resolves, is listed by dir() and has a text of its own."""
    for name in metricgrad.__all__:
        value = getattr(metricgrad, name)
        assert name in dir(metricgrad)
        assert name == "__version__" or inspect.getdoc(value)
    assert len(metricgrad.__all__) <= 24
    assert metricgrad.__all__ == sorted(metricgrad.__all__)


def test_type_checkers_see_the_same_names() -> None:
    """Each name of `__all__` is imported as itself under TYPE_CHECKING."""
    tree = ast.parse(Path(inspect.getfile(metricgrad)).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {"__version__"}
    for node in block.body:
        if isinstance(node, ast.ImportFrom):
            assert all(item.name == item.asname for item in node.names)
            seen |= {item.name for item in node.names}
    assert seen == set(metricgrad.__all__)


def test_unknown_name_is_an_attribute_error() -> None:
    """A name that is not there fails as an attribute does."""
    with pytest.raises(AttributeError, match="no attribute 'tun'"):
        _ = metricgrad.tun


def test_import_costs_nothing() -> None:
    """`import metricgrad` loads neither torch nor any subpackage."""
    program = "import sys, metricgrad; print(sorted(n for n in sys.modules if n.startswith(('torch', 'metricgrad'))))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['metricgrad']"


def test_tune_is_a_package_and_is_called() -> None:
    """`metricgrad.tune` holds Plan and is called as the function, however it was imported first."""
    import metricgrad.tune as package
    from metricgrad.tune import tune as function

    assert isinstance(metricgrad.tune, ModuleType)
    assert metricgrad.tune is package is sys.modules["metricgrad.tune"]
    assert package.Plan is metricgrad.Plan
    assert inspect.signature(metricgrad.tune) == inspect.signature(function)  # pyright: ignore[reportArgumentType]
    with pytest.raises(metricgrad.MetricgradError, match="model is 3"):
        metricgrad.tune(3, None, metric="recall@1")  # pyright: ignore


def test_names_in_docstrings_exist() -> None:
    """A docstring that names a loss, a metric or a method names one that is there."""
    from metricgrad.methods.decodes import structure_of
    from metricgrad.methods.objectives import named_objective

    rooms = "losses|direct|metrics|learned|pairing|relax|scale"
    for path in sorted(Path(inspect.getfile(metricgrad)).parent.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        for room, name in re.findall(rf"`({rooms})\.([A-Za-z]\w+)[`(]", text):
            assert hasattr(importlib.import_module(f"metricgrad.{room}"), name), (path.name, room, name)
        for objective in re.findall(r"`direct:(\w+)`", text):
            structure_of(objective)
        for objective in re.findall(r"`surrogate:(\w+)`", text):
            named_objective(objective, {})


def test_report_is_handed_in() -> None:
    """A result that was made without the command line can draw its report and its summary."""
    from metricgrad.tune.result import Result

    assert Result.renderer is not None
    assert Result.summariser is not None
