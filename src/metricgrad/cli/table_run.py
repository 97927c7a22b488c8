"""A run over a table: its folder, its progress, what is printed before it, and how it goes on after a stop."""

import json
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from metricgrad.cli.progress import Drawing
from metricgrad.cli.run_folder import new_folder
from metricgrad.errors import InputError, MissingExtraError
from metricgrad.report.learned_table import write_table_page
from metricgrad.tabular.learned import digest_of, learn_table
from metricgrad.tabular.networks import has_tabm
from metricgrad.tabular.prepared import Question, prepared
from metricgrad.tabular.saved import write_network_onnx

__all__ = ["learned_of"]

_KNOWN = "run.json"


def learned_of(
    cells: Mapping[str, Sequence[Any]],
    question: Question,
    given: Mapping[str, Any],
    opened: Callable[[list[str], Any], None],
    *,
    minutes: float,
    notes: Sequence[str],
) -> dict[str, Any]:
    """Learn a table in its folder.

    Args:
        cells: of all rows by column.
        question: what is asked of them.
        given: the options of the command by name.
        opened: is handed the schema and the parts, in words, and what is learned, before anything is trained.
        minutes: of the run.
        notes: what a reader should know of the data.

    Returns:
        What came out, as plain values.

    Raises:
        InputError: a table that cannot be learned, a folder that is taken.
    """
    job = prepared(cells, question, tabm=has_tabm())
    asked = [str(given[name]) for name in ("target", "groups", "time", "id_column", "sample_weight", "seed")]
    test = [] if question.test is None else [len(question.test)]
    known = digest_of(cells, job.metric.name, job.classes, job.tabm, asked, test)
    folder = given["out"] or new_folder("adapt", job.metric.name)
    _claim(folder, known, force=given["force"])
    opened([*job.encoder.schema.words(), *_parted(job)], job)
    try:
        with Drawing(quiet=given["quiet"]) as observer:
            found = learn_table(job, folder, minutes=minutes, observer=observer, notes=notes)
    except KeyboardInterrupt:
        _say_how(folder, new=given["out"] is None)
        raise
    written = _onnx(folder, found.notes)
    facts = found.facts
    page = write_table_page(facts, folder / "report.html")
    return {**facts, "onnx": written, "report": str(page)}


def _parted(job: Any) -> list[str]:
    """Who learns, chooses and judges, and what learns."""
    parts, network = job.parts, "TabM" if job.tabm else "MLP (tabm is not installed)"
    return [
        f"fit {len(parts.fit):,} rows in three folds, select {len(parts.select):,}, test {len(parts.test):,}: "
        f"{parts.words}",
        f"network: {network}, {len(job.encoder.features):,} numbers per row",
    ]


def _claim(folder: Path, known: str, *, force: bool) -> None:
    """Take a folder: a new or empty one, or that of the same run, which goes on; InputError for any other."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"adapt: --out is {folder}, which is a file; expected a folder.")
    mark = folder / _KNOWN
    if (folder / "model.json").exists() and not force:
        raise InputError(
            f"adapt: {folder} holds a finished model; expected another folder as --out, or --force."
        )
    if mark.exists():
        if json.loads(mark.read_text(encoding="utf-8")).get("digest") == known:
            return
        if not force:
            raise InputError(
                f"adapt: {folder} holds another run; expected another folder as --out, or --force."
            )
        for path in sorted((folder / "parts").glob("*.safetensors")):
            path.unlink()
    elif folder.exists() and any(folder.iterdir()):
        raise InputError(f"adapt: {folder} holds files of others; expected a new or empty folder as --out.")
    folder.mkdir(parents=True, exist_ok=True)
    mark.write_text(json.dumps({"digest": known}) + "\n", encoding="utf-8")


def _say_how(folder: Path, *, new: bool) -> None:
    """The command that goes on with a run that was stopped."""
    words = ["metricgrad", *sys.argv[1:], *(["--out", str(folder)] if new else [])]
    sys.stderr.write(f"go on with: {shlex.join(words)}\n")


def _onnx(folder: Path, notes: list[str]) -> str | None:
    """Write network and rule as one graph; a note where the packages for that are not there."""
    try:
        return str(write_network_onnx(folder))
    except MissingExtraError as error:
        notes.append(f"no network.onnx: {error}")
        return None
