"""Why the recall@k surrogate gained on the task emoji with a FiLM head (`emoji_film.yaml`): views of the fit classes.

    .venv/bin/python -m benchmarks.emoji_views      about a quarter of an hour on two cores

Without views and with all eight, a start model is trained on divisions of the development classes, as the task says,
and goes on with the settings of either arm for the task's number of steps. The model after the last step is measured
on the fit classes and on the held-out ones, where nothing was chosen; the test split is not read. Intervals: paired
bootstrap over the held-out queries of all divisions (a class may be held out in several).
"""

import copy
import csv
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.emoji_batches import start_of, task_of, train
from metricgrad._records import CONTENDER, CONTROL, START
from metricgrad.interval import paired_bootstrap
from metricgrad.metrics.adapt import adapt
from metricgrad.tasks import emoji
from metricgrad.tune.evaluator import Evaluator
from metricgrad.tune.splits import ArraySplit

DIVISIONS = (0, 1, 2, 3)
VIEWS = (1, 8)
TABLE = Path(__file__).parent.parent / "docs" / "emoji-views.csv"

Found = dict[str, tuple[float, Tensor]]  # arm -> recall@1 of the fit classes, statistics of the held-out ones


def trained(job: tuple[int, int]) -> Found:
    """Train the three arms of one division with so many views."""
    views, division = job
    torch.set_num_threads(1)
    task = task_of("emoji_film.yaml", {"views": views, "development": division})
    start = start_of(task, division)
    models, steps = {START: start}, task.plan.steps or 0
    fit: Any = task.splits.fit
    rows = emoji.Options().classes_per_batch * fit.samples_per_class
    for arm, settings in ((CONTROL, task.proxy_settings), (CONTENDER, task.settings)):
        models[arm] = copy.deepcopy(start)
        train(task, models[arm], dict(settings), rows, steps * rows, division)
    evaluator, drawn = Evaluator(adapt("recall@1")), ArraySplit(fit.inputs, fit.targets)
    assert task.splits.test is not None  # of a development split: the held-out classes
    return {
        arm: (evaluator.value(model, drawn, "fit"), evaluator.statistics(model, task.splits.test, "held-out"))
        for arm, model in models.items()
    }


def summarised(views: int, found: list[Found]) -> list[str]:
    """A row of the table."""
    row = [str(views)]
    held_out = {arm: torch.cat([one[arm][1] for one in found]) for arm in found[0]}
    for arm in found[0]:
        fit = sum(one[arm][0] for one in found) / len(found)
        row += [f"{fit:.4f}", f"{float(held_out[arm][:, 0].nanmean()):.4f}"]
    gain = paired_bootstrap([held_out[CONTENDER]], [held_out[CONTROL]])
    return [*row, *("" if end is None else f"{end:+.4f}" for end in (gain.value, gain.low, gain.high))]


def main() -> None:
    """Train everything, print the table and write it."""
    for views in VIEWS:  # features once, before two processes want the same ones
        task_of("emoji_film.yaml", {"views": views, "development": DIVISIONS[0]})
    header = ["views"]
    header += [f"{arm}_{part}" for arm in (START, CONTROL, CONTENDER) for part in ("fit", "held_out")]
    rows = [[*header, "gain", "low", "high"]]
    with ProcessPoolExecutor(2) as pool:
        for views in VIEWS:
            rows.append(
                summarised(views, list(pool.map(trained, [(views, division) for division in DIVISIONS])))
            )
            print("  ".join(f"{item:>14}" for item in rows[-1]), flush=True)
    with TABLE.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


if __name__ == "__main__":
    main()
