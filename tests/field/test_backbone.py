"""A network of the user's under a head: features and maps, weights out of safetensors, what does not fit."""

import pickle  # noqa: TID251 (to show that one is refused)
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from metricgrad.errors import CheckpointError, InputError
from metricgrad.field.backbone import Embedder, cut, load_weights, network_named
from metricgrad.scale import StagedBackward
from tests.field import tiny


@pytest.fixture(autouse=True)
def _networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.write_networks(tmp_path, monkeypatch)


def made(name: str = "create_model", **settings: object) -> nn.Sequential:
    """A tiny network."""
    torch.manual_seed(0)
    network = network_named(f"tiny_networks:{name}", settings, "backbone")
    assert isinstance(network, nn.Sequential)
    return network


PICTURES = torch.randint(0, 256, (4, 3, 12, 12), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


@pytest.mark.parametrize("pooling", ["average", "gem"])
@pytest.mark.parametrize("pool", ["avg", ""])
def test_features_and_maps(pooling: str, pool: str) -> None:
    """Both end in embeddings, with a gradient for every parameter that is used."""
    network = Embedder(made(global_pool=pool), dim=5, size=12, pooling=pooling)
    outputs = network(PICTURES)
    assert outputs.shape == (4, 5)
    outputs.square().sum().backward()
    unused = {name for name, value in network.named_parameters() if value.grad is None}
    assert unused == ({"power"} if pooling == "gem" and pool else set())


def test_generalised_mean() -> None:
    """With the power 1 it is the mean of maps, and with a large one near their largest value."""
    network = Embedder(made(global_pool=""), dim=5, size=12, pooling="gem")
    maps = network.backbone((PICTURES - network.mean) / network.deviation)
    assert network.power is not None
    with torch.no_grad():
        network.power.fill_(1.0)
        torch.testing.assert_close(network.features(PICTURES), maps.clamp(min=1e-6).mean((2, 3)))
        network.power.fill_(30.0)  # 25 places: within 25 ** (1 / 30) of the largest
        torch.testing.assert_close(network.features(PICTURES), maps.amax((2, 3)), rtol=0.11, atol=1e-3)


def test_levels_are_normalised() -> None:
    """A picture of the mean of every channel is 0 for the backbone, one a deviation above is 1."""
    network = Embedder(nn.Identity(), dim=2, size=4, mean=(0.2, 0.4, 0.6), deviation=(0.2, 0.2, 0.2))
    shown = torch.tensor([51, 102, 153]).view(1, 3, 1, 1).expand(2, 3, 4, 4)
    torch.testing.assert_close(network.features(shown.to(torch.uint8)), torch.zeros(2, 3), atol=1e-6, rtol=0)
    torch.testing.assert_close(network.features((shown + 51).to(torch.uint8)), torch.ones(2, 3))


def test_batch_normalisation_that_is_frozen() -> None:
    """It keeps its statistics in training, so that a batch can be embedded in chunks; else that is refused."""
    for frozen in (True, False):
        backbone = made("with_batch_norm")
        before = backbone[1].running_mean.clone()
        network = Embedder(backbone, dim=3, size=12, freeze_batch_norm=frozen).train()
        torch.testing.assert_close(backbone[1].running_mean, before)  # the head was made in eval
        network(PICTURES)
        assert torch.equal(backbone[1].running_mean, before) == frozen
        assert network.training and network.head.training and backbone[1].training != frozen
        staged = StagedBackward(network, lambda outputs, targets: outputs.square().mean(), chunk=2)
        if frozen:
            staged(PICTURES, torch.zeros(4))
        else:
            with pytest.raises(InputError, match=r"backbone\.1"):
                staged(PICTURES, torch.zeros(4))


def test_weights_go_in_whole(tmp_path: Path) -> None:
    """By name and shape, through a link, with what is left out named; the classifier goes afterwards."""
    network = made(num_classes=7)
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    (tmp_path / "link.safetensors").symlink_to(tmp_path / "weights.safetensors")
    other = network_named("tiny_networks:create_model", {"num_classes": 7}, "backbone")
    load_weights(other, tmp_path / "link.safetensors", "weights")
    torch.testing.assert_close(other(PICTURES / 255), network(PICTURES / 255))
    assert cut(other, "4")(PICTURES / 255).shape == (4, 8)
    bare = made()
    load_weights(bare, tmp_path / "weights.safetensors", "weights", leave_out=("4.",))
    torch.testing.assert_close(bare[0].weight, network[0].weight)
    with pytest.raises(InputError, match=r"2 of its weights are none of the network's \(4.bias, 4.weight\)"):
        load_weights(bare, tmp_path / "weights.safetensors", "weights")


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    """Missing names and other shapes are counted; a pickle is never loaded."""
    save_file({"0.weight": torch.zeros(8, 3, 5, 5)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError) as found:
        load_weights(made(), tmp_path / "other.safetensors", "weights")
    assert "1 weights of the network are not in it (0.bias)" in str(found.value)
    assert "0.weight (8, 3, 5, 5) instead of (8, 3, 3, 3)" in str(found.value)
    (tmp_path / "weights.pth").write_bytes(pickle.dumps({"0.weight": 1}))
    with pytest.raises(CheckpointError, match="never loaded"):
        load_weights(made(), tmp_path / "weights.pth", "weights")
    with pytest.raises(CheckpointError, match="No such file"):
        load_weights(made(), tmp_path / "none.safetensors", "weights")


@pytest.mark.parametrize(
    ("name", "settings", "word"),
    [
        ("tiny_networks:here", {}, "is a network"),
        ("tiny_networks:number", {}, "is 3"),
        ("tiny_networks:create_modl", {}, "Did you mean 'create_model'"),
        ("no_such_module:x", {}, "no module 'no_such_module'"),
        ("tiny_networks:create_model", {"colour": 1}, "unexpected keyword argument"),
        ("builtins:dict", {}, "a torch.nn.Module"),
    ],
)
def test_names_that_make_no_network(name: str, settings: dict[str, object], word: str) -> None:
    """Each is refused with what it is."""
    with pytest.raises(InputError, match=word):
        network_named(name, settings, "backbone")


def test_outputs_that_are_no_features() -> None:
    """A dict of features, rows of another number, and pictures that the network cannot take."""
    with pytest.raises(InputError, match="features"):
        Embedder(network_named("tiny_networks:several", {}, "backbone"), dim=2, size=8)
    with pytest.raises(InputError, match=r"\(2, 192, 1\)|\(2, 3, 64\)"):
        Embedder(nn.Flatten(2), dim=2, size=8)
    with pytest.raises(InputError, match="it raised"):
        Embedder(nn.Linear(5, 2), dim=2, size=8)
    with pytest.raises(InputError, match=r"has no module 'fc'"):
        cut(made(), "fc")
