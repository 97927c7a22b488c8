"""A projection as a folder of modules that sentence-transformers loads, written without it.

Normalize, Dense with a bias, Normalize: the first one belongs to the folder, because an encoder without one in front of
the Dense would have its vectors shifted by a bias of another scale.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from metricgrad._checks import fail

__all__ = ["write_dense", "write_router"]

_MODULES = "sentence_transformers.models"
"""Where every release since 2 finds its modules, under this name or a newer one."""


def write_dense(folder: Path | str, weight: Tensor, bias: Tensor) -> Path:
    """Write one map as the modules Normalize, Dense, Normalize."""
    folder = _made(folder)
    modules = [
        {"idx": place, "name": str(place), "path": path, "type": kind}
        for place, (path, kind) in enumerate(_stack(folder, "", weight, bias))
    ]
    _write(folder / "modules.json", modules)
    return folder


def write_router(folder: Path | str, routes: dict[str, tuple[Tensor, Tensor]]) -> Path:
    """Write several maps as a Router with a route for each; without a task it takes the last one."""
    folder = _made(folder)
    stacks = {route: dict(_stack(folder, f"{route}_", *arrays)) for route, arrays in routes.items()}
    router = {
        "types": {path: kind for stack in stacks.values() for path, kind in stack.items()},
        "structure": {route: list(stack) for route, stack in stacks.items()},
        "parameters": {"default_route": list(routes)[-1], "allow_empty_key": True},
    }
    _write(folder / "router_config.json", router)
    _write(folder / "modules.json", [{"idx": 0, "name": "0", "path": "", "type": f"{_MODULES}.Router"}])
    return folder


def _stack(folder: Path, prefix: str, weight: Tensor, bias: Tensor) -> Iterator[tuple[str, str]]:
    """Write the three modules of a map; give the folder and the type of each."""
    dense: dict[str, Any] = {
        "in_features": weight.shape[1],
        "out_features": weight.shape[0],
        "bias": True,
        "activation_function": "torch.nn.modules.linear.Identity",
    }
    for place, (kind, config) in enumerate([("Normalize", {}), ("Dense", dense), ("Normalize", {})]):
        path = f"{prefix}{place}_{kind}"
        (folder / path).mkdir()
        _write(folder / path / "config.json", config)
        if kind == "Dense":
            arrays = {"linear.weight": weight.float().cpu(), "linear.bias": bias.float().cpu()}
            save_file(arrays, folder / path / "model.safetensors")
        yield path, f"{_MODULES}.{kind}"


def _made(folder: Path | str) -> Path:
    """The folder, new or empty; InputError where it holds something or cannot be made."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise fail("to_sentence_transformers", f"{folder} holds files", "a new or empty folder")
    except OSError as error:
        raise fail(
            "to_sentence_transformers", f"{folder} cannot be made: {error.strerror}", "a folder to write into"
        ) from error
    return folder


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
