"""How sure one can be of a figure that was counted on a finite number of images, and of a difference between two.

Knows counts only: no images, no models. scipy.stats, which takes a second to load, is imported where it is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from statistics import NormalDist

from digits.errors import ParamsError

__all__ = ["claim_p_value", "holm", "interval_name", "mcnemar_exact", "percentage", "wilson_interval"]


def percentage(share: float) -> str:
    """Return a share as it was given, in per cent with all its decimals: ``99.75 %``."""
    return f"{100 * share:.10g}\u202f%"


def interval_name(confidence: float) -> str:
    """Return what an interval of that nominal coverage is called, with all its decimals: ``99.5 % interval``."""
    return f"{percentage(confidence)} interval"


def wilson_interval(correct: int, total: int, *, confidence: float) -> tuple[float, float]:
    r"""Return the score interval of Wilson for a proportion, two-sided and without continuity correction.

    With :math:`\hat p = k / n` and the normal quantile :math:`z = \Phi^{-1}((1 + c) / 2)` its ends are

    .. math:: \frac{\hat p + z^2 / 2n \pm z \sqrt{\hat p (1 - \hat p) / n + z^2 / 4n^2}}{1 + z^2 / n}

    It stays inside [0, 1] and keeps its coverage close to 0 and 1, where good classifiers live and where the textbook
    interval :math:`\hat p \pm z \sqrt{\hat p (1 - \hat p) / n}` has no width.

    Parameters
    ----------
    correct
        Number of successes :math:`k`, in ``[0, total]``.
    total
        Number of trials :math:`n`, at least 1.
    confidence
        Nominal coverage :math:`c`, in ``(0, 1)``.

    Returns
    -------
    tuple of float
        Lower and upper end, ``0 <= low <= correct / total <= high <= 1``.

    Raises
    ------
    ParamsError
        An argument lies outside its range.

    References
    ----------
    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the American
    Statistical Association 22 (158), 1927, 209-212. L. D. Brown, T. T. Cai and A. DasGupta, "Interval estimation for a
    binomial proportion", Statistical Science 16 (2), 2001, 101-133, on why to prefer it.
    """
    if total < 1 or not 0 <= correct <= total:
        raise ParamsError(f"{correct} correct of {total}: no proportion; pass 0 <= correct <= total and total >= 1")
    if not 0 < confidence < 1:
        raise ParamsError(f"confidence is {confidence}, wanted a number between 0 and 1; 0.95 is usual")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = correct / total
    denominator = 1 + z**2 / total
    centre = (share + z**2 / (2 * total)) / denominator
    margin = z / denominator * sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    # The ends at 0 and total are exact in the formula, not in floating point.
    low = 0.0 if correct == 0 else min(centre - margin, share)
    high = 1.0 if correct == total else max(centre + margin, share)
    return max(low, 0.0), min(high, 1.0)


def mcnemar_exact(only_first: int, only_second: int) -> float:
    r"""Return the p-value of the exact McNemar test of two classifiers being right equally often on the same images.

    Only the images on which exactly one of them is right tell. If both are as good, each of these is a fair coin:
    with :math:`n = b + c`, the p-value is that of the two-sided binomial test of :math:`\min(b, c)` successes in
    :math:`n` trials of probability one half.

    Parameters
    ----------
    only_first, only_second
        Number of images :math:`b` and :math:`c` that only the first, only the second got right; at least 0.

    Returns
    -------
    float
        In ``(0, 1]``; 1 where no image tells them apart.

    Raises
    ------
    ParamsError
        A count is negative.

    References
    ----------
    Q. McNemar, "Note on the sampling error of the difference between correlated proportions or percentages",
    Psychometrika 12 (2), 1947, 153-157. T. G. Dietterich, "Approximate statistical tests for comparing supervised
    classification learning algorithms", Neural Computation 10 (7), 1998, 1895-1923, on why to prefer it.
    """
    if min(only_first, only_second) < 0:
        raise ParamsError(f"{only_first} and {only_second} images that one alone got right: no counts; pass 0 or more")
    trials = only_first + only_second
    if trials == 0:
        return 1.0
    from scipy.stats import binomtest

    return float(binomtest(min(only_first, only_second), trials).pvalue)


def claim_p_value(correct: int, total: int, *, claim: float) -> float:
    """Return how likely so few right answers are, or fewer, if the accuracy is what somebody claims.

    The exact one-sided binomial test: a small value speaks against the claim. No value speaks for it; a claim that is
    not rejected may still be false.

    Parameters
    ----------
    correct, total
        Number of images that were read rightly, and of all; ``0 <= correct <= total``, ``total >= 1``.
    claim
        The accuracy that is claimed, in ``[0, 1]``.

    Returns
    -------
    float
        In ``[0, 1]``.

    Raises
    ------
    ParamsError
        An argument lies outside its range.
    """
    if total < 1 or not 0 <= correct <= total:
        raise ParamsError(f"{correct} correct of {total}: no proportion; pass 0 <= correct <= total and total >= 1")
    if not 0 <= claim <= 1:
        raise ParamsError(f"claim is {claim}, wanted an accuracy from 0 to 1; 0.95 is usual")
    from scipy.stats import binomtest

    return float(binomtest(correct, total, claim, alternative="less").pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    r"""Return p-values adjusted by Holm's step-down method, in the order given.

    The i-th smallest of m is multiplied by :math:`m - i + 1`, made no smaller than the one before it, and capped at 1.
    Calling a difference real where its adjusted p-value is below :math:`\alpha` makes any false call at all with
    probability at most :math:`\alpha`, however the tests depend on each other.

    Parameters
    ----------
    p_values
        Each in ``[0, 1]``; none is no error.

    Raises
    ------
    ParamsError
        One is no probability.

    References
    ----------
    S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6 (2), 1979,
    65-70.
    """
    if strange := [p for p in p_values if not 0 <= p <= 1]:
        raise ParamsError(f"p-values hold {strange}, wanted numbers from 0 to 1")
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted
