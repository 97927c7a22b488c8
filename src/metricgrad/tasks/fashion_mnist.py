"""The 60,000 + 10,000 pictures of Fashion-MNIST: where they are, how they are read, a network for them.

Reference:
    [xiao2017fashion]
"""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor, nn

from metricgrad._checks import fail
from metricgrad.tasks.folders import data_folder

__all__ = ["CLASSES", "PictureScores", "as_inputs", "pictures_folder", "read_idx", "read_part"]

CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"
)  # fmt: skip
"""In the order of the targets."""

INSTALLED = Path("/usr/share/datasets/fashion-mnist")  # where the Debian package puts its files

_FILES = [f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
_AGAIN = "Delete it and fetch it again: scripts/fetch-data"


def pictures_folder(task: str, folder: Path | None = None) -> Path:
    """Return the first folder that holds the four files of Fashion-MNIST.

    Args:
        task: for the message.
        folder: where the user says that they are; no other place is tried then.

    Returns:
        `folder`, or of `$METRICGRAD_DATA/fashion-mnist`, `fashion-mnist` in the user's cache folder and the folder of
        the Debian package the first that has all four.

    Raises:
        InputError: none has them; the message says how to get them.
    """
    return data_folder(
        task,
        "fashion-mnist",
        _FILES,
        given=folder,
        installed=[INSTALLED],
        what="the pictures",
        remedy="Get them with scripts/fetch-data (no root needed), or apt-get install dataset-fashion-mnist",
    )


def read_idx(path: Path, *, axes: int) -> UInt8[np.ndarray, "..."]:
    """Read a gzip file of bytes in IDX format.

    The format: two zero bytes, 8 for bytes, the number of axes; the length of each axis, four bytes, big-endian; data.

    Args:
        path: of the file.
        axes: how many the file must have: 3 for pictures, 1 for labels.

    Returns:
        uint8 array with these axes.

    Raises:
        InputError: no gzip file, cut off, another magic number, or not the number of bytes that it announces.
    """
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise fail("read_idx", f"{path} cannot be unpacked ({error})", "a whole gzip file", _AGAIN) from error
    magic, start = bytes([0, 0, 8, axes]), 4 + 4 * axes
    if content[:4] != magic:
        raise fail(
            "read_idx",
            f"{path} begins with {content[:4].hex(' ')}",
            f"{magic.hex(' ')} (bytes with {axes} axes)",
            _AGAIN,
        )
    shape = tuple(np.frombuffer(content[4:start].ljust(4 * axes, b"\0"), ">u4").tolist())
    if len(content) != start + math.prod(shape):
        raise fail(
            "read_idx",
            f"{path} holds {len(content)} bytes",
            f"{start + math.prod(shape)} for {shape}",
            _AGAIN,
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def read_part(
    task: str, folder: Path, part: str
) -> tuple[UInt8[np.ndarray, "picture 28 28"], UInt8[np.ndarray, "picture"]]:
    """Read the pictures of one part and their classes.

    Args:
        task: for the message.
        folder: of the files.
        part: `train` or `t10k`, the official test part.

    Raises:
        InputError: a file that is damaged, or pictures and labels that do not fit.
    """
    pictures = read_idx(folder / f"{part}-images-idx3-ubyte.gz", axes=3)
    labels = read_idx(folder / f"{part}-labels-idx1-ubyte.gz", axes=1)
    if pictures.shape[1:] != (28, 28) or len(pictures) != len(labels) or labels.max(initial=0) > 9:
        raise fail(
            f"task {task}",
            f"{part} in {folder} has pictures {pictures.shape} and labels {labels.shape} up to {labels.max(initial=0)}",
            "as many labels 0 to 9 as pictures of 28 x 28",
            "Fetch the files again: scripts/fetch-data",
        )
    return pictures, labels


def as_inputs(pictures: UInt8[np.ndarray, "picture 28 28"]) -> Float[Tensor, "picture 1 28 28"]:
    """Return the pictures as a network takes them, from 0 to 1."""
    return torch.tensor(pictures).unsqueeze(1).float() / 255


class PictureScores(nn.Module):
    """Logits for a grey picture of 28 x 28: three convolutions that stride instead of pooling, two linear layers.

    No normalisation: nothing in it depends on the batch.

    Args:
        outputs: logits per picture.
        dropout: rate before either linear layer.

    Example:
        >>> PictureScores(10)(torch.zeros(5, 1, 28, 28)).shape
        torch.Size([5, 10])
    """

    def __init__(self, outputs: int, *, dropout: float = 0.3) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 16, 5, stride=3, padding=1),
            nn.ReLU(),  # [sample, 16, 9, 9]
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),  # [sample, 32, 5, 5]
            nn.Conv2d(32, 64, 3, stride=2, padding=1),
            nn.ReLU(),  # [sample, 64, 3, 3]
        )
        self.head = nn.Sequential(
            nn.Flatten(), nn.Dropout(dropout), nn.Linear(576, 64), nn.ReLU(), nn.Linear(64, outputs)
        )

    def forward(self, pictures: Float[Tensor, "sample 1 28 28"]) -> Shaped[Tensor, "sample ..."]:
        """Return the logits [sample, outputs]."""
        return self.head(self.body(2 * pictures - 1))
