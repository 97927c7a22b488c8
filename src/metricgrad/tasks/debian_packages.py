"""The descriptions of Debian's packages: what lies in the file that `scripts/fetch-data texts` writes.

The archive moves. The file is named by the release and the day that it is of, and known by its SHA-256; texts other
than those that the figures of the documentation were read on are used, and the run says so.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from metricgrad._checks import fail
from metricgrad._records import Note, event_of
from metricgrad._types import Observer
from metricgrad.tasks.folders import data_folder
from metricgrad.tune.checkpoint import write_atomically

__all__ = ["Archive", "Package", "Release", "read_archive", "write_archive"]

PACKAGES, RELEASE = "packages.jsonl", "release.json"


@dataclass(frozen=True)
class Package:
    """One binary package.

    Attributes:
        package: its name.
        source: the source package that it is built from.
        section: of the archive: games, libs, python.
        short: description in one line.
        long: description in some paragraphs, as the archive breaks its lines; may be empty.
    """

    package: str
    source: str
    section: str
    short: str
    long: str


@dataclass(frozen=True)
class Release:
    """Which state of the archive texts are of.

    Attributes:
        name: "Debian 12.15 (bookworm)".
        date: of the archive's release file, as it stands there.
        sha256: of the file of the packages.
    """

    name: str
    date: str
    sha256: str


@dataclass(frozen=True)
class Archive:
    """All packages of a release."""

    packages: tuple[Package, ...]
    release: Release


DOCUMENTED = Release(
    "Debian 12.15 (bookworm)",
    "Sat, 11 Jul 2026 10:16:37 UTC",
    "4d24a4a23f8556ed96f849e0c5c102291e3e77c5086a40c43e943f62e87c6140",
)
"""The texts that the figures of the documentation were read on."""


def write_archive(folder: Path, packages: list[Package], *, name: str, date: str) -> Release:
    """Write packages and what they are of to two plain files: a line of JSON for each package, and the release.

    Raises:
        RunFolderError: the folder cannot be written.
    """
    content = "".join(f"{json.dumps(asdict(one), ensure_ascii=False)}\n" for one in packages).encode()
    release = Release(name, date, hashlib.sha256(content).hexdigest())
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / PACKAGES, content)
    write_atomically(folder / RELEASE, f"{json.dumps(asdict(release), indent=2)}\n".encode())
    return release


def read_archive(task: str, folder: Path | None = None, observer: Observer | None = None) -> Archive:
    """Read the packages from the first folder that has them, and say where they are not the documented ones.

    Args:
        task: its name, for messages.
        folder: where the user says that they are; else `$METRICGRAD_DATA/debian` and `debian` in the user's cache
            folder.
        observer: called with a note where the release or the texts differ from the documented ones.

    Raises:
        InputError: they are in none, or damaged; the message names the command that fetches them.
    """
    place = data_folder(
        task,
        "debian",
        [PACKAGES, RELEASE],
        given=folder,
        what="the descriptions of packages",
        remedy="Get them with scripts/fetch-data texts (no root needed)",
    )
    try:
        release = Release(**json.loads((place / RELEASE).read_text(encoding="utf-8")))
        content = (place / PACKAGES).read_bytes()
        wrong = "" if hashlib.sha256(content).hexdigest() == release.sha256 else "does not have its checksum"
        packages = () if wrong else tuple(Package(**json.loads(line)) for line in content.splitlines())
    except (OSError, TypeError, ValueError) as error:
        packages, release, wrong = (), DOCUMENTED, f"cannot be read ({type(error).__name__}: {error})"
    if wrong:
        raise fail(
            f"task {task}",
            f"the file of the packages in {place} {wrong}",
            "the file that scripts/fetch-data wrote",
            "Delete the folder and fetch it again: scripts/fetch-data texts",
        )
    if observer is not None and release.sha256 != DOCUMENTED.sha256:
        observer(event_of(Note(_moved(release))))
    return Archive(packages, release)


def _moved(release: Release) -> str:
    """Say that figures are of other texts than those of the documentation."""
    return (
        f"The texts are those of {release.name} of {release.date} (sha256 {release.sha256[:12]}). The figures of the "
        f"documentation were read on {DOCUMENTED.name} of {DOCUMENTED.date} (sha256 {DOCUMENTED.sha256[:12]}): "
        "figures here are not comparable to them digit by digit."
    )
