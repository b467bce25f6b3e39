"""What a step holds beside a batch grows by a few bytes for each image, not by the image or by its numbers."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from digits.data.summary import summarise
from digits.models.features import Hog, Pixels

FEW, MANY, SIDE = 4_096, 12_288, 16


def _summarise(images: NDArray[np.uint8]) -> None:
    for _ in summarise(images, np.zeros(len(images), np.uint8), max_value=255, ink_level=0.5, batch_rows=1_000):
        pass


def _fit_pixels(images: NDArray[np.uint8]) -> None:
    Pixels().fit(images)


def _fit_hog(images: NDArray[np.uint8]) -> None:
    Hog().fit(images)


@pytest.mark.parametrize("work", [_summarise, _fit_pixels, _fit_hog])
def test_memory_of_an_image_is_a_few_bytes(work: Callable[[NDArray[np.uint8]], None]) -> None:
    """More images need less than 40 bytes each: an image has 256, its numbers more than 100."""
    images = np.random.default_rng(0).integers(0, 256, (MANY, SIDE, SIDE), dtype=np.uint8)
    work(images[:100])  # libraries are loaded
    few, many = (_peak(work, images[:n_samples]) for n_samples in (FEW, MANY))
    assert many - few < 40 * (MANY - FEW)


def _peak(work: Callable[[NDArray[np.uint8]], None], images: NDArray[np.uint8]) -> int:
    """Return how many bytes were allocated at most at a time."""
    tracemalloc.start()
    try:
        work(images)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
