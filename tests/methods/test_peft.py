"""A network wrapped by PEFT: what was added moves, the network itself does not, and a result is a wrapped network."""

import copy
import os
import re
import runpy
import signal
from collections import OrderedDict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from metricgrad.errors import InputError, Interrupted
from metricgrad.tune import ArraySplit, Plan, Result, Splits, tune
from metricgrad.tune.checkpoint import load_weights
from tests.tune.small_run import same_weights

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("peft") is None, reason="peft comes with the extra peft"),
]

PAGE = Path(__file__).parents[2] / "docs" / "black-box.md"
KINDS = {
    "lora": ("LoraConfig", {"r": 2}),
    "oft": ("OFTConfig", {"r": 0, "oft_block_size": 4}),
}
ROADS: dict[str, dict[str, Any]] = {
    "blackbox:evolution": {"adapter": "trained", "pairs": 2, "calls": 80, "settle_every": 2},
    "blackbox:mixture": {
        "adapter": "trained", "sampler": "random", "inner_steps": 5, "calls": 12, "settle_every": 4
    },
    "surrogate:soft_confusion": {},
}  # fmt: skip


def confidence(outputs: Tensor, targets: Tensor) -> float:
    """The mean probability of the true class: every weight moves it."""
    return float(outputs.softmax(1).gather(1, targets[:, None]).double().mean())


def splits() -> Splits:
    """Three overlapping clouds, one of them rare."""
    generator = torch.Generator().manual_seed(0)
    targets = (torch.arange(1200) % 9 == 0).long() * 2 + (torch.arange(1200) % 2) * (
        torch.arange(1200) % 9 != 0
    )
    inputs = torch.randn(1200, 4, generator=generator) + 1.5 * nn.functional.one_hot(targets, 4)
    bounds = ((0, 800), (800, 1000), (1000, 1200))
    return Splits(*(ArraySplit(inputs[a:b], targets[a:b], batch=64) for a, b in bounds))


def base() -> nn.Module:
    """A small network with layers that have names."""
    torch.manual_seed(0)
    return nn.Sequential(OrderedDict(hidden=nn.Linear(4, 8), tanh=nn.Tanh(), head=nn.Linear(8, 3)))


def wrapped(kind: str, targets: tuple[str, ...] = ("hidden",), **more: Any) -> Any:
    """The network with a few weights added."""
    import peft  # takes seconds: not where tests are only collected

    name, settings = KINDS[kind]
    network = base()
    torch.manual_seed(1)
    return peft.get_peft_model(network, getattr(peft, name)(target_modules=list(targets), **settings, **more))


def run(kind: str, road: str, folder: Path | None = None, **changes: Any) -> Result:
    """Tune it by one of the roads."""
    black = road.startswith("blackbox")
    asked = {
        "metric": confidence if black else "macro_f1",
        "higher_is_better": True if black else None,
        "proxy": cross_entropy,
        "method": road,
        "settings": ROADS[road],
        "plan": Plan(steps=12, evaluate_every=4, checkpoint_every=3, resamples=50),
        "decision": "argmax",
        "folder": folder,
        "observer": lambda event: None,
    }
    return tune(changes.pop("model", None) or wrapped(kind), splits(), **(asked | changes))


def moved(weights: Any, start: Any) -> set[str]:
    """Names of what is not the same to the last bit."""
    assert weights.keys() == start.keys()
    return {name for name, value in weights.items() if not torch.equal(value, start[name])}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("road", ROADS)
def test_only_what_was_added_moves(kind: str, road: str, tmp_path: Path) -> None:
    """By the method and by the proxy loss; the network itself stays the same to the last bit."""
    model = wrapped(kind)
    before = copy.deepcopy(model.state_dict())
    result = run(kind, road, tmp_path / "run", model=model)
    assert not moved(model.state_dict(), before)
    added = {name for name, value in model.named_parameters() if value.requires_grad}
    assert added == {name for name in before if "lora_" in name or "oft_" in name}
    for arm in ("continued", "tuned"):
        arms = moved(load_weights(tmp_path / "run" / "arms" / f"seed0-{arm}-try0.safetensors"), before)
        assert arms and arms <= added, (arm, arms)
    assert moved(result.weights(), before) <= added


@pytest.mark.parametrize(("kind", "road"), [("lora", "blackbox:evolution"), ("oft", "blackbox:mixture")])
def test_a_stopped_run_goes_on_bit_for_bit(kind: str, road: str, tmp_path: Path) -> None:
    """Stopped between two checkpoints of an arm, it ends with the same files."""
    seen: list[Any] = []

    def stop_once(event: Any) -> None:
        seen.extend([event] if event["event"] == "progress" else [])
        if len(seen) == 20:
            os.kill(os.getpid(), signal.SIGTERM)

    run(kind, road, tmp_path / "whole")
    with pytest.raises(Interrupted):
        run(kind, road, tmp_path / "stopped", observer=stop_once)
    run(kind, road, tmp_path / "stopped")
    assert same_weights(tmp_path / "whole", tmp_path / "stopped") == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_result_is_saved_and_read(kind: str, tmp_path: Path) -> None:
    """As a run folder, as PEFT's own folder, and merged into a plain network."""
    result = run(kind, "surrogate:soft_confusion", plan=Plan(steps=60, resamples=50))
    result.save(tmp_path / "run")
    inputs = torch.randn(20, 4, generator=torch.Generator().manual_seed(5))

    def outputs(network: Any) -> Tensor:
        with torch.no_grad():
            return network.eval()(inputs)

    ours = outputs(result.model)
    assert moved(result.weights(), wrapped(kind).state_dict())
    read = Result.load(tmp_path / "run", model=wrapped(kind))
    torch.testing.assert_close(outputs(read.model), ours, rtol=0, atol=0)
    read.model.save_pretrained(tmp_path / "theirs")
    import peft

    theirs = peft.PeftModel.from_pretrained(base(), str(tmp_path / "theirs"))
    torch.testing.assert_close(outputs(theirs), ours, rtol=0, atol=0)
    plain = read.model.merge_and_unload()
    assert plain.state_dict().keys() == base().state_dict().keys()
    torch.testing.assert_close(outputs(plain), ours)


def test_the_last_layer() -> None:
    """Adapters of it are refused where PEFT holds it fixed or has wrapped it, and move the copy that PEFT trains."""
    film = {"pairs": 2, "calls": 80, "adapter": "film"}
    with pytest.raises(InputError, match=r"plan holds .*head.weight fixed; expected .*'trained'"):
        run("lora", "blackbox:evolution", settings=film)
    with pytest.raises(InputError, match="not those of a linear layer"):
        run("lora", "blackbox:evolution", settings=film, model=wrapped("lora", ("hidden", "head")))
    model = wrapped("lora", modules_to_save=["head"])
    result = run("lora", "blackbox:evolution", settings=film, model=model)
    found = moved(result.weights(), model.state_dict())
    assert found and all("modules_to_save" in name or "lora_" in name for name in found)


def test_the_page_runs(tmp_path: Path) -> None:
    """Its two programs, the second one after the first."""
    programs = re.findall(
        r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    assert len(programs) == 2
    (tmp_path / "page.py").write_text("".join(programs), encoding="utf-8")
    assert type(runpy.run_path(str(tmp_path / "page.py"))["plain"]) is nn.Sequential
