"""Staged backward: the gradient of one graph, whatever the chunk, with everything random active."""

import collections
import contextlib
import dataclasses
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from metricgrad.errors import InputError
from metricgrad.losses import recall_at_k_loss, supcon_loss
from metricgrad.ranking import RankingLoss
from metricgrad.scale import StagedBackward

CHUNKS = (1, 2, 5, 8, 22, 23, 100)
LABELS = torch.arange(23) % 6


def recall(embeddings: Tensor, targets: Tensor) -> Tensor:
    """A loss that couples all rows."""
    return RankingLoss(recall_at_k_loss, temperature=0.1, k=(1, 2, 4))(embeddings, targets)


def encoder(dropout: float = 0.0) -> nn.Sequential:
    """A small encoder in float64, the same at every call."""
    torch.manual_seed(1)
    layers = nn.Sequential(
        nn.Linear(6, 16), nn.Tanh(), nn.Dropout(dropout), nn.LayerNorm(16), nn.Linear(16, 5)
    )
    return layers.double()


def rows(seed: int = 2) -> Tensor:
    """Inputs [23, 6]."""
    return torch.randn(23, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def gradients(*models: nn.Module) -> list[Any]:
    """The gradients of all parameters."""
    return [value.grad for model in models for value in model.parameters()]


def assert_same(first: list[Any], second: list[Any]) -> None:
    """Equal to 1e-10."""
    torch.testing.assert_close(first, second, rtol=0, atol=1e-10)


def chunked(model: nn.Module, inputs: Tensor, chunk: int) -> Tensor:
    """One graph over the same chunks, in order, so that the same random numbers are drawn."""
    return torch.cat([model(part) for part in inputs.split(chunk)])


@pytest.mark.parametrize("chunk", CHUNKS)
def test_equals_the_whole_batch(chunk: int) -> None:
    """Without random modules every chunk size gives value and gradient of the whole batch as one graph."""
    model, whole = encoder(), encoder()
    loss = recall(whole(rows()), LABELS)
    loss.backward()
    value = StagedBackward(model, recall, chunk=chunk)(rows(), LABELS)
    assert not value.requires_grad
    torch.testing.assert_close(value, loss.detach(), rtol=0, atol=1e-12)
    assert_same(gradients(model), gradients(whole))


@pytest.mark.parametrize("chunk", CHUNKS)
def test_dropout_is_replayed(chunk: int) -> None:
    """With dropout the gradient is that of one graph over the same chunks, and so are the random states after it."""
    model, whole = encoder(0.4), encoder(0.4)
    torch.manual_seed(5)
    recall(chunked(whole, rows(), chunk), LABELS).backward()
    after = torch.rand(3)
    torch.manual_seed(5)
    StagedBackward(model, recall, chunk=chunk)(rows(), LABELS)
    torch.testing.assert_close(torch.rand(3), after, rtol=0, atol=0)
    assert_same(gradients(model), gradients(whole))


def test_a_loss_may_draw_random_numbers() -> None:
    """What the loss draws comes after the embeddings' numbers, and the states stand behind it at the end."""

    def loss(embeddings: Tensor, targets: Tensor) -> Tensor:
        return recall(embeddings * (1 + torch.rand(len(embeddings), 1)), targets)

    model, whole = encoder(0.4), encoder(0.4)
    torch.manual_seed(5)
    loss(chunked(whole, rows(), 4), LABELS).backward()
    after = torch.rand(3)
    torch.manual_seed(5)
    StagedBackward(model, loss, chunk=4)(rows(), LABELS)
    torch.testing.assert_close(torch.rand(3), after, rtol=0, atol=0)
    assert_same(gradients(model), gradients(whole))


def test_random_numbers_of_numpy_are_replayed() -> None:
    """A layer that is dropped by numpy's global generator is dropped in both passes."""

    class LayerDrop(nn.Module):
        """A linear layer, or the identity."""

        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 6).double()

        def forward(self, inputs: Tensor) -> Tensor:
            """Drop the layer half of the time."""
            return self.layer(inputs) if np.random.rand() < 0.5 else inputs * self.layer.bias  # noqa: NPY002

    torch.manual_seed(1)
    model = LayerDrop()
    np.random.seed(3)  # noqa: NPY002
    StagedBackward(model, recall, chunk=3)(rows(), LABELS)
    staged, after = [value.clone() for value in gradients(model)], np.random.rand()  # noqa: NPY002
    model.zero_grad()
    np.random.seed(3)  # noqa: NPY002
    recall(chunked(model, rows(), 3), LABELS).backward()
    assert np.random.rand() == after  # noqa: NPY002
    assert_same(staged, gradients(model))


def test_gradients_accumulate() -> None:
    """A second call adds to `.grad`, as a backward pass does."""
    model = encoder()
    step = StagedBackward(model, recall, chunk=7)
    step(rows(), LABELS)
    once = [2 * value for value in gradients(model)]
    step(rows(), LABELS)
    assert_same(gradients(model), once)


def test_unreduced_loss_is_averaged() -> None:
    """One value per unit is averaged."""
    model, whole = encoder(), encoder()
    supcon_loss(whole(rows()), LABELS).mean().backward()
    StagedBackward(model, supcon_loss, chunk=7)(rows(), LABELS)
    assert_same(gradients(model), gradients(whole))


class Prototypes(nn.Module):
    """A loss with parameters: cross entropy of the similarity to one prototype a class."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.prototypes = nn.Parameter(torch.randn(6, 5, dtype=torch.float64))

    def forward(self, embeddings: Tensor, targets: Tensor) -> Tensor:
        """Return one value per row."""
        return nn.functional.cross_entropy(embeddings @ self.prototypes.T, targets, reduction="none")


def test_parameters_of_the_loss_get_their_gradient_once() -> None:
    """Prototypes learn in the loss stage, not once a chunk."""
    model, whole, loss, loss_of_whole = encoder(), encoder(), Prototypes(), Prototypes()
    loss_of_whole(whole(rows()), LABELS).mean().backward()
    StagedBackward(model, loss, chunk=4)(rows(), LABELS)
    assert_same(gradients(model, loss), gradients(whole, loss_of_whole))


def pairs(left: Tensor, right: Tensor, targets: Tensor) -> Tensor:
    """Contrast the rows of two encoders."""
    del targets
    return nn.functional.cross_entropy(left @ right.T, torch.arange(len(left)))


@pytest.mark.parametrize("by_name", [False, True])
@pytest.mark.parametrize("chunk", [3, 100])
def test_several_encoders(by_name: bool, chunk: int) -> None:
    """Two towers, by place or by name."""
    left, right, whole_left, whole_right = encoder(), encoder()[:2], encoder(), encoder()[:2]
    right.append(nn.Linear(16, 5).double())
    whole_right.append(nn.Linear(16, 5).double())
    whole_right.load_state_dict(right.state_dict())
    pairs(whole_left(rows()), whole_right(rows(3)), LABELS).backward()
    if by_name:
        step = StagedBackward({"picture": left, "text": right}, pairs, chunk=chunk)
        step({"text": rows(3), "picture": rows()}, LABELS)
    else:
        StagedBackward([left, right], pairs, chunk=chunk)((rows(), rows(3)), LABELS)
    assert_same(gradients(left, right), gradients(whole_left, whole_right))


def test_one_encoder_twice_and_one_frozen() -> None:
    """Two views through one encoder; a frozen tower is embedded once."""
    calls = []
    model, whole, frozen = encoder(), encoder(), encoder().requires_grad_(False)
    frozen.register_forward_hook(lambda *_: calls.append(1))

    def triple(first: Tensor, second: Tensor, third: Tensor, targets: Tensor) -> Tensor:
        return pairs(first, second, targets) + pairs(first, third, targets)

    triple(whole(rows()), whole(rows(3)), frozen(rows(4)), LABELS).backward()
    calls.clear()
    StagedBackward([model, model, frozen], triple, chunk=8)([rows(), rows(3), rows(4)], LABELS)
    assert_same(gradients(model), gradients(whole))
    assert len(calls) == 3
    assert gradients(frozen) == [None] * 6


class Tokens(NamedTuple):
    """Parts read by name."""

    inputs: Any
    mask: Any
    scale: Any = None


@dataclasses.dataclass(frozen=True)
class Record:
    """Parts read by name, one of them without rows."""

    inputs: Any
    mask: Any
    scale: float = 2.0


class Outputs(collections.OrderedDict):
    """Items that are attributes too, and no `update`, as in the outputs of transformers."""

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value)
        super().__setattr__(name, value)

    def update(self, *_: Any, **__: Any) -> None:
        """Refuse."""
        raise NotImplementedError


class Encoding(collections.UserDict):
    """Items that are attributes too, as a tokenizer gives them."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["data"][name]
        except KeyError:
            raise AttributeError(name) from None


MASK = (rows(7)[:, :1] > 0).double()
PARTS = {"inputs": rows(), "mask": MASK}
STRUCTURES: dict[str, tuple[Any, Any]] = {
    "dict": (PARTS, lambda batch: (batch["inputs"], batch["mask"])),
    "tuple": ((rows(), MASK), lambda batch: batch),
    "list": (list(rows()), lambda batch: (torch.stack(batch), 1)),
    "named tuple": (Tokens(rows(), MASK), lambda batch: (batch.inputs, batch.mask)),
    "named tuple in a dict": ({"batch": Tokens(rows(), MASK)}, lambda batch: batch["batch"][:2]),
    "frozen dataclass": (Record(rows(), MASK), lambda batch: (batch.inputs * batch.scale, batch.mask / 2)),
    "outputs": (Outputs(PARTS), lambda batch: (batch.inputs, batch["mask"])),
    "encoding": (Encoding(PARTS), lambda batch: (batch.inputs, batch.mask)),
    "default dict": (
        collections.defaultdict(list, PARTS | {"more": None}), lambda batch: (batch["inputs"], batch["mask"])
    ),
    "nested": ((rows(), {"mask": [*MASK], "name": "text"}), lambda batch: (batch[0], torch.stack(batch[1]["mask"]))),
    "array": ((rows().numpy(), MASK), lambda batch: (torch.from_numpy(batch[0]), batch[1])),
}  # fmt: skip


@pytest.mark.parametrize("name", STRUCTURES)
def test_inputs_of_several_parts(name: str) -> None:
    """Structures are cut alike in all parts and keep their kind, lists are cut by items; no row is lost or doubled."""
    batch, read = STRUCTURES[name]

    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(1)
            self.table = nn.Linear(6, 5).double()

        def forward(self, given: Any) -> Tensor:
            assert type(given) is type(batch)
            inputs, mask = read(given)
            return self.table(inputs) * mask

    model, whole = Masked(), Masked()
    supcon_loss(whole(batch), LABELS).mean().backward()
    for chunk in (4, "auto"):
        model.zero_grad()
        StagedBackward(model, supcon_loss, chunk=chunk, memory=200)(batch, LABELS)
        assert_same(gradients(model), gradients(whole))


def test_parts_that_cannot_be_cut() -> None:
    """Packed sequences have no rows; parts of unequal length and parts without rows are refused."""
    packed = nn.utils.rnn.pack_sequence([torch.ones(2, 1), torch.ones(1, 1)])
    for batch, message in (
        ((rows(), packed), "PackedSequence"),
        (Tokens(rows(), MASK[1:]), r"\[22, 23\] rows"),
        ({"a": None, "b": 1.0}, "inputs are"),
    ):
        with pytest.raises(InputError, match=message):
            StagedBackward(encoder(), supcon_loss, chunk=4)(batch, LABELS)


class Changing(nn.Module):
    """A linear map and something that its own calls change."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.kind, self.linear, self.calls = kind, nn.Linear(6, 5).double(), 0
        self.torch_numbers, self.numbers = torch.Generator().manual_seed(3), np.random.default_rng(3)
        self.register_buffer("mean", torch.zeros(6, dtype=torch.float64))

    def forward(self, inputs: Tensor) -> Tensor:
        """Embed."""
        self.calls += 1
        if self.kind == "torch generator":
            noise = torch.randn(inputs.shape, generator=self.torch_numbers, dtype=inputs.dtype)
            inputs = inputs + 0.01 * noise
        if self.kind == "numpy generator":
            inputs = inputs * torch.from_numpy(self.numbers.random(inputs.shape) > 0.1)
        if self.kind == "slow mean":
            self.mean = self.mean.lerp(inputs.detach().mean(0), 0.001)
        if self.kind == "temperature":
            inputs = inputs * (1 + 0.001 * self.calls)
        output = self.linear(inputs - self.mean)
        if self.kind == "one row" and self.calls == 4:
            output = output * torch.ones(len(inputs), 1).index_fill_(0, torch.tensor([0]), 1.01)
        if self.kind == "noise of sums":
            output = output * (1 + 1e-6 * self.calls)
        return output


@pytest.mark.parametrize(
    "kind", ["torch generator", "numpy generator", "slow mean", "temperature", "one row"]
)
@pytest.mark.parametrize("chunk", [8, 1])
def test_a_second_pass_of_another_network_is_refused(kind: str, chunk: int) -> None:
    """State of the model's own that the second pass does not find as it was: one sentence, not a wrong gradient."""
    with pytest.raises(InputError, match="second pass gives other embeddings"):
        StagedBackward(Changing(kind), recall, chunk=chunk)(rows() + 1, LABELS)
    StagedBackward(Changing(kind), recall, chunk=100)(rows() + 1, LABELS)  # one pass has no second


@pytest.mark.parametrize("kind", ["", "noise of sums"])
def test_a_second_pass_may_round_otherwise(kind: str) -> None:
    """Counters that change nothing and last digits are no other network; nor are NaN and infinite embeddings."""
    assert torch.isfinite(StagedBackward(Changing(kind), recall, chunk=4)(rows(), LABELS))
    strange = rows()
    strange[3], strange[9] = torch.nan, torch.inf
    StagedBackward(Changing(kind), recall, chunk=4)(strange, LABELS)


def test_networks_in_eval_mode_and_half_precision_pass() -> None:
    """The fast paths without gradient of attention, and bfloat16, stay within what is allowed."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True).eval()
    attending, points = nn.Sequential(layer, nn.Flatten()), torch.randn(23, 3, 6)
    half = nn.Linear(6, 5).bfloat16()
    found = [StagedBackward(attending, supcon_loss, chunk=5)(points, LABELS)]
    found.append(StagedBackward(half, supcon_loss, chunk=5)(rows().bfloat16(), LABELS))
    with torch.autocast("cpu", torch.bfloat16):
        found.append(StagedBackward(attending, supcon_loss, chunk=5)(points, LABELS))
    assert all(torch.isfinite(loss) for loss in found)


def test_whole_batch_costs_one_forward_pass() -> None:
    """A chunk that holds the batch embeds it once; a smaller one embeds every row twice."""
    seen: list[tuple[int, bool]] = []
    model = encoder()
    model.register_forward_hook(lambda _, __, output: seen.append((len(output), output.requires_grad)))
    StagedBackward(model, recall, chunk=23)(rows(), LABELS)
    assert seen == [(23, True)]
    seen.clear()
    StagedBackward(model, recall, chunk=10)(rows(), LABELS)
    assert seen == [(10, False), (10, False), (3, False), (10, True), (10, True), (3, True)]


@pytest.mark.parametrize("chunk", [4, 100])
def test_batch_statistics_are_refused(chunk: int) -> None:
    """A BatchNorm in train mode is named, whatever the chunk; in eval mode it is fine."""
    model = nn.Sequential(nn.Linear(6, 5), nn.Sequential(nn.BatchNorm1d(5))).double()
    step = StagedBackward(model, recall, chunk=chunk)
    with pytest.raises(InputError, match=r"1\.0 has statistics of the batch"):
        step(rows(), LABELS)
    model[1].eval()
    step(rows(), LABELS)
    assert model[0].weight.grad is not None


def test_batch_statistics_are_frozen() -> None:
    """`freeze` uses the running statistics, leaves them and the mode as they are, and trains the weights."""
    model = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5)).double()
    model[1].running_mean.fill_(0.3)
    model[1].running_var.fill_(2.0)
    before = {name: value.clone() for name, value in model.named_buffers()}
    whole = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5)).double()
    whole.load_state_dict(model.state_dict())
    recall(whole.eval()(rows()), LABELS).backward()
    StagedBackward(model, recall, chunk=4, batchnorm="freeze")(rows(), LABELS)
    assert model[1].training
    torch.testing.assert_close(dict(model.named_buffers()), before, rtol=0, atol=0)
    assert_same(gradients(model), gradients(whole))


def test_the_mode_returns_after_an_error() -> None:
    """A loss that raises leaves BatchNorm in train mode."""
    model = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5)).double()

    def broken(embeddings: Tensor, targets: Tensor) -> Tensor:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        StagedBackward(model, broken, chunk=4, batchnorm="freeze")(rows(), LABELS)
    assert model[1].training


def test_batch_statistics_without_running_ones_cannot_be_frozen() -> None:
    """Eval mode changes nothing for such a BatchNorm."""
    model = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5, track_running_stats=False)).double()
    with pytest.raises(InputError, match="GroupNorm"):
        StagedBackward(model.eval(), recall, chunk=4, batchnorm="freeze")(rows(), LABELS)


def test_autocast() -> None:
    """Under autocast both passes run in bfloat16, the loss gets float32, and the weights get a gradient."""
    model, whole = encoder().float(), encoder().float()
    inputs, seen = rows().float(), []

    def loss(embeddings: Tensor, targets: Tensor) -> Tensor:
        seen.append(embeddings.dtype)
        return recall(embeddings, targets)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        whole_loss = recall(chunked(whole, inputs, 5).float(), LABELS)
    whole_loss.backward()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        StagedBackward(model, loss, chunk=5)(inputs, LABELS)
    assert seen == [torch.float32]
    assert all(value is not None for value in gradients(model))
    torch.testing.assert_close(gradients(model), gradients(whole), rtol=0.05, atol=2e-3)


@pytest.mark.parametrize("chunk", [5, 100])
def test_grad_scaler(chunk: int) -> None:
    """With a scaler the gradients carry its scale, the value does not, and its step unscales them."""
    model, plain = encoder().float(), encoder().float()
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    value = StagedBackward(model, recall, chunk=chunk, scaler=scaler)(rows().float(), LABELS)
    expected = StagedBackward(plain, recall, chunk=chunk)(rows().float(), LABELS)
    torch.testing.assert_close(value, expected)
    scaled = [1024.0 * item for item in gradients(plain)]
    torch.testing.assert_close(gradients(model), scaled, rtol=1e-4, atol=1e-4)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler.step(optimiser)
    torch.optim.SGD(plain.parameters(), lr=0.1).step()
    torch.testing.assert_close(list(model.parameters()), list(plain.parameters()), rtol=1e-5, atol=1e-6)


def test_no_sync_for_all_chunks_but_the_last() -> None:
    """A model with `no_sync` (DistributedDataParallel) is inside of it for every backward pass but its last."""
    inside: list[bool] = []

    class Wrapped(nn.Module):
        """Has the two members of DistributedDataParallel that matter here."""

        def __init__(self) -> None:
            super().__init__()
            self.module, self.silent = encoder(), False

        def forward(self, inputs: Tensor) -> Tensor:
            """Note whether gradients would be summed over processes after this pass."""
            if torch.is_grad_enabled():
                inside.append(self.silent)
            return self.module(inputs)

        @contextlib.contextmanager
        def no_sync(self):
            """Be silent."""
            self.silent = True
            yield
            self.silent = False

    model = Wrapped()
    StagedBackward([model, model], pairs, chunk=10)([rows(), rows(3)], LABELS)
    assert inside == [True] * 5 + [False]


def test_batch_without_a_positive_has_a_zero_gradient() -> None:
    """No query with a positive: the loss is 0 and so are the gradients."""
    model = encoder()
    value = StagedBackward(model, recall, chunk=4)(rows(), torch.arange(23))
    assert value == 0
    assert_same(gradients(model), [torch.zeros_like(item) for item in model.parameters()])


@pytest.mark.parametrize("chunk", ["auto", 2])
def test_empty_batch(chunk) -> None:
    """No row: the loss decides; ours is 0."""
    model = encoder()
    value = StagedBackward(model, recall, chunk=chunk)(rows()[:0], LABELS[:0])
    assert value == 0


def test_automatic_chunk_is_measured_once() -> None:
    """A small budget cuts the batch, and gives the same gradient."""
    model, whole, seen = encoder(), encoder(), []
    recall(whole(rows()), LABELS).backward()
    step = StagedBackward(model, recall, chunk="auto", memory=5000)
    torch.manual_seed(0)
    drawn = torch.rand(2)
    torch.manual_seed(0)
    step(rows(), LABELS)
    torch.testing.assert_close(torch.rand(2), drawn, rtol=0, atol=0)  # the probe draws nothing
    assert_same(gradients(model), gradients(whole))
    model.register_forward_hook(lambda _, __, output: seen.append(len(output)))
    step(rows(), LABELS)
    assert 1 < seen[0] < 23
    assert set(seen[:-1]) >= {seen[0]}
    assert sum(seen) == 2 * 23


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"chunk": 0}, "k is 0|chunk is 0"),
        ({"chunk": "big"}, "chunk is 'big'"),
        ({"chunk": 2, "batchnorm": "ignore"}, "batchnorm is 'ignore'"),
        ({"chunk": 2, "model": []}, "one torch.nn.Module or several"),
    ],
)
def test_wrong_settings(arguments, message: str) -> None:
    """Settings are checked before anything runs."""
    with pytest.raises(InputError, match=message):
        StagedBackward(**{"model": encoder(), "loss": recall, **arguments})


def test_wrong_calls() -> None:
    """Inputs, outputs and losses that do not fit say so."""
    with pytest.raises(InputError, match="one entry for each of the encoders 0, 1"):
        StagedBackward([encoder(), encoder()], pairs, chunk=2)([rows()], LABELS)
    with pytest.raises(InputError, match=r"\[3, 23\] rows"):
        StagedBackward(encoder(), recall, chunk=2)((rows(), rows()[:3]), LABELS)
    with pytest.raises(InputError, match="inputs are 3"):
        StagedBackward(encoder(), recall, chunk=2)(3, LABELS)
    with pytest.raises(InputError, match="the loss has no gradient"):
        StagedBackward(encoder().requires_grad_(False), recall, chunk=2)(rows(), LABELS)
    lopsided = nn.Sequential(encoder(), nn.Flatten(0))
    with pytest.raises(InputError, match=r"\(10,\) of torch.float64 for 2 rows"):
        StagedBackward(lopsided, recall, chunk=2)(rows(), LABELS)


@pytest.mark.gpu
def test_dropout_on_a_gpu_is_replayed() -> None:
    """The generator of the device is replayed too; the batch may wait on the CPU."""
    model, whole = encoder(0.4).cuda(), encoder(0.4).cuda()
    labels = LABELS.cuda()
    torch.manual_seed(5)
    recall(chunked(whole, rows().cuda(), 5), labels).backward()
    after = torch.rand(3, device="cuda")
    torch.manual_seed(5)
    StagedBackward(model, recall, chunk=5)(rows(), labels)
    torch.testing.assert_close(torch.rand(3, device="cuda"), after, rtol=0, atol=0)
    assert_same(gradients(model), gradients(whole))
