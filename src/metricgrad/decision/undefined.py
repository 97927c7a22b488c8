"""What is raised where a metric has no value for any candidate of a rule."""

from metricgrad.errors import InputError

__all__ = ["Undefined"]


class Undefined(InputError):
    """The metric is NaN, or raises, for every candidate: a rule cannot be fitted, and argmax is kept."""

    def __init__(self, what: str, failure: str | None = None) -> None:
        said = f" ({failure.removesuffix('.')})" if failure else ""
        super().__init__(
            f"{what}: the metric is undefined for every candidate{said}; expected a value for one of them."
        )
