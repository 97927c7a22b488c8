"""`metricgrad bench learned`: steps of a learned surrogate beside a proxy step, metrics of samples beside peers."""

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar

import typer

from metricgrad.cli.output import JsonOption, QuietOption, console, examples, print_json

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from metricgrad._types import MethodRun, Metric, OutputKind
    from metricgrad.methods.learned import Learned

__all__ = ["EXAMPLES", "learned", "measured_boxes", "measured_steps", "measured_texts"]

EXAMPLES = examples(
    "metricgrad bench learned",
    "metricgrad bench learned --only steps --batch 256 --threads 1",
    "metricgrad bench learned --only texts,boxes --texts 1000000 --boxes 1000000 --no-peers",
    "metricgrad bench learned --json > learned.json",
)

_Key = TypeVar("_Key")

_PARTS = ("steps", "texts", "boxes")

_PEERS = ("loop", "shapely")

_SHORTEST, _LONGEST = 3, 12
"""Letters of the words whose distance is measured."""

_TURN_SECONDS = 0.2
"""A turn of what is fast is many calls, its time their median."""

_BOXES_AT_ONCE = 10_000
"""Pairs that are made together: the generator holds a dozen candidates for each."""


class _Case(NamedTuple):
    """A network and one batch: what a proxy step and the steps of a learned surrogate need.

    Attributes:
        task: whose network it is, `words` or `boxes`.
        network: makes it, with random weights.
        inputs: random pictures, uint8 [sample, ...].
        targets: texts, or boxes [sample, 5].
        kind: of its outputs.
        metric: of its outputs.
        proxy: (outputs, targets) -> loss.
    """

    task: str
    network: "Callable[[], nn.Module]"
    inputs: "Tensor"
    targets: Any
    kind: "OutputKind"
    metric: "Metric"
    proxy: "Callable[[Any, Any], Tensor]"


class _Contestant(NamedTuple):
    """A way to measure pairs: its name, the threads that it takes and the call."""

    name: str
    threads: int
    run: Callable[[], Any]

    def call(self) -> Any:
        """Run it on its threads."""
        with _on(self.threads):
            return self.run()


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

    parts, before = _parts(only), torch.get_num_threads()
    threads = threads or before
    measure: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "steps": lambda: measured_steps(batch, repeats=repeats),
        "texts": lambda: measured_texts(texts, threads=threads, repeats=repeats, peers=peers),
        "boxes": lambda: measured_boxes(boxes, threads=threads, repeats=repeats, peers=peers),
    }
    found = {}
    for part in parts:
        if not quiet:
            sys.stderr.write(f"measuring {part}\n")
            sys.stderr.flush()
        with _on(threads):
            found[part] = measure[part]()
    facts = {"batch": batch, "threads": threads, "repeats": repeats, "torch": torch.__version__, **found}
    print_json(facts) if as_json else _draw(facts, found)


def _parts(only: list[str] | None) -> list[str]:
    """The parts that are asked for, in their order; all of them where none is named."""
    from metricgrad._checks import fail, nearest

    names = [name.strip() for text in only or [] for name in text.split(",") if name.strip()]
    for name in names:
        if name not in _PARTS:
            raise fail("bench learned", f"--only {name}", ", ".join(_PARTS), nearest(name, _PARTS))
    return [part for part in _PARTS if not names or part in names]


# ----------------------------------------------------------------------------------------------- steps


def measured_steps(batch: int, *, repeats: int) -> list[dict[str, Any]]:
    """Return a row for every step of both networks: milliseconds, and the ratio to a proxy step of that network.

    Raises:
        AssertionError: LS and FEDS whose filter keeps every sample differ, or the fit depends on the penalty.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        return [row for case in (_words(batch), _boxes(batch)) for row in _steps_of(case, repeats)]


def _steps_of(case: _Case, repeats: int) -> list[dict[str, Any]]:
    import torch

    calls, first = _steps(case), {}
    for name, call in calls.items():  # warms up; dropout drops the same units for all
        torch.manual_seed(0)
        first[name] = call()
    for one, other in (
        ("surrogate step", "surrogate step, no penalty"),
        ("LS model step", "FEDS model step"),
    ):
        torch.testing.assert_close(first[one], first[other], rtol=1e-5, atol=1e-6)
    seconds = _medians(calls, repeats)
    sizes = [sum(one.numel() for one in make().parameters()) for make in (case.network, case.kind.encoder)]
    return [
        {"task": case.task, "parameters": sizes[0], "surrogate_parameters": sizes[1], "step": name,
         "ms": 1e3 * taken, "to_proxy": taken / seconds["proxy step"]}
        for name, taken in seconds.items()
    ]  # fmt: skip


def _steps(case: _Case) -> dict[str, Callable[[], float]]:
    """Return what is timed: calls that take one step and return the loss, or the fit, before it."""
    import numpy as np

    from metricgrad.learned import SampleErrors
    from metricgrad.learned.pairs import Pairs
    from metricgrad.methods.surrogate import Surrogate, SurrogateSettings

    batch, size = (case.inputs, case.targets), len(case.targets)
    proxy = Surrogate(case.proxy, SurrogateSettings(learning_rate=1e-4, schedule="constant", warmup=0.0))
    proxy.begin(_run_of(case))
    training = _method(case, filtered=False, model_steps_only=False)
    training.step(batch)  # now it remembers pairs of its model
    ls, feds = (_method(case, filtered=filtered, model_steps_only=True) for filtered in (False, True))
    assert case.kind.pairs is not None
    outputs, targets = case.kind.pairs(size, np.random.default_rng(1))
    errors = SampleErrors(case.metric)(outputs, targets)
    pairs = Pairs.known(*training.surrogate.encoder.compare(outputs, targets), errors)  # pyright: ignore[reportCallIssue]
    return {
        "proxy step": lambda: proxy.step(batch)["loss"],
        "surrogate step": _lesson(case, 1.0, lambda: pairs),
        "surrogate step, no penalty": _lesson(case, 0.0, lambda: pairs),
        "surrogate step, pairs drawn": _lesson(case, 1.0, lambda: training.pairs.draw(size)),
        "LS model step": lambda: ls.step(batch)["loss"],
        "FEDS model step": lambda: feds.step(batch)["loss"],
        f"LS training step, {training.settings.surrogate_steps} to 1": lambda: training.step(batch)["loss"],
    }


def _run_of(case: _Case) -> "MethodRun":
    """What a method is given: a network of its own, the same for all."""
    import torch

    from metricgrad._types import MethodRun

    torch.manual_seed(0)
    network, split = case.network().train(), [(case.inputs, case.targets)]
    parameters = dict(network.named_parameters())
    return MethodRun(network, parameters, case.metric, steps=10**6, seed=0, fit=split, select=split)


def _method(case: _Case, *, filtered: bool, model_steps_only: bool) -> "Learned":
    """LS or FEDS, begun; its first step takes one surrogate step to warm up."""
    from metricgrad.methods.learned import Learned, LearnedSettings

    # The surrogate knows nothing yet: an ordinary filter would drop every sample, and the step would be skipped.
    keeps_all = {"full_below": 1e6, "zero_above": 2e6} if filtered else {}
    settings = LearnedSettings(
        surrogate_warmup=1, surrogate_batch=len(case.targets), schedule="constant", warmup=0.0,
        objective=keeps_all,
    )  # fmt: skip
    if model_steps_only:  # a run takes at least one, so the settings would refuse it
        settings = settings.model_copy(update={"surrogate_steps": 0})
    method = Learned(settings, filtered=filtered)
    method.begin(_run_of(case))
    return method


def _lesson(case: _Case, penalty_weight: float, draw: Callable[[], Any]) -> Callable[[], float]:
    """Return a call that takes a surrogate step of a surrogate of its own on the pairs that are drawn."""
    import torch

    from metricgrad.learned import LearnedSurrogate

    torch.manual_seed(0)
    surrogate = LearnedSurrogate(case.kind.encoder(), gradient_penalty_weight=penalty_weight)
    teacher = torch.optim.Adam(surrogate.parameters(), lr=1e-3)

    def step() -> float:
        fit = surrogate.fit(*draw())
        teacher.zero_grad(set_to_none=True)
        fit.objective.backward()
        torch.nn.utils.clip_grad_norm_(surrogate.parameters(), 1.0)
        teacher.step()
        return float(fit.fit.detach())

    return step


def _words(batch: int) -> _Case:
    """Words of up to 16 letters, read from pictures of 32 x 128 by the network of the task `words`."""
    from metricgrad.learned import words
    from metricgrad.tasks.recogniser import MAX_LENGTH, Recogniser, letter_cross_entropy
    from metricgrad.tasks.words import SURROGATE_WIDTH
    from metricgrad.tasks.words_pictures import ALPHABET, HEIGHT, WIDTH

    kind = words(ALPHABET, MAX_LENGTH, width=SURROGATE_WIDTH)
    return _case("words", "edit_distance", kind, Recogniser, letter_cross_entropy, (batch, HEIGHT, WIDTH))


def _boxes(batch: int) -> _Case:
    """Rotated boxes, found in pictures of 64 x 64 by the network of the task `boxes`."""
    from metricgrad.learned import rotated_boxes
    from metricgrad.tasks.box_network import BoxNetwork, smooth_l1_box_loss
    from metricgrad.tasks.boxes_scenes import EDGE

    kind = rotated_boxes()
    return _case("boxes", "rotated_iou", kind, BoxNetwork, smooth_l1_box_loss, (batch, 3, EDGE, EDGE))


def _case(
    task: str, metric: str, kind: "OutputKind", network: "Callable[[], nn.Module]",
    proxy: "Callable[[Any, Any], Tensor]", shape: tuple[int, ...],
) -> _Case:  # fmt: skip
    """A batch of random pictures whose targets are made up."""
    import numpy as np
    import torch

    from metricgrad.metrics import metric_by_name, of_kind

    assert kind.pairs is not None
    pictures = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    _, targets = kind.pairs(len(pictures), np.random.default_rng(0))
    return _Case(task, network, pictures, targets, kind, of_kind(metric_by_name(metric), kind), proxy)


# ----------------------------------------------------------------------------------------------- pairs


def measured_texts(pairs: int, *, threads: int, repeats: int, peers: bool) -> list[dict[str, Any]]:
    """Return a row for every way to edit distances: pairs a second, and how many times as fast as the loop it is.

    Raises:
        AssertionError: they do not all return the same distances.
    """
    from rapidfuzz.distance import Levenshtein

    from metricgrad.metrics import edit_distance

    predictions, targets = _edited_words(pairs)
    contestants = [
        _Contestant("edit_distance", one, partial(edit_distance, predictions, targets))
        for one in sorted({1, threads})
    ]
    if peers:
        distance = Levenshtein.distance
        contestants.append(
            _Contestant(
                "loop", 1, lambda: [distance(*pair) for pair in zip(predictions, targets, strict=True)]
            )
        )
    return _rates(contestants, pairs, repeats, tolerance=0.0)


def _edited_words(pairs: int) -> tuple[list[str], list[str]]:
    """Random words, and the same with a fifth of the letters drawn again and the end up to two letters off."""
    import numpy as np

    rng = np.random.default_rng(0)
    letters = rng.integers(97, 123, (pairs, _LONGEST)).astype(np.uint8)
    others = rng.integers(97, 123, letters.shape).astype(np.uint8)
    edited = np.where(rng.random(letters.shape) < 0.2, others, letters)
    lengths = rng.integers(_SHORTEST, _LONGEST + 1, pairs)
    changed = (lengths + rng.integers(-2, 3, pairs)).clip(_SHORTEST, _LONGEST)

    def cut(rows: "np.ndarray", ends: "np.ndarray") -> list[str]:
        text, starts = rows.tobytes().decode("ascii"), range(0, rows.size, _LONGEST)
        return [text[start : start + end] for start, end in zip(starts, ends.tolist(), strict=True)]

    return cut(edited, changed), cut(letters, lengths)


def measured_boxes(pairs: int, *, threads: int, repeats: int, peers: bool) -> list[dict[str, Any]]:
    """Return a row for every way to rotated IoU: pairs a second, and how many times as fast as shapely it is.

    Raises:
        AssertionError: two of them differ by more than 1e-9.
    """
    from metricgrad.metrics import rotated_iou
    from metricgrad.metrics.overlap import overlap_of_vertices

    predictions, targets = _overlapping_boxes(pairs)
    ways = {"compiled": rotated_iou, "plain torch": overlap_of_vertices}
    contestants = [
        _Contestant(name, one, partial(way, predictions, targets))
        for name, way in ways.items()
        for one in sorted({1, threads})
    ]
    if peers:
        arrays = predictions.numpy(), targets.numpy()
        contestants.append(_Contestant("shapely", 1, lambda: _by_shapely(*arrays)))
    return _rates(contestants, pairs, repeats, tolerance=1e-9)


def _overlapping_boxes(pairs: int) -> "tuple[Tensor, Tensor]":
    """Boxes cx, cy, w, h, angle and jittered copies, float64 [pair, 5]; their IoU is spread evenly over [0, 1]."""
    import numpy as np
    import torch

    from metricgrad.learned import rotated_boxes

    make, rng = rotated_boxes().pairs, np.random.default_rng(0)
    assert make is not None
    sizes = [min(_BOXES_AT_ONCE, pairs - start) for start in range(0, pairs, _BOXES_AT_ONCE)]
    first, second = zip(*(make(size, rng) for size in sizes), strict=True)
    return torch.cat(first).double(), torch.cat(second).double()


def _by_shapely(predictions: "np.ndarray", targets: "np.ndarray") -> "np.ndarray":
    """IoU of every pair of boxes as shapely has it: polygons made, intersected and measured in vectorised calls."""
    import numpy as np

    from metricgrad._checks import extra

    shapely = extra("shapely", "shapely", "the peer of rotated IoU (or leave it out: --no-peers)")
    polygons = []
    for boxes in (predictions, targets):
        x, y, width, height, angle = boxes.T
        along = np.stack([np.cos(angle) * width, np.sin(angle) * width], 1) / 2
        across = np.stack([-np.sin(angle) * height, np.cos(angle) * height], 1) / 2
        corners = [along + across, across - along, -along - across, along - across]
        polygons.append(shapely.polygons(np.stack(corners, 1) + np.stack([x, y], 1)[:, None]))  # [pair, 4, 2]
    common = shapely.area(shapely.intersection(*polygons))
    return common / (shapely.area(polygons[0]) + shapely.area(polygons[1]) - common)


def _rates(
    contestants: list[_Contestant], pairs: int, repeats: int, *, tolerance: float
) -> list[dict[str, Any]]:
    """Check that all return the same values, then let them take turns; ratios are to the peer, where there is one."""
    import torch

    values = [torch.as_tensor(one.call(), dtype=torch.float64) for one in contestants]  # warms up
    for found in values[1:]:
        torch.testing.assert_close(found, values[0], rtol=0, atol=tolerance)
    seconds = _medians({one: one.call for one in contestants}, repeats)
    slow = next((taken for one, taken in seconds.items() if one.name in _PEERS), None)
    return [
        {"contestant": one.name, "threads": one.threads, "pairs": pairs, "pairs_per_second": pairs / taken,
         "times_as_fast": slow / taken if slow else None}
        for one, taken in seconds.items()
    ]  # fmt: skip


@contextmanager
def _on(threads: int) -> Iterator[None]:
    """Let torch use so many threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _medians(calls: Mapping[_Key, Callable[[], Any]], repeats: int) -> dict[_Key, float]:
    """Let calls that were made once take turns; returns the seconds of each, the median."""
    turns: dict[_Key, list[float]] = {key: [] for key in calls}
    for _ in range(repeats):
        for key, call in calls.items():
            taken: list[float] = []
            while not taken or sum(taken) < _TURN_SECONDS:
                began = time.perf_counter()
                call()
                taken.append(time.perf_counter() - began)
            turns[key].append(statistics.median(taken))
    return {key: statistics.median(part) for key, part in turns.items()}


# --------------------------------------------------------------------------------------------- drawing


def _draw(facts: dict[str, Any], found: Mapping[str, list[dict[str, Any]]]) -> None:
    """Print a table for each part, and what its figures are."""
    from rich.text import Text

    out = console()
    titles = {
        "steps": f"One step, {facts['batch']:,} samples",
        "texts": "Edit distances",
        "boxes": "Rotated IoU",
    }
    for part, rows in found.items():
        out.print(_table(titles[part], rows))
    lines = (
        f"{row['task']}: the network of that task with random weights on random pictures, {row['parameters']:,} "
        f"parameters; the surrogate has {row['surrogate_parameters']:,}."
        for row in found.get("steps", [])
    )
    for line in dict.fromkeys(lines):
        out.print(Text(line))
    out.print(
        Text(
            f"Medians of {facts['repeats']} turns, torch {facts['torch']}, {facts['threads']} threads where none are "
            "named. What is compared returned the same values."
        )
    )


def _table(title: str, rows: list[dict[str, Any]]) -> Any:
    """A column for each fact that differs from row to row."""
    from rich.table import Table

    if "step" in rows[0]:
        columns = {"task": "{task}", "step": "{step}", "ms": "{ms:,.1f}", "/ proxy step": "{to_proxy:.2f}"}
    else:
        title = f"{title}, {rows[0]['pairs']:,} pairs"
        columns = {
            "contestant": "{contestant}",
            "threads": "{threads:d}",
            "pairs / s": "{pairs_per_second:,.0f}",
        }
        if rows[0]["times_as_fast"] is not None:
            columns["times as fast"] = "{times_as_fast:,.2f}"
    table = Table(title=title)
    for name, form in columns.items():
        table.add_column(name, justify="right" if ":" in form else "left", no_wrap=True)
    for row in rows:
        if row.get("step") == "proxy step":
            table.add_section()
        table.add_row(*(form.format(**row) for form in columns.values()))
    return table
