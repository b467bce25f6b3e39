from __future__ import annotations

from typing import Any, Self

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.datasets import load_digits
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_is_fitted, validate_data

from digits.models.features import Hog, Pixels, features

IMAGES = load_digits().images.astype(np.uint8)
SMALL_IMAGES = arrays(np.uint8, st.tuples(st.integers(1, 4), st.just(8), st.just(8)), elements=st.integers(0, 16))


class HogOfAnyVector(TransformerMixin, BaseEstimator):
    """`Hog` of vectors filled up with zeros to a square, since scikit-learn's checks know no images."""

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit `Hog` on the squares."""
        self.hog_ = Hog().fit(self._squares(validate_data(self, X, ensure_min_samples=2)))
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return the features of the squares."""
        check_is_fitted(self)
        return self.hog_.transform(self._squares(validate_data(self, X, reset=False)))

    def _squares(self, X: np.ndarray) -> np.ndarray:
        side = int(np.ceil(np.sqrt(X.shape[1])))
        return np.pad(X, ((0, 0), (0, side**2 - X.shape[1])))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


@parametrize_with_checks([Pixels(), HogOfAnyVector()])
def test_transformers_keep_scikit_learns_contract(estimator: Any, check: Any) -> None:
    """The transformers pass scikit-learn's own checks."""
    check(estimator)


@pytest.mark.parametrize(("name", "kind"), [("pixels", Pixels), ("hog", Hog)])
def test_transformers_have_names(name: Any, kind: type) -> None:
    """A param names a transformer."""
    assert isinstance(features(name), kind)


def test_pixels_are_scaled_by_the_largest_that_fit_saw() -> None:
    """Pixels come out in [0, 1], as float32, and later images are scaled as the first were."""
    pixels = Pixels().fit(IMAGES)

    np.testing.assert_array_equal(pixels.transform(IMAGES[:5]), IMAGES[:5].reshape(5, -1).astype(np.float32) / 16)


def test_hog_gives_432_small_numbers() -> None:
    """HOG gives 432 numbers in [0, 1] an image, as float32, and names them."""
    hog = Hog().fit(IMAGES)
    found = hog.transform(IMAGES[:50])

    assert found.shape == (50, 432)
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() <= 1
    assert len(hog.get_feature_names_out()) == 432


@given(images=SMALL_IMAGES)
@settings(max_examples=30, deadline=None)
@pytest.mark.parametrize("transformer", [Pixels(), Hog()], ids=["pixels", "hog"])
def test_an_image_is_transformed_for_itself(transformer: Any, images: np.ndarray) -> None:
    """What an image becomes does not depend on the others in its batch, nor on frames or flattened rows."""
    transformer.fit(IMAGES)
    together = transformer.transform(images)

    alone = np.concatenate([transformer.transform(image.reshape(1, -1)) for image in images])
    np.testing.assert_array_equal(alone, together)


def test_hog_does_not_care_where_chunks_end() -> None:
    """Images on either side of a chunk's border come out as they do alone."""
    hog = Hog().fit(IMAGES)
    everything = hog.transform(IMAGES)

    np.testing.assert_array_equal(hog.transform(IMAGES[1000:1050]), everything[1000:1050])


def test_what_fit_learns_does_not_depend_on_chunks() -> None:
    """Extent and scale are those of all images at once, whichever chunk holds the widest digit and the most ink."""
    images = IMAGES.copy()
    images[1023], images[1024], images[-1] = 40, 0, 50
    longer = []
    for image in images:
        ys, xs = np.nonzero(image)
        longer += [max(np.ptp(ys) + 1, np.ptp(xs) + 1) / 8] if len(ys) else []
    hog = Hog().fit(images)

    assert len(images) > 1024
    assert hog.extent_ == np.mean(longer)
    assert hog.scale_ == Pixels().fit(images).scale_ == images.max()


def test_hog_does_not_care_for_the_range_of_values() -> None:
    """The same strokes in 0 to 16 and in 0 to 240 give the same histograms."""
    pale, strong = Hog().fit(IMAGES), Hog().fit(IMAGES * 15)

    np.testing.assert_array_equal(strong.transform(IMAGES[:50] * 15), pale.transform(IMAGES[:50]))


@pytest.mark.parametrize("dtype", [np.int64, np.float32, np.uint16])
def test_hog_does_not_care_for_the_type_of_values(dtype: type) -> None:
    """Bytes, which are looked up, come out as the same values of any other type do; also beyond what fit saw."""
    dim = Hog().fit(IMAGES // 3)

    np.testing.assert_array_equal(dim.transform(IMAGES), dim.transform(IMAGES.astype(dtype)))


def test_hog_does_not_care_for_the_margins_of_a_dataset() -> None:
    """Digits that fill their frame and the same with a wide margin come out nearly alike."""
    padded = np.pad(IMAGES, ((0, 0), (3, 3), (3, 3)))
    tight, wide = (Hog().fit(images).transform(images[:100]) for images in (IMAGES, padded))

    assert Hog().fit(padded).extent_ == pytest.approx(Hog().fit(IMAGES).extent_ * 8 / 14)
    np.testing.assert_allclose(wide, tight, atol=0.02)


def test_hog_tells_the_two_sides_of_an_edge() -> None:
    """Ink on the left of an edge and ink on its right are different features: gradients keep their sign."""
    left = np.zeros((1, 8, 8), np.uint8)
    left[:, :, :4] = 16
    images = np.concatenate([left, left[:, :, ::-1]])

    assert not np.array_equal(*Hog(deskew=False).fit(images).transform(images))


def test_hog_sets_slanted_strokes_upright() -> None:
    """A slanted and shifted stroke gives nearly the histograms of the upright one; without deskewing it does not."""
    upright = np.zeros((28, 28), np.uint8)
    upright[5:23, 12:16] = 255
    back = np.array([[1, 0.4, -3.0], [0, 1, 1.0]])
    slanted = cv2.warpAffine(upright, back, (28, 28), flags=cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR)
    distance = {}
    for deskew in (True, False):
        first, second = Hog(deskew=deskew).fit_transform(np.stack([upright, slanted]))
        distance[deskew] = np.linalg.norm(first - second)

    assert distance[True] < 0.5 * distance[False]


@pytest.mark.parametrize("image", [np.zeros((8, 8)), np.eye(1, 64, 20).reshape(8, 8), np.eye(8)[[3] * 8].T])
def test_hog_of_hardly_anything_is_finite(image: np.ndarray) -> None:
    """A blank image, a single dot and a single row of ink give finite numbers."""
    found = Hog().fit(IMAGES).transform(16 * image[np.newaxis])

    assert np.isfinite(found).all()


def test_blank_images_can_be_fitted() -> None:
    """Where every image is blank there is no largest value, and nothing is divided by it."""
    blank = np.zeros((3, 8, 8), np.uint8)

    np.testing.assert_array_equal(Pixels().fit_transform(blank), np.zeros((3, 64)))


def test_flattened_images_that_are_not_square_are_refused() -> None:
    """A vector that cannot be a square image is an error that says what to pass instead."""
    with pytest.raises(ValueError, match=r"found n_features = 63; pass images of shape"):
        Hog().fit(np.zeros((3, 63)))


def test_frames_may_be_oblong() -> None:
    """Frames need not be square, and flattened ones are then read as `fit` saw them."""
    oblong = IMAGES[:20, :, 1:7]
    hog = Hog().fit(oblong)

    np.testing.assert_array_equal(hog.transform(oblong.reshape(20, -1)), hog.transform(oblong))
