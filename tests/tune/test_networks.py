"""Networks are copied whatever they keep, checked before training, and their weights keep the network's own names."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from metricgrad._copies import copied
from metricgrad.errors import CheckpointError, InputError
from metricgrad.tune import Plan
from metricgrad.tune.checkpoint import load_state, load_weights, save_state, save_weights
from metricgrad.tune.networks import SeededModel
from metricgrad.tune.weights import load_into, own_names, weights_of
from tests.tune.small_run import small_run

SHORT: dict[str, Any] = {"plan": Plan(steps=2, evaluate_every=1), "start_plan": None, "seed": 0}


class Kept(nn.Module):
    """Keeps what it computed, as models that are looked into do."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(12, 4)
        self.kept: dict[str, Any] = {"all": []}

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Keep the output in a list in a dict, with its graph."""
        outputs = self.linear(inputs)
        self.kept["all"].append((outputs,))
        return outputs


class Extra(nn.Module):
    """A state dict with an entry that is no tensor."""

    def __init__(self, state: Any) -> None:
        super().__init__()
        self.linear, self.state = nn.Linear(12, 4), state

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return embeddings."""
        return self.linear(inputs)

    def get_extra_state(self) -> Any:
        """Return what was given."""
        return self.state

    def set_extra_state(self, state: Any) -> None:
        """Remember what came back."""
        self.state = state


def _with_buffer(value: torch.Tensor) -> nn.Module:
    model = nn.Linear(12, 4)
    model.register_buffer("odd", value)
    return model


def test_a_kept_activation_is_copied_without_its_graph() -> None:
    """Also one in a list in a dict; the numbers are the same, the user's object is as it was."""
    model = Kept()
    outputs = model(torch.randn(3, 12))
    found = copied(model)
    (kept,) = found.kept["all"][0]
    torch.testing.assert_close(kept, outputs, rtol=0, atol=0)
    assert not kept.requires_grad
    assert model.kept["all"][0][0] is outputs


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize("norm", [nn.utils.weight_norm, nn.utils.spectral_norm])
def test_a_copy_of_a_normed_network_trains(norm: Any) -> None:
    """The old hooks keep a weight with a graph after the first call."""
    model: Any = nn.Sequential(nn.Conv1d(2, 3, 2), norm(nn.Linear(5, 4)))
    model(torch.randn(3, 2, 6))
    found = copied(model).eval()
    found(torch.randn(3, 2, 6)).sum().backward()
    assert all(
        value.grad is not None for name, value in found.named_parameters() if "orig" in name or "_v" in name
    )
    assert not any(value.grad is not None for value in model.parameters())


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
def test_a_copy_keeps_ties_hooks_frozen_parts_and_scripts() -> None:
    """What belongs together stays together, and what does not train stays so."""
    model: Any = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), torch.jit.script(nn.Linear(4, 4)))
    model[1].weight = model[0].weight
    model[2].weight.requires_grad_(False)
    model[0].register_forward_hook(lambda module, inputs, outputs: outputs + 1)
    found = copied(model)
    assert found[1].weight is found[0].weight and found[0].weight is not model[0].weight
    assert [value.requires_grad for value in found.parameters()] == [True, True, True, False, True]
    assert all(value.is_leaf for value in found.parameters())
    inputs = torch.randn(2, 4)
    torch.testing.assert_close(found(inputs), model(inputs), rtol=0, atol=0)


def test_what_cannot_be_copied_is_named() -> None:
    """A generator within a part of the network: its place, and what to give instead."""
    model = nn.Sequential(nn.Linear(12, 4), nn.Identity())
    model[1].stream = (number for number in range(3))
    with pytest.raises(InputError, match=r"'1\.stream'.*Give a function seed -> network"):
        copied(model)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Sequential(nn.LazyLinear(4)), "has no shape yet"),
        (nn.Linear(12, 4, device="meta"), "meta"),
        (nn.Linear, "the class Linear"),
        (lambda seed: None, r"model\(0\) is None"),
        (Extra({1, 2}), "_extra_state.*gave set"),
        (Extra([object()]), "_extra_state.*gave object"),
    ],
)
def test_a_network_that_cannot_be_trained_or_kept_is_refused(model: Any, message: str) -> None:
    """In one sentence, before anything is trained."""
    with pytest.raises(InputError, match=message):
        SeededModel(model)(0)


@pytest.mark.filterwarnings("ignore:.*LazyModule.*:UserWarning")
def test_a_function_that_gives_one_network_twice_is_refused() -> None:
    """Its arms would train one and the same; frozen parts may be shared."""
    shared = nn.Linear(12, 4)
    build: Any = SeededModel(lambda seed: nn.Sequential(shared, nn.Linear(4, 4)))
    kept = build(0)
    with pytest.raises(InputError, match=r"the same parameter '0\.weight' in two calls"):
        build(1)
    shared.requires_grad_(False)
    assert build(1)[1].weight is not kept[1].weight


@pytest.mark.parametrize(
    "model",
    [
        Extra({"seen": 3, "scales": [torch.ones(2), (1.5, None)], 7: "seven"}),
        Extra(torch.eye(2).to_sparse()),
        _with_buffer(torch.randn(2, 3, dtype=torch.complex128)),
        _with_buffer(torch.eye(3).to_sparse()),
        _with_buffer(torch.ones(1).expand(5)),
        _with_buffer(torch.arange(6).reshape(2, 3).T),
        _with_buffer(torch.tensor(3, dtype=torch.uint64)),
    ],
)
def test_a_run_keeps_every_kind_of_state(model: nn.Module, tmp_path: Path) -> None:
    """The returned network holds what the given one held."""
    result = small_run(tmp_path / "run", model=model, **SHORT)
    for name, value in model.state_dict().items():
        found = result.model.state_dict()[name]
        if not name.endswith(("weight", "bias")):
            assert repr(found) == repr(value)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support:UserWarning")
def test_packed_values_come_back_to_the_bit(tmp_path: Path) -> None:
    """Also in checkpoints; a file without odd entries has no header, as before."""
    odd = {
        "csr": torch.eye(3).to_sparse_csr(),
        "complex": torch.tensor([1 + 2j, float("nan")], dtype=torch.complex128),
        "empty": torch.zeros(0, 3, dtype=torch.complex128),
        "scalar": torch.tensor(2j, dtype=torch.complex128),
    }
    save_weights(
        tmp_path / "w.safetensors", {**odd, "tree": {"a": (1, [odd["csr"]])}, "plain": torch.ones(2)}
    )
    save_state(tmp_path / "last", odd)
    found: Any
    for found in (load_weights(tmp_path / "w.safetensors"), load_state(tmp_path / "last")):
        for name, value in odd.items():
            assert found[name].layout == value.layout
            torch.testing.assert_close(found[name], value, rtol=0, atol=0, equal_nan=True)
    assert load_weights(tmp_path / "w.safetensors")["tree"]["a"][0] == 1
    assert "plain" in load_file(tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    "tree", [{"__tensor__": "9"}, {"__bytes__": ["load", [1], {}]}, {"other": 1}, {"__dict__": 3}]
)
def test_a_damaged_tree_is_refused(tree: Any, tmp_path: Path) -> None:
    """A header that says what is not there ends in one sentence."""
    header: Any = {"metricgrad": json.dumps({"packed": {"odd": tree}})}
    save_file({"plain": torch.ones(2)}, tmp_path / "w.safetensors", metadata=header)
    with pytest.raises(CheckpointError, match="restore it from a copy"):
        load_weights(tmp_path / "w.safetensors")


def test_weights_have_the_names_of_the_network_itself(tmp_path: Path) -> None:
    """A wrapper within the network and one around it leave no trace; both kinds of names are read."""
    inner = nn.Sequential(nn.Linear(12, 6), nn.Linear(6, 4))
    wrapped = nn.Sequential(nn.DataParallel(copy.deepcopy(inner[0])), copy.deepcopy(inner[1]))
    assert set(own_names(nn.DataParallel(wrapped)).values()) == set(inner.state_dict())
    named_module = nn.Module()
    named_module.module = nn.Linear(2, 2)  # a part of that name is no wrapper
    assert list(own_names(named_module)) == list(own_names(named_module).values())
    result = small_run(tmp_path / "run", model=nn.DataParallel(wrapped), **SHORT)
    inner.load_state_dict(load_file(result.folder / "best.safetensors"))
    load_into(wrapped, inner.state_dict())
    load_into(wrapped, wrapped.state_dict())
    torch.testing.assert_close(weights_of(wrapped), inner.state_dict(), rtol=0, atol=0)
    with pytest.raises(CheckpointError, match="do not fit Linear"):
        load_into(nn.Linear(2, 2), inner.state_dict())


@pytest.mark.parametrize(
    "device",
    [torch.device("cpu"), *(pytest.param(name, marks=pytest.mark.slow) for name in ("cpu", "cpu:0"))],
)
def test_a_device_is_taken(device: Any, tmp_path: Path) -> None:
    """By name or as an object; the result is the same as where the network stays."""
    torch.manual_seed(0)
    model = nn.Linear(12, 4)
    found = small_run(tmp_path / "there", model=model, device=device, **SHORT)
    torch.testing.assert_close(
        found.weights(), small_run(None, model=model, **SHORT).weights(), rtol=0, atol=0
    )


@pytest.mark.parametrize("device", ["meta", "cuda:99", "gpu:0", "", "cpu:x"])
def test_a_device_that_is_not_there_is_one_sentence(device: str) -> None:
    """Before anything is trained."""
    with pytest.raises(InputError, match=r"device.*expected a device"):
        small_run(None, device=device, **SHORT)


@pytest.mark.gpu
def test_network_loss_and_batches_go_to_the_device(tmp_path: Path) -> None:
    """A loss with class weights on the CPU, a network on the CPU, all trained on the GPU."""
    loss = nn.CrossEntropyLoss(weight=torch.ones(40))
    result = small_run(tmp_path / "run", model=nn.Linear(12, 40), proxy=loss, device="cuda", **SHORT)
    assert next(result.model.parameters()).is_cuda
    assert loss.weight.device.type == "cpu"


@pytest.mark.slow
def test_a_compiled_network_keeps_its_names_and_resumes(tmp_path: Path) -> None:
    """`torch.compile` around the network or around a part of it."""
    for number, model in enumerate(
        (
            torch.compile(nn.Linear(12, 4), backend="eager"),
            nn.Sequential(torch.compile(nn.Linear(12, 4), backend="eager")),
        )
    ):
        result = small_run(tmp_path / str(number), model=model, **SHORT)
        assert not any("_orig_mod" in name for name in load_file(result.folder / "best.safetensors"))
        again = small_run(tmp_path / str(number), model=model, **SHORT)
        torch.testing.assert_close(again.weights(), result.weights(), rtol=0, atol=0)
