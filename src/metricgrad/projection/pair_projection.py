"""Two projections into one space: one for queries, one for their documents."""

from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from metricgrad._checks import fail
from metricgrad.projection.adapter_file import Facts, read_adapter, write_adapter
from metricgrad.projection.projection import Projection
from metricgrad.projection.sentence_folder import write_router

__all__ = ["PairProjection", "load_projection"]


class PairProjection(nn.Module):
    """A projection of queries and one of documents, whose results are compared by cosine.

    Attributes:
        query: takes queries.
        document: takes documents.

    Raises:
        InputError: they do not lead into one space.
    """

    def __init__(self, query: Projection, document: Projection) -> None:
        super().__init__()
        if query.dims_out != document.dims_out:
            raise fail(
                "PairProjection",
                f"queries come to {query.dims_out} dimensions and documents to {document.dims_out}",
                "one space for both",
            )
        self.query, self.document = query, document

    def forward(
        self,
        *,
        query: Float[Tensor, "row dim"] | None = None,
        document: Float[Tensor, "row dim"] | None = None,
    ) -> Tensor | dict[str, Tensor]:
        """Map the rows of a side, or of both by name, as `TwoTowers` does.

        Raises:
            InputError: neither came.
        """
        given = {"query": (self.query, query), "document": (self.document, document)}
        found = {side: form(rows) for side, (form, rows) in given.items() if rows is not None}
        if not found:
            raise fail("PairProjection", "neither query nor document came", "rows of a side, or of both")
        return found if len(found) == 2 else next(iter(found.values()))

    @property
    def name(self) -> str:
        """Of the form; both sides have one."""
        return self.query.name

    @property
    def settings(self) -> dict[str, Any]:
        """Of the form; both sides have the same."""
        return self.query.settings

    @property
    def about(self) -> dict[str, str]:
        """What else a file of it should say."""
        return self.query.about

    def words(self) -> str:
        """The form and its settings in plain words."""
        return self.query.words()

    def save(self, path: Path | str) -> Path:
        """Write both maps, name, settings and `about` as `.safetensors`; `load_projection` reads it.

        Raises:
            InputError: another suffix, or a place that cannot be written.
        """
        arrays = {
            "W_q": self.query.weight,
            "b_q": self.query.bias,
            "W_d": self.document.weight,
            "b_d": self.document.bias,
        }
        return write_adapter(path, arrays, Facts(name=self.name, settings=self.settings, about=self.about))

    def to_sentence_transformers(self, folder: Path | str) -> Path:
        """Write a folder that `SentenceTransformer(folder)` loads, in float32: a Router with routes query and document.

        Behind an encoder, `SentenceTransformer(modules=[*encoder, *SentenceTransformer(folder)])`, `encode_query` takes
        the first route and `encode_document` the second. For ONNX write `query` and `document` one by one.

        Raises:
            InputError: the folder holds files, or cannot be made.
        """
        routes = {
            "query": (self.query.weight, self.query.bias),
            "document": (self.document.weight, self.document.bias),
        }
        return write_router(folder, routes)


def load_projection(path: Path | str) -> Projection | PairProjection:
    """Read what `save` wrote: one map, or one for each side of a pair; the arrays are those that were saved.

    Raises:
        InputError: no such file, another format, or arrays that do not fit together.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from metricgrad.projection import Whitening
        >>> saved = Whitening().fit(np.eye(3)).save(Path(tempfile.mkdtemp()) / "adapter.safetensors")
        >>> load_projection(saved).words()
        'whitening, shrinkage 0.1, power -0.5'
    """
    arrays, facts = read_adapter(path)
    sides = [
        Projection(arrays[f"W_{side}"], arrays[f"b_{side}"], name=facts.name, settings=facts.settings)
        for side in "qd"
        if f"W_{side}" in arrays
    ]
    sides[0].about.update(facts.about)
    return sides[0] if len(sides) == 1 else PairProjection(*sides)
