"""One tree, and forests of them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field
from sklearn.base import BaseEstimator
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

from digits.models.family import Search
from digits.models.feature_family import FeatureFamily

__all__ = ["DecisionTree", "ExtraTrees", "RandomForest"]


class DecisionTree(FeatureFamily):
    """A single tree."""

    name: ClassVar[str] = "decision_tree"

    components: Annotated[int | None, Search(10, 60)] = Field(default=20, ge=1, le=10_000)
    max_depth: int | None = Field(default=None, ge=1)
    min_samples_leaf: Annotated[int, Search(1, 20, log=True)] = Field(default=5, ge=1)

    def classifier(self, *, seed: int) -> BaseEstimator:
        """Return the unfitted classifier at the end of the pipeline."""
        return DecisionTreeClassifier(
            max_depth=self.max_depth, min_samples_leaf=self.min_samples_leaf, random_state=seed
        )


_MAX_FEATURES = Search(choices=("sqrt", "log2", 6, 12, 30))


class _Forest(FeatureFamily):
    """Many trees, each with its own randomness, whose probabilities are averaged.

    Attributes
    ----------
    trees
        Number of trees.
    max_features
        How many features a split looks at.
    min_samples_leaf
        Fewest rows in a leaf.
    """

    trees: int = Field(default=100, ge=1, le=2_000)
    max_features: Annotated[Literal["sqrt", "log2"] | Annotated[int, Field(ge=1)], _MAX_FEATURES] = "log2"
    min_samples_leaf: Annotated[int, Search(1, 5)] = Field(default=1, ge=1)


class RandomForest(_Forest):
    """Trees grown on bootstrap samples of the rows; `max_samples` is the share that each tree draws."""

    name: ClassVar[str] = "random_forest"

    max_samples: Annotated[float, Search(0.3, 1)] = Field(default=0.5, gt=0, le=1)

    def classifier(self, *, seed: int) -> BaseEstimator:
        """Return the unfitted classifier at the end of the pipeline."""
        return RandomForestClassifier(
            self.trees,
            max_features=self.max_features,
            min_samples_leaf=self.min_samples_leaf,
            max_samples=self.max_samples,
            n_jobs=self.threads,
            random_state=seed,
        )


class ExtraTrees(_Forest):
    """Trees grown on all rows with thresholds drawn at random."""

    name: ClassVar[str] = "extra_trees"

    max_features: Annotated[Literal["sqrt", "log2"] | Annotated[int, Field(ge=1)], _MAX_FEATURES] = 12

    def classifier(self, *, seed: int) -> BaseEstimator:
        """Return the unfitted classifier at the end of the pipeline."""
        return ExtraTreesClassifier(
            self.trees,
            max_features=self.max_features,
            min_samples_leaf=self.min_samples_leaf,
            n_jobs=self.threads,
            random_state=seed,
        )
