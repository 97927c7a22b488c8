"""What came out, in words: the gain over the best control first, that over the vectors as they came second."""

from metricgrad.adapting.gains import Gain, Over
from metricgrad.differences import CONFIDENCE

__all__ = ["sentence_of"]

_OVER_CONTROL = {
    "gain": "Gain over the best control",
    "worse": "Worse than the best control",
    "no evidence": "No evidence of a gain over the best control",
    "nothing claimed": "Nothing is claimed over the best control",
}
_OVER_RAW = {
    "gain": "Gain over the vectors as they came",
    "worse": "Worse than the vectors as they came",
    "no evidence": "No evidence of a gain over the vectors as they came",
    "nothing claimed": "Nothing is claimed over the vectors as they came",
}


def sentence_of(metric: str, name: str, gain: Gain, over: Over | None, why: str) -> str:
    """Say what a map brings.

    Args:
        metric: its name.
        name: the map in words.
        gain: over the vectors as they came.
        over: over the best control; None where the map is itself a closed form or a control.
        why: then what it is, and why there is no other gain, as a sentence; of the vectors as they came, what is
            returned.
    """
    value = f"{metric} {gain.adapted:.4f}"
    if gain.outcome == "nothing to gain":
        return (
            f"Nothing to gain: on select nothing is better than the vectors as they came ({value} on test)."
        )
    if over is None:
        return f"{_over_raw(gain, f'adapted by {name}, {value}')} {why}"
    difference = _difference(over.adapted - over.value, over.low, over.high, gain.scope)
    first = (
        f"{_OVER_CONTROL[over.outcome]}: adapted by {name}, {value} against {over.value:.4f} of {over.words}, "
        f"{difference}."
    )
    return f"{first} {_over_raw(gain, '')}"


def _over_raw(gain: Gain, who: str) -> str:
    """The gain over the vectors as they came, as a sentence; `who` where nothing was said of the map before."""
    if gain.raw is None:
        beside = "The vectors as they came have no figure: the sides have different numbers of dimensions."
        return f"{who[:1].upper()}{who[1:]} on test. {beside}" if who else beside
    difference = _difference(gain.adapted - gain.raw, gain.low, gain.high, gain.scope)
    figures = f"{who} against {gain.raw:.4f}, " if who else f"{gain.raw:.4f} before, "
    return f"{_OVER_RAW[gain.outcome]}: {figures}{difference}."


def _difference(value: float, low: float | None, high: float | None, scope: str) -> str:
    """A difference with its interval."""
    value = round(value, 4) + 0.0  # never "-0.0000"
    if low is None or high is None:
        return f"{value:+.4f} (no interval)"
    return f"{value:+.4f} ({CONFIDENCE:.0%} interval {low:+.4f} to {high:+.4f} {scope})"
