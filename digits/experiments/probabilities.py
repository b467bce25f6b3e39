"""Figures that need a family's probabilities, not only the class it finds most probable.

Does not know which rows were scored, or what is computed from the confusion matrix (``metrics``).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["BINS", "SELECTIVE_ACCURACY", "calibration_bins", "calibration_error", "coverage", "figures"]

#: Number of bins of the calibration errors.
BINS = 15

#: The accuracy that the images kept by `coverage` must have.
SELECTIVE_ACCURACY = 0.999


def figures(proba: NDArray[np.float64], *, true: NDArray[np.intp], predicted: NDArray[np.intp]) -> dict[str, Any]:
    """Return every figure of this module by its name in `digits.experiments.metrics.Metrics`.

    Parameters
    ----------
    proba
        ``(n_samples, n_classes)`` probabilities whose rows sum to 1.
    true, predicted
        ``(n_samples,)``: the columns of each image's true class and of its most probable one.
    """
    from sklearn.metrics import log_loss

    confidence, right = proba.max(axis=1), predicted == true
    given = np.take_along_axis(proba, true[:, np.newaxis], axis=1).ravel()
    # The Brier score: the squared distance to the vector that is 1 for the true class and 0 elsewhere.
    brier = np.mean((proba**2).sum(axis=1) - 2 * given + 1)
    return {
        "log_loss": float(log_loss(true, proba, labels=np.arange(proba.shape[1]))),
        "brier_score": max(0.0, float(brier)),
        "calibration_error": calibration_error(confidence, right, adaptive=False),
        "adaptive_calibration_error": calibration_error(confidence, right, adaptive=True),
        "top2_accuracy": float(np.mean((_most_probable(proba, 2) == true[:, np.newaxis]).any(axis=1))),
        "selective_coverage": coverage(confidence, right, accuracy=SELECTIVE_ACCURACY),
        **_ranking(proba, true=true),
    }


def _most_probable(proba: NDArray[np.float64], count: int) -> NDArray[np.intp]:
    """Return the columns of each image's most probable classes, ``(n_samples, count)``: the first ones of a tie."""
    return np.argsort(-proba, axis=1, kind="stable")[:, :count]


def calibration_bins(
    confidence: NDArray[np.float64], right: NDArray[np.bool_], *, adaptive: bool
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return of each bin that holds images their number, mean confidence and accuracy.

    Parameters
    ----------
    confidence
        ``(n_samples,)`` probabilities of the predicted classes.
    right
        ``(n_samples,)`` bool: whether the prediction is the true class.
    adaptive
        Bins of about as many images each, those of the same confidence in one bin; else bins of the same width.
    """
    order = np.argsort(confidence, kind="stable")
    if adaptive:
        lasts = np.linspace(0, len(order), BINS + 1)[1:-1].astype(np.int64)
        limits = confidence[order][np.maximum(lasts - 1, 0)]
    else:
        limits = np.arange(1, BINS) / BINS
    parts = np.split(order, np.searchsorted(confidence[order], limits, side="right"))
    kept = [part for part in parts if len(part)]
    return (
        np.array([len(part) for part in kept]),
        np.array([confidence[part].mean() for part in kept]),
        np.array([right[part].mean() for part in kept]),
    )


def calibration_error(confidence: NDArray[np.float64], right: NDArray[np.bool_], *, adaptive: bool) -> float:
    """Return the expected calibration error, in ``[0, 1]``: how far confidence and accuracy are apart, on average.

    Parameters
    ----------
    confidence, right, adaptive
        As in `calibration_bins`, over whose bins the distances are averaged, weighted by their number of images.

    References
    ----------
    M. Pakdaman Naeini, G. Cooper and M. Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning",
    AAAI 2015. J. Nixon et al., "Measuring calibration in deep learning", CVPR workshops 2019, on adaptive bins.
    """
    counts, confident, accurate = calibration_bins(confidence, right, adaptive=adaptive)
    return float(np.average(np.abs(confident - accurate), weights=counts))


def coverage(confidence: NDArray[np.float64], right: NDArray[np.bool_], *, accuracy: float) -> float:
    """Return the largest share of images, the most confident first, of which at least `accuracy` are right.

    Images of the same confidence are kept or left together. 0 where no such share is.
    """
    order = np.argsort(-confidence, kind="stable")
    shares = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    last_of_its_kind = np.append(np.diff(confidence[order]) != 0, True)
    reached = np.flatnonzero((shares >= accuracy) & last_of_its_kind)
    return float((reached[-1] + 1) / len(order)) if len(reached) else 0.0


def _ranking(proba: NDArray[np.float64], *, true: NDArray[np.intp]) -> dict[str, float | None]:
    """Return area under the ROC curve and average precision, each class against the rest, unweighted means.

    Over the classes of which there are images, and others than theirs; None where there is no such class.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    truths = {label: true == label for label in range(proba.shape[1])}
    told = {label: truth for label, truth in truths.items() if truth.any() and not truth.all()}
    if not told:
        return {"roc_auc": None, "average_precision": None}
    areas = {"roc_auc": roc_auc_score, "average_precision": average_precision_score}
    return {
        # Sums of shares may end a rounding above 1.
        name: min(1.0, float(np.mean([area(truth, proba[:, label]) for label, truth in told.items()])))
        for name, area in areas.items()
    }
