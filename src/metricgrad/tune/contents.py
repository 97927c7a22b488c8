"""What the splits hold: one hash of all batches of a split, and one of every row, so that nothing is taken for new.

Splits that know their content tell it (`digest`). Others are read once, in a pass whose batches (seed, epoch) alone
decide: all of it, or the first 2,000 batches or gigabyte, which the hash then says of itself.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metricgrad._checks import fail
from metricgrad._records import Progress
from metricgrad._structures import items_of
from metricgrad._types import Observer, Split
from metricgrad.tune.checkpoint import same_random_state
from metricgrad.tune.fingerprint import fingerprint
from metricgrad.tune.passes import one_pass
from metricgrad.tune.splits import NAMES, Splits, batches_in, reference_of

__all__ = ["Contents", "contents_of", "shared_rows"]

MOST_BATCHES, MOST_BYTES = 2_000, 2**30
_PAIRS = (
    ("fit", "select"),
    ("fit", "test"),
    ("select", "test"),
    ("fit", "pool"),
    ("pool", "select"),
    ("pool", "test"),
)


@dataclass(frozen=True)
class Contents:
    """What a split holds.

    Attributes:
        digest: hash of its batches, behind what it covers where that is not all; a split that gives other batches at
            every reading has a text that says so.
        rows: hash of every row (inputs and target together), in no order; None where there are no rows to tell apart,
            and for a reference in memory, whose rows are compared with none.
    """

    digest: str
    rows: Sequence[bytes] | None

    @property
    def told(self) -> str | None:
        """What a reader must know: why equal hashes do not mean equal data."""
        return self.digest.partition(": ")[0] if ": " in self.digest else None


def contents_of(splits: Splits, observer: Observer) -> dict[str, Contents]:
    """Return the contents of the splits that there are, and of their references.

    Raises:
        InputError: a split can be read only once.
    """
    found = {}
    for name in NAMES:
        split = getattr(splits, name)
        if split is not None:
            found[name] = _contents(name, split, observer)
            reference = reference_of(split)
            if reference is not None:
                found[f"{name} reference"] = _contents(f"{name} reference", reference, observer, rows=False)
    return found


def shared_rows(splits: Splits, contents: Mapping[str, Contents]) -> list[str]:
    """Return a sentence for each two splits that share some rows.

    Raises:
        InputError: two splits are one object, have one hash or hold the same rows: what a model has learned, or what
            has chosen, cannot judge.
    """
    told = []
    for first, second in _PAIRS:
        if first not in contents or second not in contents:
            continue
        one, two = contents[first], contents[second]
        if getattr(splits, first) is getattr(splits, second):
            raise _refused(first, second, "are one object")
        if one.digest == two.digest and one.told is None:
            raise _refused(first, second, "have the same content")
        if not one.rows or not two.rows:
            continue
        rows, others = set(one.rows), set(two.rows)
        if rows == others and 2 * len(others) > len(two.rows):  # few kinds of rows, drawn again, are no copy
            raise _refused(first, second, "hold the same rows")
        count = sum(row in rows for row in two.rows)
        if count:
            told.append(
                f"{count:,} of the {len(two.rows):,} rows of {second} (inputs and target) also stand in {first}: what "
                f"{second} says favours a model that has learned them by heart"
            )
    return told


def _refused(first: str, second: str, how: str) -> Exception:
    return fail(
        "Splits",
        f"{first} and {second} {how}",
        "disjoint splits: fit and pool are learned from, select chooses, test judges",
        "Divide the data first; without a test split, Splits(fit, select) claims nothing.",
    )


def _contents(name: str, split: Split, observer: Observer, *, rows: bool = True) -> Contents:
    digest, inputs, targets = (getattr(split, part, None) for part in ("digest", "inputs", "targets"))
    if isinstance(digest, str):
        in_memory = rows and isinstance(inputs, Tensor) and isinstance(targets, Tensor | list)
        own = "" if type(split).__module__.startswith("metricgrad.") else fingerprint(type(split)).code
        return Contents(digest + own, _rows((inputs, targets)) if in_memory else None)
    if iter(split) is split:
        raise fail(
            name,
            f"the split is an iterator ({type(split).__name__}), which can be read only once",
            "something that yields its batches again and again, such as a DataLoader or a list of batches",
        )
    with same_random_state():
        return _read(name, split, observer)


def _read(name: str, split: Split, observer: Observer) -> Contents:
    """Read a split once, and its first batch twice."""
    total, rows, bytes_read, covered = hashlib.sha256(), [], 0, ""
    again = next(one_pass(split, 0, 0), None)
    many = batches_in(split)
    for number, batch in enumerate(one_pass(split, 0, 0)):
        if number == 0 and fingerprint(batch).values != fingerprint(again).values:
            covered = "other batches at every reading: "
            return Contents(f"{covered}{many}", None)
        if number == MOST_BATCHES or bytes_read > MOST_BYTES:
            covered = f"of the first {number:,} batches: "
            break
        total.update(fingerprint(batch).values.encode())
        bytes_read += _bytes(batch)
        rows = None if rows is None else _joined(rows, _rows(batch))
        if many:
            observer(vars(Progress(f"reading {name}", number + 1, many, "batch")) | {"event": "progress"})
    total.update(str(many).encode())
    return Contents(covered + total.hexdigest(), rows)


def _joined(rows: list[bytes], more: list[bytes] | None) -> list[bytes] | None:
    return None if more is None else rows + more


def _bytes(batch: Any) -> int:
    """Size of what tensors and arrays hold."""
    if isinstance(batch, Tensor | np.ndarray):
        return batch.nbytes
    if isinstance(batch, Mapping):
        return sum(map(_bytes, batch.values()))
    if isinstance(batch, list | tuple):
        return sum(map(_bytes, batch))
    return 0


def _rows(batch: Any) -> list[bytes] | None:
    """Hash every row of a batch: the numbers in it whatever their type, or anything else as it is."""
    if (
        not isinstance(batch, list | tuple)
        or len(batch) < 2
        or (count := items_of(batch[1], batch[0])) is None
    ):
        return None
    parts = [_parts(part, count) for part in batch]
    if any(part is None for part in parts):
        return None
    return [hashlib.blake2b(b"".join(row), digest_size=16).digest() for row in zip(*parts, strict=True)]  # pyright: ignore


def _parts(value: Any, count: int) -> list[bytes] | None:
    """The bytes of each of `count` rows; None where a value has no rows."""
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        value = value.float().numpy() if value.dtype == torch.bfloat16 else value.numpy()
    if isinstance(value, np.ndarray):
        if value.ndim == 0 or len(value) != count:
            return None
        if value.dtype.kind in "fiub":
            value = value.astype(np.float32 if value.dtype.kind == "f" else np.int64) + 0  # -0.0 is 0.0
            return [row.tobytes() for row in value]
        return [fingerprint(row).values.encode() for row in value.tolist()]
    if isinstance(value, Mapping):
        columns = [_parts(value[key], count) for key in sorted(value, key=str)]
        return None if None in columns else [b"".join(row) for row in zip(*columns, strict=True)]  # pyright: ignore
    if isinstance(value, list | tuple) and len(value) == count:
        return [fingerprint(item).values.encode() for item in value]
    return None
