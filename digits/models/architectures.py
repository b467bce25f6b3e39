"""The networks: what is connected to what. They know nothing of training.

Every network takes pixels that were divided by the largest value (float32, from 0 to 1) and gives one logit per
class. Every layer has a name of its own, so that a saved network does not depend on what else was built in the process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["ARCHITECTURES", "cnn", "dense_network", "rnn"]

_MOMENTUM = 0.9  # of the running means of batch normalisation: small data sets have few steps to learn them in


class _Stack:
    """Layers on top of each other: numbers their names, and gives each the same dtype."""

    def __init__(self, keras: Any, *, shape: tuple[int, ...], dtype: str) -> None:
        self.keras = keras
        self.layers = keras.layers
        self.dtype = dtype
        self.inputs = keras.Input(shape, name="pixels")
        self.outputs = self.inputs
        self.depth = 0

    def add(self, kind: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Add a layer of a kind."""
        self.wrap(kind(*args, dtype=self.dtype, **kwargs))

    def wrap(self, layer: Any) -> None:
        """Add a layer that exists, under a name of its own."""
        self.depth += 1
        layer.name = f"{self.depth:02d}_{type(layer).__name__.lower()}"
        self.outputs = layer(self.outputs)

    def add_rectified(self, kind: Callable[..., Any], *args: Any, normalised: bool, **kwargs: Any) -> None:
        """Add a layer without biases, batch normalisation (which has some) where wanted, and a rectifier."""
        self.add(kind, *args, use_bias=False, kernel_initializer="he_normal", **kwargs)
        if normalised:
            self.add(self.layers.BatchNormalization, momentum=_MOMENTUM)
        self.add(self.layers.ReLU)

    def model(self, *, n_classes: int, dropout: float) -> Any:
        """Return the network: what was added, dropout and one logit per class."""
        if dropout:
            self.add(self.layers.Dropout, dropout)
        self.wrap(self.layers.Dense(n_classes, dtype="float32"))  # bfloat16 would round the logits to three digits
        return self.keras.Model(self.inputs, self.outputs, name="network")


def dense_network(
    keras: Any, *, shape: tuple[int, ...], n_classes: int, dtype: str, units: Sequence[int], dropout: float
) -> Any:
    """Return fully connected layers with batch normalisation, and dropout between them.

    Parameters
    ----------
    keras
        The module.
    shape
        Of one input: ``(n_features,)``.
    n_classes
        Number of logits.
    dtype
        Keras's name of the dtype policy of every layer but the last, which is float32.
    units
        Width of each hidden layer.
    dropout
        Share of each hidden layer's outputs that a training step leaves out.
    """
    stack = _Stack(keras, shape=shape, dtype=dtype)
    for position, n_units in enumerate(units):
        if dropout and position:
            stack.add(stack.layers.Dropout, dropout)
        stack.add_rectified(stack.layers.Dense, n_units, normalised=True)
    return stack.model(n_classes=n_classes, dropout=dropout)


def cnn(
    keras: Any,
    *,
    shape: tuple[int, ...],
    n_classes: int,
    dtype: str,
    stages: Sequence[Sequence[int]],
    strides: Sequence[int],
    normalised: Sequence[bool],
    dropout: float,
) -> Any:
    """Return stages of 3 x 3 convolutions, then global average pooling.

    Parameters
    ----------
    keras, n_classes, dtype
        As in `dense_network`.
    shape
        Of one input: ``(height, width, 1)``.
    stages
        For each stage, the number of filters of each of its convolutions.
    strides
        For each stage, the stride of its first convolution. Stride early: time goes with the area of the maps.
    normalised
        For each stage, whether its convolutions are batch-normalised. On a CPU normalising a large map takes longer
        than convolving it.
    dropout
        Share of the pooled features that a training step leaves out.
    """
    stack = _Stack(keras, shape=shape, dtype=dtype)
    for filters, first_stride, with_norm in zip(stages, strides, normalised, strict=True):
        for position, n_filters in enumerate(filters):
            stride = 1 if position else first_stride
            stack.add_rectified(stack.layers.Conv2D, n_filters, 3, strides=stride, padding="same", normalised=with_norm)
    stack.add(stack.layers.GlobalAveragePooling2D)
    return stack.model(n_classes=n_classes, dropout=dropout)


def rnn(
    keras: Any,
    *,
    shape: tuple[int, ...],
    n_classes: int,
    dtype: str,
    cell: str,
    units: int,
    rows_per_step: int,
    bidirectional: bool,
    dropout: float,
) -> Any:
    """Return a recurrent layer that reads the image from top to bottom.

    Parameters
    ----------
    keras, n_classes, dtype
        As in `dense_network`.
    shape
        Of one input: ``(height, width)``.
    cell
        ``"lstm"`` or ``"gru"``.
    units
        Width of the layer, in each direction.
    rows_per_step
        Number of rows read at once; must divide the height.
    bidirectional
        Whether a second layer reads from bottom to top.
    dropout
        Share of the last state that a training step leaves out.
    """
    height, width = shape
    if height % rows_per_step:
        raise ValueError(f"rows_per_step is {rows_per_step}, which does not divide the {height} rows of an image")
    stack = _Stack(keras, shape=shape, dtype=dtype)
    stack.add(stack.layers.Reshape, (height // rows_per_step, rows_per_step * width))
    kind = {"lstm": stack.layers.LSTM, "gru": stack.layers.GRU}[cell]
    layer = kind(units, dtype=dtype, name="reader")
    stack.wrap(stack.layers.Bidirectional(layer, dtype=dtype) if bidirectional else layer)
    return stack.model(n_classes=n_classes, dropout=dropout)


ARCHITECTURES: dict[str, Callable[..., Any]] = {"dense_network": dense_network, "cnn": cnn, "rnn": rnn}
