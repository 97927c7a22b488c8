"""A projection as a file: safetensors with its arrays, and what it is as JSON in the header; never a pickle.

`W_q`, `b_q` map queries, or every row where there is one map; `W_d`, `b_d` map documents. `apply.py` beside the file
needs no more than numpy and safetensors.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from metricgrad._checks import fail
from metricgrad._documents import Unreadable, WholeField, json_value

__all__ = ["Facts", "read_adapter", "write_adapter", "write_apply_script"]

FORMAT = 1
_KEY = "metricgrad_projection"
_EXPECTED = "a file that the save of a projection wrote"


class Facts(BaseModel):
    """What the header of an adapter file says."""

    model_config = ConfigDict(extra="forbid", strict=True)
    metricgrad_projection: WholeField = FORMAT
    name: str = Field(max_length=1_000)
    settings: dict[str, int | float | str]
    about: dict[str, str]
    normalise: bool = True
    dims: dict[str, tuple[int, int]] = {}


def write_adapter(path: Path | str, arrays: dict[str, Tensor], facts: Facts) -> Path:
    """Write arrays and facts; InputError where the name or the place does not fit."""
    path = Path(path)
    if path.suffix != ".safetensors":
        raise fail("save", f"the file is {path.name!r}", "a name that ends in .safetensors")
    content = {name: array.detach().cpu().contiguous() for name, array in arrays.items()}
    dims = {name: tuple(array.shape) for name, array in content.items() if array.ndim == 2}
    header = facts.model_copy(update={"dims": dims}).model_dump(mode="json")
    try:
        path.write_bytes(save(content, {_KEY: json.dumps(header)}))
    except OSError as error:
        raise fail("save", f"{path} cannot be written: {error.strerror}", "a folder to write into") from error
    return path


def read_adapter(path: Path | str) -> tuple[dict[str, Tensor], Facts]:
    """Read what `write_adapter` wrote.

    Raises:
        InputError: no such file, another format, or arrays that do not fit together.
    """
    caller = f"the adapter file {path}"
    try:
        with safe_open(Path(path), framework="pt") as file:
            header = json_value((file.metadata() or {}).get(_KEY, "{}"))
            arrays: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}
        facts = Facts.model_validate_json(json.dumps(header))
    except (Unreadable, SafetensorError, OSError) as error:
        raise fail(caller, f"it cannot be read: {error}", _EXPECTED) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "its header"
        raise fail(caller, f"{where}: {first['msg']}", _EXPECTED) from error
    if facts.metricgrad_projection != FORMAT or not facts.normalise:
        raise fail(caller, "its format is another one", f"format {FORMAT}, with rows of length 1")
    _require_fitting(caller, arrays)
    return arrays, facts


def _require_fitting(caller: str, arrays: dict[str, Tensor]) -> None:
    """Raise InputError unless the arrays are one or two affine maps into one space."""
    if set(arrays) not in ({"W_q", "b_q"}, {"W_q", "b_q", "W_d", "b_d"}):
        raise fail(caller, f"its arrays are {sorted(arrays)}", "W_q and b_q, and for pairs W_d and b_d")
    outs = {len(array) for array in arrays.values() if array.ndim}
    axes = {name: array.ndim for name, array in arrays.items()}
    fits = len(outs) == 1 and all(axes[name] == (2 if name[0] == "W" else 1) for name in axes)
    real = all(array.is_floating_point() and bool(torch.isfinite(array).all()) for array in arrays.values())
    if not fits or not real:
        shapes: dict[str, Any] = {name: tuple(array.shape) for name, array in arrays.items()}
        raise fail(
            caller, f"its arrays are {shapes}", "finite numbers, W [out, in] and b [out], of one `out`"
        )


def write_apply_script(folder: Path | str) -> Path:
    """Write `apply.py` into a folder with `adapter.safetensors`: it maps a .npy with numpy and safetensors alone."""
    return Path(shutil.copyfile(Path(__file__).with_name("apply.py"), Path(folder) / "apply.py"))
