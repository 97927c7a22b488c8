"""What is special to the supervised contrastive loss."""

import math

import pytest
import torch

from metricgrad.errors import InputError
from metricgrad.losses import row_chunks, supcon_loss
from metricgrad.pairing import has_positive, unit_rows


def test_all_others_opposite():
    """A maximum that included the anchor itself would lose the others; the exact value is ln 2."""
    rows = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0]])
    torch.testing.assert_close(
        supcon_loss(rows, [0, 0, 1], temperature=0.02)[0].item(), math.log(2), rtol=0, atol=1e-5
    )


def test_base_temperature_scales(generator):
    """The public code's scaling is one factor."""
    rows = torch.randn(6, 3, generator=generator)
    plain = supcon_loss(rows, [0, 0, 1, 1, 2, 2], temperature=0.1)
    scaled = supcon_loss(rows, [0, 0, 1, 1, 2, 2], temperature=0.1, base_temperature=0.05)
    torch.testing.assert_close(scaled, 2 * plain)


def test_normalize_is_the_default(generator):
    """The default scales the rows; unit rows need no scaling; a positive factor changes nothing."""
    rows, labels = torch.randn(6, 3, generator=generator), [0, 0, 1, 1, 2, 2]
    torch.testing.assert_close(
        supcon_loss(rows, labels), supcon_loss(unit_rows(rows), labels, normalize=False)
    )
    torch.testing.assert_close(supcon_loss(rows, labels), supcon_loss(7 * rows, labels))


@pytest.mark.parametrize("positives", ["outside", "inside"])
def test_float32_equals_float64(positives, generator):
    """A large batch in float32 is right to 1e-5."""
    rows = torch.randn(400, 32, generator=generator)
    labels = torch.arange(400) // 4
    found = supcon_loss(rows, labels, positives=positives)
    torch.testing.assert_close(
        found.double(), supcon_loss(rows.double(), labels, positives=positives), rtol=1e-5, atol=1e-5
    )


def test_autocast_computes_in_float32(generator):
    """Under autocast the similarities are still float32."""
    rows, labels = torch.randn(40, 8, generator=generator), torch.arange(40) // 4
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under = supcon_loss(rows, labels)
    torch.testing.assert_close(under, supcon_loss(rows, labels))


def test_chunks_keep_less_for_the_backward_pass(generator, monkeypatch):
    """Beyond the budget no matrix of all pairs is kept."""
    rows = torch.randn(120, 4, generator=generator).requires_grad_()
    labels = torch.arange(120) // 2

    def kept() -> int:
        sizes = [0]
        with torch.autograd.graph.saved_tensors_hooks(lambda x: (sizes.append(x.numel()), x)[1], lambda x: x):
            supcon_loss(rows, labels).sum()
        return max(sizes)

    assert kept() >= 120 * 120
    monkeypatch.setattr(row_chunks, "MEMORY_BUDGET", 120 * 4 * 4 * 10)  # ten rows
    assert kept() <= 120 * 10


def test_refuses():
    """Labels of another number, temperature 0 and unknown words are refused."""
    rows = torch.zeros(3, 2)
    with pytest.raises(InputError, match="2 targets"):
        supcon_loss(rows, [0, 0])
    with pytest.raises(InputError, match="temperature is 0"):
        supcon_loss(rows, [0, 0, 1], temperature=0)
    with pytest.raises(InputError, match="base_temperature is -1"):
        supcon_loss(rows, [0, 0, 1], base_temperature=-1)
    with pytest.raises(InputError, match="positives is 'both'"):
        supcon_loss(rows, [0, 0, 1], positives="both")  # pyright: ignore[reportArgumentType]


def test_string_labels(generator):
    """Strings and integers of the same partition give the same loss."""
    rows = torch.randn(5, 3, generator=generator)
    names = ["b", "a", "b", "c", "a"]
    torch.testing.assert_close(supcon_loss(rows, names), supcon_loss(rows, torch.tensor([1, 0, 1, 2, 0])))
    assert has_positive(names).tolist() == [True, True, True, False, True]
