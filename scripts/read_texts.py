"""Join Debian's list of packages with the list of their descriptions: the second half of `scripts/fetch-data texts`.

    .venv/bin/python scripts/read_texts.py PACKAGES TRANSLATION RELEASE FOLDER

PACKAGES, TRANSLATION and RELEASE are the archive's files Packages, Translation-en and InRelease, unpacked. A package
and its description belong together by name and Description-md5. Those that have a description are written to FOLDER.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from metricgrad.tasks.debian_packages import DOCUMENTED, Package, write_archive


def main() -> None:
    """Read the three files, write the packages."""
    packages, translation, release, folder = map(Path, sys.argv[1:])
    texts = {
        (one["Package"], one["Description-md5"]): description(one["Description-en"])
        for one in paragraphs(translation)
    }
    found = []
    for one in paragraphs(packages):
        text = texts.get((one["Package"], one.get("Description-md5", "")))
        if text is not None:
            source = one.get("Source", one["Package"]).split(" ")[0]
            found.append(Package(one["Package"], source, one.get("Section", ""), *text))
    if not found:
        sys.exit(
            "scripts/fetch-data: no package has a description: apt's lists are not those of a Debian archive."
        )
    facts = next(facts for facts in paragraphs(release) if "Codename" in facts)
    name = f"{facts['Origin']} {facts.get('Version', facts['Suite'])} ({facts['Codename']})"
    written = write_archive(folder, found, name=name, date=facts["Date"])
    print(f"scripts/fetch-data: {len(found):,} packages of {name}, {written.date}", file=sys.stderr)
    if written.sha256 != DOCUMENTED.sha256:
        print(
            f"scripts/fetch-data: the figures of docs/tasks.md were read on {DOCUMENTED.name}, {DOCUMENTED.date}. "
            "The archive has moved since: figures will differ.",
            file=sys.stderr,
        )


def paragraphs(path: Path) -> Iterator[dict[str, str]]:
    """Read a file of Debian's control format: fields of each paragraph, further lines without their first blank."""
    with path.open(encoding="utf-8") as file:
        fields: dict[str, str] = {}
        name = ""
        for line in map(str.rstrip, file):
            if not line:
                if fields:
                    yield fields
                fields = {}
            elif line[0] in " \t":
                fields[name] += f"\n{line[1:]}"
            else:
                name, _, value = line.partition(":")
                fields[name] = value.strip()
        if fields:
            yield fields


def description(text: str) -> tuple[str, str]:
    """Part a description into its short line and its paragraphs; a line with a dot alone is an empty one."""
    short, _, rest = text.partition("\n")
    return short, "\n".join("" if line == "." else line for line in rest.splitlines())


if __name__ == "__main__":
    main()
