"""What a family's probabilities are worth: every figure of one scoring, derived from one confusion matrix.

Stored are the confusion matrix and the figures that need the probabilities (``probabilities``). Accuracy, precision,
recall, F1 and the report are computed from the matrix by scikit-learn, so that they cannot disagree.
Does not know which rows were scored (``split``) or which family is better (``evaluation``).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from digits.errors import FitFailed
from digits.experiments import probabilities
from digits.experiments.statistics import wilson_interval

__all__ = ["Averages", "Metrics", "checked_proba", "score"]

# Probabilities of float32 or bfloat16 networks sum to 1 within this; whatever is further off is no distribution.
SUM_TOLERANCE = 1e-3


class Averages(NamedTuple):
    """Precision, recall and F1 of one class or averaged over classes, each in ``[0, 1]``."""

    precision: float
    recall: float
    f1: float


class Metrics(BaseModel):
    """Result of scoring one candidate on some rows; frozen, and the same after a round trip through JSON.

    A ratio without a denominator (the precision of a class that was never predicted) counts as 0, for its class and
    in the averages.

    Attributes
    ----------
    classes
        The labels, ascending: the order of rows and columns of the matrix.
    confusion
        Number of images of class ``classes[i]`` that were taken for ``classes[j]``, at row i and column j.
    log_loss
        Mean negative logarithm of the probability given to the true class, in nats; at least 0, less is better.
    brier_score
        Mean squared distance between the probabilities and the truth, in ``[0, 2]``; less is better.
    calibration_error, adaptive_calibration_error
        Mean distance between confidence and accuracy over 15 bins, of the same width or of as many images each, in
        ``[0, 1]``; less is better.
    roc_auc, average_precision
        Areas under the ROC and the precision-recall curve, each class against the rest, unweighted means, in
        ``[0, 1]``; None where all images are of one class.
    top2_accuracy
        Share of images whose true class is one of the two most probable ones.
    selective_coverage
        Largest share of images, the most confident first, of which 99.9 % are right.
    confidence
        Nominal coverage of the accuracy's interval.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    classes: tuple[int, ...]
    confusion: tuple[tuple[int, ...], ...]
    log_loss: float = Field(ge=0)
    brier_score: float = Field(ge=0, le=2)
    calibration_error: float = Field(ge=0, le=1)
    adaptive_calibration_error: float = Field(ge=0, le=1)
    roc_auc: float | None = Field(ge=0, le=1)
    average_precision: float | None = Field(ge=0, le=1)
    top2_accuracy: float = Field(ge=0, le=1)
    selective_coverage: float = Field(ge=0, le=1)
    confidence: float = Field(gt=0, lt=1)

    @model_validator(mode="after")
    def _matrix_fits_classes(self) -> Self:
        n_classes = len(self.classes)
        if len(self.confusion) != n_classes or any(len(row) != n_classes for row in self.confusion):
            raise ValueError(f"confusion must be a {n_classes} x {n_classes} matrix, one row and column per class")
        if min(map(min, self.confusion)) < 0 or not any(map(any, self.confusion)):
            raise ValueError("confusion must hold counts: none negative and at least one image")
        return self

    @cached_property
    def matrix(self) -> NDArray[np.int64]:
        """The confusion matrix as an array, ``(n_classes, n_classes)`` int64: rows true, columns predicted."""
        return np.array(self.confusion, dtype=np.int64)

    @property
    def n_samples(self) -> int:
        """Number of images that were scored."""
        return int(self.matrix.sum())

    @property
    def n_correct(self) -> int:
        """Number of images whose most probable class is the true one."""
        return int(self.matrix.trace())

    @property
    def accuracy(self) -> float:
        """Share of images whose most probable class is the true one."""
        return self.n_correct / self.n_samples

    @property
    def accuracy_interval(self) -> tuple[float, float]:
        """Wilson interval of the accuracy at `confidence`."""
        return wilson_interval(self.n_correct, self.n_samples, confidence=self.confidence)

    @property
    def balanced_accuracy(self) -> float:
        """Unweighted mean of the recall of those classes of which there are images."""
        present = self.matrix.sum(axis=1) > 0
        return float(np.mean(self.matrix.diagonal()[present] / self.matrix.sum(axis=1)[present]))

    @property
    def macro(self) -> Averages:
        """Unweighted means over classes."""
        return _averages(self._report["macro avg"])

    @property
    def weighted(self) -> Averages:
        """Means over classes, weighted by the number of images of each class."""
        return _averages(self._report["weighted avg"])

    @property
    def per_class(self) -> dict[int, Averages]:
        """Precision, recall and F1 of each class."""
        return {label: _averages(self._report[str(label)]) for label in self.classes}

    @cached_property
    def report(self) -> str:
        """The classification report of scikit-learn as text, four decimal places."""
        return str(self._classification_report(digits=4))

    def flat(self) -> dict[str, float]:
        """Return every figure under a name that is fit for MLflow: ``accuracy``, ``macro_f1``, ``f1_7``, ..."""
        low, high = self.accuracy_interval
        figures = {"accuracy": self.accuracy, "accuracy_low": low, "accuracy_high": high}
        figures["balanced_accuracy"] = self.balanced_accuracy
        figures |= {name: value for name in _STORED if (value := getattr(self, name)) is not None}
        for name, averages in (("macro", self.macro), ("weighted", self.weighted)):
            figures |= {f"{name}_{figure}": value for figure, value in averages._asdict().items()}
        for label, averages in self.per_class.items():
            figures |= {f"{figure}_{label}": value for figure, value in averages._asdict().items()}
        return figures

    @cached_property
    def _report(self) -> dict[str, Any]:
        return dict(self._classification_report(output_dict=True))

    def _classification_report(self, **options: Any) -> Any:
        from sklearn.metrics import classification_report

        # The images in the order of the matrix: scikit-learn takes pairs of labels, not counts.
        true, predicted = (
            np.repeat(index, self.matrix.ravel()) for index in map(np.ravel, np.indices(self.matrix.shape))
        )
        labels = np.array(self.classes)
        return classification_report(labels[true], labels[predicted], labels=labels, zero_division=0, **options)


#: The stored figures that are numbers of the whole.
_STORED = tuple(name for name in Metrics.model_fields if name not in {"classes", "confusion", "confidence"})


def score(
    y_true: ArrayLike, y_proba: ArrayLike, *, classes: Sequence[int] | NDArray[Any], confidence: float = 0.95
) -> Metrics:
    """Score probabilities against the truth.

    Parameters
    ----------
    y_true
        ``(n_samples,)`` labels, each one of `classes`.
    y_proba
        ``(n_samples, n_classes)`` probabilities, columns in the order of `classes`. The most probable class is the
        prediction, the first of them in a tie.
    classes
        The labels, ascending: ``classes_`` of the estimator.
    confidence
        Nominal coverage of the accuracy's interval.

    Raises
    ------
    FitFailed
        The probabilities are none, or labels and probabilities do not belong together.
    """
    from sklearn.metrics import confusion_matrix

    labels, truth = np.asarray(classes), np.asarray(y_true)
    if labels.ndim != 1 or len(labels) < 2 or np.any(labels[1:] <= labels[:-1]):
        raise FitFailed(f"classes are {labels.tolist()}, wanted two or more in ascending order; pass classes_ as it is")
    if truth.ndim != 1 or len(truth) == 0:
        raise FitFailed(f"y_true has shape {truth.shape}, wanted one label for each of one or more images")
    if not np.isin(truth, labels).all():
        strange = sorted(set(truth.tolist()) - set(labels.tolist()))
        raise FitFailed(f"y_true holds {strange}, wanted only {labels.tolist()}; fit on rows of every class")
    proba = checked_proba(y_proba, n_samples=len(truth), n_classes=len(labels))
    predicted = np.argmax(y_proba, axis=1)
    confusion = confusion_matrix(truth, labels[predicted], labels=labels)
    return Metrics(
        classes=tuple(labels.tolist()),
        confusion=tuple(map(tuple, confusion.tolist())),
        confidence=confidence,
        **probabilities.figures(proba, true=np.searchsorted(labels, truth), predicted=predicted),
    )


def checked_proba(y_proba: ArrayLike, *, n_samples: int, n_classes: int) -> NDArray[np.float64]:
    """Return probabilities as ``(n_samples, n_classes)`` float64 whose rows sum to 1.

    Raises
    ------
    FitFailed
        The shape is another one, a value is negative or not finite, or a row does not sum to 1.
    """
    proba = np.asarray(y_proba, dtype=np.float64)
    mend = "look at the family's predict_proba"
    if proba.shape != (n_samples, n_classes):
        raise FitFailed(f"probabilities have shape {proba.shape}, wanted {(n_samples, n_classes)}; {mend}")
    if not np.isfinite(proba).all():
        rows = np.flatnonzero(~np.isfinite(proba).all(axis=1))
        raise FitFailed(
            f"probabilities of {len(rows)} rows, first row {rows[0]}, are not finite, wanted numbers; {mend}"
        )
    if proba.min() < 0:
        row, column = np.unravel_index(proba.argmin(), proba.shape)
        raise FitFailed(f"probability {proba.min():.3g} in row {row}, column {column}, wanted 0 or more; {mend}")
    sums = proba.sum(axis=1)
    worst = int(np.abs(sums - 1).argmax())
    if abs(sums[worst] - 1) > SUM_TOLERANCE:
        raise FitFailed(f"probabilities of row {worst} sum to {sums[worst]:.6g}, wanted 1; {mend}")
    normalised: NDArray[np.float64] = proba / sums[:, np.newaxis]
    return normalised


def _averages(entry: dict[str, float]) -> Averages:
    return Averages(float(entry["precision"]), float(entry["recall"]), float(entry["f1-score"]))
