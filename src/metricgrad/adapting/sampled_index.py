"""What select is judged against: a sample of the documents, drawn once, with every relevant one in it."""

import numpy as np

__all__ = [
    "MOST_DOCUMENTS",
    "drawn_from",
    "most_of_select",
    "most_of_test",
    "sampled_index",
    "sampled_share",
    "sampled_units",
]

MOST_DOCUMENTS = 16_000
"""In-batch values of 32 documents choose badly (Kendall tau of the better half 0.28, 0.43 at 256, 0.52 at 16,000)."""

TEST_QUERIES = 10_000
COMPARISONS = 10**8
"""Similarities of one reading of test, about."""
OF_SELECT = 16_000_000
"""Of one look at select, of which a run has a hundred."""
OF_LARGE_UNIT = 20
"""Items that a unit keeps, where units are so large that items are drawn from each of them."""


def most_of_test(documents: int) -> int:
    """So many queries test has at most, for an index of so many documents."""
    return max(1_000, min(TEST_QUERIES, COMPARISONS // documents))


def most_of_select(documents: int) -> int:
    """So many ask in select, at most, where so many could be ranked."""
    return max(1_000, min(4_000, OF_SELECT // min(documents, MOST_DOCUMENTS)))


def drawn_from(drawn: np.ndarray, whole: np.ndarray) -> str:
    """Of how many some are a sample, for notes; empty where they are all."""
    return f" (drawn from {len(whole):,})" if len(drawn) < len(whole) else ""


def sampled_index(
    required: np.ndarray, others: np.ndarray, *, most: int = MOST_DOCUMENTS, seed: int = 0
) -> np.ndarray:
    """Numbers of documents, rising: all that are required and so many others that there are `most`, drawn by seed.

    Args:
        required: numbers that must be in it: more than `most` stay whole.
        others: numbers to draw from; those that are required are passed over.
        most: documents of the index.
        seed: of the draw.

    Example:
        >>> sampled_index(np.array([7, 3]), np.arange(10), most=5).size
        5
    """
    required = np.unique(required)
    others = np.setdiff1d(others, required)
    room = max(0, most - len(required))
    if len(others) > room:
        others = np.random.default_rng(seed).choice(others, room, replace=False)
    return np.sort(np.concatenate([required, others]))


def sampled_units(numbers: np.ndarray, units: np.ndarray, *, most: int, seed: int = 0) -> np.ndarray:
    """Numbers of whole units (the classes of items, say), drawn by seed until there are `most` of them or a few more.

    Large units, of more than 20 items in the mean, are not drawn whole: few would be left. Each keeps its share of the
    items, at least 20.

    Args:
        numbers: of items.
        units: of the same items.
        most: all are taken where there are no more.
        seed: of the draw.
    """
    if len(numbers) <= most:
        return numbers
    kinds, codes, sizes = np.unique(units, return_inverse=True, return_counts=True)
    if len(numbers) > OF_LARGE_UNIT * len(kinds):
        order = np.random.default_rng(seed).permutation(len(numbers))
        order = order[np.argsort(codes[order], kind="stable")]  # unit by unit, each in an order of chance
        place = np.arange(len(numbers)) - np.repeat(sizes.cumsum() - sizes, sizes)
        kept = np.maximum(OF_LARGE_UNIT, sizes * most // len(numbers))
        return np.sort(numbers[order[place < kept[codes[order]]]])
    order = np.random.default_rng(seed).permutation(len(kinds))
    taken = order[: int(np.searchsorted(sizes[order].cumsum(), most)) + 1]
    return numbers[np.isin(codes, taken)]


def sampled_share(numbers: np.ndarray, units: np.ndarray, share: float, *, seed: int = 0) -> np.ndarray:
    """Numbers of a share of the units, whole ones, at least two; a smaller share is within a larger one.

    Args:
        numbers: of items.
        units: of the same items.
        share: of the units, 0 to 1.
        seed: of the draw.

    Example:
        >>> sampled_share(np.arange(6), np.array([0, 0, 1, 1, 2, 2]), 0.5).size
        4
    """
    kinds, codes = np.unique(units, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(kinds))
    return numbers[np.isin(codes, order[: max(2, round(share * len(kinds)))])]
