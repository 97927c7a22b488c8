"""Safe numerics: exact where nothing is in danger, finite in value and gradient everywhere."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from metricgrad._safe import divisor, log_above, or_one, ratio, share, smooth_norm

FLOATS: dict[str, Callable[[Tensor], Tensor]] = {
    "share": lambda x: share(x, torch.tensor([0, 1, 7, 2, 3])),
    "or_one": or_one,
    "or_one of little": lambda x: or_one(x, least=1e-12),
    "ratio": lambda x: ratio(x, x.flip(0), otherwise=1.0),
    "log_above": log_above,
    "log above a floor": lambda x: log_above(x, 1e-30),
    "smooth_norm": lambda x: smooth_norm(x[:, None], 0.0),
    "smooth_norm of a long row": lambda x: smooth_norm(x.expand(3, 5), 1e-6),
}
PLAIN: dict[str, Callable[[Tensor], Tensor]] = {
    "share": lambda x: x / torch.tensor([1, 1, 7, 2, 3]),
    "or_one": lambda x: x,
    "or_one of little": lambda x: x,
    "ratio": lambda x: x / x.flip(0),
    "log_above": torch.log,
    "log above a floor": torch.log,
    "smooth_norm": lambda x: x[:, None].square().sum(-1).sqrt(),
    "smooth_norm of a long row": lambda x: (x.expand(3, 5).square().sum(-1) + 1e-6**2).sqrt(),
}
OF_NO_END = {("ratio", "denormal"), ("ratio", "small and large")}
"""A ratio of such numbers is what it is, and leaves the range of float32 by itself."""
ORDINARY = [0.3, 1.0, 2.5, 1e-3, 40.0]
EXTREME = {
    "zeros": [0.0] * 5,
    "some zeros": [0.0, 1.0, 0.0, 0.0, 2.0],
    "denormal": [1e-40, 0.0, 1e-44, 1.0, 1e-39],
    "small and large": [1e-18, 1e18, 1e-10, 1e10, 1.0],
}


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_bit_changes_at_ordinary_points(name: str, dtype: torch.dtype) -> None:
    """Values and gradients are those of the plain operation, to the last bit."""
    found, wanted = (torch.tensor(ORDINARY, dtype=dtype, requires_grad=True) for _ in range(2))
    value, plain = FLOATS[name](found), PLAIN[name](wanted)
    torch.testing.assert_close(value, plain, rtol=0, atol=0)
    value.sum().backward()
    plain.sum().backward()
    torch.testing.assert_close(found.grad, wanted.grad, rtol=0, atol=0)


@pytest.mark.parametrize("name", FLOATS)
def test_gradients_at_ordinary_points(name: str) -> None:
    """By finite differences; of second order for lengths, as a penalty of gradients needs them."""
    x = torch.tensor(ORDINARY, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(FLOATS[name], (x,))
    assert "norm" not in name or torch.autograd.gradgradcheck(FLOATS[name], (x,))


@pytest.mark.parametrize(
    ("name", "extreme"),
    [(name, extreme) for name in FLOATS for extreme in EXTREME if (name, extreme) not in OF_NO_END],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_value_and_gradient_are_finite(name: str, extreme: str, dtype: torch.dtype) -> None:
    """Where there is nothing to divide by, and where a mask is laid over it afterwards."""
    x = torch.tensor(EXTREME[extreme], dtype=dtype, requires_grad=True)
    value = FLOATS[name](x)
    assert torch.isfinite(value).all()
    (value * (value > 0.5)).sum().backward()
    assert x.grad is not None and torch.isfinite(x.grad).all()


def test_what_they_are_worth_where_there_is_nothing() -> None:
    """As documented: 1, the part, 1, `otherwise`, the logarithm of the floor, 0."""
    nothing = torch.zeros(1)
    assert divisor(nothing).item() == or_one(nothing).item() == or_one(-nothing - 1).item() == 1
    assert share(torch.tensor([0.0]), nothing).item() == 0
    assert ratio(nothing, nothing, otherwise=0.25).item() == 0.25
    assert log_above(nothing).item() == pytest.approx(
        torch.tensor(torch.finfo(torch.float32).tiny).log().item()
    )
    assert smooth_norm(nothing[None], 0.0).item() == 0
    unknown = torch.tensor(torch.nan)
    assert or_one(unknown).isnan() and ratio(unknown, unknown, otherwise=0.25).isnan()


def test_a_row_of_zeros_has_no_direction() -> None:
    """Its gradient is 0, with and without epsilon, and no gradient is longer than 1."""
    for epsilon in (0.0, 1e-6):
        rows = torch.tensor([[0.0, 0.0], [3.0, 4.0], [1e-9, 0.0]], dtype=torch.float64, requires_grad=True)
        smooth_norm(rows, epsilon).sum().backward()
        assert rows.grad is not None
        assert rows.grad[0].tolist() == [0.0, 0.0]
        assert (rows.grad.norm(dim=1) <= 1 + 1e-12).all()
