"""What the report says of decision rules."""

from metricgrad.report.decisions import cut_figure, cut_meaning, decision_tables
from metricgrad.report.reading import condense
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
    band, line = figure.data
    assert list(line.x) == CUTS and len(band.x) == 2 * (len(CUTS) - 1)
    assert None not in band.y
    assert {shape.x0 for shape in figure.layout.shapes} == {-1.23, 0.0}
    assert "[-1.6200, -0.9100]" in cut_meaning(RUN)
