"""Which documents are relevant to which query, from the files in which people keep that; the form is seen and said.

The forms: BEIR (a folder, or a table with the header `query-id corpus-id score`), TREC (`qid 0 docid rel`, no header),
tables `anchor, positive[, negative...]` and `id_1, id_2, label`, and JSON (`relevance_json`). Ids are texts
(`row_names`); grades are kept, and 0 or less means: judged, and not relevant.
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metricgrad._checks import describe
from metricgrad.cli.arrays import require_file
from metricgrad.cli.cells import numbers
from metricgrad.cli.relevance_json import json_judgements
from metricgrad.cli.row_names import names_of
from metricgrad.cli.tables import Table, read_table, read_text
from metricgrad.errors import InputError

__all__ = ["Judged", "read_relevance"]

_QUERY = ("query-id", "query_id", "qid", "query", "anchor", "question", "id_1", "id1")
_DOCUMENT = (
    "corpus-id", "corpus_id", "doc-id", "doc_id", "docid", "document-id", "document_id", "document", "positive", "pos",
    "id_2", "id2",
)  # fmt: skip
_GRADE = ("score", "grade", "relevance", "rel", "label")
_NEGATIVE = re.compile(r"(hard_?)?neg(ative)?s?(_?[0-9]+)?")
_FORMS = (
    "a BEIR table (header query-id corpus-id score) or its folder, a TREC file (qid 0 docid rel), a table (anchor, "
    "positive, negative or id_1, id_2, label), or JSON lines (query, pos, neg)"
)


@dataclass(frozen=True)
class Judged:
    """Judgements as a file has them, one per entry of the three.

    Attributes:
        path: of the file.
        form: which form was recognised, in words.
        queries: ids (or texts) of queries, in normal form.
        documents: ids (or texts) of documents, in normal form.
        grades: float64, finite; above 0: relevant.
    """

    path: Path
    form: str
    queries: list[str]
    documents: list[str]
    grades: np.ndarray

    @property
    def words(self) -> str:
        """What was recognised, in words."""
        grades = np.unique(self.grades)
        shown = (
            ", ".join(f"{grade:g}" for grade in grades)
            if len(grades) < 8
            else f"{grades[0]:g} to {grades[-1]:g}"
        )
        return (
            f"{self.path}: {self.form}, {len(self.grades):,} judgements of "
            f"{len(set(self.queries)):,} queries, {'grade' if len(grades) == 1 else 'grades'} {shown}"
        )


def read_relevance(path: Path) -> Judged:
    """Read judgements in any of the forms, told apart by the name of the file and its first line.

    Args:
        path: of a file, or of a BEIR folder with one table in `qrels`.

    Raises:
        InputError: no such file, no such form, nothing judged, an empty id, a grade that is no finite number (with its
            line or row), a folder with several tables.
        MissingExtraError: a Parquet file without pyarrow.
    """
    if path.is_dir():
        path = _only_table(path)
    require_file(path)
    if path.suffix.lower() in (".parquet", ".pq"):
        found = _of_table(path)
    else:
        text = read_text(path)
        first = next((line for line in text.splitlines() if line.strip()), "")
        fields = first.split()
        if first.lstrip()[:1] in ("{", "["):
            form, pairs = json_judgements(path, text)
            found = Judged(path, form, *_parted(path, pairs))
        elif len(fields) == 4 and re.fullmatch(r"[+-]?[0-9]+(\.[0-9]*)?", fields[3]):
            found = Judged(path, "TREC (qid 0 docid rel)", *_parted(path, _of_trec(path, text)))
        elif len(fields) == 6 and fields[1].upper() == "Q0":
            raise InputError(
                f"{path} is a TREC run (qid Q0 docid rank score tag); expected judgements: {_FORMS}."
            )
        else:
            found = _of_table(path)
    if not found.queries:
        raise InputError(f"{path} holds no judgement; expected at least one relevant document of one query.")
    return found


def _only_table(folder: Path) -> Path:
    """The one table of judgements of a BEIR folder."""
    inner = folder / "qrels" if (folder / "qrels").is_dir() else folder
    tables = sorted(inner.glob("*.tsv"))
    if len(tables) != 1:
        has = f"holds {', '.join(table.name for table in tables)}" if tables else "holds no .tsv file"
        advice = f" Name the one to read: --qrels {tables[-1]}." if tables else ""
        raise InputError(
            f"{inner} {has}; expected a BEIR folder with one table of judgements in qrels.{advice}"
        )
    return tables[0]


def _parted(path: Path, pairs: Sequence[tuple[Any, Any, float]]) -> tuple[list[str], list[str], np.ndarray]:
    """Queries, documents and grades side by side."""
    queries, documents, grades = zip(*pairs, strict=True) if pairs else ((), (), ())
    return (
        names_of(f"{path} (queries)", "id", queries),
        names_of(f"{path} (documents)", "id", documents),
        np.array(grades, dtype=np.float64),
    )


def _of_trec(path: Path, text: str) -> list[tuple[str, str, float]]:
    """Lines of four fields; the second is not used."""
    found = []
    for number, line in enumerate(text.split("\n"), start=1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != 4 or not re.fullmatch(r"[+-]?[0-9]+(\.[0-9]*)?", fields[3]):
            raise InputError(
                f"{path} line {number} is {describe(line)}; expected qid 0 docid rel, as in the first line."
            )
        found.append((fields[0], fields[2], float(fields[3])))
    return found


def _of_table(path: Path) -> Judged:
    """A table whose header names its columns: one judgement per row, or a relevant document and others."""
    roles: dict[str, str] = {}

    def wanted(names: list[str]) -> list[str]:
        for role, usual in (("query", _QUERY), ("document", _DOCUMENT), ("grade", _GRADE)):
            found = [name for name in names if name.strip().lower() in usual and name not in roles.values()]
            found.sort(key=lambda name: usual.index(name.strip().lower()))
            if found:
                roles[role] = found[0]
        for name in names:
            if _NEGATIVE.fullmatch(name.strip().lower()):
                roles[name] = name
        if "query" not in roles or "document" not in roles:
            raise InputError(
                f"{path} begins with {describe(', '.join(names))}; expected judgements: {_FORMS}."
            )
        return list(roles.values())

    table = read_table(path, (*_QUERY, *_DOCUMENT), wanted)
    queries = names_of(f"{path}: column {roles['query']}", "id", table.columns[roles["query"]])
    documents = names_of(f"{path}: column {roles['document']}", "id", table.columns[roles["document"]])
    grades = np.ones(len(queries))
    if "grade" in roles:
        grades = numbers(path, roles["grade"], table.columns[roles["grade"]]).numpy().astype(np.float64)
    negatives = [role for role in roles if role not in ("query", "document", "grade")]
    others = list(itertools.chain.from_iterable(_negatives(path, table, name, queries) for name in negatives))
    queries += [query for query, _ in others]
    documents += [document for _, document in others]
    kind = "BEIR" if (roles["query"], roles["document"]) == ("query-id", "corpus-id") else "table"
    return Judged(
        path,
        f"{kind} ({', '.join(roles.values())}){'' if 'grade' in roles else ', relevant or not'}",
        queries,
        documents,
        np.concatenate([grades, np.zeros(len(others))]),
    )


def _negatives(path: Path, table: Table, name: str, queries: list[str]) -> Iterator[tuple[str, str]]:
    """The documents of a column of negatives, where a row has one."""
    for query, cell in zip(queries, table.columns[name], strict=False):
        if cell is not None and str(cell).strip():
            yield query, names_of(f"{path}: column {name}", "id", [cell])[0]
