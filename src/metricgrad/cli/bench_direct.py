"""`metricgrad bench direct`: the decodes of direct loss minimisation beside the row programme in plain torch."""

import functools
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from metricgrad.cli.output import JsonOption, console, examples, print_json

__all__ = ["EXAMPLES", "direct", "measured"]

EXAMPLES = examples(
    "metricgrad bench direct",
    "metricgrad bench direct --positives 20000 --negatives 1000000 --no-peers",
    "metricgrad bench direct --json > direct.json",
)


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

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        rows = measured(positives, negatives, epsilon=epsilon, repeats=repeats, peers=peers)
    finally:
        torch.set_num_threads(before)
    facts = {"positives": positives, "negatives": negatives, "epsilon": epsilon, "threads": threads,
             "repeats": repeats, "torch": torch.__version__, "rows": rows}  # fmt: skip
    print_json(facts) if as_json else _draw(facts)


def measured(
    positives: int,
    negatives: int,
    *,
    epsilon: float,
    repeats: int,
    peers: bool,
    only: tuple[str, int] | None = None,
) -> list[dict[str, Any]]:
    """Return a row for every decode, or for one by name and sign: milliseconds of ours and of the peer, if it ran."""
    import torch

    from metricgrad.direct import Contingency, Interleaving

    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(1, positives + negatives, generator=generator, dtype=torch.float64)
    targets = (torch.arange(scores.shape[1]) < positives).long()[None]
    scores += 0.5 * targets
    order = torch.randperm(scores.shape[1], generator=generator)
    scores, targets = scores[:, order], targets[:, order]
    plain = Interleaving("average_precision")
    plain.concave = False  # row after row, whatever the sign
    cut = Interleaving("precision_at_k", k=max(1, positives // 10))
    f1 = Contingency("f_beta")
    table = Contingency("f_beta")
    table.monotone = False
    contestants = [
        ("average precision", 1, Interleaving("average_precision"), plain, "rows"),
        ("average precision", -1, Interleaving("average_precision"), plain, "rows"),
        (f"precision@{int(cut.k)}", 1, cut, cut, "rows"),
        (f"precision@{int(cut.k)}", -1, cut, cut, "rows"),
        ("F1", 1, f1, table, "table"),
        ("F1", -1, f1, table, "table"),
    ]
    found = []
    for name, sign, ours, peer, peer_name in contestants:
        if only not in (None, (name, sign)):
            continue
        units = epsilon * positives if ours is f1 else epsilon  # F1's scores are sums

        runs = {
            key: functools.partial(one.augment, scores, targets, epsilon=units, sign=sign)
            for key, one in (("ours", ours), ("peer", peer))
        }
        times: dict[str, list[float]] = {"ours": [], "peer": []}
        values = {}
        for turn in range(repeats + 1):
            values["ours"] = _timed(runs["ours"], times["ours"], counted=turn > 0)
            if peers and turn <= max(1, repeats // 2):
                with _plain_torch():
                    values["peer"] = _timed(runs["peer"], times["peer"], counted=turn > 0)
        if peers:
            torch.testing.assert_close(values["ours"], values["peer"], atol=1e-9, rtol=1e-9)
        milliseconds = {key: 1e3 * statistics.median(part) if part else None for key, part in times.items()}
        ratio = milliseconds["peer"] / milliseconds["ours"] if milliseconds["peer"] else None  # pyright: ignore
        found.append({"decode": name, "sign": sign, "ours_ms": milliseconds["ours"], "peer": peer_name,
                      "peer_ms": milliseconds["peer"], "times_as_fast": ratio})  # fmt: skip
    return found


def _timed(run: Callable[[], Any], times: list[float], *, counted: bool) -> Any:
    began = time.perf_counter()
    value = run()[1]
    if counted:
        times.append(time.perf_counter() - began)
    return value


@contextmanager
def _plain_torch() -> Iterator[None]:
    before = os.environ.get("METRICGRAD_KERNEL")
    os.environ["METRICGRAD_KERNEL"] = "torch"
    try:
        yield
    finally:
        if before is None:
            del os.environ["METRICGRAD_KERNEL"]
        else:
            os.environ["METRICGRAD_KERNEL"] = before


def _draw(facts: dict[str, Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    out = console()
    table = Table(title=f"One decode: {facts['positives']:,} positives, {facts['negatives']:,} negatives")
    for name in ("decode", "sign", "ours ms", "peer", "peer ms", "times as fast"):
        table.add_column(name, justify="left" if name in ("decode", "peer") else "right", no_wrap=True)
    for row in facts["rows"]:
        cells = [
            "" if row[key] is None else f"{row[key]:,.1f}" for key in ("ours_ms", "peer_ms", "times_as_fast")
        ]
        table.add_row(row["decode"], f"{row['sign']:+d}", cells[0], row["peer"], *cells[1:])
    out.print(table)
    out.print(
        Text(
            f"Medians of {facts['repeats']} turns, torch {facts['torch']}, {facts['threads']} threads. Both of a row "
            "returned the same value."
        )
    )
