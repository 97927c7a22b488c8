"""Train the start model of the task `words` from scratch and write `src/metricgrad/tasks/data/words/start.safetensors`.

    OMP_NUM_THREADS=1 python scripts/train_words.py

Cross-entropy of the letters on the fit pictures, moved by a few pixels at random, with AdamW and a learning rate that
warms up and becomes a third whenever the edit distance on `select` has not fallen for three evaluations; training ends
when it has not fallen for three at the last rate, or when the time is over. The weights of the best evaluation are
kept. The test split is never looked at.
"""

import argparse
import math
import os
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from metricgrad.learned import words as words_kind
from metricgrad.metrics.names import metric_by_name
from metricgrad.tasks.recogniser import MAX_LENGTH, START_WEIGHTS, Recogniser, letter_cross_entropy
from metricgrad.tasks.words import Options, word_splits
from metricgrad.tasks.words_pictures import ALPHABET
from metricgrad.tasks.words_split import WordSplit

RATES = (2e-3, 7e-4, 2.5e-4, 8e-5)
BATCH = 64
PATIENCE = 3  # evaluations (one an epoch) without a better value
WARM_UP = 300  # steps of the first epoch


def main() -> None:
    """Train, and write the best weights."""
    arguments = _arguments()
    began = time.perf_counter()
    torch.set_num_threads(arguments.threads)
    splits, key = word_splits(Options(), print)
    fit, select = splits.fit, splits.select
    assert isinstance(fit, WordSplit) and isinstance(select, WordSplit)
    print(f"pictures {key}: {len(fit.inputs)} fit, {len(select.inputs)} select", flush=True)
    torch.manual_seed(arguments.seed)
    network = Recogniser()
    print(f"{sum(parameter.numel() for parameter in network.parameters())} parameters", flush=True)
    train(network, fit.rebatch(BATCH), select, minutes=arguments.minutes, out=arguments.out)
    network.load_state_dict(load_file(arguments.out))
    distance, accuracy, errors = measure(network, select)
    print(
        f"select: edit distance {distance:.4f}, accuracy {accuracy:.4f}, CER {errors:.4f}; "
        f"{time.perf_counter() - began:.0f} s, {time.process_time():.0f} s of processor time; {arguments.out}"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=40.0, help="longest training (default: 40)")
    parser.add_argument("--threads", type=int, default=1, help="of the computation (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and dropout (default: 0)")
    parser.add_argument("--out", type=Path, default=START_WEIGHTS, help="file to write")
    return parser.parse_args()


def train(network: nn.Module, fit: WordSplit, select: WordSplit, *, minutes: float, out: Path) -> None:
    """Train to the plateau on `select` and keep the best weights in a file."""
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATES[0], weight_decay=0.02)
    best, since, place, epoch = math.inf, 0, 0, 0
    began = time.perf_counter()
    while place < len(RATES) and time.perf_counter() - began < 60 * minutes:
        fit.set_epoch(epoch)
        loss = _epoch(network, optimiser, fit, rate=RATES[place], warm_up=WARM_UP if epoch == 0 else 0)
        value, accuracy, _ = measure(network, select)
        since, epoch = since + 1, epoch + 1
        if value < best:
            best, since = value, 0
            _keep(network, out)
        print(
            f"{time.perf_counter() - began:6.0f} s  epoch {epoch:3d}  rate {RATES[place]:.2e}  loss {loss:.4f}  "
            f"edit distance {value:.4f}  accuracy {accuracy:.4f}",
            flush=True,
        )
        if since == PATIENCE:
            since, place = 0, place + 1


def _keep(network: nn.Module, out: Path) -> None:
    """Write the weights beside their place and rename them into it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = out.with_name(out.name + ".part")
    save_file(network.state_dict(), beside)
    os.replace(beside, out)


def _epoch(
    network: nn.Module, optimiser: torch.optim.Optimizer, fit: WordSplit, *, rate: float, warm_up: int
) -> float:
    """Train for one pass over the fit pictures; return the mean loss."""
    network.train()
    losses = []
    for step, (pictures, texts) in enumerate(fit):
        optimiser.param_groups[0]["lr"] = rate * min(1.0, (step + 1) / max(warm_up, 1))
        optimiser.zero_grad()
        loss = letter_cross_entropy(network(pictures), texts).mean()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.item())
    return math.fsum(losses) / len(losses)


def measure(network: nn.Module, split: WordSplit) -> tuple[float, float, float]:
    """Return edit distance, accuracy and character error rate on a split."""
    decode = words_kind(ALPHABET, MAX_LENGTH).decode
    network.eval()
    read: list[str] = []
    with torch.no_grad():
        for pictures, _ in split:
            read += decode(network(pictures))
    distance, errors = (
        float(metric.summarise(metric.measure(read, split.targets)))
        for metric in map(metric_by_name, ("edit_distance", "character_error_rate"))
    )
    return distance, sum(map(str.__eq__, read, split.targets)) / len(read), errors


if __name__ == "__main__":
    main()
