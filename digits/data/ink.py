"""Where the ink is in a picture: paper, polarity, colour, transparency and light taken away, the strokes left.

Knows nothing of frames and datasets (``images``): it takes a decoded picture of any size and gives a map of ink in
``[0, 1]``. The paper is what the border shows; ink is whatever differs from it, lighter or darker or of another colour.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from digits.errors import BlankPictureError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["EDGE", "ink_map"]

Array = NDArray[np.float32]

# A picture is worked on at this many pixels a side: some thirty times finer than any frame, and 10 ms of work.
_WORK_SIDE = 1024
_BYTE = np.float32(255)
# Ink lighter than this counts as the soft edge of a stroke, not as its body.
EDGE = 0.15
# Ink and paper must differ by this share of the value range (15 of 255: hard pencil on white), ...
_MIN_CONTRAST = 0.06
# ... and by this many standard deviations of the paper's grain: the extremes of mere noise reach four.
_MIN_SIGNAL_TO_NOISE = 6.0
# Paper has grain where this share of it is further from the ink than the paper's level; pure grain puts a half there.
_GRAINY = 0.1
# Grain below this many standard deviations is taken away, ...
_GRAIN_DEVIATIONS = 3.0
# ... but never more than this share of the ink itself.
_MAX_GRAIN = 0.4
# Spots smaller than this share of the largest stroke are dust; the dot-like parts of broken strokes are larger.
_DUST = 0.03
# Evenly lit paper shows itself within this distance of its level on at least half of the border; ink may be the rest.
_EVEN = 0.015
# Smaller pictures are scans and drawings: they have no shadows, and too few pixels to tell a shadow from a stroke.
_MIN_SIDE_FOR_LIGHT = 64
# A digit leaves more than this share of its bounding box open; a visible part that fills more is paper.
_PAPER_COVER = 0.7


def ink_map(image: Image) -> Array:
    """Return how much ink each pixel of a picture holds.

    Parameters
    ----------
    image
        A decoded picture of any mode and size that shows one digit; upright (EXIF rotation already applied).

    Returns
    -------
    Array
        ``(height, width)`` float32 in ``[0, 1]``, 0 for paper and 1 for full ink. Pictures larger than 1024 pixels a
        side come back reduced by a whole factor.

    Raises
    ------
    BlankPictureError
        The picture is blank: all one colour, fully transparent, or nothing but grain.
    """
    values = _values(image)
    ink, grain = _ink_and_grain(values - _paper(values))
    return _without_dust(np.clip((ink - grain) / (1 - grain), 0, 1))


def _values(image: Image) -> Array:
    """Return the picture as ``(height, width, channels)`` float32 in ``[0, 1]``, transparency resolved."""
    if image.mode[0] in "IF":
        return _floats(_deep(image))[..., None]
    if image.has_transparency_data:
        return _without_transparency(_floats(image.convert("RGBA")) / _BYTE)
    image = image.convert("L" if image.mode in ("1", "L") else "RGB")
    values = _floats(image) / _BYTE
    return values if values.ndim == 3 else values[..., None]


def _deep(image: Image) -> Image:
    """Return a picture of 16 or 32 bits as floats in ``[0, 1]``: such pictures seldom use the whole range."""
    from PIL import Image as Pillow

    values = np.nan_to_num(np.asarray(image, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = values.min(), values.max()
    return Pillow.fromarray(((values - low) / max(high - low, np.finfo(np.float64).tiny)).astype(np.float32))


def _floats(image: Image) -> Array:
    """Return the values of a picture, averaged over whole blocks of pixels where it is larger than it need be."""
    factor = -(-max(image.size) // _WORK_SIDE)
    if factor > 1:
        image = image.reduce((min(factor, image.width), min(factor, image.height)))
    return np.asarray(image, dtype=np.float32)


def _without_transparency(rgba: Array) -> Array:
    """Return what a partly transparent picture shows: the shape that is visible, or the ink on visible paper."""
    colour, alpha = rgba[..., :3], rgba[..., 3]
    if alpha.max() < _MIN_CONTRAST:
        raise BlankPictureError("the picture is blank: fully transparent; draw a digit")
    if alpha.max() - alpha.min() < _MIN_CONTRAST:
        return colour
    visible = alpha > (alpha.min() + alpha.max()) / 2
    rows, columns = np.flatnonzero(visible.any(1)), np.flatnonzero(visible.any(0))
    cover = visible[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].mean()
    low, high = np.percentile(colour[visible], [2, 98], axis=0)
    if cover > _PAPER_COVER and np.max(high - low) > 2 * _MIN_CONTRAST:
        paper = np.median(colour[visible], axis=0).astype(np.float32)
        opacity = alpha[..., None]
        return np.asarray(colour * opacity + paper * (1 - opacity), dtype=np.float32)
    # A frame of nothing around it: an export cropped to the strokes would else show ink at its border.
    return np.asarray(np.pad(alpha - alpha.min(), 1)[..., None], dtype=np.float32)


def _paper(values: Array) -> Array:
    """Return the colour of the paper, ``(1, 1, channels)``, or at every pixel where the light is uneven."""
    height, width, channels = values.shape
    depth = max(1, min(height, width) // 50)
    border = np.ones((height, width), dtype=bool)
    border[depth : height - depth, depth : width - depth] = False
    level = np.median(values[border], axis=0).astype(np.float32)
    even = np.abs(values[border] - level).max(axis=1) <= _EVEN
    if even.mean() >= 0.5 or min(height, width) < _MIN_SIDE_FOR_LIGHT:
        return level.reshape(1, 1, channels)
    return _light(values, border=border)


def _light(values: Array, *, border: NDArray[np.bool_]) -> Array:
    """Fit a plane to the border, then a quadratic surface to all that is not ink, and return it.

    A few rounds of trimmed least squares: what stands out of the surface (Otsu's threshold) is ink and not fitted.
    """
    height, width, channels = values.shape
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1).astype(np.float32)
    # Every pixel counts in the surface, a thousandth of them is enough to fit its eighteen numbers.
    step = max(1, max(height, width) // 128)
    some, some_values = terms[::step, ::step].reshape(-1, 6), values[::step, ::step].reshape(-1, channels)
    plane, *_ = np.linalg.lstsq(terms[border][:, :3], values[border], rcond=None)
    surface = np.vstack([plane, np.zeros((3, channels), np.float32)])
    for _ in range(4):
        distance = np.linalg.norm(some_values - some @ surface, axis=1)
        paper = distance <= _otsu(distance)
        surface, *_ = np.linalg.lstsq(some[paper], some_values[paper], rcond=None)
    return np.asarray(terms @ surface, dtype=np.float32)


def _ink_and_grain(difference: Array) -> tuple[Array, float]:
    """Return the ink, 1 where it is full, and the level below which it is mere grain of the paper.

    Colour is projected on the line from paper to ink, so that noise across that line, and glare on its far side, go.
    """
    distance = np.linalg.norm(difference, axis=2)
    if distance.max() < _MIN_CONTRAST / 2:
        raise BlankPictureError("the picture is blank: all one colour; draw a digit")
    strokes = distance > _otsu(distance)
    direction = difference[strokes].mean(axis=0)
    projected = difference @ (direction / max(float(np.linalg.norm(direction)), 1e-6))
    full = float(np.percentile(projected[strokes], 95))
    grain = _grain(projected, strokes=strokes)
    if full < _MIN_CONTRAST or full < _MIN_SIGNAL_TO_NOISE * grain:
        raise BlankPictureError(
            f"the picture is blank: contrast {full:.3f}, wanted at least "
            f"{max(_MIN_CONTRAST, _MIN_SIGNAL_TO_NOISE * grain):.3f}; draw with a darker pen"
        )
    return np.asarray(projected / full, dtype=np.float32), min(_MAX_GRAIN, _GRAIN_DEVIATIONS * grain / full)


def _grain(projected: Array, *, strokes: NDArray[np.bool_]) -> float:
    """Return the standard deviation of the paper's grain, the smaller of two estimates (medians, for a normal grain).

    Grain strays to both sides of the paper's level, the soft edges of strokes to the side of the ink: so the first
    estimate looks at the other side alone. Grain is rough, a wrong guess of the paper's level is not: so the second
    looks at curvature, which level and slope leave at nought.
    """
    paper = projected[~strokes]
    away = -paper[paper < 0]
    if len(away) < _GRAINY * len(paper) or min(projected.shape) < 5:
        return 0.0
    curvature = projected[:, :-4] - 2 * projected[:, 2:-2] + projected[:, 4:]
    rough = np.abs(curvature[~strokes[:, 2:-2]])
    return 1.4826 * float(min(np.median(away), np.median(rough) / np.sqrt(6)))


def _without_dust(ink: Array) -> Array:
    import cv2

    mask = (ink > EDGE).astype(np.uint8)
    count, components, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA]
    areas[0] = 0  # the paper
    dust = areas < _DUST * areas.max()
    dust[0] = False
    if count > 1 and dust.any():
        spots = cv2.dilate(dust[components].astype(np.uint8), np.ones((3, 3), np.uint8))
        ink = np.where((spots > 0) & ~((mask > 0) & ~dust[components]), np.float32(0), ink)
    return ink


def _otsu(values: Array) -> float:
    """Return the threshold that best separates `values` in two (Otsu, IEEE Trans. SMC 9(1):62-66, 1979)."""
    # In float64: between two neighbours in float32 there is no room for so many bins.
    counts, edges = np.histogram(values.astype(np.float64), bins=256)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts).astype(np.float64)
    above = below[-1] - below
    sums = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(edges[1 + int(np.argmax(np.nan_to_num(between[:-1], posinf=0.0)))])
