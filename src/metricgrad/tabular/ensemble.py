"""A trained network as plain arrays: what is saved, exported, and needs no training code.

One form holds TabM and a plain MLP: layers whose weight is shared by k members, each with scales of its own before and
behind it, and a last layer per member. Of an MLP k is 1 and the scales are 1.
"""

import itertools
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from metricgrad._checks import fail

__all__ = ["Ensemble", "Pieces"]


class Pieces(nn.Module):
    """Adds to each row where its numbers lie: per piece of a number 0 before it, 1 behind it, the share within.

    Args:
        edges: of each number, ascending; numbers with fewer than three edges get no pieces.

    Reference:
        [gorishniy2022embeddings], the piecewise linear encoding

    Example:
        >>> Pieces([(0.0, 1.0, 3.0)])(torch.tensor([[2.0, 7.0]]))
        tensor([[2.0000, 7.0000, 1.0000, 0.5000]])
    """

    place: Tensor
    left: Tensor
    width: Tensor

    def __init__(self, edges: Sequence[Sequence[float]]) -> None:
        super().__init__()
        spans = [
            (place, first, last - first)
            for place, one in enumerate(edges)
            if len(one) > 2
            for first, last in itertools.pairwise(one)
        ]
        self.register_buffer("place", torch.tensor([span[0] for span in spans], dtype=torch.int64))
        self.register_buffer("left", torch.tensor([span[1] for span in spans], dtype=torch.float32))
        self.register_buffer("width", torch.tensor([span[2] for span in spans], dtype=torch.float32))

    def forward(self, x: Float[Tensor, "row feature"]) -> Float[Tensor, "row wider"]:
        """Rows with their pieces behind them."""
        if not len(self.place):
            return x
        return torch.cat([x, ((x[:, self.place] - self.left) / self.width).clamp(0, 1)], dim=1)


class Ensemble(nn.Module):
    """Rows -> probabilities of the classes: the mean of the members' ones.

    Args:
        arrays: by name: `place`, `left`, `width` of the pieces; per layer i `r{i}` [member, in], `w{i}` [out, in],
            `s{i}` [member, out], `b{i}` [member, out]; `head` [member, in, class], `offset` [member, class].

    Raises:
        InputError: arrays that are missing or do not fit together.
    """

    def __init__(self, arrays: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.layers = sum(name[0] == "w" and name[1:].isdigit() for name in arrays)
        wanted = {"place", "left", "width", "head", "offset"}
        wanted |= {f"{kind}{layer}" for layer in range(self.layers) for kind in "rwsb"}
        if set(arrays) != wanted or not self.layers:
            raise fail(
                "the arrays of a network",
                f"they are {', '.join(sorted(arrays))[:200]}",
                "those of its layers",
            )
        for name, array in arrays.items():
            kind = torch.int64 if name == "place" else torch.float32
            if array.dtype != kind or (kind == torch.float32 and not bool(array.isfinite().all())):
                raise fail(
                    "the arrays of a network", f"{name} is {array.dtype}, or not finite", f"finite {kind}"
                )
            self.register_buffer(name, array.detach().clone().contiguous())
        if not _fit(arrays, self.layers):
            raise fail(
                "the arrays of a network", "their shapes do not fit together", "layers one behind the other"
            )

    @property
    def features(self) -> int:
        """Numbers per row that it takes."""
        return self.get_buffer("w0").shape[1] - len(self.get_buffer("place"))

    @property
    def classes(self) -> int:
        """Classes that it tells apart."""
        return self.get_buffer("head").shape[2]

    def forward(self, x: Float32[Tensor, "row feature"]) -> Float32[Tensor, "row class"]:
        """Probabilities."""
        pieces = [self.get_buffer(name) for name in ("place", "left", "width")]
        if len(pieces[0]):
            x = torch.cat([x, ((x[:, pieces[0]] - pieces[1]) / pieces[2]).clamp(0, 1)], dim=1)
        found = x[:, None, :]  # [row, member, in]
        for layer in range(self.layers):
            r, w, s, b = (self.get_buffer(f"{kind}{layer}") for kind in "rwsb")
            found = torch.relu((found * r) @ w.T * s + b)
        logits = torch.einsum("nki,kic->nkc", found, self.get_buffer("head")) + self.get_buffer("offset")
        return logits.softmax(2).mean(1)


def _fit(arrays: Mapping[str, Tensor], layers: int) -> bool:
    """Whether shapes are those of layers one behind the other."""
    head, before = arrays["head"], None
    if head.ndim != 3 or arrays["offset"].shape != (head.shape[0], head.shape[2]):
        return False
    for layer in range(layers):
        r, w, s, b = (arrays[f"{kind}{layer}"] for kind in "rwsb")
        if w.ndim != 2 or (before is not None and w.shape[1] != before):
            return False
        before = w.shape[0]
        if r.shape != (len(head), w.shape[1]) or s.shape != (len(head), before) or b.shape != s.shape:
            return False
    place, wide = arrays["place"], arrays["w0"].shape[1]
    features = wide - len(place)
    sound = not len(place) or (features > 0 and 0 <= int(place.min()) and int(place.max()) < features)
    same = place.ndim == 1 and arrays["left"].shape == place.shape == arrays["width"].shape
    return head.shape[1] == before and sound and same and bool((arrays["width"] > 0).all())
