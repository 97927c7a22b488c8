"""A control that trains nothing and is there before the run: a map of the inputs, such as a closed form."""

from collections.abc import Sequence
from dataclasses import dataclass

from metricgrad._closed_form_records import TriedForm
from metricgrad.projection import PairProjection, Projection
from metricgrad.tune.arms import Arm
from metricgrad.tune.projected import Head

__all__ = ["GivenForm"]


@dataclass(frozen=True)
class GivenForm:
    """A map of the inputs that takes part as a control.

    Args:
        name: of the arm.
        form: takes the inputs of select and test; of two sides where these are given by side.
        words: what it is.
        tried: what it was chosen among, with the values on select, for the record.

    Example:
        >>> import torch
        >>> from metricgrad.projection import Centre
        >>> GivenForm("centred", Centre().fit(torch.eye(3)[:2]), "the inputs minus their mean").arm.derived
        True
    """

    name: str
    form: Projection | PairProjection
    words: str
    tried: Sequence[TriedForm] = ()

    @property
    def arm(self) -> Arm:
        """The arm of it."""
        head = Head("inputs", self.form, sides=isinstance(self.form, PairProjection))
        return Arm(self.name, "control", made=self.words, head=head, tried=self.tried)
