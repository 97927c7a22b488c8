"""Records of runs that never ran, written with the record classes, realistic in size and shape."""

import base64
import json
import math
import random
import struct
import zlib
from pathlib import Path
from typing import Any

from metricgrad._records import (
    Budget,
    Chosen,
    Curve,
    Evaluated,
    Finished,
    Fitted,
    Note,
    Resumed,
    RunStarted,
    StageFinished,
    StageStarted,
    Stepped,
    Tested,
    Verdict,
    event_of,
)

METRIC = "recall@1"
DESCRIPTION = (
    "share of queries whose nearest other item is relevant (any relevant at 1: what metric learning calls "
    "R@1, elsewhere hit@1)"
)
STEPS, EVERY = 300, 25
KS = [1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 50]
REACHED = {"start": 0.5212, "continued": 0.5241, "tuned": 0.5427}


def begun(
    *,
    proxy: str | None = "proxy:supcon",
    seeds: tuple[int, ...] = (0, 1, 2),
    test: bool = True,
    unit: str = "query",
    higher: bool = True,
) -> RunStarted:
    """The first record."""
    splits: dict[str, dict[str, Any]] = {
        "fit": {"items": 3104, "classes": 636, "vendors": 6},
        "select": {"items": 1038, "classes": 213, "vendors": 6},
        "test": {"items": 2740, "classes": 566, "vendors": 6},
    }
    if not test:
        del splits["test"]
    return RunStarted(
        metric=METRIC,
        metric_description=DESCRIPTION,
        higher_is_better=higher,
        unit=unit,
        method="surrogate:recall_at_k",
        proxy=proxy,
        task="emoji",
        seeds=list(seeds),
        splits=splits,
        versions={"metricgrad": "0.1.0", "torch": "2.13.0", "numpy": "2.2.6", "python": "3.11.2"},
        threads=2,
    )


def stage(
    seed: int, arm: str, attempt: int, *, upto: int = STEPS, settings: dict[str, Any] | None = None
) -> list[Any]:
    """The records of one training, cut at a step."""
    draw = random.Random(f"{seed} {arm} {attempt}")
    gain = (REACHED[arm] - REACHED["start"]) * (1.6 if attempt == 0 else 0.7)
    level = 0.548 + 0.006 * seed
    records: list[Any] = [StageStarted(seed, arm, attempt, settings or {"learning_rate": 1e-3}, STEPS)]
    best, best_step = -math.inf, 0
    for step in range(0, upto + 1, EVERY):
        if step:
            loss = {"continued": 5.2, "tuned": 0.62}[arm] * (0.72 + 0.28 * math.exp(-step / 90)) + draw.gauss(
                0, 0.01
            )
            records.append(Stepped(seed, arm, attempt, step, {"loss": loss, "learning_rate": 1e-3}))
        value = (
            level
            + gain * (1 - math.exp(-step / 80))
            - 2e-5 * max(0, step - 200)
            + draw.gauss(0, 0.0015) * (step > 0)
        )
        if value > best:
            best, best_step = value, step
        records.append(Evaluated(seed, arm, attempt, step, value, best, best_step))
    if upto == STEPS:
        records.append(StageFinished(seed, arm, attempt, STEPS, best, best_step, 41.5 + draw.random()))
    return records


def training(start: RunStarted, *, tries: int = 2) -> list[Any]:
    """The records from the budget to the last stage."""
    records: list[Any] = [Budget(STEPS, EVERY, 100, tries, minutes=6.0, seconds_per_step=0.104)]
    for seed in start.seeds:
        records.append(Evaluated(seed, "start", 0, 0, 0.548 + 0.006 * seed, 0.548 + 0.006 * seed, 0))
        for arm in ("continued", "tuned") if start.proxy else ("tuned",):
            for attempt in range(tries):
                settings: dict[str, Any] = {
                    "learning_rate": [1e-3, 3e-4][attempt],
                    "weight_decay": 0.3,
                    "dropout": 0.5,
                }
                settings["objective"] = {"temperature": 0.03, "k": [1, 2, 4, 8]} if arm == "tuned" else {}
                records += stage(seed, arm, attempt, settings=settings)
    return records


def ending(start: RunStarted, *, interval: bool = True, verdict: str = "gain") -> list[Any]:
    """The records after training: selection, test, curves, verdict."""
    arms = [arm for arm in ("start", "continued", "tuned") if arm != "continued" or start.proxy]
    tested = "test" in start.splits
    select = {"start": 0.554, "continued": 0.5591, "tuned": 0.5874}
    records: list[Any] = [
        Chosen(
            {str(seed): {arm: select[arm] for arm in arms} for seed in start.seeds},
            {str(seed): {arm: 0 for arm in arms if arm != "start"} for seed in start.seeds},
            {str(seed): "tuned" for seed in start.seeds},
            best_seed=start.seeds[-1],
        )
    ]
    if tested:
        records += [
            Tested(
                seed,
                arm,
                REACHED[arm] + 0.003 * (seed - 1),
                2740 if start.unit != "whole" else 1,
                undefined=7 if start.unit != "whole" else 0,
            )
            for seed in start.seeds
            for arm in arms
        ]
        records += [
            Curve(arm, KS, [1 - (1 - REACHED[arm]) * k**-0.62 for k in KS])
            for arm in arms
            if start.unit == "query"
        ]
    values = {
        arm: {
            "value": REACHED[arm] if tested else None,
            "low": REACHED[arm] - 0.0181 if tested and interval else None,
            "high": REACHED[arm] + 0.0183 if tested and interval else None,
            "select": select[arm],
        }
        for arm in arms
    }
    gains = {
        arm: {
            "gain": REACHED["tuned"] - REACHED[arm],
            "low": REACHED["tuned"] - REACHED[arm] - 0.0104 if interval else None,
            "high": REACHED["tuned"] - REACHED[arm] + 0.0101 if interval else None,
            "per_seed": [
                REACHED["tuned"] - REACHED[arm] + d for d in (0.0042, -0.0061, 0.0019)[: len(start.seeds)]
            ],
        }
        for arm in arms
        if arm != "tuned" and tested
    }
    baseline = ("continued" if start.proxy else "start") if tested else None
    against = "continuing the proxy loss" if start.proxy else "the start model"
    sentence = (
        f"Gain: {start.method} beats {against} on the test split: {METRIC} 0.5427 against 0.5241, +0.0186 (95% "
        f"interval +0.0082 to +0.0287 over 2,740 queries, mean of {len(start.seeds)} seeds)."
        if tested and verdict == "gain"
        else f"{verdict if tested else 'nothing claimed'}: {METRIC} as the tables say."
    )
    marks = [] if start.proxy else ["no proxy loss was given: there is no control arm"]
    records.append(
        Verdict(
            verdict if tested else "nothing claimed",
            sentence,
            baseline,
            0.95,
            values,
            gains,
            0.0097 if tested else None,
            {"select": 159, "test": 9} if tested else {"select": 159},
            marks,
        )
    )
    return [*records, Finished("tuned", "best.safetensors", 512.3)]


def finished(
    *, interval: bool = True, tries: int = 2, verdict: str = "gain", **begin: Any
) -> list[dict[str, Any]]:
    """The events of a run that ended."""
    start = begun(**begin)
    return [
        event_of(r)
        for r in (start, *training(start, tries=tries), *ending(start, interval=interval, verdict=verdict))
    ]


def interrupted() -> list[dict[str, Any]]:
    """The events of a run of one seed that stopped at step 150 of its control arm and was resumed there."""
    start = begun(seeds=(0,))
    records = [
        start,
        Budget(STEPS, EVERY, 100, 1),
        Evaluated(0, "start", 0, 0, 0.548, 0.548, 0),
        *stage(0, "continued", 0, upto=150),
        Resumed(0, "continued", 0, 100, ["threads"]),
        Note("Timing was noisy: the step time varied by 30 %."),
    ]
    return [event_of(record) for record in records]


def picture(seed: int, size: int = 56) -> str:
    """A small PNG as base64: a coloured shape on white, made of nothing but the standard library."""
    draw = random.Random(seed)
    ink = bytes(draw.randrange(40, 230) for _ in range(3))
    power, radius = draw.choice([0.7, 1.0, 2.0, 6.0]), size * draw.uniform(0.3, 0.45)
    rows = bytearray()
    for y in range(size):
        rows.append(0)
        for x in range(size):
            far = abs((x - size / 2) / radius) ** power + abs((y - size / 2) / radius) ** power
            rows += ink if far <= 1 else b"\xff\xff\xff"
    chunks = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in (
            (b"IHDR", struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)),
            (b"IDAT", zlib.compress(bytes(rows))),
            (b"IEND", b""),
        )
    )
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + chunks).decode("ascii")


def gallery(entries: int = 6) -> dict[str, Any]:
    """A gallery with as many better as worse entries."""
    names = [
        "red apple",
        "guitar",
        "snowman without snow",
        "airplane",
        "clinking beer mugs",
        "fox",
        "umbrella",
        "key",
    ]

    def neighbours(base: int, hits: set[int]) -> list[dict[str, Any]]:
        return [
            {
                "name": names[(base + i) % 8],
                "png": picture(base if i in hits else base + 10 + i),
                "relevant": i in hits,
                "similarity": 0.91 - 0.045 * i,
            }
            for i in range(5)
        ]

    def entry(index: int, before: set[int], after: set[int]) -> dict[str, Any]:
        query = {"name": names[index % 8], "png": picture(100 * index)}
        return {
            "query": query,
            "before": neighbours(100 * index, before),
            "after": neighbours(100 * index, after),
        }

    return {
        "caption": "Test queries of one seed, drawn among those whose nearest neighbour changed.",
        "before": "continued",
        "after": "tuned",
        "better": [entry(i, {3}, {0, 2, 3}) for i in range(entries)],
        "worse": [entry(i, {0, 1}, {1, 4}) for i in range(entries, 2 * entries)],
    }


def with_surrogate(
    events: list[dict[str, Any]],
    *,
    tau: float = 0.84,
    agreement: float = 0.63,
    without: tuple[str, ...] = (),
    points: int = 60,
) -> list[dict[str, Any]]:
    """The events with one `fitted` before each evaluation of the tuned arm, as a learned surrogate writes them."""
    found: list[dict[str, Any]] = []
    for event in events:
        if event["event"] == "evaluated" and event["arm"] == "tuned":
            found.append(event_of(fitted(event, tau, agreement, without, points)))
        found.append(event)
    return found


def fitted(
    event: dict[str, Any], tau: float, agreement: float, without: tuple[str, ...], points: int
) -> Fitted:
    """What the surrogate of a stage says of itself at one evaluation; it gets better with the steps."""
    seed, attempt, step = event["seed"], event["attempt"], event["step"]
    draw = random.Random(f"{seed} {attempt} {step}")
    spread = 0.35 + 0.6 * math.exp(-step / 100)

    def pairs(count: int, mean: float) -> list[list[float]]:
        exact = [float(min(round(draw.expovariate(1 / mean)), 12)) for _ in range(count)]
        return [[e, max(0.0, e + draw.gauss(0, spread))] for e in exact]

    values: dict[str, float | None] = {
        "mae_local": 0.8 * spread + draw.gauss(0, 0.02),
        "mae_generated": 0.9 * spread,
        "mae_of_mean": 1.31,
        "kendall_tau": tau - 0.25 * math.exp(-step / 100) if step < STEPS else tau,
        "sign_agreement": None if step == 0 else agreement,
        "changed_pairs": 0 if step == 0 else 143 + 3 * step,
        "mean_gradient_norm": 0.94,
        "best_decile_bias": 0.12,
        "fit": 0.3 * spread,
        "penalty": 0.05 * spread,
        "kept_fraction": None if step == 0 else 0.71,
        "skipped_steps": step // 100,
        "sample_metric_calls": 64_000 + 256 * step,
        "dropped_samples": 0,
        "pauses": 1,
        "surrogate_steps": 2000 + 5 * step,
        "seconds": 41.5 + 0.2 * step,
    }
    kept = {name: value for name, value in values.items() if name not in without}
    return Fitted(seed, "tuned", attempt, step, kept, pairs(points, 1.2), pairs(2 * points, 4.0))


def examples(entries: int = 3, *, boxes: bool = False) -> dict[str, Any]:
    """Examples that changed, as many better as worse: read words, or scenes with boxes drawn in."""
    words = [("umbrella", "umbrela", "umbrella"), ("guitar", "quitars", "guitar"), ("key", "", "kev")]

    def entry(index: int, swap: bool) -> dict[str, Any]:
        target, before, after = words[index % 3]
        values = [0.412, 0.7365] if boxes else [[1.0, 0.0], [2.0, 0.0], [3.0, 1.0]][index % 3]
        sides = list(zip([None, None] if boxes else [before, after], values, strict=True))
        sides = sides[::-1] if swap else sides
        named = {
            side: {"text": text, "value": value}
            for side, (text, value) in zip(("before", "after"), sides, strict=True)
        }
        target = None if boxes else target
        return {"name": f"item {17 * index + 4}", "png": picture(index), "target": target, **named}

    return {
        "before": "continued",
        "after": "tuned",
        "metric": "rotated_iou" if boxes else "edit_distance",
        "higher_is_better": boxes,
        "letters": not boxes,
        "boxes": boxes,
        "caption": "With the first seed: of 4,000 test samples, 310 are better, 250 are worse and 3,440 the same.",
        "better": [entry(index, False) for index in range(entries)],
        "worse": [entry(index, True) for index in range(entries)],
    }


def write(
    folder: Path,
    events: list[dict[str, Any]],
    *,
    pictures: dict[str, Any] | None = None,
    changed: dict[str, Any] | None = None,
) -> Path:
    """Write the events, and a gallery and examples that changed where they are given, as a run folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "record.jsonl").write_text(
        "".join(json.dumps(event) + "\n" for event in events), encoding="utf-8"
    )
    if changed is not None:
        (folder / "examples.json").write_text(json.dumps(changed), encoding="utf-8")
    if pictures is not None:
        (folder / "gallery.json").write_text(json.dumps(pictures), encoding="utf-8")
        (folder / "config.yaml").write_text(
            "task: emoji\nmetric: recall@1\nplan:\n  minutes: 6\nasked: {}\nfound: {}\n", encoding="utf-8"
        )
    return folder
