"""Map vectors by the adapter.safetensors beside this file: python apply.py query IN.npy OUT.npy (or: document)."""

import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file


def unit(x: np.ndarray) -> np.ndarray:
    """Rows of length 1; rows of zeros stay."""
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(length > 0, length, 1)


def apply(x: np.ndarray, side: str) -> np.ndarray:
    """Vectors [row, in] -> [row, out] of one side, "query" or "document"; with one map both sides are the same."""
    adapter = load_file(Path(__file__).with_name("adapter.safetensors"))
    key = {"query": "q", "document": "d" if "W_d" in adapter else "q"}[side]
    return unit(unit(x.astype(np.float64)) @ adapter[f"W_{key}"].T + adapter[f"b_{key}"]).astype(x.dtype)


if __name__ == "__main__":
    side, source, target = sys.argv[1:]
    np.save(target, apply(np.load(source), side))
