"""The task words: fonts, drawing, splits, the proxy loss and the start model; and what fetches the fonts."""

import io
import stat
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFont
from torch import nn
from torch.testing import assert_close

from metricgrad.cli.recipe import Recipe, checked, read_recipe
from metricgrad.errors import InputError
from metricgrad.learned import words as words_kind
from metricgrad.learned.kinds.words import encoded
from metricgrad.metrics import adapt
from metricgrad.metrics.decoded import of_kind
from metricgrad.tasks import words, words_sets
from metricgrad.tasks.recogniser import MAX_LENGTH, Recogniser, letter_cross_entropy, output_kind, read_start
from metricgrad.tasks.words import Options
from metricgrad.tasks.words_pictures import (
    ALPHABET,
    FONTS,
    HEIGHT,
    WIDTH,
    WORD_LIST,
    draw_word,
    font_files,
    fonts_folder,
    read_words,
    usable,
    usable_fonts,
)
from metricgrad.tasks.words_sets import divided_words, draw_words, kept_words
from metricgrad.tasks.words_split import WordSplit
from tests.tasks.real_data import found_or_skipped

FETCH = Path(__file__).resolve().parents[2] / "scripts" / "fetch-fonts"
PACKAGES = ["wamerican", *(package for packages in FONTS.values() for package in packages)]
SMALL = {"items_fit": 40, "items_select": 200, "items_test": 20, "batch": 16}
SOME = [letters * 3 for letters in ("abc", "bcd", "cde", "def", "xyz")]


@pytest.fixture(scope="module")
def real() -> Path:
    """The folder of the fonts; in CI they must be there."""
    return found_or_skipped(fonts_folder)


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    """A folder for pictures."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def task(real, cache):
    """The task with few pictures."""
    return words.load({**SMALL, "cache": cache, "folder": real})


@pytest.fixture(scope="module")
def font(tmp_path_factory) -> Path:
    """The one font file that needs no fetching: the scalable one inside Pillow."""
    path = tmp_path_factory.mktemp("fonts") / "inside.ttf"
    default = ImageFont.load_default(20)
    assert isinstance(default, ImageFont.FreeTypeFont)
    default.path.seek(0)
    path.write_bytes(default.path.read())
    return path


def logits(texts: list[str]) -> torch.Tensor:
    """Outputs that say these texts."""
    outputs = torch.zeros(len(texts), MAX_LENGTH, 27)
    for row, text in zip(outputs, texts, strict=True):
        for step in range(MAX_LENGTH):
            row[step, ALPHABET.index(text[step]) if step < len(text) else 26] = 9.0
    return outputs


# ------------------------------------------------------------------------------------------ fonts and words


def test_where_the_fonts_are_looked_for(tmp_path, monkeypatch) -> None:
    """The option alone; else METRICGRAD_DATA, then the cache: the first that has every package."""
    monkeypatch.setenv("METRICGRAD_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("METRICGRAD_CACHE", str(tmp_path / "cache"))
    with pytest.raises(
        InputError, match=r"data/words or .*cache/words .*missing: wamerican.*scripts/fetch-fonts"
    ):
        fonts_folder()
    for name in ("cache", "data"):
        for package in PACKAGES:
            (tmp_path / name / "words" / package).mkdir(parents=True)
        (tmp_path / name / "words" / WORD_LIST).write_text("words")
        assert fonts_folder() == tmp_path / name / "words"
    (tmp_path / "data" / "words" / "fonts-lato").rmdir()
    assert fonts_folder() == tmp_path / "cache" / "words"
    with pytest.raises(InputError, match=r"nowhere .*data\.folder"):
        fonts_folder(tmp_path / "nowhere")


def test_a_package_belongs_to_one_split() -> None:
    """No name is in two splits, the script fetches exactly these, and every licence is named."""
    assert len(set(PACKAGES)) == len(PACKAGES) == 32
    fetched = FETCH.read_text(encoding="utf-8").split("packages=(")[1].split(")")[0].split()
    assert set(fetched) == set(PACKAGES)
    assert all(licence for packages in FONTS.values() for licence in packages.values())


def test_usable_fonts(font, tmp_path) -> None:
    """Pillow's own font can be read; a file that is no font cannot, nor can a font whose file is cut off."""
    assert usable(font)
    (tmp_path / "no.ttf").write_text("no font")
    (tmp_path / "cut.ttf").write_bytes(font.read_bytes()[:300])
    assert not usable(tmp_path / "no.ttf") and not usable(tmp_path / "cut.ttf")
    files = font_files(tmp_path.parent, [tmp_path.name])
    assert files == [[tmp_path / "cut.ttf", tmp_path / "no.ttf"]]
    assert usable_fonts([[files[0][0], font]]) == [[font]]
    with pytest.raises(InputError, match=r"has the files .*cut.ttf.*no.ttf.*fetch-fonts"):
        usable_fonts([[font], files[0]])


def test_capitals_in_two_sizes_are_not_usable(font, monkeypatch) -> None:
    """A font whose lower case is its upper case in small is found out, and one whose letters are all alike."""
    from metricgrad.tasks import words_pictures

    original = words_pictures._glyph
    monkeypatch.setattr(
        words_pictures, "_glyph", lambda font, letter, image: original(font, letter.upper(), image)
    )
    assert not usable(font)
    monkeypatch.setattr(words_pictures, "_glyph", lambda font, letter, image: original(font, "x", image))
    assert not usable(font)


def test_the_words_are_read(tmp_path) -> None:
    """Lower-case letters a to z only, 3 to 12 of them, each once; a list that is too short is refused."""
    (tmp_path / "wamerican").mkdir()
    many = [f"{first}{second}{third}" for first in ALPHABET for second in ALPHABET for third in "abc"]
    odd = ["no", "thirteenchars", "Paris", "it's", "naïve", "abc", "abc", "twelveletter"]
    (tmp_path / WORD_LIST).write_text("\n".join([*many, *odd]), encoding="utf-8")
    assert read_words(tmp_path) == sorted({*many, "twelveletter"})
    (tmp_path / WORD_LIST).write_text("\n".join(odd), encoding="utf-8")
    with pytest.raises(InputError, match=r"has 2 words.*at least 1,000"):
        read_words(tmp_path)


def test_words_are_divided() -> None:
    """No word twice, a smaller count is the beginning of a larger one, another seed other words, too many refused."""
    listed = [f"word{number}" for number in range(100)]
    counts = {"fit": 60, "select": 15, "test": 25}
    parts = divided_words(listed, counts, seed=0)
    assert sorted(word for part in parts.values() for word in part) == sorted(listed)
    assert divided_words(listed, {"fit": 5, "test": 3}, seed=0) == {
        "fit": parts["fit"][:5],
        "test": parts["test"][:3],
    }
    assert divided_words(listed, counts, seed=1)["select"] != parts["select"]
    with pytest.raises(InputError, match="16 pictures of select; expected at most 15"):
        divided_words(listed, {"fit": 1, "select": 16}, seed=0)


@pytest.mark.slow
def test_real_fonts_have_26_letters(real) -> None:
    """In every font of every split the letters are 26 different pictures, and none is drawn like its capital."""
    for packages in FONTS.values():
        for paths in usable_fonts(font_files(real, packages)):
            for path in paths:
                face = ImageFont.truetype(str(path), 40, layout_engine=ImageFont.Layout.BASIC)
                masks = {}
                for letter in ALPHABET + ALPHABET.upper():
                    mask = face.getmask(letter)
                    masks[letter] = (mask.size, np.array(mask, dtype=np.uint8).tobytes())
                assert len({masks[letter] for letter in ALPHABET}) == 26, path
                assert all(masks[letter] != masks[letter.upper()] for letter in ALPHABET), path


@pytest.mark.slow
def test_real_splits_are_disjoint(real, task) -> None:
    """By word, by package and by the content of the font files; the packages are as many as the table says."""
    parts = {name: getattr(task.splits, name) for name in ("fit", "select", "test")}
    files = {name: font_files(real, packages) for name, packages in FONTS.items()}
    contents = {
        name: {path.read_bytes() for paths in groups for path in paths} for name, groups in files.items()
    }
    drawn = [word for part in parts.values() for word in part.targets]
    assert len(set(drawn)) == len(drawn) == 260
    for first, second in (("fit", "select"), ("fit", "test"), ("select", "test")):
        assert not contents[first] & contents[second] and not set(FONTS[first]) & set(FONTS[second])
    for name, part in parts.items():
        fonts = {text.split(" (")[1].split("/")[0] for text in part.names}
        assert fonts <= set(FONTS[name])
        assert [text.split(" (")[0] for text in part.names] == part.targets


# ---------------------------------------------------------------------------------------------------- drawing


def test_a_picture_depends_on_its_key_alone(font) -> None:
    """The same key, the same pixels; another one, others; neither what is drawn before nor processes move any."""
    one, same, other = (draw_word("word", [[font]], key)[0] for key in ((0, 1, 7), (0, 1, 7), (0, 1, 8)))
    assert one.shape == (HEIGHT, WIDTH) and one.dtype == np.uint8
    assert (one == same).all() and (one != other).any()
    listed = [f"w{'o' * (number % 5)}rd" for number in range(12)]
    several = draw_words({"fit": listed[:3], "select": listed}, {"fit": [[font]], "select": [[font]]})
    assert several["fit"].pictures.shape == (3, HEIGHT, WIDTH)
    assert (several["select"].pictures[7] == draw_word(listed[7], [[font]], (0, 1, 7))[0]).all()


@pytest.mark.slow
def test_processes_move_no_pixel(font) -> None:
    """Two processes, two parts: the same pictures as here."""
    listed = {"fit": SOME * 110}
    here, there = (draw_words(listed, {"fit": [[font]]}, processes=processes) for processes in (1, 2))
    assert (here["fit"].pictures == there["fit"].pictures).all()


@pytest.mark.parametrize("word", ["", "i", "w" * 12])
def test_the_word_is_in_the_picture(font, word) -> None:
    """Without blur, shade, noise and strokes, ink is there exactly where there are letters, and none is cut off."""
    from metricgrad.tasks import words_pictures

    for number in range(30):
        rng = np.random.default_rng((number,))
        ink = words_pictures._placed(words_pictures._written(word, font), rng, line=40.0)
        pixels = np.asarray(ink)
        if word and not (pixels[:, 0].any() or pixels[:, -1].any()):  # no stroke from side to side
            assert (pixels > 100).sum() > 20
            assert not pixels[0].any() and not pixels[-1].any()
        if not word:
            assert not pixels.any() or (pixels[:, 0].any() and pixels[:, -1].any())


def test_all_packages_are_drawn(font, tmp_path) -> None:
    """A package with one file is drawn as often as one with many."""
    copies = []
    for name in ("a", "b", "c"):
        copies.append(tmp_path / f"{name}.ttf")
        copies[-1].write_bytes(font.read_bytes())
    drawn = draw_words({"fit": ["word"] * 200}, {"fit": [copies, [font]]})["fit"].font
    counts = np.bincount(drawn, minlength=4)
    assert 70 <= counts[3] <= 130 and (counts[:3] >= 15).all() and counts.sum() == 200


# ------------------------------------------------------------------------------------------------------ cache


def test_pictures_are_kept(real, task, cache, monkeypatch) -> None:
    """The second time nothing is drawn, and the pictures are the same."""
    monkeypatch.setattr(words_sets, "draw_word", lambda *_: pytest.fail("drawn again"))
    again = words.load({**SMALL, "cache": cache, "folder": real})
    assert again.facts == task.facts
    for name in ("fit", "select", "test"):
        assert getattr(again.splits, name).digest == getattr(task.splits, name).digest


def test_a_damaged_file_is_drawn_again(real, tmp_path) -> None:
    """One flipped bit of a picture, or a file cut off: a note says so, and the pictures are as before."""
    counts, notes = {"fit": 4, "select": 3, "test": 2}, []
    first = kept_words(real, counts, cache=tmp_path)
    (path,) = tmp_path.glob("*.safetensors")
    whole = path.read_bytes()
    assert first.key in path.name
    for damaged in (whole[:-1] + bytes([whole[-1] ^ 1]), whole[: len(whole) // 2], b""):
        path.write_bytes(damaged)
        again = kept_words(real, counts, cache=tmp_path, observer=lambda event: notes.append(dict(event)))
        for name in counts:
            assert (again.splits[name].pictures == first.splits[name].pictures).all()
        assert path.read_bytes() == whole
    texts = [note["text"] for note in notes if note["event"] == "note"]
    assert len(texts) == 3 and all("drawn again" in text for text in texts)
    assert {note["unit"] for note in notes if note["event"] == "progress"} == {"picture"}


def test_a_folder_that_cannot_be_written(real, tmp_path) -> None:
    """A file where the folder should be: what to do is said."""
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot be kept .*METRICGRAD_CACHE"):
        kept_words(real, {"fit": 1, "select": 1, "test": 1}, cache=tmp_path / "file")


def test_another_seed_gives_other_words(real, task, tmp_path) -> None:
    """Words and key change with the seed; the same fonts are used."""
    other = words.load({**SMALL, "cache": tmp_path, "folder": real, "split_seed": 1})
    assert other.splits.select.targets != task.splits.select.targets
    assert other.facts["pictures"] != task.facts["pictures"]
    assert other.facts["start"] == task.facts["start"]


# ------------------------------------------------------------------------------------------------------ splits


@pytest.fixture
def split() -> WordSplit:
    """Five pictures, each of one level in its number's place."""
    inputs = torch.zeros(5, HEIGHT, WIDTH, dtype=torch.uint8)
    for number in range(5):
        inputs[number, 10, 20 + number] = 50 + number
    return WordSplit(inputs, SOME, batch=2, shuffle=True, shift=(2, 4), seed=3)


def test_batches_depend_on_seed_and_epoch(split) -> None:
    """Every item once with its text; the same epoch the same batches, another one another order and other shifts."""
    passes = []
    for epoch in (0, 1, 0):
        split.set_epoch(epoch)
        batches = list(split)
        assert [len(texts) for _, texts in batches] == [2, 2, 1] and len(split) == 3
        passes.append(
            (torch.cat([inputs for inputs, _ in batches]), [text for _, texts in batches for text in texts])
        )
    assert passes[0][1] == passes[2][1] and sorted(passes[0][1]) == SOME
    assert_close(passes[0][0], passes[2][0], rtol=0, atol=0)
    assert passes[0][1] != passes[1][1]
    places = []
    for inputs, texts in passes:
        for picture, text in zip(inputs, texts, strict=True):
            number = SOME.index(text)
            assert int(picture.max()) == 50 + number and int(picture.count_nonzero()) == 1
            row, column = (picture == 50 + number).nonzero()[0].tolist()
            assert abs(row - 10) <= 2 and abs(column - 20 - number) <= 4
            places.append((row - 10, column - 20 - number))
    assert len(set(places)) > 3


def test_batches_of_another_size(split) -> None:
    """`rebatch` keeps items, order and shifts, and changes the digest; without shuffle the order is the items'."""
    larger = split.rebatch(5)
    assert torch.cat([inputs for inputs, _ in split]).equal(next(iter(larger))[0])
    assert larger.digest != split.digest == split.rebatch(2).digest
    plain = WordSplit(split.inputs, SOME)
    assert next(iter(plain))[1] == SOME and next(iter(plain))[0].equal(split.inputs)


def test_the_digest_tells_texts_and_pictures(split) -> None:
    """Another text, another pixel: another digest."""
    changed = split.inputs.clone()
    changed[0, 0, 0] = 1
    digests = [
        WordSplit(inputs, texts).digest
        for inputs, texts in ((split.inputs, SOME), (changed, SOME), (split.inputs, [*SOME[:4], "zzz"]))
    ]
    assert len(set(digests)) == 3


def test_pictures_for_the_gallery(split) -> None:
    """PNG files of the pictures as they are."""
    found = [np.asarray(Image.open(io.BytesIO(png))) for png in split.pictures([3, 1])]
    assert (found[0] == split.inputs[3].numpy()).all() and (found[1] == split.inputs[1].numpy()).all()
    assert split.names == SOME


@pytest.mark.parametrize(("items", "texts"), [(5, SOME[:4]), (0, []), (1, SOME)])
def test_pictures_and_texts_must_fit(items, texts) -> None:
    """One text too few, nothing, too many texts."""
    with pytest.raises(InputError, match=r"WordSplit: .*as many texts"):
        WordSplit(torch.zeros(items, HEIGHT, WIDTH, dtype=torch.uint8), texts)


# -------------------------------------------------------------------------------------- loss, network and start


def test_texts_are_decoded() -> None:
    """Empty and full-length texts, and letters after the end, which count for nothing."""
    kind = words_kind(ALPHABET, MAX_LENGTH)
    texts = ["", "a", "abcdefghijklmnop", "word"]
    outputs = logits(texts)
    assert kind.decode(outputs) == texts
    assert kind.decode(outputs.softmax(-1)) == texts
    outputs[3, 7, 4] = 99.0
    assert kind.decode(outputs) == texts


def test_the_proxy_is_cross_entropy() -> None:
    """Equal to a loop over steps; exact gradient in float64; falls towards 0 for the right text."""
    texts = ["", "ab", "abcdefghijklmnop"]
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(3, MAX_LENGTH, 27, dtype=torch.float64, generator=generator, requires_grad=True)
    loss = letter_cross_entropy(outputs, texts)
    expected = []
    for row, text in zip(outputs.log_softmax(-1), texts, strict=True):
        symbols = [ALPHABET.index(text[step]) if step < len(text) else 26 for step in range(MAX_LENGTH)]
        expected.append(-sum(row[step, symbol] for step, symbol in enumerate(symbols)) / MAX_LENGTH)
    assert_close(loss, torch.stack(expected))
    assert torch.autograd.gradcheck(lambda values: letter_cross_entropy(values, texts), outputs)
    right = letter_cross_entropy(logits(texts), texts)
    assert right.shape == (3,) and bool((right < 0.01).all())


@pytest.mark.parametrize(("shape", "texts", "message"), [
    ((2, 16, 27), ["a"], "for 1 targets"),
    ((1, 15, 27), ["a"], r"logits \[1, 16, 27\]"),
    ((1, 16, 26), ["a"], r"logits \[1, 16, 27\]"),
    ((1, 16, 27), ["a" * 17], "17 symbols"),
    ((1, 16, 27), ["A"], "symbol 'A'"),
])  # fmt: skip
def test_the_proxy_refuses(shape, texts, message) -> None:
    """Other shapes, another number of texts, a text that is too long, another symbol."""
    with pytest.raises(InputError, match=message):
        letter_cross_entropy(torch.zeros(shape), texts)


def test_the_network_reads_each_picture_by_itself() -> None:
    """In eval no picture depends on the others, contrast and brightness hardly count, every weight has a gradient."""
    torch.manual_seed(0)
    network = Recogniser().eval()
    generator = torch.Generator().manual_seed(1)
    pictures = torch.randint(0, 120, (6, HEIGHT, WIDTH), dtype=torch.uint8, generator=generator)
    with torch.no_grad():
        assert_close(network(pictures)[2:3], network(pictures[2:3]), rtol=1e-4, atol=1e-5)
        assert_close(network(pictures), network(2 * pictures + 10), rtol=0.1, atol=0.05)
    letter_cross_entropy(network.train()(pictures), [*SOME, "abc"]).mean().backward()
    assert all(value.grad is not None and bool(value.grad.abs().sum() > 0) for value in network.parameters())
    assert 200_000 <= sum(value.numel() for value in network.parameters()) <= 400_000


def test_the_start_model_is_whole(tmp_path) -> None:
    """It is loaded, finite and small enough to be committed; a file with other weights is refused."""
    network = read_start()
    assert not network.training
    assert all(bool(value.isfinite().all()) for value in network.parameters())
    from metricgrad.tasks.recogniser import START_WEIGHTS

    assert START_WEIGHTS.stat().st_size < 4_000_000
    (tmp_path / "other.safetensors").write_bytes(b"other")
    for path in (tmp_path / "other.safetensors", tmp_path / "none.safetensors"):
        with pytest.raises(InputError, match=r"start model .*train_words"):
            read_start(path)


@pytest.mark.slow
def test_the_start_model_reads(task) -> None:
    """Most letters of unseen words in unseen fonts; the model of every seed is the same start."""
    metric = of_kind(adapt(task.metric), task.kind)
    split = task.splits.select
    with torch.no_grad():
        outputs = torch.cat([task.model(0)(pictures) for pictures, _ in split])
    assert_close(outputs[:4], task.model(1)(split.inputs[:4]).detach(), rtol=1e-4, atol=1e-4)
    read = task.kind.decode(outputs)
    assert np.mean([one == other for one, other in zip(read, split.targets, strict=True)]) > 0.5
    value = float(metric.summarise(metric.measure(outputs, split.targets)))
    assert value < 0.25 * np.mean([len(word) for word in split.targets])


def test_options() -> None:
    """Unknown ones and sizes below one are refused."""
    with pytest.raises(ValueError, match="items_fitt"):
        Options(items_fitt=3)  # pyright: ignore[reportCallIssue]
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        Options(items_fit=0)


# ----------------------------------------------------------------------------------------- scripts/fetch-fonts


def fetch(tmp_path: Path, **environment: str) -> subprocess.CompletedProcess:
    """Run scripts/fetch-fonts with nothing but the given environment and the commands of tmp_path/bin."""
    return subprocess.run(
        ["/bin/bash", str(FETCH)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"HOME": str(tmp_path), "PATH": str(tmp_path / "bin"), **environment},
    )


@pytest.fixture
def commands(tmp_path) -> Path:
    """A folder of commands: the usual ones, and an apt-get and a dpkg-deb that write what a test wants."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("mktemp", "rm", "cp", "mv", "mkdir", "cat", "find", "basename"):
        found = next(place for place in (Path("/bin"), Path("/usr/bin")) if (place / name).exists())
        (folder / name).symlink_to(found / name)
    return folder


def command(path: Path, text: str) -> None:
    """Write a shell script."""
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_fetching(tmp_path, commands) -> None:
    """Every package has its folder with fonts, words and licence, links left out; the second time apt is not asked."""
    command(
        commands / "apt-get",
        f'echo asked >> "{tmp_path}/asked"\nshift 3\nfor name; do echo > "${{name}}_1_all.deb"; done',
    )
    command(
        commands / "dpkg-deb",
        'name="$(basename "$3")"\nmkdir -p "$3/usr/share/doc/$name" "$3/usr/share/$name/deep"\n'
        'echo MIT > "$3/usr/share/doc/$name/copyright"\necho letters > "$3/usr/share/$name/deep/A Font.ttf"\n'
        'echo words > "$3/usr/share/$name/american-english"\necho other > "$3/usr/share/$name/other"',
    )
    target = tmp_path / "here" / "words"
    for _ in range(2):
        done = fetch(tmp_path, METRICGRAD_DATA=str(target.parent))
        assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in target.iterdir()) == sorted(PACKAGES)
    for package in PACKAGES:
        names = {path.name for path in (target / package).iterdir()}
        assert names == {"A Font.ttf", "american-english", "copyright"}
    assert (tmp_path / "asked").read_text() == "asked\n"
    assert fonts_folder(target) == target


def test_fetching_that_fails(tmp_path, commands) -> None:
    """Without apt, where apt fails, and where a package cannot be unpacked, the message says what to do."""
    done = fetch(tmp_path)
    assert done.returncode == 1 and "no apt-get" in done.stderr and "fonts-lato" in done.stderr
    command(commands / "apt-get", "echo 'E: no such package' >&2; exit 100")
    command(commands / "dpkg-deb", "exit 1")
    done = fetch(tmp_path)
    assert done.returncode == 1 and "E: no such package" in done.stderr and "apt-get update" in done.stderr
    assert not (tmp_path / ".cache").exists()
    command(commands / "apt-get", 'shift 3\nfor name; do echo > "${name}_1_all.deb"; done')
    done = fetch(tmp_path)
    assert done.returncode == 1 and "that failed" in done.stderr
    assert not list((tmp_path / ".cache" / "metricgrad" / "words").iterdir())


# ------------------------------------------------------------------------------------------------ word error rate


def test_the_recipe_for_the_word_error_rate_is_valid() -> None:
    """It is one of the task words; the metric is one of single samples, as a learned surrogate needs it."""
    path = Path(__file__).resolve().parents[2] / "examples" / "words-wer.yaml"
    recipe = checked(Recipe, read_recipe(path), "the example")
    assert (recipe.task, recipe.metric, recipe.method) == ("words", "sequence_accuracy", "learned")
    assert recipe.side_metrics == ["wer", "cer"] and not adapt("wer").per_sample
    assert adapt(recipe.metric).per_sample


def test_of_single_words_the_word_error_rate_is_the_share_not_read() -> None:
    """1 - `sequence_accuracy`, whatever is read: nothing, other letters, or the word."""
    kind, targets = output_kind(), ["cat", "horse", "dove", "ant"]
    logits = 9 * nn.functional.one_hot(encoded(["cat", "house", "", "ants"], ALPHABET, 16), 27).float()
    rate, share = (
        of_kind(adapt(name), kind).summarise(of_kind(adapt(name), kind).measure(logits, targets))
        for name in ("wer", "sequence_accuracy")
    )
    assert float(rate) == 0.75 == 1 - float(share)
