"""Our criteria and exact metrics in skorch, without an adapter."""

from pathlib import Path

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from torch import nn

from metricgrad.integrations.scikit_learn import RuleClassifier
from tests.integrations.pages import run_page

pytestmark = pytest.mark.integration("skorch")


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """docs/integrations/skorch.md is a program: the loss falls, the scorer is the exact metric."""
    page = run_page("skorch.md", tmp_path, monkeypatch)
    history = page.net.history
    losses = history[:, "train_loss"]
    assert losses[-1] < losses[0]
    _, valid = page.net.train_split(page.X, page.labels)
    rows = valid.indices
    outputs = torch.from_numpy(page.net.predict(page.X[rows]))
    wanted = page.recall.summarise(page.recall.measure(outputs, torch.from_numpy(page.labels[rows])))
    assert history[-1, "valid_recall_at_1"] == wanted


def test_a_net_under_a_rule():
    """A NeuralNetClassifier is the classifier of `RuleClassifier`; the classes are those of the rule."""
    generator = np.random.default_rng(0)
    y = (generator.random(600) < 0.15).astype("int64")
    X = (generator.normal(size=(600, 5)) + 1.2 * y[:, None]).astype("float32")
    torch.manual_seed(0)
    net = NeuralNetClassifier(
        nn.Linear, module__in_features=5, module__out_features=2, criterion=nn.CrossEntropyLoss, max_epochs=20,
        lr=0.1, verbose=0,
    )  # fmt: skip
    model = RuleClassifier(net, "f_beta:beta=2", cv=2).fit(X, y)
    assert model.rule_.name == "threshold", model.note_
    found = model.rule_.decide(model.predict_proba(X)).numpy()
    np.testing.assert_array_equal(model.predict(X), found)
    assert found.sum() > model.estimator_.predict(X).sum()
