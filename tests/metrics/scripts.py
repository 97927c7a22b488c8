"""Small programs that measure, written where a test wants them."""

import sys
from pathlib import Path

SHARE = """
import csv, sys
rows = list(csv.DictReader(open(sys.argv[1], newline="")))
print("a line before")
print(sum(row["prediction"] == row["target"] for row in rows) / len(rows))
print()
"""
"""The share of the predictions that are their target."""


def script(path: Path, text: str) -> Path:
    """A program in Python that can be executed; it starts without site-packages, which is faster."""
    path.write_text(f"#!{sys.executable} -IS\n{text}", encoding="utf-8")
    path.chmod(0o755)
    return path
