"""Queries and documents, each embedded by a tower of its own or by one that both share."""

from typing import Any, Literal

from torch import Tensor, nn

from metricgrad._checks import describe, fail
from metricgrad._forward import forward

__all__ = ["TwoTowers"]


class TwoTowers(nn.Module):
    """A network of two sides: `{"query": x}` gives the embeddings of queries, `{"document": x}` those of documents.

    With both it gives both, under the same names: what a batch of pairs is embedded to.

    Args:
        query: the tower of the queries.
        document: the tower of the documents; None: documents stay as they are (an index need not be built again), or
            are embedded by the query tower where `shared` is set.
        shared: whether one tower embeds both sides.
        side: `both` are trained, or the `query` tower alone: the document tower is then frozen, in eval mode.

    Raises:
        InputError: a tower that is no module; `shared` beside a document tower, or beside side="query": training the
            queries would move the documents.

    Edge cases:
        Towers may read anything: rows of vectors, token ids, dicts of parts (by name, as `tune` calls a network).

    Example:
        >>> import torch
        >>> towers = TwoTowers(nn.Linear(8, 4), nn.Linear(6, 4))
        >>> towers(query=torch.ones(3, 8)).shape
        torch.Size([3, 4])
        >>> sorted(towers(query=torch.ones(3, 8), document=torch.ones(5, 6)))
        ['document', 'query']
    """

    def __init__(
        self,
        query: nn.Module,
        document: nn.Module | None = None,
        *,
        shared: bool = False,
        side: Literal["both", "query"] = "both",
    ) -> None:
        super().__init__()
        for name, tower in (("query", query), ("document", document)):
            if not isinstance(tower, nn.Module) and (name == "query" or tower is not None):
                raise fail("TwoTowers", f"{name} is {describe(tower)}", "a torch.nn.Module")
        if side not in ("both", "query"):
            raise fail("TwoTowers", f"side is {side!r}", "'both' or 'query'")
        if shared and (document is not None or side == "query"):
            came = "a document tower" if document is not None else "side='query'"
            raise fail(
                "TwoTowers", f"shared came beside {came}", "one of them: a shared tower embeds both sides"
            )
        self.query, self.shared, self.side = query, shared, side
        self.document = None if shared else nn.Identity() if document is None else document
        if side == "query" and self.document is not None:
            self.document.requires_grad_(False).eval()

    @property
    def towers(self) -> dict[str, nn.Module]:
        """The tower of each side; the same one twice where it is shared."""
        return {"query": self.query, "document": self.query if self.document is None else self.document}

    def forward(self, *, query: Any = None, document: Any = None) -> Tensor | dict[str, Tensor]:
        """Return the embeddings of a side, or of both by name; rows without a side are refused, not guessed.

        Args:
            query: inputs of the query tower; None for none.
            document: inputs of the document tower; None for none.

        Raises:
            InputError: neither came.
        """
        given = {"query": query, "document": document}
        found = {name: forward(self.towers[name], part) for name, part in given.items() if part is not None}
        if not found:
            raise fail("TwoTowers", "neither query nor document came", "the inputs of a side, or of both")
        return found if len(found) == 2 else next(iter(found.values()))

    def train(self, mode: bool = True) -> "TwoTowers":
        """Set the mode; a frozen document tower stays in eval mode, so that it embeds the same way for ever."""
        super().train(mode)
        if self.side == "query" and self.document is not None:
            self.document.eval()
        return self
