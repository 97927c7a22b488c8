"""Keep a benchmark's figures in `results.csv`, with the versions and the machine that they were taken on."""

import csv
import datetime
import platform
from collections.abc import Mapping
from pathlib import Path

import torch

RESULTS = Path(__file__).with_name("results.csv")
COLUMNS = ["date", "benchmark", "figure", "value", "torch", "python", "machine", "threads"]


def keep(benchmark: str, figures: Mapping[str, float]) -> None:
    """Append one line a figure."""
    new = not RESULTS.exists()
    with RESULTS.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        if new:
            writer.writerow(COLUMNS)
        for figure, value in figures.items():
            facts = [
                torch.__version__,
                platform.python_version(),
                platform.machine(),
                torch.get_num_threads(),
            ]
            writer.writerow([datetime.date.today().isoformat(), benchmark, figure, f"{value:.6g}", *facts])
