"""Virtual examples: copies are what they say, and an estimator learns from them and predicts as ever."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_is_fitted, validate_data

from digits.models.families import FAMILIES
from digits.models.virtual import VirtualExamples, elastic

IMAGES, LABELS = load_digits(return_X_y=True)
IMAGES = IMAGES.reshape(-1, 8, 8).astype(np.uint8)[:200]
LABELS = LABELS[:200]
SOME_IMAGES = arrays(
    st.sampled_from([np.uint8, np.int64, np.float64]),
    st.tuples(st.integers(0, 4), st.integers(1, 9), st.integers(1, 9)),
    elements=st.integers(0, 255),
)


class Counting(ClassifierMixin, BaseEstimator):
    """Keeps what it was fitted on."""

    def fit(self, X: Any, y: Any) -> Self:
        """Keep it."""
        self.seen_, self.classes_ = (X, y), np.unique(y)
        return self


class OfAnyVector(ClassifierMixin, BaseEstimator):
    """`VirtualExamples` of vectors filled up with zeros to a square, since scikit-learn's checks know no images."""

    def fit(self, X: Any, y: Any) -> Self:
        """Fit on the squares."""
        X, y = validate_data(self, X, y)
        self.fitted_ = VirtualExamples(LogisticRegression(max_iter=1000), random_state=0).fit(self._squares(X), y)
        self.classes_ = self.fitted_.classes_
        return self

    def predict(self, X: Any) -> Any:
        """Return the labels of the squares."""
        check_is_fitted(self)
        return self.fitted_.predict(self._squares(validate_data(self, X, reset=False)))

    def _squares(self, X: np.ndarray) -> np.ndarray:
        side = int(np.ceil(np.sqrt(X.shape[1])))
        return np.pad(X, ((0, 0), (0, side**2 - X.shape[1])))


@parametrize_with_checks([OfAnyVector()])
def test_a_classifier_with_copies_keeps_scikit_learns_contract(estimator: Any, check: Any) -> None:
    """As far as the estimator is asked, scikit-learn's own checks pass."""
    check(estimator)


@given(images=SOME_IMAGES, distortion=st.floats(0, 0.5))
def test_a_copy_is_such_an_image(images: np.ndarray, distortion: float) -> None:
    """Shape, dtype and range of values stay; where nothing moves, nothing changes."""
    moved = elastic(images, distortion=distortion, rng=np.random.RandomState(0))
    assert (moved.shape, moved.dtype) == (images.shape, images.dtype)
    if images.size:
        assert 0 <= moved.min() <= moved.max() <= images.max()
    np.testing.assert_array_equal(elastic(images, distortion=0.0, rng=np.random.RandomState(0)), images)


def test_integers_are_rounded() -> None:
    """Images of another type give the same copies, but for how finely OpenCV reckons with bytes."""
    copies = {
        kind: elastic(IMAGES.astype(kind), distortion=0.03, rng=np.random.RandomState(0)).astype(float)
        for kind in (np.uint8, np.int64, np.uint16, np.float32)
    }
    np.testing.assert_array_equal(copies[np.int64], np.rint(copies[np.float32]))
    np.testing.assert_array_equal(copies[np.uint16], copies[np.int64])
    assert np.abs(copies[np.uint8] - copies[np.int64]).max() <= 1
    assert (copies[np.uint8] != copies[np.int64]).mean() < 0.01


@pytest.mark.parametrize("side", [8, 28])
def test_points_move_as_far_as_it_says_and_with_their_neighbours(side: int) -> None:
    """Of an image whose values are places, the change is how far each point has moved."""
    places = np.broadcast_to(100 + np.arange(side, dtype=np.float64), (2000, side, side))
    middle = slice(side // 4, -(side // 4))  # nothing comes from beyond the frame there
    distortion = 0.02
    change = (elastic(places, distortion=distortion, rng=np.random.RandomState(0)) - places)[:, middle, middle]
    assert change.std() / side == pytest.approx(distortion, rel=0.05)
    beside = np.corrcoef(change[:, 0, 0], change[:, 0, 1])[0, 1]
    far = np.corrcoef(change[:, 0, 0], change[:, -1, -1])[0, 1]
    assert beside > 0.75
    assert far < 0.5


def test_an_estimator_sees_each_image_and_its_copies() -> None:
    """The images come first, as they are; each copy has its image's label; another seed gives other copies."""
    fitted = VirtualExamples(Counting(), copies=2, random_state=0).fit(IMAGES, LABELS)
    seen, labels = fitted.estimator_.seen_
    assert seen.shape == (600, 8, 8)
    np.testing.assert_array_equal(seen[:200], IMAGES)
    np.testing.assert_array_equal(labels, np.tile(LABELS, 3))
    assert 0 < np.abs(seen[200:400] - seen[400:].astype(float)).mean() < 2
    again, other = (VirtualExamples(Counting(), copies=2, random_state=n).fit(IMAGES, LABELS) for n in (0, 1))
    np.testing.assert_array_equal(again.estimator_.seen_[0], seen)
    assert (other.estimator_.seen_[0] != seen).any()


def test_flattened_images_stay_flattened() -> None:
    """Whoever flattens images gets flattened copies, the same ones."""
    frames = VirtualExamples(Counting(), random_state=0).fit(IMAGES, LABELS)
    flat = VirtualExamples(Counting(), random_state=0).fit(IMAGES.reshape(200, 64), LABELS)
    np.testing.assert_array_equal(flat.estimator_.seen_[0], frames.estimator_.seen_[0].reshape(400, 64))


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        (IMAGES.reshape(200, 64)[:, :60], LABELS, "flattened images must be square, found n_features = 60"),
        (IMAGES[:, 0, 0], LABELS, "images must have 3 dimensions, or 2 where they are flattened; found 1"),
        (IMAGES, LABELS[:199], r"inconsistent numbers of samples: \[200, 199\]"),
        (IMAGES, np.eye(200), "y should be a 1d array"),
    ],
)
def test_what_are_no_images_with_labels_is_refused(images: np.ndarray, labels: np.ndarray, words: str) -> None:
    """Each fault is told with the numbers of what was given, not of the copies."""
    with pytest.raises(ValueError, match=words):
        VirtualExamples(Counting()).fit(images, labels)


OF_FEATURES = [name for name, family in FAMILIES.items() if "copies" in family.model_fields and name != "svm"]


@pytest.mark.parametrize("name", OF_FEATURES)
def test_a_family_asks_for_copies(name: str) -> None:
    """The params of every family of features say how many, and how strong; none is the pipeline itself."""
    family = FAMILIES[name]
    built = family.model_validate({"copies": 3, "distortion": 0.02}).build(seed=7)
    assert (built.copies, built.distortion, built.random_state) == (3, 0.02, 7)
    assert repr(built.estimator) == repr(family.model_validate({"copies": 0}).build(seed=7))


def test_a_distortion_of_no_copies_is_refused() -> None:
    """A param that nothing reads would change a fingerprint, and nothing else."""
    with pytest.raises(ValueError, match="`distortion` is that of copies, of which there are none"):
        FAMILIES["decision_tree"].model_validate({"distortion": 0.02})


def test_a_classifier_that_holds_rows_out_takes_no_copies() -> None:
    """The SVM would hold out copies of what it has learned from, and be too sure."""
    with pytest.raises(ValueError, match="copies"):
        FAMILIES["svm"].model_validate({"copies": 1})
