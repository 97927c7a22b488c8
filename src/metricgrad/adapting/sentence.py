"""What came out, in words: the gain over the best control first, then over the best closed form and the raw vectors."""

from metricgrad.adapting.gains import Gain, Over
from metricgrad.differences import CONFIDENCE

__all__ = ["sentence_of"]

_CLAIMS = {
    "gain": "Gain over",
    "worse": "Worse than",
    "no evidence": "No evidence of a gain over",
    "nothing claimed": "Nothing is claimed over",
}


def sentence_of(
    metric: str, name: str, gain: Gain, over: Over | None, why: str, over_form: Over | None = None
) -> str:
    """Say what a map brings.

    Args:
        metric: its name.
        name: the map in words.
        gain: over the vectors as they came.
        over: over the best control; None where the map is itself a closed form or a control.
        why: then what it is, and why there is no other gain, as a sentence; of the vectors as they came, what is
            returned.
        over_form: of a trained map, over the best closed form; None where `over` says it.
    """
    value = f"{metric} {gain.adapted:.4f}"
    if gain.outcome == "nothing to gain":
        return (
            f"Nothing to gain: on select nothing is better than the vectors as they came ({value} on test)."
        )
    form = [] if over_form is None else [_over_form(over_form, gain.scope)]
    if over is None:
        return " ".join([_over_raw(gain, f"adapted by {name}, {value}"), *form, why])
    difference = _difference(over.adapted - over.value, over.low, over.high, gain.scope)
    first = (
        f"{_CLAIMS[over.outcome]} the best control: adapted by {name}, {value} against {over.value:.4f} of "
        f"{over.words}, {difference}."
    )
    return " ".join([first, *form, _over_raw(gain, "")])


def _over_form(over: Over, scope: str) -> str:
    """The gain over the best closed form, as a sentence."""
    difference = _difference(over.adapted - over.value, over.low, over.high, scope)
    return (
        f"{_CLAIMS[over.outcome]} the best closed form, {over.words}: {over.value:.4f} before, {difference}."
    )


def _over_raw(gain: Gain, who: str) -> str:
    """The gain over the vectors as they came, as a sentence; `who` where nothing was said of the map before."""
    if gain.raw is None:
        beside = "The vectors as they came have no figure: the sides have different numbers of dimensions."
        return f"{who[:1].upper()}{who[1:]} on test. {beside}" if who else beside
    difference = _difference(gain.adapted - gain.raw, gain.low, gain.high, gain.scope)
    figures = f"{who} against {gain.raw:.4f}, " if who else f"{gain.raw:.4f} before, "
    return f"{_CLAIMS[gain.outcome]} the vectors as they came: {figures}{difference}."


def _difference(value: float, low: float | None, high: float | None, scope: str) -> str:
    """A difference with its interval."""
    value = round(value, 4) + 0.0  # never "-0.0000"
    if low is None or high is None:
        return f"{value:+.4f} (no interval)"
    return f"{value:+.4f} ({CONFIDENCE:.0%} interval {low:+.4f} to {high:+.4f} {scope})"
