"""What two processes do in the tests of this folder: a task whose model can strike, and a program of checks.

Run it with: torchrun --nproc-per-node 2 -m tests.distributed.program FOLDER
"""

import json
import os
import signal
import sys
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from metricgrad.errors import InputError, Interrupted
from metricgrad.losses import recall_at_k_loss
from metricgrad.pairing import SiMix
from metricgrad.ranking import RankingLoss
from metricgrad.scale import (
    Processes,
    SharedBackward,
    StagedBackward,
    gather_parts,
    gather_rows,
    joined,
    sum_gradients,
)
from metricgrad.tasks.task import Task
from metricgrad.tune import Plan, Splits, tune
from tests.tune.small_run import same_weights, small_run, small_splits

STEPS = 50


class Double:
    """A split whose inputs are float64."""

    def __init__(self, split: Any) -> None:
        self.split = split

    def set_epoch(self, epoch: int) -> None:
        """Hand the number on."""
        self.split.set_epoch(epoch)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches."""
        for inputs, targets in self.split:
            yield inputs.double(), targets


class Striking(nn.Module):
    """A network that sends its own process a signal at its n-th training step, in one process of the run.

    An evaluation does not count. What strikes is read from METRICGRAD_STRIKE: rank, step and signal number.
    """

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(12, 32), nn.Tanh(), nn.Dropout(dropout), nn.Linear(32, 8))
        self.steps = 0

    def forward(self, inputs: Tensor) -> Tensor:
        """Embed."""
        self.steps += self.training
        rank, step, number = (int(word) for word in os.environ.get("METRICGRAD_STRIKE", "-1 0 0").split())
        if self.steps == step and int(os.environ.get("RANK", "0")) == rank:
            os.kill(os.getpid(), number)
        return self.layers(inputs)


def load(options: Mapping[str, Any], observer: Any) -> Task:
    """A task for the command line."""
    del options, observer
    return Task(
        name="striking",
        splits=small_splits(),
        model=lambda seed: Striking(0.2),
        proxy="supcon",
        metric="recall@1",
        plan=Plan(steps=30, evaluate_every=10, checkpoint_every=5),
    )


def double_run(folder: Path, chunk: int | None) -> None:
    """A run in float64 without dropout, with what the loss draws at random."""
    splits = small_splits()
    tune(
        lambda seed: Striking(0.0).double(),
        Splits(
            Double(splits.fit), splits.select.__class__(splits.select.inputs.double(), splits.select.targets)
        ),
        metric="recall@1",
        proxy="supcon",
        method="surrogate:recall_at_k+simix",
        folder=folder,
        plan=Plan(steps=STEPS, evaluate_every=5, checkpoint_every=20, chunk=chunk),
        observer=lambda event: None,
    )


def dropout_run(folder: Path) -> None:
    """A run with dropout."""
    tune(
        lambda seed: Striking(0.3),
        small_splits(),
        metric="recall@1",
        proxy="supcon",
        folder=folder,
        plan=Plan(steps=12, evaluate_every=4, checkpoint_every=5),
        observer=lambda event: None,
    )


def check_gather(processes: Processes) -> None:
    """Rows come in the order of the batch, with the gradient of the own ones, however uneven the parts are."""
    for rows in (0, 1, 2, 5, 8):
        whole = torch.arange(3.0 * rows).reshape(rows, 3)
        for known in (rows, None):
            local = whole[processes.rank :: processes.size].clone().requires_grad_()
            gathered = gather_rows(local, rows=known)
            torch.testing.assert_close(gathered, whole, rtol=0, atol=0)
            (gathered**2).sum().backward()
            torch.testing.assert_close(local.grad, 2 * local.detach(), rtol=0, atol=0)
    try:
        gather_rows(torch.zeros(1 + 2 * processes.rank, 3))
    except InputError as error:
        assert "[1, 3] rows" in str(error)
    else:
        raise AssertionError("uneven parts were accepted")


def check_parts(processes: Processes) -> None:
    """Parts of any size come in the order of the processes, with the gradient of the own rows."""
    for sizes in ((3, 3), (1, 4), (0, 2), (0, 0)):
        whole = torch.arange(3.0 * sum(sizes)).reshape(sum(sizes), 3)
        local = whole.split(sizes)[processes.rank].clone().requires_grad_()
        gathered = gather_parts(local)
        torch.testing.assert_close(gathered, whole, rtol=0, atol=0)
        (gathered**2).sum().backward()
        torch.testing.assert_close(local.grad, 2 * local.detach(), rtol=0, atol=0)
        numbers = gather_parts(torch.arange(sizes[processes.rank]))
        assert numbers.tolist() == [*range(sizes[0]), *range(sizes[1])]
    for differing, said in (
        (torch.zeros(2, 3 + processes.rank), r"(2, 3) and (2, 4)"),
        (torch.tensor(0.0), "0 axes"),
    ):
        try:
            gather_parts(differing)
        except InputError as error:
            assert said in str(error)
        else:
            raise AssertionError("parts of several shapes were accepted")


def check_sums(processes: Processes) -> None:
    """Gradients are summed by dtype; what nobody used stays without one."""
    names = ("both", "one", "none", "wide")
    values = {
        name: nn.Parameter(torch.zeros(2, dtype=torch.float64 if name == "wide" else None)) for name in names
    }
    for name in ("both", "wide"):
        values[name].grad = torch.full_like(values[name], 1.0 + processes.rank)
    if processes.rank == 1:
        values["one"].grad = torch.full_like(values["one"], 5.0)
    sum_gradients(values.values())
    found = {name: None if value.grad is None else value.grad.tolist() for name, value in values.items()}
    assert found == {"both": [3, 3], "one": [5, 5], "none": None, "wide": [3, 3]}, found


def check_decisions(processes: Processes, folder: Path) -> None:
    """Process 0 decides, goes first, and gives its weights away."""
    answer = processes.led(lambda: {"rank": processes.rank, "text": "ä", "nothing": None, "value": 0.1 + 0.2})
    assert answer == {"rank": 0, "text": "ä", "nothing": None, "value": 0.1 + 0.2}
    assert processes.largest(10 + processes.rank) == 11
    with processes.leader_first():
        if processes.leader:
            (folder / "first").touch()
        assert (folder / "first").exists()
    torch.manual_seed(processes.rank)
    model = nn.Sequential(nn.Linear(3, 2).to(torch.bfloat16), nn.BatchNorm1d(2))
    model.register_buffer("mask", torch.tensor([processes.leader]))
    processes.same_weights(model)
    assert bool(model.mask)
    sums = [float(value.double().sum()) for value in model.state_dict().values()]
    assert sums == processes.led(lambda: sums)


def check_first_gradient(processes: Processes) -> None:
    """In float32 the summed gradients equal one process's to 1e-5 of the largest; the shared random state goes on."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 64), nn.Tanh(), nn.Linear(64, 16))
    inputs, labels = torch.randn(61, 12), torch.arange(61) % 9
    criterion = RankingLoss(recall_at_k_loss, temperature=0.05, simix=SiMix())
    for chunk in (None, 7):
        torch.manual_seed(1)
        one = StagedBackward(model, criterion, chunk=100)(inputs, labels)
        drawn = torch.rand(2)
        expected = [value.grad.clone() for value in model.parameters()]
        model.zero_grad()
        torch.manual_seed(1)
        parameters = list(model.parameters())
        shared = SharedBackward(
            model, criterion, parameters=parameters, chunk=chunk, seed=0, processes=processes
        )
        torch.testing.assert_close(shared(inputs, labels, step=0), one)
        torch.testing.assert_close(torch.rand(2), drawn, rtol=0, atol=0)
        for value, wanted in zip(parameters, expected, strict=True):
            bound = 1e-5 * float(wanted.abs().max())
            torch.testing.assert_close(value.grad, wanted, rtol=0, atol=bound)
        model.zero_grad()


def check_data_parallel(processes: Processes) -> None:
    """Staged under DistributedDataParallel, which averages gradients: one synchronisation, one process's gradient."""
    torch.manual_seed(0)
    model, alone = (nn.Sequential(nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 4)) for _ in range(2))
    alone.load_state_dict(model.state_dict())
    inputs, labels = torch.randn(31, 12), torch.arange(31) % 5
    criterion = RankingLoss(recall_at_k_loss, temperature=0.1)
    parallel = nn.parallel.DistributedDataParallel(model)
    synchronised = []
    parallel.register_comm_hook(None, lambda _, bucket: _counted(synchronised, bucket))
    step = StagedBackward(
        parallel, lambda local, targets: processes.size * criterion(gather_rows(local), targets), chunk=3
    )
    step(inputs[processes.rank :: processes.size], labels)
    StagedBackward(alone, criterion, chunk=100)(inputs, labels)
    assert len(synchronised) == 1
    for value, wanted in zip(model.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(value.grad, wanted.grad, rtol=1e-4, atol=1e-6)


def _counted(synchronised: list[int], bucket: Any) -> Any:
    """Average a bucket of gradients, as DistributedDataParallel does without a hook, and count."""
    synchronised.append(bucket.index())
    work = torch.distributed.all_reduce(bucket.buffer() / 2, async_op=True)
    return work.get_future().then(lambda future: future.value()[0])


def check_statistics(processes: Processes) -> None:
    """A part of a batch has other statistics than the batch."""
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    shared = SharedBackward(
        model,
        lambda outputs, targets: outputs.sum(),
        parameters=list(model.parameters()),
        chunk=None,
        seed=0,
        processes=processes,
    )
    try:
        shared(torch.zeros(4, 3), None, step=0)
    except InputError as error:
        assert "statistics of the batch" in str(error)
    else:
        raise AssertionError("BatchNorm was accepted")


class Counting(nn.Module):
    """A network that scales by the number of its calls, in one process only."""

    def __init__(self, moving: bool) -> None:
        super().__init__()
        self.linear, self.moving, self.calls = nn.Linear(3, 2), moving, 0

    def forward(self, inputs: Tensor) -> Tensor:
        """Embed."""
        self.calls += self.moving
        return self.linear(inputs) * (1 + self.calls)


def check_changing_network(processes: Processes) -> None:
    """A second pass that is another one in one process ends in the same sentence in all, however parts are cut."""
    for rows in (7, 8, 9):  # with chunk 4 one process may have two chunks and the other one
        model = Counting(moving=processes.rank == 0)
        shared = SharedBackward(
            model,
            lambda outputs, targets: outputs.square().sum(),
            parameters=list(model.parameters()),
            chunk=4,
            seed=0,
            processes=processes,
        )
        try:
            shared(torch.ones(rows, 3), None, step=0)
        except InputError as error:
            assert rows == 9 and "second pass" in str(error), (rows, error)
        else:
            assert rows < 9


def check_masks(processes: Processes) -> None:
    """Dropout masks differ between processes and steps, and come back with the same step."""
    seen: list[Tensor] = []
    model = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5))
    model.register_forward_hook(lambda *_: seen.append(torch.rand(1)))
    parameters = list(model.parameters())
    shared = SharedBackward(
        model,
        lambda outputs, targets: outputs.sum(),
        parameters=parameters,
        chunk=None,
        seed=0,
        processes=processes,
    )
    for step in (0, 1, 0):
        shared(torch.zeros(4, 3), None, step=step)
    assert seen[0] == seen[2] != seen[1]
    both = gather_rows(seen[0][None])
    assert both[0] != both[1]


def check_resume(processes: Processes, folder: Path) -> None:
    """A signal to one process stops all after the same step; they resume to the bytes of an uninterrupted run."""
    dropout_run(folder / "whole")
    os.environ["METRICGRAD_STRIKE"] = f"1 7 {int(signal.SIGTERM)}"
    try:
        dropout_run(folder / "cut")
    except Interrupted as error:
        assert "SIGTERM at step 7 of continued" in str(error), error
    else:
        raise AssertionError("nothing was interrupted")
    del os.environ["METRICGRAD_STRIKE"]
    dropout_run(folder / "cut")
    assert same_weights(folder / "whole", folder / "cut") == []


def check_sameness(processes: Processes, folder: Path) -> None:
    """Another model, other data or other settings in one process: all refuse with the same words, none waits."""
    rank = processes.rank
    different: dict[str, dict[str, Any]] = {
        "found.model.values": {
            "model": lambda seed: nn.Linear(12, 8 if seed else 4).requires_grad_(rank == 0)
        },
        "found.data.select": {"splits": small_splits(noise=1.2 + 0.001 * rank)},
        "asked.plan.steps": {"plan": Plan(steps=3 + rank)},
        "found.proxy": {"proxy": [recall_loss, other_loss][rank], "start_plan": None},
    }
    for name, changes in different.items():
        try:
            small_run(folder / "never", **changes)
        except InputError as error:
            said = processes.gathered(str(error))
            assert said[0] == said[1], said
            assert name in said[0], said
        else:
            raise AssertionError(f"{name} differed and nobody said so")
    assert not (folder / "never").exists()


def recall_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """A proxy."""
    return RankingLoss(recall_at_k_loss, k=(1,), temperature=0.1)(outputs, targets)


def other_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Another one."""
    return RankingLoss(recall_at_k_loss, k=(2,), temperature=0.1)(outputs, targets)


def one_sided_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """A loss that overflows in process 1 alone, with a gradient that is finite."""
    value = recall_loss(outputs, targets)
    return value + torch.inf if len(outputs) == 32 and os.environ["RANK"] == "1" else value


def check_divergence(processes: Processes, folder: Path) -> None:
    """A loss that is not finite in one process ends the try in all of them, and the run goes on."""
    result = small_run(
        folder / "one_sided",
        model=lambda seed: Striking(0.0),
        proxy=one_sided_loss,
        start_plan=None,
        seed=0,
        plan=Plan(steps=4, evaluate_every=2),
    )
    ends = {event["arm"]: event for event in result.events if event["event"] == "stage_finished"}
    assert ends["continued"]["diverged"] == 1
    assert ends["tuned"]["diverged"] is None
    assert ends["tuned"]["step"] == 4
    processes.wait()


def main(folder: Path) -> None:
    """Run every check; process 0 leaves word."""
    torch.set_num_threads(1)
    with joined() as processes:
        assert processes.size == 2
        group = weakref.ref(torch.distributed.group.WORLD)
        check_gather(processes)
        check_parts(processes)
        check_sums(processes)
        check_decisions(processes, folder)
        check_first_gradient(processes)
        check_data_parallel(processes)
        check_statistics(processes)
        check_changing_network(processes)
        check_masks(processes)
        check_resume(processes, folder)
        check_sameness(processes, folder)
        check_divergence(processes, folder)
        for name, chunk in (("double", None), ("chunked", 5)):
            double_run(folder / name, chunk)
        processes.wait()
        if processes.leader:
            (folder / "done.json").write_text(json.dumps({"processes": processes.size}))
    assert group() is None, "something holds the process group, whose threads then outlive the interpreter"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
