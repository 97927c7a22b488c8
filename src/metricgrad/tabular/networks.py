"""The network that is trained on a table: TabM where its package is installed, else a plain MLP."""

import importlib.util
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float32
from torch import Tensor, nn

from metricgrad._checks import extra
from metricgrad.tabular.ensemble import Ensemble, Pieces

__all__ = ["TableNetwork", "has_tabm", "new_network"]

MEMBERS, WIDTH, BLOCKS, DROPOUT = 8, 128, 2, 0.1
"""Of TabM: a quarter of the members and of the width that the paper takes, for minutes on one core."""
PLAIN_WIDTH = 256
"""Of the plain MLP."""


def has_tabm() -> bool:
    """Whether the package tabm is installed."""
    return importlib.util.find_spec("tabm") is not None


class TableNetwork(nn.Module):
    """Rows -> logits of every member [row, member, class]; `folded` is what remains after training.

    Args:
        pieces: where numbers lie.
        core: TabM, or linear layers.
    """

    def __init__(self, pieces: Pieces, core: nn.Module) -> None:
        super().__init__()
        self.pieces, self.core = pieces, core

    def forward(self, x: Float32[Tensor, "row feature"]) -> Float32[Tensor, "row member class"]:
        """Logits of every member."""
        found = self.core(self.pieces(x))
        return found if found.ndim == 3 else found[:, None, :]

    def folded(self) -> Ensemble:
        """The network as plain arrays, for evaluation."""
        core: Any = self.core
        plain = isinstance(core, nn.Sequential)
        layers: list[Any] = (
            [one for one in core if isinstance(one, nn.Linear)]
            if plain
            else [*(block[0] for block in core.backbone.blocks), core.output]
        )
        *hidden, last = layers
        arrays = dict(self.pieces.state_dict())
        for layer, one in enumerate(hidden):
            outside, inside = one.weight.shape
            arrays[f"w{layer}"] = one.weight.detach()
            arrays[f"r{layer}"] = torch.ones(1, inside) if plain else one.r.detach()
            arrays[f"s{layer}"] = torch.ones(1, outside) if plain else one.s.detach()
            arrays[f"b{layer}"] = one.bias.detach()[None] if plain else one.bias.detach()
        arrays["head"] = last.weight.detach().T[None] if plain else last.weight.detach()
        arrays["offset"] = last.bias.detach()[None] if plain else last.bias.detach()
        return Ensemble(arrays)


def new_network(
    features: int, classes: int, edges: Sequence[Sequence[float]], *, tabm: bool, seed: int
) -> TableNetwork:
    """Make a network with new weights.

    Args:
        features: numbers per row.
        classes: that it tells apart.
        edges: of the pieces of the first numbers.
        tabm: TabM, else a plain MLP of two hidden layers.
        seed: of the weights.

    Returns:
        The network.

    Raises:
        MissingExtraError: TabM is asked for, and its package is not installed.

    Reference:
        [gorishniy2025tabm]

    Example:
        >>> network = new_network(3, 2, [(0.0, 1.0, 2.0)], tabm=False, seed=0)
        >>> network(torch.zeros(5, 3)).shape, network.folded()(torch.zeros(5, 3)).shape
        (torch.Size([5, 1, 2]), torch.Size([5, 2]))
    """
    pieces = Pieces(edges)
    wide = features + len(pieces.place)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if tabm:
            package: Any = extra("tabm", "table", "the network TabM")
            core = package.TabM.make(
                n_num_features=wide,
                d_out=classes,
                k=MEMBERS,
                n_blocks=BLOCKS,
                d_block=WIDTH,
                dropout=DROPOUT,
            )
        else:
            core = nn.Sequential(
                nn.Linear(wide, PLAIN_WIDTH),
                nn.ReLU(),
                nn.Dropout(DROPOUT),
                nn.Linear(PLAIN_WIDTH, PLAIN_WIDTH),
                nn.ReLU(),
                nn.Dropout(DROPOUT),
                nn.Linear(PLAIN_WIDTH, classes),
            )
    return TableNetwork(pieces, core)
