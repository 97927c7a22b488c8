"""The real SentenceTransformerTrainer with our losses and evaluator, beside the evaluators of sentence-transformers."""

from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
from torch import Tensor, nn

import metricgrad as mg
from metricgrad.errors import InputError
from metricgrad.integrations.sentence_transformers import MetricEvaluator, SentenceLoss
from tests.integrations.pages import run_page

pytestmark = pytest.mark.integration("sentence-transformers")


class Vectors(nn.Module):
    """Stands for a model: its features are embeddings already, its texts numbers of rows."""

    similarity_fn_name = "cosine"

    def __init__(self) -> None:
        super().__init__()
        self.turn = nn.Parameter(torch.eye(4))
        self.rows = torch.randn(40, 4, generator=torch.manual_seed(1))
        self.model_card_data = type("Card", (), {"set_evaluation_metrics": lambda *arguments: None})()

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Turn them."""
        return {"sentence_embedding": features["rows"] @ self.turn}

    def encode(self, texts: list[str], **settings: Any) -> Tensor:
        """Look them up."""
        return self.rows[[int(text) for text in texts]]

    encode_query = encode_document = encode

    def similarity(self, first: Tensor, second: Tensor) -> Tensor:
        """Cosines."""
        return nn.functional.normalize(first) @ nn.functional.normalize(second).T


def column(seed: int) -> dict[str, Tensor]:
    """Features of eight texts."""
    return {"rows": torch.randn(8, 4, generator=torch.Generator().manual_seed(seed))}


def gradient(loss: Tensor, model: Vectors) -> Tensor:
    """Of the parameter of the model."""
    return torch.autograd.grad(loss, model.turn)[0]


@pytest.mark.parametrize("by_name", [True, False])
@pytest.mark.parametrize("columns", [1, 2, 3])
def test_the_loss_is_that_of_the_embeddings(columns: int, by_name: bool):
    """Labelled texts, pairs and triplets give value and gradient of RankingLoss, by name and as a criterion."""
    model, labels = Vectors(), torch.arange(8) % 3
    criterion = mg.RankingLoss(mg.losses.recall_at_k_loss, k=2, temperature=0.1)
    loss = (
        SentenceLoss(model, "recall_at_k", k=2, temperature=0.1)
        if by_name
        else SentenceLoss(model, criterion)
    )
    features = [column(seed) for seed in range(columns)]
    rows = [one["rows"] @ model.turn for one in features]
    documents = torch.cat([*rows[1:], rows[0][:0]])
    expected = (
        criterion(rows[0], labels)
        if columns == 1
        else criterion.judged(rows[0], documents, torch.eye(8, len(documents)))
    )
    found = loss(iter(features), labels if columns == 1 else None)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradient(found, model), gradient(expected, model))


def test_metrics_equal_those_of_sentence_transformers():
    """Queries ranked against documents: the figures of InformationRetrievalEvaluator, to the last digits."""
    model, labels = Vectors(), [number % 5 for number in range(40)]
    queries, documents = list(map(str, range(10))), list(map(str, range(10, 40)))
    theirs = InformationRetrievalEvaluator(
        {text: text for text in queries},
        {text: text for text in documents},
        {text: {other for other in documents if labels[int(other)] == labels[int(text)]} for text in queries},
        accuracy_at_k=[1],
        precision_recall_at_k=[5],
        mrr_at_k=[30],
        ndcg_at_k=[10],
        map_at_k=[30],
        write_csv=False,
    )(model)
    names = {"recall@1": "accuracy@1", "mrr": "mrr@30", "ndcg@10": "ndcg@10", "map": "map@30"}
    ours = MetricEvaluator(
        queries, labels[:10], list(names), documents=documents, document_labels=labels[10:]
    )(model)
    for name, other in names.items():
        assert ours[name] == pytest.approx(theirs[f"cosine_{other}"]), name


def test_mistakes_are_named():
    """Texts without labels, settings for a callable, a metric that is no list, documents without labels."""
    with pytest.raises(InputError, match="one column of texts and no labels"):
        SentenceLoss(Vectors(), "supcon")([column(0)], None)
    with pytest.raises(InputError, match="came for a callable"):
        SentenceLoss(Vectors(), torch.nn.functional.cross_entropy, k=1)
    with pytest.raises(InputError, match="a list of one metric or more"):
        MetricEvaluator(["1"], [0], "recall@1")
    with pytest.raises(InputError, match="both or none"):
        MetricEvaluator(["1"], [0], documents=["2"])


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """docs/integrations/sentence-transformers.md is a program: the metrics rise, the best checkpoint is kept."""
    page = run_page("sentence-transformers.md", tmp_path, monkeypatch)
    assert set(page.before) == {"dev_recall@1", "dev_map"}
    for name, value in page.before.items():
        assert page.after[name] > value + 0.1
    best = max(line["eval_dev_recall@1"] for line in page.trainer.state.log_history if "eval_dev_map" in line)
    assert page.after["dev_recall@1"] == pytest.approx(best)
    assert isinstance(page.tuned, SentenceTransformer)
    assert page.tuned.encode(["w1 w2"]).shape == (1, 32)
    assert page.judged.metric.name == "cosine_ndcg@10"
    chosen = page.by_evaluator.event("chosen")["select"]["0"][page.by_evaluator.returned]
    assert chosen == pytest.approx(page.said, abs=1e-6)
