"""A network as a policy: of every place of an item (sample, frame, pixel) it draws a class from the softmax."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from metricgrad._checks import fail
from metricgrad._structures import one_tensor
from metricgrad._types import Split
from metricgrad._user_code import embedded
from metricgrad.methods.few_numbers import Items
from metricgrad.methods.fit_items import each_item_once

__all__ = ["ClassPolicy"]

AT_ONCE = 256
"""Items whose log probabilities are computed together at the start."""
SURE = 30.0
"""Logit of a class that was drawn; the others have 0."""


class ClassPolicy:
    """The log probabilities of classes that a network gives, and draws from them.

    Args:
        caller: for messages.
        model: the network.
        device: where it is.
        split: what is drawn for.

    Attributes:
        items: of the split, as the network takes them.

    Raises:
        InputError: inputs that are no tensor.
    """

    def __init__(self, caller: str, model: nn.Module, device: torch.device, split: Split) -> None:
        self.caller, self.model, self.device = caller, model, device
        given, targets = zip(*each_item_once(split), strict=True)
        if not all(isinstance(part, Tensor) for part in given):
            raise fail(caller, "inputs that are no tensor", "one tensor with one row per item")
        entries = [one for part in targets for one in part]
        self.items = Items(
            torch.cat(given), torch.cat(targets) if isinstance(targets[0], Tensor) else entries
        )

    def log_probabilities(self, items: Items) -> Float[Tensor, "item *place class"]:
        """Return them, with gradient.

        Raises:
            InputError: outputs that are no scores of at least two classes.
        """
        outputs = one_tensor(self.caller, embedded(self.model, items.given.to(self.device)))
        if outputs.ndim < 2 or outputs.shape[-1] < 2:
            came = f"the network gives {tuple(outputs.shape)}"
            raise fail(self.caller, came, "scores of at least two classes on the last axis")
        return outputs.log_softmax(-1)

    def at_start(self) -> Float[Tensor, "item *place class"]:
        """Return those of all items, in eval mode, as constants."""
        training = self.model.training
        self.model.eval()
        rows = torch.arange(len(self.items)).split(AT_ONCE)
        with torch.no_grad():
            parts = [self.log_probabilities(self.items.of(some)) for some in rows]
        self.model.train(training)
        return torch.cat(parts)

    @staticmethod
    def drawn(
        log_probabilities: Float[Tensor, "item *place class"], count: int, generator: torch.Generator
    ) -> Int[Tensor, "draw item *place"]:
        """Draw so many times for every place."""
        shares = log_probabilities.detach().exp().cpu().flatten(0, -2)
        found = torch.multinomial(shares, count, replacement=True, generator=generator)
        return found.T.reshape(count, *log_probabilities.shape[:-1]).to(log_probabilities.device)

    @staticmethod
    def as_outputs(classes: Int[Tensor, "item *place"], columns: int) -> Float[Tensor, "item *place class"]:
        """Return outputs that leave no doubt of these classes: a metric decodes them as it does the network's."""
        return SURE * torch.nn.functional.one_hot(classes, columns).float()
