"""One HTML file that shows what a run found and opens offline, for good.

Style, script, pictures and the plotting library stand inside the file, and a content policy forbids the page to
load anything from anywhere, so that a report that is mailed or archived shows the same in ten years. Text from the
record is escaped by the template; scripts are bound by their hash.
"""

import base64
import hashlib
import os
from pathlib import Path

from markupsafe import Markup
from plotly.offline import get_plotlyjs

from metricgrad.report import documents, sections, side
from metricgrad.report.figures import decided, figures, surrogate
from metricgrad.report.look import look_of
from metricgrad.report.page_file import write_page
from metricgrad.report.reading import Run, read_run
from metricgrad.report.template import asset, template

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
        well under a second; about 5 MB on disk, nearly all of it the plotting library.
    """
    folder = Path(folder)
    run, lines = read_run(folder)
    text = _page(folder, run, lines)
    target = Path(out) if out is not None else folder / "report.html"
    write_page(target, text)
    return target


def _page(folder: Path, run: Run, lines: int) -> str:
    """The text of the page."""
    library = get_plotlyjs().replace("\r\n", "\n").replace("</script", "<\\/script")
    script = asset("page.js")
    return template("page.html").render(
        name=os.fsencode(folder.resolve().name).decode(errors="replace"),
        run=run,
        look=lambda arm: look_of(run, arm).style if arm in run.arms else "",
        library=Markup(library),
        script=Markup(script),
        hashes=[_hash(library), _hash(script)],
        arms=sections.arm_rows(run),
        gains=sections.gain_rows(run),
        contenders=sections.contender_table(run),
        decided=decided(run),
        sides=side.side_tables(run, every_interval=True),
        fall=side.FALL,
        facts=sections.fact_rows(run),
        hits=sections.hit_rows(run),
        settings=sections.setting_rows(run),
        tries=sections.try_table(run),
        splits=sections.split_table(run),
        provenance=sections.provenance_rows(run, lines),
        adaptation=documents.adaptation(folder),
        config=documents.config(folder),
        gallery=documents.gallery(folder / "gallery.json"),
        examples=documents.examples(folder / "examples.json"),
        surrogate=surrogate(run),
        **figures(run),
    )


def _hash(script: str) -> str:
    """The hash by which the page's content policy admits a script."""
    return base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
