"""The run-time check of annotations: it finds a misfit, and leaves the refusal of bad input to the function."""

import importlib
import pkgutil
import sys
from pathlib import Path

import pytest
import torch
from jaxtyping import TypeCheckError, install_import_hook

import metricgrad
from tests import annotations

MODULE = """
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

def refuses(x: Float[Tensor, "query item"], y: Float[Tensor, "query"]) -> Float[Tensor, "query"]:
    if x.ndim != 2:
        raise ValueError("in its own words")
    return x[:, 0] + y

def lies(x: Float[Tensor, "query item"]) -> Float[Tensor, "query"]:
    return x[0]

def scale(x: float, y: int = 1) -> float:
    return x * y

def plain(x: int, *more: str, name: str = "", **named: bool) -> int:
    return x

def wrong(x: int) -> int:
    return str(x)

def within():
    def wrong(x: int) -> int:
        return str(x)
    return wrong

@dataclass
class Record:
    count: int
"""


@pytest.fixture
def checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A module that is imported with the check that the tests of metricgrad run under."""
    (tmp_path / "checked_module.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    with install_import_hook("checked_module", "tests.annotations.held"):
        import checked_module
    yield checked_module
    del sys.modules["checked_module"]


def test_fitting_calls_pass(checked, generator):
    """A call that fits passes; an int is fine for a float."""
    x = torch.rand(3, 2, generator=generator)
    torch.testing.assert_close(checked.refuses(x, x[:, 1]), x.sum(1))
    assert checked.scale(2) == 2


def test_a_function_may_refuse_in_its_own_words(checked, generator):
    """Its own error comes through, not the checker's."""
    with pytest.raises(ValueError, match="in its own words"):
        checked.refuses(torch.rand(3, generator=generator), torch.rand(3, generator=generator))


def test_a_function_may_not_accept_a_misfit(checked, generator):
    """An axis of another length that broadcasts by accident, a wrong type, a wrong result: each is an error."""
    with pytest.raises(TypeCheckError):
        checked.refuses(torch.rand(3, 2, generator=generator), torch.rand(1, generator=generator))
    with pytest.raises(TypeCheckError):
        checked.scale("a", 2)
    with pytest.raises(TypeCheckError):
        checked.lies(torch.rand(3, 2, generator=generator))


def test_plain_types_are_checked_wherever_they_stand(checked):
    """By place, by keyword, in what a star takes, in the result, and in the fields of a dataclass."""
    assert checked.plain(1, "a", "b", name="c", other=True) == 1
    misfits = (
        lambda: checked.plain("1"),
        lambda: checked.plain(1, "a", 2),
        lambda: checked.plain(1, name=3),
        lambda: checked.plain(1, other="no"),
        lambda: checked.wrong(1),
        lambda: checked.within()(1),
        lambda: checked.Record("many"),
    )
    for misfit in misfits:
        with pytest.raises(TypeCheckError):
            misfit()


@pytest.mark.parametrize("test", ["one", "the next"])
def test_every_test_has_the_first_calls_checked(checked, test: str):
    """From then on they go unchecked, those of a function that is made anew by every call of another one, too."""
    for call in (checked.wrong, lambda x: checked.within()(x)):
        for _ in range(annotations.FIRST_CALLS):
            with pytest.raises(TypeCheckError):
                call(1)
        assert call(1) == "1"


def test_the_package_is_checked():
    """The modules of metricgrad themselves are under the check."""
    from metricgrad import _checks

    with pytest.raises(TypeCheckError, match="caller"):
        _checks.positive_number(3, "temperature", 0.1)  # pyright: ignore[reportArgumentType]


def test_nearly_everything_is_checked():
    """Only annotations of a kind that the checker does not know go unchecked, and none of them is public."""
    for module in pkgutil.walk_packages(metricgrad.__path__, "metricgrad."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    names = [name.rsplit(".", 1)[-1] for name in annotations.UNCHECKED]
    assert all(name.startswith("_") for name in names)
    assert len(names) <= 3
