"""Read the oracle files and hold the library to their cases, whatever the cases are.

A file is a list of cases or `{"cases": [...]}`; a case has `operation` (or `kind`, or `structure`, or a name
`operation/variant`), `name`, `inputs`, `params`, `expected` and `tolerance`. An operation is a function
`(case) -> {expected key: value}`; every expected key of a case must be among the returned ones, and an operation
without function fails. The environment variable METRICGRAD_ORACLES names another folder with files of the same names.
"""

import builtins
import json
import math
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

Case = Mapping[str, Any]
Operation = Callable[[Case], Mapping[str, Any]]


class Within(NamedTuple):
    """A value that may differ from the expected one by its own stated bound instead of the case's tolerance."""

    value: Any
    bound: float


def folder() -> Path:
    """Return where the oracle files are."""
    return Path(os.environ.get("METRICGRAD_ORACLES") or Path(__file__).parents[1] / "data" / "oracles")


def cases(topic: str, not_built: Collection[str] = ()) -> list[Any]:
    """Return the cases of `<topic>.json` as parameters; operations not built yet are strict expected failures."""
    path = folder() / f"{topic}.json"
    if not path.exists():
        return []
    content = json.loads(path.read_text(encoding="utf-8"))
    rows = content if isinstance(content, list) else content["cases"]
    rows = [{"operation": _operation(row), **row} for row in rows]
    not_yet = pytest.mark.xfail(strict=True, reason="this operation is not built yet")
    return [
        pytest.param(
            row,
            id=f"{row['operation']}-{row['name']}",
            marks=[not_yet] if row["operation"] in not_built else [],
        )
        for row in rows
    ]


def _operation(row: Case) -> str:
    return row.get("kind") or row.get("structure") or row["name"].partition("/")[0]


def hold(case: Case, operations: Mapping[str, Operation]) -> None:
    """Run one case and compare everything that it expects."""
    if case["operation"] not in operations:
        pytest.fail(f"no operation {case['operation']!r}; known: {sorted(operations)}")
    operation, expected = operations[case["operation"]], case["expected"]
    if "raises" in expected:
        with pytest.raises(getattr(builtins, expected["raises"])):
            operation(case)
        return
    found = operation(case)
    for key, value in expected.items():
        if key not in found:
            pytest.fail(f"{case['operation']} gives no {key!r}, only {sorted(found)}")
        actual, bound = found[key], float(case.get("tolerance", 0))
        if isinstance(actual, Within):
            actual, bound = actual.value, actual.bound
        same(actual, value, bound, key)


def same(actual: Any, expected: Any, bound: float, where: str) -> None:
    """Assert equality of nested lists and mappings within a bound (absolute and relative); None is undefined."""
    if isinstance(actual, Tensor):
        actual = actual.tolist()
    if isinstance(expected, dict):
        assert isinstance(actual, dict), f"{where}: {actual!r} is no mapping"
        assert sorted(actual) == sorted(expected), f"{where}: {sorted(actual)}, {sorted(expected)} expected"
        for name, value in expected.items():
            same(actual[name], value, bound, f"{where}[{name!r}]")
    elif isinstance(expected, list):
        assert isinstance(actual, list), f"{where}: {actual!r} is no list"
        assert len(actual) == len(expected), f"{where}: {len(actual)} entries, {len(expected)} expected"
        for place, (one, other) in enumerate(zip(actual, expected, strict=True)):
            same(one, other, bound, f"{where}[{place}]")
    elif expected is None:
        assert actual is None or (isinstance(actual, float) and math.isnan(actual)), (
            f"{where}: {actual!r} is defined"
        )
    elif isinstance(expected, bool | str) or actual is None:
        assert actual == expected, f"{where}: {actual!r}, {expected!r} expected"
    else:
        torch.testing.assert_close(
            float(actual), float(expected), atol=bound, rtol=bound, msg=lambda text: f"{where}: {text}"
        )


def leaf(values: Any) -> Tensor:
    """Return nested lists as a float64 tensor that takes a gradient; an empty list is an empty matrix."""
    tensor = torch.tensor(values, dtype=torch.float64)
    return (tensor if tensor.numel() else tensor.reshape(0, 1)).requires_grad_()


def gradient(loss: Tensor, source: Tensor) -> Tensor:
    """Return d loss / d source."""
    return torch.autograd.grad(loss, source, retain_graph=True)[0]


def renamed(
    params: Mapping[str, Any], names: Mapping[str, str], ignored: Collection[str] = ()
) -> dict[str, Any]:
    """Return the parameters under our names; one that is neither named nor handled elsewhere fails."""
    for key in params:
        if key not in names and key not in ignored:
            pytest.fail(f"unknown parameter {key!r}; known: {sorted({*names, *ignored})}")
    return {names[key]: value for key, value in params.items() if key in names}
