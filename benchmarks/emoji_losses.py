"""Where a metric loss has more to win on emoji: losses and temperatures side by side, on development divisions.

    .venv/bin/python -m benchmarks.emoji_losses                          six vendors, recall@1 chooses the step
    .venv/bin/python -m benchmarks.emoji_losses --few --metric ndcg@10   the best of each, chosen by another metric
    .venv/bin/python -m benchmarks.emoji_losses --few --data FOLDER --name eight     (scripts/build_emoji.py --all)

All arms go on from the LDA of the task, with its plan and the settings of its tuned arm; temperature (margin of the
triplet) and learning rate are what is tried. Select chooses the step, the held-out classes are measured once, and the
table has the means over the divisions with the standard error of what each arm brings over the start. The test split
takes no part: it is no part of a division.
"""

import argparse
import csv
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contests import contest
from benchmarks.emoji_backbone import measured
from metricgrad.tasks import emoji
from metricgrad.tasks.task import Task
from metricgrad.tune.checkpoint import load_weights
from metricgrad.tune.weights import load_into

ROOT = Path(__file__).parent.parent
TEMPERATURES = (0.01, 0.02, 0.04, 0.07, 0.15, 0.3)
MARGINS = (0.05, 0.1, 0.2, 0.4)
LOSSES = {
    "proxy": ("temperature", TEMPERATURES, (0.0003, 0.001)),
    "surrogate:recall_at_k": ("temperature", TEMPERATURES, (0.001,)),
    "surrogate:average_precision": ("temperature", TEMPERATURES, (0.001,)),
    "surrogate:ndcg": ("temperature", TEMPERATURES, (0.001,)),
    "surrogate:hardest_triplet": ("margin", MARGINS, (0.001,)),
}
"""Method -> what is tried of its objective, and learning rates; the control has the rate of the tuned arm as well."""
HEADER = ["loss", "setting", "rate", "select", "recall@1", "map", "ndcg@10"]
HEADER += [f"{name}_{part}" for name in ("recall@1", "map", "ndcg@10") for part in ("gain", "error")]


def few(listed: Mapping[str, tuple[str, str, float, dict[str, Any]]]) -> dict[str, Any]:
    """Of every loss the setting with the best held-out mAP in the table of six vendors."""
    best: dict[str, tuple[float, str]] = {}
    with (ROOT / "docs" / "emoji-losses-six-recall1.csv").open(newline="", encoding="utf-8") as file:
        values = {
            (row["loss"], row["setting"], row["rate"]): float(row["map"]) for row in csv.DictReader(file)
        }
    for name, (method, setting, rate, _) in listed.items():
        best[method] = max(best.get(method, (0.0, "")), (values[told(method), setting, str(rate)], name))
    return {name: listed[name] for _, name in best.values()}


def told(method: str) -> str:
    """A loss in the table."""
    return "SupCon" if method == "proxy" else method.partition(":")[2]


def arms(task: Task) -> dict[str, tuple[str, str, float, dict[str, Any]]]:
    """Name -> method, what was set, learning rate, settings."""
    common = {key: value for key, value in task.settings.items() if key != "objective"}
    return {
        f"{method.split(':')[-1]}-{value}-{rate}": (
            method,
            f"{name} {value}",
            rate,
            {**common, "learning_rate": rate, "objective": {name: value}},
        )
        for method, (name, values, rates) in LOSSES.items()
        for value in values
        for rate in rates
    }


def division_values(task: Task, listed: Mapping[str, Any], folder: Path) -> dict[str, list[float]]:
    """Select and the three figures on the held-out classes, of the start and of every arm."""
    found = contest(
        task,
        [(name, method, settings) for name, (method, _, _, settings) in listed.items()],
        folder,
        seeds=(0,),
        plan=task.plan,
        test=False,
    )
    select = {row.name: row.select for row in found.table}
    model = task.model(0)
    values = {"start": [select["start"], *measured(model, task.splits.test)]}
    for name in listed:
        load_into(model, load_weights(found.result.folder / "arms" / f"seed0-{name}-try0.safetensors"))
        values[name] = [select[name], *measured(model, task.splits.test)]
    return values


def main() -> None:
    """Train and measure everything, print the table and write it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--metric", default="recall@1", help="What select is measured by.")
    parser.add_argument("--divisions", type=int, default=4, help="How many.")
    parser.add_argument("--few", action="store_true", help="One setting a loss, the best of the first table.")
    parser.add_argument("--data", help="Folder of eight vendors; the embedded six without it.")
    parser.add_argument("--name", default="six", help="Of the vendors, for the name of the table.")
    chosen = parser.parse_args()
    spelt = f"{chosen.name}-{chosen.metric.replace('@', '')}"
    all_values: list[dict[str, list[float]]] = []
    words: dict[str, tuple[Any, ...]] = {"start": ("start", "", "")}
    for number in range(chosen.divisions):
        task = emoji.load({"development": number, **({"data": chosen.data} if chosen.data else {})})
        task = replace(task, metric=chosen.metric)
        listed = few(arms(task)) if chosen.few else arms(task)
        words |= {name: (told(method), setting, rate) for name, (method, setting, rate, _) in listed.items()}
        folder = ROOT / "runs" / f"emoji-losses-{spelt}-{number}{'-few' * chosen.few}"
        all_values.append(division_values(task, listed, folder))
    start = np.array([values["start"] for values in all_values])
    rows = []
    for name, of_arm in words.items():
        here = np.array([values[name] for values in all_values])
        gains = (here - start)[:, 1:]
        errors = gains.std(0, ddof=1) / np.sqrt(len(gains))
        row = [*of_arm, *(f"{value:.4f}" for value in here.mean(0))]
        row += [f"{value:+.4f}" for pair in zip(gains.mean(0), errors, strict=True) for value in pair]
        rows.append(row)
        print(*row, sep="  ", flush=True)
    with (ROOT / "docs" / f"emoji-losses-{spelt}.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([HEADER, *rows])


if __name__ == "__main__":
    main()
