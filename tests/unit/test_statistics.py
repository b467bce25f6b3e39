"""Promises of digits/experiments/statistics.py."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from digits.errors import ParamsError
from digits.experiments.statistics import wilson_interval


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
@pytest.mark.parametrize(
    ("correct", "total"), [(0, 1), (1, 1), (0, 797), (797, 797), (780, 797), (9967, 10_000), (1, 2)]
)
def test_wilson_interval_is_that_of_scipy(correct: int, total: int, confidence: float) -> None:
    """The interval agrees with scipy's, at the ends of the range too."""
    expected = binomtest(correct, total).proportion_ci(confidence, method="wilson")

    assert wilson_interval(correct, total, confidence=confidence) == pytest.approx(tuple(expected), abs=1e-12)


@pytest.mark.parametrize("total", [50, 797, 10_000])
def test_wilson_interval_covers_as_often_as_it_says(total: int) -> None:
    """Over accuracies from 90 % to 99.9 %, the share of intervals that hold the true one is on average near 95 %.

    Exact: every possible count is weighed with its binomial probability, nothing is drawn.
    """
    low, high = np.array([wilson_interval(k, total, confidence=0.95) for k in range(total + 1)]).T
    truths = np.linspace(0.9, 0.999, 100)
    coverage = [binom.pmf(np.arange(total + 1), total, p)[(low <= p) & (p <= high)].sum() for p in truths]

    assert np.mean(coverage) == pytest.approx(0.95, abs=0.015)
    assert min(coverage) > 0.85


@pytest.mark.parametrize(("correct", "total"), [(1, 0), (-1, 10), (11, 10)])
def test_impossible_counts_are_refused(correct: int, total: int) -> None:
    """Counts that make no proportion are an error that names them."""
    with pytest.raises(ParamsError, match=f"{correct} correct of {total}"):
        wilson_interval(correct, total, confidence=0.95)


@pytest.mark.parametrize("confidence", [0, 1, 95, float("nan")])
def test_impossible_confidence_is_refused(confidence: float) -> None:
    """A confidence that is no probability, such as 95 meant as per cent, is an error that names it."""
    with pytest.raises(ParamsError, match=f"confidence is {confidence}"):
        wilson_interval(9, 10, confidence=confidence)
