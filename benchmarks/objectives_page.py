"""The tables of docs/objectives.md and docs/black-box.md, from the figures that their benchmarks wrote.

.venv/bin/python -m benchmarks.objectives_page     writes them into the pages; a test compares
"""

import csv
import re
from collections.abc import Mapping
from pathlib import Path

CONTROL = "cross-entropy"
DOCS = Path(__file__).parent.parent / "docs"
PAGES: Mapping[Path, tuple[str, str, str]] = {
    DOCS / "objectives.md": ("objectives-", CONTROL, "minus_cross_entropy"),
    DOCS / "black-box.md": ("black-box-", "continued", "minus_continued"),
}
"""Page -> what the names of its tables begin with, the plain control, and the column beside that."""
_BLOCK = re.compile(r"(<!-- ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def of_cell(name: str, start: str, plain: str, minus_plain: str) -> list[str]:
    """Every arm: its value on test, beside the plain control and beside the one that select prefers."""
    with (DOCS / f"{start}{name}.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    baseline = rows[0]["baseline"]
    further = [] if baseline == plain else [baseline]
    searched = [one for one in ("optimism", "calls") if one in rows[0]]
    heads = ["arm", "test", *(f"over {one}" for one in [plain, *further]), *searched, "claim"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for row in rows:
        cells = [row["arm"], f"{row['test']} ± {row['spread']}"]
        cells.append("" if row["arm"] == plain else _ends(row, minus_plain, "low", "high"))
        if further:
            above = _ends(row, "minus_baseline", "low_baseline", "high_baseline")
            cells.append("" if row["arm"] == baseline or row["claim"] == "control" else above)
        lines.append("| " + " | ".join([*cells, *(row[one] for one in searched), row["claim"]]) + " |")
    return lines


def attacks() -> list[str]:
    """The accuracy of every arm under each attack, and beside cross-entropy under the strongest."""
    with (DOCS / "objectives-attacks.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = list(dict.fromkeys((row["attack"], row["epsilon"]) for row in rows))
    heads = ["none" if attack == "none" else f"{attack}, {epsilon}" for attack, epsilon in names]
    lines = ["| arm | " + " | ".join(heads) + " |", "|---" * (len(names) + 1) + "|"]
    for arm in dict.fromkeys(row["arm"] for row in rows):
        own = {(row["attack"], row["epsilon"]): row for row in rows if row["arm"] == arm}
        lines.append(f"| {arm} | " + " | ".join(_attacked(own[name]) for name in names) + " |")
    return lines


def _attacked(row: Mapping[str, str]) -> str:
    """Accuracy, and its difference to cross-entropy where there is one."""
    beside = "" if row["arm"] == CONTROL else _ends(row, "minus_cross_entropy", "low", "high")
    return f"{row['accuracy']} {beside}".strip()


def _ends(row: Mapping[str, str], value: str, low: str, high: str) -> str:
    """A difference with its interval, bold where that leaves out 0."""
    if not row[low]:
        return ""
    told = f"{row[value]} ({row[low]} to {row[high]})"
    return f"**{told}**" if float(row[low]) > 0 or float(row[high]) < 0 else told


def written(page: Path) -> str:
    """The page with its tables anew."""

    def block(found: re.Match[str]) -> str:
        lines = attacks() if found[2] == "attacks" else of_cell(found[2], *PAGES[page])
        return "\n".join([found[1], *lines, "", found[3]])

    return _BLOCK.sub(block, page.read_text(encoding="utf-8"))


def main() -> None:
    """Write the pages."""
    for page in PAGES:
        page.write_text(written(page), encoding="utf-8")


if __name__ == "__main__":
    main()
