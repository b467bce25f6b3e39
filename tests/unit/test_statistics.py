"""Promises of digits/experiments/statistics.py."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binom, binomtest
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from digits.errors import ParamsError
from digits.experiments.claim import Claim
from digits.experiments.comparison import better_than, compare, tied_with
from digits.experiments.statistics import (
    claim_p_value,
    holm,
    interval_name,
    mcnemar_exact,
    percentage,
    wilson_interval,
)


@pytest.mark.parametrize(("confidence", "shown"), [(0.95, "95"), (0.975, "97.5"), (0.995, "99.5"), (0.9999, "99.99")])
def test_a_confidence_is_not_rounded(confidence: float, shown: str) -> None:
    """No interval is called one of 100 %, and no claim is another one than was made."""
    assert interval_name(confidence) == f"{shown}\u202f% interval"
    assert percentage(confidence) == f"{shown}\u202f%"


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


COUNTS = st.integers(0, 200)


def test_mcnemar_is_the_sum_of_the_coins() -> None:
    """Nine images that one alone got right and one that the other did: 2 (1 + 10) of 1,024 outcomes are as extreme."""
    assert mcnemar_exact(9, 1) == pytest.approx(22 / 1024)
    assert mcnemar_exact(0, 0) == 1
    assert mcnemar_exact(5, 5) == 1
    with pytest.raises(ParamsError, match="-1 and 3 images"):
        mcnemar_exact(-1, 3)


@given(COUNTS, COUNTS)
@settings(deadline=None)
def test_mcnemar_knows_no_order_and_is_a_probability(first: int, second: int) -> None:
    """Which of the two comes first does not matter; one image more for the better one makes it no less sure."""
    p_value = mcnemar_exact(first, second)
    assert p_value == mcnemar_exact(second, first)
    assert 0 < p_value <= 1
    better, worse = max(first, second), min(first, second)
    assert mcnemar_exact(better + 1, worse) <= p_value + 1e-12


@given(COUNTS, COUNTS)
@settings(deadline=None)
def test_mcnemar_is_that_of_statsmodels(first: int, second: int) -> None:
    """The exact p-value agrees with statsmodels', to the rounding of its sums."""
    expected = mcnemar([[0, first], [second, 0]], exact=True).pvalue if first + second else 1.0
    assert mcnemar_exact(first, second) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_calls_equals_different_no_more_often_than_it_says() -> None:
    """Of two equally good families, the exact share of outcomes below 5 % is at most 5 %."""
    for trials in (5, 20, 100, 400):
        counts = np.arange(trials + 1)
        p_values = np.array([mcnemar_exact(int(k), trials - int(k)) for k in counts])
        assert binom.pmf(counts, trials, 0.5)[p_values < 0.05].sum() <= 0.05


def test_holm_is_the_worked_example() -> None:
    """Four p-values: four times 0.005, three times 0.01, twice 0.03, and 0.04 no smaller than that."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    with pytest.raises(ParamsError, match=r"1\.5"):
        holm([0.1, 1.5])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
@settings(deadline=None)
def test_holm_keeps_the_order_and_only_ever_raises(p_values: list[float]) -> None:
    """What was more likely stays so; no value falls, none by more than Bonferroni's factor rises."""
    adjusted = holm(p_values)
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(np.array(adjusted)[order]) >= 0).all()
    for before, after in zip(p_values, adjusted, strict=True):
        assert before <= after <= min(1, before * len(p_values)) + 1e-12


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
@settings(deadline=None)
def test_holm_is_that_of_statsmodels(p_values: list[float]) -> None:
    """The adjusted p-values agree with statsmodels', in the order given."""
    with patch("gc.collect"):  # which statsmodels calls each time
        expected = multipletests(p_values, method="holm")[1]
    assert holm(p_values) == pytest.approx(list(expected), abs=1e-12)


def test_families_are_tied_that_the_images_do_not_tell_apart() -> None:
    """Of 100 images one family gets all, one all but two, one half of them."""

    def right(count: int) -> NDArray[np.bool_]:
        return np.arange(100) < count

    comparisons = compare({"all": right(100), "nearly": right(98), "half": right(50)})
    assert [(item.first, item.second, item.only_first, item.only_second) for item in comparisons] == [
        ("all", "nearly", 2, 0),
        ("all", "half", 50, 0),
        ("nearly", "half", 48, 0),
    ]
    assert comparisons[0].p_value == comparisons[0].adjusted == 0.5
    assert tied_with("all", comparisons, confidence=0.95) == {"nearly"}
    assert tied_with("half", comparisons, confidence=0.95) == set()
    assert better_than("all", comparisons, confidence=0.95) == set()
    assert better_than("half", comparisons, confidence=0.95) == {"all", "nearly"}


@pytest.mark.parametrize(("correct", "total", "claim"), [(95, 100, 0.95), (0, 10, 0.5), (780, 797, 0.99), (5, 5, 0.1)])
def test_a_claim_is_held_against_the_binomial_distribution(correct: int, total: int, claim: float) -> None:
    """The p-value is the probability of so few right answers, or fewer, if the claim is true."""
    assert claim_p_value(correct, total, claim=claim) == pytest.approx(binom.cdf(correct, total, claim))


def test_a_true_claim_is_rarely_rejected() -> None:
    """At 95 % confidence a true claim is rejected in at most 5 % of all samples: exact, every count is weighed."""
    total, claim = 797, 0.95
    counts = np.arange(total + 1)
    rejected = np.array([claim_p_value(int(count), total, claim=claim) < 0.05 for count in counts])
    assert 0.03 < binom.pmf(counts, total, claim)[rejected].sum() <= 0.05


@pytest.mark.parametrize(("correct", "total", "claim"), [(1, 0, 0.9), (3, 2, 0.9), (1, 2, 1.5)])
def test_an_impossible_claim_is_refused(correct: int, total: int, claim: float) -> None:
    """Counts that make no proportion, and a claim that is none, are named."""
    with pytest.raises(ParamsError, match=r"no proportion|claim is 1.5"):
        claim_p_value(correct, total, claim=claim)


@pytest.mark.parametrize(
    ("n_correct", "rejected"), [(970, False), (950, False), (938, False), (937, True), (920, True)]
)
def test_a_claim_is_rejected_only_where_chance_cannot_explain_it(n_correct: int, rejected: bool) -> None:
    """Of 1,000 with 95 % claimed: scipy's exact binomial test below 5 % rejects, more right answers never do."""
    claim = Claim.of(0.95, n_correct=n_correct, n_samples=1000, confidence=0.95)
    assert claim.p_value == pytest.approx(binomtest(n_correct, 1000, 0.95, alternative="less").pvalue)
    assert claim.rejected == (claim.p_value < 0.05)
    assert claim.rejected is rejected
