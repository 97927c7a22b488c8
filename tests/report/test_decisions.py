"""What the report says of decision rules."""

from dataclasses import replace

from metricgrad._decision_records import Candidate, Picked
from metricgrad.report.decisions import cut_figure, cut_meaning, decision_tables
from metricgrad.report.reading import condense
from metricgrad.tune.portfolio import told_of_picks
from tests.report import synthetic_runs
from tests.report.synthetic_rules import CUTS, with_rules

RUN = condense(with_rules(synthetic_runs.finished()))


def test_argmax_and_the_rule_stand_side_by_side() -> None:
    """On test with the gain and its interval, on select with the rule in words and why argmax was kept."""
    gains, rules, before, after = decision_tables(RUN)
    assert gains.rows[2][:5] == ["tuned", "0.5334", "0.5427", "+0.0093", "[+0.0033, +0.0153]"]
    assert gains.rows[2][5:] == ["[0.5153, 0.5517]", "[0.5246, 0.5610]"]
    assert len(rules.rows) == 9 and rules.rows[0][-1].startswith("class 1 from a probability of 0.217 on")
    assert "Argmax was kept: threshold" in rules.rows[2][-1]
    assert (before.rows[1], after.rows[1]) == (["1", "257", "132"], ["1", "148", "241"])


def test_the_curve_of_the_cut() -> None:
    """Line, band, both marks, and in words where the best cut lies."""
    figure = cut_figure(RUN)
    assert figure is not None
    (band,), (line,) = figure.bands, figure.series
    assert list(line.x) == CUTS and len(band.x) == len(CUTS) - 1
    assert None not in [*band.low, *band.high]
    assert {level.value for level in figure.levels} == {-1.23, 0.0}
    assert "[-1.6200, -0.9100]" in cut_meaning(RUN)


def test_a_portfolio_has_a_row_for_each_seed() -> None:
    """What was best, by how much, the quantile that decides, and what was returned; the candidates stand below."""
    both = [
        Candidate("start with slope", ["start"], "slope", 0.5),
        Candidate("hot with slope", ["hot"], "slope", 0.6),
    ]
    start, hot = (one.name for one in both)
    picks = [
        Picked(0, "auto", hot, hot, 0.1, 0.02, "in words", both),
        Picked(1, "auto", start, hot, 0.1, -0.01, "in words", both),
        Picked(2, "auto", start, start, None, None, "in words", both[:1]),
    ]
    run = replace(RUN, picks={(pick.arm, pick.seed): pick for pick in picks})
    gate, *candidates = [table for table in decision_tables(run) if "auto" in table.heading]
    assert gate.rows == [
        ["0", hot, "0.6000", "+0.1000", "+0.0200", hot],
        ["1", hot, "0.6000", "+0.1000", "-0.0100", start],
        ["2", start, "0.5000", "n/a", "n/a", start],
    ]
    assert [len(table.rows) for table in candidates] == [2, 2, 1]


def test_a_portfolio_is_told_in_one_sentence() -> None:
    """However many seeds there are."""
    picks = [Picked(seed, "auto", name, "b", 0.1, 0.1, "in words") for seed, name in enumerate("bab")]
    (sentence,) = told_of_picks(picks)
    assert sentence.startswith("auto returns b (seed 0, 2); a (seed 1): ")
    assert told_of_picks([]) == []
