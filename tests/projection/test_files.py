"""A projection in a file, in ten lines of numpy, in ONNX and in sentence-transformers: the same vectors."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from safetensors import safe_open
from safetensors.torch import save_file

from metricgrad.errors import InputError
from metricgrad.projection import LDA, Centre, PairProjection, Projection, load_projection, write_apply_script
from tests.projection.data import OF_LABELS, OF_PAIRS, pairs, vectors

X, Y = vectors()
QUERIES, DOCUMENTS = pairs()


def test_what_is_saved_is_loaded(tmp_path: Path):
    """Arrays to the last bit, with name, settings and notes."""
    for number, make in enumerate(OF_LABELS.values()):
        form = make().fit(X, Y)
        form.about["model"] = "an encoder"
        found = load_projection(form.save(tmp_path / f"{number}.safetensors"))
        assert isinstance(found, Projection)
        assert np.array_equal(found.transform(X), form.transform(X))
        assert (found.words(), found.settings, found.about) == (form.words(), form.settings, form.about)
    for number, make in enumerate(OF_PAIRS.values()):
        form = make().fit(QUERIES, DOCUMENTS)
        form.about["metric"] = "ndcg@10"
        found = load_projection(form.save(tmp_path / f"pair-{number}.safetensors"))
        assert isinstance(found, PairProjection)
        assert np.array_equal(found.query.transform(QUERIES), form.query.transform(QUERIES))
        assert np.array_equal(found.document.transform(DOCUMENTS), form.document.transform(DOCUMENTS))
        assert (found.words(), found.about) == (form.words(), form.about)


def test_the_header_says_what_it_is(tmp_path: Path):
    """Plain JSON, which any program reads; settings of numpy are numbers of JSON."""
    form = LDA(np.float64(0.1), 3).fit(X, Y)
    loose = Projection(
        form.weight, form.bias, name="InfoNCE", settings={"batch": np.int64(512), "side": "query"}
    )
    assert loose.words() == "InfoNCE, batch 512, side query"
    with safe_open(loose.save(tmp_path / "a.safetensors"), framework="np") as file:
        header = json.loads(file.metadata()["metricgrad_projection"])
        assert set(file.keys()) == {"W_q", "b_q"}
    assert header == {
        "metricgrad_projection": 1,
        "name": "InfoNCE",
        "settings": {"batch": 512, "side": "query"},
        "about": {},
        "normalise": True,
        "dims": {"W_q": [3, 6]},
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"b_q": None}, r"its arrays are \['W_q'\]; expected W_q and b_q"),
        ({"W_x": torch.zeros(2)}, "its arrays are"),
        ({"b_q": torch.zeros(2)}, "of one `out`"),
        ({"b_q": torch.tensor([0.0, 0.0, float("nan")])}, "finite numbers"),
        ({"W_q": torch.zeros(3, 6, dtype=torch.int64)}, "finite numbers"),
        ({"W_q": torch.tensor(1.0)}, "of one `out`"),
        ({"W_d": torch.zeros(2, 6), "b_d": torch.zeros(2)}, "of one `out`"),
    ],
)
def test_arrays_that_do_not_fit(change, words, tmp_path: Path):
    """A file of others is checked before it is used."""
    path = LDA(0.1, 3).fit(X, Y).save(tmp_path / "a.safetensors")
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        arrays = {name: file.get_tensor(name) for name in file.keys()}
    arrays = {name: array for name, array in {**arrays, **change}.items() if array is not None}
    save_file(arrays, path, metadata)
    with pytest.raises(InputError, match=words):
        load_projection(path)


def test_files_that_are_none(tmp_path: Path):
    """No file, other weights, another format, a wrong suffix, no folder."""
    with pytest.raises(InputError, match="cannot be read"):
        load_projection(tmp_path / "no.safetensors")
    form = Centre().fit(X)
    save_file(form.state_dict(), tmp_path / "bare.safetensors")
    with pytest.raises(InputError, match="name: Field required"):
        load_projection(tmp_path / "bare.safetensors")
    facts = {"metricgrad_projection": 2, "name": "a", "settings": {}, "about": {}}
    arrays = {"W_q": form.weight, "b_q": form.bias}
    save_file(arrays, tmp_path / "new.safetensors", {"metricgrad_projection": json.dumps(facts)})
    with pytest.raises(InputError, match="expected format 1"):
        load_projection(tmp_path / "new.safetensors")
    with pytest.raises(InputError, match=r"ends in \.safetensors"):
        form.save(tmp_path / "adapter.pt")
    with pytest.raises(InputError, match="cannot be written"):
        form.save(tmp_path / "none" / "adapter.safetensors")


def test_sides_lead_into_one_space():
    """Two maps of different results are no pair."""
    with pytest.raises(InputError, match="queries come to 6 dimensions and documents to 3"):
        PairProjection(Centre().fit(X), LDA(0.1, 3).fit(X, Y))


def test_the_script_needs_numpy_alone(tmp_path: Path):
    """`apply.py` in a fresh interpreter that has no torch, for both sides and for one map."""
    write_apply_script(tmp_path)
    np.save(tmp_path / "x.npy", QUERIES.astype("float32"))
    (tmp_path / "torch.py").write_text("raise RuntimeError('torch was imported')")
    pair = OF_PAIRS["cca"]().fit(QUERIES, DOCUMENTS)
    pair.save(tmp_path / "adapter.safetensors")
    for side, form in [("query", pair.query), ("document", pair.document), ("document", Centre().fit(X))]:
        if form is not pair.query and form is not pair.document:
            form.save(tmp_path / "adapter.safetensors")
        command = [sys.executable, "apply.py", side, "x.npy", "out.npy"]
        subprocess.run(command, cwd=tmp_path, check=True, timeout=60)
        found = np.load(tmp_path / "out.npy")
        assert found.dtype == np.float32
        assert_allclose(found, form.transform(QUERIES), atol=1e-6)


def test_onnx_gives_the_same_vectors(tmp_path: Path):
    """In the real runtime, for any number of rows; a row of zeros as well."""
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    x = X.astype(np.float32)
    x[3] = 0
    for make in OF_LABELS.values():
        form = make().fit(X, Y)
        session = runtime.InferenceSession(
            form.to_onnx(tmp_path / "a.onnx"), providers=["CPUExecutionProvider"]
        )
        for rows in (x, x[:1]):
            (found,) = session.run(["mapped"], {"vectors": rows})
            assert_allclose(found, form.transform(rows), atol=1e-5)


@pytest.fixture(scope="module")
def encoder():
    """An encoder of words without a transformer: one vector per word, of no particular length."""
    transformers = pytest.importorskip("sentence_transformers")
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {f"w{number}": number for number in range(len(X))}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    module = StaticEmbedding(tokenizer, embedding_weights=X.astype(np.float32))
    return transformers.SentenceTransformer(modules=[module], device="cpu")


@pytest.mark.slow
def test_sentence_transformers_gives_the_same_vectors(encoder, tmp_path: Path):
    """Behind an encoder whose vectors have other lengths than 1."""
    from sentence_transformers import SentenceTransformer

    texts = [f"w{number}" for number in range(len(X))]
    vectors_ = encoder.encode(texts)
    assert np.abs(np.linalg.norm(vectors_, axis=1) - 1).max() > 0.5
    form = LDA(0.1, 3).fit(X, Y)
    loaded = SentenceTransformer(str(form.to_sentence_transformers(tmp_path / "adapter")), device="cpu")
    whole = SentenceTransformer(modules=[*encoder, *loaded], device="cpu")
    assert_allclose(whole.encode(texts), form.transform(vectors_), atol=1e-5)
    with pytest.raises(InputError, match="holds files"):
        form.to_sentence_transformers(tmp_path / "adapter")


@pytest.mark.slow
def test_sentence_transformers_takes_two_sides(encoder, tmp_path: Path):
    """Routes for queries and documents, saved by it and loaded again, too."""
    from sentence_transformers import SentenceTransformer

    texts = [f"w{number}" for number in range(len(X))]
    vectors_ = encoder.encode(texts)
    pair = OF_PAIRS["cca"]().fit(QUERIES, DOCUMENTS)
    loaded = SentenceTransformer(str(pair.to_sentence_transformers(tmp_path / "adapter")), device="cpu")
    whole = SentenceTransformer(modules=[*encoder, *loaded], device="cpu")
    whole.save(str(tmp_path / "whole"), create_model_card=False)
    for model in (whole, SentenceTransformer(str(tmp_path / "whole"), device="cpu")):
        assert_allclose(model.encode_query(texts), pair.query.transform(vectors_), atol=1e-5)
        assert_allclose(model.encode_document(texts), pair.document.transform(vectors_), atol=1e-5)
        assert_allclose(model.encode(texts), pair.document.transform(vectors_), atol=1e-5)
