"""One HTML file that shows what a run found and opens offline, for good.

Style, script, pictures and the plotting library stand inside the file, and a content policy forbids the page to
load anything from anywhere, so that a report that is mailed or archived shows the same in ten years. Text from the
record is escaped by the template; scripts are bound by their hash.
"""

import base64
import contextlib
import functools
import hashlib
import math
import os
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import plotly.graph_objects as go
from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from metricgrad._checks import describe, fail
from metricgrad._documents import MEGABYTE, Unreadable, content_of, json_value, yaml_document
from metricgrad._layout import temporary_of
from metricgrad.errors import RunFolderError
from metricgrad.report import fit, plot, sections, side, trust, wording
from metricgrad.report.look import look_of
from metricgrad.report.picture import checked_picture
from metricgrad.report.reading import Run, read_run

__all__ = ["render"]

LARGEST_PICTURES, LARGEST_PAGE = 32 * MEGABYTE, 256 * MEGABYTE
"""Bytes of a file of pictures, and of a page."""
MOST_PIXELS = 2**28
_GENERATOR = b'<meta name="generator" content="metricgrad">'


class _Figure(NamedTuple):
    """A plot as the page needs it: the data of plotly, a heading, and what a reader who cannot see it is told."""

    data: Markup
    label: str
    height: int


def render(folder: Path, *, out: Path | None = None) -> Path:
    """Write the report of a run folder as one self-contained HTML file.

    Args:
        folder: the run folder; `record.jsonl` is read, and `gallery.json`, `examples.json` and `config.yaml` where
            they exist.
        out: the file to write. Default: `report.html` in the run folder.

    Returns:
        the path of the file.

    Raises:
        InputError: the record is missing, or it, the gallery or the examples are damaged or of another form.
        RunFolderError: the file cannot be written.

    Edge cases:
        an unfinished run shows how far it got and its curves so far; a run without a test split, a proxy, several
        seeds, curves over k, a learned surrogate, a gallery or examples goes without the part. The same files give
        the same bytes.

    Cost:
        well under a second; about 5 MB on disk, nearly all of it the plotting library.
    """
    folder = Path(folder)
    run, lines = read_run(folder)
    text = _page(folder, run, lines)
    target = Path(out) if out is not None else folder / "report.html"
    _write(target, text)
    return target


def _page(folder: Path, run: Run, lines: int) -> str:
    """The text of the page."""
    library = get_plotlyjs().replace("\r\n", "\n").replace("</script", "<\\/script")
    script = _asset("page.js")
    return _template().render(
        name=os.fsencode(folder.resolve().name).decode(errors="replace"),
        run=run,
        look=lambda arm: look_of(run, arm).style if arm in run.arms else "",
        words=wording,
        style=Markup(_asset("page.css")),
        library=Markup(library),
        script=Markup(script),
        hashes=[_hash(library), _hash(script)],
        arms=sections.arm_rows(run),
        gains=sections.gain_rows(run),
        contenders=sections.contender_table(run),
        sides=side.side_tables(run, every_interval=True),
        fall=side.FALL,
        facts=sections.fact_rows(run),
        hits=sections.hit_rows(run),
        settings=sections.setting_rows(run),
        tries=sections.try_table(run),
        splits=sections.split_table(run),
        provenance=sections.provenance_rows(run, lines),
        config=_config(folder),
        gallery=_gallery(folder / "gallery.json"),
        examples=_examples(folder / "examples.json"),
        surrogate=_surrogate(run),
        **_figures(run),
    )


@functools.cache
def _template() -> Template:
    environment = Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    return environment.from_string(_asset("page.html"))


def _figures(run: Run) -> dict[str, Any]:
    """The plots by the name under which the template shows them; None where there is nothing to draw."""
    metric = run.start.metric
    losses = {
        arm: _figure(plot.loss_figure(run, arm), f"Training loss of the {arm} arm over steps")
        for arm in run.arms
    }
    return {
        "gain_plot": _figure(
            plot.gain_figure(run),
            f"Gain of the {run.contender} model in test {metric} with interval; the table beside it",
        ),
        "select_plot": _figure(
            plot.select_figure(run), f"Select {metric} over training steps by arm and seed"
        ),
        "start_plot": _figure(
            plot.select_figure(run, start_stage=True), f"Select {metric} of the start model"
        ),
        "loss_plots": {arm: figure for arm, figure in losses.items() if figure},
        "hit_plot": _figure(plot.hit_figure(run), "Hits among the k nearest over k by arm; numbers below"),
        "hit_gain_plot": _figure(
            plot.hit_gain_figure(run), "Hits among the k nearest, difference to the start"
        ),
    }


def _surrogate(run: Run) -> dict[str, Any] | None:
    """What the page shows of a learned surrogate; None for a run without one."""
    stages = trust.fitted_stages(run)
    if not stages:
        return None
    pairs = []
    for stage in stages:
        found = []
        for event in trust.shown_events(stage):
            label = f"Estimate against metric, seed {stage.seed}, step {event.step}"
            title = f"Step {event.step:,}" if event.step else "Step 0, after the warm-up of the surrogate"
            if figure := _figure(fit.pair_figure(stage, event), label):
                found.append((f"fit-{stage.seed}-{event.step}", title, figure))
        pairs += [(stage.seed, found)] if found else []
    curves = [
        (f"fit-{name}", title, _figure(figure, f"{title} of the learned surrogate over training steps"))
        for name, (title, figure) in fit.curve_figures(run).items()
    ]
    return {
        "reading": trust.trust_reading(run),
        "table": trust.trust_table(run),
        "pairs": pairs,
        "key": fit.pair_key(run),
        "curves": curves,
    }


def _figure(figure: go.Figure | None, label: str) -> _Figure | None:
    """A plot as JSON that may stand inside a script element: no `<` can end the element."""
    if figure is None:
        return None
    text = str(figure.to_json()).replace("<", "\\u003c")
    return _Figure(Markup(text), label, int(figure.layout.height))  # pyright: ignore[reportAttributeAccessIssue]


def _gallery(path: Path) -> Mapping[str, Any] | None:
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


def _examples(path: Path) -> Mapping[str, Any] | None:
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
        return {**examples, **sections.example_cards(examples)}


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


def _config(folder: Path) -> str | None:
    """The settings file of the run as it is; of a file that is none, why it is not shown; None where there is none."""
    path = folder / "config.yaml"
    if not path.exists():
        return None
    try:
        content = content_of(path, most=4 * MEGABYTE)
        settings = yaml_document(content, own=True).value
    except Unreadable as error:
        return f"config.yaml is not shown: {error}."
    if not isinstance(settings, dict) or not {"asked", "found"} <= set(settings):
        return "config.yaml is not shown: it is not the settings of a run."
    return content.decode("utf-8-sig")


def _asset(name: str) -> str:
    """A file that stands beside this module."""
    return files("metricgrad.report").joinpath(name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    """The hash by which the page's content policy admits a script."""
    return base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")


def _write(target: Path, text: str) -> None:
    """Write a file beside its place and rename it, so that a reader never sees half of it."""
    try:
        old = content_of(target, most=LARGEST_PAGE)[:1000] if os.path.lexists(target) else _GENERATOR
    except Unreadable as error:
        raise _unwritable(target, str(error)) from error
    if old and _GENERATOR not in old:
        raise _unwritable(target, "it is a file of another program, and is not overwritten")
    beside = temporary_of(target)
    try:
        with beside.open("x", encoding="utf-8", errors="replace", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, target)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise _unwritable(target, error.strerror or str(error)) from error


def _unwritable(target: Path, why: str) -> RunFolderError:
    return RunFolderError(
        f"report: {target} cannot be written ({why}); expected a place with room that may be written to. Give another "
        "place: --out FILE, or render(folder, out=FILE)."
    )
