"""Linear classifiers."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression
from sklearn.linear_model import SGDClassifier

from digits.models.family import Search
from digits.models.feature_family import FeatureFamily

__all__ = ["LogisticRegression", "Sgd"]


class LogisticRegression(FeatureFamily):
    """Multinomial logistic regression; `C` is the inverse strength of its L2 penalty."""

    name: ClassVar[str] = "logistic_regression"

    C: Annotated[float, Search(0.1, 100, log=True)] = Field(default=10.0, gt=0)
    max_iter: int = Field(default=300, ge=1)

    def classifier(self, *, seed: int) -> BaseEstimator:
        """Return the unfitted classifier at the end of the pipeline."""
        # Nothing random in lbfgs: no seed.
        return SklearnLogisticRegression(C=self.C, max_iter=self.max_iter)


class Sgd(FeatureFamily):
    """One logistic regression per class, fitted by averaged stochastic gradient descent for `epochs` epochs."""

    name: ClassVar[str] = "sgd"

    alpha: Annotated[float, Search(1e-6, 1e-3, log=True)] = Field(default=1e-5, gt=0)
    epochs: Annotated[int, Search(5, 30)] = Field(default=10, ge=1)

    def classifier(self, *, seed: int) -> BaseEstimator:
        """Return the unfitted classifier at the end of the pipeline."""
        return SGDClassifier(
            loss="log_loss",
            alpha=self.alpha,
            average=True,
            max_iter=self.epochs,
            tol=None,
            n_jobs=self.threads,
            random_state=seed,
        )
