"""What the pipeline's best reaches under the protocols of the tutorials."""

from __future__ import annotations

import numpy as np

from digits.data.split import Split
from digits.reference.machine import held_out, read_by_range
from digits.reference.system import Champion, Options

__all__ = ["detects", "holds_out", "learns_ranges", "scored_on_test_rows"]


def detects(split: Split, champion: Champion, options: Options) -> tuple[float, str]:
    """Return how often it is right about "is it this digit?", on the test rows, which chose nothing.

    It is wrong where it misses the digit, and where it takes another one for it.
    """
    test, digit = champion.test, champion.test.classes.index(options.digit)
    missed, mistaken = (test.matrix.sum(axis=axis)[digit] - test.matrix[digit, digit] for axis in (1, 0))
    return float(1 - (missed + mistaken) / test.n_samples), champion.family


def scored_on_test_rows(split: Split, champion: Champion, options: Options) -> tuple[float, str]:
    """Return its accuracy on the test rows, those of the tutorial."""
    return champion.test.accuracy, champion.family


def holds_out(
    split: Split, champion: Champion, options: Options, *, test_share: float, random_state: int
) -> tuple[float, str]:
    """Return the accuracy of the best family that is no ensemble on images held out at random, fitted on the others."""
    images, labels = np.asarray(split.snapshot.images()), np.asarray(split.snapshot.labels())
    estimator = champion.single.build(seed=champion.seed)
    true, predicted = held_out(images, labels, estimator=estimator, test_share=test_share, random_state=random_state)
    return float(np.mean(predicted == true)), champion.single.name


def learns_ranges(split: Split, champion: Champion, options: Options) -> tuple[float, str]:
    """Return the mean accuracy of the best family that is no ensemble, fitted on each of the claim's three ranges."""
    images, labels = np.asarray(split.snapshot.images()), np.asarray(split.snapshot.labels())
    each = read_by_range(images, labels, make=lambda: champion.single.build(seed=champion.seed))
    return float(np.mean([right.mean() for right in each])), champion.single.name
