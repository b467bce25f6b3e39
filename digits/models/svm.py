"""A support vector classifier that decides by matrix products and knows how sure it is.

libsvm evaluates the kernel one pair of vectors at a time; through BLAS the same decisions take a tenth of the time,
which is what makes an SVM with thousands of support vectors fit to serve. Its own probabilities
(``SVC(probability=True)``) are deprecated in scikit-learn and may contradict its predictions.
"""

from __future__ import annotations

from itertools import combinations
from typing import Annotated, Any, ClassVar, Literal, Self, cast

import numpy as np
from numpy.random import RandomState
from numpy.typing import ArrayLike, NDArray
from pydantic import Field
from scipy.optimize import minimize_scalar
from scipy.special import log_expit, log_softmax, softmax
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC
from sklearn.utils.validation import check_is_fitted, validate_data

from digits.models.family import Search
from digits.models.feature_family import FeatureFamily

__all__ = ["RbfSVC", "Svm"]

# Numbers in one block of the kernel matrix: 32 MB in single precision.
_BLOCK_SIZE = 2**23
# Where the logarithm of the sharpness is looked for.
_LOG_SHARPNESS = (-5.0, 5.0)


class RbfSVC(SVC):  # type: ignore[misc]  # scikit-learn carries no types
    """`sklearn.svm.SVC` with an RBF kernel, whose predictions follow its probabilities.

    Every pair of classes has its own machine. Class ``i`` beats class ``j`` with probability ``expit(a d_ij)``, where
    ``d_ij`` is the decision of their machine and the sharpness ``a`` is fitted to rows that the machines did not see
    (after Platt, "Probabilistic outputs for support vector machines", 1999, with one slope for all pairs). The
    probability of a class is proportional to that of beating all others, each taken by itself.

    Parameters
    ----------
    C, gamma, decision_function_shape, cache_size
        As in `SVC`.
    holdout
        Share of the rows on which the sharpness is fitted, in ]0, 1[; the machines are then fitted on all rows.
    random_state
        Seeds the choice of these rows.

    Attributes
    ----------
    sharpness_
        The factor ``a``; 1.0 when there were too few rows of a class to hold any out.
    """

    sharpness_: float

    def __init__(
        self,
        *,
        C: float = 1.0,
        gamma: float | Literal["scale", "auto"] = "scale",
        decision_function_shape: Literal["ovo", "ovr"] = "ovr",
        holdout: float = 0.2,
        cache_size: float = 200,
        random_state: int | RandomState | None = None,
    ) -> None:
        super().__init__(
            C=C,
            gamma=gamma,
            decision_function_shape=decision_function_shape,
            cache_size=cache_size,
            random_state=random_state,
        )
        self.holdout = holdout

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the sharpness on rows that are held out, then the machines on all rows.

        Parameters
        ----------
        X
            Vectors, ``(n_samples, n_features)``.
        y
            Labels, ``(n_samples,)``.
        sample_weight
            Weights of the rows, ``(n_samples,)``; the sharpness is fitted without them.

        Raises
        ------
        ValueError
            `X` is not made of finite numbers, or there is only one class.
        """
        vectors, labels = validate_data(self, X, y, dtype=np.float64, order="C")
        sharpness = self._fit_sharpness(vectors, labels, sample_weight)
        super().fit(vectors, labels, sample_weight)
        self.sharpness_ = sharpness
        return self

    def decision_function(self, X: ArrayLike) -> NDArray[Any]:
        """Return a decision for each pair, or for each class.

        Returns
        -------
        ndarray
            With ``decision_function_shape="ovo"``, and wherever there are two classes, what `SVC` gives. Otherwise
            ``(n_samples, n_classes)``: the logarithm of the probability that a class beats all others. `SVC` counts
            votes instead, which may contradict the probabilities.
        """
        check_is_fitted(self)
        if self.decision_function_shape == "ovo" or len(self.classes_) == 2:
            return cast("NDArray[Any]", super().decision_function(X))
        return self._log_wins(self._pair_decisions(X), self.sharpness_)

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the probability of each class, ``(n_samples, n_classes)`` float64, columns as in ``classes_``."""
        return cast("NDArray[np.float64]", softmax(self._log_wins(self._pair_decisions(X), self.sharpness_), axis=1))

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the most probable label of each row, ``(n_samples,)``."""
        proba = self.predict_proba(X)
        return cast("NDArray[Any]", self.classes_[proba.argmax(axis=1)])

    def _fit_sharpness(self, X: NDArray[Any], y: NDArray[Any], sample_weight: ArrayLike | None) -> float:
        """Return the sharpness that gives held-out rows the least log loss.

        As Platt did, a row in ``n + 2`` is taken to be of another class than it says: rows that are all on their right
        side would otherwise ask for infinite sharpness.
        """
        counts = np.unique(y, return_counts=True)[1]
        if counts.min() < 2 or self.holdout * len(y) < len(counts):
            return 1.0
        fitted, held_out = train_test_split(
            np.arange(len(y)), test_size=self.holdout, stratify=y, random_state=self.random_state
        )
        super().fit(X[fitted], y[fitted], None if sample_weight is None else np.asarray(sample_weight)[fitted])
        decisions, truth = self._pair_decisions(X[held_out]), np.searchsorted(self.classes_, y[held_out])

        doubt = 1 / (len(truth) + 2)
        targets = np.full((len(truth), len(counts)), doubt / (len(counts) - 1))
        targets[np.arange(len(truth)), truth] = 1 - doubt

        def log_loss(log_sharpness: float) -> float:
            log_proba = log_softmax(self._log_wins(decisions, np.exp(log_sharpness)), axis=1)
            return -float((targets * log_proba).sum())

        return float(np.exp(minimize_scalar(log_loss, bounds=_LOG_SHARPNESS).x))

    def _log_wins(self, decisions: NDArray[Any], sharpness: float) -> NDArray[np.float64]:
        """Return the log-probability that each class beats all others, ``(n_samples, n_classes)`` float64."""
        log_wins = np.zeros((len(decisions), len(self.classes_)))
        for (i, j), decision in zip(self._pairs(), sharpness * decisions.T.astype(np.float64), strict=True):
            log_wins[:, i] += log_expit(decision)
            log_wins[:, j] += log_expit(-decision)
        return log_wins

    def _pair_decisions(self, X: ArrayLike) -> NDArray[Any]:
        """Return the decision of each pair's machine, ``(n_samples, n_pairs)``: positive for the first of the pair."""
        decisions = self._decision_function(X)
        # scikit-learn turns the sign round where there are two classes.
        return -decisions[:, np.newaxis] if decisions.ndim == 1 else decisions

    def _decision_function(self, X: ArrayLike) -> NDArray[Any]:
        """Return one-against-one decisions, ``(n_samples, n_pairs)``, or ``(n_samples,)`` for two classes.

        This is the hook below `SVC.decision_function`. The kernel is computed in the precision of `X`.
        """
        check_is_fitted(self)
        vectors = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        support = self.support_vectors_.astype(vectors.dtype)
        weights = self._pair_weights().astype(vectors.dtype)
        squares = np.einsum("ij,ij->i", support, support)
        n_rows = max(1, _BLOCK_SIZE // len(support))
        decisions = np.empty((len(vectors), weights.shape[1]), dtype=vectors.dtype)
        for start in range(0, len(vectors), n_rows):
            rows = vectors[start : start + n_rows]
            # exp(-gamma |x - s|^2), with |x - s|^2 = |x|^2 - 2 x.s + |s|^2, in place.
            kernel = rows @ support.T
            kernel *= -2.0
            kernel += squares
            kernel += np.einsum("ij,ij->i", rows, rows)[:, np.newaxis]
            kernel *= -self._gamma
            np.exp(kernel, out=kernel)
            decisions[start : start + n_rows] = kernel @ weights
        decisions += self.intercept_.astype(vectors.dtype)
        return decisions[:, 0] if len(self.classes_) == 2 else decisions

    def _pairs(self) -> list[tuple[int, int]]:
        return list(combinations(range(len(self.classes_)), 2))

    def _pair_weights(self) -> NDArray[np.float64]:
        """Return the weight of each support vector in each pair's machine, ``(n_support, n_pairs)`` float64.

        libsvm keeps them folded: the vectors of class ``i`` carry their weight against class ``j`` in row ``j`` of
        ``dual_coef_``, or row ``j - 1`` when ``j > i``, since no class is set against itself.
        """
        if len(self.classes_) == 2:
            return np.asarray(self.dual_coef_.T)
        ends = np.cumsum(self.n_support_)
        rows_of = [slice(end - size, end) for end, size in zip(ends, self.n_support_, strict=True)]
        weights = np.zeros((len(self.support_vectors_), len(self._pairs())))
        for column, (i, j) in enumerate(self._pairs()):
            weights[rows_of[i], column] = self.dual_coef_[j - 1, rows_of[i]]
            weights[rows_of[j], column] = self.dual_coef_[i, rows_of[j]]
        return weights

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = False
        return tags


class Svm(FeatureFamily):
    """A support vector machine with an RBF kernel, ``exp(-gamma |x - s|^2)``.

    It takes no copies of images: how sure it is, it learns from rows held out, whose copies it would have seen.
    """

    name: ClassVar[str] = "svm"

    copies: Literal[0] = 0

    components: Annotated[int | None, Search(20, 150)] = Field(default=100, ge=1, le=10_000)
    C: Annotated[float, Search(1.0, 100.0, log=True)] = Field(default=10.0, gt=0)
    gamma: Annotated[float, Search(0.05, 1, log=True)] = Field(default=0.25, gt=0)
    holdout: float = Field(default=0.2, gt=0, lt=1)
    cache_mb: float = Field(default=500, gt=0)

    def classifier(self, *, seed: int) -> BaseEstimator:
        """Return the unfitted classifier at the end of the pipeline."""
        return RbfSVC(C=self.C, gamma=self.gamma, holdout=self.holdout, cache_size=self.cache_mb, random_state=seed)
