"""`metricgrad bench`: metricgrad beside its peers and beside what matrix products alone would take."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metricgrad.cli import bench_direct, bench_learned
from metricgrad.cli.output import JsonOption, QuietOption, complain, console, examples, print_json
from metricgrad.errors import InputError

if TYPE_CHECKING:
    from metricgrad.cli.measuring import Measurement

__all__ = ["EXAMPLES", "commands", "ranks"]

EXAMPLES = examples(
    "metricgrad bench ranks",
    "metricgrad bench ranks --batch 256,1024,4096,16384 --plot ranks.html",
    "metricgrad bench ranks --batch 65536 --dims 128 --limit 600 --only ours,product,products",
    "metricgrad bench ranks --json > ranks.json",
)

_SECONDS_BETWEEN_LINES = 5.0
"""Where standard error is no terminal."""

commands = typer.Typer(
    name="bench",
    help="Measure metricgrad on this machine, beside its peers and beside what matrix products alone would take.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EXAMPLES,
)
commands.command("direct", epilog=bench_direct.EXAMPLES)(bench_direct.direct)
commands.command("learned", epilog=bench_learned.EXAMPLES)(bench_learned.learned)


@commands.command("ranks", epilog=EXAMPLES)
def ranks(
    batch: Annotated[
        list[str] | None,
        typer.Option(metavar="N[,N...]", help="Rows of a batch, multiples of 4. Default: 256,1024,4096."),
    ] = None,
    dims: Annotated[int, typer.Option(min=1, help="Dimensions of an embedding.")] = 512,
    noise: Annotated[
        list[str] | None,
        typer.Option(
            metavar="X[,X...]", help="Noise around the class centres. Default: 2.0 (early), 0.3 (trained)."
        ),
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Turns of each; the median counts.")] = 5,
    limit: Annotated[
        float, typer.Option(min=0.001, help="Most seconds of a call; else it is left out.")
    ] = 60.0,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[,NAME...]",
            help="Contestants: ours, plain, dense, product, products, SmoothAPLoss, ...",
        ),
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Write a plot over batch size to this HTML file.")] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Time and memory of soft ranks with a recall@k loss, forward and backward, beside peers and products.

    Float32, 4 rows a class, k = 1, 2, 4, 8, 16, temperature 0.01. Contestants take turns, each in a process of its
    own; one that is not installed, too large or too slow is left out and the table says why. Ctrl-C prints what is
    finished.
    """
    from metricgrad.cli.measuring import measure

    batches = [_batch_size(text) for text in _items(batch, ("256", "1024", "4096"))]
    noises = [_noise(text) for text in _items(noise, ("2.0", "0.3"))]
    names = _contestants(_items(only, ()))
    if plot is not None and not plot.absolute().parent.is_dir():
        raise InputError(f"bench ranks: there is no folder {plot.parent} for --plot; make it first.")
    measured: list[Measurement] = []
    interrupted = False
    with _told(quiet=quiet) as tell:
        try:
            for part in measure(
                batches, noises, dims=dims, repeats=repeats, limit=limit, only=names, tell=tell
            ):
                measured += part
        except KeyboardInterrupt:
            interrupted = True
    facts = {"repeats": repeats, "limit": limit, "interrupted": interrupted, **_facts(measured, noises)}
    print_json(facts) if as_json else _draw(measured, facts)
    if plot is not None:
        from metricgrad.report.growth import write_growth

        write_growth(facts["rows"], plot)
    if interrupted:
        complain(KeyboardInterrupt("interrupted; what was finished is shown"))
        raise typer.Exit(130)


def _items(given: list[str] | None, default: tuple[str, ...]) -> list[str]:
    """The items of an option that may be repeated and may hold commas."""
    return [item.strip() for text in given or [] for item in text.split(",") if item.strip()] or list(default)


def _batch_size(text: str) -> int:
    from metricgrad.cli.contestants import PER_CLASS

    if not text.isdecimal() or int(text) % PER_CLASS or int(text) < 2 * PER_CLASS:
        raise InputError(
            f"bench ranks: --batch {text}; expected a multiple of {PER_CLASS} from {2 * PER_CLASS} on."
        )
    return int(text)


def _noise(text: str) -> float:
    from metricgrad._checks import positive_number

    try:
        number = float(text)
    except ValueError as error:
        raise InputError(f"bench ranks: --noise {text}; expected a number > 0.") from error
    return positive_number("bench ranks", "--noise", number)


def _contestants(names: list[str]) -> list[str]:
    from metricgrad._checks import nearest
    from metricgrad.cli.contestants import CONTESTANTS

    known = [one.name for one in CONTESTANTS]
    for name in names:
        if name not in known:
            raise InputError(f"bench ranks: there is no contestant {name!r}. {nearest(name, known)}")
    return names


@contextmanager
def _told(*, quiet: bool) -> Iterator[Callable[[str], None]]:
    """Draw what is going on on standard error: one line that changes, or a line now and then."""
    if quiet:
        yield lambda text: None
    elif sys.stderr.isatty():
        with console(stderr=True).status("") as status:
            yield lambda text: status.update(text)
    else:
        last = [-_SECONDS_BETWEEN_LINES]

        def line(text: str) -> None:
            if time.monotonic() - last[0] >= _SECONDS_BETWEEN_LINES:
                last[0] = time.monotonic()
                sys.stderr.write(text + "\n")
                sys.stderr.flush()

        yield line


def _facts(measured: "list[Measurement]", noises: list[float]) -> dict[str, Any]:
    """Everything that the table says, ready for JSON."""
    from metricgrad.cli import measuring

    machine = next((one.facts for one in measured if one.facts), {})
    kernel = next((one.facts["kernel"] for one in measured if one.contestant == "ours" and one.facts), None)
    rows = [
        {
            "contestant": one.contestant, "batch": one.batch, "dims": one.dims, "noise": one.noise,
            "seconds": one.seconds, "turns": one.turns, "peak_bytes": one.peak_bytes,
            **measuring.ratios(one, measured), "left_out": one.left_out,
        }
        for one in measured
    ]  # fmt: skip
    exponents = [
        {"noise": noise, **{name: measuring.exponent(measured, name, noise) for name in ("ours", "product")}}
        for noise in noises
    ]
    return {**machine, "kernel": kernel, "rows": rows, "exponents": exponents}


def _draw(measured: "list[Measurement]", facts: dict[str, Any]) -> None:
    """Print a table for each embedding, the exponents, and what the names mean."""
    from rich.text import Text

    from metricgrad.cli.contestants import CONTESTANTS

    out = console()
    for noise in dict.fromkeys(one.noise for one in measured):
        out.print(_table(noise, [row for row in facts["rows"] if row["noise"] == noise]))
    for row in facts["exponents"]:
        grown = [f"{name} {row[name]:.2f}" for name in ("ours", "product") if row[name] is not None]
        if grown:
            out.print(
                Text(f"Time grows like batch to the power of: {', '.join(grown)} (noise {row['noise']}).")
            )
    seen = {one.contestant for one in measured}
    for one in CONTESTANTS:
        if one.name in seen:
            out.print(Text(f"{one.name}: {one.line}."))
    if "threads" in facts:
        out.print(
            Text(
                f"Medians of {facts['repeats']} turns, torch {facts['torch']}, {facts['threads']} threads, "
                f"kernel {facts['kernel'] or 'not measured'}."
            )
        )


def _table(noise: float, rows: list[dict[str, Any]]) -> Any:
    from rich.table import Table

    table = Table(title=f"Forward + backward, noise {noise}, {rows[0]['dims']} dimensions")
    for name in ("batch", "contestant", "ms", "peak MB", "/ product", "/ products", "SmoothAP /"):
        table.add_column(name, justify="left" if name == "contestant" else "right", no_wrap=True)
    table.add_column("left out", overflow="fold")
    before = None
    for row in rows:
        if before not in (None, row["batch"]):
            table.add_section()
        before = row["batch"]
        table.add_row(
            f"{row['batch']:,}", row["contestant"],
            _number(row["seconds"], 1e3, 1), _number(row["peak_bytes"], 1e-6, 1),
            *(_number(row[key], 1, 2) for key in ("to_product", "to_products", "smooth_ap_to_this")),
            row["left_out"],
        )  # fmt: skip
    return table


def _number(value: float | None, factor: float, digits: int) -> str:
    return "" if value is None else f"{value * factor:,.{digits}f}"
