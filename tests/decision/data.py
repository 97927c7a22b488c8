"""Pools that tests fit rules to."""

import torch
from torch import Tensor


def pool(
    seed: int, items: int, classes: int, *, skew: float = 1.0, spread: float = 1.2
) -> tuple[Tensor, Tensor]:
    """Logits [sample, class] that know something of the classes [sample], whose shares fall from the first on."""
    generator = torch.Generator().manual_seed(seed)
    shares = torch.exp(-skew * torch.arange(classes, dtype=torch.float64))
    y = torch.multinomial(shares, items, replacement=True, generator=generator)
    noise = torch.randn(items, classes, dtype=torch.float64, generator=generator)
    logits = torch.nn.functional.one_hot(y, classes) * spread + noise + shares.log()
    return logits, y
