"""Names of methods: read by one file and printed by it, so that reading and printing undo each other."""

import itertools

import pytest

from metricgrad.errors import InputError
from metricgrad.methods.grammar import MethodName, read_loss, read_method, read_methods

FAMILIES = ("surrogate", "learned", "x")
OBJECTIVES = ("", "recall_at_k", "my.package:loss", "a:b:c")
OPTIONS = ((), ("simix",), ("filter", "other_1"))
NAMES = [MethodName(*parts) for parts in itertools.product(FAMILIES, OBJECTIVES, OPTIONS)]


@pytest.mark.parametrize("name", NAMES, ids=str)
def test_round_trip(name: MethodName) -> None:
    """What is printed is read as the same name, with spaces around it, too; so is the loss within it."""
    assert read_method(str(name)) == read_method(f"  {name} ") == name
    assert str(read_method(str(name))) == str(name)
    assert read_loss(name.loss) == (name.objective, name.options)
    assert read_method(str(name.plain)) == MethodName(name.family, name.objective)


def test_several() -> None:
    """Commas part names, with or without spaces."""
    assert read_methods(",".join(map(str, NAMES))) == read_methods(" , ".join(map(str, NAMES))) == NAMES


@pytest.mark.parametrize("text", ["", " ", ":x", "a:", "a+", "a:+b", "a++b", "a,", ",a", "a,,b"])
def test_empty_parts(text: str) -> None:
    """An empty part names nothing."""
    with pytest.raises(InputError, match="empty parts"):
        read_methods(text)
