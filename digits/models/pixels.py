"""Images as rows of pixels: how large they are, in which type they are reckoned with, and moved in the frame."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["N_PLACES", "flattened", "moved", "pixels_of", "square_of"]

#: Where `moved` puts an image: where it is, and in four directions.
N_PLACES = 5


def flattened(X: ArrayLike) -> ArrayLike:
    """Return square images ``(n_samples, side, side)`` as ``(n_samples, n_features)``; anything else as it is."""
    if getattr(X, "ndim", 0) != 3:
        return X
    images = np.asarray(X)
    n_samples, height, width = images.shape
    if height != width:
        raise ValueError(f"images are {height} x {width} pixels, wanted square ones")
    return images.reshape(n_samples, height * width)


def moved(pixels: NDArray[Any], *, by: int) -> NDArray[Any]:
    """Return all images as they are, then all moved by so many pixels up, down, left and right; zeros come in.

    Parameters
    ----------
    pixels
        Square images, shape (n_samples, n_features).
    by
        Number of pixels.

    Returns
    -------
    ndarray of shape (N_PLACES * n_samples, n_features), of the same dtype

    Raises
    ------
    ValueError
        The images cannot be square.
    """
    n_samples, n_features = pixels.shape
    side, _ = square_of(n_features)
    wide = np.pad(pixels.reshape(-1, side, side), ((0, 0), (by, by), (by, by)))
    corners = ((by, by), (2 * by, by), (0, by), (by, 2 * by), (by, 0))
    places = [wide[:, top : top + side, left : left + side] for top, left in corners]
    return np.concatenate(places).reshape(N_PLACES * n_samples, n_features)


def pixels_of(X: NDArray[Any]) -> NDArray[Any]:
    """Return bytes as they are, so that MNIST stays at 47 MB, and everything else as float32."""
    return np.ascontiguousarray(X, dtype=np.uint8 if X.dtype == np.uint8 else np.float32)


def square_of(n_features: int) -> tuple[int, int]:
    """Return height and width of flattened images.

    Raises
    ------
    ValueError
        They cannot be square.
    """
    side = math.isqrt(n_features)
    if side**2 != n_features:
        raise ValueError(
            f"flattened images must be square, found n_features = {n_features}; "
            "pass images of shape (n_samples, height, width)"
        )
    return side, side
