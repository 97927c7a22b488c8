"""The files that pages are made of, which stand beside this module: templates, style, script."""

import base64
import functools
import hashlib
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from markupsafe import Markup

from metricgrad.report import wording
from metricgrad.report.foreign_text import shown

__all__ = ["asset", "template"]


def asset(name: str) -> str:
    """Return the text of a file."""
    return files("metricgrad.report").joinpath(name).read_text(encoding="utf-8")


@functools.cache
def template(name: str) -> Template:
    """Return a template, which may take from the others; what it is not given is an error.

    Text is escaped, and its hidden characters are spelt out. All know `wording`, `style` and `script`, and the
    `hash` by which a content policy admits the script.
    """
    environment = Environment(
        loader=FunctionLoader(asset),
        autoescape=True,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    script = asset("page.js")
    environment.globals.update(
        wording=wording, style=Markup(asset("page.css")), script=Markup(script), hash=_hash(script)
    )
    return environment.get_template(name)


def _hash(script: str) -> str:
    """The hash by which a content policy admits a script."""
    return base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
