"""Gradient boosting."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier

from digits.models.family import Search
from digits.models.feature_family import FeatureFamily

__all__ = ["GradientBoosting"]


class GradientBoosting(FeatureFamily):
    """Gradient boosting on binned features: `rounds` rounds of one small tree per class.

    Each split of a tree looks at a share `max_features` of the components, drawn anew: trees that are made to differ
    err less together.
    """

    name: ClassVar[str] = "gradient_boosting"

    components: Annotated[int | None, Search(30, 120)] = Field(default=80, ge=1, le=10_000)
    copies: int = Field(default=2, ge=0, le=100)
    rounds: int = Field(default=300, ge=1)
    learning_rate: Annotated[float, Search(0.05, 0.5, log=True)] = Field(default=0.15, gt=0, le=1)
    max_leaf_nodes: Annotated[int, Search(4, 63, log=True)] = Field(default=31, ge=2)
    min_samples_leaf: Annotated[int, Search(5, 50, log=True)] = Field(default=20, ge=1)
    l2_regularization: Annotated[float, Search(0.1, 20, log=True)] = Field(default=5.0, ge=0)
    max_features: Annotated[float, Search(0.03, 1.0, log=True)] = Field(default=0.2, gt=0, le=1)
    max_bins: int = Field(default=63, ge=2, le=255)

    def classifier(self, *, seed: int) -> BaseEstimator:
        """Return the unfitted classifier at the end of the pipeline."""
        return HistGradientBoostingClassifier(
            learning_rate=self.learning_rate,
            max_iter=self.rounds,
            max_leaf_nodes=self.max_leaf_nodes,
            min_samples_leaf=self.min_samples_leaf,
            l2_regularization=self.l2_regularization,
            max_features=self.max_features,
            max_bins=self.max_bins,
            early_stopping=False,
            random_state=seed,
        )
