"""The tasks on tables: the file of a table, the division of its rows, the numbers of a network, the real data."""

import importlib.util
import json
import subprocess
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from torch.testing import assert_close

from metricgrad.errors import InputError
from metricgrad.metrics import adapt
from metricgrad.tasks.divisions import class_by_class, long_tail
from metricgrad.tasks.table_file import Names, Table, read_table, table_file, write_table
from metricgrad.tasks.tabular import divided, one_hot, standardised
from metricgrad.tasks.task import Task
from tests.tasks.real_data import found_or_skipped

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
FILES = {"letters_long_tail": "letters", "satellite": "satellite", "shuttle": "shuttle", "income": "income"}
ROWS_OF_CLASSES = (200, 80, 40)


def made_up(official: int | None, levels: int | None = None) -> Table:
    """A table of 320 different rows and two columns; in the first the number of the row, or of a level."""
    rows = sum(ROWS_OF_CLASSES)
    rng = np.random.default_rng(0)
    targets = rng.permutation(np.repeat(np.arange(3), ROWS_OF_CLASSES))
    features = np.stack([np.arange(rows), rng.normal(size=rows)], 1)
    known: tuple[tuple[str, ...] | None, ...] = (None, None)
    if levels is not None:
        features = rng.integers(0, levels, (rows, 2)).astype(float)
        features[3, 0] = np.nan
        known = (tuple("abcdefg"[:levels]),) * 2
    names = Names(("x", "y", "z"), ("first", "second"), known, official, "made up")
    return Table(features.astype(np.float32), targets, names)


def of_task(name: str, folder: Path, **options: Any) -> Task:
    """The task on a made-up table."""
    official = None if name == "income" else 240
    write_table(folder / f"{FILES[name]}.safetensors", made_up(official, 4 if name == "income" else None))
    return import_module(f"metricgrad.tasks.{name}").load({"folder": folder, **options})


# ------------------------------------------------------------------------------------------------ the file


def test_a_table_comes_back(tmp_path) -> None:
    """Numbers, missing values and names; the same table is the same bytes."""
    table = made_up(240, levels=4)
    for name in ("a", "b"):
        write_table(tmp_path / name, table)
    found = read_table(tmp_path / "a", task="income")
    np.testing.assert_array_equal(found.features, table.features)
    np.testing.assert_array_equal(found.targets, table.targets)
    assert found.names == table.names and found.digest == table.digest
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("harm", ["cut", "number", "name", "other", "missing", "empty"])
def test_a_damaged_table_is_refused(tmp_path, harm) -> None:
    """Cut off, another number, another name of a class, a file of another kind, none, an empty one."""
    path, table = tmp_path / "t.safetensors", made_up(None)
    write_table(path, table)
    facts = {"classes": "xyz", "columns": ["first", "second"], "levels": [None, None], "official": None}
    facts |= {"source": "", "sha256": table.digest}
    arrays = {"features": table.features.copy(), "targets": table.targets}
    match harm:
        case "cut":
            path.write_bytes(path.read_bytes()[:-3])
        case "number":
            arrays["features"][0, 0] += 1
            save_file(arrays, path, {"table": json.dumps(facts)})
        case "name":
            save_file(arrays, path, {"table": json.dumps({**facts, "classes": "xyw"})})
        case "other":
            save_file(arrays, path)
        case "missing":
            path.unlink()
        case "empty":
            path.write_bytes(b"")
    with pytest.raises(InputError, match=r"task shuttle: .*t.safetensors.*scripts/fetch-data"):
        read_table(path, task="shuttle")


def test_where_tables_are_looked_for(tmp_path, monkeypatch) -> None:
    """The option alone; else METRICGRAD_DATA, then the cache; one sentence names the command."""
    monkeypatch.setenv("METRICGRAD_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("METRICGRAD_CACHE", str(tmp_path / "cache"))
    with pytest.raises(
        InputError, match=r"task income: its rows are not in .*data/tables or .*scripts/fetch-data"
    ):
        table_file("income", "income")
    for place in ("cache", "data"):
        folder = tmp_path / place / "tables"
        folder.mkdir(parents=True)
        write_table(folder / "income.safetensors", made_up(None))
        assert table_file("income", "income") == folder / "income.safetensors"
    with pytest.raises(InputError, match="nowhere"):
        table_file("income", "income", tmp_path / "nowhere")


# -------------------------------------------------------------------------------------------- divisions


def test_rows_are_divided_class_by_class() -> None:
    """Every row once, each class alike, the same seed the same rows."""
    targets = made_up(None).targets
    parts = class_by_class(targets, (0.5, 0.25), seed=1)
    assert [np.bincount(targets[rows]).tolist() for rows in parts] == [
        [100, 40, 20],
        [50, 20, 10],
        [50, 20, 10],
    ]
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(targets)))
    again, other = (class_by_class(targets, (0.5, 0.25), seed=seed) for seed in (1, 2))
    assert (parts[0] == again[0]).all() and (parts[0] != other[0]).any()


@pytest.mark.parametrize(
    ("factor", "counts"), [(100, [1, 10, 100]), (1, [100, 100, 100]), (4, [25, 50, 100])]
)
def test_a_long_tail_falls_by_a_constant_ratio(factor, counts) -> None:
    """From the largest class to its share; the seed says which class is which."""
    targets = np.repeat(np.arange(3), 100)
    left = [long_tail(targets, factor, seed) for seed in range(6)]
    assert all(sorted(np.bincount(targets[rows]).tolist()) == counts for rows in left)
    orders = {tuple(np.bincount(targets[rows]).tolist()) for rows in left}
    assert len(orders) > 1 or factor == 1
    assert (left[0] == long_tail(targets, factor, 0)).all() and len(set(left[0])) == len(left[0])


def test_a_long_tail_of_few_rows() -> None:
    """At least one of each class, and never more than there are; one class keeps all."""
    few = np.repeat([0, 1, 2], [30, 2, 30])
    assert np.bincount(few[long_tail(few, 1000, 0)]).min() == 1
    assert np.bincount(few[long_tail(few, 1, 0)]).tolist() == [30, 2, 30]
    assert len(long_tail(np.zeros(5, np.int64), 100, 0)) == 5


def test_test_is_the_official_part() -> None:
    """Fit and select come from the rows before it."""
    table = made_up(240)
    rows = divided(table, (0.75, 0.25), seed=0)
    assert rows.test.tolist() == list(range(240, 320))
    assert sorted([*rows.fit, *rows.select]) == list(range(240))
    assert len(divided(made_up(None), (0.5, 0.25), seed=0).test) == 80


# ------------------------------------------------------------------------------------------------ numbers


def test_columns_are_standardised_by_fit() -> None:
    """Mean 0 and deviation 1 on fit; a column that is constant there is 0; other rows do not matter."""
    features = np.array([[1.0, 5.0], [3.0, 5.0], [100.0, 7.0]], np.float32)
    found = standardised(features, np.array([0, 1]))
    assert found.tolist() == [[-1, 0], [1, 0], [98, 0]]


def test_levels_and_missing_values_are_columns() -> None:
    """A column for every level and one for a missing value: one of them is 1 in each row."""
    names = Names(("x",), ("first", "second"), (("a", "b"), ("c",)), None, "")
    table = Table(np.array([[0, 0], [1, np.nan], [np.nan, 0]], np.float32), np.zeros(3, np.int64), names)
    assert one_hot(table).tolist() == [[1, 0, 0, 1, 0], [0, 1, 0, 0, 1], [0, 0, 1, 1, 0]]


# ---------------------------------------------------------------------------------------------- the tasks


@pytest.mark.parametrize("name", FILES)
def test_splits_model_proxy_and_metric_fit(tmp_path, name) -> None:
    """No row in two splits; a score for each class; a loss; a figure within its bounds; the seed divides."""
    task = of_task(name, tmp_path, batch=32)
    parts = (task.splits.fit, task.splits.select, task.splits.test)
    assert [len(part.targets) for part in parts[1:]] == ([80, 80] if name == "income" else [60, 80])
    if name != "income":
        drawn = torch.cat([part.inputs[:, 1] for part in parts])
        assert len(drawn.unique()) == len(drawn)
        assert_close(parts[0].inputs.mean(0), torch.zeros(2), rtol=0, atol=1e-5)
    model = task.model(0)
    inputs, targets = next(iter(task.splits.fit))
    outputs = model(inputs)
    assert outputs.shape == (32, 3) and len(targets) == 32
    task.proxy(outputs, targets).backward()
    metric = adapt(task.metric)
    assert -1 <= float(metric.summarise(metric.measure(outputs.detach(), targets))) <= 1
    other = of_task(name, tmp_path, split_seed=1)
    assert other.splits.select.digest != task.splits.select.digest
    assert task.facts["table"] == other.facts["table"]


def test_letters_lose_their_tail_in_fit_alone(tmp_path) -> None:
    """Counts of fit fall to the given share; select and test are as they are."""
    as_it_is, thinned = (of_task("letters_long_tail", tmp_path, imbalance=factor) for factor in (1, 10))
    counts = sorted(torch.bincount(thinned.splits.fit.targets).tolist())
    largest = int(torch.bincount(as_it_is.splits.fit.targets).max())
    assert counts[0] == round(largest / 10) and counts[2] <= largest
    assert_close(as_it_is.splits.select.targets, thinned.splits.select.targets)
    assert_close(as_it_is.splits.test.targets, thinned.splits.test.targets)


REAL = {  # classes, columns of the network, rows of fit, select and test, digests of fit and select
    "letters_long_tail": (26, 16, (2863, 4001, 4000), ("f33486b0056c", "3dc604959f87")),
    "satellite": (6, 36, (3325, 1110, 2000), ("02d00544fa77", "4a6aa193d767")),
    "shuttle": (7, 9, (32625, 10875, 14500), ("ae900283b52b", "e3daa19d408f")),
    "income": (9, 88, (4496, 2249, 2248), ("33b532c80a78", "4c1f92037fa1")),
}


@pytest.mark.parametrize("name", FILES)
def test_the_real_tables(name) -> None:
    """Classes, columns and rows of the documentation, not a bit changed, without a look at the classes of test."""
    found_or_skipped(lambda: table_file(name, FILES[name]))
    splits = import_module(f"metricgrad.tasks.{name}").load({}).splits
    classes, columns, rows, digests = REAL[name]
    assert tuple(len(part.targets) for part in (splits.fit, splits.select, splits.test)) == rows
    assert splits.fit.inputs.shape[1] == columns
    assert tuple(part.digest[:12] for part in (splits.fit, splits.select)) == digests
    counts = torch.bincount(splits.fit.targets)
    assert len(counts) == classes and int(counts.min()) >= 1
    if name == "letters_long_tail":
        assert (int(counts.max()), int(counts.min())) == (484, 5)


# -------------------------------------------------------------------------------------- reading R's tables


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """`scripts/read_tables.py` as a module."""
    pytest.importorskip("pyreadr", reason="pyreadr comes with the extra dev")
    spec = importlib.util.spec_from_file_location("read_tables", SCRIPTS / "read_tables.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def unpacked(tmp_path) -> Path:
    """A package of R with one table: a column of numbers, one of levels with a missing value, the classes."""
    pandas, pyreadr = pytest.importorskip("pandas"), pytest.importorskip("pyreadr")
    data, licence = tmp_path / "usr/lib/R/site-library/one/data", tmp_path / "usr/share/doc/r-cran-one"
    data.mkdir(parents=True)
    licence.mkdir(parents=True)
    (licence / "copyright").write_text("free")
    frame = {"number": [1.0, 2.0, -3.5], "level": pandas.Categorical(["u", None, "v"])}
    frame["kind"] = pandas.Categorical(["q", "p", "q"])
    pyreadr.write_rdata(str(data / "T.rda"), pandas.DataFrame(frame), df_name="T")
    return tmp_path


def test_a_table_of_r_is_read_and_written(script, unpacked, tmp_path, monkeypatch) -> None:
    """Numbers as they are, levels as numbers, missing values as NaN; written with its licence if it has its digest."""
    source = script.Source("one", "T", "kind", None, "")
    table = script.read(unpacked, source)
    assert table.names.columns == ("number", "level") and table.names.levels[0] is None
    levels, classes = table.names.levels[1], table.names.classes
    assert [levels[int(level)] for level in table.features[[0, 2], 1]] == ["u", "v"]
    assert np.isnan(table.features[1, 1]) and table.features[:, 0].tolist() == [1, 2, -3.5]
    assert [classes[target] for target in table.targets] == ["q", "p", "q"]
    monkeypatch.setattr("sys.argv", ["read_tables.py", str(unpacked), str(tmp_path / "to")])
    monkeypatch.setattr(script, "SOURCES", {"t": source})
    with pytest.raises(SystemExit, match=f"is {table.digest}, expected .*Nothing was written"):
        script.main()
    assert not (tmp_path / "to").exists()
    monkeypatch.setattr(script, "SOURCES", {"t": replace(source, digest=table.digest)})
    script.main()
    assert read_table(tmp_path / "to/t.safetensors", task="income").digest == table.digest
    assert (tmp_path / "to/r-cran-one.copyright").read_text() == "free"


def test_what_is_fetched_is_named() -> None:
    """Another part than the three is refused by name, before anything is fetched."""
    done = subprocess.run(
        [SCRIPTS / "fetch-data", "table"], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 2 and "'table'; known: pictures, tables, texts" in done.stderr


def test_tables_without_the_environment(tmp_path) -> None:
    """Where R's tables cannot be read, nothing is fetched, and the message says what to run."""
    for name in ("apt-get", "dpkg-deb"):
        (tmp_path / name).symlink_to("/bin/false")
    places = {"PATH": str(tmp_path), "HOME": str(tmp_path), "PYTHON": "/bin/false"}
    command = ["/bin/bash", str(SCRIPTS / "fetch-data"), "tables"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False, env=places)
    assert done.returncode == 1 and "run scripts/setup" in done.stderr
    assert not (tmp_path / ".cache").exists()
