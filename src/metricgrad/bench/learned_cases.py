"""The networks whose steps with a learned surrogate are measured: those of the tasks `words` and `boxes`."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from metricgrad._types import MethodRun, Metric, OutputKind
from metricgrad.learned import rotated_boxes
from metricgrad.metrics import metric_by_name, of_kind
from metricgrad.tasks.box_network import BoxNetwork, smooth_l1_box_loss
from metricgrad.tasks.boxes_scenes import EDGE
from metricgrad.tasks.recogniser import Recogniser, letter_cross_entropy, output_kind
from metricgrad.tasks.words_pictures import HEIGHT, WIDTH

__all__ = ["Case", "boxes_case", "words_case"]


class Case(NamedTuple):
    """A network and one batch: what a proxy step and the steps of a learned surrogate need.

    Attributes:
        task: whose network it is, `words` or `boxes`.
        network: makes it, with random weights.
        inputs: random pictures, uint8 [sample, ...].
        targets: texts, or boxes [sample, 5].
        kind: of its outputs.
        metric: of its outputs.
        proxy: (outputs, targets) -> loss.
    """

    task: str
    network: Callable[[], nn.Module]
    inputs: Tensor
    targets: Any
    kind: OutputKind
    metric: Metric
    proxy: Callable[[Any, Any], Tensor]

    def run(self) -> MethodRun:
        """Return what a method is given: a network of its own, the same at every call."""
        torch.manual_seed(0)
        network, split = self.network().train(), [(self.inputs, self.targets)]
        parameters = dict(network.named_parameters())
        return MethodRun(network, parameters, self.metric, steps=10**6, seed=0, fit=split, select=split)


def words_case(batch: int) -> Case:
    """Words of up to 16 letters, read from pictures of 32 x 128 by the network of the task `words`."""
    return _case(
        "words", "edit_distance", output_kind(), Recogniser, letter_cross_entropy, (batch, HEIGHT, WIDTH)
    )


def boxes_case(batch: int) -> Case:
    """Rotated boxes, found in pictures of 64 x 64 by the network of the task `boxes`."""
    kind = rotated_boxes()
    return _case("boxes", "rotated_iou", kind, BoxNetwork, smooth_l1_box_loss, (batch, 3, EDGE, EDGE))


def _case(
    task: str,
    metric: str,
    kind: OutputKind,
    network: Callable[[], nn.Module],
    proxy: Callable[[Any, Any], Tensor],
    shape: tuple[int, ...],
) -> Case:
    """A batch of random pictures whose targets are made up."""
    assert kind.pairs is not None
    pictures = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    _, targets = kind.pairs(len(pictures), np.random.default_rng(0))
    return Case(task, network, pictures, targets, kind, of_kind(metric_by_name(metric), kind), proxy)
