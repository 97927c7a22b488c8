"""An affine map of unit rows to unit rows: what every closed form returns."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from metricgrad._checks import describe, fail
from metricgrad.projection.adapter_file import Facts, write_adapter
from metricgrad.projection.onnx_graph import write_onnx
from metricgrad.projection.rows import rows_of, unit_rows
from metricgrad.projection.sentence_folder import write_dense

__all__ = ["Projection", "in_words"]

_PHRASES = {
    "dims": " to {} directions",
    "components": " {} directions",
    "shrinkage": ", shrinkage {:g}",
    "power": ", power {:g}",
    "penalty": ", penalty {:g}",
}
"""How a setting is said after the name of a form."""


def in_words(name: str, settings: Mapping[str, Any]) -> str:
    """A form and its settings in a few words; a setting of another name is said by it.

    Example:
        >>> in_words("LDA", {"dims": 128, "shrinkage": 0.1})
        'LDA to 128 directions, shrinkage 0.1'
    """
    return name + "".join(_PHRASES.get(key, f", {key} {{}}").format(value) for key, value in settings.items())


class Projection(nn.Module):
    """normalize(weight @ normalize(x) + bias), row by row, in float64.

    Attributes:
        weight: buffer [out, in], float64; scaled so that over the fitted rows the mean square length before the last
            normalisation is 1.
        bias: buffer [out], float64.
        name: of the form, as `"LDA"`.
        settings: of the form, as `{"dims": 128, "shrinkage": 0.1}`.
        about: what else a file of it should say, as `{"model": "all-MiniLM-L6-v2"}`.

    Edge cases: a row of zeros has no direction; it stays at the origin before the map and comes out in the direction
    of the bias (zero where the bias is zero).

    Example:
        >>> x = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
        >>> Projection(torch.eye(2), torch.zeros(2), name="unchanged")(x)
        tensor([[1., 0.],
                [0., 1.]])
    """

    weight: Tensor
    bias: Tensor

    def __init__(
        self, weight: Tensor, bias: Tensor, *, name: str, settings: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        self.register_buffer("weight", weight.detach().to(torch.float64).contiguous())
        self.register_buffer("bias", bias.detach().to(torch.float64).contiguous())
        self.name, self.about = name, dict[str, str]()
        self.settings = {
            key: value.item() if isinstance(value, np.generic) else value
            for key, value in (settings or {}).items()
        }

    @property
    def dims_in(self) -> int:
        """Numbers in a row that comes in."""
        return self.weight.shape[1]

    @property
    def dims_out(self) -> int:
        """Numbers in a row that goes out."""
        return self.weight.shape[0]

    def words(self) -> str:
        """The form and its settings in plain words."""
        return in_words(self.name, self.settings)

    def forward(self, x: Float[Tensor, "*row dim"]) -> Float[Tensor, "*row out"]:
        """Map rows; computed in float64, returned in the dtype of x. The gradient is that of x."""
        weight, bias = self.weight.to(torch.float64), self.bias.to(torch.float64)
        return unit_rows(nn.functional.linear(unit_rows(x.to(torch.float64)), weight, bias)).to(x.dtype)

    @torch.no_grad()
    def transform(self, x: Any, *, out: np.ndarray | None = None, block: int | None = None) -> np.ndarray:
        """Map the rows of an array, memory map or tensor, in blocks.

        Args:
            x: float16, float32 or float64 [row, in], in any memory order.
            out: where the result goes, e.g. a memory map [row, out]; default: a new array of the dtype of x.
            block: rows to read at a time; default: 8 MB of float64, and 1,024 rows at least.

        Returns:
            [row, out], rows of length 1.

        Raises:
            InputError: no such vectors, another number of columns, NaN or infinite values, an `out` of another shape.
        """
        caller = "Projection.transform"
        rows = rows_of(caller, "x", x, block=block)
        if rows.dims != self.dims_in:
            raise fail(caller, f"x has {rows.dims} columns", f"{self.dims_in}, as the projection was fitted")
        shape = (rows.count, self.dims_out)
        if out is None:
            out = np.empty(shape, dtype=rows.dtype)
        elif out.shape != shape or out.dtype.kind != "f":
            raise fail(caller, f"out is {describe(out)}", f"{shape} of floating-point numbers")
        start = 0
        for part in rows.blocks():
            out[start : start + len(part)] = self(part.to(self.weight.device)).cpu().numpy()
            start += len(part)
        return out

    def linear(self) -> nn.Linear:
        """The map as a trainable float32 layer, without the normalisations: the start of a head.

        It takes rows of length 1; over the fitted rows the mean square length of its outputs is 1.
        """
        layer = nn.Linear(self.dims_in, self.dims_out, device=self.weight.device)
        with torch.no_grad():
            layer.weight.copy_(self.weight)
            layer.bias.copy_(self.bias)
        return layer

    def save(self, path: Path | str) -> Path:
        """Write weight, bias, name, settings and `about` as `.safetensors`; `load_projection` reads it.

        Raises:
            InputError: another suffix, or a place that cannot be written.
        """
        facts = Facts(name=self.name, settings=self.settings, about=self.about)
        return write_adapter(path, {"W_q": self.weight, "b_q": self.bias}, facts)

    def to_onnx(self, path: Path | str) -> Path:
        """Write an ONNX graph (opset 17) of float32 `vectors` [row, in] -> `mapped` [row, out].

        Raises:
            MissingExtraError: onnx is not installed.
        """
        return write_onnx(path, self.weight, self.bias)

    def to_sentence_transformers(self, folder: Path | str) -> Path:
        """Write a folder that `SentenceTransformer(folder)` loads, in float32: Normalize, Dense with a bias, Normalize.

        `SentenceTransformer(modules=[*encoder, *SentenceTransformer(folder)])` puts it behind an encoder.

        Raises:
            InputError: the folder holds files, or cannot be made.
        """
        return write_dense(folder, self.weight, self.bias)
