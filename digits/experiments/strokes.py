"""How a digit is written: how thick its strokes are, how they lean, how much room they take."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["LEVELS", "groups", "measure"]

#: What is measured → what little, some and much of it is called.
LEVELS = {
    "thickness": ("thin", "medium", "thick"),
    "slant": ("left", "upright", "right"),
    "size": ("small", "medium", "large"),
}

_CHUNK_ROWS = 4096


def measure(images: NDArray[np.uint8], *, max_value: int) -> dict[str, NDArray[np.float64]]:
    r"""Measure every image.

    Thickness is twice the ink's area over the length of its edge, the total variation: a stroke of length
    :math:`l` and width :math:`w` has an area of :math:`lw` and, for :math:`l \gg w`, an edge of :math:`2l`. Slant is
    :math:`\mu_{11} / \mu_{02}` of the ink's central moments, the shear that deskewing takes away (0.5: half a unit to
    the right for each unit upwards). Size is the root of the ink's variance about its centre.

    Parameters
    ----------
    images
        ``(n_samples, height, width)`` uint8 in ``[0, max_value]``.
    max_value
        Value of a pixel that is full of ink.

    Returns
    -------
    dict
        Name in `LEVELS` → ``(n_samples,)`` float64; lengths as shares of the longer side. A blank image measures 0.
    """
    chunks = [
        _measure(images[start : start + _CHUNK_ROWS], max_value=max_value)
        for start in range(0, len(images), _CHUNK_ROWS)
    ]
    return {name: np.concatenate([chunk[name] for chunk in chunks] or [np.empty(0)]) for name in LEVELS}


def groups(
    values: NDArray[np.float64], *, reference: NDArray[np.float64], names: tuple[str, ...]
) -> dict[str, NDArray[np.bool_]]:
    """Return name → ``(n_samples,)`` bool: who belongs to each group, whose borders halve, third, … the reference.

    Parameters
    ----------
    values
        ``(n_samples,)``.
    reference
        The values of other images, whose quantiles are the borders.
    names
        Of the groups, from the smallest values to the largest.
    """
    borders = np.quantile(reference, np.arange(1, len(names)) / len(names))
    place = np.searchsorted(borders, values, side="right")
    return {name: place == number for number, name in enumerate(names)}


def _measure(images: NDArray[np.uint8], *, max_value: int) -> dict[str, NDArray[np.float64]]:
    ink = np.pad(images, ((0, 0), (1, 1), (1, 1))).astype(np.float32) / max_value
    height, width = ink.shape[1:]
    side = max(images.shape[1:])
    area = ink.sum(axis=(1, 2), dtype=np.float64)
    down, across = np.diff(ink, axis=1)[:, :, :-1], np.diff(ink, axis=2)[:, :-1, :]
    edge = np.hypot(down, across).sum(axis=(1, 2), dtype=np.float64)
    rows, columns = ink.sum(axis=2, dtype=np.float64), ink.sum(axis=1, dtype=np.float64)
    y, x = np.arange(height), np.arange(width)
    centre_y, centre_x = _ratio(rows @ y, area), _ratio(columns @ x, area)
    variance_y = _ratio(rows @ y**2, area) - centre_y**2
    variance_x = _ratio(columns @ x**2, area) - centre_x**2
    products = np.einsum("nyx,y,x->n", ink, y.astype(np.float32), x.astype(np.float32), optimize=True)
    covariance = _ratio(products.astype(np.float64), area) - centre_y * centre_x
    return {
        "thickness": _ratio(2 * area, edge) / side,
        "slant": -_ratio(covariance, variance_y),
        "size": np.sqrt(np.maximum(0, variance_y + variance_x)) / side,
    }


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    ratio: NDArray[np.float64] = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
    return ratio
