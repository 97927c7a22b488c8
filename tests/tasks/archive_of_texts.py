"""A small archive in the form of Debian's lists; every text is written here."""

from itertools import product
from pathlib import Path

from metricgrad.tasks.debian_packages import Package, write_archive

WORDS = {
    "games": ("chess", "puzzle", "racing", "card"),
    "sound": ("synthesiser", "equaliser", "drum", "tuner"),
    "math": ("matrix", "prime", "statistics", "graph"),
}


def packages() -> list[Package]:
    """24 packages of 12 sources in three sections: of each source a program and its documentation."""
    found = []
    for section, words in WORDS.items():
        for word, part in product(words, ("program", "manual")):
            name = word if part == "program" else f"{word}-doc"
            short, long = (
                f"{word} {part} of {section}",
                f"This {part} is about {word}.\nIt belongs to {section}.",
            )
            found.append(Package(name, word, section, short, long))
    return found


def write(folder: Path) -> Path:
    """Write them to a folder and return it."""
    write_archive(folder, packages(), name="Debian 0 (made up)", date="Thu, 01 Jan 1970 00:00:00 UTC")
    return folder


LISTS = {
    "packages": """Package: chess
Version: 1
Section: games
Description: Game of chess
Description-md5: 11

Package: chess-doc
Source: chess (1.0)
Section: doc
Description: Game of chess (manual)
Description-md5: 12

Package: silent
Section: games
Description: Without a text
Description-md5: 13
""",
    "translation": """Package: chess
Description-md5: 11
Description-en: Game of chess
 Two people play.
 .
 It has:
  * a board

Package: chess-doc
Description-md5: 12
Description-en: Game of chess (manual)
 How to play.

Package: silent
Description-md5: 99
Description-en: Another version
 Of the same package.
""",
    "release": """-----BEGIN PGP SIGNED MESSAGE-----
Hash: SHA256

Origin: Debian
Suite: stable
Version: 0.1
Codename: made-up
Date: Thu, 01 Jan 1970 00:00:00 UTC
SHA256:
 00 1 main/Packages
""",
}
"""Packages, Translation-en and InRelease of a release with three packages, one of them without its description."""
