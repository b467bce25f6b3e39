"""Ensembles of already fitted members: what they predict together, learned from what each predicts alone.

An ensemble never fits its members again. It learns from the probabilities that they gave on validation rows, which
they had not seen; its own validation score is cross-fitted on the same rows (`Ensemble.out_of_fold_proba`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Literal, Self, cast

import numpy as np
from numpy.random import RandomState
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import nnls
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import LeaveOneGroupOut, StratifiedKFold

__all__ = ["Ensemble", "StackingEnsemble", "VotingEnsemble"]

Proba = NDArray[np.float64]

# How much more than a row of the data the demand weighs that weights have sum 1.
_HEAVY = 1e3


class Ensemble(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn carries no types
    """Base of the ensembles: classifiers of raw images that ask their members and combine the answers.

    Parameters
    ----------
    members
        Names of the members, in the order in which their probabilities are stacked.
    n_folds
        Number of folds of `out_of_fold_proba`, where the members were all validated on one.
    random_state
        Seeds these folds.

    Attributes
    ----------
    classes_
        The labels, sorted, ``(n_classes,)``; after `fit_members_proba`.
    members_
        The fitted members by name, in the order of `members`; after `attach`.
    """

    classes_: NDArray[Any]
    members_: list[tuple[str, Any]]

    def __init__(
        self, members: Sequence[str] = (), *, n_folds: int = 5, random_state: int | RandomState | None = None
    ) -> None:
        self.members = members
        self.n_folds = n_folds
        self.random_state = random_state

    def fit_members_proba(self, member_proba: ArrayLike, y: ArrayLike) -> Self:
        """Learn how to combine the members from what they predicted on rows that they had not seen.

        Parameters
        ----------
        member_proba
            Probabilities by the members, ``(n_members, n_samples, n_classes)``; columns in the order of the labels.
        y
            Labels, ``(n_samples,)``; every class is among them.

        Raises
        ------
        ValueError
            The shapes do not belong together, or a number is not finite or negative.
        """
        proba, labels = self._checked(member_proba), np.asarray(y)
        classes, codes = np.unique(labels, return_inverse=True)
        if labels.shape != proba.shape[1:2] or len(classes) != proba.shape[2]:
            raise ValueError(
                f"found {len(classes)} classes in labels of shape {labels.shape}, wanted {proba.shape[2]} classes "
                f"in shape ({proba.shape[1]},), like member_proba of shape {proba.shape}"
            )
        self._learn(proba, codes)
        self.classes_ = classes
        return self

    def out_of_fold_proba(self, member_proba: ArrayLike, y: ArrayLike, folds: ArrayLike) -> Proba:
        """Return what the ensemble says of each validation row when it learned from the others, for an honest score.

        Parameters
        ----------
        member_proba, y
            As in `fit_members_proba`.
        folds
            Number of the fold that the members did not see a row with, ``(n_samples,)``. Where there are several, the
            ensemble is held to the same: it learns from the other folds. A single one is dealt into `n_folds`.

        Returns
        -------
        ndarray
            ``(n_samples, n_classes)`` float64, rows sum to 1.
        """
        proba, labels = self._checked(member_proba), np.asarray(y)
        combined = np.empty(proba.shape[1:])
        several = len(np.unique(folds)) > 1
        rounds = (
            LeaveOneGroupOut().split(labels, labels, folds)
            if several
            else StratifiedKFold(self.n_folds, shuffle=True, random_state=self.random_state).split(labels, labels)
        )
        for seen, unseen in rounds:
            combined[unseen] = clone(self).fit_members_proba(proba[:, seen], labels[seen]).combine(proba[:, unseen])
        return combined

    @abstractmethod
    def combine(self, member_proba: ArrayLike) -> Proba:
        """Return the ensemble's probabilities, ``(n_samples, n_classes)`` float64, rows sum to 1.

        Parameters
        ----------
        member_proba
            Probabilities by the members, ``(n_members, n_samples, n_classes)``.
        """

    @abstractmethod
    def _learn(self, member_proba: Proba, codes: NDArray[np.int64]) -> None:
        """Learn from checked probabilities and the number of each row's class."""

    def attach(self, members: Sequence[tuple[str, Any]]) -> Self:
        """Give the ensemble its fitted members, ``(name, estimator)`` in the order of the parameter `members`.

        Raises
        ------
        ValueError
            The names are not those of `members`, or a member knows other labels than the ensemble.
        """
        if (found := [name for name, _ in members]) != list(self.members):
            raise ValueError(f"found members {', '.join(found)}, wanted {', '.join(self.members)}")
        for name, member in members:
            if not np.array_equal(member.classes_, self.classes_):
                raise ValueError(f"member {name} knows labels {member.classes_}, wanted {self.classes_}")
        self.members_ = list(members)
        return self

    def predict_proba(self, X: ArrayLike) -> Proba:
        """Return the probability of each class for raw images, ``(n_samples, n_classes)`` float64.

        Parameters
        ----------
        X
            Images, ``(n_samples, height, width)`` or flattened.
        """
        if not hasattr(self, "members_"):
            raise NotFittedError(f"{type(self).__name__} has no fitted members; call attach")
        return self.combine(np.stack([member.predict_proba(X) for _, member in self.members_]))

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the most probable label of each image, ``(n_samples,)``."""
        proba = self.predict_proba(X)
        return cast("NDArray[Any]", self.classes_[proba.argmax(axis=1)])

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "members_")

    def _checked(self, member_proba: ArrayLike) -> Proba:
        proba = np.asarray(member_proba, dtype=np.float64)
        if proba.ndim != 3 or len(proba) != len(self.members):
            raise ValueError(
                f"found member_proba of shape {proba.shape}, wanted ({len(self.members)}, n_samples, n_classes)"
            )
        if not np.isfinite(proba).all() or proba.min(initial=0.0) < 0:
            raise ValueError("found a number in member_proba that is negative or not finite, wanted probabilities")
        return proba


class VotingEnsemble(Ensemble):
    """Weighted mean of the members' probabilities.

    Learned weights are the ones, none negative and of sum 1, that bring the mean closest to the truth in squares (the
    Brier score; Breiman, "Stacked regressions", 1996). The likelihood would punish a member for being less certain
    than it could be, as one that was trained on smoothed labels is, rather than for being wrong.

    Parameters
    ----------
    members, n_folds, random_state
        As in `Ensemble`.
    weights
        ``"equal"``, or ``"learned"`` from the validation rows.

    Attributes
    ----------
    weights_
        Weight of each member, ``(n_members,)`` float64, sum 1.
    """

    weights_: NDArray[np.float64]

    def __init__(
        self,
        members: Sequence[str] = (),
        *,
        weights: Literal["equal", "learned"] = "equal",
        n_folds: int = 5,
        random_state: int | RandomState | None = None,
    ) -> None:
        super().__init__(members, n_folds=n_folds, random_state=random_state)
        self.weights = weights

    def combine(self, member_proba: ArrayLike) -> Proba:
        """Return the weighted mean; see `Ensemble.combine`."""
        mean = np.tensordot(self.weights_, self._checked(member_proba), axes=1)
        return cast("Proba", mean / mean.sum(axis=1, keepdims=True))

    def _learn(self, member_proba: Proba, codes: NDArray[np.int64]) -> None:
        n_members, n_samples, n_classes = member_proba.shape
        if self.weights == "equal":
            self.weights_ = np.full(n_members, 1 / n_members)
            return
        # One heavy row more asks for a sum of 1 (Lawson and Hanson, "Solving least squares problems", 1974).
        heavy = _HEAVY * np.sqrt(n_samples)
        answers = np.vstack([member_proba.reshape(n_members, -1).T, np.full(n_members, heavy)])
        truth = np.append(np.eye(n_classes)[codes], heavy)
        weights, _ = nnls(answers, truth)
        self.weights_ = weights / weights.sum()


class StackingEnsemble(Ensemble):
    """Multinomial logistic regression on the logarithms of the members' probabilities (Wolpert, 1992).

    Parameters
    ----------
    members, n_folds, random_state
        As in `Ensemble`.
    C
        Inverse strength of the L2 penalty.
    floor
        Smallest probability that counts: a member that is certain and wrong must not be infinitely so.
    max_iter
        Most steps of the solver.

    Attributes
    ----------
    meta_
        The fitted `sklearn.linear_model.LogisticRegression`.
    """

    meta_: LogisticRegression

    def __init__(
        self,
        members: Sequence[str] = (),
        *,
        C: float = 0.1,
        floor: float = 0.01,
        max_iter: int = 1000,
        n_folds: int = 5,
        random_state: int | RandomState | None = None,
    ) -> None:
        super().__init__(members, n_folds=n_folds, random_state=random_state)
        self.C = C
        self.floor = floor
        self.max_iter = max_iter

    def combine(self, member_proba: ArrayLike) -> Proba:
        """Return the regression's probabilities; see `Ensemble.combine`."""
        return cast("Proba", self.meta_.predict_proba(self._logarithms(self._checked(member_proba))))

    def _learn(self, member_proba: Proba, codes: NDArray[np.int64]) -> None:
        self.meta_ = LogisticRegression(C=self.C, max_iter=self.max_iter).fit(self._logarithms(member_proba), codes)

    def _logarithms(self, member_proba: Proba) -> NDArray[np.float64]:
        """Return ``(n_samples, n_members * n_classes)`` float64."""
        logarithms = np.log(np.maximum(member_proba, self.floor))
        return logarithms.transpose(1, 0, 2).reshape(member_proba.shape[1], -1)
