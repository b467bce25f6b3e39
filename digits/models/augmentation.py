"""Random affine distortions of training images: what another hand, or a pen held otherwise, would have done."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["distort", "random_transforms"]


def random_transforms(
    n_samples: int, *, side: int, rotation: float, scale: float, shear: float, shift: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Draw an affine map for each image, uniformly within bounds, about the centre of the frame.

    Parameters
    ----------
    n_samples
        Number of maps.
    side
        Height and width of the frame in pixels.
    rotation
        Largest rotation, in degrees.
    scale
        Largest relative change of size, drawn for each axis: 0.1 gives factors from 0.9 to 1.1.
    shear
        Largest shear, in degrees: how far a vertical stroke leans.
    shift
        Largest shift along each axis, as a share of `side`.
    rng
        Where the randomness comes from.

    Returns
    -------
    ndarray of shape (n_samples, 8), float32
        Rows ``a0, a1, a2, b0, b1, b2, 0, 0``: the pixel at ``(x, y)`` of the result is read from
        ``(a0 x + a1 y + a2, b0 x + b1 y + b2)``, as TensorFlow's ``ImageProjectiveTransformV3`` wants them.
    """
    angle, lean, factor_x, factor_y, shift_x, shift_y = rng.uniform(-1, 1, size=(6, n_samples)) * np.array(
        [np.deg2rad(rotation), np.deg2rad(shear), scale, scale, shift * side, shift * side]
    ).reshape(6, 1)
    cos, sin, tan = np.cos(angle), np.sin(angle), np.tan(lean)
    linear = np.array([[cos, cos * tan - sin], [sin, sin * tan + cos]])  # rotation after shear, (2, 2, n_samples)
    linear *= np.array([1 + factor_x, 1 + factor_y])  # after scaling along the axes of the frame
    centre = (side - 1) / 2
    offset = centre - linear.sum(axis=1) * centre + np.array([shift_x, shift_y])
    rows = np.zeros((n_samples, 8), dtype=np.float32)
    rows[:, [0, 1, 3, 4]] = linear.reshape(4, n_samples).T
    rows[:, [2, 5]] = offset.T
    return rows


def distort(tf: Any, images: Any, *, transforms: Any) -> Any:
    """Apply `random_transforms` to images, bilinearly, with zeros beyond the frame.

    Parameters
    ----------
    tf
        The module ``tensorflow``.
    images
        Tensor of shape (n_samples, side, side, 1), float32.
    transforms
        Tensor of shape (n_samples, 8), float32.

    Returns
    -------
    tensor
        Of the shape and dtype of `images`, within their range of values.
    """
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=transforms,
        output_shape=tf.shape(images)[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
