"""`metricgrad adapt --export`: the map of a run as an ONNX graph, or as modules of sentence-transformers."""

from collections.abc import Collection, Mapping
from typing import Any

import typer

from metricgrad.cli.adapt_run import map_of, one_map, require_only
from metricgrad.cli.output import print_json
from metricgrad.cli.written import require_free, writing
from metricgrad.errors import InputError

__all__ = ["export_run"]

FORMS = ("onnx", "sentence-transformers")
_OWN = {"export", "file", "side", "out", "force", "as_json", "quiet"}


def export_run(given: Mapping[str, Any], said: Collection[str]) -> None:
    """Write the map in another form, and say so.

    Args:
        given: the options of the command by name.
        said: names of those that came.

    Raises:
        InputError: an option of fitting; no such form, run or side; a place that is taken.
        MissingExtraError: onnx is not installed.
    """
    require_only("--export", said, _OWN)
    form, run, out, side = given["export"], given["file"], given["out"], given["side"]
    if form not in FORMS:
        raise InputError(f"adapt: --export is {form!r}; expected {' or '.join(FORMS)}.")
    if run is None or out is None:
        missing = "no run folder" if run is None else "no --out"
        raise InputError(
            f"adapt: {missing} came with --export; expected metricgrad adapt --export {form} RUN --out PATH."
        )
    found = map_of(run)
    if form == "onnx":
        if out.suffix != ".onnx":
            raise InputError(f"adapt: --out is {out}; expected a name that ends in .onnx.")
        require_free("adapt", "--out", [out], [], force=given["force"])
        with writing(out, "--out"):
            one_map(found, side, run).to_onnx(out)
    else:
        if given["force"]:
            raise InputError(
                "adapt: --force came with --export sentence-transformers; expected a new or empty folder as --out, "
                "since a folder is never written over."
            )
        whole = found if side is None else one_map(found, side, run)
        with writing(out, "--out"):
            whole.to_sentence_transformers(out)
    facts = {"run": str(run), "map": found.words(), "form": form, "side": side, "written": str(out)}
    if given["as_json"]:
        print_json(facts)
    else:
        typer.echo(f"map of {run}{f', side {side}' if side else ''}, as {form}\nwritten: {out}")
