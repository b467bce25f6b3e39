"""Virtual examples: every training image some more times, as other hands would have drawn it."""

from __future__ import annotations

from typing import Any, Self, cast

import cv2
import numpy as np
from numpy.random import RandomState
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.utils import check_consistent_length, check_random_state, column_or_1d
from sklearn.utils.validation import check_is_fitted

from digits.models.pixels import pixels_of, square_of

__all__ = ["VirtualExamples", "elastic"]

# How far apart points move together: the width of the Gaussian that smooths their displacements, as a share of the
# frame; 4 of 28 pixels in Simard et al.
_SMOOTH = 4 / 28
_CHUNK = 1024


class VirtualExamples(MetaEstimatorMixin, ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # no types there
    """A classifier of images that learns from elastically distorted copies of them, too.

    Parameters
    ----------
    estimator
        Takes images, as this one does; a clone of it is fitted.
    copies
        Number of distorted copies of each image.
    distortion
        How far a point of a copy moves along each axis: the standard deviation, as a share of the frame.
    random_state
        Seeds the distortions.

    Attributes
    ----------
    estimator_
        The fitted estimator, which does what this one is asked to.
    """

    estimator_: Any

    def __init__(
        self,
        estimator: BaseEstimator,
        *,
        copies: int = 1,
        distortion: float = 0.03,
        random_state: int | RandomState | None = None,
    ) -> None:
        self.estimator = estimator
        self.copies = copies
        self.distortion = distortion
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit the estimator on the images and on their copies: all that it learns, it learns from both.

        Parameters
        ----------
        X
            Images, ``(n_samples, height, width)``, or flattened to ``(n_samples, n_pixels)`` where they are square.
        y
            Labels, ``(n_samples,)``.

        Raises
        ------
        ValueError
            `X` holds no images, or flattened ones that cannot be square; there is not a label for each.
        """
        given, labels = np.asarray(X), column_or_1d(y, warn=True)
        check_consistent_length(given, labels)
        images, rng = _frames(given), check_random_state(self.random_state)
        every = np.empty((1 + self.copies, *images.shape), images.dtype)
        every[0] = images
        for copy in every[1:]:
            copy[:] = elastic(images, distortion=self.distortion, rng=rng)
        rows = every.reshape(-1, *given.shape[1:])
        self.estimator_ = clone(self.estimator).fit(rows, np.concatenate([labels] * len(every)))
        return self

    @property
    def classes_(self) -> NDArray[Any]:
        """Labels, ``(n_classes,)``, in the order of the columns of probabilities."""
        return cast("NDArray[Any]", self.estimator_.classes_)

    @property
    def n_features_in_(self) -> int:
        """Number of pixels of an image."""
        return int(self.estimator_.n_features_in_)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the estimator's label of each image, ``(n_samples,)``."""
        check_is_fitted(self)
        return cast("NDArray[Any]", self.estimator_.predict(X))

    def predict_proba(self, X: ArrayLike) -> NDArray[Any]:
        """Return the estimator's probability of each class, ``(n_samples, n_classes)``, columns as in ``classes_``."""
        check_is_fitted(self)
        return cast("NDArray[Any]", self.estimator_.predict_proba(X))


def elastic(images: NDArray[Any], *, distortion: float, rng: RandomState) -> NDArray[Any]:
    """Return images whose points have moved, neighbours almost alike, as the muscles of a hand would have it.

    After P. Simard, D. Steinkraus and J. Platt, "Best practices for convolutional neural networks applied to visual
    document analysis", ICDAR 2003. They scale the smoothed noise by a factor; here it is said how far points move.

    Parameters
    ----------
    images
        ``(n_samples, height, width)`` of any numeric type.
    distortion
        Standard deviation of the displacement of every point along each axis, as a share of the frame.
    rng
        Where the randomness comes from.

    Returns
    -------
    ndarray
        Of the shape and dtype of `images`, within their range of values: interpolated linearly, integers rounded, zero
        from beyond the frame.
    """
    _, height, width = images.shape
    down, across = _smoothing(height), _smoothing(width)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    moved = np.empty_like(images)
    for start in range(0, len(images), _CHUNK):
        chunk = images[start : start + _CHUNK]
        noise = rng.standard_normal((2, len(chunk), height, width)).astype(np.float32)
        shift = down @ noise @ across.T
        to_rows, to_columns = rows + distortion * height * shift[0], columns + distortion * width * shift[1]
        for image, x, y, out in zip(pixels_of(chunk), to_columns, to_rows, moved[start : start + _CHUNK], strict=True):
            found = cv2.remap(image, x, y, cv2.INTER_LINEAR)
            out[:] = found if images.dtype.kind == "f" else np.rint(found)
    return moved


def _smoothing(side: int) -> NDArray[np.float32]:
    """Return the matrix that smooths white noise along an axis and leaves its variance as it is, ``(side, side)``."""
    place = np.arange(side)
    weights = np.exp(-0.5 * ((place[:, np.newaxis] - place) / (_SMOOTH * side)) ** 2)
    weights /= np.sqrt((weights**2).sum(axis=1, keepdims=True))
    return cast("NDArray[np.float32]", weights.astype(np.float32))


def _frames(images: NDArray[Any]) -> NDArray[Any]:
    """Return ``(n_samples, height, width)``; flattened images are taken to be square."""
    if images.ndim == 3:
        return images
    if images.ndim != 2:
        raise ValueError(f"images must have 3 dimensions, or 2 where they are flattened; found {images.ndim}")
    return images.reshape(-1, *square_of(images.shape[1]))
