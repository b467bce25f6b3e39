"""What was found in a snapshot's images, looked through batch by batch: their ink, and which of them break a rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from digits.data.bounds import ValidateParams
from digits.data.expectations import Judge
from digits.data.rules import Rule
from digits.data.snapshot import Snapshot
from digits.data.summary import BATCH_ROWS, summarise

__all__ = ["Inspection", "inspect"]


class Inspection(NamedTuple):
    """What was found in the images.

    Attributes
    ----------
    labels, ink
        Of every image, ``(n_samples,)``; None when the arrays are no images with labels.
    broken
        Rule about images → the rows that break it, ascending.
    passed
        Rule about images → what Great Expectations says.
    """

    labels: NDArray[Any] | None
    ink: NDArray[np.float64] | None
    broken: Mapping[str, NDArray[np.int64]]
    passed: Mapping[str, bool]

    def without(self, rows: Sequence[int]) -> Inspection:
        """Return the same for all images but those."""
        if self.labels is None or self.ink is None or not rows:
            return self
        return self._replace(labels=np.delete(self.labels, rows), ink=np.delete(self.ink, rows))


def inspect(
    snapshot: Snapshot,
    *,
    params: ValidateParams,
    rules: Sequence[Rule],
    judge: Judge,
    batch_rows: int = BATCH_ROWS,
) -> Inspection:
    """Look through all images, `batch_rows` at a time, and let `judge` judge them by the rules about images.

    Memory grows with the number of images by their labels, ink, and the rows that break a rule.
    """
    images, labels = snapshot.images(), snapshot.labels()
    measurable = images.ndim == 3 and labels.shape == images.shape[:1] and images[:1].size > 0
    if not (measurable and images.dtype.kind in "bui" and labels.dtype.kind in "bui"):
        return Inspection(labels=None, ink=None, broken={}, passed={})
    about = [rule for rule in rules if rule.table == "images"]
    ink: list[NDArray[np.float64]] = []
    broken: dict[str, list[NDArray[np.int64]]] = {rule.name: [] for rule in about}
    for batch in summarise(
        images,
        labels,
        max_value=params.max_value,
        ink_level=params.ink_level,
        test_rows=params.test_rows,
        batch_rows=batch_rows,
    ):
        passed = judge.passed("images", batch, rules=about)
        ink.append(batch["ink"].to_numpy(copy=True))
        for rule in about:
            broken[rule.name].append(batch["row"].to_numpy()[rule.broken_by(batch)])
    rows = {name: np.concatenate(found) for name, found in broken.items()}
    return Inspection(labels=np.asarray(labels), ink=np.concatenate(ink), broken=rows, passed=passed)
