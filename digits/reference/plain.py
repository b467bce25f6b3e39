"""What people run instead: each family as a tutorial fits it, on pixels divided by the largest value, nothing tuned.

scikit-learn's classifiers as they come, or as its own page on MNIST sets them, and Keras's and TensorFlow's examples.
Every one computes with one thread, as a family of the pipeline does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from digits.models import tensorflow_runtime

__all__ = ["PLAIN", "PlainNetwork"]

_BATCH = 128


class PlainNetwork:
    """A Keras network as the examples train it: Adam, cross-entropy, 128 images to a batch.

    Parameters
    ----------
    layers
        Given Keras's layers and the side of an image, returns what stands between the pixels, ``(side, side, 1)``, and
        the ten probabilities.
    epochs
        Number of times that every image is seen.
    seed
        Of everything that is random.
    """

    def __init__(self, layers: Callable[[Any, int], list[Any]], *, epochs: int, seed: int) -> None:
        self._layers = layers
        self._epochs = epochs
        self._seed = seed

    def fit(self, X: NDArray[np.float32], y: NDArray[np.uint8]) -> Self:
        """Train on flattened square images, ``(n_samples, n_pixels)``."""
        _, keras = tensorflow_runtime.start(threads=1)
        keras.utils.set_random_seed(self._seed)
        side = round(X.shape[1] ** 0.5)
        layers = keras.layers
        self._model = keras.Sequential(
            [
                layers.Input((side * side,)),
                layers.Reshape((side, side, 1)),
                *self._layers(layers, side),
                layers.Dense(10, activation="softmax"),
            ]
        )
        self._model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
        self._model.fit(X, y, batch_size=_BATCH, epochs=self._epochs, verbose=0)
        return self

    def predict(self, X: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the most probable digit of each image."""
        proba = self._model.predict(X, batch_size=_BATCH, verbose=0)
        return np.asarray(proba.argmax(axis=1))


def _dense(layers: Any, side: int) -> list[Any]:
    return [layers.Flatten(), layers.Dense(128, activation="relu")]


def _convolutions(layers: Any, side: int) -> list[Any]:
    """Return the layers of Keras's example "Simple MNIST convnet"."""
    return [
        layers.Conv2D(32, 3, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Conv2D(64, 3, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Flatten(),
        layers.Dropout(0.5),
    ]


def _recurrent(layers: Any, side: int) -> list[Any]:
    """Return an LSTM that reads the rows from top to bottom."""
    return [layers.Reshape((side, side)), layers.LSTM(128)]


#: Family → the plain estimator for a seed, with ``fit`` and ``predict`` on flattened pixels from 0 to 1.
PLAIN: Mapping[str, Callable[[int], Any]] = MappingProxyType(
    {
        "logistic_regression": lambda seed: LogisticRegression(max_iter=100),
        "sgd": lambda seed: SGDClassifier(loss="log_loss", random_state=seed),
        "decision_tree": lambda seed: DecisionTreeClassifier(random_state=seed),
        "random_forest": lambda seed: RandomForestClassifier(random_state=seed),
        "extra_trees": lambda seed: ExtraTreesClassifier(random_state=seed),
        "gradient_boosting": lambda seed: HistGradientBoostingClassifier(random_state=seed),
        "k_nearest_neighbors": lambda seed: KNeighborsClassifier(),
        "svm": lambda seed: SVC(),
        "mlp": lambda seed: MLPClassifier(random_state=seed),
        "dense_network": lambda seed: PlainNetwork(_dense, epochs=20, seed=seed),
        "cnn": lambda seed: PlainNetwork(_convolutions, epochs=15, seed=seed),
        "rnn": lambda seed: PlainNetwork(_recurrent, epochs=10, seed=seed),
    }
)
