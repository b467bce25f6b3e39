"""Scoring a fitted model on the test rows, as they are and harmed, and measuring what it costs to use.

Does not know where the model comes from: ``assessment`` scores candidates with it, the registry its versions.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from digits.data.split import Split
from digits.errors import FitFailed
from digits.experiments.conditions import (
    Condition,
    corrupted_images,
    corrupted_rows,
    n_conditions,
    of_corruptions,
    of_handwriting,
)
from digits.experiments.cost import Cost, measure
from digits.experiments.metrics import Metrics, checked_proba, score

__all__ = ["Scored", "aligned", "score_on_test"]


class Scored(NamedTuple):
    """What a model says of the test rows, what that is worth, and what it costs.

    Attributes
    ----------
    proba
        ``(n_test, n_classes)``, in the order of the rows.
    corrupted
        ``(n_conditions * n_images, n_classes)``: what it says of the harmed images.
    metrics
        What `proba` is worth.
    conditions
        What was right under conditions.
    cost
        Time and size.
    """

    proba: NDArray[np.float64]
    corrupted: NDArray[np.float64]
    metrics: Metrics
    conditions: list[Condition]
    cost: Cost


def score_on_test(
    estimator: Any,
    *,
    split: Split,
    model: Path,
    threads: int,
    confidence: float,
    n_harmed: int,
    predict: Callable[[NDArray[np.uint8], bool], NDArray[np.float64]] | None = None,
) -> Scored:
    """Score a fitted estimator on the test rows of a split.

    Parameters
    ----------
    estimator
        Has ``predict_proba`` and ``classes_``.
    split
        Whose test rows are read.
    model
        Folder of its files.
    threads
        How many it computes with.
    confidence
        Nominal coverage of the accuracy's interval.
    n_harmed
        How many of the test images are harmed in every way.
    predict
        Given images and whether they are harmed, returns probabilities with a column per class of the dataset; by
        default the estimator does.

    Raises
    ------
    FitFailed
        The estimator gives probabilities that are none.
    """
    snapshot, rows, labels = split.snapshot, split.test(), np.asarray(split.snapshot.labels())
    images, classes = snapshot.images()[rows], np.unique(labels)
    ask = predict or (lambda these, _: aligned(estimator.predict_proba(these), estimator.classes_, classes=classes))
    with threadpool_limits(limits=threads):
        proba = ask(images, False)
        corrupted = ask(corrupted_images(split, n_images=n_harmed), True)
        cost = measure(estimator, images, model=model)
    metrics = score(labels[rows], proba, classes=classes.tolist(), confidence=confidence)
    harmed = labels[corrupted_rows(split, n_images=n_harmed)]
    checked_proba(corrupted, n_samples=n_conditions() * len(harmed), n_classes=len(classes))
    conditions = of_handwriting(split, proba, labels[rows], classes=classes)
    conditions += of_corruptions(corrupted, harmed, classes=classes)
    return Scored(proba, corrupted, metrics, conditions, cost)


def aligned(proba: NDArray[np.float64], columns: NDArray[Any], *, classes: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return probabilities with one column per class of the dataset, also for those that a fit has never seen.

    Raises
    ------
    FitFailed
        A column is of a label that the dataset does not know.
    """
    if strange := sorted(set(columns.tolist()) - set(classes.tolist())):
        raise FitFailed(f"the model knows {strange}, wanted only {classes.tolist()}; fit it on rows of this dataset")
    if np.array_equal(columns, classes):
        return proba
    wider = np.zeros((len(proba), len(classes)))
    wider[:, np.searchsorted(classes, columns)] = proba
    return wider
