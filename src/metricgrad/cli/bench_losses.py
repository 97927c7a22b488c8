"""`metricgrad bench losses`: every loss beside torch's cross-entropy."""

from functools import partial
from typing import Annotated

import typer

from metricgrad.cli.bench import items_of, show_rows
from metricgrad.cli.bench_tables import draw_losses
from metricgrad.cli.output import JsonOption, QuietOption, examples

__all__ = ["EXAMPLES", "losses"]

EXAMPLES = examples(
    "metricgrad bench losses",
    "metricgrad bench losses --only complement_entropy,circle --samples 16384",
    "metricgrad bench losses --threads 1 --json > losses.json",
)


def losses(
    samples: Annotated[int, typer.Option(min=8, help="Samples of a batch: rows, queries or pixels.")] = 4096,
    classes: Annotated[int, typer.Option(min=3, help="Columns of class scores.")] = 100,
    dims: Annotated[int, typer.Option(min=1, help="Dimensions of an embedding.")] = 64,
    threads: Annotated[int, typer.Option(min=1, help="Threads of torch.")] = 1,
    repeats: Annotated[int, typer.Option(min=1, help="Turns of each; the median counts.")] = 5,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[,NAME...]", help="Names as `metricgrad list losses` has them."),
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Time of every loss, forward and backward, beside torch's cross-entropy on outputs of the same shape.

    Each loss has its defaults; class scores and embeddings are drawn from N(0, 1), embeddings have 4 rows a class.
    Losses of ranks include the ranks. Ctrl-C prints what is finished.
    """
    from metricgrad.bench.loss_steps import measured_losses

    names = [name.removesuffix("_loss") for name in items_of(only, ())]
    sizes = {"samples": samples, "classes": classes, "dims": dims, "threads": threads, "repeats": repeats}
    measure = partial(measured_losses, names, **sizes)
    show_rows(lambda tell: measure(tell=tell), sizes, draw_losses, quiet=quiet, as_json=as_json)
