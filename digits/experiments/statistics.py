"""How sure one can be of a figure that was counted on a finite number of images.

Knows counts only: no images, no models. The standard library is enough; importing scipy.stats would cost a second.
"""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist

from digits.errors import ParamsError

__all__ = ["wilson_interval"]


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
