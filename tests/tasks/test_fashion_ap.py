"""The task fashion_ap: its files, how they are read, who is drawn, whose labels are flipped; and what fetches them."""

import gzip
import stat
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from metricgrad._types import MethodRun
from metricgrad.cli.named import task_loader
from metricgrad.errors import InputError
from metricgrad.methods.descent import DescentSettings
from metricgrad.methods.surrogate import Surrogate
from metricgrad.metrics import adapt
from metricgrad.tasks import fashion_ap, fashion_mnist
from metricgrad.tasks.binary import binary_cross_entropy
from metricgrad.tasks.fashion_mnist import pictures_folder, read_idx
from metricgrad.tasks.task import Task
from tests.tasks.real_data import found_or_skipped

FETCH = Path(__file__).resolve().parents[2] / "scripts" / "fetch-data"
SMALL = {"items_fit": 200, "items_select": 100, "batch": 64}
FILES = [f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]


def idx(array: np.ndarray) -> bytes:
    """An array of bytes in IDX format, before it is packed."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def write(folder: Path, train: int = 600, test: int = 200) -> Path:
    """Write random pictures, as many of each of the ten classes; the first pixels hold the number of the picture."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (part, items) in enumerate({"train": train, "t10k": test}.items()):
        pictures = np.random.default_rng(seed).integers(0, 256, (items, 28, 28), dtype=np.uint8)
        pictures[:, 0, 0], pictures[:, 0, 1], pictures[:, 0, 2] = (
            np.arange(items) // 256,
            np.arange(items) % 256,
            seed,
        )
        for kind, array in (("images-idx3", pictures), ("labels-idx1", (np.arange(items) % 10).astype("u1"))):
            (folder / f"{part}-{kind}-ubyte.gz").write_bytes(gzip.compress(idx(array), 1))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with 600 + 200 made-up pictures."""
    return write(tmp_path_factory.mktemp("data") / "fashion-mnist")


def small(folder: Path, **options: object) -> Task:
    """The task on made-up pictures."""
    return fashion_ap.load({"folder": folder, **SMALL, **options})


def numbers(split) -> list[tuple[int, int]]:
    """File and number of the pictures of a split."""
    pixels = (split.inputs[:, 0, 0, :3] * 255).round().long()
    return [(int(seed), int(high) * 256 + int(low)) for high, low, seed in pixels]


@pytest.fixture(scope="module")
def real() -> Path:
    """The folder of the real files; in CI they must be there."""
    return found_or_skipped(lambda: pictures_folder("fashion_ap"))


# ------------------------------------------------------------------------------------------- reading files


def test_idx_is_read(tmp_path) -> None:
    """Pixels and shape come back."""
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    (tmp_path / "a.gz").write_bytes(gzip.compress(idx(array)))
    read = read_idx(tmp_path / "a.gz", axes=3)
    assert read.dtype == np.uint8 and (read == array).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with ; expected 00 00 08 01"),
        (gzip.compress(idx(np.zeros(5, np.uint8)))[:-9], "cannot be unpacked"),
        (b"not packed", "cannot be unpacked"),
        (gzip.compress(idx(np.zeros(5, np.uint8)) + b"0"), r"holds 14 bytes; expected 13 for \(5,\)"),
        (gzip.compress(idx(np.zeros(5, np.uint8))[:-1]), "holds 12 bytes; expected 13"),
        (gzip.compress(idx(np.zeros(5, np.uint8))[:6]), "holds 6 bytes"),
        (gzip.compress(idx(np.zeros((5, 1), np.uint8))), "begins with 00 00 08 02; expected 00 00 08 01"),
        (gzip.compress(b"\0\0\x0d\1" + bytes(9)), "begins with 00 00 0d 01"),
    ],
    ids=[
        "empty",
        "cut off",
        "not packed",
        "too long",
        "too short",
        "cut in its head",
        "too many axes",
        "no bytes",
    ],
)  # the packed bytes hold the time: without ids two processes would collect different tests
def test_a_damaged_file_is_refused(tmp_path, content, message) -> None:
    """Empty, cut, not packed, too long, too short, other axes or another type: the file is named, and what to do."""
    path = tmp_path / "labels.gz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"labels.gz.*{message}.*scripts/fetch-data"):
        read_idx(path, axes=1)


def test_pictures_and_labels_must_fit(tmp_path) -> None:
    """One label too few is found."""
    write(tmp_path)
    (tmp_path / FILES[1]).write_bytes(gzip.compress(idx(np.zeros(599, np.uint8))))
    with pytest.raises(InputError, match=r"train .*\(600, 28, 28\) and labels \(599,\)"):
        small(tmp_path)


def test_where_the_files_are_looked_for(tmp_path, monkeypatch) -> None:
    """The option alone; else METRICGRAD_DATA, the cache, the Debian package: the first that has all four files."""
    places = [
        tmp_path / "data" / "fashion-mnist",
        tmp_path / "cache" / "fashion-mnist",
        tmp_path / "installed",
    ]
    monkeypatch.setenv("METRICGRAD_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("METRICGRAD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fashion_mnist, "INSTALLED", places[2])
    with pytest.raises(
        InputError, match=r"data/fashion-mnist or .*fetch-data.*apt-get install .*data\.folder"
    ):
        pictures_folder("fashion_ap")
    for place in reversed(places):
        write(place, 20, 10)
        assert pictures_folder("fashion_ap") == place
    (places[0] / FILES[3]).unlink()
    assert pictures_folder("fashion_ap") == places[1]
    with pytest.raises(InputError, match="nowhere"):
        pictures_folder("fashion_ap", tmp_path / "nowhere")


# ------------------------------------------------------------------------------------------------- splits


@pytest.mark.parametrize(("share", "test"), [(0.2, 200), (0.02, 183), (0.4, 200)])
def test_sizes_and_shares(folder, share, test) -> None:
    """Every split has the share of positives, and no picture is in two."""
    splits = small(folder, positive_share=share).splits
    parts = (splits.fit, splits.select, splits.test)
    assert [len(part.targets) for part in parts] == [200, 100, test]
    for part in parts:
        assert abs(int(part.targets.sum()) - share * len(part.targets)) < 1
        assert set(part.targets.tolist()) == {0, 1} and part.inputs.shape[1:] == (1, 28, 28)
        assert part.inputs.dtype == torch.float32 and 0 <= part.inputs.min() < part.inputs.max() == 1
    drawn = [number for part in parts for number in numbers(part)]
    assert len(set(drawn)) == len(drawn)
    assert [seed for seed, _ in drawn] == [0] * 300 + [1] * test  # test comes from the official test file


@pytest.mark.parametrize(("share", "given", "classes"), [
    (0.2, None, {6, 2}), (0.02, None, {6}), (0.3, None, {6, 2, 4}), (0.1, [1, 8], {1, 8}),
])  # fmt: skip
def test_positives_are_the_classes(folder, share, given, classes) -> None:
    """The hard ones, as many as the share needs, or those that are named: they and no others."""
    splits = small(folder, positive_share=share, classes=given).splits
    for part in (splits.fit, splits.select, splits.test):
        labels = torch.tensor([number % 10 for _, number in numbers(part)])
        assert_close(part.targets, torch.isin(labels, torch.tensor(sorted(classes))).long())


def test_only_labels_of_fit_are_flipped(folder) -> None:
    """The same pictures; labels of fit change at the rate, both ways, and those of a lower rate stay changed."""
    clean, some, more, again = (small(folder, flip=flip).splits for flip in (0.0, 0.1, 0.3, 0.3))
    for split in ("fit", "select", "test"):
        assert_close(getattr(more, split).inputs, getattr(clean, split).inputs, rtol=0, atol=0)
    assert_close(more.select.targets, clean.select.targets)
    assert_close(more.test.targets, clean.test.targets)
    assert_close(more.fit.targets, again.fit.targets)
    changed = more.fit.targets != clean.fit.targets
    assert 40 <= int(changed.sum()) <= 80  # 60 of 200 expected; deviation 6.5
    assert set(clean.fit.targets[changed].tolist()) == {0, 1}
    assert not bool(((some.fit.targets != clean.fit.targets) & ~changed).any())


def test_the_seed_draws(folder) -> None:
    """The same seed the same pictures and labels, another seed others."""
    first, same, other = (small(folder, flip=0.2, split_seed=seed).splits for seed in (0, 0, 1))
    assert [getattr(first, name).digest for name in ("fit", "select", "test")] == [
        getattr(same, name).digest for name in ("fit", "select", "test")
    ]
    assert numbers(first.fit) != numbers(other.fit) and numbers(first.test) == numbers(
        other.test
    )  # all of test


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"items_fit": 501}, "501 and 100 pictures at a share of 0.2.*at most 600 pictures"),
        ({"items_test": 201}, "201 pictures .*at most 200"),
        ({"positive_share": 0.004}, "a positive in each"),
        ({"classes": [10]}, "classes are .10."),
        ({"classes": []}, "one to nine"),
    ],
)
def test_what_cannot_be_drawn_is_refused(folder, options, message) -> None:
    """More pictures than there are, a split without a positive, a class that does not exist."""
    with pytest.raises(InputError, match=message):
        small(folder, **options)


# ----------------------------------------------------------------------------------------- model and proxy


def test_model_proxy_and_metric_fit(folder) -> None:
    """One logit a picture, a loss a sample, a figure in [0, 1]; the model is small and nothing is left untrained."""
    task = small(folder)
    torch.manual_seed(0)
    model = task.model(0)
    inputs, targets = next(iter(task.splits.fit))
    outputs = model(inputs)
    loss = task.proxy(outputs, targets)
    assert outputs.shape == loss.shape == (64,)
    loss.mean().backward()
    assert all(bool(value.grad.abs().sum() > 0) for value in model.parameters())
    assert sum(value.numel() for value in model.parameters()) == 60_545
    metric = adapt(task.metric)
    assert 0 < float(metric.summarise(metric.measure(outputs.detach(), targets))) < 1


def test_the_loss_of_two_columns_is_cross_entropy() -> None:
    """Two columns count by their difference; a logit by itself is the difference to 0."""
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(20, 2, dtype=torch.float64, generator=generator)
    targets = torch.arange(20) % 2
    expected = torch.nn.functional.cross_entropy(scores, targets, reduction="none")
    assert_close(binary_cross_entropy(scores, targets), expected)
    assert_close(binary_cross_entropy(scores[:, 1] - scores[:, 0], targets), expected)
    assert_close(
        binary_cross_entropy(torch.tensor([800.0, -800.0]), torch.tensor([0, 0])), torch.tensor([800.0, 0.0])
    )


@pytest.mark.parametrize("shape", [(4, 3), (5, 1), (5,), (4, 2, 1)])
def test_the_loss_refuses_other_shapes(shape) -> None:
    """Three columns, another length in one column or none, three axes."""
    with pytest.raises(InputError, match=r"binary_cross_entropy: outputs are .*logits \[sample\]"):
        binary_cross_entropy(torch.zeros(shape), torch.zeros(4, dtype=torch.long))


def test_the_name_may_have_a_dash() -> None:
    """`metricgrad tune fashion-ap` is `fashion_ap`; a typing error still gets a suggestion."""
    assert task_loader("fashion-ap") is fashion_ap.load is task_loader("fashion_ap")
    with pytest.raises(InputError, match="'fashion_ap'"):
        task_loader("fashion-app")


def test_the_real_pictures_are_read(real) -> None:
    """60,000 + 10,000 pictures, 6,000 + 1,000 of each class: what the documentation says."""
    for part, items in (("train", 60_000), ("t10k", 10_000)):
        labels = read_idx(real / f"{part}-labels-idx1-ubyte.gz", axes=1)
        assert np.bincount(labels).tolist() == [items // 10] * 10
    assert read_idx(real / FILES[2], axes=3).shape == (10_000, 28, 28)


@pytest.mark.slow
def test_the_start_learns_the_real_pictures(real) -> None:
    """A hundred steps of the start's training are far above chance, which is the share of positives."""
    task = fashion_ap.load({"folder": real, "items_test": 100})
    torch.manual_seed(0)
    model = task.model(0)
    method = Surrogate(task.proxy, DescentSettings(**task.start_settings))
    metric = adapt(task.metric)
    method.begin(MethodRun(model.train(), dict(model.named_parameters()), metric, 100, 0, None))
    for epoch in range(7):
        task.splits.fit.set_epoch(epoch)
        for batch in task.splits.fit:
            method.step(batch)
    with torch.no_grad():
        outputs = model.eval()(task.splits.select.inputs)
    value = float(metric.summarise(metric.measure(outputs, task.splits.select.targets)))
    assert value > 0.75


# ------------------------------------------------------------------------------------------ scripts/fetch-data


def fetch(tmp_path: Path, **environment: str) -> subprocess.CompletedProcess:
    """Run scripts/fetch-data with nothing but the given environment and the commands of tmp_path/bin."""
    return subprocess.run(
        ["/bin/bash", str(FETCH), "pictures"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"HOME": str(tmp_path), "PATH": str(tmp_path / "bin"), **environment},
    )


@pytest.fixture
def commands(tmp_path, monkeypatch) -> Path:
    """A folder of commands: the usual ones, and an apt-get and a dpkg-deb that write what a test wants."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("mktemp", "rm", "cp", "mv", "mkdir", "cat"):
        found = next(place for place in (Path("/bin"), Path("/usr/bin")) if (place / name).exists())
        (folder / name).symlink_to(found / name)
    return folder


def command(path: Path, text: str) -> None:
    """Write a shell script."""
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.mark.skipif(
    fashion_mnist.INSTALLED.exists(), reason="the Debian package is installed: nothing is fetched"
)
def test_fetching(tmp_path, commands) -> None:
    """Four files and the licence arrive where the task looks for them; the second time nothing is asked of apt."""
    for place in ("usr/share/datasets/fashion-mnist", "usr/share/doc/dataset-fashion-mnist"):
        (tmp_path / "package" / place).mkdir(parents=True)
    for name in FILES:
        (tmp_path / "package/usr/share/datasets/fashion-mnist" / name).write_text(name)
    (tmp_path / "package/usr/share/doc/dataset-fashion-mnist/copyright").write_text("MIT")
    command(commands / "apt-get", f'echo asked >> "{tmp_path}/asked"; echo > "${{@: -1}}.deb"')
    command(commands / "dpkg-deb", f'cp -r "{tmp_path}/package" "$3"')
    target = tmp_path / "here" / "fashion-mnist"
    for _ in range(2):
        done = fetch(tmp_path, METRICGRAD_DATA=str(target.parent))
        assert done.returncode == 0, done.stderr
    assert {path.name for path in target.iterdir()} == {*FILES, "copyright"}
    assert all((target / name).read_text() == name for name in FILES)
    assert (tmp_path / "asked").read_text() == "asked\n"


@pytest.mark.skipif(
    fashion_mnist.INSTALLED.exists(), reason="the Debian package is installed: nothing is fetched"
)
def test_fetching_that_fails(tmp_path, commands) -> None:
    """Without apt, and where apt fails, the message says what to do, and no folder is left behind."""
    done = fetch(tmp_path)
    assert done.returncode == 1 and "no apt-get" in done.stderr and FILES[0] in done.stderr
    command(commands / "apt-get", "echo 'E: no such package' >&2; exit 100")
    command(commands / "dpkg-deb", "exit 1")
    done = fetch(tmp_path)
    assert done.returncode == 1 and "E: no such package" in done.stderr and "apt-get update" in done.stderr
    assert not (tmp_path / ".cache").exists()
