"""Promises of the measures of handwriting."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from digits.experiments.strokes import LEVELS, groups, measure


def _stroke(*, width: int, lean: float = 0.0, length: int = 60) -> np.ndarray:
    """Return a stroke on 100 x 100 pixels that leans by `lean` units to the right for each unit upwards."""
    image = np.zeros((100, 100), np.uint8)
    half = length / 2
    ends = [(round(50 - lean * half), round(50 + half)), (round(50 + lean * half), round(50 - half))]
    cv2.line(image, *ends, 255, width)
    return image


@pytest.mark.parametrize("width", [3, 6, 10])
def test_thickness_is_that_of_the_pen(width: int) -> None:
    """A stroke is measured nearly as thick as it was drawn: its ends count as edges too."""
    image = np.zeros((1, 100, 100), np.uint8)
    image[0, 10:90, 40 : 40 + width] = 255
    (found,) = measure(image, max_value=255)["thickness"]
    assert found == pytest.approx(width / 100 * 80 / (80 + width), rel=0.02)


@pytest.mark.parametrize("lean", [-0.5, 0.0, 0.5])
def test_slant_is_how_a_stroke_leans(lean: float) -> None:
    """Positive to the right, in units across for each unit upwards."""
    (found,) = measure(_stroke(width=3, lean=lean)[np.newaxis], max_value=255)["slant"]
    assert found == pytest.approx(lean, abs=0.05)


def test_size_grows_with_the_room_that_is_taken() -> None:
    """Twice as long, about twice the size; what is blank measures nothing."""
    images = np.stack([_stroke(width=3, length=length) for length in (30, 60)])
    small, large = measure(images, max_value=255)["size"]
    assert large == pytest.approx(2 * small, rel=0.1)
    blank = measure(np.zeros((1, 8, 8), np.uint8), max_value=16)
    assert {key: value.tolist() for key, value in blank.items()} == {name: [0.0] for name in LEVELS}


def test_groups_are_those_of_the_reference() -> None:
    """Everybody belongs to one group, and a third of the reference to each of three."""
    reference = np.arange(300.0)
    found = groups(reference, reference=reference, names=("few", "some", "many"))
    assert [rows.sum() for rows in found.values()] == [100, 100, 100]
    np.testing.assert_array_equal(sum(found.values()), np.ones(300))
    assert groups(reference + 1000, reference=reference, names=("few", "some", "many"))["many"].all()
