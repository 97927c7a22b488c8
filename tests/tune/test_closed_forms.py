"""Controls that train nothing: raw inputs, and the best closed form, in runs on scikit-learn's digits."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from metricgrad.errors import CheckpointError, InputError
from metricgrad.metrics import adapt
from metricgrad.projection import LDA
from metricgrad.report import render, summary_text
from metricgrad.tune import ArraySplit, ClassBatchSplit, Comparison, Plan, Result, Splits, compare, tune
from metricgrad.tune.closed_forms import CHOOSING
from metricgrad.tune.untrained import untrained_controls
from tests.tune.small_run import figures, same_weights
from tests.tune.test_resume import Raiser


def digits(*, each: int = 24) -> tuple[Tensor, Tensor]:
    """Pictures [item, 1, 8, 8] and what they show, as many of each digit."""
    pixels, labels = (torch.as_tensor(part) for part in load_digits(return_X_y=True))
    rows = torch.cat([(labels == digit).nonzero().flatten()[:each] for digit in range(10)])
    return pixels[rows].float().reshape(-1, 1, 8, 8) / 16, labels[rows]


def digit_splits(*, vectors: bool = False, labels: Tensor | None = None) -> Splits:
    """Four digits to fit, three to select, three to test; or the same shares of the classes of other labels."""
    inputs, shown = digits()
    targets = shown if labels is None else labels
    classes = int(targets.max()) + 1
    inputs = inputs.flatten(1) if vectors else inputs
    parts = [
        (targets >= low * classes // 10) & (targets < high * classes // 10)
        for low, high in ((0, 4), (4, 7), (7, 10))
    ]
    fit = ClassBatchSplit(inputs[parts[0]], targets[parts[0]], classes_per_batch=4, samples_per_class=4)
    return Splits(fit, *(ArraySplit(inputs[part], targets[part]) for part in parts[1:]))


class Spoilt(nn.Module):
    """All pixels, turned, and what says little of digits a hundred times as loud: a closed form puts it right."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        turned = torch.linalg.qr(torch.randn(64, 64, generator=generator)).Q
        pixels = digits()[0].flatten(1)
        quiet = torch.linalg.svd(pixels - pixels.mean(0)).Vh[20:24]
        self.linear = nn.Linear(64, 64, bias=False)
        self.linear.weight.data = turned @ (torch.eye(64) + 100 * quiet.T @ quiet)

    def forward(self, pictures: Tensor) -> Tensor:
        """Embed pictures or rows of pixels."""
        return self.linear(pictures.flatten(1))


def spoilt_start(seed: int) -> nn.Module:
    """Another spoilt network for every seed."""
    return Spoilt(seed)


def digit_run(folder: Path | None = None, splits: Any = None, **changes: Any) -> Result:
    """Few steps from a spoilt start."""
    arguments: dict[str, Any] = {
        "metric": "recall@1",
        "proxy": "supcon",
        "plan": Plan(steps=3, evaluate_every=3, checkpoint_every=2, resamples=200),
        "settings": {"learning_rate": 1e-4},
        "proxy_settings": {"learning_rate": 1e-4},
        "seed": 0,
        "folder": folder,
        "observer": lambda event: None,
    }
    return tune(changes.pop("model", None) or Spoilt(), splits or digit_splits(), **(arguments | changes))


def of(result: Result, name: str) -> list[Any]:
    """The events of that name."""
    return [event for event in result.events if event["event"] == name]


def arms(result: Result) -> list[str]:
    """Names of the arms."""
    return [arm["name"] for arm in of(result, "run_started")[0]["arms"]]


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """Two seeds from a start that a closed form mends."""
    return digit_run(tmp_path_factory.mktemp("spoilt") / "run", model=spoilt_start, seed=(0, 1))


def test_a_closed_form_that_is_best_is_returned(spoilt: Result, tmp_path: Path) -> None:
    """Pictures are no vectors: there is no raw arm, and forms are of the outputs. The record says which one."""
    assert arms(spoilt) == ["start", "continued", "closed-form", "tuned"]
    entrant = of(spoilt, "run_started")[0]["arms"][2]
    assert entrant["role"] == "control" and entrant["derived"] and not entrant["members"]
    for event in of(spoilt, "closed_form_chosen"):
        values = [one["value"] for one in event["tried"]]
        assert event["value"] == max(values) and event["of"] == "outputs" and not event["note"]
        assert event["words"] == event["tried"][values.index(event["value"])]["words"]
        assert event["words"].endswith(", of the outputs") and event["tried"][0]["words"].startswith(
            "unchanged"
        )
    (chosen,) = of(spoilt, "chosen")
    assert spoilt.returned == "closed-form" == chosen["returned"]["0"] == chosen["returned"]["1"]
    (verdict,) = of(spoilt, "verdict")
    assert verdict["baseline"] == "closed-form"
    assert set(verdict["gains"]) == {"start", "continued", "closed-form"}
    tried = sum(len(event["tried"]) for event in of(spoilt, "closed_form_chosen"))
    assert verdict["metric_calls"][CHOOSING] == tried
    assert "the best closed form" in verdict["sentence"]
    words = of(spoilt, "closed_form_chosen")[0]["words"]
    page = render(spoilt.folder, out=tmp_path / "report.html").read_text(encoding="utf-8")
    assert words in summary_text(spoilt.events) and words in page


def test_what_is_returned_is_loaded_and_applied(spoilt: Result) -> None:
    """The start followed by the closed form; the weights' file fits the network alone."""
    seed = of(spoilt, "chosen")[0]["best_seed"]
    loaded, form = Result.load(spoilt.folder, model=spoilt_start), spoilt.projection
    pictures, _ = digits(each=3)
    assert form is not None
    expected = form(Spoilt(seed)(pictures).detach())
    for result in (spoilt, loaded):
        torch.testing.assert_close(result.predict(pictures), expected, rtol=0, atol=0)
    torch.testing.assert_close(expected.norm(dim=1), torch.ones(len(expected)))
    network = Spoilt(7)
    network.load_state_dict(load_file(spoilt.folder / "best.safetensors"))
    assert torch.equal(network.linear.weight, Spoilt(seed).linear.weight)
    assert load_file(spoilt.folder / "projection.safetensors")["weight"].dtype == torch.float64


def test_a_closed_form_without_its_arrays_is_refused(spoilt: Result, tmp_path: Path) -> None:
    """Never the start alone, as if it were that."""
    folder = shutil.copytree(spoilt.folder, tmp_path / "copy")
    (folder / "projection.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"projection\.safetensors"):
        Result.load(folder, model=spoilt_start)


def test_a_good_start_is_kept() -> None:
    """It has seen all digits: no closed form of the others is better."""
    pictures, labels = digits(each=60)
    linear = LDA(0.1).fit(pictures.flatten(1), labels).linear()
    result = digit_run(model=nn.Sequential(nn.Flatten(), linear.float()))
    (chosen,) = of(result, "chosen")
    assert chosen["select"]["0"]["start"] >= chosen["select"]["0"]["closed-form"]
    assert result.returned == "start" and result.projection is None
    assert not (result.folder / "projection.safetensors").exists()


def test_raw_inputs_are_returned_where_they_are_best() -> None:
    """The network that loses everything is left out, and no projection is kept."""
    result = digit_run(
        splits=digit_splits(vectors=True), model=nn.Sequential(nn.Linear(64, 1), nn.Linear(1, 4))
    )
    assert arms(result) == ["start", "continued", "raw", "closed-form", "tuned"]
    pixels, _ = digits(each=3)
    assert result.returned == "raw" and result.projection is None
    assert torch.equal(result.predict(pixels.flatten(1)), pixels.flatten(1))
    form = of(result, "closed_form_chosen")[0]
    assert form["of"] == "inputs" and form["words"].endswith("of the inputs")
    with pytest.raises(CheckpointError, match="do not fit"):
        Result.load(result.folder, model=nn.Linear(64, 4))  # the start's weights are there, too


@pytest.mark.slow
def test_resumed_is_uninterrupted(spoilt: Result, tmp_path: Path) -> None:
    """Killed while closed forms are chosen, or while an arm trains: the same bytes."""
    for number, raiser in enumerate((Raiser("closed_form_chosen", 2), Raiser("evaluated", 4))):
        folder = tmp_path / str(number)
        with pytest.raises(ZeroDivisionError):
            digit_run(folder, model=spoilt_start, seed=(0, 1), observer=raiser)
        resumed = digit_run(folder, model=spoilt_start, seed=(0, 1))
        assert figures(resumed) == figures(spoilt) and of(resumed, "resumed")
        assert not same_weights(folder, spoilt.folder)
        assert [one["words"] for one in of(resumed, "closed_form_chosen")] == [
            one["words"] for one in of(spoilt, "closed_form_chosen")
        ]


def test_trained_arms_keep_their_figures(spoilt: Result) -> None:
    """With the controls that train nothing and without them: the same select and test values to the last bit."""
    alone = digit_run(model=spoilt_start, seed=(0, 1), closed_forms=False)
    assert (
        arms(alone) == ["start", "continued", "tuned"]
        and CHOOSING not in of(alone, "verdict")[0]["metric_calls"]
    )
    for name in ("evaluated", "tested"):
        kept = [
            (one["arm"], one["value"])
            for one in of(spoilt, name)
            if one["arm"] in ("start", "continued", "tuned")
        ]
        assert kept == [(one["arm"], one["value"]) for one in of(alone, name)]


def test_random_labels_give_no_gain() -> None:
    """Sixty classes that mean nothing: whatever select prefers, test shows no gain."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(240)[torch.randperm(240, generator=generator)] % 120
    result = digit_run(splits=digit_splits(vectors=True, labels=labels), model=nn.Linear(64, 16))
    assert result.verdict in ("no evidence", "worse")


def test_fit_may_be_a_loader_and_needs_labels() -> None:
    """One pass over its batches; targets that are no labels leave the closed forms out, and the record says so."""
    splits = digit_splits()
    fit: Any = splits.fit
    loader = DataLoader(TensorDataset(fit.inputs, fit.targets), batch_size=48, shuffle=True)
    result = digit_run(splits=Splits(loader, splits.select))
    assert "closed-form" in arms(result) and result.returned == "closed-form"
    valued = DataLoader(TensorDataset(fit.inputs, fit.targets.float()), batch_size=48, shuffle=True)
    arms_left, told = untrained_controls(None, adapt("recall@1"), Splits(valued, splits.select))
    assert not arms_left and told == [
        "there is no control closed-form: the targets of fit are (48,) of torch.float32"
    ]


def contest(controls: Any, splits: Splits | None = None, **changes: Any) -> Comparison:
    """A contest of one method."""
    return compare(
        Spoilt(),
        splits or digit_splits(vectors=True),
        metric=changes.pop("metric", "recall@1"),
        methods=["surrogate:recall_at_k"],
        proxy="supcon",
        controls=controls,
        plan=Plan(steps=2, resamples=200),
        observer=lambda event: None,
        **changes,
    )


def test_controls_are_named() -> None:
    """Those that are listed take part, whatever else would; they take no steps."""
    found = contest(["raw", "continued"], equal="time", side_metrics=["map"])
    assert [row.name for row in found.table] == ["start", "continued", "raw", "surrogate-recall_at_k"]
    (raw,) = (row for row in found.table if row.name == "raw")
    assert (raw.steps, raw.seconds, raw.role, raw.method) == (0, 0.0, "control", "the inputs as they are")
    assert any(one["arm"] == "raw" and one["metric"] == "map" for one in of(found.result, "fall"))


@pytest.mark.parametrize(
    ("controls", "changes", "message"),
    [
        (
            ["raw"],
            {"splits": digit_splits()},
            r"the control raw is asked for, but inputs are \(96, 1, 8, 8\)",
        ),
        (
            ["closed-form"],
            {"metric": "accuracy"},
            "the control closed-form is asked for, but accuracy reads classes",
        ),
        ("raw", {}, "^compare: controls are"),
    ],
)
def test_controls_that_do_not_apply_are_refused(controls: Any, changes: Any, message: str) -> None:
    """Where they were asked for; else they are left out."""
    with pytest.raises(InputError, match=message):
        contest(controls, **changes)
    with pytest.raises(InputError, match=r"^tune: closed_forms is 'yes'"):
        digit_run(closed_forms="yes")
