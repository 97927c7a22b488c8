"""The file `record.jsonl` of a run, which somebody else may have written: read line by line, as plain values."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from metricgrad._documents import MEGABYTE, Unreadable, content_of, json_value

__all__ = ["read_record"]

LARGEST_RECORD = 256 * MEGABYTE
LONGEST_NUMBER = 18
"""Digits of a whole number in a record: what fits 64 bits everywhere it is shown."""


def read_record(path: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the events of a record file in order; a line cut short by a kill ends the file.

    Raises:
        Unreadable: a link or no ordinary file, too large, or (with its number) a line that is no event.
    """
    for number, line in enumerate(content_of(path, most=LARGEST_RECORD).split(b"\n")[:-1], start=1):
        try:
            event = json_value(line, digits=LONGEST_NUMBER)
        except Unreadable as error:
            raise Unreadable(f"{path} line {number}: {error}") from error
        if not isinstance(event, dict) or not isinstance(event.get("event"), str):
            raise Unreadable(f"{path} line {number}: it is no event: an object that names its `event`")
        yield _printable(event) if _UNPRINTABLE.search(line) else event


_UNPRINTABLE = re.compile(rb"\\u00[0189]|\\u007f|\\[bfr]|\xc2[\x80-\x9f]|\x7f")
"""Control characters, as JSON spells them: a terminal would take some of them for commands."""


def _printable(value: Any) -> Any:
    if isinstance(value, dict):
        return {_printable(key): _printable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_printable(item) for item in value]
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "\ufffd", value) if isinstance(value, str) else value
