"""Ordinary data: arrays of any kind, pairs, tuples of splits, class names, batches of another form."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from metricgrad.errors import InputError, Interrupted
from metricgrad.metrics import adapt
from metricgrad.tune import ArraySplit, ClassBatchSplit, Plan, Result, Splits, tune
from metricgrad.tune.arms import Contender
from metricgrad.tune.asked import Asked
from metricgrad.tune.given_data import UnpackedSplit, given_splits, numbered
from metricgrad.tune.resolving import resolved
from metricgrad.tune.setup import Setup
from tests.tune.small_run import same_weights
from tests.tune.test_resume import Raiser

DTYPES = [
    "i1",
    "u1",
    "<i2",
    ">i2",
    "<u2",
    ">u2",
    "<u4",
    ">u4",
    "<i8",
    ">i8",
    "<u8",
    ">u8",
    "<f2",
    ">f4",
    ">f8",
    "?",
]


def _arrays(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    targets = random.integers(0, 3, count)
    return random.normal(size=(count, 6)) + 2 * targets[:, None], targets


def _run(splits: Any, folder: Path | None = None, **changes: Any) -> Result:
    arguments: dict[str, Any] = {
        "metric": "accuracy",
        "proxy": cross_entropy,
        "method": "direct:multiclass",
        "plan": Plan(steps=2, evaluate_every=1),
        "observer": lambda event: None,
        "folder": folder,
    }
    return tune(changes.pop("model", None) or nn.Linear(6, 3), splits, **(arguments | changes))


@given(
    dtype=st.sampled_from(DTYPES),
    order=st.sampled_from([1, -1, 2]),
    data=st.lists(st.integers(0, 100), min_size=1, max_size=9),
)
def test_arrays_of_any_kind_hold_their_numbers(dtype: str, order: int, data: list[int]) -> None:
    """Byte order, strides and types that PyTorch does not have change no number."""
    array = np.array(data).astype(dtype)[::order]
    split = ArraySplit(array[:, None], array)
    assert split.targets.tolist() == array.tolist()
    assert split.inputs[:, 0].tolist() == array.tolist()
    assert next(iter(split))[1].tolist() == array.tolist()


class Column:
    """What pandas and pyarrow give: something that numpy makes an array of."""

    def __init__(self, values: list[Any]) -> None:
        self.values = values

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.values)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        """Return them as objects."""
        return np.array(self.values, dtype=object)


def test_float64_arrays_become_the_default_type_and_tensors_do_not() -> None:
    """Numpy makes float64 where nobody asked for it; a tensor's type was chosen. Whole targets stay exact."""
    array = np.array([0.5, 1.5])
    assert ArraySplit(array[:, None], array).inputs.dtype == torch.float32
    assert ArraySplit(array[:, None], array).targets.dtype == torch.float32
    assert (
        ArraySplit(torch.from_numpy(array)[:, None], torch.from_numpy(array)).targets.dtype == torch.float64
    )
    assert ArraySplit(array[:, None], np.array([2.0**40 + 1, 0.0])).targets.tolist() == [2**40 + 1, 0]


@pytest.mark.parametrize(
    ("targets", "wanted"),
    [
        (["a", "b"], ["a", "b"]),
        (np.array(["a", "bc"]), ["a", "bc"]),
        (np.array(["a", "bc"], dtype=object), ["a", "bc"]),
        ([b"a", "b"], ["a", "b"]),
        (("", "None"), ["", "None"]),
        (Column(["x", "y"]), ["x", "y"]),
        (Column([3, 4]), [3, 4]),
        ([torch.tensor(3), torch.tensor(4)], [3, 4]),
        ([[0.5, 1.0], [2.0, 3.0]], [[0.5, 1.0], [2.0, 3.0]]),
    ],
)
def test_targets_of_other_kinds(targets: Any, wanted: Any) -> None:
    """Texts stay texts; lists and columns of numbers are tensors."""
    found = ArraySplit(torch.ones(2, 3), targets).targets
    assert (found.tolist() if isinstance(found, torch.Tensor) else found) == wanted


@pytest.mark.parametrize(
    ("inputs", "targets", "message"),
    [
        (np.ones((3, 2)), [1, 2], "one target per item"),
        (np.ones((2, 2)), ["a", None], r"targets\[1\] is None"),
        (np.ones((2, 2)), [1, None], r"targets\[0\] is 1|targets\[1\]"),
        (np.ones((2, 2)), np.ma.array([1, 2], mask=[False, True]), r"targets\[1\] is masked"),
        (np.ones((2, 2)), np.array([1, 2**64 - 1], dtype=np.uint64), "within int64"),
        (np.ones((2, 2)), {"a": [1, 2]}, "targets are a dict"),
        (np.ones((2, 2)), 3, "targets are 3"),
        (np.ones((2, 2)), "ab", "targets are 'ab'"),
        (np.array([["a"], ["b"]]), [1, 2], "inputs are a list of 2"),
        ([torch.ones(2), torch.ones(3)], [1, 2], "inputs are a list of 2.*collate_fn"),
        ({"x": np.ones((2, 2))}, [1, 2], "inputs are a dict of x"),
        (torch.eye(2).to_sparse(), [1, 2], r"to_dense\(\)"),
        (scipy.sparse.csr_matrix(np.eye(2)), [1, 2], r"sparse matrix.*toarray\(\)"),
        (torch.tensor(1.0), [1], "one entry per item"),
        (np.ones((0, 2)), [], "there is no item"),
        (np.array(["2020-01-01", "2020-01-02"], dtype="datetime64[D]"), [1, 2], "numbers"),
    ],
)
def test_data_that_do_not_fit_are_one_sentence(inputs: Any, targets: Any, message: str) -> None:
    """Which argument, which row, what to do."""
    with pytest.raises(InputError, match=message):
        ArraySplit(inputs, targets)


@pytest.mark.parametrize("batch", [0, -1, np.int64(-3), torch.tensor(2.5)])
def test_a_batch_is_a_whole_number(batch: Any) -> None:
    """Of 1 or more items; numpy's integers count."""
    with pytest.raises(InputError, match="batch is"):
        ArraySplit(torch.ones(3, 2), torch.arange(3), batch=batch)
    assert len(ArraySplit(torch.ones(3, 2), torch.arange(3), batch=np.int64(2))) == 2


@pytest.mark.parametrize(
    "make",
    [
        lambda parts: Splits(*parts),
        tuple,
        lambda parts: [list(part) for part in parts],
        lambda parts: dict(zip(("fit", "select", "test"), parts, strict=True)),
        lambda parts: Splits(*(ArraySplit(*part, shuffle=number == 0) for number, part in enumerate(parts))),
        lambda parts: {"fit": parts[0], "select": Splits(*parts).select, "test": ArraySplit(*parts[2])},
    ],
)
def test_every_form_of_the_splits_is_the_same(make: Any) -> None:
    """A pair of arrays is an ArraySplit, shuffled where it is fit; the three may be a tuple or a dict."""
    parts = [_arrays(count, seed) for seed, count in enumerate((40, 20, 20))]
    found = given_splits(make(parts))
    for number, split in enumerate((found.fit, found.select, found.test)):
        assert isinstance(split, ArraySplit)
        assert split.digest == ArraySplit(*parts[number], shuffle=number == 0).digest


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        (_arrays(20, 0), "splits are a tuple of 2.*Divide the data first"),
        ({"train": 1}, "no split 'train'"),
        ((1, 2), "fit is 1"),
        (Splits(TensorDataset(torch.ones(4, 6), torch.ones(4)), None), "fit is a dataset.*DataLoader"),
        (Splits(DataLoader(TensorDataset(torch.ones(4, 6)), batch_size=None), None), "batch_size=None"),
        (Splits([(torch.ones(6), torch.tensor(1))], None), "fit is a list of items.*DataLoader"),
        (Splits([(np.ones(6), np.int64(1))], None), "fit is a list of items"),
        (Splits([[[1.0, 2.0], 1]] * 3, None), "fit is a list of items"),
        (Splits({"x": 1}, None), "fit is a dict of x"),
        (Splits(_arrays(20, 0), None), "select is None"),
        (Splits(_arrays(20, 0), (batch for batch in [])), "only once"),
        (None, "splits are None"),
    ],
)
def test_splits_of_no_known_form_are_one_sentence(splits: Any, message: str) -> None:
    """With the name of the split."""
    with pytest.raises(InputError, match=message):
        _run(splits)


@pytest.mark.parametrize("items", [257, 513, 255 * 256 + 1, 300, 2, 1])
def test_a_pair_of_arrays_leaves_no_batch_of_one_in_fit(items: int) -> None:
    """BatchNorm cannot train on it; other numbers of items keep batches of 256."""
    arrays = torch.ones(items, 1), torch.zeros(items)
    fit = given_splits((arrays, arrays)).fit
    assert items == 1 or items % fit.batch != 1
    assert fit.batch == 256 or items % 256 == 1


class Stream(torch.utils.data.IterableDataset):
    """Items one after the other, without a length."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __iter__(self):
        """Yield items."""
        return ((torch.full((6,), float(item % 3)), item % 3) for item in range(self.count))


def test_a_loader_without_length_is_trained_on() -> None:
    """Neither a stream nor a loader around it tells how many batches come."""
    loaders = [DataLoader(Stream(count), batch_size=8) for count in (30, 20)]
    assert _run(Splits(*loaders)).verdict == "nothing claimed"


@pytest.mark.parametrize("dtype", ["<i2", ">i4", "u2", "u4", "i8"])
def test_class_numbers_of_arrays_have_the_type_that_losses_take(dtype: str) -> None:
    """int64; bytes and tensors stay as they are."""
    targets = ArraySplit(torch.ones(3, 1), np.arange(3, dtype=dtype)).targets
    assert targets.dtype == torch.int64 and targets.tolist() == [0, 1, 2]
    assert ArraySplit(torch.ones(3, 1), np.arange(3, dtype="u1")).targets.dtype == torch.uint8
    assert ArraySplit(torch.ones(3, 1), torch.arange(3, dtype=torch.int32)).targets.dtype == torch.int32


class Loader:
    """Batches of three parts, shuffled by `set_epoch`, as a loader of somebody else's library."""

    def __init__(self, count: int, seed: int, form: Any) -> None:
        self.arrays, self.form, self.epoch = _arrays(count, seed), form, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order."""
        self.epoch = epoch

    def __iter__(self):
        """Yield dicts or tuples."""
        order = np.random.default_rng(self.epoch).permutation(len(self.arrays[1]))
        for rows in np.array_split(order, 4):
            yield self.form(
                torch.from_numpy(self.arrays[0][rows]).float(), torch.from_numpy(self.arrays[1][rows])
            )


@pytest.mark.parametrize(
    ("form", "unpack"),
    [
        (lambda x, y: {"pixels": x, "label": y}, lambda batch: (batch["pixels"], batch["label"])),
        pytest.param(
            lambda x, y: (x, y, torch.ones(len(y))), lambda batch: batch[:2], marks=pytest.mark.slow
        ),
        pytest.param(
            lambda x, y: {"x": x, "mask": x > 0, "y": y},
            lambda batch: (batch["x"] * batch["mask"], batch["y"]),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_batches_of_another_form_are_unpacked_and_resumed(form: Any, unpack: Any, tmp_path: Path) -> None:
    """Through all readers of a split; the loader is still told its epoch, and a resumed run repeats the batches."""
    torch.manual_seed(0)
    model, plan = nn.Linear(6, 3), Plan(steps=12, evaluate_every=4, checkpoint_every=3)

    def run(folder: Path, **changes: Any) -> Result:
        loaders = [Loader(count, seed, form) for seed, count in enumerate((40, 20, 20))]
        return _run(Splits(*loaders, unpack=unpack), folder, model=model, plan=plan, **changes)

    run(tmp_path / "whole")
    with pytest.raises(Interrupted):
        run(tmp_path / "cut", observer=Raiser("progress", 20, 15))
    run(tmp_path / "cut")
    assert same_weights(tmp_path / "whole", tmp_path / "cut") == []


def test_an_unpacked_split_keeps_all_but_what_it_says_of_its_content() -> None:
    """Its digest would not see the function; batch size and references go through it."""
    inner = ArraySplit(
        torch.ones(8, 6),
        torch.arange(8),
        reference=ArraySplit(torch.ones(4, 6), torch.arange(4)),
        names=list("abcdefgh"),
    )
    split = UnpackedSplit(inner, lambda batch: (batch[0] + 1, batch[1]))
    assert split.names == inner.names
    assert [len(targets) for _, targets in split.rebatch(3)] == [3, 3, 2]
    assert float(next(iter(split.reference))[0].min()) == 2
    assert not hasattr(split, "digest") and not hasattr(split, "targets")


@pytest.mark.parametrize(
    ("unpack", "message"),
    [
        (lambda batch: batch, r"a batch is a dict of x, y"),
        (lambda batch: batch["x"], r"a batch is \(10, 6\)"),
        (
            lambda batch: (batch["z"], batch["y"]),
            "unpack: it raised KeyError: 'z'; it was given a dict of x, y",
        ),
        (None, "a batch is a dict of x, y.*unpack"),
    ],
)
def test_what_unpack_returns_is_checked(unpack: Any, message: str) -> None:
    """Two parts, or one sentence."""
    loaders = [Loader(count, seed, lambda x, y: {"x": x, "y": y}) for seed, count in enumerate((40, 20))]
    with pytest.raises(InputError, match=message):
        _run(Splits(*loaders, unpack=unpack))


WORDS = np.array(["cat", "dog", "ape"])


@pytest.mark.parametrize(
    "kind", [list, *(pytest.param(kind, marks=pytest.mark.slow) for kind in (np.asarray, tuple))]
)
def test_class_names_are_numbered_alike_in_all_splits(kind: Any) -> None:
    """Also where a split lacks a class; the same figures as with numbers given by hand, and the record says which."""
    torch.manual_seed(0)
    model = nn.Linear(6, 3)
    parts = [_arrays(count, seed) for seed, count in enumerate((40, 20, 20))]
    parts[1] = (parts[1][0], np.minimum(parts[1][1], 1))
    by_hand = Splits(*(ArraySplit(x, np.array([1, 2, 0])[y]) for x, y in parts))
    by_name = Splits(*(ArraySplit(x, kind(WORDS[y].tolist())) for x, y in parts))
    found = _run(by_name, model=model)
    torch.testing.assert_close(found.weights(), _run(by_hand, model=model).weights(), rtol=0, atol=0)
    assert "classes are numbered by the alphabet: 0 = ape, 1 = cat, 2 = dog" in [
        event["text"] for event in found.events if event["event"] == "note"
    ]


def test_classes_give_the_order_of_the_outputs_also_in_loaders() -> None:
    """The network's own order; a name that is not in it is refused."""
    x, y = _arrays(20, 0)
    splits = given_splits(
        Splits((x, WORDS[y].tolist()), [(torch.from_numpy(x), tuple(WORDS[y]))], classes=WORDS.tolist())
    )
    found, told = numbered(splits, adapt("accuracy"))
    assert found.fit.targets.tolist() == y.tolist() and told == []
    assert next(iter(found.select))[1].tolist() == y.tolist()
    with pytest.raises(InputError, match=r"fit targets\[\d+\] is 'ape'"):
        numbered(
            given_splits(Splits((x, WORDS[y].tolist()), (x, WORDS[y].tolist()), classes=["cat", "dog"])),
            adapt("accuracy"),
        )


@pytest.mark.parametrize(
    ("metric", "symmetric"),
    [("accuracy", True), ("f1", False), ("roc_auc", True), ("binary_average_precision", False)],
)
def test_two_class_names_need_their_order_where_it_matters(metric: str, symmetric: bool) -> None:
    """The alphabet does not know which class is the positive one."""
    x, y = _arrays(20, 0)
    texts = np.array(["fraud", "right"])[np.minimum(y, 1)].tolist()
    splits = given_splits(((x, texts), (x, texts)))
    if symmetric:
        assert numbered(splits, adapt(metric))[0].fit.targets.tolist() == np.minimum(y, 1).tolist()
    else:
        with pytest.raises(InputError, match=r"which is the positive one.*classes=\[negative, positive\]"):
            numbered(splits, adapt(metric))


def test_texts_stay_where_the_metric_wants_them() -> None:
    """A metric of texts, or a function of the user."""
    x, y = _arrays(20, 0)
    splits = given_splits(((x, WORDS[y].tolist()), (x, WORDS[y].tolist())))
    for metric in (adapt("edit_distance"), adapt(lambda outputs, targets: 0.5, higher_is_better=True)):
        found, _ = numbered(splits, metric)
        assert found.select.targets == WORDS[y].tolist()


def test_retrieval_takes_names_and_keeps_the_splits_disjoint() -> None:
    """Names of classes, in class batches with views too; a class in two splits is found."""
    generator = torch.manual_seed(0)
    names = [f"class {number:02d}" for number in range(30) for _ in range(4)]
    inputs = torch.randn(120, 12, generator=generator)

    def part(first: int, last: int) -> tuple[torch.Tensor, list[str]]:
        return inputs[4 * first : 4 * last], names[4 * first : 4 * last]

    fit = ClassBatchSplit(*part(0, 10), classes_per_batch=4, samples_per_class=4, views=-part(0, 10)[0][None])
    assert isinstance(next(iter(fit))[1], list)
    same = {
        "metric": "recall@1",
        "proxy": "supcon",
        "method": "surrogate:recall_at_k",
        "model": nn.Linear(12, 4),
    }
    result = _run(Splits(fit, ArraySplit(*part(10, 20)), ArraySplit(*part(20, 30))), **same)
    assert (result.event("run_started") or {})["splits"]["fit"] == {"items": 40, "classes": 10}
    by_group = result.event("group_figures") or {}
    assert by_group["noun"] == "class" and by_group["items"] == [4] * 10 and by_group["names"] == []
    with pytest.raises(InputError, match="fit and select share 1 classes"):
        _run(Splits(fit, ArraySplit(*part(9, 20)), ArraySplit(*part(20, 30))), **same)


@pytest.mark.parametrize(
    "seed", [np.int64(3), np.uint8(3), [np.int64(3)], np.array([3]), (3,), torch.tensor(3), range(3, 4)]
)
def test_seeds_of_any_whole_kind(seed: Any) -> None:
    """Numpy's integers, arrays and ranges."""
    assert _resolved(seed).seeds == [3]


@pytest.mark.parametrize("seed", [-1, np.float64(1.5), [], [1, 1], np.array([2, 2]), np.array([-1])])
def test_seeds_of_another_kind_are_one_sentence(seed: Any) -> None:
    """Before anything is trained."""
    with pytest.raises(InputError, match="seed is"):
        _resolved(seed)


def _resolved(seed: Any) -> Setup:
    parts = tuple(_arrays(count, number) for number, count in enumerate((40, 20, 20)))
    contender = Contender("new", "direct:multiclass")
    return resolved(
        Asked(
            nn.Linear(6, 3),
            parts,
            "accuracy",
            [contender],
            proxy=cross_entropy,
            plan=Plan(steps=2),
            seed=seed,
        )
    )
