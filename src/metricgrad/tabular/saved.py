"""The model of a table in its folder: arrays and JSON, read without any training code."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float64
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from metricgrad._checks import fail
from metricgrad._documents import content_of, json_value
from metricgrad.decision import Rule, load_rule, save_rule
from metricgrad.tabular.encoded import Encoder, encoder_of_document
from metricgrad.tabular.ensemble import Ensemble
from metricgrad.tabular.forest import Forest
from metricgrad.tune.checkpoint import load_weights, save_weights, write_atomically

__all__ = ["TableModel", "load_table_model", "save_table_model", "write_network_onnx"]

FORMAT = 1
_FACTS, _MOST_BYTES = "model.json", 2**27


class _Facts(BaseModel):
    """What a folder says beside its arrays."""

    model_config = ConfigDict(extra="forbid")
    format: int
    used: Literal["network", "trees"]
    target: str
    metric: str
    classes: list[str] = Field(min_length=2)
    encoder: dict[str, Any]


@dataclass(frozen=True)
class TableModel:
    """A model of a table: cells in, classes out.

    Attributes:
        encoder: of the cells.
        model: the network or the trees that are used.
        rule: that decides.
        target: the column that is predicted.
        metric: that the rule was fitted for.
        classes: by number.
    """

    encoder: Encoder
    model: Ensemble | Forest
    rule: Rule
    target: str
    metric: str
    classes: tuple[str, ...]

    def probabilities(self, table: Mapping[str, Sequence[Any]]) -> Float64[np.ndarray, "row class"]:
        """Probabilities of the classes for the rows of a table.

        Raises:
            InputError: a column of the training table is not there.
        """
        raw = self.encoder.read(table)
        if isinstance(self.model, Forest):
            return self.model.probabilities(self.encoder.columns(raw))
        x = torch.from_numpy(self.encoder.dense(raw))
        with torch.no_grad():
            return torch.cat([self.model(part) for part in x.split(4096)]).double().numpy()

    def decide(self, probabilities: Float64[np.ndarray, "row class"]) -> list[str]:
        """The class of each row."""
        return [self.classes[number] for number in self.rule.decide(torch.from_numpy(probabilities)).tolist()]


def save_table_model(
    folder: Path,
    *,
    used: Literal["network", "trees"],
    encoder: Encoder,
    network: Ensemble,
    forest: Forest | None,
    rules: Mapping[str, Rule],
    target: str,
    metric: str,
    classes: Sequence[str],
) -> None:
    """Write network and trees as safetensors, their rules and what they read as JSON.

    Args:
        folder: that is there.
        used: which of the two is loaded.
        encoder: of the cells.
        network: in its plain form.
        forest: the trees; None where there are none.
        rules: of `network` and `trees`.
        target: the column that is predicted.
        metric: that rules were fitted for.
        classes: by number.

    Raises:
        RunFolderError: the folder cannot be written.
    """
    save_weights(folder / "network.safetensors", network.state_dict())
    if forest is not None:
        arrays: dict[str, Tensor] = {
            name: torch.from_numpy(one.copy()) for name, one in forest.arrays.items()
        }
        save_weights(folder / "trees.safetensors", arrays)
    for name, rule in rules.items():
        save_rule(rule, folder / f"{name}-rule.json")
    facts = _Facts(
        format=FORMAT,
        used=used,
        target=target,
        metric=metric,
        classes=list(classes),
        encoder=encoder.document(),
    )
    content = json.dumps(facts.model_dump(), indent=1, ensure_ascii=False) + "\n"
    write_atomically(folder / _FACTS, content.encode())


def write_network_onnx(folder: Path) -> Path:
    """Write the network of a folder and its rule as one ONNX graph of encoded rows -> classes.

    Raises:
        MissingExtraError: onnx or onnxscript is not installed.
    """
    network = Ensemble(load_weights(folder / "network.safetensors")).eval()
    rule = load_rule(folder / "network-rule.json")
    return rule.to_onnx(folder / "network.onnx", network=network, inputs=torch.zeros(2, network.features))


def load_table_model(folder: Path | str) -> TableModel:
    """Read the model that `metricgrad adapt --table` left.

    Args:
        folder: of the run; it may have been received: nothing in it is executed.

    Raises:
        InputError: no such folder, or a file in it does not fit.
        CheckpointError: arrays that are damaged.
    """
    folder = Path(folder)
    if not (folder / _FACTS).is_file():
        raise fail(
            "predict", f"{folder} has no {_FACTS}", "the folder of a finished `metricgrad adapt --table`"
        )
    try:
        facts = _Facts.model_validate(json_value(content_of(folder / _FACTS, most=_MOST_BYTES)))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise fail(f"{folder / _FACTS}", f"{where}: {first['msg']}", "what adapt --table writes") from error
    if facts.format != FORMAT:
        raise fail(f"{folder / _FACTS}", f"its format is {facts.format}", f"format {FORMAT}")
    encoder, classes = encoder_of_document(facts.encoder), len(facts.classes)
    arrays = load_weights(folder / f"{facts.used}.safetensors")
    if facts.used == "network":
        model: Ensemble | Forest = Ensemble(arrays)
        fits = model.classes == classes and model.features == len(encoder.features)
    else:
        columns = len(encoder.numbers) + len(encoder.levels)
        model, fits = Forest({name: one.numpy() for name, one in arrays.items()}, classes, columns), True
    rule = load_rule(folder / f"{facts.used}-rule.json")
    if not fits or rule.classes != classes:
        raise fail(f"{folder}", "its model, rule and columns do not fit together", "the files of one run")
    return TableModel(encoder, model, rule, facts.target, facts.metric, tuple(facts.classes))
