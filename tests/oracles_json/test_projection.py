"""Every case of projection.json: cosines after closed forms of labels and of pairs."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from metricgrad import projection
from tests.oracles_json.reading import Case, cases, hold

OF_LABELS = {
    "centre": projection.Centre,
    "whitening": projection.Whitening,
    "within_class_whitening": projection.WithinClassWhitening,
    "lda": projection.LDA,
    "all_but_top": projection.AllButTheTop,
    "pca": projection.PCA,
}
"""Our forms of vectors by their names in the file."""

OF_PAIRS = {
    "within_pair_whitening": projection.WithinPairWhitening,
    "procrustes": projection.Procrustes,
    "cca": projection.CCA,
}
"""Our forms of pairs by their names in the file."""


def rows(values: Any) -> Tensor:
    """A matrix of the file."""
    return torch.tensor(values, dtype=torch.float64)


def of_labels(case: Case) -> Mapping[str, Any]:
    """Cosines of queries with the fitted rows."""
    inputs = case["inputs"]
    fit = rows(inputs["fit"])
    form = OF_LABELS[case["operation"]](**case["params"]).fit(fit, inputs.get("labels"))
    return {"cosines": form(rows(inputs["queries"])) @ form(fit).T}


def of_pairs(case: Case) -> Mapping[str, Any]:
    """Cosines of queries with the fitted documents."""
    inputs = case["inputs"]
    documents = rows(inputs["fit_documents"])
    form = OF_PAIRS[case["operation"]](**case["params"]).fit(rows(inputs["fit_queries"]), documents)
    return {"cosines": form.query(rows(inputs["queries"])) @ form.document(documents).T}


@pytest.mark.parametrize("case", cases("projection"))
def test_case(case: Case) -> None:
    """A case of the file."""
    hold(case, {**dict.fromkeys(OF_LABELS, of_labels), **dict.fromkeys(OF_PAIRS, of_pairs)})
