"""sentence-transformers: our losses in `SentenceTransformerTrainer`, and our exact metrics as an evaluator."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from metricgrad._checks import extra, fail
from metricgrad._labels import Labels
from metricgrad._types import Metric
from metricgrad.integrations.gathering import of_all_processes
from metricgrad.integrations.sentence_evaluators import Evaluated, evaluator_metric
from metricgrad.methods.objectives import named_objective
from metricgrad.metrics import adapt
from metricgrad.ranking import RankingLoss

__all__ = ["Evaluated", "MetricEvaluator", "SentenceLoss", "evaluator_metric"]

_evaluation = extra(
    "sentence_transformers.sentence_transformer.evaluation",
    "sentence-transformers",
    "An evaluator of sentences",
)


class SentenceLoss(nn.Module):
    """A loss of metricgrad with the call of sentence-transformers: `loss(sentence_features, labels)`.

    One column of texts: the rows of the batch are embeddings under their labels. Several columns: the first holds
    queries, and each is ranked against the texts of all other columns in the batch; its own text of the second column
    is relevant, all others are not. Labels of several columns are not read.

    Args:
        model: the `SentenceTransformer` that is trained.
        loss: the name of one of our losses of ranks or embeddings without `_loss` ("recall_at_k", "supcon",
            "info_nce"), a `RankingLoss`, or any callable: of `(embeddings, labels)`, or of `({"query": ..., "document":
            ...}, {"relevance": [query, document]})`. One value per unit is averaged.
        gather_across_devices: with several processes: take the rows of all of them, as the losses of
            sentence-transformers do under this name. The gradient is that of one process with the whole batch. Else
            each process compares its own rows.
        **settings: of a loss by name (temperature, k, ...); see `metricgrad explain NAME`.

    Raises:
        InputError: there is no such loss or setting; when called: one column without labels; columns or labels of
            processes that differ in number or shape.

    Example:
        >>> class Model(nn.Module):
        ...     def forward(self, features):
        ...         return {"sentence_embedding": features["input_ids"].float()}
        >>> loss = SentenceLoss(Model(), "recall_at_k", k=1, temperature=0.01)
        >>> column = {"input_ids": torch.tensor([[1, 0], [9, 1], [0, 1], [1, 9]])}
        >>> loss([column], torch.tensor([0, 0, 1, 1]))
        tensor(0.5000)
        >>> loss([column, column], None)  # every query finds its own text, another one close behind
        tensor(0.5870)
    """

    def __init__(
        self,
        model: nn.Module,
        loss: str | Callable[[Any, Any], Tensor],
        *,
        gather_across_devices: bool = False,
        **settings: Any,
    ) -> None:
        super().__init__()
        self.gather_across_devices = gather_across_devices
        if not isinstance(loss, str) and settings:
            came = f"settings {settings} came for a callable"
            raise fail("SentenceLoss", came, "none: set them where you make the callable")
        self.model, self.name, self.settings = model, loss, settings
        self.loss = named_objective(loss, settings, complete=True) if isinstance(loss, str) else loss

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor | None) -> Tensor:
        """Return the loss of a batch, a scalar.

        Args:
            sentence_features: the inputs of the model, one dict per column.
            labels: classes [row] of one column of texts.
        """
        rows, *others = (self.model(features)["sentence_embedding"] for features in sentence_features)
        if not others and labels is None:
            came = "the batch has one column of texts and no labels"
            raise fail("SentenceLoss", came, "a column `label`, or a second column of texts")
        rows, *others = (self._of_all("columns", column) for column in (rows, *others))
        if not others:
            return self.loss(rows, self._of_all("labels", labels)).mean()
        documents = torch.cat(others)
        relevance = torch.eye(len(rows), len(documents), device=rows.device)
        if isinstance(self.loss, RankingLoss):
            return self.loss.judged(rows, documents, relevance)
        return self.loss({"query": rows, "document": documents}, {"relevance": relevance}).mean()

    def get_config_dict(self) -> dict[str, Any]:
        """Return what the model card says of the loss."""
        name = self.name if isinstance(self.name, str) else repr(self.loss)
        gathered = {"gather_across_devices": True} if self.gather_across_devices else {}
        return {"loss": name, **self.settings, **gathered}

    def _of_all(self, what: str, rows: Any) -> Any:
        return of_all_processes("SentenceLoss", what, rows) if self.gather_across_devices else rows


class MetricEvaluator(_evaluation.SentenceEvaluator):
    """Exact metrics of metricgrad of a model's embeddings, as an evaluator of sentence-transformers.

    Args:
        texts: what is embedded; every text is a query.
        labels: one per text.
        metrics: names of metrics of embeddings ("recall@1", "map", "ndcg@10"), or whatever `tune(metric=)` takes. The
            first one is the primary metric, by which the Trainer chooses a checkpoint.
        documents: texts that the queries are ranked against; None: the other texts.
        document_labels: one per document.
        name: comes before the names of the metrics, as in `dev_recall@1`.
        batch_size: texts per batch of `model.encode`.

    Raises:
        InputError: no metric is given, or documents and their labels do not come together.
    """

    def __init__(
        self,
        texts: Sequence[str],
        labels: Labels,
        metrics: Sequence[Any] = ("recall@1",),
        *,
        documents: Sequence[str] | None = None,
        document_labels: Labels | None = None,
        name: str = "",
        batch_size: int = 32,
    ) -> None:
        super().__init__()
        if not metrics or isinstance(metrics, str):
            raise fail("MetricEvaluator", f"metrics are {metrics!r}", "a list of one metric or more")
        if (documents is None) != (document_labels is None):
            raise fail(
                "MetricEvaluator", "documents came without labels, or labels without them", "both or none"
            )
        self.texts, self.labels = list(texts), labels
        self.documents, self.document_labels = documents, document_labels
        self.metrics: list[Metric] = [adapt(metric) for metric in metrics]
        self.name, self.batch_size = name, batch_size
        first = self.metrics[0]
        self.primary_metric = f"{name}_{first.name}" if name else first.name
        self.greater_is_better = first.higher_is_better

    def __call__(
        self, model: Any, output_path: str | Path | None = None, epoch: float = -1, steps: int = -1
    ) -> dict[str, float]:
        """Return the metrics by name, and add them to the model card; nothing is written to `output_path`."""
        embeddings, references = self._embedded(model, self.texts), {}
        if self.documents is not None:
            references["reference_outputs"] = self._embedded(model, list(self.documents))
            references["reference_targets"] = self.document_labels
        values = {
            metric.name: float(metric.summarise(metric.measure(embeddings, self.labels, **references)))
            for metric in self.metrics
        }
        values = self.prefix_name_to_metrics(values, self.name)
        self.store_metrics_in_model_card_data(model, values, epoch, steps)
        return values

    def _embedded(self, model: Any, texts: list[str]) -> Tensor:
        return model.encode(
            texts, batch_size=self.batch_size, convert_to_tensor=True, show_progress_bar=False
        ).cpu()

    def get_config_dict(self) -> dict[str, Any]:
        """Return what the model card says of the evaluator."""
        return {"metrics": [metric.name for metric in self.metrics]}
