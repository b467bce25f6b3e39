"""What a model costs to use: time per image and size. Measured on this machine, beside whatever else it does."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits.files import bytes_below

__all__ = ["Cost", "measure"]

#: Images that are asked one at a time, and at once.
SINGLES, BATCH, BATCHES = 20, 500, 5


@dataclass(frozen=True)
class Cost:
    """What a model costs to use.

    Attributes
    ----------
    single_seconds
        Median time to predict one image that comes alone, in seconds.
    batch_seconds
        Median time per image when many come at once, in seconds.
    model_bytes
        Size of the model's files.
    """

    single_seconds: float
    batch_seconds: float
    model_bytes: int

    def as_dict(self) -> dict[str, float]:
        """Return plain values under names that are fit for MLflow."""
        return asdict(self)


def measure(estimator: Any, images: NDArray[np.uint8], *, model: Path) -> Cost:
    """Measure what a fitted estimator costs to use.

    Parameters
    ----------
    estimator
        Has ``predict_proba``.
    images
        ``(n_samples, height, width)`` uint8; the first ones are asked about.
    model
        Folder of its files.
    """
    estimator.predict_proba(images[:1])  # what is prepared at the first call alone
    singles = [_seconds(estimator, images[number : number + 1]) for number in range(min(SINGLES, len(images)))]
    batch = images[:BATCH]
    batches = [_seconds(estimator, batch) / len(batch) for _ in range(BATCHES)]
    return Cost(median(singles), median(batches), bytes_below(model))


def _seconds(estimator: Any, images: NDArray[np.uint8]) -> float:
    start = time.perf_counter()
    estimator.predict_proba(images)
    return time.perf_counter() - start
