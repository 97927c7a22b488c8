"""A run that was interrupted goes on and ends as if nothing had happened."""

import os
import shutil
import signal
from pathlib import Path

import pytest
import torch

from metricgrad.errors import CheckpointError, Interrupted, RunFolderError
from metricgrad.pairing import ClassBatchSampler
from metricgrad.tune import ArraySplit, Plan, Result, Splits
from tests.kill_points import EMIT, Forks, spread
from tests.tune.small_run import figures, same_weights, small_run, small_splits

STEPS = 60  # with 2 seeds and 2 tries: about 500 steps and 100 checkpoints


class Raiser:
    """An observer that sends a signal to its own process, or raises, at the n-th event of a kind."""

    def __init__(self, event: str, count: int, number: int | None = None) -> None:
        self.event, self.left, self.number = event, count, number

    def __call__(self, event) -> None:
        """Count down and strike."""
        if event["event"] == self.event:
            self.left -= 1
            if self.left == 0 and self.number is not None:
                os.kill(os.getpid(), self.number)
            elif self.left == 0:
                raise ZeroDivisionError("struck")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Result:
    """A run that nothing interrupted."""
    return small_run(tmp_path_factory.mktemp("runs") / "whole")


@pytest.mark.parametrize(
    "count", [17, *(pytest.param(count, marks=pytest.mark.slow) for count in (1, 26, 70))]
)
def test_signal_leaves_a_run_that_resumes_to_the_same_weights(
    tmp_path: Path, whole: Result, count: int
) -> None:
    """SIGINT and SIGTERM stop after the step; the same call goes on and ends with the same bytes and figures."""
    number = signal.SIGINT if count % 2 else signal.SIGTERM
    with pytest.raises(Interrupted, match="stopped by SIG"):
        small_run(tmp_path / "cut", observer=Raiser("progress", count, number))
    resumed = small_run(tmp_path / "cut")
    assert same_weights(whole.folder, tmp_path / "cut") == []
    assert figures(whole) == figures(resumed)
    assert resumed.verdict == whole.verdict


OTHERS = [
    pytest.param(event, marks=pytest.mark.slow)
    for event in ("started", "evaluated", "stage_finished", "tested", "verdict", "finished")
]


@pytest.mark.parametrize("event", ["chosen", *OTHERS])
def test_a_crash_at_any_event_resumes_to_the_same_weights(tmp_path: Path, whole: Result, event: str) -> None:
    """Whatever was being written when the process died is written again, the same."""
    name = "run_started" if event == "started" else event
    with pytest.raises(ZeroDivisionError):
        small_run(tmp_path / "cut", observer=Raiser(name, 1))
    resumed = small_run(tmp_path / "cut")
    assert same_weights(whole.folder, tmp_path / "cut") == []
    assert sum(item["event"] == "tested" for item in resumed.events) == 2 * 3
    assert figures(whole) == figures(resumed)
    before, after = whole.event("verdict"), resumed.event("verdict")
    assert before is not None and after is not None
    assert before["metric_calls"] == after["metric_calls"]


def test_chosen_is_on_disk_before_test_is_read(tmp_path: Path) -> None:
    """Whenever anything iterates over the test split, the record already holds the line `chosen`."""
    reads = []

    class Spy(ArraySplit):
        """A split that notes what stands in the record when it is read."""

        def __iter__(self):
            reads.append('"event": "chosen"' in (tmp_path / "run" / "record.jsonl").read_text())
            return super().__iter__()

    splits = small_splits()
    spied = Splits(splits.fit, splits.select, Spy(splits.test.inputs, splits.test.targets))
    small_run(tmp_path / "run", splits=spied, seed=0, plan=Plan(minutes=0.005))
    assert reads
    assert all(reads)


def test_record_without_checkpoint_is_not_wiped(whole: Result, tmp_path: Path) -> None:
    """A copy that lost its checkpoint keeps its record: nothing is trained, and test is not read again."""
    copy = tmp_path / "copy"
    shutil.copytree(whole.folder, copy)
    shutil.rmtree(copy / "last")
    with pytest.raises(CheckpointError, match="no checkpoint"):
        small_run(copy)
    assert (copy / "record.jsonl").read_bytes() == (whole.folder / "record.jsonl").read_bytes()


def test_other_batches_are_refused(tmp_path: Path) -> None:
    """The control arm and the method must see the same batches, also across a resume."""
    with pytest.raises(Interrupted):
        small_run(tmp_path / "run", observer=Raiser("progress", 20, signal.SIGINT))
    splits = small_splits()
    with pytest.raises(CheckpointError, match=r"data\.fit was"):
        small_run(tmp_path / "run", splits=Splits(splits.fit.rebatch(16), splits.select, splits.test))


@pytest.mark.slow
def test_shuffling_loader_resumes_and_changes_its_order(tmp_path: Path) -> None:
    """A DataLoader with its own generator and a sampler of ours inside draws every epoch anew, and resumes."""
    splits = small_splits()
    seen: list[torch.Tensor] = []

    class Noting(torch.utils.data.TensorDataset):
        """A dataset that notes which items are asked for."""

        def __getitem__(self, index):
            seen.append(index)
            return super().__getitem__(index)

    def run(folder: Path, **changes) -> Result:
        data = Noting(splits.fit.inputs, splits.fit.targets)
        sampler = ClassBatchSampler(splits.fit.targets, classes_per_batch=8, samples_per_class=4)
        loader = torch.utils.data.DataLoader(data, batch_sampler=sampler, generator=torch.Generator())
        both = Splits(loader, splits.select, splits.test)
        return small_run(folder, splits=both, seed=0, plan=Plan(steps=12, checkpoint_every=5), **changes)

    run(tmp_path / "whole")
    per_epoch = len(ClassBatchSampler(splits.fit.targets, classes_per_batch=8, samples_per_class=4)) * 32
    assert seen[:per_epoch] != seen[per_epoch : 2 * per_epoch]
    with pytest.raises(Interrupted):
        run(tmp_path / "cut", observer=Raiser("progress", 15, signal.SIGTERM))
    run(tmp_path / "cut")
    assert same_weights(tmp_path / "whole", tmp_path / "cut") == []


def test_finished_run_is_returned_and_not_repeated(whole: Result) -> None:
    """The same call on a finished folder gives its result and counts no further metric call."""
    again = small_run(whole.folder)
    assert again.events == whole.events
    assert again.model is not None


def test_other_settings_in_the_folder_are_refused(whole: Result) -> None:
    """A folder of another run is never overwritten."""
    with pytest.raises(RunFolderError, match="holds another run: arms, plan"):
        small_run(whole.folder, plan=Plan(steps=7))


@pytest.mark.slow
def test_other_data_are_refused_unless_forced(tmp_path: Path) -> None:
    """Resume refuses changed data; force goes on and marks the run."""
    with pytest.raises(Interrupted):
        small_run(tmp_path / "run", observer=Raiser("progress", 20, signal.SIGINT))
    with pytest.raises(CheckpointError, match=r"data\.fit was"):
        small_run(tmp_path / "run", splits=small_splits(seed=1))
    forced = small_run(tmp_path / "run", splits=small_splits(seed=1), force=True)
    verdict = forced.event("verdict")
    assert verdict is not None
    assert any("data.fit" in mark for mark in verdict["marks"])


def test_other_thread_count_is_refused(tmp_path: Path) -> None:
    """Sums of a matrix product depend on the number of threads: resume refuses another one."""
    with pytest.raises(Interrupted):
        small_run(tmp_path / "run", observer=Raiser("progress", 20, signal.SIGINT))
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        with pytest.raises(CheckpointError, match="threads was"):
            small_run(tmp_path / "run")
    finally:
        torch.set_num_threads(threads)


@pytest.mark.slow
def test_minutes_are_steps_from_then_on(tmp_path: Path) -> None:
    """Minutes are turned into steps once; a resumed run keeps the number."""
    plan = Plan(minutes=0.02, checkpoint_every=5)
    with pytest.raises(Interrupted):
        small_run(tmp_path / "run", plan=plan, observer=Raiser("progress", 12, signal.SIGINT))
    before = Result.load(tmp_path / "run").event("budget")
    after = small_run(tmp_path / "run", plan=plan).event("budget")
    assert before == after
    assert before is not None
    assert before["steps"] >= 1
    assert before["seconds_per_step"] > 0


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(
    ("steps", "count"), [(STEPS, 6), pytest.param(12, None, id="all", marks=pytest.mark.nightly)]
)
def test_killed_at_numbered_moments(tmp_path: Path, steps: int, count: int | None) -> None:
    """SIGKILL at any moment: the run resumes, and its weights equal the uninterrupted run's bit for bit."""
    whole = tmp_path / "whole"
    with Forks("tests.tune.small_run:small", EMIT) as forks:
        ended = forks.run(whole, steps)
        assert ended.code == 0
        for number in spread(ended.moments, count):
            folder = tmp_path / f"killed-{number}"
            assert forks.run(folder, steps, kill_at=number).code == -signal.SIGKILL, f"moment {number}"
            assert forks.run(folder, steps).code == 0, f"moment {number}"
            assert same_weights(whole, folder) == [], f"moment {number}"
            assert figures(Result.load(folder)) == figures(Result.load(whole)), f"moment {number}"
            shutil.rmtree(folder)
