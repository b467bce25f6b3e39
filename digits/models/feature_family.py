"""What the families of scikit-learn share: features of the image, perhaps fewer of them, and a classifier.

Where a family's default stands, it is what validation on MNIST chose; ``params.yaml`` says what a dataset wants
otherwise. Each kind has a module of its own: a candidate's fingerprint holds the code that its family's module imports.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline

from digits.models.family import Family
from digits.models.features import FeatureName, features

__all__ = ["FeatureFamily"]


class FeatureFamily(Family):
    """A family whose estimator is a pipeline: features, perhaps fewer of them, and a classifier.

    Attributes
    ----------
    features
        What the classifier sees of an image.
    components
        Number of principal components that the features are brought down to; none: all features are kept.
    """

    features: FeatureName = "hog"
    components: int | None = Field(default=None, ge=1, le=10_000)

    def build(self, *, seed: int) -> BaseEstimator:
        """Return the unfitted pipeline; see `Family.build`."""
        steps: list[tuple[str, Any]] = [("features", features(self.features))]
        if self.components is not None:
            # The one solver that is exact, fast where rows are many, and has nothing random in it.
            steps.append(("components", PCA(self.components, svd_solver="covariance_eigh")))
        return Pipeline([*steps, ("classifier", self.classifier(seed=seed))])

    def classifier(self, *, seed: int) -> BaseEstimator:
        """Return the unfitted classifier at the end of the pipeline."""
        raise NotImplementedError
