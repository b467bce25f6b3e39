"""Are differences between families real: every pair, on the same test images.

Knows which images each family got right, nothing else of it; ``evaluation`` asks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits.experiments.statistics import holm, mcnemar_exact

__all__ = ["Comparison", "better_than", "compare", "tied_with"]


@dataclass(frozen=True)
class Comparison:
    """Two families on the same images.

    Attributes
    ----------
    first, second
        Their names.
    only_first, only_second
        Number of images that one got right and the other wrong.
    p_value
        Of the exact McNemar test.
    adjusted
        The same after Holm's correction for the number of pairs.
    """

    first: str
    second: str
    only_first: int
    only_second: int
    p_value: float
    adjusted: float

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def compare(right: Mapping[str, NDArray[np.bool_]]) -> list[Comparison]:
    """Compare every pair of families.

    Parameters
    ----------
    right
        Family → ``(n_samples,)`` bool: whether it got each image right; the images are the same for all.
    """
    pairs = list(combinations(right, 2))
    counts = [
        (int(np.sum(right[first] & ~right[second])), int(np.sum(right[second] & ~right[first])))
        for first, second in pairs
    ]
    p_values = [mcnemar_exact(*pair) for pair in counts]
    return [
        Comparison(*names, *pair, p_value=p_value, adjusted=adjusted)
        for names, pair, p_value, adjusted in zip(pairs, counts, p_values, holm(p_values), strict=True)
    ]


def tied_with(family: str, comparisons: Sequence[Comparison], *, confidence: float) -> set[str]:
    """Return the families that cannot be told apart from `family`: no real difference at that confidence."""
    return {other for other, lead, adjusted in _seen_by(family, comparisons) if adjusted >= 1 - confidence}


def better_than(family: str, comparisons: Sequence[Comparison], *, confidence: float) -> set[str]:
    """Return the families that got more of the images right than `family`, and really so at that confidence."""
    return {other for other, lead, adjusted in _seen_by(family, comparisons) if adjusted < 1 - confidence and lead < 0}


def _seen_by(family: str, comparisons: Sequence[Comparison]) -> Iterator[tuple[str, int, float]]:
    """Yield each other family, how many images more `family` got right, and the adjusted p-value."""
    for item in comparisons:
        if item.first == family:
            yield item.second, item.only_first - item.only_second, item.adjusted
        elif item.second == family:
            yield item.first, item.only_second - item.only_first, item.adjusted
