"""Promises of digits/experiments/scoring.py."""

from __future__ import annotations

import numpy as np
import pytest

from digits.errors import FitFailed
from digits.experiments.scoring import aligned

CLASSES = np.arange(3, dtype=np.uint8)


def test_columns_stand_where_their_classes_do() -> None:
    """A class that a fit has never seen has no probability; the others keep theirs."""
    proba = np.array([[0.25, 0.75]])

    assert aligned(proba, np.array([0, 2]), classes=CLASSES).tolist() == [[0.25, 0, 0.75]]
    assert aligned(proba, np.array([2, 0]), classes=np.array([0, 2], np.uint8)).tolist() == [[0.75, 0.25]]


@pytest.mark.parametrize("columns", [[0, 1, 7], [1, 7], [7]])
def test_a_foreign_label_is_refused(columns: list[int]) -> None:
    """Probabilities of a label that the dataset does not know are of nothing, however many columns there are."""
    with pytest.raises(FitFailed, match=r"the model knows \[7\], wanted only \[0, 1, 2\]"):
        aligned(np.ones((1, len(columns))) / len(columns), np.array(columns), classes=CLASSES)
