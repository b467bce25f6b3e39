"""Training a network: a whole epoch is one call into TensorFlow, traced once and used by every fit like it.

Tracing the training step takes longer than training on a thousand small images does, and cross-validation fits the
same network six times. So the traced step is kept, and a fit only sets its variables.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits.models.architectures import ARCHITECTURES
from digits.models.augmentation import distort

__all__ = ["Recipe", "Trainer", "build_network", "copy_variables", "trainer_for"]

_EVALUATED_AT_ONCE = 256  # maps of more images leave the processor's cache
_KEPT_TRAINERS = 3  # the three families take turns in a worker; each keeps a graph and four copies of its weights


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that the traced training step depends on.

    Attributes
    ----------
    network
        Name in ``ARCHITECTURES``.
    network_params
        Its parameters, as sorted pairs with tuples in place of lists, so that the recipe can be looked up.
    shape
        Shape of one input of the network.
    n_classes
        Number of classes.
    dtype
        ``"float32"`` or ``"mixed_bfloat16"``: what training computes in.
    pixel_dtype
        Name of the dtype of the images handed over.
    augmented
        Whether images are distorted.
    label_smoothing
        Share of the target that is spread over all classes.
    weight_decay
        Of AdamW, on weights but not on biases and normalisation.
    """

    network: str
    network_params: tuple[tuple[str, Any], ...]
    shape: tuple[int, ...]
    n_classes: int
    dtype: str
    pixel_dtype: str
    augmented: bool
    label_smoothing: float
    weight_decay: float


@lru_cache(maxsize=_KEPT_TRAINERS)
def trainer_for(recipe: Recipe) -> Trainer:
    """Return the process's trainer for a recipe, made when it is first asked for."""
    import keras
    import tensorflow as tf

    return Trainer(recipe, tf=tf, keras=keras)


def build_network(keras: Any, *, recipe: Recipe, dtype: str) -> Any:
    """Return a new network of a recipe, computing in `dtype`, with weights drawn from Keras's global seed."""
    return ARCHITECTURES[recipe.network](
        keras, shape=recipe.shape, n_classes=recipe.n_classes, dtype=dtype, **dict(recipe.network_params)
    )


class Trainer:
    """A network, its optimizer and their traced epoch. Not for two threads at once.

    Parameters
    ----------
    recipe
        What to train.
    tf, keras
        The modules.
    """

    def __init__(self, recipe: Recipe, *, tf: Any, keras: Any) -> None:
        self.recipe = recipe
        self._tf = tf
        self.network = build_network(keras, recipe=recipe, dtype=recipe.dtype)
        self._optimizer = keras.optimizers.AdamW(learning_rate=0.0, weight_decay=recipe.weight_decay)
        self._optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
        self._optimizer.build(self.network.trainable_variables)
        side = math.isqrt(math.prod(recipe.shape))
        self._frame = (-1, side, side, 1)
        pixels = tf.TensorSpec((None, math.prod(recipe.shape)), recipe.pixel_dtype)
        labels, scale = tf.TensorSpec((None,), tf.int32), tf.TensorSpec((), tf.float32)
        # Without autograph: the code below names TensorFlow's own loop, and tracing is twice as fast.
        self._epoch = tf.function(
            self._traced_epoch,
            autograph=False,
            input_signature=[
                pixels,
                labels,
                scale,
                tf.TensorSpec((None, None), tf.int32),
                tf.TensorSpec((None, None, 8), tf.float32),
                tf.TensorSpec((None,), tf.float32),
            ],
        )
        self._evaluation = tf.function(
            self._traced_evaluation, autograph=False, input_signature=[pixels, labels, scale]
        )

    def start_from(self, network: Any) -> None:
        """Forget what was learned: take the variables of another network of the recipe, and a fresh optimizer."""
        copy_variables(network, self.network)
        for variable in self._optimizer.variables:
            variable.assign(self._tf.zeros(variable.shape, variable.dtype))

    def epoch(
        self,
        X: Any,
        y: Any,
        *,
        scale: float,
        order: NDArray[np.int32],
        transforms: NDArray[np.float32],
        rates: NDArray[np.float32],
    ) -> tuple[float, float]:
        """Train for an epoch.

        Parameters
        ----------
        X
            Tensor of shape (n_samples, n_features), the images.
        y
            Tensor of shape (n_samples,), int32, classes counted from 0.
        scale
            What pixels are divided by.
        order
            Of shape (n_batches, batch_size), from ``schedule.batches``.
        transforms
            Of shape (n_batches, batch_size, 8), from ``random_transforms``; only read if the recipe is augmented.
        rates
            Of shape (n_batches,), the learning rates.

        Returns
        -------
        tuple of float
            Mean loss and accuracy over the epoch's batches, as they were met.
        """
        loss, accuracy = self._epoch(X, y, scale, order, transforms, rates)
        return float(loss), float(accuracy)

    def evaluate(self, X: NDArray[Any], y: NDArray[np.int32], *, scale: float) -> tuple[float, float]:
        """Return cross-entropy (without label smoothing) and accuracy on images that are not trained on."""
        sums = np.zeros(2)
        for rows in _chunks(len(X)):
            sums += [float(value) for value in self._evaluation(X[rows], y[rows], scale)]
        loss, accuracy = sums / len(X)
        return float(loss), float(accuracy)

    def _traced_epoch(self, X: Any, y: Any, scale: Any, order: Any, transforms: Any, rates: Any) -> Any:  # noqa: PLR0917 - TensorFlow's signature is positional
        tf = self._tf
        n_batches = tf.shape(order)[0]

        def step(i: Any, loss_sum: Any, accuracy_sum: Any) -> Any:
            rows = order[i]
            pixels = tf.cast(tf.gather(X, rows), tf.float32) / scale
            if self.recipe.augmented:
                pixels = distort(tf, tf.reshape(pixels, self._frame), transforms=transforms[i])
            self._optimizer.learning_rate.assign(rates[i])
            loss, accuracy = self._step(tf.reshape(pixels, (-1, *self.recipe.shape)), tf.gather(y, rows))
            return i + 1, loss_sum + loss, accuracy_sum + accuracy

        _, loss_sum, accuracy_sum = tf.while_loop(
            lambda i, *_: i < n_batches, step, (tf.constant(0), 0.0, 0.0), parallel_iterations=1
        )
        return loss_sum / tf.cast(n_batches, tf.float32), accuracy_sum / tf.cast(n_batches, tf.float32)

    def _step(self, pixels: Any, classes: Any) -> tuple[Any, Any]:
        tf, recipe = self._tf, self.recipe
        target = tf.one_hot(classes, recipe.n_classes) * (1 - recipe.label_smoothing)
        target += recipe.label_smoothing / recipe.n_classes
        with tf.GradientTape() as tape:
            logits = self.network(pixels, training=True)
            loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(target, logits))
        variables = self.network.trainable_variables
        self._optimizer.apply(tape.gradient(loss, variables), variables)
        return loss, _accuracy(tf, logits, classes=classes)

    def _traced_evaluation(self, X: Any, y: Any, scale: Any) -> tuple[Any, Any]:
        tf = self._tf
        pixels = tf.reshape(tf.cast(X, tf.float32) / scale, (-1, *self.recipe.shape))
        logits = self.network(pixels, training=False)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits)
        return tf.reduce_sum(losses), _accuracy(tf, logits, classes=y) * tf.cast(tf.shape(y)[0], tf.float32)


def copy_variables(source: Any, target: Any) -> None:
    """Give one network the values of another's variables: weights, running means and states of seeds."""
    for ours, theirs in zip(target.variables, source.variables, strict=True):
        ours.assign(theirs)


def _accuracy(tf: Any, logits: Any, *, classes: Any) -> Any:
    return tf.reduce_mean(tf.cast(tf.equal(tf.argmax(logits, axis=1, output_type=tf.int32), classes), tf.float32))


def _chunks(n_samples: int) -> Iterator[slice]:
    return (slice(start, start + _EVALUATED_AT_ONCE) for start in range(0, n_samples, _EVALUATED_AT_ONCE))
