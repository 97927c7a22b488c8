"""Soft ranks of the positives: the one hot operator under every ranking loss.

Recall@k, average precision, reciprocal rank and NDCG need, of a whole ranking, only the ranks of the few relevant
items. Each rank is one plus a count of the items above, and a soft rank replaces the count by a sum of steps. The
operator never holds query x item x positive: it works through tiles of queries, keeps its inputs and the numbers
of the positives, and makes similarities and slopes anew in the backward pass.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd import Function

from metricgrad._checks import describe, fail, nearest, positive_number, require_matrix
from metricgrad.relax.step import (
    hard_step_,
    laplace_slope_,
    laplace_step_,
    logistic_slope_,
    logistic_step_,
)
from metricgrad.relax.tile import tile_gradient, tile_ranks

__all__ = ["PositiveRanks", "positive_ranks_from_products", "positive_ranks_from_scores"]

MEMORY_BUDGET = 256 * 2**20
"""Bytes that the tiles of similarities may take at a time; a smaller number changes time and no result."""

TILE_ROWS = 512
"""Most queries of one tile: a matrix product gains nothing from more."""

IncludeQuery = bool | Literal["positive"]
StepName = Literal["logistic", "laplace"]

_STEPS = {
    "logistic": (logistic_step_, logistic_slope_),
    "laplace": (laplace_step_, laplace_slope_),
}


class PositiveRanks(NamedTuple):
    """The (soft) ranks of the relevant items of every query.

    Rows are padded to the largest number of positives (at least one column); where `valid` is False the ranks are
    1 and carry no gradient. The positives of a query stand in the order of their item numbers.

    Attributes:
        among_all: [query, positive] 1 + (soft) number of items above the positive.
        among_positives: [query, positive] 1 + (soft) number of other positives above it.
        valid: [query, positive] bool.
        competitors: [query] number of items that are ranked.
    """

    among_all: Float[Tensor, "query positive"]
    among_positives: Float[Tensor, "query positive"]
    valid: Bool[Tensor, "query positive"]
    competitors: Tensor


class _Setting(NamedTuple):
    """What a backward pass needs beside the tensors that carry gradients."""

    positives: Tensor  # [query, positive] item numbers, any number beyond the count
    counts: Tensor  # [query]
    excluded: Tensor | None  # [query] item that does not compete, -1 for none
    temperature: float  # 0 for exact ranks
    step: str


def positive_ranks_from_scores(
    scores: Float[Tensor, "query item"],
    relevance: Bool[Tensor, "query item"],
    *,
    query_item: Tensor | Sequence[int | None] | None = None,
    include_query: IncludeQuery = False,
    temperature: float,
    step: StepName = "logistic",
) -> PositiveRanks:
    """Return the soft ranks of the relevant items from given scores (surrogate; exact for `temperature=0`).

    r[q, x] = 1 + sum over z in C_q, z != x, of step((s[q, z] - s[q, x]) / temperature), for x in P_q: the relevant
    items of q, never q itself. C_q are the items without q, or with it where `include_query` is set.

    Args:
        scores: higher is ranked earlier; any real numbers, -inf for an item that shall not compete.
        relevance: True where the item is relevant to the query.
        query_item: which item each query is: [query], -1 or None for none. That item is never a positive.
        include_query: whether the query competes with the other items. "positive" also makes it a positive of its
            own, for a query that has another: the smooth AP of the official code.
        temperature: width of the step in units of score, >= 0. 0 gives the exact ranks: a tie counts 1/2.
        step: "logistic" or "laplace".

    Returns:
        The ranks, in float32 or wider.

    Raises:
        InputError: shapes or types that do not fit; `query_item` out of range; a negative temperature; NaN scores
            where `temperature` is 0 or under `torch.autograd.set_detect_anomaly(True)` (otherwise the ranks of
            their query are NaN).

    Edge cases:
        Ties count 1/2 each. A query without positives has no valid entry.

    Gradient:
        Exact for the soft ranks, made by formula in the backward pass; falls like exp(-gap / temperature), so that
        items further than some 15 temperatures from every positive feel nothing. None for `temperature=0`. There
        is no second derivative: asking for one raises. Half precision is computed in float32.

    Cost:
        Time O(query x positive x item); extra memory one tile (at most 256 MB, typically far less).

    Differs from the paper:
        The query is left out of its own ranking; `include_query=True` is the official code.

    Reference:
        [patel2022recall] section 3; [brown2020smoothap] for `among_positives`.

    Example:
        >>> scores = torch.tensor([[0.9, 0.8, 0.7, 0.6]])
        >>> relevance = torch.tensor([[True, False, True, False]])
        >>> positive_ranks_from_scores(scores, relevance, temperature=0).among_all
        tensor([[1., 3.]])
    """
    caller = "positive_ranks_from_scores"
    _check_options(caller, include_query, temperature, step)
    require_matrix(caller, "scores", scores, "query, item")
    if not isinstance(relevance, Tensor) or relevance.dtype != torch.bool or relevance.shape != scores.shape:
        raise fail(
            caller,
            f"relevance is {describe(relevance)} and scores are {describe(scores)}",
            "a bool tensor of the shape of scores (query, item)",
        )
    own = _query_items(caller, query_item, scores)
    if temperature == 0 or torch.is_anomaly_enabled():
        _refuse_nan(caller, "scores", scores)
    positives, counts = _positives_of(relevance, own, include_query)
    setting = _setting(positives, counts, own, include_query, temperature, step)
    among_all, among_positives = _apply(_RanksOfScores, temperature, scores, setting)
    return _packed(among_all, among_positives, setting, scores.shape[1])


def positive_ranks_from_products(
    queries: Float[Tensor, "query dim"],
    items: Float[Tensor, "item dim"],
    positives: Tensor,
    counts: Tensor,
    *,
    query_item: Tensor | None,
    include_query: IncludeQuery,
    temperature: float,
    step: str,
) -> PositiveRanks:
    """Return the soft ranks of listed positives for the scores `queries @ items.T`, which are never stored.

    `metricgrad.positive_ranks` is the door to this: it makes the lists from labels.

    Args:
        queries: rows as they are.
        items: rows as they are.
        positives: [query, positive] item numbers of the relevant items, padded with any item number.
        counts: [query] how many of them are there.
        query_item: [query] the item that a query is, -1 for none; None for none at all.
        include_query: as in `positive_ranks_from_scores`, with the lists made accordingly.
        temperature: as there.
        step: as there.

    Returns:
        The ranks, in float32 or wider.

    Raises:
        InputError: a negative temperature, an unknown step, NaN where it is looked for.

    Gradient:
        To `queries` and to `items`; saved for it are these and the lists, O((query + item) x dim).

    Cost:
        One matrix product forward, three backward, and O(query x positive x item) steps in tiles.
    """
    caller = "positive_ranks"
    _check_options(caller, include_query, temperature, step)
    if temperature == 0 or torch.is_anomaly_enabled():
        _refuse_nan(caller, "embeddings", queries)
        _refuse_nan(caller, "reference_embeddings", items)
    setting = _setting(positives, counts, query_item, include_query, temperature, step)
    among_all, among_positives = _apply(_RanksOfProducts, temperature, queries, items, setting)
    return _packed(among_all, among_positives, setting, items.shape[0])


def _setting(
    positives: Tensor,
    counts: Tensor,
    query_item: Tensor | None,
    include_query: IncludeQuery,
    temperature: float,
    step: str,
) -> _Setting:
    return _Setting(positives, counts, None if include_query else query_item, float(temperature), step)


def _check_options(caller: str, include_query: IncludeQuery, temperature: float, step: str) -> None:
    if step not in _STEPS:
        raise fail(caller, f"step is {step!r}", "'logistic' or 'laplace'", nearest(str(step), _STEPS))
    if include_query not in (False, True, "positive"):
        raise fail(caller, f"include_query is {include_query!r}", "False, True or 'positive'")
    positive_number(caller, "temperature", temperature, zero=True)


def _apply(function: type[Function], temperature: float, *arguments: Any) -> tuple[Tensor, Tensor]:
    if temperature == 0:
        with torch.no_grad():
            return function.apply(*arguments)  # pyright: ignore[reportReturnType]
    return function.apply(*arguments)  # pyright: ignore[reportReturnType]


def _packed(among_all: Tensor, among_positives: Tensor, setting: _Setting, items: int) -> PositiveRanks:
    competitors = torch.full_like(setting.counts, items)
    if setting.excluded is not None:
        competitors -= (setting.excluded >= 0).to(competitors.dtype)
    return PositiveRanks(among_all, among_positives, _valid(setting), competitors)


def _valid(setting: _Setting) -> Tensor:
    columns = torch.arange(setting.positives.shape[1], device=setting.counts.device)
    return columns < setting.counts.unsqueeze(1)  # [query, positive]


def _query_items(
    caller: str, query_item: Tensor | Sequence[int | None] | None, scores: Tensor
) -> Tensor | None:
    if query_item is None:
        return None
    if not isinstance(query_item, Tensor):
        query_item = torch.tensor([-1 if item is None else item for item in query_item], dtype=torch.long)
    queries, items = scores.shape
    own = query_item.to(scores.device, torch.long)
    if own.shape != (queries,) or bool(((own < -1) | (own >= items)).any()):
        raise fail(
            caller,
            f"query_item is {describe(query_item)} for scores {describe(scores)}",
            f"one item number below {items} (or -1 for none) for each of the {queries} queries",
        )
    return own


def _refuse_nan(caller: str, name: str, value: Tensor) -> None:
    bad = torch.isnan(value).any(1)
    if bool(bad.any()):
        rows = f"{int(bad.sum())} of {value.shape[0]} rows, first in row {int(bad.nonzero()[0])}"
        raise fail(
            caller,
            f"{name} has NaN in {rows}",
            "numbers",
            "Ranks need an order: find out where NaN comes from.",
        )


def _positives_of(
    relevance: Tensor, own: Tensor | None, include_query: IncludeQuery
) -> tuple[Tensor, Tensor]:
    """Return the item numbers of the positives [query, positive], padded with 0, and their counts [query]."""
    if own is not None:
        rows = torch.nonzero(own >= 0).squeeze(1)
        relevance = relevance.clone()
        relevance[rows, own[rows]] = False
        if include_query == "positive":
            relevance[rows, own[rows]] = relevance[rows].any(1)
    counts = relevance.sum(1)
    width = max(1, int(counts.max())) if len(counts) else 1
    positives = torch.zeros(len(counts), width, dtype=torch.long, device=relevance.device)
    row, item = torch.nonzero(relevance, as_tuple=True)
    first = torch.cumsum(counts, 0) - counts
    positives[row, torch.arange(len(row), device=row.device) - first[row]] = item
    return positives, counts


class _Tile(NamedTuple):
    """The queries of one tile; `rows` selects them from any tensor whose first axis is the query."""

    rows: slice | Tensor
    width: int


def _tiles(setting: _Setting, items: int, element_size: int) -> Iterator[_Tile]:
    """Cut the queries that have a positive into tiles; queries with equally many go together, to pad little."""
    counts = setting.counts
    if len(counts) == 0:
        return
    # three matrices of a tile's shape are alive at a time: similarities, their gradient, a block's differences
    size = max(1, min(TILE_ROWS, MEMORY_BUDGET // max(1, 3 * items * element_size)))
    most, least = int(counts.max()), int(counts.min())
    if most == least:
        for start in range(0, len(counts) if most else 0, size):
            yield _Tile(slice(start, start + size), most)
        return
    ordered, order = torch.sort(counts, descending=True, stable=True)
    widths = ordered.tolist()
    for start in range(0, sum(width > 0 for width in widths), size):
        rows = order[start : start + size]
        yield _Tile(rows[ordered[start : start + size] > 0], widths[start])


def _levels(scores: Tensor, setting: _Setting, tile: _Tile) -> tuple[Tensor, Tensor, Tensor]:
    """Return the positives' numbers, validity and scores in a tile, and take the excluded items out of `scores`."""
    positives = setting.positives[tile.rows, : tile.width]
    columns = torch.arange(tile.width, device=scores.device)
    valid = columns < setting.counts[tile.rows].unsqueeze(1)
    levels = scores.gather(1, positives).masked_fill_(~valid, 0)
    if setting.excluded is not None:
        own = setting.excluded[tile.rows]
        rows = torch.nonzero(own >= 0).squeeze(1)
        scores[rows, own[rows]] = -torch.inf
    return positives, valid, levels


def _forward(
    scores_of: Callable[[_Tile], Tensor], setting: _Setting, items: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Fill both kinds of ranks [query, positive], tile by tile."""
    step_ = hard_step_ if setting.temperature == 0 else _STEPS[setting.step][0]
    among_all = torch.ones(setting.positives.shape, dtype=dtype, device=setting.positives.device)
    among_positives = torch.ones_like(among_all)
    for tile in _tiles(setting, items, dtype.itemsize):
        scores = scores_of(tile)
        _, valid, levels = _levels(scores, setting, tile)
        of_all, of_positives = tile_ranks(scores, levels, valid, step_)
        among_all[tile.rows, : tile.width] = of_all.masked_fill_(~valid, 1)
        among_positives[tile.rows, : tile.width] = of_positives.masked_fill_(~valid, 1)
    return among_all, among_positives


def _backward(
    scores_of: Callable[[_Tile], Tensor], setting: _Setting, items: int, dtype: torch.dtype, upstream: Any
) -> Iterator[tuple[_Tile, Tensor]]:
    """Yield each tile with the gradient by its divided scores [query, item]."""
    slope_ = _STEPS[setting.step][1]
    for tile in _tiles(setting, items, dtype.itemsize):
        scores = scores_of(tile)
        positives, valid, levels = _levels(scores, setting, tile)
        of_all, of_positives = (None if part is None else part[tile.rows, : tile.width] for part in upstream)
        yield tile, tile_gradient(scores, levels, valid, positives, of_all, of_positives, slope_)


def _wide(*tensors: Tensor) -> torch.dtype:
    """Return float64 where one of the tensors is, else float32."""
    return torch.float64 if any(tensor.dtype == torch.float64 for tensor in tensors) else torch.float32


class _RanksOfScores(Function):
    """Both ranks as a function of the scores [query, item]."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, setting: _Setting) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(scores)
        ctx.setting = setting
        return _forward(_RanksOfScores.divided(scores, setting), setting, scores.shape[1], _wide(scores))

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor | None) -> tuple[Tensor, None]:
        (scores,) = ctx.saved_tensors
        setting: _Setting = ctx.setting
        gradient = torch.zeros_like(scores)
        with torch.no_grad():
            divided = _RanksOfScores.divided(scores, setting)
            for tile, part in _backward(divided, setting, scores.shape[1], _wide(scores), upstream):
                gradient[tile.rows] = part.div_(setting.temperature).to(scores.dtype)
        (gradient,) = _once((gradient,), scores, *upstream)
        return gradient, None

    @staticmethod
    def divided(scores: Tensor, setting: _Setting) -> Callable[[_Tile], Tensor]:
        dtype, temperature = _wide(scores), setting.temperature or 1.0
        return lambda tile: scores[tile.rows].to(dtype) / temperature


class _RanksOfProducts(Function):
    """Both ranks as a function of queries [query, dim] and items [item, dim], ranked by their dot product."""

    @staticmethod
    def forward(ctx: Any, queries: Tensor, items: Tensor, setting: _Setting) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(queries, items)
        ctx.setting = setting
        dtype = _wide(queries, items)
        with torch.autocast(queries.device.type, enabled=False):
            rows, columns = _RanksOfProducts.operands(queries, items, setting)
            return _forward(lambda tile: rows[tile.rows] @ columns.T, setting, len(items), dtype)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor | None) -> tuple[Tensor | None, Tensor | None, None]:
        queries, items = ctx.saved_tensors
        setting: _Setting = ctx.setting
        wanted = ctx.needs_input_grad
        with torch.no_grad(), torch.autocast(queries.device.type, enabled=False):
            rows, columns = _RanksOfProducts.operands(queries, items, setting)
            of_rows = torch.zeros_like(rows) if wanted[0] else None
            of_columns = torch.zeros_like(columns) if wanted[1] else None
            tiles = _backward(
                lambda tile: rows[tile.rows] @ columns.T, setting, len(items), _wide(queries, items), upstream
            )
            for tile, part in tiles:
                if of_rows is not None:
                    of_rows[tile.rows] = part @ columns
                if of_columns is not None:
                    of_columns.addmm_(part.T, rows[tile.rows])
            of_queries = None if of_rows is None else of_rows.div_(setting.temperature).to(queries.dtype)
            of_items = None if of_columns is None else of_columns.to(items.dtype)
        of_queries, of_items = _once((of_queries, of_items), queries, items, *upstream)
        return of_queries, of_items, None

    @staticmethod
    def operands(queries: Tensor, items: Tensor, setting: _Setting) -> tuple[Tensor, Tensor]:
        """Return both in float32 or wider, the queries divided by the temperature (0 divides by 1)."""
        dtype = _wide(queries, items)
        return queries.to(dtype) / (setting.temperature or 1.0), items.to(dtype)


class _Once(Function):
    """Hands gradients through and refuses to be differentiated, which would silently give 0 otherwise."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, *sources: Tensor) -> Tensor:
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        raise NotImplementedError(
            "positive_ranks: a second derivative was asked for (create_graph=True, a gradient penalty, a Hessian); "
            "the soft ranks have a first derivative only. Take ranks of detached embeddings inside the penalty, or "
            "write the small case with metricgrad.relax.step.logistic_step."
        )


def _once(gradients: tuple[Tensor | None, ...], *sources: Tensor | None) -> tuple[Any, ...]:
    """Tie gradients to all that they depend on, so that a second derivative meets the refusal above."""
    if not torch.is_grad_enabled():
        return gradients
    known = [source for source in sources if source is not None]
    return tuple(None if part is None else _Once.apply(part, *known) for part in gradients)
