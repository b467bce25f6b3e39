"""What an estimator sees of an image: its pixels, or the orientation of its strokes.

Both transformers take raw images, ``(n_samples, height, width)`` or the same flattened, of any numeric type and
range; what an image becomes depends on that image and on what `fit` saw, never on the others in its batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, Self, cast

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from digits.models.pixels import square_of

__all__ = ["FeatureName", "Hog", "Pixels", "features"]

FeatureName = Literal["pixels", "hog"]

# 28 x 28 pixels in cells of 7 x 7; blocks of 2 x 2 cells, half overlapping: 3 x 3 blocks x 4 cells x 12 bins = 432.
_SIDE, _BLOCK, _STRIDE, _CELL, _BINS = 28, 14, 7, 7, 12
# How much of the frame the digits fill: 24 of 28 pixels.
_FILLED = 24 / 28
_N_HOG = ((_SIDE - _BLOCK) // _STRIDE + 1) ** 2 * (_BLOCK // _CELL) ** 2 * _BINS
_CHUNK = 1024


def features(name: FeatureName) -> BaseEstimator:
    """Return the unfitted transformer called `name`."""
    return {"pixels": Pixels, "hog": Hog}[name]()


class _ImageTransformer(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn carries no types
    """Learns the largest value, so that images of 0 to 16 and of 0 to 255 come out alike."""

    scale_: float
    n_features_in_: int

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Learn the shape of the images and their largest value.

        Parameters
        ----------
        X
            Images, ``(n_samples, height, width)``, or flattened to ``(n_samples, n_pixels)``.
        y
            Ignored.

        Raises
        ------
        ValueError
            `X` holds something else than finite real numbers, or has another shape.
        """
        flat = self._flat(X, reset=True)
        self.scale_ = max(float(np.abs(chunk).max()) for chunk in _chunks(flat)) or 1.0
        return self

    def _flat(self, X: ArrayLike, *, reset: bool) -> NDArray[Any]:
        """Return checked images, ``(n_samples, n_pixels)``, without a copy where that is possible."""
        images: Any = X if hasattr(X, "ndim") else np.asarray(X)
        if images.ndim == 3:
            images = check_array(images, allow_nd=True, estimator=self, input_name="X")
            images = images.reshape(len(images), -1)
        return cast("NDArray[Any]", validate_data(self, images, reset=reset))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


class Pixels(OneToOneFeatureMixin, _ImageTransformer):  # type: ignore[misc]  # scikit-learn carries no types
    """Pixels as float32, divided by the largest absolute value that `fit` saw.

    Attributes
    ----------
    scale_
        The largest absolute value in the images that `fit` saw; 1.0 when they were all blank.
    n_features_in_
        Number of pixels of an image.
    """

    def transform(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return ``(n_samples, n_pixels)`` float32; in [0, 1] for images in the range that `fit` saw.

        Raises
        ------
        ValueError
            `X` is not made of finite numbers, or its images are not as large as those that `fit` saw.
        """
        check_is_fitted(self)
        flat = self._flat(X, reset=False)
        pixels = flat.astype(np.float32)
        pixels /= np.float32(self.scale_)
        return pixels


class Hog(_ImageTransformer):
    """Histograms of oriented gradients of the image, deskewed and brought to 28 x 28 pixels: 432 numbers.

    The image is first sheared until its principal axis stands upright, with its centre of mass in the middle, and
    enlarged, in the same interpolation, as far as brings the digits that `fit` saw to 24 of 28 pixels on average.
    Histograms after Dalal and Triggs, "Histograms of oriented gradients for human detection", CVPR 2005; but of
    directions, not of orientations: the two sides of a stroke differ.

    Parameters
    ----------
    deskew
        Whether to shear and centre the image.

    Attributes
    ----------
    frame_
        Height and width of the images that `fit` saw.
    extent_
        The longer side of the box around a digit's ink, as a share of the frame, on average over the images that `fit`
        saw; 1.0 when they were all blank.
    scale_
        The largest absolute value in the images that `fit` saw; 1.0 when they were all blank.
    n_features_in_
        Number of pixels of an image.
    """

    extent_: float
    frame_: tuple[int, int]

    def __init__(self, *, deskew: bool = True) -> None:
        self.deskew = deskew

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Learn shape, largest value and extent of the images; flattened images are taken to be square.

        Raises
        ------
        ValueError
            `X` holds something else than finite real numbers, or flattened images that cannot be square.
        """
        super().fit(X)
        shape = np.asarray(X).shape
        if len(shape) == 3:
            _, height, width = shape
        else:
            height, width = square_of(self.n_features_in_)
        self.frame_ = (height, width)
        self.extent_ = _mean_extent(np.asarray(X).reshape(-1, height, width))
        return self

    def transform(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return ``(n_samples, 432)`` float32 in [0, 1].

        Raises
        ------
        ValueError
            `X` is not made of finite numbers, or its images are not as large as those that `fit` saw.
        """
        check_is_fitted(self)
        flat = self._flat(X, reset=False)
        window, block, stride, cell = ((side, side) for side in (_SIDE, _BLOCK, _STRIDE, _CELL))
        descriptor = cv2.HOGDescriptor(window, block, stride, cell, _BINS, _signedGradient=True)
        out = np.empty((len(flat), _N_HOG), dtype=np.float32)
        images = (image for chunk in _chunks(flat) for image in self._to_bytes(chunk))
        for row, image in enumerate(images):
            out[row] = descriptor.compute(self._upright(image))
        return out

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> NDArray[np.object_]:
        """Return the names of the 432 features: ``hog0`` to ``hog431``."""
        return np.asarray([f"hog{number}" for number in range(_N_HOG)], dtype=object)

    def _to_bytes(self, flat: NDArray[Any]) -> NDArray[np.uint8]:
        """Return ``(n, height, width)`` uint8 with the largest value that `fit` saw at 255, as OpenCV wants it."""
        if flat.dtype == np.uint8:  # there are 256 values: each is scaled once, and looked up
            images = cv2.LUT(np.ascontiguousarray(flat), self._scaled(np.arange(256)))
        else:
            images = self._scaled(flat)
        return cast("NDArray[np.uint8]", images.reshape(-1, *self.frame_))

    def _scaled(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        scaled = np.multiply(values, 255.0 / self.scale_, dtype=np.float64)
        return cast("NDArray[np.uint8]", np.rint(scaled).clip(0, 255).astype(np.uint8))

    def _upright(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the image in 28 x 28 pixels, deskewed: ``mu11 / mu02`` is the slant of the principal axis."""
        height, width = self.frame_
        skew, x, y = 0.0, (width - 1) / 2, (height - 1) / 2
        moments = cv2.moments(image) if self.deskew else {"m00": 0.0}
        if moments["m00"] > 0:
            x, y = moments["m10"] / moments["m00"], moments["m01"] / moments["m00"]
            # A single row of ink has no slant.
            skew = moments["mu11"] / moments["mu02"] if moments["mu02"] > 1e-2 * moments["m00"] else 0.0
        zoom = _FILLED / self.extent_
        to_x, to_y, middle = width / _SIDE / zoom, height / _SIDE / zoom, (_SIDE - 1) / 2
        # From each pixel of the result back to where it comes from: shear and enlarge about the centre of mass.
        back = np.array([[to_x, skew * to_y, x - (to_x + skew * to_y) * middle], [0.0, to_y, y - to_y * middle]])
        flags = cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR
        return cast("NDArray[np.uint8]", cv2.warpAffine(image, back, (_SIDE, _SIDE), flags=flags))


def _mean_extent(images: NDArray[Any]) -> float:
    """Return the longer side of the box around the ink of ``(n, height, width)`` images as a share, on average."""
    longer = np.concatenate([_longer_sides(chunk) for chunk in _chunks(images)])
    return float(longer[longer > 0].mean()) if longer.any() else 1.0


def _longer_sides(images: NDArray[Any]) -> NDArray[np.float64]:
    inked = np.asarray(images > 0)
    shares = [_spans(np.any(inked, axis=3 - axis)) / images.shape[axis] for axis in (1, 2)]
    longer: NDArray[np.float64] = np.maximum(*shares)
    return longer


def _chunks(images: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield a few images at a time: what is computed on the way to a number takes no memory for each of them."""
    return (images[start : start + _CHUNK] for start in range(0, len(images), _CHUNK))


def _spans(inked: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return how far it is from the first to the last True of each row, both included; 0 where there is none."""
    length = inked.shape[1]
    spans: NDArray[np.int64] = length - inked.argmax(axis=1) - inked[:, ::-1].argmax(axis=1)
    return spans * inked.any(axis=1)
