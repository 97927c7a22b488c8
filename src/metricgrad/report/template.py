"""The files that pages are made of, which stand beside this module: templates, style, script."""

import functools
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from markupsafe import Markup

from metricgrad.report import wording

__all__ = ["asset", "template"]


def asset(name: str) -> str:
    """Return the text of a file."""
    return files("metricgrad.report").joinpath(name).read_text(encoding="utf-8")


@functools.cache
def template(name: str) -> Template:
    """Return a template, which may take from the others; what it is not given is an error, and text is escaped.

    All know `wording` and `style`.
    """
    environment = Environment(
        loader=FunctionLoader(asset),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.globals.update(wording=wording, style=Markup(asset("page.css")))
    return environment.get_template(name)
