"""A rule, alone or behind a network, as one ONNX graph."""

import copy
import logging
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from metricgrad._checks import extra, fail

__all__ = ["write_onnx"]


def write_onnx(
    path: Path | str,
    rule: nn.Module,
    columns: int,
    network: nn.Module | None = None,
    inputs: Tensor | None = None,
) -> Path:
    """Write scores -> classes, or inputs -> network -> classes, with any number of items.

    Args:
        path: of the file.
        rule: a fitted rule.
        columns: of the scores it reads, where no network is given.
        network: takes one tensor and gives the scores.
        inputs: an example of what it takes, of two items or more.

    Raises:
        InputError: a network without inputs.
        MissingExtraError: onnx or onnxscript is not installed.
    """
    for module in ("onnx", "onnxscript"):
        extra(module, "onnx", "writing an ONNX graph")
    if network is not None and (inputs is None or len(inputs) < 2):
        raise fail(
            "to_onnx", "a network was given without inputs", "an example of its inputs, two items or more"
        )
    example = torch.zeros(2, columns) if inputs is None else inputs.detach().cpu()
    whole = rule if network is None else nn.Sequential(network, rule)
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)  # what the exporter says of packages that are not there
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter, about its own parts
            program = torch.onnx.export(
                copy.deepcopy(whole).cpu().eval(),
                (example,),
                input_names=["scores" if network is None else "inputs"],
                output_names=["classes"],
                dynamic_shapes=({0: torch.export.Dim("sample")},),
                dynamo=True,
                verbose=False,
            )
    finally:
        log.setLevel(level)
    if program is None:
        raise fail("to_onnx", "the exporter returned nothing", "a graph")
    program.save(path)
    return Path(path)
