"""`metricgrad bench blackbox`: every black-box method beside a plain step."""

from functools import partial
from typing import Annotated

import typer

from metricgrad.cli.bench import show_rows
from metricgrad.cli.bench_tables import draw_blackbox
from metricgrad.cli.output import JsonOption, QuietOption, examples

__all__ = ["EXAMPLES", "blackbox"]

EXAMPLES = examples(
    "metricgrad bench blackbox",
    "metricgrad bench blackbox --items 10000 --metric mcc",
    "metricgrad bench blackbox --json > blackbox.json",
)


def blackbox(
    items: Annotated[int, typer.Option(min=100, help="Items to fit, and as many in the pool.")] = 2000,
    classes: Annotated[int, typer.Option(min=2, help="Columns of class scores.")] = 10,
    batch: Annotated[int, typer.Option(min=8, help="Items of a batch.")] = 256,
    metric: Annotated[str, typer.Option(help="What the judge measures.")] = "macro_f1",
    threads: Annotated[int, typer.Option(min=1, help="Threads of torch.")] = 1,
    repeats: Annotated[int, typer.Option(min=1, help="Turns of each; the median counts.")] = 5,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Time of a step of every black-box method, and of one call of its judge, beside a plain step.

    A plain step is cross-entropy of a batch and AdamW, of a network of two layers of 64. Each method has its defaults:
    a candidate of the mixture search is trained for 30 steps, a step of the evolution strategy calls the metric 16
    times. Ctrl-C prints what is finished.
    """
    from metricgrad.bench.blackbox_steps import measured_steps

    sizes = {"items": items, "classes": classes, "batch": batch, "threads": threads, "repeats": repeats}
    measure = partial(measured_steps, **sizes, metric=metric)
    facts = {**sizes, "metric": metric}
    show_rows(lambda tell: measure(tell=tell), facts, draw_blackbox, quiet=quiet, as_json=as_json)
