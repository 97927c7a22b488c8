"""Cut points and thresholds of labels in a run: every arm by them, with rounding or one half beside."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import cohen_kappa_score, f1_score
from torch import Tensor, nn
from torch.testing import assert_close

from metricgrad.decision import CutPoints, LabelThresholds, Rounding
from metricgrad.errors import InputError
from metricgrad.tune import ArraySplit, Plan, Result, Splits, compare, tune
from metricgrad.tune.checkpoint import load_weights
from tests.decision.test_numbers_and_labels import labels, levels

ITEMS = (300, 300, 300)


def splits(kind: Any, *, items: tuple[int, int, int] = ITEMS) -> Splits:
    """Scores as inputs, with noise beside, and what is true of them."""

    def part(seed: int, count: int, **settings: Any) -> ArraySplit:
        scores, truth = kind(seed, count)
        noise = torch.randn(count, 2, generator=torch.Generator().manual_seed(seed))
        inputs = torch.cat([scores.float().reshape(count, -1), noise], 1)
        return ArraySplit(inputs, truth.float(), **settings)

    fit, select, test = items
    return Splits(part(0, fit, batch=100, shuffle=True), part(1, select), part(2, test))


def regressor() -> nn.Module:
    """Gives the first input."""
    network = nn.Linear(3, 1)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([[1.0, 0.0, 0.0]]))
        network.bias.zero_()
    return nn.Sequential(network, nn.Flatten(0))


def tagger() -> nn.Module:
    """Gives the first three inputs."""
    network = nn.Linear(5, 3)
    with torch.no_grad():
        network.weight.copy_(torch.eye(3, 5))
        network.bias.zero_()
    return network


def run(kind: Any, folder: Path | None = None, **changes: Any) -> Result:
    """Train on with the same loss at two learning rates."""
    ordered = kind is levels
    arguments: dict[str, Any] = {
        "metric": "quadratic_kappa" if ordered else "multilabel_f1_macro",
        "proxy": nn.functional.mse_loss if ordered else nn.functional.binary_cross_entropy_with_logits,
        "method": "proxy",
        "settings": {"learning_rate": 0.01},
        "plan": Plan(steps=3, evaluate_every=3, resamples=50),
        "seed": 0,
        "folder": folder,
        "observer": lambda event: None,
    }
    model, data = (
        changes.pop("model", None) or (regressor() if ordered else tagger()),
        changes.pop("splits", None),
    )
    return tune(model, data or splits(kind), **(arguments | changes))


def of(result: Result, name: str) -> list[Any]:
    """The events of that name."""
    return [event for event in result.events if event["event"] == name]


def given(result: Result, arm: str, model: nn.Module, split: Any) -> tuple[Tensor, Tensor]:
    """Outputs and targets of the model that stands for an arm."""
    model.load_state_dict(load_weights(result.folder / "arms" / f"seed0-{arm}-try0.safetensors"))
    with torch.no_grad():
        return model(split.inputs), split.targets


@pytest.fixture(scope="module")
def ordered(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """A regression judged by quadratic kappa; nothing is said of decisions."""
    return run(levels, tmp_path_factory.mktemp("ordered") / "run", side_metrics=["accuracy"], may_fall=1.0)


def test_every_arm_is_cut_and_rounding_stands_beside(ordered: Result) -> None:
    """By the cuts of all of select on test; the cross-fitted value chooses; both ways in table, record and report."""
    data = splits(levels)
    for event in of(ordered, "tested"):
        scores, truth = given(ordered, event["arm"], regressor(), data.select)
        rule = CutPoints(classes=4).fit(scores, truth, "quadratic_kappa")
        scores, truth = given(ordered, event["arm"], regressor(), data.test)
        nearest, cut = scores.round().clamp(0, 3), rule.decide(scores)
        assert_close(event["argmax"], cohen_kappa_score(truth, nearest, weights="quadratic"))
        assert_close(event["value"], cohen_kappa_score(truth, cut, weights="quadratic"))
    for event in of(ordered, "rule_fitted"):
        assert event["rule"] == "cuts" and event["argmax"] < event["cross_fitted"]
        assert of(ordered, "chosen")[0]["select"]["0"][event["arm"]] == event["cross_fitted"]
    verdict = of(ordered, "verdict")[0]
    assert "(cuts); with rounding " in verdict["sentence"] and verdict["arms"]["tuned"]["rule"]["gain"] > 0
    assert "test at rounding" in ordered.summary()
    page = ordered.report().read_text()
    assert "gain of the rule" in page and "At rounding: the same weights" in page
    tables = of(ordered, "decision_tables")[-1]
    scores, truth = given(ordered, tables["arm"], regressor(), data.test)
    for name, guess in (
        ("argmax", scores.round().clamp(0, 3)),
        ("fitted", ordered.predict(data.test.inputs)),
    ):
        counted = torch.zeros(4, 4, dtype=torch.int64)
        counted.index_put_((truth.long(), guess.long()), torch.tensor(1), accumulate=True)
        assert tables[name] == counted.tolist()


def test_the_cuts_are_kept_with_the_weights(ordered: Result) -> None:
    """In the header; the tensors are those of the network."""
    assert isinstance(ordered.rule, CutPoints) and ordered.model is not None
    regressor().load_state_dict(load_file(ordered.folder / "best.safetensors"))
    inputs = splits(levels).test.inputs
    loaded = Result.load(ordered.folder, model=regressor())
    assert_close(loaded.predict(inputs), ordered.rule.decide(ordered.model(inputs).detach()))
    assert loaded.predict(inputs[:1]).shape == (1,)


@pytest.mark.slow
def test_labels_are_cut_where_that_is_asked_for(tmp_path: Path) -> None:
    """And nothing changes where it is not."""
    data = splits(labels)
    result, plain = run(labels, tmp_path / "run", decision="labels"), run(labels)
    for event in of(result, "tested"):
        scores, truth = given(result, event["arm"], tagger(), data.select)
        rule = LabelThresholds().fit(scores, truth, "multilabel_f1_macro")
        scores, truth = given(result, event["arm"], tagger(), data.test)
        assert_close(event["argmax"], f1_score(truth, scores > 0, average="macro"))
        assert_close(event["value"], f1_score(truth, rule.decide(scores), average="macro"))
    assert isinstance(result.rule, LabelThresholds) and not of(result, "decision_tables")
    assert result.predict(data.test.inputs).shape == (300, 3)
    assert "test at midpoint" in result.summary() and "decides by" in result.report().read_text()
    assert plain.rule is None and not of(plain, "rule_fitted")
    assert [e["value"] for e in of(plain, "tested") if e["arm"] == "start"] == [
        e["argmax"] for e in of(result, "tested") if e["arm"] == "start"
    ]


@pytest.mark.parametrize("cut", [0, pytest.param(0.5, marks=pytest.mark.slow)])
def test_a_metric_of_labels_with_a_threshold_gets_others(cut: float) -> None:
    """Of logits and of probabilities."""
    model = nn.Sequential(tagger(), nn.Sigmoid()) if cut else tagger()
    proxy = nn.functional.binary_cross_entropy if cut else nn.functional.binary_cross_entropy_with_logits
    metric = f"multilabel_f1_macro:threshold={cut}"
    result = run(labels, decision="labels", metric=metric, model=model, proxy=proxy)
    assert result.rule is not None and result.rule.inputs == ("probabilities" if cut else "logits")


def test_small_pools_round(tmp_path: Path) -> None:
    """The reason is a note of the run; the rule is none, and classes are decided all the same."""
    data = splits(levels, items=(300, 60, 60))
    result = run(levels, splits=data)
    assert result.rule is None and "Every arm decides by rounding" in of(result, "verdict")[0]["sentence"]
    assert "rounding was kept: cuts wants 200 items" in result.summary()
    assert_close(
        result.predict(data.test.inputs),
        Rounding(classes=4)
        .fit([0.0], [0], "qwk")
        .decide(
            result.model(data.test.inputs).detach()  # pyright: ignore[reportOptionalCall]
        ),
    )


def test_compare_cuts_every_arm() -> None:
    """The table names rounding, not argmax."""
    found = compare(
        regressor(),
        splits(levels),
        metric="quadratic_kappa",
        proxy=nn.functional.mse_loss,
        methods=[("proxy", {"learning_rate": 0.01})],
        plan=Plan(steps=2, resamples=50),
        observer=lambda event: None,
    )
    assert {row.rule for row in found.table} == {"cuts"} and "at rounding" in found.summary()


@pytest.mark.parametrize(
    ("kind", "changes", "said"),
    [
        (labels, {"decision": "slope"}, "decided by decision='labels'"),
        (labels, {"decision": "cuts"}, "decided by decision='labels'"),
        (levels, {"decision": "labels"}, "a metric of several labels per sample"),
        (levels, {"decision": "cuts", "metric": "f1:threshold=0"}, "compares one score with 0"),
        (labels, {"decision": "cuts", "metric": "macro_f1"}, "one real number per sample"),
        (levels, {"metric": "macro_f1"}, "class scores"),
        (levels, {"decision": "argmax"}, "class scores"),
        (levels, {"model": nn.Sequential(regressor(), nn.Threshold(9.0, torch.nan))}, "NaN"),
    ],
)
def test_what_does_not_fit_is_refused(kind: Any, changes: dict[str, Any], said: str) -> None:
    """With what to do instead."""
    with pytest.raises(InputError, match=said):
        run(kind, **changes)
