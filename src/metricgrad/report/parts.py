"""The tables of the page, as it needs them."""

from collections.abc import Mapping
from typing import Any

from metricgrad.report import cost, sections, side
from metricgrad.report.by_group import by_group
from metricgrad.report.leaderboard import leaderboard
from metricgrad.report.look import look_of
from metricgrad.report.reading import Run
from metricgrad.report.reproduce import reproduction

__all__ = ["parts"]


def parts(run: Run, settings: Mapping[str, Any] | None, lines: int) -> dict[str, Any]:
    """The tables and lists by the name under which the template shows them.

    Args:
        run: a folded record.
        settings: what config.yaml holds; None where there is none that can be read.
        lines: of the record.
    """
    return {
        "look": lambda arm: look_of(run, arm) if arm in run.arms else None,
        "arms": sections.arm_rows(run),
        "board": leaderboard(run),
        "gains": sections.gain_rows(run),
        "groups": by_group(run),
        "sides": side.side_tables(run, every_interval=True),
        "fall": side.FALL,
        "facts": sections.fact_rows(run),
        "hits": sections.hit_rows(run),
        "settings": sections.setting_rows(run),
        "alike": sections.settings_alike(run),
        "cost": cost.cost_table(run),
        "environment": cost.environment_rows(run, settings),
        "again": reproduction(run, settings),
        "tries": sections.try_table(run),
        "splits": sections.split_table(run),
        "provenance": sections.provenance_rows(run, lines),
    }
