"""Direct losses beside the recall@k surrogate on the plain task emoji: hit@1 and average precision by two decodes.

    .venv/bin/python -m benchmarks.emoji_direct choose     tries on `select`: docs/emoji-direct-tries.csv
    .venv/bin/python -m benchmarks.emoji_direct read       three seeds, reads `test`: docs/emoji-direct.csv
    .venv/bin/python -m benchmarks.emoji_direct choose --quick     four steps each; tables under runs/, not docs/

Every arm goes on from the start model of its seed, with the batches, the steps and the settings that were frozen for
the surrogate after four tries. `choose` gives both direct losses four tries of learning rate and displacement on a seed
that is not reported; `read` takes the best of them. The figures in docs are of commit
b3b05f6, whose intervals draw queries; now classes are drawn, as in every run.
"""

import argparse
from pathlib import Path
from typing import Any

from benchmarks.contests import best_tries, contest, readings, tried, write
from benchmarks.emoji_batches import plain_task

SEEDS, DEVELOPMENT_SEED, RESAMPLES = (0, 1, 2), 100, 2000
SURROGATE, DIRECT = "surrogate:recall_at_k", ("direct:hit_at_1", "direct:average_precision")
TRIES: list[dict[str, Any]] = [
    {"learning_rate": rate, "objective": {"update": "two", "moved": moved}}
    for rate in (3e-3, 1e-3)
    for moved in (0.1, 0.03)
]
ROOT = Path(__file__).parent.parent


def main() -> None:
    """Run one of the two stages."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=["choose", "read"])
    parser.add_argument("--quick", action="store_true", help="of choose: four steps: does it run?")
    asked = parser.parse_args()
    if asked.quick and asked.stage != "choose":
        parser.error("--quick is for choose alone: read opens the test split")
    runs = ROOT / "runs" / ("emoji-direct-quick" if asked.quick else "emoji-direct")
    tables = runs if asked.quick else ROOT / "docs"
    task = plain_task()
    frozen = {name: value for name, value in task.settings.items() if name != "objective"}
    if asked.stage == "choose":
        tries = {
            SURROGATE: (SURROGATE, [task.settings]),
            **{name: (name, [{**frozen, **one} for one in TRIES]) for name in DIRECT},
        }
        rows = tried(task, tries, runs / "choose", seed=DEVELOPMENT_SEED, plan=task.plan, quick=asked.quick)
        write(tables / "emoji-direct-tries.csv", ["method", "try", "select", "changes"], rows)
        return
    best = best_tries(tables / "emoji-direct-tries.csv", ["method"], "changes")
    arms = [("surrogate", SURROGATE, task.settings)]
    arms += [(name.partition(":")[2], name, {**frozen, **best[name,]}) for name in DIRECT]
    found = contest(task, arms, runs / "read", seeds=SEEDS, plan=task.plan, controls=["surrogate"])
    header = ["method", "recall@1", "minus_surrogate", "low", "high", "select"]
    rows = [[name, value, *rest] for name, value, _, *rest in readings(found, task, "surrogate", RESAMPLES)]
    write(tables / "emoji-direct.csv", header, rows)


if __name__ == "__main__":
    main()
