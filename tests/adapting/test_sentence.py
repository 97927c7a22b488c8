"""What is said of a map: the gain over the best control, over the best closed form, over the vectors as they came."""

from typing import Any

import pytest

from metricgrad.adapting.gains import Gain, Over
from metricgrad.adapting.sentence import sentence_of

RAW = Gain(0.5, 0.62, 0.1, 0.14, "over 100 queries", "gain")
OVER: dict[str, Any] = {"control": "closed-form", "words": "LDA", "value": 0.6, "adapted": 0.62, "low": 0.01}


@pytest.mark.parametrize(
    ("outcome", "begins"),
    [
        (
            "gain",
            "Gain over the best control: adapted by a map, recall@1 0.6200 against 0.6000 of LDA, +0.0200",
        ),
        ("no evidence", "No evidence of a gain over the best control: adapted by a map"),
        ("worse", "Worse than the best control: adapted by a map"),
        ("nothing claimed", "Nothing is claimed over the best control: adapted by a map"),
    ],
)
def test_a_trained_map_is_held_against_the_best_control(outcome, begins) -> None:
    """The claim over raw follows."""
    said = sentence_of("recall@1", "a map", RAW, Over(**OVER, high=0.03, outcome=outcome), "")
    assert said.startswith(begins)
    assert said.endswith(
        "Gain over the vectors as they came: 0.5000 before, +0.1200 (95% interval +0.1000 to +0.1400 over 100 queries)."
    )


def test_a_closed_form_says_that_training_added_nothing() -> None:
    """The gain is then over the vectors as they came."""
    said = sentence_of("recall@1", "LDA", RAW, None, "It is a closed form: on select training added nothing.")
    assert said == (
        "Gain over the vectors as they came: adapted by LDA, recall@1 0.6200 against 0.5000, +0.1200 (95% interval "
        "+0.1000 to +0.1400 over 100 queries). It is a closed form: on select training added nothing."
    )


def test_a_control_is_held_against_the_best_closed_form() -> None:
    """A reader learns whether training brought anything, whatever was trained."""
    form = Over("closed-form", "LDA", 0.6, 0.62, -0.001, 0.04, "no evidence")
    assert sentence_of("recall@1", "a map", RAW, None, "It is a control.", form) == (
        "Gain over the vectors as they came: adapted by a map, recall@1 0.6200 against 0.5000, +0.1200 (95% interval "
        "+0.1000 to +0.1400 over 100 queries). No evidence of a gain over the best closed form, LDA: 0.6000 before, "
        "+0.0200 (95% interval -0.0010 to +0.0400 over 100 queries). It is a control."
    )
    over = Over(**(OVER | {"words": "the usual loss"}), high=0.03, outcome="gain")
    assert "the best closed form, LDA: 0.6000 before" in sentence_of("recall@1", "a map", RAW, over, "", form)


def test_what_has_no_figure_is_said() -> None:
    """Sides of two spaces; vectors that are returned as they came; differences without an interval."""
    apart = Gain(None, 0.62, None, None, "", "nothing claimed")
    assert sentence_of("mrr", "CCA", apart, None, "It is a closed form; nothing was trained.") == (
        "Adapted by CCA, mrr 0.6200 on test. The vectors as they came have no figure: the sides have different numbers "
        "of dimensions. It is a closed form; nothing was trained."
    )
    same = Gain(0.5, 0.5, 0.0, 0.0, "over 9 queries", "nothing to gain")
    assert sentence_of("mrr", "unchanged", same, None, "").startswith(
        "Nothing to gain: on select nothing is better"
    )
    doubt = Over(**(OVER | {"low": None}), high=None, outcome="nothing claimed")
    assert "+0.0200 (no interval)" in sentence_of("mrr", "a map", apart, doubt, "")
