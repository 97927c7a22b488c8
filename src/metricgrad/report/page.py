"""One HTML file that shows what a run found and opens offline, for good.

Style, script, figures and pictures stand inside the file, and a content policy forbids the page to
load anything from anywhere, so that a report that is mailed or archived shows the same in ten years. Text from the
record is escaped by the template; scripts are bound by their hash.
"""

import os
from pathlib import Path

from metricgrad.report import documents
from metricgrad.report.figures import decided, figures, surrogate
from metricgrad.report.page_file import write_page
from metricgrad.report.parts import parts
from metricgrad.report.reading import Run, read_run
from metricgrad.report.template import template

__all__ = ["render"]


def render(folder: Path, *, out: Path | None = None) -> Path:
    """Write the report of a run folder as one self-contained HTML file.

    Args:
        folder: the run folder; `record.jsonl` is read, and `gallery.json`, `examples.json`, `config.yaml` and what
            `adapt` left where they exist.
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
        well under a second; some 200 KB on disk and a third more than the pictures have.
    """
    folder = Path(folder)
    run, lines = read_run(folder)
    text = _page(folder, run, lines)
    target = Path(out) if out is not None else folder / "report.html"
    write_page(target, text)
    return target


def _page(folder: Path, run: Run, lines: int) -> str:
    """The text of the page."""
    config = documents.config(folder)
    return template("page.html").render(
        name=os.fsencode(folder.resolve().name).decode(errors="replace"),
        run=run,
        decided=decided(run),
        adaptation=documents.adaptation(folder),
        config=None if config is None else config.text,
        gallery=documents.gallery(folder / "gallery.json"),
        examples=documents.examples(folder / "examples.json"),
        surrogate=surrogate(run),
        **figures(run),
        **parts(run, None if config is None else config.values, lines),
    )
