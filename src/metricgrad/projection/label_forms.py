"""Every closed form of vectors to choose among, from one pass over the rows and one decomposition of each matrix."""

from collections.abc import Iterator
from itertools import product
from typing import Any

from metricgrad.projection.centre import Centre, Identity
from metricgrad.projection.lda import LDA, most_directions
from metricgrad.projection.leading import PCA, AllButTheTop
from metricgrad.projection.moments import Moments, moments
from metricgrad.projection.projection import Projection
from metricgrad.projection.whitening import POWERS, SHRINKAGES, Whitening, WithinClassWhitening

__all__ = ["label_grid"]

_DIMS = (32, 64, 128, 256)
_COMPONENTS = (1, 3, 5, 10)


def label_grid(x: Any, y: Any = None, *, block: int | None = None) -> Iterator[Projection]:
    """Closed forms of vectors, one after the other: the unchanged rows first, then what the rows and labels allow.

    Centring; whitening and within-class whitening (shrinkage 0.01 to 1, power -0.5 and -0.25); LDA (the same
    shrinkages, 32, 64, 128, 256 and the most directions that there are); PCA to 32, 64, 128, 256; all but the top 1, 3,
    5, 10. Left out: numbers of directions that there are not, and forms of data that do not vary.

    Args:
        x: vectors [row, dim]: array, memory map (read once, in blocks) or tensor of float16, float32 or float64.
        y: one label per row, whole numbers or texts; None leaves out the forms of labels.
        block: rows to read at a time.

    Raises:
        InputError: at the call: as `moments`; one class.

    Cost: O(row dim^2 + class dim^2 + dim^3) once, and O(dim^3) per form; one form is in memory at a time.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> forms = [form.words() for form in label_grid(rng.normal(size=(40, 6)), np.arange(40) % 4)]
        >>> len(forms), forms[0], forms[-6]
        (30, 'unchanged', 'LDA to 3 directions, shrinkage 0.1')
    """
    sums = moments("label_grid", x, y, block=block)
    if y is not None:
        sums.labelled()
    return _of_labels(sums)


def _of_labels(sums: Moments) -> Iterator[Projection]:
    yield Identity().of_dims(sums.dims)
    if not sums.varies:
        return
    yield Centre().of(sums)
    for shrinkage, power in product(SHRINKAGES, POWERS):
        yield Whitening(shrinkage, power).of(sums)
    if sums.classes is not None and sums.varies_within:
        for shrinkage, power in product(SHRINKAGES, POWERS):
            yield WithinClassWhitening(shrinkage, power).of(sums)
        most = most_directions(sums)
        for shrinkage in SHRINKAGES:
            yield from LDA.family(sums, shrinkage, [*(k for k in _DIMS if k < most), most])
    for k in _COMPONENTS:
        if k < sums.rank:
            yield AllButTheTop(k).of(sums)
    for k in _DIMS:
        if k < sums.rank:
            yield PCA(k).of(sums)
