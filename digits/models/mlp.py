"""A multilayer perceptron that trains for a fixed number of epochs, and the family of it."""

from __future__ import annotations

import warnings
from typing import Annotated, ClassVar, Self

from numpy.typing import ArrayLike
from pydantic import Field
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from digits.models.family import Search
from digits.models.feature_family import FeatureFamily

__all__ = ["FixedEpochsMLP", "Mlp"]


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


class Mlp(FeatureFamily):
    """A multilayer perceptron with `hidden` units per hidden layer, fitted by Adam for `epochs` epochs."""

    name: ClassVar[str] = "mlp"

    components: Annotated[int | None, Search(30, 200)] = Field(default=150, ge=1, le=10_000)
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = (512,)
    alpha: Annotated[float, Search(1e-6, 0.1, log=True)] = Field(default=1e-4, ge=0)
    learning_rate: Annotated[float, Search(3e-4, 0.01, log=True)] = Field(default=1e-3, gt=0)
    batch_size: Annotated[int, Search(choices=(64, 128, 256, 512))] = Field(default=256, ge=1)
    epochs: int = Field(default=20, ge=1)

    def classifier(self, *, seed: int) -> BaseEstimator:
        """Return the unfitted classifier at the end of the pipeline."""
        return FixedEpochsMLP(
            self.hidden,
            alpha=self.alpha,
            learning_rate_init=self.learning_rate,
            batch_size=self.batch_size,
            max_iter=self.epochs,
            n_iter_no_change=self.epochs,
            random_state=seed,
        )
