"""From embeddings and labels to soft ranks, and from a loss of ranks to a training criterion."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from metricgrad._checks import Number, describe, fail, positive_number, require_matrix, require_settings
from metricgrad._labels import Labels, number_labels
from metricgrad.averages import mean_valid
from metricgrad.metrics.own_references import same_rows
from metricgrad.pairing import MemoryQueue, SiMix, label_codes, mix_rows, positive_lists, unit_rows
from metricgrad.relax.rank import IncludeQuery, PositiveRanks, positive_ranks_from_products
from metricgrad.relax.step import StepName

__all__ = ["RankingLoss", "positive_ranks"]


def positive_ranks(
    embeddings: Float[Tensor, "query dim"],
    labels: Labels,
    *,
    reference_embeddings: Float[Tensor, "item dim"] | None = None,
    reference_labels: Labels | None = None,
    query_item: Int[Tensor, " query"] | None = None,
    temperature: Number,
    step: StepName = "logistic",
    include_query: IncludeQuery = False,
) -> PositiveRanks:
    """Return the soft ranks of every query's positives by dot product (surrogate; exact for `temperature=0`).

    r[q, x] = 1 + sum over items z != x of step((<e_q, e_z> - <e_q, e_x>) / temperature), for the items x that have
    the label of q. Without references every row is ranked against the other rows.

    Args:
        embeddings: taken as they are; normalise them for cosine similarity (`RankingLoss` does so).
        labels: integers or strings, one per row, in any order and any class sizes.
        reference_embeddings: items to rank instead of the rows themselves. The queries are not among them, unless
            these are the very rows of `embeddings` in memory (detached, too) or `query_item` says where.
        reference_labels: their labels.
        query_item: which of the references each query is, -1 for none, where they hold the queries among others
            (`torch.arange(len(embeddings))` for references that begin with them). A query is never its own
            positive and does not compete with itself.
        temperature: width of the step in units of similarity, >= 0. 0 gives the exact ranks: a tie counts 1/2.
        step: "logistic" or "laplace".
        include_query: whether a query competes with the other rows; "positive" also makes it one of its positives.

    Returns:
        Ranks in float32 or wider, padded to the largest number of positives.

    Raises:
        InputError: shapes or item numbers that do not fit, a negative temperature; NaN where `temperature` is 0 or
            under `torch.autograd.set_detect_anomaly(True)` (otherwise the ranks become NaN).

    Edge cases:
        A row without another of its label has no valid entry. Ties count 1/2.

    Gradient:
        Exact for the soft ranks, to `embeddings` and `reference_embeddings`; it falls like
        exp(-gap / temperature). None for `temperature=0`; no second derivative (raises). Half precision and
        autocast are computed in float32.

    Cost:
        Time O(query x item x (dim + positive)); nothing of size query x item is kept: similarities are made in
        tiles of at most 256 MB and once more in the backward pass.

    Differs from the paper:
        The query is left out of its own ranking; `include_query=True` is the official code.

    Reference:
        [patel2022recall] section 3.

    Example:
        >>> embeddings = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
        >>> ranks = positive_ranks(embeddings, ["a", "b", "a"], temperature=0)
        >>> ranks.among_all[ranks.valid]
        tensor([2., 2.])
    """
    caller = "positive_ranks"
    require_matrix(caller, "embeddings", embeddings, "query, dim")
    own = query_item is None and (reference_embeddings is None or reference_embeddings is embeddings)
    items = embeddings if reference_embeddings is None else reference_embeddings
    item_labels = labels if reference_labels is None else reference_labels
    if reference_embeddings is None and query_item is not None:
        raise fail(caller, "query_item came without reference_embeddings", "the items that it numbers")
    if (
        reference_labels is None
        and reference_embeddings is not None
        and reference_embeddings is not embeddings
    ):
        raise fail(caller, "reference_embeddings came without reference_labels", "both or none")
    if reference_embeddings is None and reference_labels is not None:
        raise fail(caller, "reference_labels came without reference_embeddings", "both or none")
    require_matrix(caller, "reference_embeddings", items, "item, dim")
    if items.shape[1] != embeddings.shape[1]:
        raise fail(
            caller,
            f"embeddings are {describe(embeddings)} and reference_embeddings {describe(items)}",
            "the same number of dimensions",
        )
    sets = {"labels": labels} | ({} if item_labels is labels else {"reference_labels": item_labels})
    numbered = number_labels(caller, sets, device=embeddings.device).codes
    codes, item_codes = numbered[0], numbered[-1]
    _same_length(caller, "labels", codes, embeddings)
    _same_length(caller, "reference_labels", item_codes, items)
    if query_item is None and same_rows(items, embeddings) and (items is not embeddings or len(sets) > 1):
        own, query_item = False, torch.arange(len(embeddings), device=embeddings.device)
    keep = include_query == "positive"
    if query_item is None:
        lists = positive_lists(codes, item_codes, queries_are_items=own, query_is_positive=own and keep)
        query_item = torch.arange(len(embeddings), device=embeddings.device) if own else None
    else:
        query_item = _item_numbers(caller, query_item, embeddings, items)
        lists = _without_query(*positive_lists(codes, item_codes, queries_are_items=False), query_item, keep)
    return positive_ranks_from_products(
        embeddings,
        items,
        *lists,
        query_item=query_item,
        include_query=include_query,
        temperature=temperature,
        step=step,
    )


def _item_numbers(caller: str, query_item: Tensor, queries: Tensor, items: Tensor) -> Tensor:
    own = query_item.to(queries.device, torch.long)
    if own.shape != (len(queries),) or bool(((own < -1) | (own >= len(items))).any()):
        raise fail(
            caller,
            f"query_item is {describe(query_item)} for {len(queries)} queries",
            f"one item number below {len(items)} (or -1 for none) for each query",
        )
    return own


def _without_query(
    positives: Tensor, counts: Tensor, query_item: Tensor, keep: bool
) -> tuple[Tensor, Tensor]:
    """Take each query out of the list of its positives, or (`keep`) leave it beside another one only."""
    columns = torch.arange(positives.shape[1], device=positives.device)
    own = (positives == query_item.unsqueeze(1)) & (columns < counts.unsqueeze(1))  # [query, positive]
    found = own.any(1)
    if keep:
        return positives, torch.where(found & (counts == 1), 0, counts)
    counts = counts - found.long()
    width = max(1, int(counts.max())) if len(counts) else 1
    # From the query's own place on the next one moves up.
    columns = columns[:width] + (own.cumsum(1)[:, :width] > 0).long()  # [query, positive]
    moved = positives.gather(1, columns.clamp(max=positives.shape[1] - 1))
    valid = torch.arange(width, device=positives.device) < counts.unsqueeze(1)
    return moved.masked_fill_(~valid, 0), counts


def _same_length(caller: str, name: str, labels: Labels, rows: Tensor) -> None:
    if len(labels) != len(rows):
        raise fail(caller, f"{name} has {len(labels)} entries for {describe(rows)}", "one label per row")


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

    def _ranks(self, rows: Tensor, labels: Labels, **references: Any) -> PositiveRanks:
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
    try:
        arguments = inspect.signature(loss).parameters.values()
    except (TypeError, ValueError):
        return
    known = {one.name for one in arguments if one.kind in (one.KEYWORD_ONLY, one.POSITIONAL_OR_KEYWORD)}
    if any(one.kind is one.VAR_KEYWORD for one in arguments):
        return
    require_settings(f"RankingLoss of {getattr(loss, '__name__', 'the loss')}", settings, known - {"ranks"})


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
