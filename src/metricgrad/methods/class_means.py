"""The mean embedding of every class of fit under the network as it is: where prototypes of classes begin."""

import torch
from torch import Tensor, nn

from metricgrad._checks import fail
from metricgrad._structures import moved, one_tensor
from metricgrad._types import MethodRun
from metricgrad._user_code import embedded
from metricgrad.losses.prototypes import ClassMeans, class_means
from metricgrad.methods.fit_items import each_item_once
from metricgrad.scale.chunk import device_of

__all__ = ["class_means_of"]


def class_means_of(caller: str, run: MethodRun) -> ClassMeans:
    """Return the directions of the class means of fit, in eval mode and without a gradient.

    Raises:
        InputError: there is no fit split; the network raised, or returned no embeddings.

    Cost:
        One pass of fit through the network; the embeddings of fit in memory.
    """
    if run.fit is None:
        raise fail(caller, "there is no fit split", "one: prototypes begin at its class means")
    training = {module: module.training for module in run.model.modules()}
    run.model.eval()
    try:
        with torch.no_grad():
            return _of_items(caller, run.model, run.fit)
    finally:
        for module, before in training.items():
            module.training = before


def _of_items(caller: str, model: nn.Module, fit: object) -> ClassMeans:
    rows, labels = [], []
    for inputs, targets in each_item_once(fit):
        rows.append(one_tensor(caller, embedded(model, moved(inputs, device_of(model)))))
        labels += [targets.cpu()] if isinstance(targets, Tensor) else list(targets)
    if not rows:
        raise fail(caller, "fit has no batch", "at least one")
    tensors = [part for part in labels if isinstance(part, Tensor)]
    return class_means(torch.cat(rows), torch.cat(tensors) if len(tensors) == len(labels) else labels)
