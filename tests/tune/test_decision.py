"""Decision rules in every arm: fitted on select, cross-fitted where they choose, with argmax beside them."""

import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import f1_score
from torch import Tensor, nn
from torch.testing import assert_close
from torchmetrics.classification import BinaryF1Score

from metricgrad.decision import Threshold
from metricgrad.errors import InputError, Interrupted, RunFolderError
from metricgrad.metrics import adapt
from metricgrad.tune import ArraySplit, Plan, Result, Splits
from metricgrad.tune.checkpoint import load_weights
from tests.tune.decided_run import classifier, decided_run, decided_splits, drawn
from tests.tune.small_run import figures, same_weights, small_run
from tests.tune.test_resume import Raiser

ARMS = ("start", "continued", "tuned")


def of(result: Result, name: str) -> list[Any]:
    """The events of that name."""
    return [event for event in result.events if event["event"] == name]


@pytest.fixture(scope="module")
def decided(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """A run of two classes and two seeds."""
    return decided_run(tmp_path_factory.mktemp("decided") / "run")


def outputs_of(result: Result, seed: int, arm: str, split: Any) -> tuple[Tensor, Tensor]:
    """Scores and targets of the model that stands for an arm."""
    model = classifier()
    model.load_state_dict(load_weights(result.folder / "arms" / f"seed{seed}-{arm}-try0.safetensors"))
    with torch.no_grad():
        return model(split.inputs), split.targets


def test_every_arm_decides_by_a_cut_that_select_fits_for_its_weights(decided: Result) -> None:
    """Start and control included; test is decided by the cut of all of select, as scikit would with that threshold."""
    splits, f1 = decided_splits(), adapt("f1")
    tested = {(event["seed"], event["arm"]): event for event in of(decided, "tested")}
    rules = {(event["seed"], event["arm"]): event for event in of(decided, "rule_fitted")}
    assert set(rules) == set(tested) == {(seed, arm) for seed in (0, 1) for arm in ARMS}
    gained = 0
    for (seed, arm), event in tested.items():
        scores, targets = outputs_of(decided, seed, arm, splits.select)
        assert_close(rules[seed, arm]["argmax"], f1.summarise(f1.measure(scores, targets)))
        rule = Threshold(inputs="logits").fit(scores, targets, "f1")
        scores, targets = outputs_of(decided, seed, arm, splits.test)
        assert_close(event["argmax"], f1.summarise(f1.measure(scores, targets)))
        if rules[seed, arm]["rule"] == "threshold":
            assert_close(event["value"], f1.summarise(f1.measure(rule.decide(scores), targets)))
            assert rules[seed, arm]["cross_fitted"] > rules[seed, arm]["argmax"]
            gained += 1
    assert gained > 3


def test_the_cross_fitted_value_chooses(decided: Result) -> None:
    """What select says of the arms is what their rules say of the half that they have not seen; argmax beside it."""
    chosen = of(decided, "chosen")[0]
    for event in of(decided, "rule_fitted"):
        seed, arm = str(event["seed"]), event["arm"]
        assert chosen["select"][seed][arm] == event["cross_fitted"]
        assert chosen["argmax"][seed][arm] == event["argmax"]
    for event in of(decided, "stage_finished"):
        best = [
            one
            for one in of(decided, "evaluated")
            if (one["seed"], one["arm"], one["step"]) == (event["seed"], event["arm"], event["best_step"])
        ]
        assert best[-1]["value"] == event["value"] and best[-1]["argmax"] is not None


def test_argmax_stands_beside_the_rule_in_the_verdict_and_in_the_statistics(decided: Result) -> None:
    """Values, intervals, the gain of the rule itself; tables of test with the name of the arm and `argmax`."""
    verdict, tables, f1 = (
        of(decided, "verdict")[0],
        load_file(decided.folder / "test.safetensors"),
        adapt("f1"),
    )
    for arm in ARMS:
        figures_of = verdict["arms"][arm]
        with_rule, without = (
            sum(f1.summarise(tables[f"{arm}/{seed}{mark}"]) for seed in (0, 1)) / 2
            for mark in ("", "/argmax")
        )
        assert_close(figures_of["value"], with_rule)
        assert_close(figures_of["argmax"]["value"], without)
        assert_close(figures_of["rule"]["gain"], with_rule - without)
        assert figures_of["rule"]["low"] <= figures_of["rule"]["gain"] <= figures_of["rule"]["high"]
    assert "decides by the rule that select fits for its weights (" in verdict["sentence"]


def test_with_argmax_nothing_is_fitted(tmp_path: Path) -> None:
    """No rule, no second figure; what the folder is known by does not speak of decisions."""
    result = decided_run(tmp_path / "run", decision="argmax", seed=0)
    assert not of(result, "rule_fitted") and of(result, "tested")[0]["argmax"] is None
    assert "decision:" not in (tmp_path / "run" / "config.yaml").read_text()
    assert not any(name.endswith("argmax") for name in load_file(tmp_path / "run" / "test.safetensors"))


def test_other_metrics_are_left_as_they_are(tmp_path: Path) -> None:
    """A run of embeddings knows nothing of decisions, and a rule is refused there before anything is written."""
    result = small_run(tmp_path / "run", steps=4, seed=0, start_plan=None)
    assert not of(result, "rule_fitted") and all(
        "argmax" not in arm for arm in of(result, "verdict")[0]["arms"]
    )
    with pytest.raises(InputError, match="recall@1 reads embeddings"):
        small_run(tmp_path / "other", decision="threshold")
    with pytest.raises(InputError, match="roc_auc reads scores"):
        decided_run(tmp_path / "other", metric="roc_auc", decision="threshold")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decision": "treshold"}, "threshold"),
        ({"decision": 3}, "decision is 3"),
        ({"decision": "threshold", "classes": 3}, "3 classes"),
    ],
)
def test_a_rule_that_does_not_fit_is_refused_before_anything_is_written(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    """A name that is none, something else than a rule, a cut for three classes."""
    with pytest.raises(InputError, match=message):
        decided_run(tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_resumed_is_uninterrupted_and_another_decision_is_another_run(
    tmp_path: Path, decided: Result
) -> None:
    """A run that is stopped goes on to the same bits; with another rule its folder is refused."""
    folder = tmp_path / "run"
    with pytest.raises(Interrupted):
        decided_run(folder, observer=Raiser("evaluated", 5, signal.SIGTERM))
    with pytest.raises(RunFolderError, match="decision"):
        decided_run(folder, decision="argmax")
    resumed = decided_run(folder)
    assert all(map(torch.equal, figures(resumed), figures(decided)))
    assert same_weights(folder, decided.folder) == []
    assert [{**one, "time": 0} for one in of(resumed, "rule_fitted")] == [
        {**one, "time": 0} for one in of(decided, "rule_fitted")
    ]


def test_a_small_pool_keeps_argmax_and_says_so(tmp_path: Path) -> None:
    """30 rows of select: the figures are those of argmax, and a note says why."""
    result = decided_run(tmp_path / "run", splits=decided_splits((200, 30, 100)), seed=0)
    assert all(event["rule"] == "argmax" and "30" in event["note"] for event in of(result, "rule_fitted"))
    assert all(event["value"] == event["argmax"] for event in of(result, "tested"))
    assert any("wants 50 items" in mark for mark in of(result, "verdict")[0]["marks"])


@pytest.mark.slow
def test_a_class_that_select_lacks_and_a_select_of_one_class(tmp_path: Path) -> None:
    """Both run to their end; of one class nothing can be fitted."""
    splits = decided_splits(classes=3)
    inputs, targets = drawn(400, 1, classes=3)
    for kept in (targets < 2, targets == 0):
        select = ArraySplit(inputs[kept], targets[kept], batch=256)
        result = decided_run(
            None, classes=3, splits=Splits(splits.fit, select, splits.test), seed=0, plan=Plan(steps=2)
        )
        assert len(of(result, "tested")) == 3
    assert {event["rule"] for event in of(result, "rule_fitted")} == {"argmax"}


def test_the_calls_of_a_metric_that_can_only_be_called_are_counted() -> None:
    """What its rules take stands beside what is measured."""
    called = decided_run(
        metric=f1_score,
        splits=decided_splits((200, 60, 60)),
        plan=Plan(steps=1, resamples=20),
        seed=0,
        start_plan=None,
    )
    calls = of(called, "verdict")[0]["metric_calls"]
    assert (
        60 < calls["select, to fit rules"] < 3 * 3 * 50
    )  # models share tables, and equal ones take one call
    assert {event["rule"] for event in of(called, "rule_fitted")} <= {"threshold", "argmax"}


class OneScore(nn.Module):
    """A network of one output: a logit, or its sigmoid."""

    def __init__(self, *, probable: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.logit, self.probable = nn.Linear(5, 1), probable

    def forward(self, inputs: Tensor) -> Tensor:
        """[item, 1]."""
        return self.logit(inputs).sigmoid() if self.probable else self.logit(inputs)


def cross_entropy_of_one(outputs: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy of logits [item, 1], or of probabilities."""
    scores, wanted = outputs.squeeze(1), targets.float()
    if bool(((scores >= 0) & (scores <= 1)).all()):
        return nn.functional.binary_cross_entropy(scores, wanted)
    return nn.functional.binary_cross_entropy_with_logits(scores, wanted)


OF_ONE: dict[str, Any] = {"proxy": cross_entropy_of_one, "method": "direct:f_beta", "seed": 0}


@pytest.mark.parametrize("probable", [False, True], ids=["logit", "probability"])
def test_one_score_per_sample_decides_by_a_cut(probable: bool) -> None:
    """The best cut of select instead of the one that the metric brings, in every arm, on test and in `predict`."""
    cut = 0.5 if probable else 0
    result = decided_run(
        model=OneScore(probable=probable),
        metric=f"f1:threshold={cut}",
        splits=decided_splits((600, 1000, 400)),
        plan=Plan(steps=2, resamples=50),
        **OF_ONE,
    )
    fitted = of(result, "rule_fitted")
    assert {event["rule"] for event in fitted} == {"threshold"}
    assert all(event["cross_fitted"] > event["argmax"] for event in fitted)
    inputs, targets = drawn(400, 2)
    plain, own = adapt("f1"), adapt(f"f1:threshold={cut}")
    assert result.model is not None
    outputs = result.model(inputs).detach()
    tested = {event["arm"]: event for event in of(result, "tested")}[str(result.returned)]
    assert_close(tested["value"], plain.summarise(plain.measure(result.predict(inputs), targets)))
    assert_close(tested["argmax"], own.summarise(own.measure(outputs, targets)))
    table, curve = of(result, "decision_tables")[-1], of(result, "cut_curve")[-1]
    assert table["argmax"][1][1] == int(((outputs[:, 0] > cut) & (targets == 1)).sum())
    assert len(curve["values"]) > 20


def test_a_cut_of_the_metric_that_says_nothing_of_the_scores_is_left_as_it_is() -> None:
    """Above 0.3 may be a logit or a probability; above 0.5 must be one: `auto` leaves them, a named rule is refused."""
    common: dict[str, Any] = {
        "model": OneScore(probable=False),
        "plan": Plan(steps=1, resamples=20),
        **OF_ONE,
    }
    for cut in (0.3, 0.5):
        assert not of(decided_run(metric=f"f1:threshold={cut}", **common), "rule_fitted")
        with pytest.raises(InputError, match="decision is 'threshold'"):
            decided_run(metric=f"f1:threshold={cut}", decision="threshold", **common)


@pytest.mark.slow
def test_a_metric_of_torchmetrics_is_given_decisions_of_one_score() -> None:
    """In the form of the outputs: one number per sample."""
    model, plan = OneScore(probable=False), Plan(steps=1, resamples=20)
    result = decided_run(model=model, metric=BinaryF1Score(), plan=plan, **OF_ONE)
    assert {event["rule"] for event in of(result, "rule_fitted")} <= {"threshold", "argmax"}
    assert len(of(result, "rule_fitted")) == len(of(result, "tested")) == 3


def share_found(predictions: Tensor, targets: Tensor) -> float:
    """Balanced accuracy as somebody would write it, of class numbers."""
    found = [(predictions[targets == one] == one).double().mean() for one in targets.unique()]
    return float(torch.stack(found).mean())


@pytest.mark.slow
def test_a_function_of_many_classes_gains_what_the_formula_gains() -> None:
    """Up to whole labels, within the interval of the formula's gain, and without its calls for the formula."""
    common: dict[str, Any] = {"classes": 3, "seed": 0, "plan": Plan(steps=2, resamples=100)}
    called = decided_run(metric=adapt(share_found, higher_is_better=True, reads="classes"), **common)
    formula = decided_run(metric="balanced_accuracy", **common)
    for one, other in zip(of(called, "rule_fitted"), of(formula, "rule_fitted"), strict=True):
        assert one["rule"] == other["rule"] != "argmax"
        assert one["cross_fitted"] == pytest.approx(other["cross_fitted"], abs=0.01)
        assert one["argmax"] == pytest.approx(other["argmax"])
        assert one["calls"] >= 0 == other["calls"]  # none for weights that were measured while they trained
    found, wanted = (of(result, "verdict")[0] for result in (called, formula))
    assert found["metric_calls"]["select, to fit rules"] > 0
    assert "select, to fit rules" not in wanted["metric_calls"]
    for arm in ARMS:
        inside = wanted["arms"][arm]["rule"]
        assert inside["low"] <= found["arms"][arm]["rule"]["gain"] <= inside["high"]


def test_a_function_that_does_not_say_what_it_reads_is_told_how() -> None:
    """A rule may be what it needs."""
    with pytest.raises(InputError, match=r"metrics\.adapt\(function, reads='classes'\)"):
        decided_run(metric=adapt(share_found, higher_is_better=True), decision="threshold")


def test_a_single_item_or_a_broken_one_is_not_decided(decided: Result) -> None:
    """Its scores would be read as two items of one score; NaN would be class 0."""
    inputs = drawn(3, 7)[0]
    with pytest.raises(InputError, match=r"predict\(item\[None\]\)"):
        decided.predict(inputs[0])
    with pytest.raises(InputError, match="NaN"):
        decided.predict(inputs * torch.nan)


def test_the_result_holds_the_rule_and_decides_by_it(decided: Result, tmp_path: Path) -> None:
    """Kept beside the weights, read again with the network given; classes as the rule decides the outputs."""
    inputs = drawn(50, 7)[0]
    assert isinstance(decided.rule, Threshold) and decided.model is not None
    expected = decided.rule.decide(decided.model(inputs).detach())
    assert_close(decided.predict(inputs), expected)
    loaded = Result.load(decided.save(tmp_path / "copy").parent / "copy", model=classifier())
    assert loaded.rule is not None and torch.equal(loaded.rule.cut, decided.rule.cut)
    classifier().load_state_dict(
        load_file(decided.folder / "best.safetensors")
    )  # the network's tensors alone
    assert_close(loaded.predict(inputs), expected)
    with pytest.raises(InputError, match="no network"):
        Result.load(tmp_path / "copy").predict(inputs)


def test_predict_without_a_rule(tmp_path: Path) -> None:
    """Argmax that was kept gives classes and no rule; argmax that was asked for leaves the outputs."""
    small = decided_run(splits=decided_splits((200, 30, 100)), seed=0, plan=Plan(steps=1), start_plan=None)
    inputs = drawn(20, 7)[0]
    assert small.rule is None and small.model is not None
    with torch.no_grad():
        assert_close(small.predict(inputs), small.model(inputs).argmax(1))
    asked = decided_run(decision="argmax", seed=0, plan=Plan(steps=1), start_plan=None)
    assert asked.rule is None and asked.predict(inputs).shape == (20, 2)


def test_the_record_shows_what_the_rule_changes(decided: Result) -> None:
    """Tables of test before and after, a curve over the cut with its band, and both on the page."""
    tables, curve = of(decided, "decision_tables")[-1], of(decided, "cut_curve")[-1]
    arm, seed = decided.returned, of(decided, "chosen")[0]["best_seed"]
    assert (tables["arm"], tables["split"], curve["arm"]) == (arm, "test", arm)
    scores, targets = outputs_of(decided, seed, str(arm), decided_splits().test)
    assert decided.rule is not None
    for name, guess in (("argmax", scores.argmax(1)), ("fitted", decided.rule.decide(scores))):
        counted = torch.zeros(2, 2, dtype=torch.int64)
        for true, predicted in zip(targets.tolist(), guess.tolist(), strict=True):
            counted[true, predicted] += 1
        assert tables[name] == counted.tolist()
    scores, targets = outputs_of(decided, seed, str(arm), decided_splits().select)
    f1, odds = adapt("f1"), scores[:, 1].double() - scores[:, 0].double()
    for cut, value, low, high in zip(
        *(curve[name][::10] for name in ("cuts", "values", "low", "high")), strict=True
    ):
        assert_close(value, f1.summarise(f1.measure((odds > cut).long(), targets)))
        assert low <= high
    assert curve["cut_low"] <= curve["cut_high"] and curve["resamples"] == 200
    text = decided.summary()
    assert "test at argmax" in text and "decides by" in text and "threshold" in text
    page = decided.report().read_text()
    assert "What the rules bring on test" in page and "with its rule" in page and "cut-plot" in page


class Probable(nn.Module):
    """A network whose outputs are probabilities of half precision, as under autocast."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = classifier(3)

    def forward(self, inputs: Tensor) -> Tensor:
        """Rows that sum to 1 only nearly."""
        return self.scores(inputs).softmax(1).bfloat16()


def test_probabilities_of_half_precision_are_no_logits() -> None:
    """Read as logits they would be flattened, and the rule would win less."""

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.nll_loss(outputs.float().clamp_min(1e-6).log(), targets)

    plan = Plan(steps=1, resamples=20)
    common: dict[str, Any] = {"classes": 3, "metric": "balanced_accuracy", "seed": 0, "plan": plan}
    halves, wide = decided_run(model=Probable(), proxy=loss, **common), decided_run(**common)
    start, wanted = (of(result, "rule_fitted")[0] for result in (halves, wide))
    assert start["rule"] == wanted["rule"] == "slope"
    assert start["cross_fitted"] == pytest.approx(wanted["cross_fitted"], abs=0.02)


def my_f1(predictions: Tensor, truth: Tensor) -> float:
    """F1 as anybody would write it, of decided classes."""
    hits = ((predictions == 1) & (truth == 1)).sum()
    return float(2 * hits / ((predictions == 1).sum() + (truth == 1).sum()))


def test_a_function_of_labels_gets_the_rule_of_the_formula(decided: Result) -> None:
    """Named as one that reads classes: the same values with argmax, the same cuts up to those it was not called for."""
    metric = adapt(my_f1, higher_is_better=True, reads="classes")
    arguments: dict[str, Any] = {
        "splits": decided_splits((200, 80, 80)),
        "plan": Plan(steps=1, resamples=20),
        "seed": 0,
        "start_plan": None,
    }
    own, ours = decided_run(metric=metric, **arguments), decided_run(**arguments)
    for one, other in zip(of(own, "tested"), of(ours, "tested"), strict=True):
        assert_close((one["value"], one["argmax"]), (other["value"], other["argmax"]))
    for one, other in zip(of(own, "rule_fitted"), of(ours, "rule_fitted"), strict=True):
        assert one["words"] == other["words"] and one["rule"] == other["rule"]
    assert of(own, "verdict")[0]["metric_calls"]["select, to fit rules"] > 0
    assert "select, to fit rules" in own.summary()


def test_labels_as_text_are_refused_with_what_helps() -> None:
    """As ever: class names give them numbers."""
    (inputs, targets), (more, others) = drawn(60, 0), drawn(60, 1)
    texts = [["no", "yes"][item] for item in targets.tolist()]
    splits = Splits(
        (inputs.numpy(), texts), (more.numpy(), [["no", "yes"][item] for item in others.tolist()])
    )
    with pytest.raises(InputError, match="classes="):
        decided_run(splits=splits, start_plan=None)
