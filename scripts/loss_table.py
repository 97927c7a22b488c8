"""Write the tables of docs/choosing-a-loss.md anew from the code: scripts/loss_table.py, with the project's Python.

One row a metric: what `auto` takes, the losses that stand for it, what decodes it; then the losses that stand for none.
"""

from collections.abc import Iterator
from pathlib import Path

from metricgrad._types import Metric
from metricgrad.errors import InputError
from metricgrad.methods.families import FAMILIES, automatic
from metricgrad.methods.grammar import MethodName
from metricgrad.methods.objectives import loss_named, objectives
from metricgrad.methods.stands_for import losses_for
from metricgrad.metrics.facts import Facts
from metricgrad.metrics.known import FAMILIES as METRICS
from metricgrad.metrics.records import metric_record
from metricgrad.tune import Contender
from metricgrad.tune.members import is_portfolio

PAGE = Path(__file__).parent.parent / "docs" / "choosing-a-loss.md"
BEGIN, END = "<!-- written by scripts/loss_table.py -->", "<!-- end -->"
NEEDED = (
    {},
    {"k": 10},
    {"average": "macro"},
    {"threshold": 0.5},
    {"max_fpr": 0.1},
    {"min_precision": 0.9},
    {"min_recall": 0.9},
    {"cost": [[0, 1], [1, 0]]},
)
"""Settings without which some metrics have no record; which ones does not matter here."""


def records() -> Iterator[tuple[Facts, Metric]]:
    """Every metric of ours with a record of it."""
    for facts in (one for family in METRICS.values() for one in family):
        for settings in [*NEEDED, *facts.aliases.values()]:
            try:
                yield facts, metric_record(facts.function, **settings)
                break
            except (InputError, TypeError):
                continue
        else:
            raise AssertionError(f"there is no record of {facts.name}")


def tables() -> str:
    """The text between the two marks."""
    rows = ["| metric | losses | direct loss | `auto` |", "|---|---|---|---|"]
    standing: set[str] = set()
    families = {family.name: family for family in FAMILIES}
    for facts, metric in records():
        found = losses_for(metric)
        standing |= set(found)
        direct = families["direct"].suits(metric)
        taken = chosen(metric)
        names = ", ".join(f"`{name}`" for name in [facts.name, *facts.aliases])
        losses = ", ".join(f"`{name}`" for name in found)
        rows.append(
            f"| {names} | {losses} | {f'`{direct}`' if isinstance(direct, MethodName) else ''} | {taken} |"
        )
    rows += ["", "Losses that stand for no metric: proxies to start from and controls.", ""]
    rows += ["| loss | what it returns |", "|---|---|"]
    for name in sorted(set(objectives()) - standing):
        line = (loss_named(name).__doc__ or "").partition("\n")[0]
        rows.append(f"| `{name}` | {line.replace('|', chr(92) + '|')} |")
    return "\n".join(rows)


def chosen(metric: Metric) -> str:
    """What `auto` takes of a metric; nothing where it needs to know more of the run, or knows no road."""
    if is_portfolio(Contender("", "auto"), metric):
        return "a portfolio"
    try:
        return f"`{automatic(metric)}`"
    except InputError:
        return ""


def main() -> None:
    """Write the page."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
