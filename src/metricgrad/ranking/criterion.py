"""A loss of ranks as a training criterion: what is ranked against what, and which settings a preset stands for."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from metricgrad._checks import Number, describe, fail, positive_number, require_matrix, require_settings
from metricgrad._labels import Labels
from metricgrad.averages import mean_valid
from metricgrad.metrics.own_references import same_rows
from metricgrad.pairing import MemoryQueue, SiMix, label_codes, mix_rows, unit_rows
from metricgrad.ranking.ranks import positive_ranks
from metricgrad.relax.rank import IncludeQuery, PositiveRanks, positives_of
from metricgrad.relax.step import StepName

__all__ = ["RankingLoss"]


class RankingLoss(nn.Module):
    """A loss of ranks as a training criterion on embeddings and labels, with the call of pytorch-metric-learning.

    Args:
        loss: a loss of ranks, `(ranks, **settings) -> [query]`, e.g. `losses.recall_at_k_loss`.
        temperature: width of the step in units of similarity, > 0, a number. To learn it: unit rows divided by its
            square root, with temperature=1 and normalize=False.
        preset: None or "paper" leaves the query out of its own ranking; "official" does as the published code of
            the loss: for recall@k the query competes and k is lowered to the number of items (virtual ones not
            counted), for average precision the query is moreover one of its own positives.
        normalize: scale embeddings to length 1 first, so that similarities are cosines.
        step: "logistic" or "laplace".
        simix: virtual rows to add to every batch, after the normalisation; they are not normalised again.
        memory: a queue of past embeddings that the rows are ranked against too, without gradient. In train mode
            each call pushes its batch into it afterwards; `criterion.eval()` leaves it as it is.
        **settings: handed to the loss at every call.

    Raises:
        InputError: temperature <= 0 or asking for a gradient, an unknown preset, "official" for a loss without it.

    Example:
        >>> from metricgrad.losses import recall_at_k_loss
        >>> criterion = RankingLoss(recall_at_k_loss, k=(1, 2), temperature=0.01)
        >>> embeddings = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])
        >>> criterion(embeddings, torch.tensor([0, 0, 1, 1]))
        tensor(0.3845)
    """

    def __init__(
        self,
        loss: Callable[..., Tensor],
        *,
        temperature: Number,
        preset: Literal["paper", "official"] | None = None,
        normalize: bool = True,
        step: StepName = "logistic",
        simix: SiMix | None = None,
        memory: MemoryQueue | None = None,
        **settings: Any,
    ) -> None:
        super().__init__()
        self.loss, self.normalize, self.simix = loss, normalize, simix
        self.memory = memory
        self.step: StepName = step
        if not callable(loss):
            raise fail(
                "RankingLoss", f"loss is {describe(loss)}", "a loss of ranks, e.g. losses.recall_at_k_loss"
            )
        _check_settings(loss, settings)
        self._takes_gains = "gains" in _parameters(loss)
        self.temperature = positive_number("RankingLoss", "temperature", temperature)
        self.official = preset == "official"
        preset_settings = _preset(loss, preset)
        self.include_query: IncludeQuery = preset_settings.pop("include_query")
        self.settings = preset_settings | settings

    def forward(
        self,
        embeddings: Float[Tensor, "query dim"],
        labels: Labels,
        indices_tuple: None = None,
        ref_emb: Float[Tensor, "item dim"] | None = None,
        ref_labels: Labels | None = None,
    ) -> Float[Tensor, ""]:
        """Return the mean of the loss over the queries with a positive, virtual ones included.

        Args:
            embeddings: one row per sample.
            labels: integers or strings, one per row.
            indices_tuple: None; a ranking has no pairs to choose from.
            ref_emb: items to rank instead of the rows; the queries are not among them unless it is `embeddings`, or
                these rows detached.
            ref_labels: their labels.

        Returns:
            A scalar; 0 with zero gradient where no row has a positive.

        Raises:
            InputError: `indices_tuple` is given, `ref_emb` with a memory or SiMix, or shapes do not fit.
        """
        if indices_tuple is not None:
            raise fail(
                "RankingLoss",
                "indices_tuple came (a miner's output)",
                "None: a loss of ranks uses every item of the batch",
                "Leave the miner out and compose batches with metricgrad.pairing.ClassBatchSampler.",
            )
        loss, valid = self.per_query(embeddings, labels, ref_emb, ref_labels)
        return mean_valid(loss, valid)

    def judged(
        self,
        queries: Float[Tensor, "query dim"],
        documents: Float[Tensor, "document dim"],
        relevance: Shaped[Tensor, "query document"],
    ) -> Float[Tensor, ""]:
        """Return the mean of the loss over queries that are ranked against documents and have a relevant one.

        Args:
            queries: one row per query.
            documents: one row per document; the queries are not among them unless these are the very same rows.
            relevance: bool, or grades, which are relevant above 0. A loss with `gains` (NDCG) takes the grades for
                them, unless it was given some.

        Returns:
            A scalar; 0 with zero gradient where no query has a relevant document.

        Raises:
            InputError: a memory or SiMix was set, which belong to labels; shapes do not fit.

        Example:
            >>> from metricgrad.losses import ndcg_loss
            >>> queries, documents = (
            ...     torch.tensor([[1.0, 0.0]]),
            ...     torch.tensor([[0.9, 0.1], [0.0, 1.0], [0.5, 0.5]]),
            ... )
            >>> criterion = RankingLoss(ndcg_loss, temperature=0.01)
            >>> criterion.judged(queries, documents, torch.tensor([[1.0, 0.0, 3.0]]))
            tensor(0.2033)
        """
        if self.simix is not None or self.memory is not None:
            came = f"relevance came, but {'simix' if self.memory is None else 'a memory'} was set"
            raise fail("RankingLoss", came, "one of the two: mixtures and memories need labels")
        require_matrix("RankingLoss", "queries", queries, "query, dim")
        itself = same_rows(documents, queries)
        own = torch.arange(len(queries), device=queries.device) if itself else None
        ranks = self._ranks(
            self._unit(queries),
            None,
            reference_embeddings=self._unit(documents),
            relevance=relevance,
            query_item=own,
        )
        settings = self.settings
        if self._takes_gains and "gains" not in settings:
            grades = relevance.to(queries.device)
            positives, _ = positives_of(grades > 0, own)
            settings = {**settings, "gains": grades.gather(1, positives).to(ranks.among_all.dtype)}
        return mean_valid(self.loss(ranks, **settings), ranks)

    def per_query(
        self,
        embeddings: Float[Tensor, "row dim"],
        labels: Labels,
        ref_emb: Float[Tensor, "item dim"] | None = None,
        ref_labels: Labels | None = None,
    ) -> tuple[Float[Tensor, " query"], Bool[Tensor, " query"]]:
        """Return the loss of every query, real rows before virtual ones, and which of them have a positive."""
        require_matrix("RankingLoss", "embeddings", embeddings, "query, dim")
        rows = self._unit(embeddings)
        if self.simix is None and self.memory is None:
            items = rows if ref_emb is embeddings else None if ref_emb is None else self._unit(ref_emb)
            own = None  # which of the references each query is
            if ref_emb is not None and ref_emb is not embeddings and same_rows(ref_emb, embeddings):
                own = torch.arange(len(rows), device=rows.device)
            ranks = self._ranks(
                rows, labels, reference_embeddings=items, reference_labels=ref_labels, query_item=own
            )
        elif ref_emb is None and ref_labels is None:
            ranks = self._among_more(rows, labels)
            if self.memory is not None and self.training:
                self.memory.push(embeddings, labels)
        else:
            raise fail(
                "RankingLoss",
                f"references came, but {'simix' if self.memory is None else 'a memory'} was set",
                "one of the two: each says what else the rows are ranked against",
            )
        return self.loss(ranks, **self.settings), ranks.valid.any(1)

    def _among_more(self, rows: Tensor, labels: Labels) -> PositiveRanks:
        """Rank the rows among themselves, their mixtures and the memory; mixtures may be queries too."""
        memory = self.memory
        known = (labels,) if memory is None else (labels, memory.labels)
        codes, *past_codes = label_codes(*known, device=rows.device)
        queries, mixed = len(rows), 0
        if self.simix is not None:
            virtual = self.simix.draw(codes)
            mixed = len(virtual.share)
            rows, codes = mix_rows(rows, virtual), torch.cat([codes, codes[virtual.first]])
            queries = len(rows) if self.simix.virtual_queries else queries
        items, item_codes = rows, codes
        if memory is not None:
            items = torch.cat([rows, self._unit(memory.embeddings.to(rows))])
            item_codes = torch.cat([codes, *past_codes])
        if queries == len(items):
            ranks = self._ranks(items, item_codes)
        else:
            own = torch.arange(queries, device=rows.device)
            ranks = self._ranks(
                rows[:queries],
                codes[:queries],
                reference_embeddings=items,
                reference_labels=item_codes,
                query_item=own,
            )
        # the published code knows the number of items from before the mixing
        return ranks._replace(competitors=ranks.competitors - mixed) if self.official else ranks

    def _unit(self, embeddings: Tensor) -> Tensor:
        return unit_rows(embeddings) if self.normalize else embeddings

    def _ranks(self, rows: Tensor, labels: Labels | None, **references: Any) -> PositiveRanks:
        return positive_ranks(
            rows,
            labels,
            temperature=self.temperature,
            step=self.step,
            include_query=self.include_query,
            **references,
        )

    def extra_repr(self) -> str:
        """Show the settings in `print(model)`."""
        name = getattr(self.loss, "__name__", repr(self.loss))
        settings = "".join(f", {key}={value!r}" for key, value in self.settings.items())
        settings += "" if self.simix is None else f", simix={self.simix}"
        return f"{name}, temperature={self.temperature}, include_query={self.include_query!r}{settings}"


_OFFICIAL: dict[str, dict[str, Any]] = {
    "recall_at_k_loss": {"include_query": True, "clamp_k": True},
    "average_precision_loss": {"include_query": "positive"},
}
"""What the published code of a loss does differently, by the name of the loss."""


def _check_settings(loss: Callable[..., Tensor], settings: Mapping[str, Any]) -> None:
    """Raise InputError for a setting that the loss does not take, where its signature can be read."""
    arguments = _parameters(loss).values()
    known = {one.name for one in arguments if one.kind in (one.KEYWORD_ONLY, one.POSITIONAL_OR_KEYWORD)}
    if not arguments or any(one.kind is one.VAR_KEYWORD for one in arguments):
        return
    require_settings(f"RankingLoss of {getattr(loss, '__name__', 'the loss')}", settings, known - {"ranks"})


def _parameters(loss: Callable[..., Tensor]) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of a loss by name; none where its signature cannot be read."""
    try:
        return inspect.signature(loss).parameters
    except (TypeError, ValueError):
        return {}


def _preset(loss: Callable[..., Tensor], preset: str | None) -> dict[str, Any]:
    if preset is None or preset == "paper":
        return {"include_query": False}
    while isinstance(loss, functools.partial):
        loss = loss.func
    name = getattr(inspect.unwrap(loss), "__name__", type(loss).__name__)
    if preset != "official" or name not in _OFFICIAL:
        known = ", ".join(_OFFICIAL)
        raise fail(
            "RankingLoss", f"preset is {preset!r} for {name}", f"'paper', or 'official' for one of {known}"
        )
    return dict(_OFFICIAL[name])
