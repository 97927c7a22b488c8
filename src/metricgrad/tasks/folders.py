"""Where tasks find their data and keep what they compute."""

import os
from collections.abc import Sequence
from pathlib import Path

from metricgrad._checks import fail

__all__ = ["cache_folder", "data_folder", "probe"]


def cache_folder(cache: Path | None = None) -> Path:
    """Say where features and pictures are kept.

    Args:
        cache: the folder, if the caller has settled it.

    Returns:
        `cache`, or `$METRICGRAD_CACHE`, or `$XDG_CACHE_HOME/metricgrad`, or `~/.cache/metricgrad`: the first set.
    """
    if cache is not None:
        return Path(cache)
    if os.environ.get("METRICGRAD_CACHE"):
        return Path(os.environ["METRICGRAD_CACHE"])
    if os.environ.get("XDG_CACHE_HOME"):
        return Path(os.environ["XDG_CACHE_HOME"]) / "metricgrad"
    return Path.home() / ".cache" / "metricgrad"


def data_folder(
    task: str,
    name: str,
    needed: Sequence[str],
    *,
    given: Path | None,
    installed: Sequence[Path] = (),
    what: str,
    remedy: str,
) -> Path:
    """Return the first folder that holds all that a task needs.

    Args:
        task: for the message.
        name: of the folder in `$METRICGRAD_DATA` and in the user's cache folder, which are looked into in this order.
        needed: files and folders in it.
        given: where the user says that they are; no other place is tried then.
        installed: folders of packages, looked into last.
        what: is looked for, for the message.
        remedy: how to get it, for the message.

    Raises:
        InputError: none has them all; the message names what is missing in the last place.
    """
    data = os.environ.get("METRICGRAD_DATA")
    usual = [*([Path(data) / name] if data else []), cache_folder() / name, *installed]
    places = usual if given is None else [given]
    missing: list[str] = []
    for place in places:
        missing = [part for part in needed if not (place / part).exists()]
        if not missing:
            return place
    some = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
    raise fail(
        f"task {task}",
        f"{what} are not in {' or '.join(map(str, places))} (missing: {some})",
        f"all {len(needed)} of them in one folder",
        f"{remedy}, or say where they are: --set data.folder=...",
    )


def probe(folder: Path) -> None:
    """Make a folder, and raise OSError now, not after minutes of work, where it cannot be written."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"probe.{os.getpid()}.part"
    file.write_bytes(b"0")
    file.unlink()
