"""The metric of `metricgrad adapt`: one of ranked items."""

from metricgrad.errors import InputError
from metricgrad.metrics import adapt
from metricgrad.metrics.names import names_a_program

__all__ = ["require_ranking"]


def require_ranking(name: str) -> None:
    """Raise InputError for a name that is no metric of ranked items; nothing else is adapted for.

    Example:
        >>> require_ranking("recall@1")
    """
    if names_a_program(name) or adapt(name, higher_is_better=True).unit != "query":
        raise InputError(
            f"adapt: {name} is no metric of ranked items; expected one such as recall@1, map@r or ndcg@10."
        )
