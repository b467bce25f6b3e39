"""An examination: what a version shows on the test rows of today's split, on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from digits.experiments.conditions import Condition
from digits.experiments.cost import Cost
from digits.experiments.metrics import Metrics

if TYPE_CHECKING:
    from digits.data.split import Split
    from digits.experiments.leaderboard import Row
    from digits.experiments.scoring import Scored

__all__ = ["Examination"]


@dataclass(frozen=True, eq=False)
class Examination:
    """What the gate is told of a version.

    Attributes
    ----------
    right
        ``(n_test,)`` bool: whether it read each test image rightly, in the order of the rows.
    metrics
        What it scored on the test rows.
    conditions
        What it got right under conditions.
    cost
        What it costs to use.
    split
        Digest of the split whose test rows these are.
    validated
        Whether the snapshot of that split is known to keep its contract.
    unseen
        Whether it was fitted on that very split, so that it has not learned from these test rows.
    """

    right: NDArray[np.bool_]
    metrics: Metrics
    conditions: tuple[Condition, ...]
    cost: Cost
    split: str
    validated: bool
    unseen: bool = True

    @classmethod
    def of_scored(cls, scored: Scored, *, split: Split, validated: bool, unseen: bool) -> Examination:
        """Return the examination of a model that was scored on the test rows just now."""
        return cls(
            right=_right(np.asarray(scored.metrics.classes)[scored.proba.argmax(axis=1)], split=split),
            metrics=scored.metrics,
            conditions=tuple(scored.conditions),
            cost=scored.cost,
            split=split.digest,
            validated=validated,
            unseen=unseen,
        )

    @classmethod
    def of_row(cls, row: Row, *, predicted: NDArray[np.uint8], split: Split, validated: bool) -> Examination:
        """Return the examination of a candidate whose evaluation is this very one: nothing is computed twice.

        Parameters
        ----------
        row
            The candidate's line of the leaderboard.
        predicted
            ``(n_test,)``: what it took each test image for.
        split
            What it was evaluated on.
        validated
            Whether the snapshot is known to keep its contract.
        """
        return cls(
            right=_right(predicted, split=split),
            metrics=row.test,
            conditions=row.conditions,
            cost=row.cost,
            split=split.digest,
            validated=validated,
        )


def _right(predicted: NDArray[np.uint8], *, split: Split) -> NDArray[np.bool_]:
    labels = np.asarray(split.snapshot.labels())[split.test()]
    right: NDArray[np.bool_] = predicted == labels
    return right
