"""What two processes do in the test of ExactMetric: each updates it with its part, and writes what it computes.

Run it with: torchrun --nproc-per-node 2 -m tests.integrations.torchmetrics_program FOLDER
"""

import json
import sys
from pathlib import Path

from torch import distributed

from metricgrad.integrations.torchmetrics import ExactMetric
from tests.integrations.test_torchmetrics import referenced


def main() -> None:
    """Four divisions of queries and references."""
    rank = distributed.get_rank()
    queries, labels, references = referenced()
    items, item_labels = references.values()
    mine = slice(rank, None, 2)
    metric, values = ExactMetric("map"), {}
    for case in ("parts of both", "all references on one", "one each", "no references"):
        metric.reset()
        if case != "one each" or rank:
            metric.update(*((queries, labels) if case == "one each" else (queries[mine], labels[mine])))
        if case == "parts of both":
            half = slice(0, 9) if rank else slice(9, None)
            metric.update_references(items[half], item_labels[half])
        elif case != "no references" and not rank:
            metric.update_references(items, item_labels)
        values[case] = float(metric.compute())
    Path(sys.argv[1], f"{rank}.json").write_text(json.dumps(values), encoding="utf-8")


if __name__ == "__main__":
    distributed.init_process_group("gloo")
    main()
    distributed.destroy_process_group()
