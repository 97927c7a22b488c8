"""`metricgrad bench ranks`: what is compared, what is left out and why, and what is printed."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from metricgrad.bench import measuring, ranks, serving
from metricgrad.bench.contestant import Contestant
from metricgrad.bench.measuring import Measurement, exponent, measure
from metricgrad.bench.ranks import CONTESTANTS, PER_CLASS, batch_of
from metricgrad.bench.serving import LeftOut, serve
from tests.cli.outcome import Command

NAMED = {one.name: one for one in CONTESTANTS}
FACTS = {"threads": 1, "torch": "2", "kernel": "numba"}


class _Served(serving.Served):
    """Stands in for a process: seconds grow with the square of the batch, memory as the contestant says."""

    closed: list[str]

    def __init__(self, contestant: Contestant, batch: int, dims: int, noise: float) -> None:
        self.contestant, self.batch, self.dims = contestant, batch, dims
        self.asked = 0

    def ask(self) -> None:
        self.asked += 1

    def answer(self, limit: float, tick: Callable[[], None]) -> dict[str, Any]:
        tick()
        if not self.asked:
            return {"ready": True, **FACTS}
        if self.contestant.name == "dense" and self.asked == 2:
            raise LeftOut("ended by signal 9, memory ran out")
        seconds = (self.batch / 1000) ** self.contestant.power * (1 + self.asked % 2)
        return {"seconds": seconds, "peak_bytes": int(4 * self.contestant.floats(self.batch, self.dims))}

    def close(self) -> None:
        _Served.closed.append(self.contestant.name)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> type[_Served]:
    """No processes, and 20 GB of memory."""
    _Served.closed = []
    monkeypatch.setattr(measuring, "Served", _Served)
    monkeypatch.setattr(measuring, "_PAUSE", 0)
    monkeypatch.setattr(measuring, "free_memory", lambda: 20_000_000_000)
    return _Served


def _of(batches: list[int], *only: str, **settings: Any) -> dict[tuple[str, int], Measurement]:
    parts = list(measure(batches, [2.0], only=only, **settings))
    return {(one.contestant, one.batch): one for part in parts for one in part}


@pytest.mark.slow
def test_contestants_side_by_side(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real processes: JSON with times, memory and ratios; what is missing is named; a plot is written."""
    missing = (NAMED["torchpsort"]._replace(package="no_such_package"),)
    monkeypatch.setattr(measuring, "CONTESTANTS", (NAMED["product"], NAMED["ours"], *missing))
    outcome = command(
        "bench",
        "ranks",
        "--batch",
        "16",
        "--dims",
        "8",
        "--noise",
        "2.0",
        "--repeats",
        "1",
        "--json",
        "--plot",
        tmp_path / "ranks.html",
    )
    assert outcome.code == 0
    rows = {(row["contestant"], row["batch"]): row for row in outcome.json["rows"]}
    assert list(rows) == [("product", 16), ("ours", 16), ("torchpsort", 16)]
    assert rows["ours", 16]["seconds"] > 0 and rows["ours", 16]["peak_bytes"] >= 0
    expected = rows["ours", 16]["seconds"] / rows["product", 16]["seconds"]
    assert rows["ours", 16]["to_product"] == pytest.approx(expected)
    assert rows["torchpsort", 16]["seconds"] is None
    assert rows["torchpsort", 16]["left_out"] == "not installed (pip install no-such-package)"
    assert outcome.json["exponents"] == [{"noise": 2.0, "ours": None, "product": None}]
    assert outcome.json["kernel"] in ("torch", "numba")
    assert "about" in outcome.err and "s left" in outcome.err
    page = (tmp_path / "ranks.html").read_text(encoding="utf-8")
    assert "ours" in page and "src=" not in page.split("<body>")[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", [one.name for one in CONTESTANTS])
def test_every_contestant_runs(name: str) -> None:
    """One turn for each line, with seconds and memory; warm-up and batch of any noise."""
    contestant = NAMED[name]
    if not contestant.importable:
        pytest.skip(f"{contestant.package} is not installed")
    ready, *turns = serve(contestant, 16, 8, 0.3, ["turn", "turn"])
    assert ready["ready"] and ready["threads"] == torch.get_num_threads()
    assert len(turns) == 2
    assert all(turn["seconds"] > 0 and turn["peak_bytes"] >= 0 for turn in turns)


@pytest.mark.parametrize("noise", [2.0, 0.3])
def test_the_forms_of_the_same_loss_agree(noise: float) -> None:
    """Ours and the dense form have the same gradient, so that their times compare the same work."""
    batch = batch_of(64, 16, noise)
    ours, dense = (NAMED[name].prepare(batch)() for name in ("ours", "dense"))
    assert isinstance(ours, torch.Tensor) and isinstance(dense, torch.Tensor)
    torch.testing.assert_close(ours, dense, rtol=0, atol=1e-4 * dense.abs().max().item())


def test_three_products_are_what_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound writes E E^T, G E and G^T E; in several blocks as in one."""
    batch = batch_of(16, 8, 2.0)
    gradient = batch.embeddings @ batch.embeddings.T
    for rows in (16, 5):
        monkeypatch.setattr(ranks, "BLOCK_FLOATS", rows * 16)
        of_queries, of_items = NAMED["products"].prepare(batch)()  # pyright: ignore[reportGeneralTypeIssues]
        torch.testing.assert_close(of_queries, gradient @ batch.embeddings)
        torch.testing.assert_close(of_items, gradient.T @ batch.embeddings)


def test_a_batch_is_what_it_says() -> None:
    """Unit rows, four of each class, shuffled, the same every time, nearer to their class with less noise."""
    batch = batch_of(400, 32, 0.3)
    torch.testing.assert_close(batch.embeddings.norm(dim=1), torch.ones(400))
    assert (batch.labels.bincount() == PER_CLASS).all()
    assert (batch.labels.sort().values != batch.labels).any()
    torch.testing.assert_close(batch_of(400, 32, 0.3).embeddings, batch.embeddings)

    def within(noise: float) -> float:
        rows = batch_of(400, 32, noise).embeddings
        same = batch.labels == batch.labels.unsqueeze(1)
        return ((rows @ rows.T) * same).sum().item()

    assert within(0.3) > within(2.0)


def test_medians_of_turns_that_are_counted(served: type[_Served]) -> None:
    """The first turn warms up; the others are kept, with their median."""
    one = _of([1000], "ours", repeats=3)["ours", 1000]
    assert one.turns == (1.0, 2.0, 1.0) and one.seconds == 1.0
    assert one.facts == FACTS and one.left_out == ""
    assert served.closed == ["ours"]


def test_too_slow_is_left_out(served: type[_Served]) -> None:
    """Seconds of the last size, scaled by the growth of the batch, beyond the limit: not even started."""
    found = _of([1000, 4000, 16000], "ours", "product", limit=20.0)
    assert found["ours", 4000].seconds == 16.0
    assert found["ours", 16000].left_out == "would take about 256 s a call, more than 20 s"
    assert found["ours", 16000].seconds is None


def test_too_large_is_left_out(served: type[_Served]) -> None:
    """What would not fit is not tried, from the algorithm at first and from the last size later."""
    found = _of([256, 1024], "SmoothAPLoss", "dense")
    assert found["SmoothAPLoss", 1024].left_out == "would need about 26 GB, 20 GB are free"
    assert _of([2048], "SmoothAPLoss")["SmoothAPLoss", 2048].left_out.startswith("would need about 206 GB")


def test_a_process_that_ends_is_named(served: type[_Served]) -> None:
    """The others go on; the reason stands in its row, and no figure."""
    found = _of([1000, 2000], "dense", "ours")
    assert found["dense", 1000].left_out == "ended by signal 9, memory ran out"
    assert found["dense", 1000].seconds is None and found["ours", 1000].seconds is not None
    assert found["dense", 2000].left_out == "did not come through at batch 1,000"
    assert served.closed.count("dense") == 2  # when it failed, and at the end; never started again


@pytest.mark.slow
def test_a_process_that_fails_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last line on its standard error is the reason; an error that it reports is one, too."""
    process = serving.Served(NAMED["ours"]._replace(name="nobody"), 16, 8, 2.0)
    try:
        with pytest.raises(LeftOut, match="StopIteration"):
            process.answer(120, lambda: None)
    finally:
        process.close()
    with pytest.raises(LeftOut, match="RuntimeError: no memory"):
        process._facts('{"error": "RuntimeError: no memory"}')


def test_a_process_that_takes_too_long_is_given_up() -> None:
    """While it is waited for, something can be drawn."""
    ticks: list[int] = []
    process = serving.Served(NAMED["ours"], 16, 8, 2.0)
    try:
        with pytest.raises(LeftOut, match="took more than 0 s"):
            process.answer(0.3, lambda: ticks.append(1))
    finally:
        process.close()
    assert ticks


def test_exponent_is_the_slope_of_logarithms(served: type[_Served]) -> None:
    """An exact power is found; one size tells nothing."""
    measured = list(_of([500, 1000, 2000], "ours", "SmoothAPLoss", repeats=1, limit=1000).values())
    assert exponent(measured, "ours", 2.0) == pytest.approx(2.0)
    assert exponent(measured, "SmoothAPLoss", 2.0) is None
    assert exponent(measured, "ours", 0.3) is None


def test_an_interrupt_prints_what_is_finished(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C: the table so far, one line, 130."""
    finished = Measurement("ours", 256, 512, 2.0, 0.0123, (0.0123,), 2_000_000, facts=FACTS)

    def measure_one(*_: Any, **__: Any) -> Iterator[list[Measurement]]:
        yield [
            finished,
            dataclasses.replace(finished, contestant="dense", seconds=None, left_out="too large"),
        ]
        raise KeyboardInterrupt

    monkeypatch.setattr(measuring, "measure", measure_one)
    outcome = command("bench", "ranks")
    assert outcome.code == 130
    assert "12.3" in outcome.out and "2.0" in outcome.out and "too large" in outcome.out
    assert outcome.err.splitlines()[-1] == "metricgrad: interrupted; what was finished is shown"
    assert command("bench", "ranks", "--json").json["interrupted"] is True


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--batch", "6"), ("--batch 6", "multiple of 4")),
        (("--batch", "256,many"), ("--batch many",)),
        (("--noise", "loud"), ("--noise loud",)),
        (("--noise", "-1"), ("--noise is -1.0",)),
        (("--only", "our"), ("'our'", "Did you mean 'ours'")),
        (("--plot", "no/such/folder/x.html"), ("no/such/folder", "--plot")),
    ],
)
def test_what_does_not_fit_is_refused(
    command: Command, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    """One line, exit code 2, before anything is measured."""
    command("bench", "ranks", *arguments).refused(*words)


def test_help_of_the_group(command: Command) -> None:
    """`bench --help` and `bench ranks --help` have examples."""
    for arguments in (("bench", "--help"), ("bench", "ranks", "--help")):
        outcome = command(*arguments)
        assert outcome.code == 0
        assert outcome.out.partition("Examples")[2].count("metricgrad bench ranks") >= 2
