"""Metrics by name, for the command line and for recipes.

The grammar is `name[@k][:setting=value,...]`: `recall@1`, `ndcg@10`, `map`, `f_beta:beta=2,average=macro`,
`recall_at_k@5:normalizer=min_k_positives`, `hit@1:ties=average`, `edit_distance:normalizer=longer`,
`iou_above:threshold=0.75`. A function name that ends in `_at_k` may carry the number itself: `recall_at_10`. Upper and
lower case are the same.

`recall@10`, `recall_at_10` and `recall` are three metrics, because the field uses one name for them: `recall@10` is
what metric learning prints (any relevant item among the first 10, `hit_at_k`), `recall_at_10` the share of the relevant
items that is among them, `recall` that of a class of a classifier. Every record says in its description which one it
is. scikit-learn's names of scorers are understood: `f1_macro`, `balanced_accuracy`, `matthews_corrcoef`, `roc_auc_ovr`,
`neg_log_loss` (which is `log_loss`, without its sign). So are those of its functions: `f1_score`, `zero_one_loss`. One
scorer is another metric here: `average_precision` is that of a ranking, and scikit-learn's is
`binary_average_precision` or, of several classes, `macro_average_precision`.
"""

import inspect
import re
from collections.abc import Mapping
from typing import Any

from metricgrad._checks import LARGEST_WHOLE, describe, fail, nearest
from metricgrad._types import Metric
from metricgrad.errors import InputError
from metricgrad.metrics.known import FACTS
from metricgrad.metrics.records import metric_record

__all__ = ["metric_by_name", "named_metrics", "names_a_program"]

ALIASES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    alias: (facts.name, settings) for facts in FACTS.values() for alias, settings in facts.aliases.items()
}
"""What the field says, and what it means here."""

_NEGATED = re.compile(r"^\s*neg_", re.IGNORECASE)
"""scikit-learn's names of losses, `neg_log_loss`, say that its scorers change their sign. Ours do not: `log_loss`."""

_GRAMMAR = re.compile(r"(?P<name>[^@:]+)(?:@(?P<k>[^:]*))?(?::(?P<settings>.*))?", re.DOTALL)


def names_a_program(name: str) -> bool:
    """Whether a text says `cmd: PROGRAM`, a metric that an external program measures.

    Example:
        >>> names_a_program("cmd: ./score.sh {predictions}"), names_a_program("f_beta:beta=2")
        (True, False)
    """
    return name.lstrip().startswith("cmd:")


def named_metrics() -> dict[str, str]:
    """Names that `adapt` and the command line know, each with one sentence; `@k` stands for `@` and a number.

    Example:
        >>> named_metrics()["recall@k"]
        "1 where any relevant item is within the first k, else 0 (exact): metric learning's recall@k."
    """
    listed = {}
    for name, facts in FACTS.items():
        listed[f"{name}@k" if name == "ndcg" else name] = facts.sentence
    listed["ndcg"] = listed["ndcg@k"]
    for alias, (name, settings) in ALIASES.items():
        values = ", ".join(f"{key}={value}" for key, value in settings.items())
        sentence = FACTS[name].sentence
        sentence = f"{sentence.removesuffix('.')} [{values}]." if values else sentence
        listed[alias] = sentence
    return dict(sorted(listed.items()))


def metric_by_name(name: str) -> Metric:
    """Return the record of a metric that is named by the grammar of this module.

    Args:
        name: e.g. `recall@1`, `map`, `ndcg@10:ties=mid`, `macro_f1`.

    Returns:
        The record, under the name that was given.

    Raises:
        InputError: an unknown name (with the nearest ones), a k that is missing, not whole or < 1, a setting that
            the metric does not have.

    Example:
        >>> metric_by_name("recall@1").description.partition(";")[0]
        "any relevant item at rank 1 (metric learning's recall@1)"
    """
    parts = _GRAMMAR.fullmatch(name.strip())
    if parts is None:
        raise fail("metric", f"the name is {name!r}", "name[@k][:setting=value,...]", "For example: recall@1")
    word = parts["name"].strip().lower()
    text = parts["k"]
    if text is not None and text.strip().lower() != "k" and f"{word}@{text.strip().lower()}" in ALIASES:
        word, text = f"{word}@{text.strip().lower()}", None  # map@r: a name of its own
    k = None if text is None else _whole(name, text)
    numbered = re.fullmatch(r"(.+_at_)(\d+)", word)
    if numbered and k is None:
        word, k = f"{numbered[1]}k", _whole(name, numbered[2])
    own = {**_settings(name, parts["settings"]), **({} if k is None else {"k": k})}
    function_name, settings = _meaning(word, "k" in own)
    if function_name not in FACTS:
        asked = word if k is None else f"{word}@k"
        raise fail(
            f"metric {name!r}", "there is no such metric", "a known name", nearest(asked, named_metrics())
        )
    function, given = FACTS[function_name].function, {**settings, **own}
    takes_k = "k" in inspect.signature(function).parameters
    if "k" in given and not takes_k:
        raise fail(f"metric {name!r}", "it came with a k", f"{word} without one")
    if takes_k and "k" not in given and function_name.endswith("_at_k"):
        raise fail(f"metric {name!r}", "it came without a k", "how many first places count", f"Say {word}@1")
    try:
        return metric_record(function, name=_NEGATED.sub("", name), **given)
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise fail(f"metric {name!r}", f"its settings are {given}", f"values that fit ({error})") from error


def _meaning(word: str, has_k: bool) -> tuple[str, Mapping[str, Any]]:
    """The function that a word names, with settings: `recall` is another one with a k than without."""
    with_k = ALIASES.get(f"{word}@k")
    if with_k is not None and (has_k or word not in FACTS):
        return with_k
    return ALIASES.get(word, (word, {}))


def _whole(name: str, text: str) -> int:
    """The k of a name."""
    if not re.fullmatch(r"\s*\d{1,16}\s*", text) or not 1 <= int(text) <= LARGEST_WHOLE:
        came = f"metric {describe(name)}", f"k is {describe(text)}"
        raise fail(*came, "a whole number >= 1 (and at most 2^53) after the @")
    return int(text)


def _settings(name: str, text: str | None) -> dict[str, Any]:
    """Settings `a=1,b=mid` as keyword arguments."""
    found = {}
    for item in (text or "").split(",") if text else []:
        key, equals, value = (part.strip() for part in item.partition("="))
        if not (key and equals and value):
            raise fail(
                f"metric {name!r}", f"a setting is {item!r}", "setting=value", "Settings are parted by commas"
            )
        if key in ("function", "name"):
            raise fail(f"metric {name!r}", f"a setting is {item!r}", "a setting of the metric")
        found[key] = value_of(value)
    return found


def value_of(text: str) -> bool | int | float | str:
    """A value as it is meant: true or false, a number, else the word."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
