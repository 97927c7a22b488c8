"""Two projections into one space: one for queries, one for their documents."""

from torch import nn

from metricgrad.projection.projection import Projection

__all__ = ["PairProjection"]


class PairProjection(nn.Module):
    """A projection of queries and one of documents, whose results are compared by cosine.

    Attributes:
        query: takes queries.
        document: takes documents.
    """

    def __init__(self, query: Projection, document: Projection) -> None:
        super().__init__()
        self.query, self.document = query, document

    @property
    def name(self) -> str:
        """Of the form; both sides have one."""
        return self.query.name

    @property
    def settings(self) -> dict[str, float]:
        """Of the form; both sides have the same."""
        return self.query.settings

    def words(self) -> str:
        """The form and its settings in plain words."""
        return self.query.words()
