"""A Keras network as a scikit-learn classifier of raw images.

It knows how images and labels become tensors and probabilities; what the network looks like stands in
``architectures``, how it is trained in ``training``.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from digits.models import tensorflow_runtime
from digits.models.augmentation import random_transforms
from digits.models.pixels import N_PLACES, flattened, moved, pixels_of, square_of
from digits.models.processor import has_bfloat16
from digits.models.schedule import batches, one_cycle
from digits.models.training import Recipe, Trainer, build_network, copy_variables, trainer_for

__all__ = ["KerasClassifier"]

log = logging.getLogger(__name__)

_PREDICTED_AT_ONCE = 256  # maps of more images leave the processor's cache
_ROWS_OF_A_TILE = 16  # the last rows of a product that no tile is left for are computed in another order


class KerasClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Network trained with AdamW, one cycle of the learning rate, and images that are distorted anew in every epoch.

    The same data, parameters and `random_state` give the same bits, whatever was fitted before in the process.
    Training may compute in bfloat16; the fitted network always computes in float32, so that it predicts alike on
    processors without bfloat16.

    Parameters
    ----------
    network
        Name of an architecture: ``"dense_network"`` takes any vector, ``"cnn"`` and ``"rnn"`` square images.
    network_params
        Parameters of the architecture; see ``architectures``.
    epochs
        Number of times that every training image is seen. There is no early stopping.
    batch_size
        Number of images in a step.
    learning_rate
        Largest learning rate of the cycle.
    warm_up
        Share of the steps during which the learning rate rises.
    weight_decay
        Of AdamW (I. Loshchilov, F. Hutter, 2017, arXiv:1711.05101), on weights but not on biases and normalisation.
    label_smoothing
        Share of the target that is spread over all classes.
    augmentation
        Bounds ``rotation``, ``scale``, ``shear`` and ``shift`` of `random_transforms`, or None to leave images alone.
    test_time_shift
        Predictions are the mean over an image and itself moved by so many pixels up, down, left and right; 0 for the
        image alone.
    dtype
        What training computes in: ``"float32"`` or ``"mixed_bfloat16"`` (weights in float32 nevertheless).
    threads
        Number of threads of an operation. Fixed when a process first uses TensorFlow.
    random_state
        Seeds weights, order, dropout and augmentation.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels met in fit, sorted.
    history_ : dict of str to list of float
        ``loss`` and ``accuracy`` on the distorted training images as they were met, one value per epoch, and
        ``val_loss`` and ``val_accuracy``, of images that are not moved, where fit was given validation data.
    model_ : keras.Model
        The network: pixels divided by ``scale_`` in, logits out.
    n_features_in_ : int
        Number of pixels of an image.
    scale_ : float
        The largest pixel value met in fit.
    """

    def __init__(
        self,
        network: str = "dense_network",
        *,
        network_params: Mapping[str, Any] | None = None,
        epochs: int = 10,
        batch_size: int = 128,
        learning_rate: float = 1e-3,
        warm_up: float = 0.2,
        weight_decay: float = 0.0,
        label_smoothing: float = 0.0,
        augmentation: Mapping[str, float] | None = None,
        test_time_shift: int = 0,
        dtype: str = "float32",
        threads: int = 1,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.network = network
        self.network_params = network_params
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.warm_up = warm_up
        self.weight_decay = weight_decay
        self.label_smoothing = label_smoothing
        self.augmentation = augmentation
        self.test_time_shift = test_time_shift
        self.dtype = dtype
        self.threads = threads
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike, validation_data: tuple[ArrayLike, ArrayLike] | None = None) -> Self:
        """Train the network from scratch.

        Parameters
        ----------
        X
            Images of shape (n_samples, side, side), or flattened to (n_samples, n_features), from 0 upwards.
        y
            Labels, shape (n_samples,).
        validation_data
            Images and labels that are scored after each epoch, for ``history_`` alone: they change nothing.

        Returns
        -------
        KerasClassifier
            Itself, fitted.

        Raises
        ------
        ValueError
            If images and labels do not belong together, are not finite, are not square where the network needs them
            to be, validation labels were not in `y`, or the processor has no bfloat16 and `dtype` wants it.
        """
        if self.dtype == "mixed_bfloat16" and not has_bfloat16():
            raise ValueError("found no bfloat16 in this processor, which dtype mixed_bfloat16 wants; set dtype: auto")
        images, labels = validate_data(self, flattened(X), y)
        check_classification_targets(labels)
        self.classes_, classes = np.unique(labels, return_inverse=True)
        pixels = pixels_of(images)
        self.scale_ = float(np.abs(pixels).max()) or 1.0
        validation = None if validation_data is None else self._validation(*validation_data)
        seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        recipe = self._recipe(pixels)
        with tensorflow_runtime.LOCK:  # the trainer is shared by every fit of the process
            tf, keras = tensorflow_runtime.start(threads=self.threads)
            with tensorflow_runtime.seeded(seed=seed):
                self.model_ = build_network(keras, recipe=recipe, dtype="float32")
                trainer = trainer_for(recipe)
            trainer.start_from(self.model_)
            tensors = tf.constant(pixels), tf.constant(classes, tf.int32)
            self.history_ = self._train(trainer, *tensors, validation=validation, rng=np.random.default_rng(seed))
            copy_variables(trainer.network, self.model_)
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the probability of each class.

        Parameters
        ----------
        X
            Images as in `fit`, of the same size.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), float64
            Rows sum to 1; columns in the order of ``classes_``.

        Raises
        ------
        ValueError
            If the images are of another size than those of `fit`, or not finite.
        """
        check_is_fitted(self, "model_")
        pixels = pixels_of(validate_data(self, flattened(X), reset=False))
        at_once = _PREDICTED_AT_ONCE // (N_PLACES if self.test_time_shift else 1)
        return np.concatenate([self._proba(rows) for rows in np.split(pixels, range(at_once, len(pixels), at_once))])

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the most probable label of each image, shape (n_samples,); see `predict_proba`."""
        best = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[best])

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the network, which is saved as ``.keras`` and set again on ``model_``."""
        return {name: value for name, value in super().__getstate__().items() if name != "model_"}

    def _proba(self, pixels: NDArray[Any]) -> NDArray[np.float64]:
        """Return the probabilities of a few images; where they are moved, the means over all places."""
        rows = moved(pixels, by=self.test_time_shift) if self.test_time_shift else pixels
        # Full tiles alone: of an image's probabilities, at most a CNN's last bits depend on the others asked about.
        whole = np.pad(rows, ((0, -len(rows) % _ROWS_OF_A_TILE), (0, 0)))
        tensor = (whole / np.float32(self.scale_)).reshape(-1, *self.model_.input_shape[1:])
        logits = np.asarray(self.model_(tensor, training=False))[: len(rows)]
        proba = softmax(logits.astype(np.float64), axis=1)
        return np.asarray(proba.reshape(-1, len(pixels), len(self.classes_)).mean(axis=0))

    def _validation(self, X: ArrayLike, y: ArrayLike) -> tuple[NDArray[Any], NDArray[np.int32]]:
        images, labels = validate_data(self, flattened(X), y, reset=False)
        if len(unknown := np.setdiff1d(labels, self.classes_)):
            raise ValueError(f"validation_data holds labels {unknown.tolist()}, wanted those of y")
        return pixels_of(images), np.searchsorted(self.classes_, labels).astype(np.int32)

    def _recipe(self, X: NDArray[Any]) -> Recipe:
        side = math.isqrt(self.n_features_in_)
        shapes = {"cnn": (side, side, 1), "rnn": (side, side), "dense_network": (self.n_features_in_,)}
        shape = shapes[self.network]
        if len(shape) > 1 or self.augmentation or self.test_time_shift:
            square_of(self.n_features_in_)
        return Recipe(
            network=self.network,
            network_params=_hashable(self.network_params or {}),
            shape=shape,
            n_classes=len(self.classes_),
            dtype=self.dtype,
            pixel_dtype=X.dtype.name,
            augmented=self.augmentation is not None,
            label_smoothing=self.label_smoothing,
            weight_decay=self.weight_decay,
        )

    def _train(
        self,
        trainer: Trainer,
        X: Any,
        y: Any,
        *,
        validation: tuple[NDArray[Any], NDArray[np.int32]] | None,
        rng: np.random.Generator,
    ) -> dict[str, list[float]]:
        """Run the epochs; return their history."""
        n_samples, n_features = X.shape
        steps = len(batches(n_samples, batch_size=self.batch_size, rng=rng))
        rates = one_cycle(self.epochs * steps, peak=self.learning_rate, warm_up=self.warm_up).reshape(-1, steps)
        side = math.isqrt(n_features)
        history: dict[str, list[float]] = {"loss": [], "accuracy": []}
        if validation is not None:
            history |= {"val_loss": [], "val_accuracy": []}
        for epoch in range(self.epochs):
            order = batches(n_samples, batch_size=self.batch_size, rng=rng)
            transforms = np.zeros((steps, 1, 8), np.float32)
            if self.augmentation is not None:
                transforms = random_transforms(order.size, side=side, rng=rng, **self.augmentation)
            figures: tuple[float, ...] = trainer.epoch(
                X, y, scale=self.scale_, order=order, transforms=transforms.reshape(steps, -1, 8), rates=rates[epoch]
            )
            if validation is not None:
                figures += trainer.evaluate(*validation, scale=self.scale_)
            for name, value in zip(history, figures, strict=True):
                history[name].append(value)
            log.debug("epoch %d of %d: %s", epoch + 1, self.epochs, figures)
        return history


def _hashable(params: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Return parameters as sorted pairs with tuples in place of lists."""

    def frozen(value: Any) -> Any:
        return tuple(frozen(item) for item in value) if isinstance(value, list | tuple) else value

    return tuple(sorted((name, frozen(value)) for name, value in params.items()))
