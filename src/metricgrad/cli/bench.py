"""`metricgrad bench`: metricgrad beside its peers and beside what matrix products alone would take."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metricgrad.cli.bench_tables import draw_decodes, draw_learned, draw_ranks
from metricgrad.cli.output import JsonOption, QuietOption, complain, console, examples, print_json

if TYPE_CHECKING:
    from metricgrad.bench.measuring import Measurement

__all__ = ["EXAMPLES", "commands", "items_of", "ranks", "show_rows", "told"]

EXAMPLES = examples(
    "metricgrad bench ranks",
    "metricgrad bench ranks --batch 256,1024,4096,16384 --plot ranks.html",
    "metricgrad bench ranks --batch 65536 --dims 128 --limit 600 --only ours,product,products",
    "metricgrad bench ranks --json > ranks.json",
)

EXAMPLES_OF_DIRECT = examples(
    "metricgrad bench direct",
    "metricgrad bench direct --positives 20000 --negatives 1000000 --no-peers",
    "metricgrad bench direct --json > direct.json",
)
EXAMPLES_OF_LEARNED = examples(
    "metricgrad bench learned",
    "metricgrad bench learned --only steps --batch 256 --threads 1",
    "metricgrad bench learned --only texts,boxes --texts 1000000 --boxes 1000000 --no-peers",
    "metricgrad bench learned --json > learned.json",
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
    from metricgrad._checks import fail
    from metricgrad.bench.measuring import facts_of, measure

    batches = [_batch_size(text) for text in items_of(batch, ("256", "1024", "4096"))]
    noises = [_noise(text) for text in items_of(noise, ("2.0", "0.3"))]
    names = _contestants(items_of(only, ()))
    if plot is not None and not plot.absolute().parent.is_dir():
        raise fail(
            "bench ranks", f"--plot {plot}", "a file in a folder that exists", f"Make {plot.parent} first."
        )
    measured: list[Measurement] = []
    interrupted = False
    with told(quiet=quiet) as tell:
        try:
            for part in measure(
                batches, noises, dims=dims, repeats=repeats, limit=limit, only=names, tell=tell
            ):
                measured += part
        except KeyboardInterrupt:
            interrupted = True
    facts = {"repeats": repeats, "limit": limit, "interrupted": interrupted, **facts_of(measured, noises)}
    print_json(facts) if as_json else draw_ranks(facts)
    if plot is not None:
        from metricgrad.report.growth import write_growth

        write_growth(facts["rows"], plot)
    if interrupted:
        complain(KeyboardInterrupt("interrupted; what was finished is shown"))
        raise typer.Exit(130)


@commands.command("direct", epilog=EXAMPLES_OF_DIRECT)
def direct(
    positives: Annotated[int, typer.Option(min=1, help="Relevant items of the one ranking.")] = 2000,
    negatives: Annotated[int, typer.Option(min=1, help="Other items.")] = 10_000,
    epsilon: Annotated[float, typer.Option(min=1e-12, help="How far a decode is perturbed.")] = 1.0,
    threads: Annotated[int, typer.Option(min=1, help="Threads of torch.")] = 1,
    repeats: Annotated[int, typer.Option(min=1, help="Turns of each; the median counts.")] = 5,
    peers: Annotated[
        bool,
        typer.Option(
            "--peers/--no-peers", help="Run the plain torch forms beside: O(positives x negatives)."
        ),
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Time of one decode of each kind: average precision by both signs, a cut-off, and F1, sorting included.

    Scores are N(0, 1), those of the positives 0.5 higher, one query. "rows" is the exact programme over positives by
    negatives in plain torch, which has one vector operation for each positive; "table" is the whole table of counts.
    """
    import torch

    from metricgrad.bench.decodes import measured_decodes

    sizes = {"positives": positives, "negatives": negatives, "epsilon": epsilon, "threads": threads}
    rows = measured_decodes(**sizes, repeats=repeats, peers=peers)
    facts = {**sizes, "repeats": repeats, "torch": torch.__version__, "rows": rows}
    print_json(facts) if as_json else draw_decodes(facts)


@commands.command("learned", epilog=EXAMPLES_OF_LEARNED)
def learned(
    batch: Annotated[int, typer.Option(min=2, help="Samples of a step, pairs of a surrogate step.")] = 128,
    texts: Annotated[int, typer.Option(min=1, help="Pairs of words of 3 to 12 letters.")] = 100_000,
    boxes: Annotated[int, typer.Option(min=1, help="Pairs of rotated boxes.")] = 100_000,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of torch. Default: as many as it takes by itself.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Turns of each; the median counts.")] = 5,
    only: Annotated[
        list[str] | None, typer.Option(metavar="PART[,PART...]", help="Parts: steps, texts, boxes.")
    ] = None,
    peers: Annotated[
        bool, typer.Option("--peers/--no-peers", help="Run the loop over rapidfuzz, and shapely, beside.")
    ] = True,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Time of the steps of LS and FEDS beside a proxy step; edit distances and overlaps a second beside their peers.

    Steps: small networks that read a word or find a box, random weights and pictures, so that no data are needed.
    Texts: against a Python loop over rapidfuzz's Levenshtein.distance. Boxes: rotated IoU, compiled and in plain torch,
    against shapely's vectorised intersection. Both of a pair return the same values, which is checked.
    """
    import torch

    from metricgrad.bench.learned import measured_parts

    def tell(part: str) -> None:
        if not quiet:
            sys.stderr.write(f"measuring {part}\n")
            sys.stderr.flush()

    threads = threads or torch.get_num_threads()
    found = measured_parts(
        _parts(only),
        batch=batch,
        texts=texts,
        boxes=boxes,
        threads=threads,
        repeats=repeats,
        peers=peers,
        tell=tell,
    )
    facts = {"batch": batch, "threads": threads, "repeats": repeats, "torch": torch.__version__, **found}
    print_json(facts) if as_json else draw_learned(facts, found)


def items_of(given: list[str] | None, default: tuple[str, ...]) -> list[str]:
    """The items of an option that may be repeated and may hold commas."""
    return [item.strip() for text in given or [] for item in text.split(",") if item.strip()] or list(default)


def _batch_size(text: str) -> int:
    from metricgrad._checks import fail
    from metricgrad.bench.ranks import PER_CLASS

    if not text.isdecimal() or int(text) % PER_CLASS or int(text) < 2 * PER_CLASS:
        raise fail("bench ranks", f"--batch {text}", f"a multiple of {PER_CLASS} from {2 * PER_CLASS} on")
    return int(text)


def _noise(text: str) -> float:
    from metricgrad._checks import fail, positive_number

    try:
        number = float(text)
    except ValueError as error:
        raise fail("bench ranks", f"--noise {text}", "a number > 0") from error
    return positive_number("bench ranks", "--noise", number)


def _contestants(names: list[str]) -> list[str]:
    from metricgrad._checks import fail, nearest
    from metricgrad.bench.ranks import CONTESTANTS

    known = [one.name for one in CONTESTANTS]
    for name in names:
        if name not in known:
            raise fail("bench ranks", f"--only {name!r}", "names of contestants", nearest(name, known))
    return names


def _parts(only: list[str] | None) -> list[str]:
    """The parts that are asked for, in their order; all of them where none is named."""
    from metricgrad._checks import fail, nearest
    from metricgrad.bench.learned import PARTS

    names = items_of(only, ())
    for name in names:
        if name not in PARTS:
            raise fail("bench learned", f"--only {name}", ", ".join(PARTS), nearest(name, PARTS))
    return [part for part in PARTS if not names or part in names]


@contextmanager
def told(*, quiet: bool) -> Iterator[Callable[[str], None]]:
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


def show_rows(
    measure: Callable[[Callable[[str], None]], Iterable[dict[str, Any]]],
    facts: Mapping[str, Any],
    draw: Callable[[Mapping[str, Any]], None],
    *,
    quiet: bool,
    as_json: bool,
) -> None:
    """Measure row by row and print what is finished, also after Ctrl-C, which then ends the command.

    Args:
        measure: is given what to call with the name of each row before it is measured.
        facts: of the document, beside the rows.
        draw: prints the document as a table.
        quiet: say nothing meanwhile.
        as_json: print the document as it is.
    """
    import torch

    measured: list[dict[str, Any]] = []
    interrupted = False
    with told(quiet=quiet) as tell:
        try:
            for row in measure(lambda name: tell(f"measuring {name}")):
                measured.append(row)  # one by one: what was measured stays
        except KeyboardInterrupt:
            interrupted = True
    document = {**facts, "torch": torch.__version__, "interrupted": interrupted, "rows": measured}
    print_json(document) if as_json else draw(document)
    if interrupted:
        complain(KeyboardInterrupt("interrupted; what was finished is shown"))
        raise typer.Exit(130)
