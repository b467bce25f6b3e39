"""Accuracy under conditions: for handwriting of one kind, and after one kind of harm.

Knows images, labels and probabilities; nothing of families.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from digits.data.split import Split
from digits.experiments import strokes
from digits.experiments.corruptions import CORRUPTIONS, Corruption, corrupt
from digits.experiments.statistics import wilson_interval

__all__ = [
    "Condition",
    "by_handwriting",
    "by_harm",
    "corrupted_images",
    "corrupted_rows",
    "n_conditions",
    "of_corruptions",
    "of_handwriting",
]


class Condition(BaseModel):
    """What was right under one condition.

    Attributes
    ----------
    kind
        What is varied: ``thickness``, ``noise``, …
    level
        How much of it: ``thin``, ``0.2``, …
    n_samples, n_correct
        Number of images, and of those whose most probable class is the true one.
    mean_confidence
        Mean probability of the predicted class, in ``[0, 1]``; 0 where there is no image.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    kind: str
    level: str
    n_samples: int = Field(ge=0)
    n_correct: int = Field(ge=0)
    mean_confidence: float = Field(ge=0, le=1)

    @property
    def accuracy(self) -> float:
        """Share of the images that were read rightly; 0 where there is none."""
        return self.n_correct / self.n_samples if self.n_samples else 0.0

    @property
    def is_handwriting(self) -> bool:
        """Whether it is how the digits were written, and not what was done to the images."""
        return self.kind in strokes.LEVELS

    def accuracy_interval(self, confidence: float) -> tuple[float, float]:
        """Return the Wilson interval of the accuracy; there has to be an image."""
        return wilson_interval(self.n_correct, self.n_samples, confidence=confidence)


def by_handwriting(conditions: Sequence[Condition]) -> dict[str, list[Condition]]:
    """Return the conditions of each kind of handwriting, in the order they come in."""
    return {kind: [item for item in conditions if item.kind == kind] for kind in strokes.LEVELS}


def by_harm(conditions: Sequence[Condition]) -> dict[str, list[Condition]]:
    """Return the conditions of each kind of harm, the mildest first."""
    return {kind.name: [item for item in conditions if item.kind == kind.name] for kind in CORRUPTIONS}


def of_handwriting(
    split: Split, proba: NDArray[np.floating[Any]], labels: NDArray[np.uint8], *, classes: NDArray[np.uint8]
) -> list[Condition]:
    """Return the accuracy for each third of the test images by how they are written.

    The thirds are those of the images to learn from: a test of thicker pens has more than a third of thick strokes.

    Parameters
    ----------
    split
        Whose test rows `proba` and `labels` belong to.
    proba
        ``(n_test, n_classes)``.
    labels
        ``(n_test,)``.
    classes
        The labels, ascending: what the columns stand for.
    """
    return [
        _condition(kind, level, proba[rows], labels[rows], classes=classes)
        for kind, groups in _handwriting(split).items()
        for level, rows in groups.items()
    ]


def corrupted_rows(split: Split, *, n_images: int) -> NDArray[np.int64]:
    """Return the rows of the test images that are harmed: `n_images`, evenly spaced, or all when there are fewer."""
    rows = split.test()
    return rows[np.linspace(0, len(rows) - 1, min(n_images, len(rows))).round().astype(np.int64)]


@lru_cache(maxsize=1)
def corrupted_images(split: Split, *, n_images: int) -> NDArray[np.uint8]:
    """Return the harmed test images, ``(n_conditions * n_images, height, width)``, strength by strength.

    They are made once for all families that a process assesses.
    """
    snapshot = split.snapshot
    images = snapshot.images()[corrupted_rows(split, n_images=n_images)]
    return np.concatenate(
        [corrupt(images, kind, strength, max_value=snapshot.max_value) for kind, strength in _conditions()]
    )


def n_conditions() -> int:
    """Return how many kinds and strengths of harm there are."""
    return len(_conditions())


def of_corruptions(
    proba: NDArray[np.floating[Any]], labels: NDArray[np.uint8], *, classes: NDArray[np.uint8]
) -> list[Condition]:
    """Return the accuracy for every kind and strength of harm.

    Parameters
    ----------
    proba
        ``(n_conditions * n_images, n_classes)``: what was said of `corrupted_images`.
    labels
        ``(n_images,)``.
    classes
        The labels, ascending: what the columns stand for.
    """
    parts = np.split(proba, len(_conditions()))
    return [
        _condition(kind.name, f"{strength:g}", part, labels, classes=classes)
        for (kind, strength), part in zip(_conditions(), parts, strict=True)
    ]


def _conditions() -> Sequence[tuple[Corruption, float]]:
    return [(kind, strength) for kind in CORRUPTIONS for strength in kind.strengths]


@lru_cache(maxsize=1)
def _handwriting(split: Split) -> dict[str, dict[str, NDArray[np.bool_]]]:
    """Return kind → level → ``(n_test,)`` bool: which test images are written so."""
    images, max_value = split.snapshot.images(), split.snapshot.max_value
    reference = strokes.measure(images[split.development()], max_value=max_value)
    found = strokes.measure(images[split.test()], max_value=max_value)
    return {
        kind: strokes.groups(found[kind], reference=reference[kind], names=names)
        for kind, names in strokes.LEVELS.items()
    }


def _condition(
    kind: str,
    level: str,
    proba: NDArray[np.floating[Any]],
    labels: NDArray[np.uint8],
    *,
    classes: NDArray[np.uint8],
) -> Condition:
    right = classes[proba.argmax(axis=1)] == labels
    # A mean of ones may be a rounding error more than one.
    confidence = min(1.0, float(proba.max(axis=1).mean(dtype=np.float64))) if len(proba) else 0.0
    return Condition(
        kind=kind, level=level, n_samples=len(labels), n_correct=int(right.sum()), mean_confidence=confidence
    )
