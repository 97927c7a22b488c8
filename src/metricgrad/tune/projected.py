"""A head that nothing has trained: a closed form over what a network gives, or over its inputs; and how it is kept.

Each side of a network of two sides has a projection.

The header of the weights' file says what it is and of what; its arrays lie in a file of their own, so that the tensors
of the weights' file are those of the network alone. A weights' file without such a header is that of a network.
"""

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from metricgrad._documents import Unreadable, json_value
from metricgrad._forward import forward
from metricgrad.errors import CheckpointError
from metricgrad.pairing import TwoTowers
from metricgrad.projection import PairProjection, Projection
from metricgrad.scale.chunk import device_of
from metricgrad.tune.checkpoint import load_weights, save_weights
from metricgrad.tune.tensor_file import content_of_tensors, header_of
from metricgrad.tune.weights import load_into

__all__ = ["Form", "Head", "as_kept", "head_of", "projected", "save_projection"]

CLOSED_FORM = "closed_form"
PROJECTION = "projection.safetensors"
Form = Projection | PairProjection


@dataclass(frozen=True)
class Head:
    """Where embeddings come from in an arm that trains nothing.

    Attributes:
        of: what is projected: the `outputs` of the start model, or its `inputs`.
        projection: that was fitted; None: these are the embeddings as they are.
        sides: whether they are those of queries and of documents.
    """

    of: Literal["outputs", "inputs"]
    projection: Form | None
    sides: bool = False

    @property
    def words(self) -> str:
        """What it is, as `LDA to 128 directions, shrinkage 0.1, of the inputs`."""
        if self.projection is None:
            return f"the {self.of} as they are"
        return f"{self.projection.words()}, of the {self.of}"


class _Projected(nn.Module):
    """A network followed by a closed form; or the closed form of its inputs alone, and then the network is left out.

    Args:
        network: takes inputs.
        projection: of its outputs; None leaves them.
    """

    def __init__(self, network: nn.Module, projection: Projection | None) -> None:
        super().__init__()
        self.network = network
        self.projection = nn.Identity() if projection is None else copy.deepcopy(projection)
        self.projection.to(device_of(self.network))

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """Return the embeddings of a batch [item, dim]."""
        whole = len(inputs) == 1 and not named
        outputs = forward(self.network, inputs[0]) if whole else self.network(*inputs, **named)
        return self.projection(outputs)


class _ProjectedSides(nn.Module):
    """The same of a network of two sides.

    Args:
        network: as `pairing.TwoTowers`.
        projection: of both sides; None leaves them.
    """

    def __init__(self, network: nn.Module, projection: PairProjection | None) -> None:
        super().__init__()
        self.network = network
        self.projection = TwoTowers(nn.Identity()) if projection is None else copy.deepcopy(projection)
        self.projection.to(device_of(self.network))

    def forward(self, *, query: Any = None, document: Any = None) -> Tensor | dict[str, Tensor]:
        """Return the embeddings of a side [item, dim], or of both by name."""
        given = {"query": query, "document": document}
        given = {name: part for name, part in given.items() if part is not None}
        found = self.network(**given)
        if isinstance(found, Mapping):
            return {name: self.projection.get_submodule(name)(rows) for name, rows in found.items()}
        return self.projection.get_submodule(next(iter(given)))(found)


def projected(network: nn.Module, head: Head) -> nn.Module:
    """Return a network that gives the embeddings of an arm which trains nothing.

    Args:
        network: takes inputs.
        head: what becomes of its outputs or inputs.
    """
    if head.of == "inputs":
        network = TwoTowers(nn.Identity()) if head.sides else nn.Identity()
    if not head.sides:
        assert not isinstance(head.projection, PairProjection)
        return _Projected(network, head.projection)
    assert not isinstance(head.projection, Projection)
    return _ProjectedSides(network, head.projection)


def save_projection(path: Path, head: Head | None) -> dict[str, str]:
    """Write the arrays of a closed form beside a weights' file, and return what belongs into the header of that."""
    if head is None:
        return {}
    facts: dict[str, Any] = {"of": head.of, "words": head.words} | ({"sides": True} if head.sides else {})
    if head.projection is not None:
        arrays = dict(head.projection.named_buffers())  # weight and bias, or query.weight, ...
        facts |= {"name": head.projection.name, "settings": head.projection.settings, "arrays": PROJECTION}
        save_weights(path.with_name(PROJECTION), arrays, {"words": head.words})
    return {CLOSED_FORM: json.dumps(facts)}


def as_kept(path: Path, model: nn.Module) -> nn.Module:
    """Put the weights of a file into a network, and return it, with the closed form that belongs to them."""
    load_into(model, load_weights(path))
    head = head_of(path)
    return model if head is None else projected(model, head)


def head_of(path: Path) -> Head | None:
    """Read the closed form that belongs to a weights' file; None where that is of a network alone.

    Raises:
        CheckpointError: header or arrays are damaged, missing, or not of each other.
    """
    document = header_of(content_of_tensors(path)).get(CLOSED_FORM)
    if document is None:
        return None
    try:
        facts = json_value(str(document))
        if facts["of"] not in ("outputs", "inputs"):
            raise Unreadable(f"it is of {facts['of']!r}")
        sides, read = facts.get("sides") is True, None
        if "name" in facts:
            read = _projection(path.with_name(PROJECTION), facts, sides=sides)
        found = Head(facts["of"], read, sides=sides)
        if found.words != facts["words"]:
            raise Unreadable(f"{PROJECTION} is of another closed form")
        return found
    except (Unreadable, KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{path} belongs to a closed form that cannot be read: {error}. Restore both files from a copy."
        ) from error


def _projection(path: Path, facts: Mapping[str, Any], *, sides: bool) -> Form:
    arrays = load_weights(path)
    if not sides:
        return _one_side(path, arrays, facts)
    return PairProjection(
        *(_one_side(path, arrays, facts, prefix=f"{side}.") for side in ("query", "document"))
    )


def _one_side(
    path: Path, arrays: Mapping[str, Any], facts: Mapping[str, Any], *, prefix: str = ""
) -> Projection:
    weight, bias = arrays[f"{prefix}weight"], arrays[f"{prefix}bias"]
    if not isinstance(weight, Tensor) or weight.ndim != 2 or bias.shape != weight.shape[:1]:
        raise Unreadable(f"{path.name} holds no {prefix}weight [out, in] and {prefix}bias [out]")
    return Projection(weight, bias, name=str(facts["name"]), settings=dict(facts["settings"]))
