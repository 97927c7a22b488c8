"""Label files: what is a header, a delimiter, a number and a missing label is read from the content, never counted."""

import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metricgrad.cli.naming import Said
from metricgrad.cli.reading import read_labels
from metricgrad.errors import InputError
from tests.cli.outcome import Command

Files = tuple[Path, Path]
LETTERS = ["ant", "bee", "cow"] * 4
NUMBERS = ["3", "14", "15"] * 4


def written(folder: Path, lines: list[str], name: str = "l.csv", end: str = "\n") -> Path:
    """A file of lines."""
    path = folder / name
    path.write_bytes((end.join(lines) + end).encode())
    return path


@pytest.mark.parametrize("header", ["label", "Labels", "target", "CLASS", "species", "y_true"])
@pytest.mark.parametrize("labels", [LETTERS, NUMBERS], ids=["words", "numbers"])
def test_a_name_is_a_header(tmp_path: Path, header: str, labels: list[str]) -> None:
    """A first line that names the column, whatever stands below and however many lines there are."""
    path = written(tmp_path, [header, *labels])
    assert read_labels(path, 12).astype(str).tolist() == labels
    for items in (11, 13):
        with pytest.raises(InputError, match=f"12 labels below the header '{header}', but there are {items}"):
            read_labels(path, items)


def test_a_word_above_numbers_is_a_header(tmp_path: Path) -> None:
    """A word above numbers of any spelling; numbers above numbers are labels."""
    assert read_labels(written(tmp_path, ["identity 2", *NUMBERS]), 12).tolist() == [3, 14, 15] * 4
    assert read_labels(written(tmp_path, ["kind", "007", "+7", "1e3"]), 3).tolist() == ["007", "+7", "1e3"]
    assert len(read_labels(written(tmp_path, ["2024", *NUMBERS]), 13)) == 13


@pytest.mark.parametrize("items", [11, 12, 13])
def test_a_word_that_may_be_either_is_refused(tmp_path: Path, items: int) -> None:
    """A word that occurs once, above words that all occur again: header or label, nobody can tell; counting would."""
    path = written(tmp_path, ["zebra", *LETTERS[: items - 1]])
    with pytest.raises(InputError, match="a header, or the label of a single item"):
        read_labels(path, items)


def test_first_lines_that_are_labels(tmp_path: Path) -> None:
    """A label like the others, also one that is called `label`, and one among others that occur once."""
    assert read_labels(written(tmp_path, LETTERS), 12).tolist() == LETTERS
    words = ["label", "no label", "label"]
    assert read_labels(written(tmp_path, words), 3).tolist() == words
    assert len(read_labels(written(tmp_path, ["zebra", "yak", *LETTERS]), 14)) == 14
    for items in (11, 13):
        with pytest.raises(InputError, match=f"12 labels, but there are {items} embeddings"):
            read_labels(written(tmp_path, LETTERS), items)


@pytest.mark.parametrize("word", ["breed", "product_id", "Unnamed: 0", "speaker"])
def test_a_first_line_that_may_be_either_is_said(command: Command, tmp_path: Path, word: str) -> None:
    """The refusal names the two options, and both work; so does the name of the column."""
    path = written(tmp_path, [word, *LETTERS])
    assert read_labels(path, 12, Said(header=True)).tolist() == LETTERS
    assert read_labels(path, 12, Said(columns={"label": word})).tolist() == LETTERS
    assert read_labels(path, 13, Said(header=False)).tolist() == [word, *LETTERS]
    np.save(tmp_path / "x.npy", np.eye(12))
    given = ("evaluate", "--embeddings", tmp_path / "x.npy", "--labels", path, "--metric", "map")
    command(*given).refused("--header or --no-header")
    assert command(*given, "--header").code == command(*given, "--column", f"label={word}").code == 0
    command(*given, "--no-header").refused("13 labels", "12 embeddings")
    with pytest.raises(InputError, match="say --header"):
        read_labels(written(tmp_path, ["0", *NUMBERS]), 12)
    assert read_labels(written(tmp_path, ["0", *NUMBERS]), 12, Said(header=True))[0] == 3


@pytest.mark.parametrize("column", ["label", "y_true", "Species", "GT", "class_name", "breed"])
def test_the_column_of_labels(tmp_path: Path, column: str) -> None:
    """By its usual names, else as it is said; beside a column `label` other names are nothing."""
    rows = [f"item,{column}", *(f"x,{label}" for label in LETTERS)]
    said = Said(columns={"label": "breed"}) if column == "breed" else Said()
    assert read_labels(written(tmp_path, rows), 12, said).tolist() == LETTERS
    pandas.DataFrame({"item": 0, column: LETTERS}).to_parquet(tmp_path / "l.parquet")
    assert read_labels(tmp_path / "l.parquet", 12, said).tolist() == LETTERS
    with pytest.raises(InputError, match=r"--column label="):
        read_labels(written(tmp_path, ["species,y_true", "a,b"]), 1)
    with pytest.raises(InputError, match=r"--column label="):
        read_labels(written(tmp_path, ["item,breed", "a,b"]), 1)
    assert read_labels(written(tmp_path, ["species,label", "a,b"]), 1).tolist() == ["b"]
    with pytest.raises(InputError, match="twice"):
        read_labels(written(tmp_path, ["label,label", "a,b"]), 1)


SPELLINGS = {
    "leading zeros": (["007", "7", "07"], 3), "underscores": (["1_0", "10", "1_0"], 2), "signs": (["+7", "7", "+7"], 2),
    "powers": (["1e3", "1000", "1E3"], 3), "hexadecimal": (["0x10", "16", "16"], 2),
    "minus zero": (["-0", "0", "0"], 2),
    "Arabic digits": (["\u0661", "1", "1"], 2), "full-width digits": (["\uff11", "1", "1"], 2),
    "superscripts": (["\u00b9", "1", "1"], 2), "point": (["1.0", "1", "1.00"], 1), "negative": (["-3", "3", "-3.0"], 2),
    "2^53": ([str(2**53 + one) for one in (0, 1, 2)], 3), "2^64": ([str(2**64 + one) for one in (0, 1, 2)], 3),
    "5000 digits": (["9" * 5000, "9" * 4999, "9" * 5000], 2), "case": (["a", "A", "a"], 2),
    "spaces": ([" a", "a ", "a"], 1), "fractions": (["1.5", "1.50", "2"], 3),
    "NFD": (["e\u0301", "e\u0300", "e\u0301"], 2),
}  # fmt: skip


@pytest.mark.parametrize(("labels", "classes"), SPELLINGS.values(), ids=SPELLINGS)
def test_spellings(tmp_path: Path, labels: list[str], classes: int) -> None:
    """Labels are numbers only where all of them are spelt as one."""
    assert len(set(read_labels(written(tmp_path, labels), 3).tolist())) == classes


def test_unicode_forms_are_one_class_with_a_note(command: Command, embeddings: Files, tmp_path: Path) -> None:
    """Composed and decomposed letters are the same label; it is told on stderr and in the document."""
    labels = [
        unicodedata.normalize(("NFC", "NFD")[item // 10 % 2], f"\u0101{item % 10}") for item in range(40)
    ]
    path = written(tmp_path, labels)
    given = ("evaluate", "--embeddings", embeddings[0], "--metric", "map", "--json", "--labels")
    outcome = command(*given, path)
    assert outcome.json["value"] == command(*given, embeddings[1]).json["value"]
    assert "several Unicode forms" in outcome.err and outcome.json["notes"]


@pytest.mark.parametrize(
    "missing", ["NaN", "NA", "N/A", "None", "null", "<NA>", "NaT", "nan", "#N/A", "", '""']
)
@pytest.mark.parametrize("place", [1, 6, 11])
def test_missing_labels_are_refused_with_their_row(tmp_path: Path, missing: str, place: int) -> None:
    """Every spelling that pandas reads as missing, also in the first row; in a column of several, and in Parquet."""
    lines = [*LETTERS[:place], missing, *LETTERS[place:]]
    with pytest.raises(InputError, match=rf"row {place + 1}: the label|line {place + 1} has 0 cells"):
        read_labels(written(tmp_path, lines), 13)
    with pytest.raises(InputError, match=rf"row {place + 1}: the label"):
        read_labels(written(tmp_path, ["item,label", *(f"x,{line}" for line in lines)]), 13)
    pandas.DataFrame({"label": [None if line == missing else line for line in lines]}).to_parquet(
        tmp_path / "l.parquet"
    )
    with pytest.raises(InputError, match=rf"row {place + 1}: the label"):
        read_labels(tmp_path / "l.parquet", 13)


@pytest.mark.parametrize(("name", "mark"), [("semicolon", ";"), ("tab", "\t"), ("pipe", "|")])
def test_other_delimiters_are_named_and_asked_for(tmp_path: Path, name: str, mark: str) -> None:
    """Lines that all part at another mark are no labels until it is said; quotes and few such lines are nothing."""
    path = written(
        tmp_path, [f"item{mark}label", *(f"{item}{mark}{label}" for item, label in enumerate(LETTERS))]
    )
    with pytest.raises(InputError, match=f"parted by a {name}.*--delimiter {name}"):
        read_labels(path, 12)
    assert read_labels(path, 12, Said(delimiter=name)).tolist() == LETTERS
    assert read_labels(path, 13, Said(delimiter="comma"))[0] == f"item{mark}label"
    quoted = written(tmp_path, [f'"{label}{mark}{label}"' for label in LETTERS])
    assert read_labels(quoted, 12).tolist() == [f"{label}{mark}{label}" for label in LETTERS]
    some = written(tmp_path, [*LETTERS, f"x{mark}y", f"x{mark}y"])
    assert read_labels(some, 14)[-1] == f"x{mark}y"
    assert (
        read_labels(written(tmp_path, [f"a{mark}label", f"1{mark}2"], "l.tsv"), 1) == 2
        if name == "tab"
        else True
    )


ARRAYS = {
    "bytes": np.array([b"ant", b"bee"]),
    "bool": np.array([True, False]),
    "half": np.array([1, 2], np.float16),
    "unsigned": np.array([2**63 + 1, 2**63 + 3], np.uint64),
    "big endian": np.array([1, 2], ">i2"),
    "wide texts": np.array(["ant", "a" * 100]),
}


@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
def test_arrays_of_labels(tmp_path: Path, array: np.ndarray) -> None:
    """Numbers of every width, bools, bytes and texts; two classes stay two."""
    np.save(tmp_path / "l.npy", array)
    wanted = [label.decode() if isinstance(label, bytes) else label for label in array.tolist()]
    assert read_labels(tmp_path / "l.npy", 2).tolist() == wanted


@pytest.mark.parametrize(
    "array",
    [
        np.array([1.0, np.nan]),
        np.array([1.0, np.inf]),
        np.array([1e300, 2e300]),
        np.array([0.5, 1]),
        np.array([1j, 2]),
        np.array(["ant", ""]),
        np.array(["ant", "nan"]),
        np.array(["2020-01-01", "NaT"], "M8[D]"),
        np.zeros((2, 1), int),
        np.array(7),
        np.zeros(2, [("label", int)]),
        np.array([b"\xff", b"a"]),
    ],
)
def test_arrays_that_are_no_labels(tmp_path: Path, array: np.ndarray) -> None:
    """What a list of the library refuses, a file does."""
    np.save(tmp_path / "l.npy", array)
    with pytest.raises(InputError, match=r"l\.npy"):
        read_labels(tmp_path / "l.npy", 2)


PARQUET = {
    "integers": [5, 7, 5], "large integers": [2**60 + 1, 2**60 + 2, 2**60 + 1], "texts": ["007", "7", "007"],
    "bools": [True, False, True], "whole floats": [5.0, 7.0, 5.0],
    "categories": pandas.Categorical(["ant", "bee", "ant"]),
    "dates": pandas.to_datetime(["2024-01-02", "2024-01-03", "2024-01-02"]),
    "bytes": [b"ant", b"bee", b"ant"], "nullable": pandas.array([5, 7, 5], dtype="Int64"),
}  # fmt: skip


@pytest.mark.parametrize("labels", PARQUET.values(), ids=PARQUET)
def test_columns_of_parquet(tmp_path: Path, labels: Any) -> None:
    """A column of any type that is a label, beside columns of anything."""
    frame = pandas.DataFrame({"label": labels, "vector": [[1.0], [2.0], [3.0]]})
    frame.to_parquet(tmp_path / "l.parquet")
    found = read_labels(tmp_path / "l.parquet", 3).tolist()
    assert found[0] == found[2] != found[1]


def test_labels_of_queries_and_references_meet(command: Command, embeddings: Files, tmp_path: Path) -> None:
    """Numbers beside texts are texts; look-alikes and labels without a common class are refused."""
    x, y = embeddings
    labels = y.read_text(encoding="utf-8").split()
    np.save(tmp_path / "r.npy", np.random.default_rng(1).normal(size=(41, 8)))
    given = (
        "evaluate",
        "--embeddings",
        x,
        "--labels",
        y,
        "--reference",
        "r.npy",
        "--metric",
        "knn_accuracy:k=1",
    )
    written(tmp_path, [*labels, "7"], "numbers.csv")
    written(tmp_path, [*labels, "unknown"], "texts.csv")
    written(tmp_path, [f"0{label}" for label in [*labels, "7"]], "zeros.csv")
    written(tmp_path, [f"class {label}" for label in [*labels, "7"]], "words.csv")
    value = command(*given, "--reference-labels", "numbers.csv", "--json").json["value"]
    assert command(*given, "--reference-labels", "texts.csv", "--json").json["value"] == pytest.approx(
        value, abs=0.05
    )
    command(*given, "--reference-labels", "zeros.csv").refused("look like one class")
    command(*given, "--reference-labels", "words.csv").refused("no label in", "words.csv")


def test_queries_among_their_references(command: Command, embeddings: Files, tmp_path: Path) -> None:
    """The file of the queries, by any path, is no other set of items; a copy or a larger set with them is told."""
    x, y = embeddings
    (tmp_path / "link.npy").symlink_to(x)
    points = np.load(x)
    np.save(tmp_path / "copy.npy", points)
    np.save(tmp_path / "more.npy", np.concatenate([points[::-1], points[:3] + 1]))
    labels = y.read_text(encoding="utf-8").split()
    written(tmp_path, [*labels[::-1], "0", "1", "2"], "more.csv")
    for metric in ("recall@1", "knn_accuracy:k=1"):
        given = ("evaluate", "--embeddings", x, "--labels", y, "--metric", metric, "--json")
        alone = command(*given).json["value"]
        for name in (x, tmp_path / "link.npy"):
            outcome = command(*given, "--reference", name, "--reference-labels", y)
            assert outcome.json["value"] == alone and "none of them finds itself" in outcome.err
        for name, of in (("copy.npy", y), ("more.npy", "more.csv")):
            outcome = command(*given, "--reference", name, "--reference-labels", of)
            assert outcome.json["value"] == 1.0 and "each finds itself" in outcome.err


WORDS = st.sampled_from(
    [
        "1",
        "01",
        "1.0",
        "+1",
        "1_0",
        "10",
        "-1",
        "1e0",
        "\uff11",
        "one",
        "One",
        "NA",
        "nan",
        "e\u0301",
        "\u00e9",
    ]
)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(WORDS, min_size=2, max_size=8))
def test_random_labels_against_pandas(tmp_path: Path, labels: list[str]) -> None:
    """Classes are those of a data frame of texts, or of its numbers where all are plain; missing ones are none."""
    path = written(tmp_path, ["label", *labels])
    frame = pandas.read_csv(path, dtype=str)["label"]
    if frame.isna().any():
        with pytest.raises(InputError, match="missing"):
            read_labels(path, len(labels))
        return
    texts = frame.map(lambda text: unicodedata.normalize("NFC", text))
    plain = texts.isin(["1", "1.0", "10", "-1"]).all()
    wanted = pandas.factorize(pandas.to_numeric(texts) if plain else texts)[0]
    if len(set(frame)) > len(set(texts)):
        with pytest.warns(UserWarning, match="Unicode"):
            found = read_labels(path, len(labels))
    else:
        found = read_labels(path, len(labels))
    assert pandas.factorize(found)[0].tolist() == wanted.tolist()
