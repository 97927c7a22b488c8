"""What the scores of a table are, probabilities or logits, and what they decide by themselves."""

from typing import cast

from torch import Tensor

from metricgrad.cli.scored import Scored
from metricgrad.decision.cut_points import nearest_class
from metricgrad.decision.scores import Inputs, Kind, log_scores, read_scores
from metricgrad.errors import InputError

__all__ = ["decided_plainly", "kind_of"]


def kind_of(scored: Scored, inputs: str) -> Kind:
    """What the scores of a table are.

    Args:
        scored: the table.
        inputs: `auto`, `probabilities` or `logits`, as the user said.

    Raises:
        InputError: probabilities that do not sum to 1 or leave [0, 1], probabilities where logits are said.
    """
    if inputs not in ("auto", "probabilities", "logits"):
        raise InputError(f"decide: --inputs is {inputs!r}; expected auto, probabilities or logits.")
    if scored.names.ordered:
        return "logits"  # any real numbers
    try:
        return read_scores(str(scored.path), scored.scores, cast(Inputs, inputs))[1]
    except InputError as error:
        raise InputError(f"{error} The option is --inputs.") from error


def decided_plainly(scored: Scored, kind: Kind) -> Tensor:
    """Decide without a rule [row]: the largest score, of one score class 1 above one half, of estimates the nearest."""
    if scored.names.ordered:
        return nearest_class(scored.scores - scored.names.first, len(scored.names.classes))
    return log_scores(scored.scores, kind).argmax(1)
