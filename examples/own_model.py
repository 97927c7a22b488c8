"""Tune a network of your own for recall@1, with a control arm and a locked test split; a few seconds on a laptop.

    pip install 'metricgrad[scikit]'
    python examples/own_model.py [FOLDER]

The pictures are scikit-learn's handwritten digits, so nothing is downloaded. Ten classes are few: this shows how the
parts fit together, not what the method brings. FOLDER, if given, keeps the run: weights, record and report.html.
"""

import sys

import torch
from sklearn.datasets import load_digits
from torch import nn

import metricgrad as mg


def read_digits() -> mg.Splits:
    """Three splits that share no class: what is retrieved at the end was never trained on."""
    pixels, classes = load_digits(return_X_y=True)
    inputs = torch.tensor(pixels, dtype=torch.float32) / 16  # [item, pixel]
    labels = torch.tensor(classes)  # [item]
    fit, select, test = ((labels >= low) & (labels < high) for low, high in ((0, 4), (4, 7), (7, 10)))
    return mg.Splits(
        fit=mg.ClassBatchSplit(inputs[fit], labels[fit], classes_per_batch=4, samples_per_class=32),
        select=mg.ArraySplit(inputs[select], labels[select]),
        test=mg.ArraySplit(inputs[test], labels[test]),
    )


def train_by_proxy(model: nn.Module, splits: mg.Splits, steps: int = 100) -> nn.Module:
    """The training that you have already: here supervised contrastive, in a loop of its own."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    taken = 0
    while taken < steps:
        for inputs, labels in splits.fit:
            optimiser.zero_grad()
            mg.losses.supcon_loss(model(inputs), labels).mean().backward()
            optimiser.step()
            taken += 1
    return model


def main() -> None:
    """Train by the proxy, tune for the metric, print what may be claimed."""
    torch.manual_seed(0)
    splits = read_digits()
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 16))
    train_by_proxy(model, splits)
    # Both arms start from this model and take 60 steps: `continued` goes on with the proxy, `tuned` takes the
    # surrogate of recall@k. `select` chooses the step and the arm; `test` is read once, for the claim.
    plan = mg.Plan(steps=60, evaluate_every=20)
    result = mg.tune(model, splits, metric="recall@1", proxy="supcon", plan=plan, seed=(0, 1))
    print(result.summary())
    if len(sys.argv) > 1:
        result.save(sys.argv[1])
        print(f"report: {result.report()}")


if __name__ == "__main__":
    main()
