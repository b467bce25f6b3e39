"""What the pipeline's best reaches under the protocols of the tutorials."""

from __future__ import annotations

import numpy as np
from sklearn.model_selection import train_test_split

from digits.data.split import Split
from digits.reference.machine import read_by_range
from digits.reference.system import Champion, Options

__all__ = ["detects", "holds_out_one_percent", "learns_ranges", "scored_on_test_rows"]


def detects(split: Split, champion: Champion, options: Options) -> tuple[float, str]:
    """Return how often it is right about "is it this digit?", on the validation rows, which it was not fitted on."""
    labels = np.asarray(split.snapshot.labels())
    proba, truth = champion.candidate.validation_proba(), labels[split.validation()]
    says = np.unique(labels)[proba.argmax(axis=1)] == options.digit
    return float(np.mean(says == (truth == options.digit))), champion.candidate.family


def scored_on_test_rows(split: Split, champion: Champion, options: Options) -> tuple[float, str]:
    """Return its accuracy on the test rows, those of the tutorial."""
    return champion.test_accuracy, champion.candidate.family


def holds_out_one_percent(split: Split, champion: Champion, options: Options) -> tuple[float, str]:
    """Return the accuracy of the best family that is no ensemble, fitted on 99 % of the images, on the others."""
    images, labels = np.asarray(split.snapshot.images()), np.asarray(split.snapshot.labels())
    seen, unseen, y_seen, y_unseen = train_test_split(images, labels, test_size=0.01, random_state=0)
    estimator = champion.single.build(seed=champion.seed).fit(seen, y_seen)
    return float(np.mean(estimator.predict(unseen) == y_unseen)), champion.single.name


def learns_ranges(split: Split, champion: Champion, options: Options) -> tuple[float, str]:
    """Return the mean accuracy of the best family that is no ensemble, fitted on each of the claim's three ranges."""
    images, labels = np.asarray(split.snapshot.images()), np.asarray(split.snapshot.labels())
    each = read_by_range(images, labels, make=lambda: champion.single.build(seed=champion.seed))
    return float(np.mean([right.mean() for right in each])), champion.single.name
