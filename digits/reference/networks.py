"""The neural systems: a dense network on MNIST with Keras, a small perceptron on digits with scikit-learn."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from digits.data.split import Split
from digits.experiments.plots import learning_curves
from digits.models import tensorflow_runtime
from digits.reference.system import Images, Options, Outcome

__all__ = ["dense", "perceptron"]


def dense(
    split: Split, options: Options, *, units: int, batch_size: int, epochs: int, validation_split: float
) -> Outcome:
    """Fit Flatten → Dense → Dense with Adam, and say whether it over-fits."""
    _, keras = tensorflow_runtime.start(threads=1)
    train, test = Images.of(split, split.development()), Images.of(split, split.test())
    height, width = split.snapshot.height, split.snapshot.width
    with tensorflow_runtime.LOCK:
        keras.utils.set_random_seed(0)
        layers = keras.layers
        network = keras.Sequential(
            [
                layers.Input((height, width)),
                layers.Flatten(),
                layers.Dense(units, activation="relu"),
                layers.Dense(10, activation="softmax"),
            ]
        )
        network.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        fitted = network.fit(
            _shares(train, split),
            train.y,
            batch_size=batch_size,
            epochs=epochs,
            validation_split=validation_split,
            verbose=0,
        )
        _, accuracy = network.evaluate(_shares(test, split), test.y, verbose=0)
    history: dict[str, list[float]] = fitted.history
    n_samples = round(len(train.y) * (1 - validation_split))
    return Outcome(
        accuracy=float(accuracy),
        metrics={"training_accuracy": history["accuracy"][-1], "validation_accuracy": history["val_accuracy"][-1]},
        figures={
            "learning_curves.png": learning_curves(
                history, dataset=split.snapshot.dataset, family="a dense network", n_samples=n_samples
            )
        },
        texts={"over-fitting.txt": _overfitting(history)},
        statement=_overfitting(history).strip(),
    )


def perceptron(split: Split, options: Options, *, train_rows: int, **params: Any) -> Outcome:
    """Fit a perceptron with one small hidden layer to the first rows of digits, and score it on the others."""
    everything = Images.of(split, np.arange(split.snapshot.n_samples))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it stops where the tutorial stopped
        network = MLPClassifier(**params).fit(everything.X[:train_rows], everything.y[:train_rows])
    accuracy = network.score(everything.X[train_rows:], everything.y[train_rows:])
    curve = learning_curves(
        {"loss": list(network.loss_curve_)}, dataset=split.snapshot.dataset, family="a perceptron", n_samples=train_rows
    )
    return Outcome(accuracy=float(accuracy), metrics={"epochs": network.n_iter_}, figures={"loss_curve.png": curve})


def _shares(images: Images, split: Split) -> Any:
    shape = (len(images.X), split.snapshot.height, split.snapshot.width)
    return images.X.reshape(shape).astype(np.float32) / split.snapshot.max_value


def _overfitting(history: dict[str, list[float]]) -> str:
    """Return in words how far the network knows its training images better than others, and since when."""
    gap = history["accuracy"][-1] - history["val_accuracy"][-1]
    best = int(np.argmin(history["val_loss"])) + 1
    epochs = len(history["val_loss"])
    verdict = "It over-fits" if best < epochs and gap > 0 else "It does not over-fit yet"
    return (
        f"{verdict}: after {epochs} epochs it is right on {100 * history['accuracy'][-1]:.2f} % of its training images "
        f"and on {100 * history['val_accuracy'][-1]:.2f} % of the validation images, {100 * gap:.2f} points less. "
        f"The validation loss was lowest after epoch {best}.\n"
    )
