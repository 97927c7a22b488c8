"""Write the parts of docs/how-to-choose.md that the code decides anew: python -m scripts.how_to_choose.

The metrics of each kind, what `auto` takes and the losses stand between marks that name what the metrics read. What to
do first and what was found is written on the page.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from metricgrad._types import Metric, OutputKind
from metricgrad.decision.suited import suited
from metricgrad.learned import rotated_boxes, words
from metricgrad.methods.stands_for import losses_for
from metricgrad.metrics import adapt
from metricgrad.metrics.facts import Facts
from scripts.loss_table import chosen, records

PAGE = Path(__file__).parent.parent / "docs" / "how-to-choose.md"
PART = re.compile(r"(<!-- of (\w+), written by scripts/how_to_choose.py -->)\n.*?(<!-- end -->)", re.DOTALL)
OUTPUTS: Mapping[str, OutputKind] = {"texts": words("abc", 3), "boxes": rotated_boxes()}
"""A kind of output makes a mean over samples one that can be learned."""


def rules() -> str:
    """The rules that `auto` takes for classes, by the form of the scores."""
    two = suited(torch.eye(2), [0, 1], adapt("f1"))
    more = suited(torch.eye(3), [0, 1, 2], adapt("macro_f1"))
    ordered = suited([0.1, 1.2, 1.9], [0, 1, 2], adapt("quadratic_kappa"))
    return f"`{two}` for two classes, `{more}` for more, `{ordered}` for ordered classes with one score per sample"


def part(reading: str) -> str:
    """What the code says of the metrics that read one thing."""
    metrics: list[tuple[Facts, Metric]] = [found for found in records() if found[1].reads == reading]
    names = ", ".join(f"`{name}`" for facts, _ in metrics for name in [facts.name, *facts.aliases])
    losses = sorted({loss for _, metric in metrics for loss in losses_for(metric)})
    outputs = OUTPUTS.get(reading)
    taken = sorted({found for _, metric in metrics if (found := chosen(replace(metric, kind=outputs)))})
    auto = "nothing: name a method"
    if taken:
        auto = " or ".join(taken) + (" if you give the kind of output" if outputs else "")
    lines = [f"* **Metrics**: {names}."]
    if reading == "classes":
        lines.append(f"* **The rule that `decide` fits**: {rules()}.")
    lines.append(f"* **In a run** the method `auto` chooses {auto}.")
    if losses:
        lines.append(f"* **Losses for some of these metrics**: {', '.join(f'`{loss}`' for loss in losses)}.")
    return "\n".join(lines)


def written(page: str) -> str:
    """The page with its parts anew."""
    return PART.sub(lambda found: f"{found[1]}\n\n{part(found[2])}\n\n{found[3]}", page)


def main() -> None:
    """Write the page."""
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
