"""The Triton programs against the plain torch text: on a CUDA device where there is one, else interpreted.

Triton decides at its first import whether it compiles or interprets, and other tests may have imported it. So the
interpreted results are made in a process of their own, by this file run as a script, all at once.
"""

import importlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from metricgrad.relax.tile import tile_gradient, tile_ranks

STEPS = ("logistic", "laplace")
TYPES = {"float32": (torch.float32, 1e-6), "float64": (torch.float64, 1e-12)}
UPSTREAM = {"both": (True, True), "all": (True, False), "positives": (False, True), "none": (False, False)}
CASES = (
    "mixed", "separated", "tied", "equal", "excluded", "one item", "one positive", "many positives", "no positive",
    "not a number", "zero upstream", "one block",
)  # fmt: skip
TILE = ("scores", "levels", "valid", "positives", "of_all", "of_positives")
DIFFERENCES = 64
"""Differences of one program here: 8 positives by 8 items, so that small tiles have many blocks and launches."""

pytestmark = [
    pytest.mark.xdist_group("triton"),
    pytest.mark.slow,  # interpreting takes a quarter of a minute
    pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed"),
]


def _tile(case: str, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return what the functions of a tile take."""
    generator = torch.Generator().manual_seed(CASES.index(case))
    counts, items = [0, 1, 5], 20
    if case == "one item":
        counts, items = [1, 0], 1
    elif case == "one positive":
        counts, items = [1, 1], 67
    elif case == "many positives":
        counts, items = [11, 10], 13
    elif case == "no positive":
        counts = [0, 0]
    elif case == "not a number":
        counts = [5, 5, 5]  # none is padded: the text makes NaN of weight 0
    scores = 10 * torch.randn(len(counts), items, generator=generator, dtype=dtype)
    if case in ("separated", "not a number"):  # whole blocks lie above or below every window
        scores = torch.linspace(-1e4, 1e4, items, dtype=dtype).repeat(len(counts), 1)
        scores[:, 8:14] = scores[:, 8:14] / 1e3
    elif case == "tied":
        scores = (scores / 10).round()
    elif case == "equal":
        scores = torch.full_like(scores, 3.5)
    order = torch.stack([torch.randperm(items, generator=generator) for _ in counts])
    if case in ("separated", "not a number"):
        order = torch.stack([8 + torch.randperm(6, generator=generator) for _ in counts])
    positives = order[:, : max(1, *counts)]
    valid = torch.arange(positives.shape[1]) < torch.tensor(counts).unsqueeze(1)
    levels = scores.gather(1, positives).masked_fill(~valid, 0)
    upstream = torch.randn(2, *levels.shape, generator=generator, dtype=dtype)
    if case == "excluded":
        scores[torch.arange(3), order[:, -1]] = -torch.inf
        scores[2, order[2, -4:]] = -torch.inf
    elif case == "not a number":
        scores[1, 19] = torch.nan
        scores[2, 0] = torch.nan
    elif case == "zero upstream":
        upstream[:, 1] = 0
        upstream[0, 2, 1:4] = 0
    return dict(zip(TILE, (scores, levels, valid, positives, *upstream), strict=True))


def _upstream(tile: dict[str, Tensor], which: str) -> list[Tensor | None]:
    return [tile[name] if wanted else None for name, wanted in zip(TILE[4:], UPSTREAM[which], strict=True)]


def _whiches(case: str) -> list[str]:
    return list(UPSTREAM) if case == "mixed" else ["both"]


def _steps(case: str) -> tuple[str, ...]:
    return STEPS if case in ("mixed", "separated", "tied") else STEPS[:1]  # interpreting is slow


def _by_triton(tiles: dict[str, Tensor], device: str) -> dict[str, Tensor]:
    """Return ranks and gradients of every case, type and step, from the Triton programs."""
    programs: Any = importlib.import_module("metricgrad.relax.kernels.triton_tile")
    results, block_bytes = {}, programs.BLOCK_BYTES
    for case in CASES:
        for name, (dtype, _) in TYPES.items():
            tile = {part: tiles[f"{case}/{name}/{part}"].to(device) for part in TILE}
            programs.BLOCK_BYTES = block_bytes if case == "one block" else DIFFERENCES * dtype.itemsize
            for step in _steps(case):
                key = f"{case}/{name}/{step}"
                ranks = programs.tile_ranks(tile["scores"], tile["levels"], tile["valid"], step)
                results[f"{key}/among all"], results[f"{key}/among positives"] = ranks
                for which in _whiches(case):
                    results[f"{key}/{which}"] = programs.tile_gradient(
                        *(tile[part] for part in TILE[:4]), *_upstream(tile, which), step
                    )
                    results[f"{key}/{which}"] = results[f"{key}/{which}"].clone()
    programs.BLOCK_BYTES = block_bytes
    return {key: value.cpu() for key, value in results.items()}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    """What the Triton programs give for every case."""
    tiles = {
        f"{case}/{name}/{part}": value.clone()
        for case in CASES
        for name, (dtype, _) in TYPES.items()
        for part, value in _tile(case, dtype).items()
    }
    if torch.cuda.is_available():
        return _by_triton(tiles, "cuda")
    folder = tmp_path_factory.mktemp("triton")
    save_file(tiles, folder / "tiles.safetensors")
    _run(folder, "tiles.safetensors", "results.safetensors", TRITON_INTERPRET="1")
    return load_file(folder / "results.safetensors")


def _run(folder: Path, *arguments: str, **environment: str) -> None:
    """Run this file as a script in `folder`."""
    kept = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, str(Path(__file__).resolve()), *arguments],
        cwd=folder,
        env=kept | {"OMP_NUM_THREADS": "1"} | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("case", "step"), [(case, step) for case in CASES for step in _steps(case)])
@pytest.mark.parametrize("name", TYPES)
def test_ranks(case: str, name: str, step: str, results: dict[str, Tensor]) -> None:
    """Both ranks equal the torch text."""
    dtype, tolerance = TYPES[name]
    tile = _tile(case, dtype)
    expected = tile_ranks(tile["scores"], tile["levels"], tile["valid"], step)
    for kind, ranks in zip(("among all", "among positives"), expected, strict=True):
        actual = results[f"{case}/{name}/{step}/{kind}"]
        assert actual.dtype == dtype
        assert actual.shape == ranks.shape
        torch.testing.assert_close(
            actual[tile["valid"]], ranks[tile["valid"]], rtol=tolerance, atol=0, equal_nan=True
        )


@pytest.mark.parametrize(
    ("case", "step", "which"),
    [(case, step, which) for case in CASES for step in _steps(case) for which in _whiches(case)],
)
@pytest.mark.parametrize("name", TYPES)
def test_gradient(case: str, which: str, name: str, step: str, results: dict[str, Tensor]) -> None:
    """The gradient by the scores equals the torch text, to a part of its largest entry."""
    dtype, tolerance = TYPES[name]
    tile = _tile(case, dtype)
    expected = tile_gradient(*(tile[part] for part in TILE[:4]), *_upstream(tile, which), step)
    largest = expected.nan_to_num().abs().max().item()
    torch.testing.assert_close(
        results[f"{case}/{name}/{step}/{which}"], expected, rtol=0, atol=tolerance * largest, equal_nan=True
    )


@pytest.mark.parametrize("case", ["separated", "not a number"])
def test_cases_leave_blocks_out(case: str) -> None:
    """In these cases whole blocks of items lie above and below every positive, one of them with a NaN."""
    scores = _tile(case, torch.float64)["scores"][0]
    assert scores[:8].max() < scores[8:14].min() - 709
    assert scores[16:].min() > scores[8:14].max() + 709


@pytest.mark.slow
def test_compiles(tmp_path: Path) -> None:
    """The programs compile for a CUDA device, which takes none, for both types and both steps."""
    _run(tmp_path, "compile", TRITON_CACHE_DIR=str(tmp_path / "cache"))


def _compile() -> None:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    programs: Any = importlib.import_module("metricgrad.relax.kernels.triton_tile")
    scalars = {"items": "i32", "width": "i32", "blocks": "i32", "window": "fp32"}
    for pointer, block_items, logistic in (("*fp32", 1024, True), ("*fp64", 512, False)):
        for program in (programs._sum_steps, programs._sum_slopes):
            settings = {"LOGISTIC": logistic, "ADD": logistic}
            settings |= {"BLOCK_ITEMS": block_items, "BLOCK_POSITIVES": 4}
            constant = {name: value for name, value in settings.items() if name in program.arg_names}
            signature = {
                name: "constexpr" if name in constant else scalars.get(name, pointer)
                for name in program.arg_names
            }
            source = ASTSource(program, signature, constexprs=constant)
            compiled = triton.compile(source, target=GPUTarget("cuda", 80, 32))
            assert compiled.asm["cubin"]


if __name__ == "__main__":
    if sys.argv[1] == "compile":
        _compile()
    else:
        save_file(_by_triton(load_file(sys.argv[1]), "cpu"), sys.argv[2])
