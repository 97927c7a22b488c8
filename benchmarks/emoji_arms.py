"""The table of the task emoji: closed forms and losses side by side, recall@1, mAP and NDCG@10, three seeds.

    .venv/bin/python -m benchmarks.emoji_arms --development 0     on the held-out classes of a division: writes nothing
    .venv/bin/python -m benchmarks.emoji_arms                     reads the test split: docs/emoji-arms.csv

Closed forms are fitted on the features of fit; of each kind select chooses the setting. `SupCon` is the FiLM head,
trained from random weights until select stands still. All other losses begin with the LDA that the task begins with
and take the task's settings: the control's for SupCon, those of the tuned arm for all others. Select chooses their
step. Then all arms are measured at once. Intervals are over classes and seeds.
"""

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.contests import contest
from benchmarks.emoji_batches import start_of
from metricgrad.differences import Differences
from metricgrad.metrics import adapt
from metricgrad.projection import Projection, label_grid
from metricgrad.tasks import emoji
from metricgrad.tasks.task import Task
from metricgrad.tune.checkpoint import load_weights
from metricgrad.tune.evaluator import Evaluator
from metricgrad.tune.groups import grouping_of
from metricgrad.tune.weights import load_into

ROOT = Path(__file__).parent.parent
SEEDS = (0, 1, 2)
METRICS = ("recall@1", "map", "ndcg@10")
FORMS = {
    "raw": "unchanged",
    "whitening": "whitening",
    "within-class whitening": "within-class whitening",
    "LDA": "LDA",
}
LOSSES = {
    "SupCon from LDA": "proxy",
    "recall@k surrogate from LDA": "surrogate:recall_at_k",
    "AP surrogate from LDA": "surrogate:average_precision",
    "direct AP from LDA": "direct:average_precision",
}


def best_forms(task: Task) -> dict[str, Projection]:
    """Of each kind the closed form that select prefers."""
    fit: Any = task.splits.fit
    evaluator, best = Evaluator(adapt(task.metric)), {}
    for form in label_grid(fit.inputs, fit.targets):
        value = evaluator.value(form, task.splits.select, "select")
        if value > best.get(form.name, (-1.0, form))[0]:
            best[form.name] = value, form
    return {arm: best[name][1] for arm, name in FORMS.items()}


def trained(task: Task, folder: Path) -> Iterator[tuple[str, list[nn.Module]]]:
    """Arm and its model of each seed, by the losses that begin with LDA."""
    common = {key: value for key, value in task.settings.items() if key != "objective"}
    temperature = {key: value for key, value in task.settings["objective"].items() if key == "temperature"}
    settings = {
        method: {**common, "objective": temperature}
        for method in ("surrogate:recall_at_k", "surrogate:average_precision")
    }
    settings |= {"proxy": dict(task.proxy_settings), "direct:average_precision": common}
    if task.method in settings:
        settings[task.method] = dict(task.settings)
    names = {arm: arm.replace(" ", "-").replace("@", "") for arm in LOSSES}
    arms = [(names[arm], method, settings[method]) for arm, method in LOSSES.items()]
    found = contest(task, arms, folder, seeds=SEEDS, plan=task.plan, test=False)
    for arm, name in names.items():
        models = []
        for seed in SEEDS:
            model = task.model(seed)
            weights = found.result.folder / "arms" / f"seed{seed}-{name}-try0.safetensors"
            load_into(model, load_weights(weights))
            models.append(model.eval())
        yield arm, models


def main() -> None:
    """Train, measure every arm once, print the table and write it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--development", type=int, help="A division of the development classes; test stays closed."
    )
    division = parser.parse_args().development
    options = {} if division is None else {"development": division}
    folder = ROOT / "runs" / ("emoji-arms" if division is None else f"emoji-arms-{division}")
    task, film = emoji.load(options), emoji.load({**options, "head": "film"})
    models: dict[str, list[nn.Module]] = {arm: [form] * len(SEEDS) for arm, form in best_forms(task).items()}
    models["the start: LDA as chosen before"] = [task.model(seed).eval() for seed in SEEDS]
    models["SupCon"] = [start_of(film, seed).eval() for seed in SEEDS]
    models |= dict(trained(task, folder))
    rows = [
        [
            "arm",
            *(
                f"{name}{part}"
                for name in METRICS
                for part in ("", "_low", "_high", "_gain", "_gain_low", "_gain_high")
            ),
        ]
    ]
    rows += [[arm] for arm in models]
    assert task.splits.test is not None
    with torch.no_grad():
        for name in METRICS:
            evaluator = Evaluator(adapt(name))
            statistics = {
                arm: [evaluator.statistics(model, task.splits.test, "test") for model in ones]
                for arm, ones in models.items()
            }
            compared = Differences(
                evaluator.metric, statistics, grouping_of("test", task.splits, evaluator.metric)
            )
            for row, arm in zip(rows[1:], models, strict=True):
                own = compared.interval({arm: 1.0})
                gain = compared.interval({arm: 1.0, "LDA": -1.0}) if arm != "LDA" else None
                row += [f"{value:.4f}" for value in (own.value, own.low, own.high)]
                row += (
                    ["", "", ""]
                    if gain is None
                    else [f"{value:+.4f}" for value in (gain.value, gain.low, gain.high)]
                )
    for arm, ones in models.items():
        if isinstance(ones[0], Projection):
            print(f"{arm}: {ones[0].words()}")
    for row in rows:
        print(*row, sep="  ", flush=True)
    if division is None:
        with (ROOT / "docs" / "emoji-arms.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)


if __name__ == "__main__":
    main()
