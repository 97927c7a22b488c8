"""Pictures read one by one: views, batches that depend on (seed, epoch) alone, files that are no pictures."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from metricgrad.errors import InputError
from metricgrad.field.listed import Listed, sizes_of
from metricgrad.field.picture_splits import ClassPictures, PictureSplit
from metricgrad.field.stored import Files, seen
from metricgrad.field.views import Lines, Views
from metricgrad.metrics import adapt
from metricgrad.tune import Splits
from metricgrad.tune.passes import one_pass
from metricgrad.tune.pool import fit_and_pool
from tests.field import tiny

VIEWS = Views(resize=8, crop=6)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Ten pictures of a few pixels."""
    names = [f"{number}.png" for number in range(10)]
    for number, name in enumerate(names):
        tiny.picture(tmp_path / name, number)
    listed = Listed("list", tmp_path, names, ["a"] * 10)
    return Files(tmp_path, names, sizes_of(listed))


def batches(split: Any, epoch: int) -> list[tuple[torch.Tensor, Any]]:
    """Batches of an epoch, as a run draws them."""
    return list(one_pass(split, 0, epoch))


def same(first: list[Any], second: list[Any]) -> bool:
    """Whether batches are the same."""
    pairs = zip(first, second, strict=True)
    return all(torch.equal(one[0], two[0]) and torch.equal(one[1], two[1]) for one, two in pairs)


def test_the_centre() -> None:
    """The shorter side is brought to a length and the centre cut out: of a wide picture its middle."""
    pixels = np.zeros((8, 24, 3), dtype=np.uint8)
    pixels[:, 8:16] = 200
    view = Views(resize=8, crop=8).judged(Image.fromarray(pixels))
    assert view.shape == (3, 8, 8) and view.dtype == np.uint8 and (view == 200).all()
    assert Views(resize=8, crop=4).judged(Image.fromarray(pixels.transpose(1, 0, 2))).shape == (3, 4, 4)
    tall = Views(resize=4, crop=4).judged(Image.fromarray(pixels[:1, :1]))
    assert tall.shape == (3, 4, 4) and (tall == 0).all()


@pytest.mark.parametrize("size", [(12, 10), (1, 1), (300, 2), (2, 300)])
def test_random_views(size: tuple[int, int]) -> None:
    """They have one size, are decided by the generator alone, and hold nothing that the picture does not."""
    pixels = np.random.default_rng(0).integers(50, 100, (size[1], size[0], 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    shown = [VIEWS.learned(image, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert shown[0].shape == (3, 6, 6) and (shown[0] == shown[1]).all()
    assert size == (1, 1) or (shown[0] != shown[2]).any()
    assert all(50 <= view.min() and view.max() < 100 for view in shown)


def test_half_of_the_views_are_mirrored() -> None:
    """A picture that rises from left to right falls in about half of its views; parts cover 8 to 100 %."""
    ramp = np.tile(np.arange(0, 240, 4, dtype=np.uint8)[None, :, None], (60, 1, 3))
    image = Image.fromarray(ramp)
    views = [VIEWS.learned(image, np.random.default_rng(seed))[0, 0].astype(int) for seed in range(200)]
    falling = sum(view[0] > view[-1] for view in views)
    assert 70 <= falling <= 130
    spans = [abs(view[-1] - view[0]) for view in views]
    assert min(spans) < 100 < max(spans)


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA", "CMYK", "I;16"])
def test_modes(mode: str, tmp_path: Path) -> None:
    """Grey, palette, transparency: three channels come of all."""
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    if mode == "I;16":
        Image.fromarray(np.arange(120, dtype=np.uint16).reshape(10, 12) * 500).save(path)
    else:
        tiny.picture(path, mode=mode)
    stored = Files(tmp_path, [path.name], [1])
    assert seen(stored, 0, VIEWS.judged).shape == (3, 6, 6)
    assert seen(stored, 0, Lines(4, 9).judged).shape == (1, 4, 9)


def test_settings_of_views() -> None:
    """A crop larger than the resized picture is refused."""
    with pytest.raises(InputError, match="crop is 9 and resize 8"):
        Views(resize=8, crop=9)


@pytest.mark.parametrize("content", [b"no picture", b"\x89PNG\r\n\x1a\n", None])
def test_files_that_are_no_pictures(content: bytes | None, files: Files) -> None:
    """The file is named where its batch is made: text, a header alone, the first half of a picture."""
    path = files.root / "7.png"
    whole = path.read_bytes()
    path.write_bytes(content if content is not None else whole[: len(whole) // 2])
    split = PictureSplit(files, torch.zeros(10, dtype=torch.long), VIEWS, batch=5, workers=2)
    with pytest.raises(InputError, match=r"7\.png .* is no whole picture"):
        batches(split, 0)
    path.unlink()
    with pytest.raises(InputError, match=r"7\.png cannot be read"):
        batches(split, 0)


def test_too_many_pixels(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Pillow takes for a decompression bomb is refused."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    with pytest.raises(InputError, match="DecompressionBombError"):
        seen(files, 0, VIEWS.judged)


def test_judged_pictures(files: Files) -> None:
    """They come in order, whatever the epoch and the number of threads; targets, names and pictures go with them."""
    targets = torch.arange(10)
    split = PictureSplit(files, targets, VIEWS, batch=4)
    first = batches(split, 0)
    assert [len(inputs) for inputs, _ in first] == [4, 4, 2] == [4] * (len(split) - 1) + [2]
    assert first[0][0].dtype == torch.uint8 and first[0][0].shape == (4, 3, 6, 6)
    torch.testing.assert_close(torch.cat([targets for _, targets in first]), targets)
    assert same(first, batches(PictureSplit(files, targets, VIEWS, batch=4, workers=7), 3))
    assert (
        split.names[3] == "3.png"
        and split.names[-1] == "9.png"
        and list(split.names[8:]) == ["8.png", "9.png"]
    )
    assert split.pictures([2])[0].startswith(b"\x89PNG") and split.items == 10
    assert [len(inputs) for inputs, _ in split.rebatch(10)] == [10]


def test_learned_lines(files: Files) -> None:
    """Shuffled by (seed, epoch), each once; texts stay with their pictures."""
    texts = [f"text {number}" for number in range(10)]
    split = PictureSplit(files, texts, Lines(4, 9), batch=4, learned=True)
    orders = [[text for _, batch in batches(split, epoch) for text in batch] for epoch in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2] and sorted(orders[0]) == texts == sorted(orders[2])
    inputs, batch = next(iter(split.rebatch(10)))
    place = batch.index("text 5")
    assert (inputs[place].numpy() == seen(files, 5, Lines(4, 9).judged)).all()
    plain = [[text for _, batch in split for text in batch] for _ in range(2)]
    assert plain[0] != plain[1]  # a plain loop sees another order


def test_batches_of_classes(files: Files) -> None:
    """P classes with K pictures, in random views; the same epoch gives the same bits, with any number of threads."""
    targets = torch.arange(10) % 3
    split = ClassPictures(files, targets, VIEWS, classes_per_batch=2, samples_per_class=3)
    first = batches(split, 0)
    assert len(first) == len(split) and all(
        len(found) == 6 and len(found.unique()) == 2 for _, found in first
    )
    other = ClassPictures(files, targets, VIEWS, classes_per_batch=2, samples_per_class=3, workers=5)
    assert same(first, batches(other, 0)) and not same(first, batches(other, 1))
    assert len(next(iter(split.rebatch(9)))[1]) == 9
    judged = split.each_once()
    torch.testing.assert_close(torch.cat([found for _, found in judged]), targets)


def test_what_a_pass_leaves(files: Files) -> None:
    """A pass that is left early neither waits for the rest nor changes the next one."""
    split = ClassPictures(files, torch.arange(10) % 3, VIEWS, classes_per_batch=2, samples_per_class=2)
    whole = batches(split, 4)
    left = iter(one_pass(split, 0, 4))
    next(left)
    del left
    assert same(whole, batches(split, 4))


class Asking:
    """A method that asks for the exact metric, and does nothing."""

    judge_calls = 5

    def begin(self, run: Any) -> None:
        """Nothing."""

    def step(self, batch: Any) -> dict[str, float]:
        """Nothing."""
        return {"loss": 0.0}

    def state_dict(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def load_state_dict(self, state: Any) -> None:
        """Nothing."""


def test_a_pool_is_parted(files: Files) -> None:
    """Whole classes, of texts single pictures, are held back from a method that asks for the metric."""
    targets = torch.arange(10) // 2
    splits = Splits(ClassPictures(files, targets, VIEWS, classes_per_batch=5, samples_per_class=2), None)
    fit, pool = fit_and_pool(splits, adapt("recall@1"), Asking(), seed=0)
    (learned,), held = batches(fit, 0), batches(pool, 0)
    assert len(learned[1].unique()) == 3 and len(learned[1]) == 6
    ((inputs, found),) = held
    assert sorted([*learned[1].unique().tolist(), *found.unique().tolist()]) == [0, 1, 2, 3, 4]
    rows = [row for row, target in enumerate(targets.tolist()) if target in found.tolist()]
    assert all(
        (inputs[place].numpy() == seen(files, row, VIEWS.judged)).all() for place, row in enumerate(rows)
    )
    lines = PictureSplit(files, [str(row) for row in range(10)], Lines(4, 9), batch=4, learned=True)
    fit, pool = fit_and_pool(
        Splits(lines, None), adapt(lambda outputs, targets: 1.0, higher_is_better=True), Asking(), 0
    )
    texts = [[text for _, batch in batches(split, 0) for text in batch] for split in (fit, pool)]
    assert len(texts[1]) == 2 and sorted([*texts[0], *texts[1]]) == [str(row) for row in range(10)]
    assert [fit.names[row] for row in range(8)] == [f"{text}.png" for text in sorted(texts[0])]


def test_digests(files: Files) -> None:
    """Names, sizes, targets, views, batches and references enter."""
    targets = torch.arange(10)
    split = PictureSplit(files, targets, VIEWS)
    others = [
        PictureSplit(files, targets + 1, VIEWS),
        PictureSplit(files, targets, Views(9, 6)),
        PictureSplit(files, targets, VIEWS, batch=3),
        PictureSplit(files, targets, VIEWS, reference=split),
        PictureSplit(Files(files.root, files.files, [*files.sizes[:-1], 1]), targets, VIEWS),
        PictureSplit(Files(files.root, [*files.files[:-1], "x.png"], files.sizes), targets, VIEWS),
        ClassPictures(files, targets // 2, VIEWS, classes_per_batch=2, samples_per_class=2),
    ]
    assert len({split.digest, *(other.digest for other in others)}) == 8
    assert split.digest == PictureSplit(files, targets.clone(), VIEWS, workers=3).digest


def test_numbers_that_do_not_fit(files: Files) -> None:
    """One target per picture, at least one thread and one picture per batch."""
    with pytest.raises(InputError, match="10 pictures and 9 targets"):
        PictureSplit(files, torch.arange(9), VIEWS)
    with pytest.raises(InputError, match="workers is 0"):
        PictureSplit(files, torch.arange(10), VIEWS, workers=0)
    with pytest.raises(InputError, match="batch is 0"):
        PictureSplit(files, torch.arange(10), VIEWS, batch=0)
    with pytest.raises(InputError, match="0 of 10 classes can give a group"):
        ClassPictures(files, torch.arange(10), VIEWS, classes_per_batch=2, samples_per_class=2)
