"""Every loss of ours, forward and backward, beside torch's cross-entropy on outputs of the same shape."""

import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from metricgrad.bench.contestant import on_threads
from metricgrad.bench.timer import medians
from metricgrad.errors import InputError
from metricgrad.methods.asking import AskingLoss
from metricgrad.methods.objectives import loss_named, named_objective, objectives
from metricgrad.metrics import adapt

__all__ = ["measured_losses"]

PER_CLASS = 4
"""Rows of a class in a batch of embeddings."""
PER_GROUP = 5
"""Classes of a group, for a loss that wants a tree of classes."""
EDGE = 32
"""Of an image, for a loss that looks at neighbouring pixels."""


def measured_losses(
    names: Iterable[str] = (),
    *,
    samples: int = 4096,
    classes: int = 100,
    dims: int = 64,
    threads: int = 1,
    repeats: int = 5,
    tell: Callable[[str], None] = lambda name: None,
) -> Iterator[dict[str, Any]]:
    """Yield a row for every loss: what it takes, the shape, milliseconds of it and of cross-entropy, their ratio.

    The two take turns. Outputs are drawn from N(0, 1), float32.

    Args:
        names: of losses, without `_loss`; none for all.
        samples: of a batch; queries, pixels where a loss has those.
        classes: columns of class scores, labels of a sample.
        dims: of an embedding; embeddings have 4 rows a class.
        threads: of torch.
        repeats: turns of each; one more before them is not counted.
        tell: is called with each name before it is measured.
    """
    found = {
        name: loss_named(name) for name in list(names) or objectives()
    }  # an unknown one fails before any is timed
    for name, function in found.items():
        tell(name)
        takes = next(iter(inspect.signature(function).parameters))
        with on_threads(threads):
            outputs, targets, loss = _first_that_fits(name, takes, samples, classes, dims)
            calls = {"ours": _step(loss, outputs, targets), "cross-entropy": _cross_entropy(outputs)}
            for call in calls.values():
                call()  # warms up
            taken = medians(calls, repeats)
        yield {
            "loss": name,
            "takes": takes,
            "shape": list(outputs.shape),
            "ms": 1e3 * taken["ours"],
            "cross_entropy_ms": 1e3 * taken["cross-entropy"],
            "to_cross_entropy": taken["ours"] / taken["cross-entropy"],
        }


def _first_that_fits(
    name: str, takes: str, samples: int, classes: int, dims: int
) -> tuple[Tensor, Tensor, Callable[[Tensor, Tensor], Tensor]]:
    """The first problem that a loss of this kind can be given: pixels of images are those of some."""
    refusal: InputError | None = None
    for outputs, targets in _problems(takes, samples, classes, dims):
        labels = int(targets.max()) + 1
        loss = _objective(name, takes, labels, outputs)
        try:
            loss(outputs, targets)
        except InputError as error:
            refusal = error
        else:
            return outputs, targets, loss
    assert refusal is not None
    raise refusal


def _problems(takes: str, samples: int, classes: int, dims: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Outputs and targets of the kinds that such a loss may want."""
    generator = torch.Generator().manual_seed(0)
    if takes in ("ranks", "embeddings"):
        yield torch.randn(samples, dims, generator=generator), torch.arange(samples) // PER_CLASS
        return
    scores = torch.randn(samples, generator=generator), torch.randint(0, 2, (samples,), generator=generator)
    if takes == "scores":
        yield scores
        return
    targets = torch.randint(0, classes, (samples,), generator=generator)
    targets[0] = classes - 1
    logits = torch.randn(samples, classes, generator=generator)
    yield logits, targets
    if takes == "label_logits":
        yield scores
    images = max(1, samples // EDGE**2)
    pixels = torch.randint(0, classes, (images, EDGE, EDGE), generator=generator)
    yield torch.randn(images, classes, EDGE, EDGE, generator=generator), pixels


def _objective(name: str, takes: str, labels: int, outputs: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """A loss with its defaults, and with made-up values of what it asks of a run."""
    grouped = "groups" in inspect.signature(loss_named(name)).parameters
    settings = {"groups": [label // PER_GROUP for label in range(labels)]} if grouped else {}
    made = named_objective(name, settings, of_scores=takes not in ("ranks", "embeddings"))
    if not isinstance(made, AskingLoss):
        return made
    asked = {"metric": adapt("macro_f1"), "class_counts": torch.arange(1, labels + 1)}
    asked |= {"cost_matrix": 1 - torch.eye(labels), "class_means": outputs[:labels].detach()}
    return made.given(asked)


def _step(loss: Callable[[Tensor, Tensor], Tensor], outputs: Tensor, targets: Tensor) -> Callable[[], None]:
    """A forward and a backward pass."""

    def call() -> None:
        leaf = outputs.detach().requires_grad_()
        loss(leaf, targets).mean().backward()

    return call


def _cross_entropy(outputs: Tensor) -> Callable[[], None]:
    """The same of cross-entropy; a score has a score of 0 beside it."""
    columns = torch.stack([torch.zeros_like(outputs), outputs], 1) if outputs.ndim == 1 else outputs
    shape = columns.shape[:1] + columns.shape[2:]
    targets = torch.arange(shape.numel()).reshape(shape) % columns.shape[1]
    return _step(cross_entropy, columns, targets)
