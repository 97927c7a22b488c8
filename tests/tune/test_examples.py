"""Which samples are kept as examples that changed, and what is kept of them."""

import base64
import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from metricgrad._types import Metric, OutputKind
from metricgrad.errors import InputError, RunFolderError
from metricgrad.interval import mean_of_units
from metricgrad.report import render
from metricgrad.tune.examples import write_examples
from metricgrad.tune.folder import RunFolder
from metricgrad.tune.outputs import Outputs, collect
from tests.report import synthetic_runs

PNG = base64.b64decode(synthetic_runs.picture(1))


class Shift(nn.Module):
    """Adds one number to its input."""

    def __init__(self, shift: float | Tensor) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.as_tensor(shift))

    def forward(self, inputs: Tensor) -> Tensor:
        """The input, moved."""
        return inputs + self.shift


class Sheet:
    """A split of words or numbers, in batches of 16, whose pictures say which item was asked for."""

    def __init__(self, inputs: Tensor, targets: Any) -> None:
        self.inputs, self.targets = inputs, targets
        self.asked: list[int] = []

    def __iter__(self) -> Iterator[tuple[Tensor, Any]]:
        """Yield the batches."""
        for place in range(0, len(self.inputs), 16):
            yield self.inputs[place : place + 16], self.targets[place : place + 16]

    def pictures(self, indices: Sequence[int]) -> list[bytes]:
        """One picture an index."""
        self.asked += indices
        return [PNG for _ in indices]


class Scenes(Sheet):
    """A split whose pictures can have boxes drawn in."""

    def drawn(self, indices: Sequence[int], boxes_by_name: Mapping[str, Tensor]) -> list[bytes]:
        """Note what was to be drawn, and return one picture an index."""
        self.boxes = getattr(self, "boxes", [])
        self.boxes.append((list(indices), {name: rows.tolist() for name, rows in boxes_by_name.items()}))
        return [PNG + b"drawn" for _ in indices]


def _measure(outputs: Tensor, targets: Any) -> Tensor:
    """Distance of the first number to the target, or to the length of a word [sample, 2]."""
    wanted = targets[:, 0] if isinstance(targets, Tensor) else torch.tensor([float(len(t)) for t in targets])
    error = (outputs[:, 0] - wanted).abs().double()
    return torch.stack((error, torch.zeros_like(error)), dim=1)


WORDS = OutputKind("words", lambda outputs: ["a" * round(float(o)) for o in outputs[:, 0]], nn.Identity)
BOXES = OutputKind("boxes", lambda outputs: outputs, nn.Identity)
ERROR = Metric("error", _measure, mean_of_units, False, (0, 100), per_sample=True, kind=WORDS)


def _words(count: int = 40) -> Sheet:
    """Words of length 3; the first half of the inputs is 1 too long, the second 1 too short."""
    inputs = torch.cat((torch.full((count // 2, 1), 4.0), torch.full((count - count // 2, 1), 2.0)))
    return Sheet(inputs, ["aaa"] * count)


def _measured(model: nn.Module, split: Any, metric: Metric) -> tuple[Outputs, Tensor]:
    """What the model gives for the split, and the statistics of it."""
    found = collect(model, split)
    return found, metric.measure(found.outputs, found.targets)


def _written(
    folder: Path, split: Any, metric: Metric = ERROR, *, before: Any = 0.0, after: Any = -1.0
) -> Any:
    """The document that is written; None where nothing is."""
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text("asked: {}\nfound: {}\n", encoding="utf-8")  # a folder of a run
    opened = RunFolder(folder, lambda event: None)
    try:
        sides = [_measured(Shift(shift), split, metric) for shift in (before, after)]
        write_examples(sides[0], sides[1], ("continued", "tuned"), split, metric, opened)
    finally:
        opened.close()
    path = folder / "examples.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def test_better_and_worse_are_found_and_described(tmp_path: Path) -> None:
    """Eight of each, with picture, target, both readings and both values; the caption counts."""
    split = _words()
    document = _written(tmp_path, split)
    assert (document["before"], document["after"], document["metric"]) == ("continued", "tuned", "error")
    assert (
        document["letters"] is True and document["boxes"] is False and document["higher_is_better"] is False
    )
    assert document["caption"] == (
        "With the first seed: of 40 test samples, 20 have a better error after tuning, 20 a worse one and 0 the same. "
        "Drawn at random from better and worse, large changes and small alike."
    )
    assert [len(document[change]) for change in ("better", "worse")] == [8, 8]
    index = split.asked[0]
    assert document["better"][0] == {
        "name": f"item {index}",
        "png": base64.b64encode(PNG).decode(),
        "target": "aaa",
        "before": {"text": "aaaa", "value": 1.0},
        "after": {"text": "aaa", "value": 0.0},
    }
    assert document["worse"][0]["after"] == {"text": "a", "value": 2.0}
    assert all(index < 20 for index in split.asked[:8]) and all(index >= 20 for index in split.asked[8:])
    assert split.asked[:8] == sorted(set(split.asked[:8]))


def test_the_draw_is_seeded_and_not_the_first_ones(tmp_path: Path) -> None:
    """Two writings are equal byte for byte, and random ones are shown, not the first eight."""
    split = _words()
    _written(tmp_path / "a", split)
    _written(tmp_path / "b", split)
    first, second = ((tmp_path / name / "examples.json").read_bytes() for name in "ab")
    assert first == second and split.asked[:8] != list(range(8))


def test_the_size_of_a_change_does_not_weigh(tmp_path: Path) -> None:
    """Changes a millionfold as large are drawn as often as others: the draw depends on their number alone."""
    weights = torch.where(torch.arange(40) % 20 < 10, 1e6, 1.0).double()[:, None]
    heavy = dataclasses.replace(ERROR, measure=lambda outputs, targets: weights * _measure(outputs, targets))
    plain, weighted = _words(), _words()
    _written(tmp_path / "a", plain)
    document = _written(tmp_path / "b", weighted, heavy)
    assert plain.asked == weighted.asked
    assert {entry["before"]["value"] for entry in document["better"]} == {1.0, 1e6}


def test_the_direction_is_the_metrics(tmp_path: Path) -> None:
    """Where higher is better the same change is worse."""
    higher = dataclasses.replace(ERROR, higher_is_better=True)
    document = _written(tmp_path, _words(), higher)
    assert document["higher_is_better"] is True
    assert document["better"][0]["after"]["value"] > document["better"][0]["before"]["value"]
    assert document["worse"][0]["after"]["value"] < document["worse"][0]["before"]["value"]


@pytest.mark.parametrize(("moved", "count"), [(0.9e-9, 0), (1.1e-9, 3)])
def test_rounding_is_no_change(tmp_path: Path, moved: float, count: int) -> None:
    """A change counts above 1e-9; fewer than eight are all shown."""
    split = Sheet(torch.zeros(3, 1, dtype=torch.float64), torch.zeros(3, 1))
    after = torch.tensor(moved, dtype=torch.float64)
    document = _written(tmp_path, split, after=after, before=torch.zeros((), dtype=torch.float64))
    assert len(document["worse"]) == count and document["better"] == []
    assert ("Drawn at random" in document["caption"]) == (count > 0)
    assert f"{3 - count} the same" in document["caption"]


def test_values_that_are_not_finite_are_no_examples(tmp_path: Path) -> None:
    """A sample without a value with one of the models is counted apart."""
    split = _words(10)
    split.inputs[0], split.inputs[9] = torch.nan, torch.inf
    kind = dataclasses.replace(WORDS, decode=lambda outputs: ["x"] * len(outputs))
    document = _written(tmp_path, split, dataclasses.replace(ERROR, kind=kind))
    assert (
        "4 have a better error after tuning, 4 a worse one, 0 the same and 2 none that is finite."
        in (document["caption"])
    )
    assert not {0, 9} & set(split.asked)


def test_boxes_are_drawn_in_and_no_text_is_kept(tmp_path: Path) -> None:
    """A split that draws is given target, before and after, a row for each index."""
    inputs = torch.arange(10.0)[:, None].repeat(1, 5)
    split = Scenes(inputs, inputs + 1.0)
    document = _written(tmp_path, split, dataclasses.replace(ERROR, kind=BOXES), after=0.5)
    assert len(document["better"]) == 8 and document["worse"] == []
    assert document["letters"] is False and document["boxes"] is True
    assert split.asked == []
    for (indices, boxes), entry in zip(split.boxes, document["better"], strict=True):
        (index,) = indices
        assert boxes == {
            "target": [[index + 1.0] * 5],
            "before": [[float(index)] * 5],
            "after": [[index + 0.5] * 5],
        }
        assert entry["target"] is entry["before"]["text"] is entry["after"]["text"] is None
        assert base64.b64decode(entry["png"]).endswith(b"drawn")
        assert (entry["before"]["value"], entry["after"]["value"]) == (1.0, 0.5)


def test_numbers_are_text_and_anything_else_is_none(tmp_path: Path) -> None:
    """A class or a measure is written as a number; a vector is not put into words."""
    numbers = dataclasses.replace(WORDS, decode=lambda outputs: outputs[:, 0] / 3)
    split = Sheet(torch.tensor([[1.0, 5.0]]), torch.tensor([[0.0, 5.0]]))
    document = _written(tmp_path / "a", split, dataclasses.replace(ERROR, kind=numbers))
    (entry,) = document["better"]
    assert (entry["before"]["text"], entry["target"], document["letters"]) == ("0.3333", None, False)
    classes = dataclasses.replace(WORDS, decode=lambda outputs: outputs.argmax(1))
    split = Sheet(torch.tensor([[1.0, 5.0]]), torch.tensor([[0.0, 5.0]]))
    document = _written(tmp_path / "b", split, dataclasses.replace(ERROR, kind=classes))
    assert document["better"][0]["before"]["text"] == "1"


def test_names_of_the_items_are_used(tmp_path: Path) -> None:
    """A split that names its items has their names at the pictures."""
    split: Any = _words(4)
    split.names = ["one", "two", "three", "four"]
    document = _written(tmp_path, split)
    assert [entry["name"] for entry in document["better"]] == ["one", "two"]


@pytest.mark.parametrize("lacking", ["per_sample", "kind", "pictures"])
def test_without_the_means_there_are_no_examples(tmp_path: Path, lacking: str) -> None:
    """A corpus metric, outputs of an unknown kind or a split without pictures leave no file."""
    split, metric = _words(), ERROR
    if lacking == "pictures":
        split.pictures = None  # pyright: ignore[reportAttributeAccessIssue]
    else:
        metric = dataclasses.replace(
            ERROR, **{"per_sample": False} if lacking == "per_sample" else {"kind": None}
        )
    assert _written(tmp_path, split, metric) is None


def test_a_metric_that_is_not_per_sample_after_all_is_refused(tmp_path: Path) -> None:
    """One row for many samples cannot be held against them; nor can too few predictions."""
    whole = dataclasses.replace(ERROR, measure=lambda outputs, targets: _measure(outputs, targets)[:1])
    with pytest.raises(
        InputError, match=r"error gives \(1, 2\) .* for 40 samples; expected one row a sample"
    ):
        _written(tmp_path, _words(), whole)
    few = dataclasses.replace(ERROR, kind=dataclasses.replace(WORDS, decode=lambda outputs: ["a"]))
    with pytest.raises(InputError, match=r"kind 'words' gives 1 predictions for 40 samples"):
        _written(tmp_path, _words(), few)
    assert not (tmp_path / "examples.json").exists()


def test_a_failure_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is written beside its place and renamed."""
    _written(tmp_path, _words())
    old = (tmp_path / "examples.json").read_bytes()

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(RunFolderError, match="cannot write"):
        _written(tmp_path, _words(8))
    assert (tmp_path / "examples.json").read_bytes() == old
    assert not [path for path in tmp_path.iterdir() if "examples.json." in path.name]


@pytest.mark.parametrize("boxes", [False, True])
def test_the_report_shows_what_was_written(tmp_path: Path, boxes: bool) -> None:
    """From the models to the page: readings marked, or pictures with both values."""
    synthetic_runs.write(tmp_path, synthetic_runs.finished(seeds=(0,), tries=1, unit="sample", higher=False))
    if boxes:
        inputs = torch.arange(10.0)[:, None].repeat(1, 5)
        document = _written(
            tmp_path, Scenes(inputs, inputs + 1.0), dataclasses.replace(ERROR, kind=BOXES), after=0.5
        )
    else:
        document = _written(tmp_path, _words())
    text = render(tmp_path).read_text(encoding="utf-8")
    assert document["caption"] in text and "Examples that changed" in text
    assert text.count("<article>") == (8 if boxes else 16)
    assert ("0.5000" in text) == boxes and ('<mark title="wrong">a</mark>' in text) == (not boxes)
