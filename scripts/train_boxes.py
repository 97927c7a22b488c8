"""Train the start model of the task `boxes` from scratch and write `src/metricgrad/tasks/data/boxes/start.safetensors`.

    OMP_NUM_THREADS=1 python scripts/train_boxes.py

Smooth-L1 on the fit scenes, mirrored and turned by quarters at random, with AdamW and a learning rate that is cut to
a quarter whenever the mean rotated IoU on `select` has not risen for four epochs; training ends when it has not risen
for four at the last rate, or when the time is over. The file holds the weights of the best epoch so far. The test
split is never looked at.
"""

import argparse
import math
import os
import time
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn

from metricgrad.metrics.overlap import rotated_iou
from metricgrad.tasks.box_network import START_WEIGHTS, BoxNetwork, read_start, smooth_l1_box_loss
from metricgrad.tasks.boxes import Options, scene_splits
from metricgrad.tasks.boxes_split import BoxScenes

RATES = (2e-3, 5e-4, 1.25e-4)
PATIENCE = 4  # evaluations (one an epoch) without a better value
WARM_UP = 90  # steps of the first epoch


def main() -> None:
    """Train, and write the best weights."""
    arguments = _arguments()
    began = time.perf_counter()
    torch.set_num_threads(arguments.threads)
    splits, key = scene_splits(Options(), print)
    fit, select = splits.fit, splits.select
    assert isinstance(fit, BoxScenes) and isinstance(select, BoxScenes)
    print(f"scenes {key}: {len(fit.inputs)} fit, {len(select.inputs)} select", flush=True)
    torch.manual_seed(arguments.seed)
    network = BoxNetwork()
    print(f"{sum(parameter.numel() for parameter in network.parameters())} parameters", flush=True)
    train(network, fit, select, arguments)
    overlap = measure(read_start(arguments.out), select)
    above = [float((overlap > least).double().mean()) for least in (0.5, 0.75)]
    print(f"select: mean IoU {overlap.mean():.4f}, above 0.5 {above[0]:.4f}, above 0.75 {above[1]:.4f}")
    print(
        f"{time.perf_counter() - began:.0f} s, of them {time.process_time():.0f} s of computation; {arguments.out}"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=90.0, help="longest time (default: 90)")
    parser.add_argument("--threads", type=int, default=1, help="of the computation (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order and turns (default: 0)")
    parser.add_argument("--out", type=Path, default=START_WEIGHTS, help="file to write")
    return parser.parse_args()


def train(network: nn.Module, fit: BoxScenes, select: BoxScenes, arguments: argparse.Namespace) -> None:
    """Train to the plateau on `select`; write the weights whenever they are the best so far."""
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATES[0], weight_decay=0.02)
    best, since, place, epoch = -1.0, 0, 0, 0
    began = time.perf_counter()
    while place < len(RATES) and time.perf_counter() - began < 60 * arguments.minutes:
        fit.set_epoch(epoch)
        loss = _epoch(network, optimiser, fit, rate=RATES[place], warm_up=0 if epoch else WARM_UP)
        value = float(measure(network, select).mean())
        since, epoch = since + 1, epoch + 1
        if value > best:
            best, since = value, 0
            _write(network, arguments.out)
        seconds = time.perf_counter() - began
        report = f"{seconds:6.0f} s  epoch {epoch:3d}  rate {RATES[place]:.2e}  loss {loss:.4f}"
        print(f"{report}  select {value:.4f}  best {best:.4f}", flush=True)
        if since == PATIENCE:
            since, place = 0, place + 1


def _write(network: nn.Module, path: Path) -> None:
    """Write the weights beside their place and rename them into it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    beside.write_bytes(save(network.state_dict()))
    os.replace(beside, path)


def _epoch(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    fit: BoxScenes,
    *,
    rate: float,
    warm_up: int,
) -> float:
    """Train for one pass over the fit scenes; return the mean loss."""
    network.train()
    losses = []
    for step, (pictures, boxes) in enumerate(fit):
        optimiser.param_groups[0]["lr"] = rate * min(1.0, (step + 1) / max(warm_up, 1))
        optimiser.zero_grad()
        loss = smooth_l1_box_loss(network(pictures), boxes).mean()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.item())
    return math.fsum(losses) / len(losses)


def measure(network: nn.Module, split: BoxScenes) -> Tensor:
    """Return the rotated IoU of every scene of a split."""
    network.eval()
    with torch.no_grad():
        return torch.cat([rotated_iou(network(pictures), boxes) for pictures, boxes in split])


if __name__ == "__main__":
    main()
