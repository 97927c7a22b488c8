"""`surrogate:package.module:name`: a metric written once and its losses, by name on the command line."""

import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file

from metricgrad.cli.code import code_of_methods
from metricgrad.cli.trust import check_trust
from metricgrad.errors import InputError
from metricgrad.tune import Result
from tests.cli.outcome import Command

MODULE = '''"""A metric, its losses and a task."""

import torch
from torch import nn
from torch.nn import functional

import metricgrad as mg
from metricgrad.tasks.task import Task


def hit_at_1(outputs, targets, step):
    others = functional.one_hot(targets, outputs.shape[1]) == 0
    above = step(outputs - outputs.gather(1, targets[:, None]))
    return step(1.5 - (1 + (above * others).sum(1)), "cutoff", relax=False)


exact = mg.metrics.exact(hit_at_1)
relaxed = mg.losses.relaxed(hit_at_1, rank_temperature=0.5)
interpolated = mg.losses.interpolated(hit_at_1, power=4)


def scaled(outputs, targets, *, scale=1.0):
    return scale * functional.cross_entropy(outputs, targets)


class Centres(nn.Module):
    def __init__(self, weight=1.0):
        super().__init__()
        self.centres, self.weight = nn.Parameter(torch.eye(3)), weight

    def forward(self, outputs, targets):
        return self.weight * (outputs - self.centres[targets]).square().sum(1)


def load(options, observer=None):
    draw = torch.Generator().manual_seed(0)
    targets = torch.arange(240) % 3
    inputs = functional.one_hot(targets, 3) + 0.8 * torch.randn(240, 3, generator=draw)
    parts = torch.arange(240).split([120, 60, 60])
    fit, select, test = (mg.ArraySplit(inputs[one], targets[one], batch=40) for one in parts)
    return Task(
        name="three", splits=mg.Splits(fit, select, test), model=lambda seed: nn.Linear(3, 3),
        proxy=functional.cross_entropy, metric="accuracy", plan=mg.Plan(steps=6, evaluate_every=3),
    )
'''
QUICK = ("--quiet", "--seeds", "1", "--set", "plan.checkpoint_every=2")


@pytest.fixture
def own(
    command: Command, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> tuple[Command, str]:
    """The command, in a folder with a module of the user under a name of its own."""
    name = "own_" + re.sub(r"\W", "_", request.node.name)
    Path(f"{name}.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(".")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # a test writes the module again within a second
    return command, name


def test_one_definition_by_name(own: tuple[Command, str]) -> None:
    """Metric, smooth loss and interpolated loss of one function; the metric is accuracy, and the record names them."""
    command, name = own
    for number, loss in enumerate(("relaxed", "interpolated", "hit_at_1")):
        found = command(
            "tune", f"{name}:load", "--metric", f"{name}:exact", "--side-metric", "accuracy", "--may-fall", "1",
            "--method", f"surrogate:{name}:{loss}", *QUICK, "--run", f"run{number}", "--json",
        )  # fmt: skip
        assert found.code == 0, found.err
        run = found.json["run"]
        assert (run["metric"], run["method"], run["unit"]) == ("exact", f"surrogate:{name}:{loss}", "sample")
        (trained,) = [
            event
            for event in Result.load(Path(f"run{number}")).events
            if event["event"] == "stage_finished" and event["arm"] == "tuned"
        ]
        assert trained["attempt"] == 0


@pytest.mark.slow
def test_several_methods_by_name(own: tuple[Command, str]) -> None:
    """`compare` takes them beside ours, with settings: keywords of a function, arguments of a class, temperatures."""
    command, name = own
    Path("contest.yaml").write_text(
        f"task: {name}:load\nseeds: [0]\nmethods:\n"
        f"- {{method: 'surrogate:{name}:scaled', settings: {{objective: {{scale: 2.0}}}}}}\n"
        f"- {{method: 'surrogate:{name}:Centres', settings: {{objective: {{weight: 0.5}}, proxy_weight: 0.1}}}}\n"
        f"- {{method: 'surrogate:{name}:hit_at_1', settings: {{objective: {{rank_temperature: 0.3}}}}}}\n"
        "- surrogate:focal\n",
        encoding="utf-8",
    )
    found = command("compare", "contest.yaml", "--quiet", "--run", "run", "--json")
    assert found.code == 0, found.err


@pytest.mark.slow
def test_corners_are_resumed(own: tuple[Command, str], interrupt: Callable[..., None]) -> None:
    """A run that was cut draws the corners that it would have drawn: the weights are the same bytes."""
    command, name = own
    arguments = (
        "tune", f"{name}:load", "--metric", f"{name}:exact", "--method", f"surrogate:{name}:interpolated", *QUICK,
    )  # fmt: skip
    assert command(*arguments, "--run", "whole").code == 0
    interrupt("tuned", 3)
    assert command(*arguments, "--run", "cut").code == 130
    command("resume", "cut", "--quiet").refused(f"surrogate:{name}:interpolated", "--trust")
    source = Path(f"{name}.py")
    source.write_text(MODULE.replace("power=4", "power=2"), encoding="utf-8")
    sys.modules.pop(name)
    command("resume", "cut", "--quiet", "--trust").refused(
        f"loss of surrogate:{name}:interpolated.values was"
    )
    source.write_text(MODULE, encoding="utf-8")
    sys.modules.pop(name)
    importlib.invalidate_caches()
    assert command("resume", "cut", "--quiet", "--trust").code == 0
    whole, cut = (load_file(next(Path(one).rglob("best*.safetensors"))) for one in ("whole", "cut"))
    assert all(bool((whole[key] == cut[key]).all()) for key in whole)


def test_a_table_is_measured_by_it(own: tuple[Command, str]) -> None:
    """`evaluate` gives it the scores of all classes; hit at 1 is accuracy."""
    command, name = own
    rows = [f"{(n * 7) % 5},{(n * 3) % 4 + 0.25},{n % 3 + 0.5},{n % 3}" for n in range(30)]
    Path("table.csv").write_text(
        "\n".join(["score_0,score_1,score_2,target", *rows]) + "\n", encoding="utf-8"
    )
    values = [
        command("evaluate", "table.csv", "--metric", metric, "--resamples", "20", "--json").json
        for metric in (f"{name}:exact", "accuracy")
    ]
    assert values[0]["value"] == values[1]["value"]


@pytest.mark.slow
def test_tries_draw_temperatures(own: tuple[Command, str]) -> None:
    """Of a metric in comparisons; several named losses share the tries."""
    command, name = own
    methods = f"surrogate:{name}:hit_at_1,surrogate:{name}:relaxed"
    found = command(
        "tune", f"{name}:load", "--metric", f"{name}:exact", "--method", methods, "--tries", "5", *QUICK, "--run", "run"
    )  # fmt: skip
    assert found.code == 0, found.err
    text = Path("run/config.yaml").read_text(encoding="utf-8")
    assert "rank_temperature" in text and f"loss of surrogate:{name}:relaxed" in text


@pytest.mark.parametrize(
    ("method", "settings", "words"),
    [
        ("surrogate:no_such_module:loss", (), ("no module 'no_such_module'",)),
        ("surrogate:{name}:exat", (), ("has no 'exat'", "exact")),
        ("surrogate:{name}:exact", (), ("it is Metric",)),
        ("surrogate:{name}:relaxed+simix", (), ("the option 'simix'",)),
        ("surrogate:{name}:scaled", ("objective.scal=2",), ("'scal'", "scale")),
        ("surrogate:{name}:interpolated", ("objective.power=2",), ("'power'", "it has none")),
        ("surrogate:{name}:hit_at_1", ("objective.rank_temperature=-1",), ("rank_temperature is -1",)),
        ("surrogate:{name}:Centres", ("objective.wait=1",), ("'wait'", "weight")),
    ],
)
def test_what_does_not_fit(
    own: tuple[Command, str], method: str, settings: tuple[str, ...], words: tuple[str, ...]
) -> None:
    """It is said before anything is trained."""
    command, name = own
    given = [part for setting in settings for part in ("--set", f"settings.{setting}")]
    command("tune", f"{name}:load", "--method", method.format(name=name), *given, *QUICK).refused(*words)
    assert not Path("runs").exists()


def test_code_that_methods_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever a recipe names it; a received folder is asked for trust, and nothing comes out of the folder."""
    recipe = {
        "method": "surrogate:recall_at_k, surrogate:one:a+x",
        "methods": ["direct:multiclass", {"method": "surrogate:two.three:b"}, 3],
        "controls": [{"name": "none"}],
    }
    assert code_of_methods(recipe) == {
        "method surrogate:one:a+x": "one:a", "method surrogate:two.three:b": "two.three:b"
    }  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("run").mkdir()
    Path("run/evil.py").write_text("raise SystemExit", encoding="utf-8")
    for received in (
        {"method": "surrogate:run.evil:loss"},
        {"methods": [{"method": "surrogate:run.evil:loss"}]},
    ):
        with pytest.raises(InputError, match="never imported"):
            check_trust(received, {}, Path("run"), trusted=True)
    with pytest.raises(InputError, match="surrogate:elsewhere:loss"):
        check_trust({"method": "surrogate:elsewhere:loss"}, {}, Path("run"), trusted=False)
    check_trust({"method": "surrogate:elsewhere:loss"}, {}, Path("run"), trusted=True)
