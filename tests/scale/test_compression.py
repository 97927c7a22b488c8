"""Compressed activations: the same outputs, gradients that are right on average, less memory."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from metricgrad.adapters import attach_orthogonal_adapter
from metricgrad.errors import InputError
from metricgrad.scale import compress_activations
from metricgrad.scale.quantising import bits_of, quantised, unpacked


def net(between: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    """Three layers of the same weights, whatever is between."""
    torch.manual_seed(0)
    layers = [nn.Linear(6, 16), nn.Linear(16, 12), nn.Linear(12, 2)]
    return nn.Sequential(layers[0], between(), layers[1], between(), layers[2])


def inputs(rows: int = 32) -> Tensor:
    """A batch."""
    return torch.randn(rows, 6, generator=torch.Generator().manual_seed(1))


def gradients(model: nn.Module, seed: int | None, **settings) -> dict[str, Tensor]:
    """Of a loss by parameter, and by the inputs; without compression where there is no seed."""
    model.zero_grad()
    x = inputs().requires_grad_()
    if seed is None:
        model(x).square().mean().backward()
    else:
        with compress_activations(model, seed=seed, least=1, **settings):
            loss = model(x).square().mean()
        loss.backward()
    assert x.grad is not None
    return {
        "inputs": x.grad,
        **{name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None},
    }


def test_outputs_are_the_same_bits() -> None:
    """Dropout included: no random state of others is touched."""
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 2))
    torch.manual_seed(5)
    expected = model(inputs())
    torch.manual_seed(5)
    with compress_activations(model, 2, seed=0, least=1):
        assert torch.equal(model(inputs()), expected)


@pytest.mark.parametrize(
    "between",
    [nn.ReLU, lambda: nn.ReLU(inplace=True), nn.Tanh, nn.GELU, lambda: nn.LayerNorm(12), nn.Identity],
)
def test_only_gradients_of_weights_are_noisy(between) -> None:
    """Inputs and biases have the exact gradient, since masks, tanh, GELU and norms keep what they need."""
    model = net(between)
    if isinstance(model[1], nn.LayerNorm):
        model[1] = nn.LayerNorm(16)
    exact, noisy = gradients(model, None), gradients(model, 0, bits=2)
    for name, value in exact.items():
        if name.endswith("weight") and isinstance(model[int(name[0])], nn.Linear):
            assert not torch.equal(noisy[name], value)
        else:
            torch.testing.assert_close(noisy[name], value, rtol=0, atol=0)


@pytest.mark.parametrize("metadata_dtype", [pytest.param("float32", marks=pytest.mark.slow), "bfloat16"])
@pytest.mark.parametrize("between", [pytest.param(nn.Identity, marks=pytest.mark.slow), nn.ReLU, nn.Tanh])
def test_the_mean_gradient_is_the_gradient(between, metadata_dtype) -> None:
    """Within four standard errors along eight directions, of 400 draws with 2 bits; the published code would be off."""
    model = net(between)
    exact = gradients(model, None)
    directions = torch.randn(8, 6 * 16 + 16 * 12 + 12 * 2, generator=torch.Generator().manual_seed(2))

    def along(found: dict[str, Tensor]) -> Tensor:
        return directions @ torch.cat(
            [found[name].flatten() for name in ("0.weight", "2.weight", "4.weight")]
        )

    draws = torch.stack(
        [
            along(gradients(model, seed, bits=2, group_size=8, metadata_dtype=metadata_dtype))
            for seed in range(400)
        ]
    )
    error = draws.std(0) / 20
    assert (error > 0).all()
    assert ((draws.mean(0) - along(exact)).abs() < 4 * error).all()


def test_the_compressed_tanh_trap() -> None:
    """A tanh whose saved output is restored has a biased gradient; ours is kept exact (see above)."""
    values = torch.full((20000,), 0.1)
    values[0], values[1] = 0.0, 1.0
    uniforms = torch.rand(20000, generator=torch.Generator().manual_seed(0))
    kept = quantised(values, uniforms, bits=2, group_size=20000, metadata_dtype=torch.float32)
    assert kept is not None
    restored = kept.restored()
    torch.testing.assert_close(restored.mean(), values.mean(), atol=0.005, rtol=0)
    bias = (1 - restored[2:].square()).mean() - (1 - 0.01)
    torch.testing.assert_close(bias, torch.tensor(-0.0233), atol=0.002, rtol=0)


def test_a_group_of_equal_numbers_is_exact() -> None:
    """Whatever is drawn."""
    values = torch.tensor([[0.3] * 5, [-7.1] * 5])
    kept = quantised(
        values, torch.full_like(values, 0.99), bits=1, group_size=3, metadata_dtype=torch.float32
    )
    assert kept is not None
    torch.testing.assert_close(kept.restored(), values, rtol=0, atol=0)


def test_the_published_code_zero_padding_trap() -> None:
    """A last group that is smaller keeps its own bounds: zeros would widen them."""
    values = torch.tensor([5.0, 6.0, 7.0, 8.0, 5.5, 5.75])
    kept = quantised(values, torch.full((6,), 0.4), bits=2, group_size=4, metadata_dtype=torch.float32)
    assert kept is not None
    torch.testing.assert_close(kept.restored(), values)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("metadata_dtype", [torch.float32, torch.bfloat16])
def test_codes_stay_in_range_and_errors_within_a_step(dtype, metadata_dtype) -> None:
    """Bounds are rounded outwards, so that nothing is clipped."""
    generator = torch.Generator().manual_seed(0)
    values = (100 + torch.randn(40, 37, generator=generator)).to(dtype)
    drawn = torch.rand(40, 37, generator=generator, dtype=torch.promote_types(dtype, torch.float32))
    kept = quantised(values, drawn, bits=4, group_size=16, metadata_dtype=metadata_dtype)
    assert kept is not None
    restored = kept.restored()
    assert (restored.dtype, restored.shape) == (values.dtype, values.shape)
    step = max(float(part.high.double().max() - part.low.double().min()) for part in kept.groups) / 15
    assert (restored.double() - values.double()).abs().max() <= step + 0.5 * torch.finfo(dtype).eps * 128


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("count", [0, 1, 7, 8, 9])
def test_codes_are_packed_and_unpacked(bits, count) -> None:
    """Several to a byte."""
    codes = torch.randint(2**bits, (count,), dtype=torch.uint8)
    packed = bits_of(codes, bits)
    assert len(packed) == -(-count * bits // 8)
    assert torch.equal(unpacked(packed, bits, count), codes)


def test_what_is_not_finite_is_kept_exactly() -> None:
    """NaN, infinity, and ranges that overflow."""
    for bad in (torch.nan, torch.inf, 3e38):
        values = torch.tensor([[0.0, bad, -bad]])
        assert (
            quantised(values, torch.zeros(1, 3), bits=2, group_size=4, metadata_dtype=torch.float32) is None
        )
    layer, x = nn.Linear(3, 2), torch.tensor([[0.0, torch.inf, 1.0]])
    with compress_activations(layer, seed=0, least=1) as saved:
        loss = layer(x).sum()
    loss.backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad[0].tolist() == [0.0, torch.inf, 1.0]
    assert saved.stored == 0


def test_an_input_of_two_layers_is_kept_once() -> None:
    """And once more after it was changed in place."""
    first, second, x = nn.Linear(8, 4), nn.Linear(8, 4), torch.randn(16, 8)
    both = nn.ModuleList([first, second])
    with compress_activations(both, 4, seed=0, least=1) as saved:
        out = first(x) + second(x)
    assert saved.plain == x.nbytes
    out.sum().backward()
    assert first.weight.grad is not None and second.weight.grad is not None
    torch.testing.assert_close(first.weight.grad, second.weight.grad, rtol=0, atol=0)
    with compress_activations(both, 4, seed=0, least=1) as saved:
        one = first(x)
        x.add_(1)
        other = second(x)
    assert saved.plain == 2 * x.nbytes
    both.zero_grad()
    (one + other).sum().backward()
    torch.testing.assert_close(
        second.weight.grad - first.weight.grad, torch.full((4, 8), 16.0), atol=6, rtol=0
    )


def test_weights_are_never_compressed() -> None:
    """Not as views, and not as the copies that autocast makes: the gradient of the inputs shows it."""
    model = nn.Sequential(nn.Linear(6, 70), nn.ReLU(), nn.Linear(70, 3))
    for context in (torch.autocast("cpu", enabled=False), torch.autocast("cpu", dtype=torch.bfloat16)):
        with context:
            exact, noisy = gradients(model, None), gradients(model, 0, bits=1)
        torch.testing.assert_close(noisy["inputs"], exact["inputs"], rtol=0, atol=0)
        assert not torch.equal(noisy["0.weight"], exact["0.weight"])


def test_convolutions_and_what_takes_part() -> None:
    """Bytes are counted; a policy, small tensors and layers with a parametrisation keep theirs."""
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3))
    x = torch.randn(4, 3, 12, 12)

    def saved(**settings) -> tuple[int, int]:
        with compress_activations(model, 2, seed=0, **{"least": 1, **settings}) as found:
            model(x)
        return found.plain, found.stored

    hidden = 4 * 8 * 10 * 10
    assert saved()[0] == 4 * (x.numel() + 2 * hidden)
    assert saved()[1] == (
        (x.numel() + hidden) // 4 + hidden // 8 + 8 * 4 * (2 + 4)  # 432 and 800 numbers: 2 and 4 groups
    )
    assert saved(policy=lambda name, layer: name == "2")[0] == 4 * hidden
    assert saved(least=x.numel() + 1)[0] == 4 * 2 * hidden
    attach_orthogonal_adapter(model)
    assert saved()[0] == 4 * hidden  # the ReLU


def test_the_noise_is_that_of_the_seed() -> None:
    """The same twice, another one for another seed; nothing is drawn from the global generator."""
    model = net()
    before = torch.get_rng_state()
    first, again, other = (gradients(model, seed, bits=2)["2.weight"] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_second_derivatives_are_refused() -> None:
    """A product of two restored tensors is biased."""
    model = net()
    with compress_activations(model, seed=0, least=1):
        loss = model(inputs()).square().mean()
    with pytest.raises(InputError, match="second derivative"):
        torch.autograd.grad(loss, list(model.parameters()), create_graph=True)


def test_layers_are_as_before_after_an_error() -> None:
    """No hook and no wrapper stays."""
    model = net()
    with pytest.raises(RuntimeError, match="shapes"), compress_activations(model, seed=0):
        model(torch.randn(2, 5))
    assert all("forward" not in layer.__dict__ for layer in model)
    exact = gradients(model, None)
    torch.testing.assert_close(gradients(model, None), exact, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bits": 3}, "bits is 3"),
        ({"group_size": 0}, "group_size is 0"),
        ({"metadata_dtype": "float16"}, "metadata_dtype"),
    ],
)
def test_settings_that_do_not_fit(settings, message) -> None:
    """Refused before anything runs."""
    with pytest.raises(InputError, match=message), compress_activations(net(), seed=0, **settings):
        pass


PEAK = """
import contextlib, re, sys, torch
from pathlib import Path
from torch import nn
def peak():  # ru_maxrss begins with that of the parent, so that a large one hides it
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
from metricgrad.scale import compress_activations
torch.set_num_threads(1)
model = nn.Sequential(*[layer for _ in range(16) for layer in (nn.Linear(64, 64), nn.ReLU())])
def step(inputs):
    with compress_activations(model, 4, seed=0) if sys.argv[1] == "compressed" else contextlib.nullcontext():
        loss = model(inputs).square().mean()
    loss.backward()
step(torch.randn(100, 64))
inputs = torch.randn(60000, 64)
before = peak()
step(inputs)
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peaks stand in /proc")
def test_the_peak_is_below_that_of_the_plain_run() -> None:
    """Sixteen layers of 15 MB each: all are alive without, a few with compression."""

    def peak(how: str) -> int:
        plainly = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}  # what is freed goes back at once
        done = subprocess.run(
            [sys.executable, "-c", PEAK, how], capture_output=True, text=True, check=True, env=plainly
        )
        return int(done.stdout)

    assert 0 < peak("compressed") < 0.7 * peak("plain")
