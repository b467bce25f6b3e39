"""What the families of scikit-learn share: features of the image, perhaps fewer of them, and a classifier.

Where a family's default stands, it is what validation on MNIST chose, unless it takes long or wants many images;
``params.yaml`` says what a dataset wants otherwise. Each kind has a module of its own: a candidate's fingerprint holds
the code that its family's module imports.
"""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline

from digits.models.family import Family
from digits.models.features import FeatureName, features
from digits.models.virtual import VirtualExamples

__all__ = ["FeatureFamily"]


class FeatureFamily(Family):
    """A family whose estimator is a pipeline: features, perhaps fewer of them, and a classifier.

    Attributes
    ----------
    features
        What the classifier sees of an image.
    components
        Number of principal components that the features are brought down to; none: all features are kept.
    copies
        Number of elastically distorted copies of each image that the pipeline is fitted on, beside the image itself.
    distortion
        How far a point of a copy moves along each axis: the standard deviation, as a share of the frame.
    """

    features: FeatureName = "hog"
    components: int | None = Field(default=None, ge=1, le=10_000)
    copies: int = Field(default=0, ge=0, le=100)
    distortion: float = Field(default=0.03, gt=0, le=1)

    @model_validator(mode="after")
    def _has_copies_to_distort(self) -> Self:
        """Refuse what nothing reads."""
        if not self.copies and self.distortion != type(self).model_fields["distortion"].default:
            raise ValueError("`distortion` is that of copies, of which there are none; leave it out, or ask for copies")
        return self

    def build(self, *, seed: int) -> BaseEstimator:
        """Return the unfitted pipeline, which learns from copies too where there are to be some; see `Family.build`."""
        steps: list[tuple[str, Any]] = [("features", features(self.features))]
        if self.components is not None:
            # The one solver that is exact, fast where rows are many, and has nothing random in it.
            steps.append(("components", PCA(self.components, svd_solver="covariance_eigh")))
        pipeline = Pipeline([*steps, ("classifier", self.classifier(seed=seed))])
        if not self.copies:
            return pipeline
        return VirtualExamples(pipeline, copies=self.copies, distortion=self.distortion, random_state=seed)

    def classifier(self, *, seed: int) -> BaseEstimator:
        """Return the unfitted classifier at the end of the pipeline."""
        raise NotImplementedError
