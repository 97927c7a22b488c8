"""The record of a contest of many contenders, made of copies of the tuned arm of a run of three."""

import copy
from typing import Any

from metricgrad._records import Entrant
from tests.report import synthetic_runs

__all__ = ["METHODS", "contest"]

METHODS = (
    "surrogate:recall_at_k", "surrogate:average_precision", "surrogate:smooth_ap", "direct:ndcg",
    "direct:average_precision", "learned", "learned+filter", "blackbox:mixture", "blackbox:evolution", "alternating",
)  # fmt: skip
CLAIMS = ("gain", "no evidence", "worse")


def contest(contenders: int = 10, **begin: Any) -> list[dict[str, Any]]:
    """The events of a finished contest of start, one control and this many contenders, at most ten."""
    names = [method.replace(":", "-") for method in METHODS[:contenders]]
    found: list[dict[str, Any]] = []
    for event in synthetic_runs.finished(**begin):
        kind = event["event"]
        if kind == "run_started":
            arms = [Entrant("start", "start"), Entrant("continued", "control", "proxy:supcon")]
            arms += [Entrant(name, "contender", method) for name, method in zip(names, METHODS, strict=False)]
            found.append(
                {**event, "arms": [vars(arm) for arm in arms], "method": ", ".join(METHODS[:contenders])}
            )
        elif event.get("arm") == "tuned":
            found += [_copied(event, name, place) for place, name in enumerate(names)]
        elif kind == "chosen":
            for of_seed in (*event["select"].values(), *event["attempts"].values()):
                value = of_seed.pop("tuned")
                of_seed.update({name: value - 0.001 * place for place, name in enumerate(names)})
            event["attempts"] = {
                seed: {arm: 0 for arm in of_seed} for seed, of_seed in event["attempts"].items()
            }
            found.append({**event, "returned": dict.fromkeys(event["returned"], names[0])})
        elif kind == "verdict":
            found.append(_judged(event, names))
        elif kind == "finished":
            found.append({**event, "returned": names[0]})
        else:
            found.append(event)
    return found


def _copied(event: dict[str, Any], name: str, place: int) -> dict[str, Any]:
    """An event of the tuned arm as that of another one, a little lower."""
    event = {**copy.deepcopy(event), "arm": name}
    for key in ("value", "best"):
        if isinstance(event.get(key), float):
            event[key] -= 0.003 * place
    if event["event"] == "curve":
        event["value"] = [value - 0.003 * place for value in event["value"]]
    if event["event"] == "stage_finished":
        event["pool_calls"] = 120 * place
    if event["event"] == "stage_started":
        event["settings"]["learning_rate"] *= 1 + place
    return event


def _judged(event: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """The verdict with figures of every contender, and claims of all three kinds."""
    figures, gains = event["arms"].pop("tuned"), event["gains"]
    shift = {name: 0.003 * place for place, name in enumerate(names)}
    for name, less in shift.items():
        event["arms"][name] = {key: value and value - less for key, value in figures.items()}
    first = gains[event["baseline"]]
    event["contenders"] = {
        name: {
            **{key: first[key] - less for key in ("gain", "low", "high")},
            "per_seed": [value - less for value in first["per_seed"]],
            "p_value": 0.001 + less,
            "adjusted": min(1.0, 0.001 + 10 * less),
            "claim": CLAIMS[min(2, place // 4)],
        }
        for place, (name, less) in enumerate(shift.items())
    }
    return {**event, "contender": names[0]}
