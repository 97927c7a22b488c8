"""`metricgrad adapt --apply`: vectors of a file, mapped by the map of a run, in blocks into a new file."""

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import typer

from metricgrad._layout import temporary_of
from metricgrad.cli.adapt_run import map_of, one_map, require_only
from metricgrad.cli.output import noted, print_json
from metricgrad.cli.progress import Drawing
from metricgrad.cli.vector_files import read_vectors
from metricgrad.cli.written import require_free, writing
from metricgrad.errors import InputError
from metricgrad.projection import Projection

__all__ = ["apply_run"]

_OWN = {"apply", "file", "side", "out", "force", "vector_column", "as_json", "quiet"}
_BLOCK = 2**25
"""Numbers that are mapped between two words of progress."""


def apply_run(given: Mapping[str, Any], said: Collection[str]) -> None:
    """Map the rows of a file of vectors, write them as .npy of the same type, and say so.

    Args:
        given: the options of the command by name.
        said: names of those that came.

    Raises:
        InputError: an option of fitting; no such run, file or side; other dimensions; a place that is taken.
    """
    require_only("--apply", said, _OWN)
    source, out, run = given["file"], given["out"], given["apply"]
    if source is None or out is None:
        missing = "no file of vectors" if source is None else "no --out"
        raise InputError(
            f"adapt: {missing} came with --apply; expected metricgrad adapt --apply RUN X.npy --out Y.npy."
        )
    if out.suffix != ".npy":
        raise InputError(f"adapt: --out is {out}; expected a name that ends in .npy.")
    require_free("adapt", "--out", [out], [source, run / "adapter.safetensors"], force=given["force"])
    form = one_map(map_of(run), given["side"], run)
    with noted(quiet=given["quiet"]) as notes:
        vectors = read_vectors(source, column=given["vector_column"], identified=False)
    if vectors.array.shape[1] != form.dims_in:
        raise InputError(
            f"{source} has {vectors.array.shape[1]:,} dimensions; expected {form.dims_in:,}, those of the vectors that "
            f"the map of {run} was fitted to."
        )
    _write(form, vectors.array, out, quiet=given["quiet"])
    found = {
        "run": str(run),
        "map": form.words(),
        "side": given["side"],
        "file": str(source),
        "rows": len(vectors.array),
        "dims": [form.dims_in, form.dims_out],
        "dtype": str(vectors.array.dtype),
        "written": str(out),
        "notes": notes,
    }
    if given["as_json"]:
        print_json(found)
        return
    side = f", side {given['side']}" if given["side"] else ""
    shape = f"{found['rows']:,} x {form.dims_in:,} -> {form.dims_out:,}, {found['dtype']}"
    typer.echo(f"{source} mapped by {run}{side}: {shape}, rows of length 1\nwritten: {out}")


def _write(form: Projection, array: np.ndarray, out: Path, *, quiet: bool) -> None:
    """Map block by block into a file that takes its place when it is whole."""
    shape, step = (len(array), form.dims_out), max(1, _BLOCK // max(array.shape[1], form.dims_out))
    with writing(out, "--out"), _replacing(out) as place, Drawing(quiet=quiet) as observer:
        target = np.lib.format.open_memmap(place, mode="w+", dtype=array.dtype, shape=shape)
        _reserve(place)
        for first in range(0, len(array), step):
            part = slice(first, first + step)
            form.transform(array[part], out=target[part])
            done = min(first + step, len(array))
            observer({"event": "progress", "what": "apply", "done": done, "total": len(array), "unit": "row"})
        target.flush()


def _reserve(place: Path) -> None:
    """Take the room on the disk now: one that is full would else end the process where the map is written."""
    if hasattr(os, "posix_fallocate"):
        with place.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, place.stat().st_size)


@contextmanager
def _replacing(out: Path) -> Iterator[Path]:
    """A new name beside the file, renamed to it at the end and removed where something fails."""
    place = temporary_of(out)
    try:
        yield place
        place.replace(out)
    finally:
        with suppress(OSError):
            place.unlink(missing_ok=True)
