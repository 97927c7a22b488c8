"""What the page shows of a run folder beside its record, each file checked: pictures, settings, what `adapt` left."""

import contextlib
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from metricgrad._checks import describe, fail
from metricgrad._documents import MEGABYTE, Unreadable, content_of, json_value, yaml_document
from metricgrad.report.adapted import adapted_part
from metricgrad.report.picture import checked_picture
from metricgrad.report.sections import example_cards

__all__ = ["Settings", "adaptation", "config", "examples", "gallery"]

LARGEST_PICTURES = 32 * MEGABYTE
"""Bytes of a file of pictures."""
MOST_PIXELS = 2**28


def gallery(path: Path) -> Mapping[str, Any] | None:
    """The pictures of queries whose neighbours changed, checked; None where the run has none."""
    with _damage_named(
        path, "an object with caption, before, after, better and worse, pictures as base64 of PNG"
    ):
        if (gallery := _document(path)) is None:
            return None
        shown = []
        for entry in [*gallery["better"], *gallery["worse"]]:
            neighbours = [*entry["before"], *entry["after"]]
            shown += [entry["query"], *neighbours]
            for neighbour in neighbours:
                _require(isinstance(neighbour["relevant"], bool), "relevant is neither true nor false")
                neighbour["similarity"] = float(neighbour["similarity"])
        _check_pictures(shown)
        return gallery


def examples(path: Path) -> Mapping[str, Any] | None:
    """The samples that changed, checked and ready to be shown; None where the run has none."""
    with _damage_named(
        path, "an object with caption, before, after, metric, better and worse, as `tune` writes it"
    ):
        if (examples := _document(path)) is None:
            return None
        _require(isinstance(examples["metric"], str), f"metric is {describe(examples['metric'])}")
        for key in ("letters", "boxes"):
            _require(isinstance(examples[key], bool), f"{key} is neither true nor false")
        _check_pictures([*examples["better"], *examples["worse"]])
        for entry in [*examples["better"], *examples["worse"]]:
            for text in (entry["target"], entry["before"]["text"], entry["after"]["text"]):
                _require(text is None or isinstance(text, str), f"a text is {describe(text)}")
            for side in (entry["before"], entry["after"]):
                _require(math.isfinite(side["value"]), f"a value is {describe(side['value'])}")
        return {**examples, **example_cards(examples)}


def adaptation(folder: Path) -> Mapping[str, Any] | None:
    """What adapted.json and per-query.csv of a run of `adapt` say; None for any other run."""
    path, queries = folder / "adapted.json", folder / "per-query.csv"
    if not path.exists():
        return None
    with _damage_named(path, "this file and per-query.csv beside it, as `metricgrad adapt` writes them"):
        text = content_of(queries).decode() if queries.exists() else ""
        return adapted_part(json_value(content_of(path)), text)


def _check_pictures(items: list[Any]) -> None:
    """Check every picture, and that a browser can hold all of them."""
    pixels = sum(checked_picture(item) for item in items)
    _require(
        pixels <= MOST_PIXELS,
        f"its {len(items):,} pictures have {pixels:,} pixels, more than {MOST_PIXELS:,}",
    )


def _document(path: Path) -> Any:
    """The object in a file of pictures, its texts checked; None where there is no such file."""
    if not path.exists():
        return None
    document = json_value(content_of(path, most=LARGEST_PICTURES))
    for key in ("caption", "before", "after"):
        _require(isinstance(document[key], str), f"{key} is {describe(document[key])}")
    return document


@contextlib.contextmanager
def _damage_named(path: Path, expected: str) -> Iterator[None]:
    """Turn what goes wrong while a file of pictures is read into an error that names the file."""
    try:
        yield
    except (ValueError, KeyError, TypeError) as error:
        raise fail(
            "report",
            f"{path} is damaged ({type(error).__name__}: {error})",
            expected,
            "Delete the file to get a report without it.",
        ) from error


def _require(condition: bool, came: str) -> None:
    """Raise ValueError with what came, where a condition does not hold."""
    if not condition:
        raise ValueError(came)


class Settings(NamedTuple):
    """The settings file of a run as it is, or why it is not shown; what it holds, where it is one."""

    text: str
    values: Mapping[str, Any] | None


def config(folder: Path) -> Settings | None:
    """The settings file of the run; of a file that is none, why it is not shown; None where there is none."""
    path = folder / "config.yaml"
    if not path.exists():
        return None
    try:
        content = content_of(path, most=4 * MEGABYTE)
        settings = yaml_document(content, own=True).value
    except Unreadable as error:
        return Settings(f"config.yaml is not shown: {error}.", None)
    if not isinstance(settings, dict) or not {"asked", "found"} <= set(settings):
        return Settings("config.yaml is not shown: it is not the settings of a run.", None)
    return Settings(content.decode("utf-8-sig"), settings)
