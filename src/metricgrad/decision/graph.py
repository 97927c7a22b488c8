"""A rule, alone or behind a network, as one ONNX graph."""

import copy
import logging
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from metricgrad._checks import extra, fail

__all__ = ["write_onnx"]


def write_onnx(path: Path | str, rule: nn.Module, example: Tensor, network: nn.Module | None = None) -> Path:
    """Write scores -> classes, or inputs -> network -> classes, with any number of items.

    Args:
        path: of the file.
        rule: a fitted rule.
        example: what the graph takes, two items or more.
        network: takes one tensor and gives the scores.

    Raises:
        InputError: fewer than two items, which would fix the number of items.
        MissingExtraError: onnx or onnxscript is not installed.
    """
    for module in ("onnx", "onnxscript"):
        extra(module, "onnx", "writing an ONNX graph")
    if len(example) < 2:
        raise fail("to_onnx", f"the example has {len(example)} items", "two or more")
    whole = rule if network is None else nn.Sequential(network, rule)
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)  # what the exporter says of packages that are not there
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter, about its own parts
            program = torch.onnx.export(
                copy.deepcopy(whole).cpu().eval(),
                (example.detach().cpu(),),
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
