"""The compiled loops of the CPU kernel against the plain torch text."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from metricgrad.errors import InputError
from metricgrad.ranking import positive_ranks
from metricgrad.relax import PositiveRanks, kernels, operator, positive_ranks_from_scores
from metricgrad.relax.kernels import products, steps, threads

TYPES = (torch.float32, torch.float64)


def rows_of(
    classes: list[int], dims: int, noise: float, dtype: torch.dtype, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Unit rows around class centres, `classes[c]` of class c, shuffled."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.repeat_interleave(torch.arange(len(classes)), torch.tensor(classes, dtype=torch.long))
    labels = labels[torch.randperm(len(labels), generator=generator)]
    centres = torch.randn(len(classes), dims, generator=generator, dtype=torch.float64)
    rows = centres[labels] + noise * torch.randn(len(labels), dims, generator=generator, dtype=torch.float64)
    return torch.nn.functional.normalize(rows, dim=1).to(dtype), labels


def weighted(ranks: PositiveRanks) -> Tensor:
    """A linear function of both kinds of ranks with weights of either sign."""
    weights = torch.linspace(-1, 2, ranks.valid.numel(), dtype=ranks.among_all.dtype).reshape(
        ranks.valid.shape
    )
    return (ranks.valid * (weights * ranks.among_all + weights.flip(0) * ranks.among_positives)).sum()


def both(kernel: str, monkeypatch: Any, make: Any, *leaves: Tensor) -> list[Tensor]:
    """Ranks and gradients by one kernel."""
    monkeypatch.setenv("METRICGRAD_KERNEL", kernel)
    leaves = tuple(leaf.detach().clone().requires_grad_() for leaf in leaves)
    ranks = make(*leaves)
    return [
        ranks.among_all.detach(),
        ranks.among_positives.detach(),
        *torch.autograd.grad(weighted(ranks), leaves),
    ]


def assert_same(ours: list[Tensor], text: list[Tensor]) -> None:
    """float64 ranks agree, and gradients to a tiny share of the largest one."""
    for one, other in zip(ours, text, strict=True):
        largest = other.abs().max().item() if other.numel() else 0.0
        torch.testing.assert_close(one, other, rtol=0, atol=1e-11 * largest + 1e-14)


def assert_as_good(ours: list[Tensor], single: list[Tensor], double: list[Tensor]) -> None:
    """The float32 error against float64 is at most twice that of the plain text in float32 (and rounding)."""
    for one, text, exact in zip(ours, single, double, strict=True):
        error, allowed = (float((value.double() - exact).abs().max()) for value in (one, text))
        assert error <= 2 * allowed + 1e-6 * float(exact.abs().max())


@contextlib.contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Give torch another number of threads for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


UNEVEN = [1, 5, 2, 1, 9, 3, 4, 4, 40, 2] * 5  # 355 rows: two blocks, the last one ragged


@pytest.mark.parametrize(
    ("step", "include_query"), [("logistic", False), ("logistic", "positive"), ("laplace", True)]
)
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("classes", [[4] * 100, UNEVEN], ids=["even", "uneven"])
def test_square_problem(classes, dtype, step, include_query, monkeypatch):
    """Rows against rows, in several blocks and threads, dense, noted, and without mirrored blocks."""
    for noise, temperature, sums in ((2.0, 0.1, 2**30), (0.2, 0.005, 2**30), (0.2, 0.005, 0)):
        monkeypatch.setattr(products, "SUMS_LIMIT", sums)
        rows, labels = rows_of(classes, 48, noise, torch.float64)

        def ranks(rows: Tensor, labels: Tensor = labels, temperature: float = temperature) -> PositiveRanks:
            return positive_ranks(
                rows, labels, temperature=temperature, step=step, include_query=include_query
            )

        text = both("torch", monkeypatch, ranks, rows)
        single = both("torch", monkeypatch, ranks, rows.float())
        for count in (1, 3):
            with torch_threads(count):
                ours = both("numba", monkeypatch, ranks, rows.to(dtype))
            if dtype == torch.float64:
                assert_same(ours, text)
            else:
                assert_as_good(ours, single, text)


def test_sparse_windows_are_noted(monkeypatch):
    """Separated classes leave a few scores a block, crowded ones are computed again; both are exercised above."""
    share = {}
    for noise, temperature in ((2.0, 0.1), (0.2, 0.005)):
        rows, labels = rows_of([4] * 150, 64, noise, torch.float32)
        codes = labels
        windows = kernels.empty_windows(rows, rows, True)
        positives = torch.stack(
            [
                torch.nonzero((codes == code) & (torch.arange(600) != row)).flatten()
                for row, code in enumerate(codes)
            ]
        )
        setting = operator.Setting(
            positives, torch.full((600,), 3), torch.arange(600), temperature, "logistic"
        )
        products.ranks_of_products(rows, rows, setting, windows)
        noted = windows.table[:6, 1]
        share[noise] = (noted >= 0).float().mean().item()
    assert share == {2.0: 0.0, 0.2: 1.0}
    assert int(noted.sum()) == 600 * 3 // 2 + 600 * 3 // 2 - int(_pairs_between_blocks(codes, 256))


def _pairs_between_blocks(codes: Tensor, block: int) -> int:
    """Count the pairs of a class that lie in different blocks: noted once, the others once for each of the two."""
    place = torch.arange(len(codes)) // block
    same = codes[:, None] == codes[None, :]
    return int((same & (place[:, None] < place[None, :])).sum())


@pytest.mark.parametrize("step", ["logistic", "laplace"])
@pytest.mark.parametrize("dtype", TYPES)
def test_queries_against_references(dtype, step, monkeypatch):
    """Queries against other items, gradients to both, dense and noted."""
    for noise, temperature in ((1.0, 0.1), (0.1, 0.01)):
        rows, labels = rows_of([5] * 130, 32, noise, torch.float64)
        queries, items = rows[:300].to(dtype), rows[300:].to(dtype)

        def ranks(queries: Tensor, items: Tensor, temperature: float = temperature) -> PositiveRanks:
            return positive_ranks(
                queries,
                labels[:300],  # noqa: B023
                reference_embeddings=items,
                reference_labels=labels[300:],  # noqa: B023
                temperature=temperature,
                step=step,
            )

        text = both("torch", monkeypatch, ranks, queries, items)
        ours = both("numba", monkeypatch, ranks, queries, items)
        if dtype == torch.float64:
            assert_same(ours, text)
        else:
            assert_as_good(ours, text, both("torch", monkeypatch, ranks, queries.double(), items.double()))


@pytest.mark.parametrize("step", ["logistic", "laplace"])
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("temperature", [0.01, 0.3])
def test_same_scores(temperature, dtype, step, monkeypatch, generator):
    """Given the same scores, with ties and -inf, the kernel agrees to 1e-6 (1e-12) of the largest gradient."""
    scores = torch.randn(300, 700, generator=generator, dtype=torch.float64) * 0.2
    scores[:, ::7] = scores[:, ::7].round(decimals=1)
    scores[3, 5] = -torch.inf
    relevance = torch.rand(300, 700, generator=generator) < 0.01
    relevance[:, :2], relevance[4] = False, False
    relevance[3, 5] = False
    own = torch.randint(-1, 700, (300,), generator=generator)

    def ranks(scores: Tensor) -> PositiveRanks:
        return positive_ranks_from_scores(
            scores, relevance, query_item=own, temperature=temperature, step=step
        )

    text = both("torch", monkeypatch, ranks, scores.to(dtype))
    ours = both("numba", monkeypatch, ranks, scores.to(dtype))
    share = {torch.float32: 1e-6, torch.float64: 1e-12}[dtype]
    largest = float(text[2].abs().max())
    torch.testing.assert_close(ours[2], text[2], rtol=0, atol=share * largest)
    for one, other in zip(ours[:2], text[:2], strict=True):
        torch.testing.assert_close(one, other, rtol=share, atol=share * 100)


@settings(max_examples=60)
@given(
    classes=st.lists(st.integers(1, 7), max_size=12),
    dims=st.integers(1, 5),
    kind=st.sampled_from(["random", "equal", "duplicated", "rounded"]),
    seed=st.integers(0, 2**20),
)
def test_any_batch(classes, dims, kind, seed):
    """Any class sizes, singletons, one class, no row; ties, equal and repeated rows."""
    rows, labels = rows_of(classes, dims, 1.0, torch.float64, seed)
    if kind == "equal":
        rows = torch.ones_like(rows)
    elif kind == "duplicated":
        rows = rows[torch.arange(len(rows)) // 2]
    elif kind == "rounded":
        rows = rows.round(decimals=1)
    with pytest.MonkeyPatch.context() as monkeypatch:
        found = {
            kernel: both(
                kernel, monkeypatch, lambda rows: positive_ranks(rows, labels, temperature=0.05), rows
            )
            for kernel in ("torch", "numba")
        }
    assert_same(found["numba"], found["torch"])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_and_strides(dtype, monkeypatch):
    """Half rows are computed in float32, rows may have any strides, and gradients come back in their own type."""
    rows, labels = rows_of([4] * 80, 16, 1.0, torch.float32)
    half = rows.to(dtype)
    strided = torch.empty(16, len(rows), dtype=dtype).T
    strided.copy_(half)
    assert not strided.is_contiguous()

    def ranks(rows: Tensor) -> PositiveRanks:
        return positive_ranks(rows, labels, temperature=0.1)

    ours, other = both("numba", monkeypatch, ranks, half), both("numba", monkeypatch, ranks, strided)
    text = both("torch", monkeypatch, ranks, half)
    assert ours[0].dtype == torch.float32
    assert ours[2].dtype == dtype
    torch.testing.assert_close(ours[0], text[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours[2], text[2], rtol=0.02, atol=0.01 * float(text[2].abs().max()))
    for one, same in zip(ours, other, strict=True):
        torch.testing.assert_close(one, same, rtol=0, atol=0)


@pytest.mark.parametrize("where", ["rows", "upstream"])
def test_nan_is_carried_through(where, monkeypatch):
    """NaN in a row makes its ranks NaN; NaN from above reaches the gradient: neither is lost in a comparison."""
    monkeypatch.setenv("METRICGRAD_KERNEL", "numba")
    rows, labels = rows_of([3] * 10, 4, 1.0, torch.float32)
    leaf = rows.requires_grad_()
    if where == "rows":
        leaf = leaf.detach().clone()
        leaf[3, 1] = torch.nan
        assert positive_ranks(leaf, labels, temperature=0.1).among_all[3].isnan().all()
    else:
        ranks = positive_ranks(leaf, labels, temperature=0.1)
        (ranks.among_all * torch.nan).sum().backward()
        assert leaf.grad.isnan().any()


def test_gradient_to_one_side(monkeypatch):
    """References without gradient get none; ranks without a gradient note nothing."""
    monkeypatch.setenv("METRICGRAD_KERNEL", "numba")
    rows, labels = rows_of([4] * 30, 8, 0.5, torch.float64)
    queries = rows[:50].clone().requires_grad_()
    items = rows[50:].clone()
    settings = {"reference_embeddings": items, "reference_labels": labels[50:], "temperature": 0.1}
    positive_ranks(queries, labels[:50], **settings).among_all.sum().backward()
    assert queries.grad.abs().sum() > 0
    assert items.grad is None
    assert not positive_ranks(queries, labels[:50], **{**settings, "temperature": 0}).among_all.requires_grad


def test_result_does_not_depend_on_the_run(monkeypatch):
    """The same threads give the same bits."""
    rows, labels = rows_of([4] * 300, 32, 1.0, torch.float32)
    first = both("numba", monkeypatch, lambda rows: positive_ranks(rows, labels, temperature=0.05), rows)
    again = both("numba", monkeypatch, lambda rows: positive_ranks(rows, labels, temperature=0.05), rows)
    for one, other in zip(first, again, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_compiled_by_torch(monkeypatch: pytest.MonkeyPatch):
    """`torch.compile` takes the operator as one node, without a graph break; what is eager goes the same way here."""
    monkeypatch.setenv("METRICGRAD_KERNEL", "numba")
    rows, labels = rows_of([4] * 30, 8, 1.0, torch.float32)
    positives = torch.stack(
        [
            torch.nonzero((labels == code) & (torch.arange(120) != row)).flatten()
            for row, code in enumerate(labels)
        ]
    )
    setting = operator.Setting(positives, torch.full((120,), 3), torch.arange(120), 0.1, "logistic")

    def value(rows: Tensor) -> Tensor:
        among_all, _ = operator.products(rows, rows, setting)
        return torch.sigmoid(2 - among_all).mean()

    compiled = torch.compile(value, backend="aot_eager", fullgraph=True)
    found = []
    for function in (value, compiled):
        leaf = rows.clone().requires_grad_()
        result = function(leaf)
        found.append((result.detach(), torch.autograd.grad(result, leaf)[0]))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.parametrize("square", [True, False])
def test_registered_as_torch_asks(square):
    """Schema, fake implementation and autograd registration pass torch's own checks."""
    rows, _ = rows_of([2] * 10, 4, 1.0, torch.float64)
    positives, counts = torch.arange(20).view(-1, 1).flip(0), torch.ones(20, dtype=torch.long)
    items = None if square else rows.flip(0).clone()
    arguments = (rows.requires_grad_(), items, positives, counts, None, 0.1, "logistic", True)
    tests = ("test_schema", "test_faketensor", "test_aot_dispatch_static")
    torch.library.opcheck(operator._ranks_of_products, arguments, test_utils=tests)
    scores = torch.randn(
        20, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    ).requires_grad_()
    torch.library.opcheck(
        operator._ranks_of_scores, (scores, positives, counts, None, 0.1, "laplace"), test_utils=tests
    )


def test_autocast(monkeypatch):
    """Under autocast the ranks are still computed in float32."""
    monkeypatch.setenv("METRICGRAD_KERNEL", "numba")
    rows, labels = rows_of([4] * 100, 16, 1.0, torch.float32)
    plain = positive_ranks(rows, labels, temperature=0.05).among_all
    with torch.autocast("cpu", torch.bfloat16):
        cast = positive_ranks(rows, labels, temperature=0.05).among_all
    torch.testing.assert_close(cast, plain, rtol=0, atol=0)


def test_choice(monkeypatch):
    """Numba on the CPU, the plain text elsewhere; a kernel that cannot work here is refused by name."""
    monkeypatch.delenv("METRICGRAD_KERNEL", raising=False)
    assert kernels.chosen(torch.device("cpu")) == "numba"
    assert kernels.chosen(torch.device("meta")) == "torch"
    monkeypatch.setenv("METRICGRAD_KERNEL", "torch")
    assert kernels.chosen(torch.device("cpu")) == "torch"
    monkeypatch.setenv("METRICGRAD_KERNEL", "nunba")
    with pytest.raises(InputError, match="numba"):
        kernels.chosen(torch.device("cpu"))
    monkeypatch.setenv("METRICGRAD_KERNEL", "triton")
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(InputError, match="CUDA"):
        kernels.chosen(torch.device("cpu"))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_exponential(dtype):
    """Factors are correct to two units in the last place, and cut where every step is 0 or 1, also at infinity."""
    limit = 70 if dtype == np.float32 else 600
    x = np.linspace(-limit, limit, 5001).astype(dtype)
    factors = np.empty_like(x)
    steps.fill_factors_of_one(-x, dtype(0), dtype(1), factors)
    exact = np.exp(x.astype(np.longdouble))
    assert float(np.max(np.abs(factors - exact) / exact)) <= 2 * np.finfo(dtype).eps
    ends = np.empty(2, dtype)
    steps.fill_factors_of_one(np.array([np.inf, -np.inf], dtype), dtype(0), dtype(1), ends)
    assert ends.tolist() == [factors[0], factors[-1]]


def test_factors_keep_what_the_product_rounds_away():
    """(centre - score) * scale is rounded in float32; the factor is that of the unrounded product."""
    generator = np.random.default_rng(0)
    scores, centre, scale = (
        generator.uniform(0.5, 1, 1000).astype(np.float32),
        np.float32(0.7),
        np.float32(37.7),
    )
    factors = np.empty_like(scores)
    steps.fill_factors_of_one(scores, centre, scale, factors)
    exact = np.exp((np.float64(centre) - scores.astype(np.float64)) * np.float64(scale))
    assert float(np.max(np.abs(factors / exact - 1))) <= 2.5e-7


def test_threads_are_given_back():
    """After work, and after a failure in it, torch has its number of threads; the failure is raised."""
    before = torch.get_num_threads()
    seen = []
    threads.run_on_threads(
        lambda number: seen.append((number, threading.get_ident(), torch.get_num_threads())), 3
    )
    assert sorted(number for number, *_ in seen) == [0, 1, 2]
    assert {inside for *_, inside in seen} == {1}
    assert torch.get_num_threads() == before

    def fail(number: int) -> None:
        if number == 1:
            raise ValueError("from a thread")

    with pytest.raises(ValueError, match="from a thread"):
        threads.run_on_threads(fail, 2)
    assert torch.get_num_threads() == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts the threads as Linux lists them")
def test_threads_of_ours_begin_no_team_of_torchs():
    """With more threads than processors all products of the process are slow, for good: one more a thread is enough."""
    program = """
import os, torch
from metricgrad import positive_ranks

rows, labels = torch.randn(2000, 64, requires_grad=True), torch.arange(2000) // 4

def threads_after(count):
    torch.set_num_threads(count)
    (rows @ rows.T).sum().backward()
    first = len(os.listdir("/proc/self/task"))
    positive_ranks(rows, labels, temperature=0.1).among_all.sum().backward()
    return len(os.listdir("/proc/self/task")) - first

threads_after(1)  # compiles
print(threads_after(3))
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(found.stdout) == 2


def test_a_forked_process_has_threads_of_its_own():
    """Threads do not survive a fork; a worker of a data loader gets new ones and does not wait for the lost ones."""
    threads.run_on_threads(lambda number: None, 2)
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        seen = []
        threads.run_on_threads(seen.append, 2)
        os._exit(0 if sorted(seen) == [0, 1] else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("power", [10, 26, 50])
@pytest.mark.parametrize("step", ["logistic", "laplace"])
def test_scores_far_beyond_the_temperature_have_exact_ranks(dtype, power, step, generator, monkeypatch):
    """A positive meets itself with a step of exactly 1/2, however large it is for its temperature."""
    monkeypatch.setenv("METRICGRAD_KERNEL", "numba")
    scores = torch.randint(-99, 99, (3, 300), generator=generator).to(dtype) * 2.0**power
    relevance = torch.rand(3, 300, generator=generator) < 0.1
    found, exact = (
        positive_ranks_from_scores(scores, relevance, temperature=temperature, step=step).among_all
        for temperature in (0.05, 0)
    )
    torch.testing.assert_close(found, exact, rtol=1e-6, atol=0)
    rows = torch.randint(-9, 9, (80, 4), generator=generator).to(dtype) * 2.0 ** (power // 2)
    labels = torch.arange(80) % 9
    found, exact = (
        positive_ranks(rows, labels, temperature=temperature, step=step) for temperature in (0.05, 0)
    )
    torch.testing.assert_close(found.among_all, exact.among_all, rtol=1e-6, atol=0)
