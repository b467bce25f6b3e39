"""Nearest neighbours."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field
from sklearn.base import BaseEstimator
from sklearn.neighbors import KNeighborsClassifier

from digits.models.family import Search
from digits.models.feature_family import FeatureFamily

__all__ = ["KNearestNeighbors"]


class KNearestNeighbors(FeatureFamily):
    """The labels of the `neighbors` nearest training images, weighted by the inverse of their distance."""

    name: ClassVar[str] = "k_nearest_neighbors"

    components: Annotated[int | None, Search(20, 120)] = Field(default=60, ge=1, le=10_000)
    neighbors: Annotated[int, Search(1, 15)] = Field(default=6, ge=1)

    def classifier(self, *, seed: int) -> BaseEstimator:
        """Return the unfitted classifier at the end of the pipeline."""
        # Nothing random: no seed. Brute force is matrix products: faster than a tree above some twenty dimensions.
        return KNeighborsClassifier(self.neighbors, weights="distance", algorithm="brute", n_jobs=self.threads)
