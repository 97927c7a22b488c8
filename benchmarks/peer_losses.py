"""Values and gradients of our losses beside those of other libraries, where both are defined alike.

    .venv/bin/pip install pytorch-optimizer monai       neither is needed for anything else
    .venv/bin/python -m benchmarks.peer_losses

Twenty drawings each, float64. A library that is not installed is named and left out. The table has the largest
difference of value and gradient, relative to the value or gradient where that is above 1. Theirs add a small number to
each divisor, which is what is left of the difference where it is not rounding.
"""

import importlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Generator, Tensor

from benchmarks.contests import write
from metricgrad import losses

TABLE = Path(__file__).parent.parent / "docs" / "peer-losses.csv"
DRAWINGS = 20
Loss = Callable[[Tensor, Tensor], Tensor]


def scores(generator: Generator) -> tuple[Tensor, Tensor]:
    """Logits of class 1 and targets 0 or 1, both of which occur."""
    targets = torch.randint(0, 2, (40,), generator=generator)
    targets[:2] = torch.tensor([0, 1])
    return 2 * torch.randn(40, generator=generator, dtype=torch.float64), targets


def images(generator: Generator) -> tuple[Tensor, Tensor]:
    """Logits [1, class, row, column] and one class number per pixel, all of which occur."""
    targets = torch.randint(0, 4, (1, 6, 6), generator=generator)
    targets[0, 0, :4] = torch.arange(4)
    return 2 * torch.randn(1, 4, 6, 6, generator=generator, dtype=torch.float64), targets


def labels(generator: Generator) -> tuple[Tensor, Tensor]:
    """Logits [sample, label] and marks."""
    return 2 * torch.randn(30, 3, generator=generator, dtype=torch.float64), (
        torch.rand(30, 3, generator=generator) < 0.4
    ).long()


def embeddings(generator: Generator) -> tuple[Tensor, Tensor]:
    """Rows of four classes, three of each."""
    return torch.randn(12, 5, generator=generator, dtype=torch.float64), torch.arange(12) % 4


def pairs() -> Iterator[tuple[str, str, Callable[[Generator], tuple[Tensor, Tensor]], Loss, Loss]]:
    """What theirs is called, what ours, the drawing, theirs, ours."""
    found = _installed("pytorch_optimizer")
    if found is not None:
        soft, lovasz, focal = (
            found.SoftF1Loss(eps=0.0),
            found.LovaszHingeLoss(per_image=False),
            found.FocalLoss(),
        )
        ours = partial(losses.soft_counts_loss, formula="f_1")
        yield (
            "pytorch-optimizer SoftF1Loss",
            "soft_counts_loss",
            scores,
            lambda z, y: soft(z.sigmoid(), y.double()),
            ours,
        )
        yield (
            "pytorch-optimizer LovaszHingeLoss",
            "lovasz_hinge_loss",
            scores,
            lovasz,
            losses.lovasz_hinge_loss,
        )
        two = lambda z, y: losses.focal_loss(torch.stack([torch.zeros_like(z), z], 1), y).mean()  # noqa: E731
        yield "pytorch-optimizer FocalLoss", "focal_loss", scores, lambda z, y: focal(z, y.double()), two
    found = _installed("monai.losses")
    if found is not None:
        settings: dict[str, Any] = {"to_onehot_y": True, "softmax": True, "batch": True, "reduction": "mean"}
        dice = found.DiceLoss(**settings, smooth_nr=0.0, smooth_dr=0.0)
        iou = found.DiceLoss(**settings, jaccard=True, smooth_nr=0.0, smooth_dr=0.0)
        matthews = found.MCCLoss(sigmoid=True, batch=True, smooth_dr=0.0)
        for name, peer, formula in (("DiceLoss", dice, "f_1"), ("DiceLoss, jaccard", iou, "iou")):
            ours = partial(_of_pixels, formula)
            yield (
                f"MONAI {name}",
                "soft_counts_loss",
                images,
                lambda z, y, peer=peer: peer(z, y[:, None]),
                ours,
            )
        ours = partial(losses.soft_counts_loss, formula="matthews")
        grid = lambda z, y: matthews(z.T[None, :, :, None], y.T[None, :, :, None].double())  # noqa: E731
        yield "MONAI MCCLoss", "soft_counts_loss, matthews", labels, grid, ours
    found = _installed("pytorch_metric_learning.losses")
    if found is not None:
        supcon, circle = found.SupConLoss(temperature=0.1), found.CircleLoss(m=0.4, gamma=8)
        yield (
            "pytorch-metric-learning SupConLoss",
            "supcon_loss",
            embeddings,
            supcon,
            _mean("supcon", temperature=0.1),
        )
        yield (
            "pytorch-metric-learning CircleLoss",
            "circle_loss",
            embeddings,
            circle,
            _mean("circle", margin=0.4, scale=8),
        )


def _of_pixels(formula: str, logits: Tensor, targets: Tensor) -> Tensor:
    """Soft counts of all pixels of one batch."""
    return losses.soft_counts_loss(
        logits.movedim(1, -1).flatten(0, -2), targets.flatten(), formula=formula, absent="zero"
    )


def _installed(name: str) -> ModuleType | None:
    """A library, or None with a line that names it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        print(f"{name} is not installed: left out")
        return None


def _mean(name: str, **settings: Any) -> Loss:
    """A loss of every row, averaged: each row has another of its class here."""
    loss = getattr(losses, f"{name}_loss")
    return lambda rows, targets: loss(rows, targets, **settings).mean()


def apart(
    make: Callable[[Generator], tuple[Tensor, Tensor]], theirs: Loss, ours: Loss
) -> tuple[float, float]:
    """The largest differences of value and of gradient."""
    value = slope = 0.0
    for seed in range(DRAWINGS):
        outputs, targets = make(Generator().manual_seed(seed))
        found = []
        for loss in (theirs, ours):
            leaf = outputs.clone().requires_grad_()
            result = loss(leaf, targets)
            found.append((result.detach(), torch.autograd.grad(result, leaf)[0]))
        value = max(value, _relative(found[0][0], found[1][0]))
        slope = max(slope, _relative(found[0][1], found[1][1]))
    return value, slope


def _relative(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max() / other.abs().max().clamp_min(1))


def main() -> None:
    """Compare, print and write the table."""
    rows = []
    for theirs_name, ours_name, make, theirs, ours in pairs():
        value, slope = apart(make, theirs, ours)
        rows.append([theirs_name, ours_name, f"{value:.1e}", f"{slope:.1e}"])
    write(TABLE, ["theirs", "ours", "value_apart", "gradient_apart"], rows)


if __name__ == "__main__":
    main()
