"""One vector per class that is trained beside the network: what losses with prototypes share."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int, Integer
from torch import Tensor, nn

from metricgrad._checks import describe, fail, require_matrix
from metricgrad._labels import Labels, number_labels, whole_labels
from metricgrad.losses.class_scores import IGNORED, counted_samples, widened
from metricgrad.pairing.similarity import unit_rows

__all__ = ["ClassMeans", "Prototypes", "class_means", "means_of_sums", "rows_and_prototypes"]

NO_DIRECTION = 1e-6
"""Length below which a mean of unit rows says nothing: those of its class cancel."""


class ClassMeans(NamedTuple):
    """Where prototypes begin.

    Attributes:
        rows: unit rows [class, dim].
        labels: the label of each, all different; None for 0, 1, ...
    """

    rows: Float[Tensor, "class dim"]
    labels: Labels | None = None


def class_means(embeddings: Float[Tensor, "sample dim"], targets: Labels) -> ClassMeans:
    """Return the direction of the mean of every class.

    Args:
        embeddings: rows, which are scaled to length 1 first.
        targets: one label per row: whole numbers, of which -100 is left out, or texts.

    Raises:
        InputError: another number of labels than rows; no row with a label.

    Edge cases:
        A class whose rows cancel has the direction of its first row.

    Example:
        >>> means = class_means(torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.0, 3.0]]), ["b", "a", "b"])
        >>> means.rows, means.labels
        (tensor([[0.0000, 1.0000],
                [0.7071, 0.7071]]), ['a', 'b'])
    """
    rows = unit_rows(embeddings.detach())
    found = number_labels("class_means", {"targets": targets}, device=rows.device)
    (codes,), labels = found.codes, found.distinct
    if len(codes) != len(rows):
        raise fail("class_means", f"{len(codes)} targets for {describe(embeddings)}", "one label per row")
    first = torch.full((len(labels),), len(rows), device=rows.device)
    first.scatter_reduce_(0, codes, torch.arange(len(rows), device=rows.device), "amin")
    sums = torch.zeros(len(labels), rows.shape[1], dtype=torch.float64, device=rows.device)
    sums.index_add_(0, codes, rows.double())
    counted = counted_samples(labels) if isinstance(labels, Tensor) else torch.ones(len(labels)).bool()
    if not bool(counted.any()):
        raise fail("class_means", "no row has a label", "rows of at least one class")
    if isinstance(labels, Tensor):
        labels = labels[counted]
    return ClassMeans(means_of_sums(sums[counted], rows[first[counted]]), labels)


def means_of_sums(
    sums: Float[Tensor, "class dim"], first: Float[Tensor, "class dim"]
) -> Float[Tensor, "class dim"]:
    """Return the directions of sums of unit rows, and that of the first row where they cancel."""
    lengths = torch.linalg.vector_norm(sums, dim=1, keepdim=True)
    return torch.where(lengths < NO_DIRECTION, first, unit_rows(sums).to(first.dtype))


def rows_and_prototypes(
    caller: str,
    embeddings: Float[Tensor, "sample dim"],
    targets: Integer[Tensor, " sample"] | Labels,
    prototypes: Float[Tensor, "class dim"],
    *,
    normalize: bool,
) -> tuple[Float[Tensor, "sample dim"], Int[Tensor, " sample"], Float[Tensor, "class dim"]]:
    """Return rows and prototypes, float32 or wider, and class numbers.

    Raises:
        InputError: shapes that do not fit; a target that is neither a class number nor -100.

    Edge cases:
        A row to ignore is 0, without a gradient, whatever it held.
    """
    require_matrix(caller, "embeddings", embeddings, "sample, dim")
    require_matrix(caller, "prototypes", prototypes, "class, dim")
    if prototypes.shape[1] != embeddings.shape[1]:
        came = f"embeddings are {describe(embeddings)} and prototypes {describe(prototypes)}"
        raise fail(caller, came, "the same number of dimensions")
    numbers = whole_labels(caller, "targets", targets).to(embeddings.device)
    if len(numbers) != len(embeddings):
        raise fail(caller, f"{len(numbers)} targets for {describe(embeddings)}", "one class number per row")
    counted = counted_samples(numbers)
    wrong = numbers[counted & ((numbers < 0) | (numbers >= len(prototypes)))]
    if len(wrong):
        came = f"a target is {int(wrong[0])} where there are {len(prototypes)} prototypes"
        raise fail(caller, came, f"numbers from 0 to {len(prototypes) - 1}, or {IGNORED} to ignore a row")
    rows = widened(embeddings).masked_fill(~counted.unsqueeze(1), 0)
    weights = prototypes.to(rows.device, rows.dtype)
    return (unit_rows(rows), numbers, unit_rows(weights)) if normalize else (rows, numbers, weights)


class Prototypes(nn.Module):
    """One vector per class, a parameter, and which label each stands for.

    Args:
        caller: for messages.
        start: where they begin: class means, or one row per class number, such as the weights of a classifier.

    Attributes:
        rows: the parameter [class, dim]; losses scale it to unit rows. Train it without weight decay.

    Raises:
        InputError: not one row per label; a label twice; no class.

    Example:
        >>> own = Prototypes("example", class_means(torch.eye(2), ["b", "a"]))
        >>> own.numbers(["b", "b", "a"])
        tensor([1, 1, 0])
    """

    labels: Tensor | list[str]

    def __init__(self, caller: str, start: ClassMeans | Float[Tensor, "class dim"]) -> None:
        super().__init__()
        given = ClassMeans(start) if isinstance(start, Tensor) else start
        rows = require_matrix(caller, "class_means", given.rows, "class, dim").detach().clone()
        self.caller, self.rows = caller, nn.Parameter(rows if rows.element_size() >= 4 else rows.float())
        labels = torch.arange(len(rows)) if given.labels is None else given.labels
        (codes,) = number_labels(caller, {"labels": labels}).codes
        if len(codes) != len(rows) or len(codes.unique()) != len(rows) or not len(rows):
            came = f"class_means are {describe(rows)} with {len(codes)} labels, {len(codes.unique())} of them different"
            raise fail(caller, came, "one row per label")
        if isinstance(labels, Tensor):
            self.register_buffer("labels", labels.to(rows.device))
        else:
            self.labels = list(labels)  # pyright: ignore[reportArgumentType, reportUnannotatedClassAttribute]

    def numbers(self, targets: Labels) -> Int[Tensor, " sample"]:
        """Return the number of the prototype of every label; -100 stays where labels are numbers.

        Raises:
            InputError: a label without a prototype.
        """
        known, asked = number_labels(
            self.caller, {"labels": self.labels, "targets": targets}, device=self.rows.device
        ).codes
        place = torch.full((int(torch.cat([known, asked]).max()) + 1,), -1, device=self.rows.device)
        place[known] = torch.arange(len(known), device=self.rows.device)
        found = place[asked]
        missing = found < 0
        if isinstance(self.labels, Tensor):
            whole = whole_labels(self.caller, "targets", targets).to(found.device)
            ignored = missing & ~counted_samples(whole)
            found, missing = found.masked_fill(ignored, IGNORED), missing & ~ignored
        if bool(missing.any()):
            came = f"targets[{int(missing.nonzero()[0])}] is a label without a prototype"
            raise fail(self.caller, came, f"one of the {len(known)} labels of the class means")
        return found
