"""What may happen to a picture on its way to a classifier, at graded strengths.

In the manner of MNIST-C (N. Mu and J. Gilmer, "MNIST-C: a robustness benchmark for computer vision", 2019), with
transforms of our own whose lengths are shares of the image's side, so that they mean the same at 8 x 8 and 28 x 28.
Knows images only: nothing of labels, families or scores.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["CORRUPTIONS", "Corruption", "corrupt"]

Images = NDArray[np.uint8]
Plane = NDArray[Any]  # float32, one image; OpenCV's types say less

#: Strokes are moved and thickened on images that are enlarged to at least this side, in pixels.
_SIDE = 112

#: Consecutive images are shifted in directions this far apart, which never come back: the golden angle.
_TURN = math.pi * (3 - math.sqrt(5))


@dataclass(frozen=True)
class Corruption:
    """One kind of harm.

    Attributes
    ----------
    name
        What happens.
    unit
        What its strengths are measured in, for people.
    strengths
        From mild to strong. The middle one is the reference strength.
    apply
        Harms one image, float32 in ``[0, 1]``, given the strength and the image's number.
    """

    name: str
    unit: str
    strengths: tuple[float, ...]
    apply: Callable[[Plane, float, int], Plane]

    @property
    def reference(self) -> float:
        """The strength by which families are compared."""
        return self.strengths[len(self.strengths) // 2]


def corrupt(images: Images, corruption: Corruption, strength: float, *, max_value: int) -> Images:
    """Return harmed copies of images; the same images give the same copies.

    Parameters
    ----------
    images
        ``(n_samples, height, width)`` uint8 in ``[0, max_value]``; ink is what is not 0.
    corruption, strength
        What happens to them, and how badly.
    max_value
        Value of a pixel that is full of ink.

    Returns
    -------
    ndarray
        ``(n_samples, height, width)`` uint8 in ``[0, max_value]``.
    """
    harmed = [
        corruption.apply(image.astype(np.float32) / max_value, strength, number) for number, image in enumerate(images)
    ]
    shares = np.clip(np.stack(harmed), 0, 1) if harmed else np.empty(images.shape)
    return np.rint(shares * max_value).astype(np.uint8)


def _enlarged(change: Callable[[Plane, float, int], Plane]) -> Callable[[Plane, float, int], Plane]:
    """Return the same change, made on an image whose pixels are enlarged to squares.

    What moves by less than a pixel is divided between pixels by the area that it covers, and no change is none: to
    enlarge between pixels would blur by half a pixel whatever is done, more than the mildest blur at 8 x 8.
    """

    def changed(image: Plane, strength: float, number: int) -> Plane:
        height, width = image.shape
        factor = max(1, round(_SIDE / max(height, width)))
        large = cv2.resize(image, (factor * width, factor * height), interpolation=cv2.INTER_NEAREST)
        return cv2.resize(change(large, strength, number), (width, height), interpolation=cv2.INTER_AREA)

    return changed


def _warp(image: Plane, linear: NDArray[np.float64], *, move: tuple[float, float] = (0, 0)) -> Plane:
    """Map a point p about the centre to ``linear @ p + move``; `move` is a share of width and height."""
    height, width = image.shape
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    offset = centre - linear @ centre + np.array(move) * (width, height)
    return cv2.warpAffine(image, np.column_stack([linear, offset]), (width, height), flags=cv2.INTER_LINEAR)


def _sign(number: int) -> int:
    return 1 if number % 2 else -1


@_enlarged
def _shift(image: Plane, strength: float, number: int) -> Plane:
    direction = number * _TURN
    return _warp(image, np.eye(2), move=(strength * math.cos(direction), strength * math.sin(direction)))


@_enlarged
def _rotate(image: Plane, strength: float, number: int) -> Plane:
    angle = math.radians(_sign(number) * strength)
    cosine, sine = math.cos(angle), math.sin(angle)
    return _warp(image, np.array([[cosine, -sine], [sine, cosine]]))


@_enlarged
def _shrink(image: Plane, strength: float, number: int) -> Plane:
    return _warp(image, np.eye(2) * strength)


@_enlarged
def _shear(image: Plane, strength: float, number: int) -> Plane:
    return _warp(image, np.array([[1, _sign(number) * strength], [0, 1]]))


@_enlarged
def _blur(image: Plane, strength: float, number: int) -> Plane:
    return cv2.GaussianBlur(image, (0, 0), strength * max(image.shape), borderType=cv2.BORDER_CONSTANT)


@_enlarged
def _thicken(image: Plane, strength: float, number: int) -> Plane:
    return cv2.dilate(image, _pen(image, strength))


@_enlarged
def _thin(image: Plane, strength: float, number: int) -> Plane:
    return cv2.erode(image, _pen(image, strength))


def _pen(image: Plane, strength: float) -> Plane:
    """Return a round pen that changes the thickness of a stroke by that share of the side."""
    diameter = 2 * round(strength * max(image.shape) / 2) + 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter, diameter))


def _noise(image: Plane, strength: float, number: int) -> Plane:
    drawn = np.random.default_rng(number).standard_normal(image.shape, dtype=np.float32)
    noisy: Plane = image + np.float32(strength) * drawn
    return noisy


def _fade(image: Plane, strength: float, number: int) -> Plane:
    faded: Plane = image * np.float32(strength)
    return faded


def _invert(image: Plane, strength: float, number: int) -> Plane:
    inverted: Plane = np.abs(np.float32(strength) - image)
    return inverted


CORRUPTIONS = (
    Corruption("shift", "of the side", (0.05, 0.1, 0.15), _shift),
    Corruption("rotation", "degrees", (10, 20, 30), _rotate),
    Corruption("scale", "times the size", (0.9, 0.75, 0.6), _shrink),
    Corruption("shear", "of the height", (0.15, 0.3, 0.45), _shear),
    Corruption("blur", "of the side", (0.03, 0.05, 0.08), _blur),
    Corruption("noise", "of full ink", (0.1, 0.2, 0.3), _noise),
    Corruption("contrast", "times the ink", (0.7, 0.4, 0.2), _fade),
    Corruption("inversion", "of full ink", (1.0,), _invert),
    Corruption("thick strokes", "of the side", (0.018, 0.036, 0.054), _thicken),
    Corruption("thin strokes", "of the side", (0.018, 0.036, 0.054), _thin),
)
