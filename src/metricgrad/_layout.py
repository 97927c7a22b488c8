"""What a run folder holds, by name, and the check that it is what it seems before anything in it is read or written.

A folder may come from elsewhere, or be another program's. A link in it could lead to a file of the reader's, a pipe
would block, and a file that no run has written must be neither overwritten nor removed.

config.yaml          what was asked for, complete
record.jsonl         what happened, one event a line
.lock                held by the process that writes
last/                the checkpoint: state.json and the tensor file that it names
arms/*.safetensors   the selected weights of every finished stage, and *-loss those of a loss with parameters;
                     *-cell.json: the events of a stage that was trained before its turn (on a cluster)
best.safetensors     the weights that are returned
projection.safetensors  the closed form that is returned with them, where one is
test.safetensors     the statistics of every arm on the test split, per unit
examples.json        samples that changed (metrics of single samples, where the split has pictures)
gallery.json         queries whose neighbours changed (retrieval, where the split has pictures)
adapter.safetensors  of `adapt`: the map; apply.py: ten lines that apply it; adapted.json: what came out
run.*.trec           of `adapt`: the test queries' rankings by the raw vectors, the strongest control and the map
qrels.test.tsv       what is relevant to these queries; per-query.csv: the metric of each
report.html          drawn from the files above
"""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from metricgrad._documents import MEGABYTE, Unreadable, json_value, opened_file
from metricgrad.errors import RunFolderError

__all__ = ["TENSORS", "check_layout", "check_new", "is_ours", "is_record", "temporary_of"]

FILES = (
    "config.yaml", "record.jsonl", ".lock", "best.safetensors", "projection.safetensors", "test.safetensors",
    "examples.json", "gallery.json", "report.html", "adapter.safetensors", "apply.py", "adapted.json", "run.raw.trec",
    "run.control.trec", "run.adapted.trec", "qrels.test.tsv", "per-query.csv",
)  # fmt: skip
TENSORS = re.compile(r"tensors-(\d{1,18})\.safetensors")
INSIDE = {
    "last": re.compile(rf"state\.json|{TENSORS.pattern}"),
    "arms": re.compile(r"seed\d+-[\w.+-]+-try\d+((-loss)?\.safetensors|-cell\.json)"),
}
MARKERS = (".gitkeep", ".gitignore", ".keep", ".DS_Store", "Thumbs.db", "desktop.ini", "lost+found")
"""Entries of a folder that is empty to its owner: they keep it in an archive, or a file manager leaves them."""
_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{8}")


def temporary_of(path: Path) -> Path:
    """Return a new name beside `path`, to be written and renamed; one left by a kill is known by its form."""
    return path.with_name(f".{path.name}.{os.urandom(4).hex()}")


def check_layout(folder: Path) -> None:
    """Check that whatever has a name of ours is an ordinary file, or a folder where it should be one.

    Raises:
        RunFolderError: a link, a pipe, a device, a folder in the place of a file or a file in that of a folder; the
            folder cannot be looked into.
    """
    for path, kind in _named_entries(folder):
        mode = path.lstat().st_mode
        if not (stat.S_ISDIR(mode) if kind == "folder" else stat.S_ISREG(mode)):
            came = "a link" if stat.S_ISLNK(mode) else "a folder" if stat.S_ISDIR(mode) else f"no {kind}"
            raise RunFolderError(
                f"the run folder {folder} cannot be used: {path.relative_to(folder)} is {came}; expected a {kind}, as "
                "every run writes it. Nothing was followed, read or changed: put what it stands for in its place."
            )


def check_new(folder: Path) -> None:
    """Check that a folder without `config.yaml` holds nothing that a new run would mix with or overwrite.

    What a run leaves that was killed before it had begun (`.lock`, an empty record, empty folders) is in nobody's way.

    Raises:
        RunFolderError: it holds files that are not of such a run; none of them is touched.
    """
    if not folder.exists():
        return
    empty = {".lock", "record.jsonl"}
    found = sorted(
        path.name + "/" * path.is_dir()
        for path in folder.iterdir()
        if path.name not in MARKERS
        and not (path.name in empty and path.stat().st_size == 0)
        and not (path.name in INSIDE and path.is_dir() and not any(path.iterdir()))
        and not _is_temporary(path.name, FILES)
    )
    if not found:
        return
    named = ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
    if "record.jsonl" in found and is_record(folder / "record.jsonl"):
        raise RunFolderError(
            f"the folder {folder} holds a run ({named}) whose config.yaml is lost, so that nobody can say which; "
            "nothing in it is touched. Restore config.yaml from a copy, or choose another folder."
        )
    raise RunFolderError(
        f"the folder {folder} holds {named}, which no run of metricgrad wrote; nothing in it is touched. Choose a "
        "folder that is empty or does not exist yet."
    )


def is_record(path: Path) -> bool:
    """Whether a file begins as the record of a run does; an empty one begins nothing."""
    try:
        with opened_file(path) as descriptor:
            line, end, _ = os.read(descriptor, MEGABYTE).partition(b"\n")
        event = json_value(line) if end else None
    except Unreadable:
        return False
    return isinstance(event, dict) and event.get("event") == "run_started"


def is_ours(folder: str, name: str) -> bool:
    """Whether an entry of `last` or `arms` has a name that a run gives, finished or left by a kill."""
    inner = _TEMPORARY.fullmatch(name)
    return INSIDE[folder].fullmatch(inner[1] if inner else name) is not None


def _named_entries(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield what is there under a name of ours, with what it should be."""
    try:
        for path in sorted(folder.iterdir()) if folder.exists() else ():
            if path.name in FILES:
                yield path, "file"
            elif path.name in INSIDE:
                yield path, "folder"
                for inner in sorted(path.iterdir()):
                    if is_ours(path.name, inner.name):
                        yield inner, "file"
    except OSError as error:
        raise RunFolderError(
            f"the run folder {folder} cannot be looked into: {error.strerror}; expected a folder that may be read."
        ) from error


def _is_temporary(name: str, of: tuple[str, ...]) -> bool:
    inner = _TEMPORARY.fullmatch(name)
    return inner is not None and inner[1] in of
