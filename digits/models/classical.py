"""The families of scikit-learn: features of the image, perhaps fewer of them, and a classifier.

Where a default stands, it is what validation on MNIST chose; ``params.yaml`` says what a dataset wants otherwise.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression
from sklearn.linear_model import SGDClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.tree import DecisionTreeClassifier

from digits.models.family import Family, Search
from digits.models.features import FeatureName, features
from digits.models.mlp import FixedEpochsMLP
from digits.models.svm import RbfSVC

__all__ = [
    "DecisionTree",
    "ExtraTrees",
    "GradientBoosting",
    "KNearestNeighbors",
    "LogisticRegression",
    "Mlp",
    "RandomForest",
    "Sgd",
    "Svm",
]


class _FeatureFamily(Family):
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


class LogisticRegression(_FeatureFamily):
    """Multinomial logistic regression; `C` is the inverse strength of its L2 penalty."""

    name: ClassVar[str] = "logistic_regression"

    C: Annotated[float, Search(0.1, 100, log=True)] = Field(default=1.0, gt=0)
    max_iter: int = Field(default=300, ge=1)

    def classifier(self, *, seed: int) -> BaseEstimator:
        """Return the unfitted classifier at the end of the pipeline."""
        # Nothing random in lbfgs: no seed.
        return SklearnLogisticRegression(C=self.C, max_iter=self.max_iter)


class Sgd(_FeatureFamily):
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


class DecisionTree(_FeatureFamily):
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


class _Forest(_FeatureFamily):
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


class GradientBoosting(_FeatureFamily):
    """Gradient boosting on binned features: `rounds` rounds of one small tree per class."""

    name: ClassVar[str] = "gradient_boosting"

    components: Annotated[int | None, Search(30, 120)] = Field(default=60, ge=1, le=10_000)
    rounds: int = Field(default=100, ge=1)
    learning_rate: Annotated[float, Search(0.05, 0.5, log=True)] = Field(default=0.2, gt=0, le=1)
    max_leaf_nodes: Annotated[int, Search(4, 63, log=True)] = Field(default=31, ge=2)
    min_samples_leaf: Annotated[int, Search(5, 50, log=True)] = Field(default=20, ge=1)
    l2_regularization: Annotated[float, Search(0.1, 20, log=True)] = Field(default=5.0, ge=0)
    max_bins: int = Field(default=63, ge=2, le=255)

    def classifier(self, *, seed: int) -> BaseEstimator:
        """Return the unfitted classifier at the end of the pipeline."""
        return HistGradientBoostingClassifier(
            learning_rate=self.learning_rate,
            max_iter=self.rounds,
            max_leaf_nodes=self.max_leaf_nodes,
            min_samples_leaf=self.min_samples_leaf,
            l2_regularization=self.l2_regularization,
            max_bins=self.max_bins,
            early_stopping=False,
            random_state=seed,
        )


class KNearestNeighbors(_FeatureFamily):
    """The labels of the `neighbors` nearest training images, weighted by the inverse of their distance."""

    name: ClassVar[str] = "k_nearest_neighbors"

    components: Annotated[int | None, Search(20, 120)] = Field(default=60, ge=1, le=10_000)
    neighbors: Annotated[int, Search(1, 15)] = Field(default=6, ge=1)

    def classifier(self, *, seed: int) -> BaseEstimator:
        """Return the unfitted classifier at the end of the pipeline."""
        # Nothing random: no seed. Brute force is matrix products: faster than a tree above some twenty dimensions.
        return KNeighborsClassifier(self.neighbors, weights="distance", algorithm="brute", n_jobs=self.threads)


class Svm(_FeatureFamily):
    """A support vector machine with an RBF kernel, ``exp(-gamma |x - s|^2)``."""

    name: ClassVar[str] = "svm"

    components: Annotated[int | None, Search(20, 150)] = Field(default=100, ge=1, le=10_000)
    C: Annotated[float, Search(1.0, 100.0, log=True)] = Field(default=10.0, gt=0)
    gamma: Annotated[float, Search(0.05, 1, log=True)] = Field(default=0.25, gt=0)
    holdout: float = Field(default=0.2, gt=0, lt=1)
    cache_mb: float = Field(default=500, gt=0)

    def classifier(self, *, seed: int) -> BaseEstimator:
        """Return the unfitted classifier at the end of the pipeline."""
        return RbfSVC(C=self.C, gamma=self.gamma, holdout=self.holdout, cache_size=self.cache_mb, random_state=seed)


class Mlp(_FeatureFamily):
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
