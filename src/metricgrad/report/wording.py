"""How numbers and findings are put into words, once for the terminal and the page.

Every interval is named (its level, how it was made, over what), every gain has its sign and its direction, and a
value that is not there is said to be missing rather than left out.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from rapidfuzz.distance import Levenshtein

from metricgrad._records import Entrant
from metricgrad.report.reading import Run

__all__ = [
    "arm_meaning",
    "caveats",
    "contenders_meaning",
    "curve_key",
    "direction",
    "duration",
    "forms_told",
    "gain_meaning",
    "headline",
    "interval",
    "interval_meaning",
    "letters",
    "number",
    "opponents",
    "per_seed",
    "plural",
    "proxy_name",
    "resampling",
    "sample_value",
    "signed",
    "status",
]

MISSING = "n/a"


def number(value: float | None) -> str:
    """A metric value with four decimals, fewer where it is large; `n/a` for None.

    Example:
        >>> number(0.54321), number(1234.5), number(None)
        ('0.5432', '1,234.5', 'n/a')
    """
    if value is None:
        return MISSING
    if not math.isfinite(value):
        return "not finite"
    size = abs(value)
    return f"{value:,.1f}" if size >= 1000 else f"{value:.2f}" if size >= 10 else f"{value:.4f}"


def sample_value(value: float) -> str:
    """The metric of one sample: a whole number without decimals, as counts of errors are.

    Example:
        >>> sample_value(3.0), sample_value(0.53421)
        ('3', '0.5342')
    """
    return f"{value:,.0f}" if float(value).is_integer() else number(value)


def letters(reading: str, target: str) -> list[tuple[str, str]]:
    """A reading in pieces, by a shortest way to edit the target into it: `same`, `wrong` or `missing` letters.

    Letters that stand instead of others or were added are `wrong`; `missing` ones are the target's. Pieces that are
    not `same` hold as many letters as the edit distance.

    Example:
        >>> letters("kitens", "kitten")
        [('kit', 'same'), ('t', 'missing'), ('en', 'same'), ('s', 'wrong')]
    """
    pieces: list[tuple[str, str]] = []
    for step in Levenshtein.opcodes(target, reading):
        kind = {"equal": "same", "delete": "missing"}.get(step.tag, "wrong")
        gone = kind == "missing"
        text = target[step.src_start : step.src_end] if gone else reading[step.dest_start : step.dest_end]
        if pieces and pieces[-1][1] == kind:
            pieces[-1] = (pieces[-1][0] + text, kind)
        else:
            pieces.append((text, kind))
    return pieces


def signed(value: float | None) -> str:
    """A difference with its sign; what rounds to zero has none.

    Example:
        >>> signed(0.0213), signed(-0.00001), signed(None)
        ('+0.0213', '0.0000', 'n/a')
    """
    text = number(value)
    if value is None or not math.isfinite(value):
        return text
    if not any(digit in text for digit in "123456789"):
        return text.removeprefix("-")
    return text if value < 0 else f"+{text}"


def interval(numbers: Mapping[str, Any], *, sign: bool = False) -> str:
    """The bounds `low` and `high` as `[0.51, 0.55]`; empty where there is no interval."""
    low, high = numbers.get("low"), numbers.get("high")
    if low is None or high is None:
        return ""
    show = signed if sign else number
    return f"[{show(low)}, {show(high)}]"


def plural(unit: str, count: int | None = None) -> str:
    """The name of a unit in the plural, or as the count asks; `whole` is the split as one thing.

    Example:
        >>> plural("query"), plural("word", 1), plural("class")
        ('queries', 'word', 'classes')
    """
    if count == 1:
        return unit
    if unit.endswith("y") and unit[-2:-1] not in "aeiou":
        return unit[:-1] + "ies"
    return unit + ("es" if unit.endswith(("s", "x", "ch", "sh")) else "s")


def duration(seconds: float | None) -> str:
    """Seconds, minutes or hours, whichever reads best.

    Example:
        >>> duration(8.2), duration(95), duration(7500), duration(None)
        ('8.2 s', '1 min 35 s', '2 h 5 min', 'n/a')
    """
    if seconds is None or not math.isfinite(seconds):
        return MISSING
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def status(run: Run) -> str:
    """The verdict in one or two words, or `unfinished`."""
    return run.verdict.verdict if run.verdict else "unfinished"


def headline(run: Run) -> str:
    """The verdict in one sentence; for an unfinished run how far it got."""
    if run.verdict:
        return run.verdict.sentence
    done, planned = run.progress
    steps = f"{done:,} of {planned:,} steps" if planned else "no training step yet"
    return f"Unfinished: {steps}. Nothing is claimed before the run has ended."


def direction(run: Run) -> str:
    """Which way is better."""
    return "higher is better" if run.start.higher_is_better else "lower is better"


def opponents(run: Run) -> list[str]:
    """The arms that the contender is held against, the baseline of the verdict first."""
    if not run.verdict:
        return []
    return sorted(run.verdict.gains, key=lambda arm: (arm != run.verdict.baseline, arm))  # pyright: ignore[reportOptionalMemberAccess]


def per_seed(gain: Mapping[str, Any], seeds: Iterable[int]) -> list[tuple[int, float]]:
    """The gain of each seed, from a list in the order of the seeds or from an object by seed."""
    values = gain.get("per_seed") or []
    if isinstance(values, Mapping):
        return [(int(seed), value) for seed, value in values.items() if value is not None]
    return [(seed, value) for seed, value in zip(seeds, values, strict=False) if value is not None]


def interval_meaning(run: Run) -> str:
    """What the intervals are: level, construction and unit, or why there is none."""
    if not run.verdict or run.verdict.baseline is None:
        return ""
    unit = run.start.unit
    if not any(interval(gain) for gain in run.verdict.gains.values()):
        return f"No interval: the metric gives one number for the {'whole split' if unit == 'whole' else 'split'}."
    level = f"{100 * run.verdict.confidence:g}%"
    seeds = len(run.start.seeds)
    if not run.verdict.scope:  # of a run whose intervals were over units alone
        averaged = f"; differences averaged over {seeds} seeds first" if seeds > 1 else ""
        return f"Brackets: {level} bootstrap interval over test {plural(unit)} (paired for gains{averaged})."
    over = plural(run.verdict.group or unit)
    if run.verdict.scope == "method":
        return (
            f"Brackets: {level} interval over test {over} and {seeds} seeds (paired bootstrap; the seeds' own "
            "variance with Student's t)."
        )
    models = "this model, not" if seeds == 1 else "these models, not"
    return f"Brackets: {level} bootstrap interval over test {over} (paired for gains): of {models} of the method."


def resampling(run: Run) -> str:
    """What was resampled and how much of the error comes from units and from seeds; empty where nothing says it."""
    verdict = run.verdict
    if not verdict or verdict.units is None or verdict.groups is None:
        return ""
    units = f"{verdict.units:,} {plural(run.start.unit, verdict.units)}"
    if verdict.group != run.start.unit:
        units += f" in {verdict.groups:,} {plural(verdict.group, verdict.groups)}"
    left = f", {verdict.left_out:,} left out as undefined" if verdict.left_out else ""
    draws = f"{verdict.resamples or 0:,} resamples"
    draws += f", {verdict.undefined:,} more undefined" if verdict.undefined else ""
    gain = verdict.gains.get(verdict.baseline or "", {})
    errors = [
        f"{number(gain[key])} from the choice of {what}"
        for key, what in (("unit_error", plural(verdict.group)), ("seed_error", "seeds"))
        if gain.get(key) is not None
    ]
    error = f" Standard error of the gain: {' and '.join(errors)}." if errors else ""
    return f"{units}{left}; {draws}.{error}"


def gain_meaning(run: Run) -> str:
    """How a gain is to be read."""
    return f"Gain in units of {run.start.metric}; positive means that the {run.contender} model is better."


def contenders_meaning(run: Run) -> str:
    """Whom the contenders are compared with, and what the claims are worth together; empty before a verdict."""
    if not run.verdict:
        return ""
    return (
        f"Every contender against {run.verdict.baseline}, the opponent that select prefers. Holm's adjustment of the "
        f"p-values keeps the chance of any false claim at most {1 - run.verdict.confidence:.2g}."
    )


def proxy_name(run: Run) -> str | None:
    """The proxy loss as a reader knows it."""
    return run.start.proxy.removeprefix("proxy:") if run.start.proxy else None


def arm_meaning(run: Run, arm: str) -> str:
    """What an arm is, in a few words."""
    one = next(one for one in run.cast if one.name == arm)
    method = one.method
    if one.members:
        return f"chooses among {', '.join(one.members)} and means of their weights"
    if one.derived:
        return f"control: {_made(run, one)} (nothing is trained)"
    return {
        "start": "the model as it came",
        "control": f"control: {method.removeprefix('proxy:')} for the same budget",
        "candidate": f"candidate: {method}",
        "contender": method,
    }[run.role(arm)]


def _made(run: Run, one: Entrant) -> str:
    """What a control is that trains nothing: the closed form of every seed, each once, where select has chosen."""
    forms = [run.forms[one.name, seed].words for seed in run.start.seeds if (one.name, seed) in run.forms]
    return "; ".join(dict.fromkeys(forms)) or one.method


def forms_told(run: Run) -> list[str]:
    """For every control that is a closed form a sentence: which one, and of how many; empty where there is none."""
    found = []
    for one in run.cast:
        forms = [run.forms[one.name, seed] for seed in run.start.seeds if (one.name, seed) in run.forms]
        if forms:
            found.append(
                f"{one.name}: {_made(run, one)}; select chose among {len(forms[0].tried)}, nothing is trained."
            )
    return found


def curve_key(run: Run) -> str:
    """How the lines and marks of the select curves are to be read."""
    parts = ["Thin line: a seed; thick: mean over seeds"] if len(run.start.seeds) > 1 else []
    parts.append("mark: best step, whose weights are kept")
    if any(not stage.chosen for stage in run.stages.values()):
        parts.append(f"faded dots: tries that {'were not chosen' if run.chosen else 'are behind so far'}")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def caveats(run: Run) -> list[str]:
    """What a reader must know before believing the figures, most serious first, each once."""
    found = list(run.verdict.marks) if run.verdict else []
    forced = sorted({item for resumed in run.resumed for item in resumed.forced})
    if forced and not any("by force" in mark.lower() for mark in found):
        found.append(f"Resumed by force although this had changed: {', '.join(forced)}.")
    undefined = max((tested.undefined for tested in run.tested.values()), default=0)
    if undefined:
        units = max(tested.units for tested in run.tested.values())
        found.append(
            f"{undefined:,} of {units:,} test {plural(run.start.unit, units)} have no defined value and are left out."
        )
    return list(dict.fromkeys(_as_sentence(text) for text in found + run.notes if text.strip()))


def _as_sentence(text: str) -> str:
    """A mark or a note with a capital and a full stop."""
    text = text.strip()
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")
