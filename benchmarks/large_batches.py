"""What large batches and SiMix bring, on emoji and on text_retrieval: one `compare` for every size of batch.

    .venv/bin/python -m benchmarks.large_batches emoji            about ten minutes on two cores
    .venv/bin/python -m benchmarks.large_batches text_retrieval   about half an hour, the vectors apart

Every arm sees about as many rows as the task's own plan shows it, with a learning rate that follows the square root of
the batch; large batches go through the network in chunks (staged backward). The arms of one size are the contenders
of one `compare`: they begin alike and see the same batches. The data are a division of the development part
(`data.development`): select chooses the step, the held-out part is read once, the real test split takes no part.
SiMix mixes rows of one class, so that it applies to emoji alone.
"""

import argparse
import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.contests import contest, readings, write
from metricgrad.tasks import emoji, text_retrieval
from metricgrad.tasks.task import Task

ROOT = Path(__file__).parent.parent
SEEDS = (0, 1, 2)
CHUNK = 1024
BATCHES = {"emoji": (256, 1024, 3360), "text_retrieval": (512, 2048, 8192)}
"""Rows of a batch, or queries; the largest of emoji are all classes of a division with all their drawings."""
TASKS = {"emoji": emoji, "text_retrieval": text_retrieval}


def arms(task: Task, rate: float) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Name, method and settings of the contenders; `rate` multiplies their learning rates."""
    own, proxy = dict(task.settings), dict(task.proxy_settings)
    for one in (own, proxy):
        one["learning_rate"] *= rate
    if task.name == "text_retrieval":
        plain = {key: value for key, value in own.items() if key != "objective"}
        ndcg = {**plain, "objective": {"temperature": 0.05}}
        return [
            ("infonce", "proxy", proxy),
            ("triplet", str(task.method), own),
            ("ndcg", "surrogate:ndcg", ndcg),
        ]
    mixed = {**own, "objective": {**own.get("objective", {}), "simix": {"pairs_per_class": 6}}}
    return [
        ("supcon", "proxy", proxy),
        ("ap", "surrogate:average_precision", own),
        ("ap-simix", "surrogate:average_precision", mixed),
        ("recall", "surrogate:recall_at_k", own),
        ("recall-simix", "surrogate:recall_at_k", mixed),
    ]


def rows_of_plan(task: Task) -> int:
    """Rows that an arm of the task sees by its own plan."""
    fit: Any = task.splits.fit
    assert task.plan.steps is not None
    batch = (
        fit.batch if task.name == "text_retrieval" else fit.sampler.classes_per_batch * fit.samples_per_class
    )
    return task.plan.steps * batch


def main() -> None:
    """Run one contest a size, print the table and write it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", choices=sorted(TASKS))
    parser.add_argument("--development", type=int, default=0, help="Number of the division.")
    parser.add_argument("--data", default="{}", help="Options of the task as JSON, folders for instance.")
    parser.add_argument("--quick", action="store_true", help="Four steps each, to see that everything runs.")
    chosen = parser.parse_args()
    task = TASKS[chosen.task].load({**json.loads(chosen.data), "development": chosen.development})
    seen, usual = rows_of_plan(task), rows_of_plan(task) // (task.plan.steps or 1)
    rows: list[list[Any]] = []
    for batch in BATCHES[chosen.task]:
        steps = max(4, round(seen / batch))
        plan = task.plan.model_copy(
            update={
                "steps": steps,
                "batch": batch,
                "chunk": CHUNK if batch > CHUNK else None,
                "evaluate_every": max(1, steps // 12),
            }
        )
        listed = arms(task, math.sqrt(batch / usual))
        folder = (
            ROOT / "runs" / f"batches-{chosen.task}-{chosen.development}-{batch}{'-quick' * chosen.quick}"
        )
        found = contest(replace(task, plan=plan), listed, folder, seeds=SEEDS, plan=plan, quick=chosen.quick)
        rows += [[batch, steps, *row] for row in readings(found, task, listed[0][0], plan.resamples)]
    header = ["batch", "steps", "arm", "held_out", "deviation", "minus_proxy", "low", "high", "select"]
    name = f"large-batches-{chosen.task.replace('_', '-')}.csv"
    write(ROOT / ("runs" if chosen.quick else "docs") / name, header, rows)


if __name__ == "__main__":
    main()
