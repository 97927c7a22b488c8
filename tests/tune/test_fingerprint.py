"""A fingerprint: other for other code and values, the same in every process, and for what counts its own calls."""

import collections
import contextlib
import dataclasses
import functools
import io
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from metricgrad.metrics import adapt
from metricgrad.tune.fingerprint import fingerprint

WEIGHTS = {"cat": 1.0, "dog": 2.0}
CALLS = 0


def weighted(outputs: Any, _targets: Any) -> float:
    """A metric that reads a global."""
    return float(outputs.mean()) * WEIGHTS["cat"]


def counting(_outputs: Any, _targets: Any) -> float:
    """A metric that counts in a global."""
    global CALLS
    CALLS += 1
    return 1.0


@dataclasses.dataclass
class Beta:
    """A metric object with a setting and a counter."""

    beta: float
    calls: int = 0

    def __call__(self, _outputs: Any, _targets: Any) -> float:
        """Count and answer."""
        self.calls += 1
        return self.beta


class Stretched(nn.Linear):
    """A layer with a setting that is no weight."""

    def __init__(self, by: float) -> None:
        super().__init__(2, 2)
        self.by = by

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Stretch."""
        return super().forward(rows) * self.by


def closing_over(value: Any) -> Callable[[Any, Any], float]:
    """A function with a value in its closure."""
    return lambda _outputs, _targets: float(value[0])


def same(first: Any, second: Any) -> bool:
    """Whether two values have one fingerprint."""
    return fingerprint(first) == fingerprint(second)


def layer(by: float, bias: float = 0.0, *, frozen: bool = False) -> nn.Module:
    """A layer with known weights."""
    made = Stretched(by)
    with torch.no_grad():
        made.weight.fill_(1.0)
        made.bias.fill_(bias)
    made.weight.requires_grad_(not frozen)
    return made


def with_default(value: float = 1.0) -> float:
    """A function with a default."""
    return value


OTHER = {
    "closure": lambda: (closing_over([1]), closing_over([2])),
    "nested closure": lambda: (closing_over([{"a": (1, 2)}]), closing_over([{"a": (1, 3)}])),
    "constant": lambda: (lambda o, t: 1.0, lambda o, t: 2.0),
    "attribute name": lambda: (lambda o, t: o.sum(), lambda o, t: o.mean()),
    "partial": lambda: (functools.partial(with_default, value=1), functools.partial(with_default, value=2)),
    "object": lambda: (Beta(1.0), Beta(2.0)),
    "bound method": lambda: (Beta(1.0).__call__, Beta(2.0).__call__),
    "array": lambda: (closing_over(np.zeros(3)), closing_over(np.array([0.0, 0.0, 1e-300]))),
    "object array": lambda: (np.array([1, "a"], object), np.array([1, "b"], object)),
    "function behind functools.cache": lambda: (
        functools.cache(lambda o, t: 1.0),
        functools.cache(lambda o, t: 2.0),
    ),
    "weights": lambda: (layer(1.0), layer(1.0, bias=1e-30)),
    "what is trained": lambda: (layer(1.0), layer(1.0, frozen=True)),
    "a module's setting": lambda: (layer(1.0), layer(2.0)),
    "precision": lambda: (layer(1.0), layer(1.0).double()),
    "hook": lambda: (layer(1.0), hooked(layer(1.0))),
    "library function": lambda: (nn.functional.cross_entropy, nn.functional.nll_loss),
    "record": lambda: (adapt("f_beta:beta=2"), adapt("f_beta:beta=3")),
    "direction": lambda: (adapt(weighted, higher_is_better=True), adapt(weighted, higher_is_better=False)),
}


def defined(text: str) -> Any:
    """What a text of a notebook defines as `metric`."""
    names = {"__name__": "__main__", "functools": functools, "nn": nn, "np": np}
    exec(compile(text, "cell", "exec"), names)  # noqa: S102
    return names["metric"]


OTHER_CODE = {
    "default": ("def metric(o, t, k=1): return k", "def metric(o, t, k=2): return k"),
    "keyword": ("def metric(o, t): return o.sum(dim=1)", "def metric(o, t): return o.sum(axis=1)"),
    "comparison": ("def metric(o, t): return o > t", "def metric(o, t): return o >= t"),
    "sets of texts": ("def metric(o, t): return t in {'a', 'b'}", "def metric(o, t): return t in {'a', 'c'}"),
    "function within": (
        "def metric(o, t):\n  def inner(x=1): return x\n  return inner()",
        "def metric(o, t):\n  def inner(x=2): return x\n  return inner()",
    ),
    "global in a comprehension": (
        "k = 1\ndef metric(o, t): return [k for _ in o]", "k = 2\ndef metric(o, t): return [k for _ in o]"
    ),
    "array": (
        "k = np.zeros(2)\ndef metric(o, t): return k", "k = np.ones(2)\ndef metric(o, t): return k"
    ),
    "mask of an array": (
        "k = np.ma.array([1, 2], mask=[0, 1])\ndef metric(o, t): return k",
        "k = np.ma.array([1, 2], mask=[1, 0])\ndef metric(o, t): return k",
    ),
    "class attribute": (
        "class M:\n  k = 1\n  def __call__(self, o, t): return self.k\nmetric = M()",
        "class M:\n  k = 2\n  def __call__(self, o, t): return self.k\nmetric = M()",
    ),
    "method of a base": (
        "class B:\n  def k(self): return 1\nclass M(B):\n  def __call__(self, o, t): return self.k()\nmetric = M()",
        "class B:\n  def k(self): return 2\nclass M(B):\n  def __call__(self, o, t): return self.k()\nmetric = M()",
    ),
    "metaclass": (
        "class T(type):\n  def __call__(cls): return 1\nclass C(metaclass=T): pass\ndef metric(o, t): return C()",
        "class T(type):\n  def __call__(cls): return 2\nclass C(metaclass=T): pass\ndef metric(o, t): return C()",
    ),
    "replaced method": ("metric = nn.ReLU()", "metric = nn.ReLU()\nmetric.forward = lambda rows: rows"),
    "order of layers": (
        "metric = nn.Sequential(nn.ReLU(), nn.Tanh())", "metric = nn.Sequential(nn.Tanh(), nn.ReLU())"
    ),
    "one or two stars": ("def metric(o, *t): return 1", "def metric(o, **t): return 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHER_CODE)
def test_other_code_is_another_metric(name: str) -> None:
    """And the same text, read again, is the same one."""
    first, second = OTHER_CODE[name]
    assert fingerprint(defined(first)) == fingerprint(defined(first))
    assert fingerprint(defined(first)) != fingerprint(defined(second))


@pytest.mark.parametrize(
    ("plain", "told"),
    [
        (
            "def metric(o, t): return o.sum(dim=1)",
            "\n# why\ndef metric(o, t):\n  'Sum.'\n  return o.sum(dim=1)",
        ),
        (
            "def metric(o, t):\n  def inner(): return 1\n  return inner()",
            "def metric(o: int, t: int):\n  'One.'\n  def inner():\n    'One.'\n    return 1\n\n  return inner()",
        ),
        (
            "class M(nn.Module):\n  'A.'\n  def forward(self, o): return o\nmetric = M()",
            "class M(nn.Module):\n  'B.'\n  def forward(self, o):\n    'C.'\n    return o\nmetric = M()",
        ),
    ],
)
def test_comments_lines_and_docstrings_are_no_difference(plain: str, told: str) -> None:
    """They compute nothing."""
    assert fingerprint(defined(plain)) == fingerprint(defined(told))


def test_modules_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is put in the place of a function, constants, and modules that are imported only when the metric runs."""
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("own_helpers", "own_late"):
        (tmp_path / f"{name}.py").write_text("K = 1\ndef rows(o): return o + K\n")
    metric = defined("import own_helpers\ndef metric(o, t): return own_helpers.rows(o)")
    late = defined("def metric(o, t):\n  import own_late\n  return own_late.rows(o)")
    before, of_late = fingerprint(metric), fingerprint(late)
    late(1, 1)
    (tmp_path / "own_helpers.py").write_text(
        "'Helpers.'\n# of mine\nK = 1\ndef rows(o):\n  'Add.'\n  return o + K\n"
    )
    assert (fingerprint(metric), fingerprint(late)) == (before, of_late)
    (tmp_path / "own_late.py").write_text("K = 2\ndef rows(o): return o + K\n")
    assert fingerprint(late) != of_late
    helpers: Any = metric.__globals__["own_helpers"]
    for name, value in (("K", 2), ("rows", lambda o: o)):
        with monkeypatch.context() as patch:
            patch.setattr(helpers, name, value)
            assert fingerprint(metric) != before
    assert fingerprint(metric) == before


def test_a_function_put_in_the_place_of_a_library_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the names of modules by which it is called."""
    metric = defined("def metric(o, t): return nn.functional.relu(o)")
    before = fingerprint(metric)
    monkeypatch.setattr(nn.functional, "relu", lambda rows: rows)
    assert fingerprint(metric) != before


def test_what_a_process_makes_for_itself_is_no_difference() -> None:
    """Generators, locks, streams and bars: with other states, and on other threads."""

    def made() -> Any:
        with contextlib.suppress(ImportError):
            from tqdm import tqdm

            bar = tqdm(total=3, file=io.StringIO())
            return lambda o, t: bar.update()
        return io.StringIO()

    drawing = random.Random()
    first, second = [drawing, np.random.default_rng()], [random.Random(), np.random.default_rng()]
    assert fingerprint(closing_over(first)) == fingerprint(closing_over(second))
    one, two = made(), (time.sleep(0.01), made())[1]
    assert same(one, two)
    assert fingerprint(one).unread
    assert same(threading.Thread(target=print), threading.Thread(target=print))


def hooked(network: nn.Module) -> nn.Module:
    """The network with a hook that changes its outputs."""
    network.register_forward_hook(lambda module, inputs, outputs: 2 * outputs)  # pyright: ignore
    return network


@pytest.mark.parametrize("name", OTHER)
def test_what_differs_has_another_fingerprint(name: str) -> None:
    """Whatever it is that differs; and what is made anew in the same way has the same one."""
    (first, second), (again, _) = OTHER[name](), OTHER[name]()
    assert not same(first, second)
    assert same(first, again)
    assert fingerprint(first).unread == []


def test_a_global_that_is_read_belongs_to_a_function(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other values of it, or other code of a function that is called, are another function."""
    before = fingerprint(weighted)
    monkeypatch.setitem(WEIGHTS, "cat", 1.5)
    assert fingerprint(weighted) != before
    assert fingerprint(weighted).code == before.code


def test_what_a_function_counts_itself_is_no_part_of_it() -> None:
    """Globals, closures and attributes that the code sets anew, and what `identity_parts` leaves out."""
    object_, before = Beta(1.0), fingerprint(counting)
    first = fingerprint(object_)
    counting(0, 0)
    object_(0, 0)
    assert fingerprint(counting) == before
    assert fingerprint(object_) == first
    record = adapt(weighted, higher_is_better=True)
    first = fingerprint(record)
    record.summarise(record.measure(torch.ones(3), torch.ones(3)))
    assert fingerprint(record) == first


def test_order_of_sets_and_dicts_is_no_difference() -> None:
    """They say nothing of what is computed."""
    assert same(closing_over({"a": 1, "b": 2}), closing_over({"b": 2, "a": 1}))
    assert same({3, "x", (1, 2)}, {(1, 2), 3, "x"})
    assert not same(collections.OrderedDict(a=1), collections.OrderedDict(a=2))


def test_what_cannot_be_read_is_said() -> None:
    """A lock, an open file, a generator: what they hold is not known."""
    for value in (threading.Lock(), sys.stderr, (number for number in range(3))):
        assert fingerprint(closing_over([value])).unread
    assert fingerprint(threading.Lock()).unread == ["a value of type _thread.lock"]


def test_cycles_end() -> None:
    """An object that holds itself is read once."""
    first: list[Any] = [1]
    first.append(first)
    second: list[Any] = [1]
    second.append(second)
    assert same(first, second)


def of_all() -> str:
    """The fingerprints of everything above, and of a function and a dict with sets in them."""
    letters = {"kind": {"x", "y", "z"}, frozenset("abc"): {1, "q"}}

    def metric(outputs: Any, _targets: Any) -> float:
        return len(letters) if str(outputs) in {"one", "two", "three"} else 0.0

    ours = ("record", "direction")  # these tests wrap our functions, where annotations are checked
    others = [OTHER[name]()[0] for name in OTHER if name not in ours]
    return repr([fingerprint(value) for value in (metric, letters, *others)])


@pytest.mark.slow
def test_the_same_in_every_process() -> None:
    """Whatever the hash seed, the addresses and what was imported before."""
    program = "import decimal; from tests.tune import test_fingerprint as here; print(here.of_all())"
    said = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    ).stdout
    assert said.strip() == of_all()
