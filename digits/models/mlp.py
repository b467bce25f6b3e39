"""A multilayer perceptron that trains for a fixed number of epochs."""

from __future__ import annotations

import warnings
from typing import Self

from numpy.typing import ArrayLike
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

__all__ = ["FixedEpochsMLP"]


class FixedEpochsMLP(MLPClassifier):  # type: ignore[misc]  # scikit-learn carries no types
    """`sklearn.neural_network.MLPClassifier` for which ``max_iter`` epochs are the plan, not a failure.

    The state of the optimiser, twice the size of the network, is dropped after the fit.
    """

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit for ``max_iter`` epochs, or until `MLPClassifier` sees no more progress; parameters as there."""
        with warnings.catch_warnings():
            # The number of epochs is a param that validation chose: reaching it is no news.
            warnings.filterwarnings("ignore", message="Stochastic Optimizer", category=ConvergenceWarning)
            super().fit(X, y, sample_weight=sample_weight)
        del self._optimizer
        return self
