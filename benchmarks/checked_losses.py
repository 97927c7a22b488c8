"""Losses of torch and of pytorch-metric-learning under `metricgrad.testing.check_loss`: which laws they break, and how.

.venv/bin/python -m benchmarks.checked_losses      writes docs/checked-losses.csv, half a minute on one core
"""

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from pytorch_metric_learning import losses as theirs
from torch import Tensor
from torch.nn import functional

from benchmarks.contests import write
from metricgrad.testing import check_loss

TABLE = Path(__file__).resolve().parents[1] / "docs" / "checked-losses.csv"
Loss = Callable[[Tensor, Tensor], Tensor]


def of_signs(loss: Callable[..., Tensor]) -> Loss:
    """A loss of targets -1 and 1."""
    return lambda scores, targets: loss(scores, 2 * targets - 1, reduction="none")


TORCH: dict[str, tuple[Loss, dict[str, Any]]] = {
    "cross_entropy": (
        lambda z, t: functional.cross_entropy(z, t, reduction="none"),
        {"takes": "logits", "ignore_index": -100},
    ),
    "cross_entropy, mean": (functional.cross_entropy, {"takes": "logits", "ignore_index": -100}),
    "nll_loss": (
        lambda z, t: functional.nll_loss(z.log_softmax(1), t, reduction="none"),
        {"takes": "logits", "ignore_index": -100},
    ),
    "multi_margin_loss": (
        lambda z, t: functional.multi_margin_loss(z, t, reduction="none"),
        {"takes": "logits"},
    ),
    "binary_cross_entropy_with_logits": (
        lambda s, t: functional.binary_cross_entropy_with_logits(s, t.to(s), reduction="none"),
        {"takes": "scores"},
    ),
    "soft_margin_loss": (of_signs(functional.soft_margin_loss), {"takes": "scores"}),
    "mse_loss": (lambda y, t: functional.mse_loss(y, t, reduction="none"), {"takes": "values"}),
    "smooth_l1_loss": (lambda y, t: functional.smooth_l1_loss(y, t, reduction="none"), {"takes": "values"}),
}

OF_EMBEDDINGS = {
    "AngularLoss": {},
    "CircleLoss": {},
    "ContrastiveLoss": {},
    "FastAPLoss": {},
    "GeneralizedLiftedStructureLoss": {},
    "HistogramLoss": {"n_bins": 100},
    "IntraPairVarianceLoss": {},
    "LiftedStructureLoss": {},
    "MarginLoss": {},
    "MultiSimilarityLoss": {},
    "NCALoss": {},
    "NPairsLoss": {},
    "NTXentLoss": {},
    "PNPLoss": {},
    "RankedListLoss": {"margin": 0.2, "Tn": 1, "Tp": 1},
    "SignalToNoiseRatioContrastiveLoss": {},
    "SmoothAPLoss": {},
    "SupConLoss": {},
    "TripletMarginLoss": {},
    "TupletMarginLoss": {},
}
"""Classes whose targets are labels, with the arguments that they ask for."""


def main() -> None:
    """Check every loss and write what is broken."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    torch.set_num_threads(1)
    subjects: list[tuple[str, str, Loss, dict[str, Any]]] = [
        ("torch", name, loss, settings) for name, (loss, settings) in TORCH.items()
    ]
    for name, arguments in OF_EMBEDDINGS.items():
        made = getattr(theirs, name)(**arguments)
        subjects.append(("pytorch-metric-learning", name, made, {"takes": "embeddings"}))
    rows: list[list[Any]] = []
    for package, name, loss, settings in subjects:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            report = check_loss(loss, **settings, raises=False)
        found = [[one.law, one.came] for one in report.findings if one.status == "broken"]
        rows += [[package, name, *one] for one in found or [["", ""]]]
    write(TABLE, ["package", "loss", "broken", "came"], rows)


if __name__ == "__main__":
    main()
