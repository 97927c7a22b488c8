"""`adapt --apply` and `--export`: from a run folder that the command has made, the same vectors through every door."""

import json
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metricgrad.projection import PairProjection, Projection, load_projection
from tests.adapting.small_vectors import pairs, vectors
from tests.cli.adapt_files import CLOSED, LABELS, PAIRS, made, write_labels, write_pairs
from tests.cli.outcome import Command


@pytest.fixture(scope="module")
def of_labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over labels, of closed forms."""
    folder = tmp_path_factory.mktemp("labels")
    write_labels(folder)
    return made(folder, *LABELS, *CLOSED)


@pytest.fixture(scope="module")
def of_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over pairs, of closed forms."""
    folder = tmp_path_factory.mktemp("pairs")
    write_pairs(folder)
    return made(folder, *PAIRS, *CLOSED)


def form_of(run: Path, side: str) -> Projection:
    """The map of a side, as the library reads it."""
    form = load_projection(run / "adapter.safetensors")
    return getattr(form, side) if isinstance(form, PairProjection) else form


def test_labels_are_mapped_as_by_the_library(command: Command, of_labels: Path, tmp_path: Path) -> None:
    """One map: no side is needed; the file is that of the library to the bit, and that of apply.py."""
    x, _ = vectors()
    np.save(tmp_path / "x.npy", x)
    found = command("adapt", "--apply", of_labels, "x.npy", "--out", "y.npy")
    assert found.code == 0, found.err
    mapped = np.load(tmp_path / "y.npy", allow_pickle=False)
    assert np.array_equal(mapped, form_of(of_labels, "query").transform(x)) and mapped.dtype == np.float32
    script = runpy.run_path(str(of_labels / "apply.py"))
    np.testing.assert_allclose(script["apply"](x, "document"), mapped, atol=1e-5)
    assert "720 x 24 -> " in found.out and "written: y.npy" in found.out


@pytest.mark.parametrize("side", ["query", "document"])
def test_sides_are_mapped_alike_through_every_door(
    command: Command, of_pairs: Path, tmp_path: Path, side: str
) -> None:
    """The command, the library, NumPy alone and ONNX."""
    runtime = pytest.importorskip("onnxruntime")
    x = pairs()[side == "document"]
    np.save(tmp_path / "x.npy", x)
    done = command("adapt", "--apply", of_pairs, "x.npy", "--side", side, "--out", "y.npy", "--json").json
    assert (done["side"], done["rows"], done["dims"][0]) == (side, len(x), 12)
    mapped = np.load(tmp_path / "y.npy")
    assert np.array_equal(mapped, form_of(of_pairs, side).transform(x))
    script = runpy.run_path(str(of_pairs / "apply.py"))
    np.testing.assert_allclose(script["apply"](x, side), mapped, atol=1e-5)
    assert command("adapt", "--export", "onnx", of_pairs, "--side", side, "--out", "m.onnx").code == 0
    session = runtime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(["mapped"], {"vectors": x})[0], mapped, atol=1e-5)


def test_sides_differ(of_pairs: Path) -> None:
    """Else the tests of sides would show nothing."""
    x = pairs()[0]
    assert (
        np.abs(form_of(of_pairs, "query").transform(x) - form_of(of_pairs, "document").transform(x)).max()
        > 0.1
    )


@pytest.mark.slow
def test_sentence_transformers_loads_what_is_exported(
    command: Command, of_pairs: Path, of_labels: Path, tmp_path: Path
) -> None:
    """The real package gives the same vectors behind an encoder: a Router of two sides, and a stack of one."""
    package = pytest.importorskip("sentence_transformers")
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models, pre_tokenizers

    def behind(x: np.ndarray, folder: Path) -> Any:
        words = {f"w{number}": number for number in range(len(x))}
        tokenizer = Tokenizer(models.WordLevel(words, unk_token="w0"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        encoder = StaticEmbedding(tokenizer, embedding_weights=x)
        adapter = package.SentenceTransformer(str(folder), device="cpu")
        return package.SentenceTransformer(modules=[encoder, *adapter], device="cpu")

    export = ("adapt", "--export", "sentence-transformers")
    queries, documents, _ = pairs()
    texts = [f"w{number}" for number in range(len(queries))]
    assert command(*export, of_pairs, "--out", "pair").code == 0
    asked, found = behind(queries, tmp_path / "pair"), behind(documents, tmp_path / "pair")
    np.testing.assert_allclose(
        asked.encode_query(texts), form_of(of_pairs, "query").transform(queries), atol=1e-5
    )
    np.testing.assert_allclose(
        found.encode_document(texts), form_of(of_pairs, "document").transform(documents), atol=1e-5
    )
    assert command(*export, of_pairs, "--side", "query", "--out", "query").code == 0
    one = behind(queries, tmp_path / "query")
    np.testing.assert_allclose(one.encode(texts), asked.encode_query(texts), atol=1e-6)
    assert command(*export, of_labels, "--out", "one").code == 0
    x = vectors()[0][:100]
    np.testing.assert_allclose(
        behind(x, tmp_path / "one").encode(texts[:100]), form_of(of_labels, "query").transform(x), atol=1e-5
    )


def _half(folder: Path, x: np.ndarray) -> tuple[str, np.ndarray]:
    np.save(folder / "x.npy", x.astype(np.float16))
    return "x.npy", x.astype(np.float16)


def _fortran(folder: Path, x: np.ndarray) -> tuple[str, np.ndarray]:
    np.save(folder / "x.npy", np.asfortranarray(x.astype(np.float64)))
    return "x.npy", x.astype(np.float64)


def _parquet(folder: Path, x: np.ndarray) -> tuple[str, np.ndarray]:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(
        arrow.table({"id": [f"a{row}" for row in range(len(x))], "v": list(x)}), folder / "x.parquet"
    )
    return "x.parquet", x


def _csv(folder: Path, x: np.ndarray) -> tuple[str, np.ndarray]:
    np.savetxt(folder / "x.csv", x.astype(np.float64), delimiter=",", fmt="%.17g")
    return "x.csv", x.astype(np.float64)


def _tensors(folder: Path, x: np.ndarray) -> tuple[str, np.ndarray]:
    from safetensors.numpy import save_file

    save_file({"v": x}, folder / "x.safetensors")
    return "x.safetensors", x


@pytest.mark.parametrize("write", [_half, _fortran, _parquet, _csv, _tensors])
def test_forms_of_vectors(
    command: Command,
    of_labels: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write: Callable[[Path, np.ndarray], tuple[str, np.ndarray]],
) -> None:
    """Every form that is read gives the vectors of the library, in the type that came, whatever the blocks."""
    name, x = write(tmp_path, vectors()[0])
    monkeypatch.setattr("metricgrad.cli.adapt_apply._BLOCK", 24 * 100)
    assert command("adapt", "--apply", of_labels, name, "--out", "y.npy").code == 0
    mapped = np.load(tmp_path / "y.npy", mmap_mode="r")
    assert mapped.dtype == x.dtype and mapped.flags.c_contiguous
    tolerance = 1e-3 if x.dtype == np.float16 else 1e-6
    np.testing.assert_allclose(mapped, form_of(of_labels, "query").transform(x), atol=tolerance)


def test_an_existing_file_is_kept_without_force(command: Command, of_labels: Path, tmp_path: Path) -> None:
    """--force writes over it, and what fails leaves nothing half written."""
    x, _ = vectors()
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", np.zeros(3))
    apply = ("adapt", "--apply", of_labels, "x.npy", "--out")
    command(*apply, "y.npy").refused("y.npy is there already", "--force")
    assert len(np.load(tmp_path / "y.npy")) == 3
    assert command(*apply, "y.npy", "--force").code == 0
    assert np.load(tmp_path / "y.npy").shape[0] == len(x)
    command(*apply, "x.npy", "--force").refused("x.npy would be written over")
    command(*apply, "no/y.npy").refused("no/y.npy cannot be written")
    assert sorted(path.name for path in tmp_path.glob(".*")) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--apply", "{pairs}", "q.npy", "--out", "y.npy"), ("two sides that differ", "--side query")),
        (
            ("--apply", "{pairs}", "q.npy", "--side", "both", "--out", "y.npy"),
            ("'both'", "query or document"),
        ),
        (("--apply", "{labels}", "q.npy", "--out", "y.npy"), ("q.npy has 12 dimensions; expected 24",)),
        (("--apply", "{labels}", "--out", "y.npy"), ("no file of vectors",)),
        (("--apply", "{labels}", "x.npy"), ("no --out",)),
        (("--apply", "{labels}", "x.npy", "--out", "y.csv"), ("ends in .npy",)),
        (
            ("--apply", "{labels}", "x.npy", "--out", "y.npy", "--metric", "map"),
            ("--metric came with --apply",),
        ),
        (("--apply", "{labels}", "x.npy", "--out", "y.npy", "--seed", "1"), ("--seed came with --apply",)),
        (("--apply", "{labels}", "x.npy", "--out", "y.npy", "--export", "onnx"), ("came together",)),
        (("--apply", "no", "x.npy", "--out", "y.npy"), ("run folder no is not there",)),
        (("--apply", "x.npy", "x.npy", "--out", "y.npy"), ("run folder x.npy is a file",)),
        (("--apply", ".", "x.npy", "--out", "y.npy"), ("has no adapter.safetensors",)),
        (("--apply", "{labels}", "no.npy", "--out", "y.npy"), ("there is no file no.npy",)),
        (
            ("--apply", "{labels}", "pickled.npy", "--out", "y.npy"),
            ("pickled objects, which are never loaded",),
        ),
        (("--apply", "{labels}", "nan.npy", "--out", "y.npy"), ("NaN or infinite", "(row 7)")),
        (("--export", "onnx", "{pairs}", "--out", "m.onnx"), ("two sides that differ",)),
        (("--export", "onnx", "{labels}", "--out", "m.bin"), ("ends in .onnx",)),
        (("--export", "onnx", "{labels}", "--out", "no/m.onnx"), ("no/m.onnx cannot be written",)),
        (("--export", "onnx", "{labels}"), ("no --out",)),
        (("--export", "onnx", "--out", "m.onnx"), ("no run folder",)),
        (("--export", "torch", "{labels}", "--out", "m.pt"), ("'torch'", "onnx or sentence-transformers")),
        (("--export", "onnx", "{labels}", "--out", "m.onnx", "--quick"), ("--quick came with --export",)),
        (("--export", "sentence-transformers", "{labels}", "--out", "full"), ("full holds files",)),
        (
            ("--export", "sentence-transformers", "{labels}", "--out", "s", "--force"),
            ("--force", "never written"),
        ),
        (
            ("x.npy", "--embeddings", "x.npy", "--labels", "y.csv"),
            ("x.npy came without --apply or --export",),
        ),
        (("--embeddings", "x.npy", "--labels", "y.csv", "--out", "y.npy"), ("--out came without --apply",)),
    ],
)
def test_refused(
    command: Command,
    of_labels: Path,
    of_pairs: Path,
    tmp_path: Path,
    arguments: tuple[str, ...],
    words: tuple[str],
) -> None:
    """One sentence, exit code 2, and nothing is written."""
    write_labels(tmp_path)
    write_pairs(tmp_path)
    broken = vectors()[0].copy()
    broken[7, 3] = np.nan
    np.save(tmp_path / "nan.npy", broken)
    np.save(tmp_path / "pickled.npy", np.array([{}], dtype=object), allow_pickle=True)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note").write_text("mine")
    before = sorted(path.name for path in tmp_path.rglob("*"))
    given = [one.format(labels=of_labels, pairs=of_pairs) for one in arguments]
    command("adapt", *given).refused(*words)
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


def test_received_folders_are_only_read(command: Command, of_labels: Path, tmp_path: Path) -> None:
    """A map that is a link is not followed, a pickle in its place is not loaded, and nothing in the folder changes."""
    np.save(tmp_path / "x.npy", vectors()[0])
    run = Path(shutil.copytree(of_labels, tmp_path / "received"))
    apply = ("adapt", "--apply", run, "x.npy", "--out", "y.npy")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert command(*apply).code == 0
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    (run / "adapter.safetensors").rename(tmp_path / "elsewhere.safetensors")
    (run / "adapter.safetensors").symlink_to(tmp_path / "elsewhere.safetensors")
    command(*apply, "--force").refused("adapter.safetensors is a link")
    (run / "adapter.safetensors").unlink()
    (run / "adapter.safetensors").write_bytes(b"\x80\x04\x95" + b"0" * 100)
    command(*apply, "--force").refused("cannot be read")


@pytest.mark.slow
def test_a_resumed_run_follows_no_link(command: Command, of_labels: Path, tmp_path: Path) -> None:
    """A received folder whose apply.py is a link to the reader's file: the file is as it was."""
    write_labels(tmp_path)
    run = Path(shutil.copytree(of_labels, tmp_path / "received"))
    (tmp_path / "mine").write_text("mine")
    (run / "apply.py").unlink()
    (run / "apply.py").symlink_to(tmp_path / "mine")
    command(*LABELS, *CLOSED, "--run", run).refused("apply.py is a link")
    assert (tmp_path / "mine").read_text() == "mine"


def test_the_map_says_what_it_was_made_for(of_pairs: Path) -> None:
    """Metric, verdict and question stand in the header of the file."""
    about = load_projection(of_pairs / "adapter.safetensors").about
    facts = json.loads((of_pairs / "adapted.json").read_text())
    assert about["metric"] == "ndcg@10" and about["verdict"] == facts["gain"]["outcome"]
