"""Write the figures of the README anew: scripts/front_page.py, with the project's Python; a test compares.

scripts/front_page.py            the headline table and the picture, from the tables in docs/
scripts/front_page.py --run RUN  first docs/main-job.csv, from a run of the README's first command
"""

import argparse
import csv
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, StrictUndefined

from metricgrad.tune.result import Result

ROOT = Path(__file__).parent.parent
DOCS, README = ROOT / "docs", ROOT / "README.md"
MAIN, PICTURE = DOCS / "main-job.csv", DOCS / "pictures" / "front.svg"
ARMS = {
    "raw": "raw features",
    "closed-form": "best closed form",
    "start": "start: LDA",
    "continued": "continued: SupCon",
    "tuned": "tuned: AP surrogate",
}
"""Arms of the main job, in the order of the picture."""
_TEMPLATE = Environment(undefined=StrictUndefined, keep_trailing_newline=True).from_string(
    (Path(__file__).parent / "front.svg.jinja").read_text(encoding="utf-8")
)
_BLOCK = re.compile(r"(<!-- headlines -->\n).*?(<!-- end -->)", re.DOTALL)


class Headline(NamedTuple):
    """A line of the table: what was tuned, beside its best control."""

    task: str
    metric: str
    method: str
    control: str
    values: tuple[str, str]
    """Of the control and of the method."""
    gain: tuple[float, float, float]
    """With its 95 % interval; positive where the method is better."""
    page: str
    """Where more stands, below docs/."""

    def line(self) -> str:
        """As it stands in the README."""
        digits = 4 if abs(self.gain[0]) < 1 else 0
        gain, low, high = (f"{one:+.{digits}f}" for one in self.gain)
        verdict = "**gain**" if self.gain[1] > 0 else "worse" if self.gain[2] < 0 else "no evidence"
        cells = [f"[{self.task}](docs/{self.page})", self.metric, self.method, self.control, *self.values]
        return "| " + " | ".join([*cells, f"{gain} ({low} to {high})", verdict]) + " |"


def row(name: str, **wanted: str) -> Mapping[str, str]:
    """The one row of a table in docs/ whose columns have these values."""
    with (DOCS / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    (found,) = [one for one in rows if all(one[column] == value for column, value in wanted.items())]
    return found


def gain_of(
    found: Mapping[str, str], gain: str, low: str, high: str, sign: int = 1
) -> tuple[float, float, float]:
    """Three columns of a row as a gain; sign -1 where lower values are better."""
    first, last = sorted(sign * float(found[one]) for one in (low, high))
    return sign * float(found[gain]), first, last


def headlines() -> Iterator[Headline]:
    """Those of the README, in its order."""
    tuned = row("main-job", arm="tuned")
    for arm, control in (("closed-form", "the best closed form"), ("continued", "continued SupCon")):
        values = (f"{float(row('main-job', arm=arm)['value']):.4f}", f"{float(tuned['value']):.4f}")
        gain = gain_of(tuned, f"over_{arm}", f"over_{arm}_low", f"over_{arm}_high")
        yield Headline("emoji of six vendors", "recall@1", "AP surrogate", control, values, gain, "emoji.md")
    for name, task, metric, arm, sign, digits in (
        ("words", "words in unknown fonts", "total edit distance", "FEDS", -1, 0),
        ("boxes", "rotated boxes", "mean IoU", "LS", 1, 4),
    ):
        found, plain = (row(f"learned-{name}", arm=one, metric=metric) for one in (arm, "proxy, equal time"))
        values = (f"{float(plain['test']):,.{digits}f}", f"{float(found['test']):,.{digits}f}")
        gain = gain_of(found, "minus_longer", "low", "high", sign)  # of two columns of a name the later ones
        method = f"learned surrogate ({arm})"
        yield Headline(task, metric, method, "the proxy loss for the same time", values, gain, "learned.md")
    yield _objective("rare-f1", "long-tailed Fashion-MNIST", "macro F1", "balanced softmax")
    yield _objective("flip40", "Fashion-MNIST, 40 % wrong labels", "accuracy", "symmetric cross-entropy")
    yield _objective("error", "Fashion-MNIST", "error rate", "COT, two steps", -1)
    of_batch = "large-batches-text-retrieval"
    found, plain = (row(of_batch, batch="8192", arm=arm) for arm in ("triplet", "infonce"))
    values, gain = (plain["held_out"], found["held_out"]), gain_of(found, "minus_proxy", "low", "high")
    method, control = "hardest triplet, batch 8,192", "InfoNCE, the same batch"
    yield Headline("descriptions of packages", "NDCG@10", method, control, values, gain, "large-batches.md")


def _objective(name: str, task: str, metric: str, arm: str, sign: int = 1) -> Headline:
    """A loss beside the control that select prefers."""
    found = row(f"objectives-{name}", arm=arm)
    control = found["baseline"]
    values = (row(f"objectives-{name}", arm=control)["test"], found["test"])
    gain = gain_of(found, "minus_baseline", "low_baseline", "high_baseline", sign)
    return Headline(task, metric, arm, control, values, gain, "objectives.md")


def page() -> str:
    """The README with its table anew."""
    head = ["what is learned", "metric", "method", "best control", "control", "method", "gain", "verdict"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|", *(one.line() for one in headlines())]
    return _BLOCK.sub(
        lambda found: found[1] + "\n".join([*lines, ""]) + found[2], README.read_text(encoding="utf-8")
    )


def picture() -> str:
    """The way of a run, and what the main job found, as SVG."""
    found = {arm: row("main-job", arm=arm) for arm in ARMS}
    tuned = found["tuned"]

    def across(value: float) -> float:
        return round(470 + 340 * (value - 0.5) / 0.3, 1)

    arms = [
        {"name": name, "told": f"{float(found[arm]['value']):.3f}"}
        | {end: across(float(found[arm][end])) for end in ("low", "high", "value")}
        for arm, name in ARMS.items()
    ]
    gain, low, high = (float(tuned[f"over_closed-form{end}"]) for end in ("", "_low", "_high"))
    return _TEMPLATE.render(
        arms=arms,
        ticks=[(across(tick), tick) for tick in (0.5, 0.6, 0.7, 0.8)],
        gain=f"over the best closed form {gain:+.4f} (95 % interval {low:.4f} to {high:.4f})",
    )


def record(run: Path) -> None:
    """Write the arms of the main job and what tuned gains over each."""
    verdict = Result(run).event("verdict")
    if verdict is None:
        raise SystemExit(f"{run} is not finished; expected a whole run of the README's first command")
    gains = [arm for arm in ARMS if arm in verdict["gains"]]
    head = ["arm", "value", "low", "high"]
    head += [f"over_{arm}{end}" for arm in gains for end in ("", "_low", "_high")]
    with MAIN.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(head)
        for arm in ARMS:
            found = [verdict["arms"][arm][one] for one in ("value", "low", "high")]
            if arm == "tuned":
                found += [verdict["gains"][other][one] for other in gains for one in ("gain", "low", "high")]
            table.writerow([arm, *(f"{one:.4f}" for one in found), *[""] * (len(head) - 1 - len(found))])


def main() -> None:
    """Write them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--run", type=Path, help="a finished run of: scripts/run tune emoji --metric recall@1"
    )
    asked = parser.parse_args()
    if asked.run is not None:
        record(asked.run)
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(picture(), encoding="utf-8")
    README.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
