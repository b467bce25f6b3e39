"""What scikit-learn, the pipeline and the rules of evidence ask of a network."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import shift
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.utils.estimator_checks import parametrize_with_checks

from digits.models import processor
from digits.models.keras_classifier import KerasClassifier
from digits.models.networks import Cnn, DenseNetwork, Network, Rnn

N_TRAIN = 120
TINY: dict[str, Network] = {
    "dense_network": DenseNetwork(epochs=2, batch_size=32, units=(24,)),
    "cnn": Cnn(epochs=2, batch_size=32, stages=((8,), (12,)), strides=(1, 2), normalised=(False, True)),
    "rnn": Rnn(epochs=2, batch_size=32, units=12, rows_per_step=2),
}

# Fits a tiny network in a process of its own and prints what came of it; argv: family.
IN_ANOTHER_PROCESS = """
import json, sys
sys.path[:0] = {folders!r}
from test_keras_classifier import TINY, bits, digits_sample
X, y = digits_sample()
json.dump(bits(TINY[sys.argv[1]].build(seed=0).fit(X, y)), sys.stdout)
"""


def digits_sample() -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """Return the first images of scikit-learn's digits, 8 x 8, and their labels."""
    bunch = load_digits()
    return bunch.images[:N_TRAIN].astype(np.uint8), bunch.target[:N_TRAIN]


def bits(estimator: KerasClassifier) -> str:
    """Return a digest of a network's weights."""
    return hashlib.sha256(b"".join(weight.tobytes() for weight in estimator.model_.get_weights())).hexdigest()


@pytest.fixture(scope="module")
def sample() -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """Return images and labels to fit on."""
    return digits_sample()


@pytest.fixture(scope="module", params=sorted(TINY))
def fitted(request: pytest.FixtureRequest, sample: tuple[NDArray[np.uint8], NDArray[Any]]) -> KerasClassifier:
    """Return each kind of network, fitted with the last rows as validation data."""
    X, y = sample
    return TINY[request.param].build(seed=0).fit(X, y, validation_data=(X[-30:], y[-30:]))


@parametrize_with_checks(
    [
        KerasClassifier(
            network_params={"units": (32,), "dropout": 0.0},
            epochs=12,
            batch_size=16,
            learning_rate=0.05,
            random_state=0,
        )
    ],
    expected_failed_checks=lambda _: {
        "check_estimators_pickle": "the network stays out of the pickled state: it is saved as .keras"
    },
)
def test_dense_network_is_a_scikit_learn_classifier(estimator: KerasClassifier, check: Any) -> None:
    """On plain vectors the estimator keeps every promise that scikit-learn's own classifiers keep."""
    assert check(estimator) is None


def test_predictions_are_the_mean_over_an_image_and_itself_moved(
    fitted: KerasClassifier, sample: tuple[NDArray[np.uint8], NDArray[Any]]
) -> None:
    """What leaves the frame is gone and zeros come in; an image's neighbours in the array change nothing."""
    X, _ = sample
    moving = copy(fitted).set_params(test_time_shift=2)
    moving.model_ = fitted.model_
    found = moving.predict_proba(X)
    places = ((0, 0), (-2, 0), (2, 0), (0, -2), (0, 2))
    wanted = np.mean([fitted.predict_proba(shift(X, (0, *place), order=0)) for place in places], axis=0)
    np.testing.assert_allclose(found, wanted, rtol=1e-4)
    assert not np.array_equal(found, fitted.predict_proba(X))
    np.testing.assert_allclose(moving.predict_proba(X[7:8]), found[7:8], rtol=1e-4)


def test_only_square_images_are_moved() -> None:
    """What is not square cannot be moved in its frame, and is told so before anything is fitted."""
    with pytest.raises(ValueError, match="images must be square, found n_features = 12"):
        KerasClassifier(test_time_shift=1).fit(np.ones((4, 12)), [0, 1, 0, 1])


def test_probabilities_are_a_distribution_over_classes(
    fitted: KerasClassifier, sample: tuple[NDArray[np.uint8], NDArray[Any]]
) -> None:
    """Each row of probabilities sums to one, and the most probable class is the prediction."""
    X, _ = sample
    y_proba = fitted.predict_proba(X)
    assert y_proba.dtype == np.float64
    assert y_proba.shape == (N_TRAIN, 10)
    np.testing.assert_allclose(1, y_proba.sum(axis=1), rtol=1e-12)
    np.testing.assert_array_equal(fitted.classes_[y_proba.argmax(axis=1)], fitted.predict(X))


def test_flattened_images_are_the_same_images(
    fitted: KerasClassifier, sample: tuple[NDArray[np.uint8], NDArray[Any]]
) -> None:
    """Images and the same images flattened give the same network and the same probabilities."""
    X, y = sample
    flat = X.reshape(len(X), -1)
    again = clone(fitted).fit(flat, y)
    assert bits(fitted) == bits(again)
    np.testing.assert_array_equal(fitted.predict_proba(X), again.predict_proba(flat))


@pytest.mark.parametrize("name", sorted(TINY))
def test_same_seed_same_bits_whatever_was_fitted_before(
    name: str, sample: tuple[NDArray[np.uint8], NDArray[Any]]
) -> None:
    """A fit depends on its seed and its data, not on the fits before it in the process; another seed is another fit."""
    X, y = sample
    estimator = TINY[name].build(seed=0)
    first = bits(clone(estimator).fit(X, y))
    for other in TINY.values():
        other.build(seed=3).fit(X[:60], y[:60])
    assert first == bits(clone(estimator).fit(X, y))
    assert first != bits(TINY[name].build(seed=1).fit(X, y))


def test_same_seed_same_bits_in_another_process(
    sample: tuple[NDArray[np.uint8], NDArray[Any]], capfd: pytest.CaptureFixture[str]
) -> None:
    """Two processes give the same bits, one of them after other fits; neither writes a line on stderr."""
    script = IN_ANOTHER_PROCESS.format(folders=[str(Path(__file__).parents[2]), str(Path(__file__).parent)])
    alone = subprocess.run(
        [sys.executable, "-c", script, "cnn"], capture_output=True, text=True, timeout=120, check=True
    )
    X, y = sample
    for name in ("cnn", "dense_network"):
        TINY[name].build(seed=5).fit(X[:50], y[:50])
    after = bits(TINY["cnn"].build(seed=0).fit(X, y))
    assert (alone.stderr, capfd.readouterr().err) == ("", "")
    assert json.loads(alone.stdout) == after


def test_validation_data_change_nothing(
    fitted: KerasClassifier, sample: tuple[NDArray[np.uint8], NDArray[Any]]
) -> None:
    """A fit that is watched on validation data gives the same bits as one that is not, and says what was seen."""
    X, y = sample
    unwatched = clone(fitted).fit(X, y)
    assert bits(fitted) == bits(unwatched)
    assert {"loss", "accuracy"} == set(unwatched.history_)
    assert {"loss", "accuracy", "val_loss", "val_accuracy"} == set(fitted.history_)
    assert {2} == {len(values) for values in fitted.history_.values()}
    assert np.isfinite(list(fitted.history_.values())).all()


def test_last_validation_accuracy_is_that_of_the_fitted_network(
    fitted: KerasClassifier, sample: tuple[NDArray[np.uint8], NDArray[Any]]
) -> None:
    """What the history says at the end is what the estimator then scores."""
    X, y = sample
    assert fitted.history_["val_accuracy"][-1] == pytest.approx(fitted.score(X[-30:], y[-30:]), abs=1e-6)


def test_saved_network_keeps_its_bits(
    fitted: KerasClassifier, sample: tuple[NDArray[np.uint8], NDArray[Any]], tmp_path: Path
) -> None:
    """A network written as .keras and read in safe mode gives the same probabilities."""
    import keras

    X, _ = sample
    fitted.model_.save(tmp_path / "network.keras")
    loaded = clone(fitted)
    loaded.__setstate__(fitted.__getstate__())
    assert "model_" not in vars(loaded)
    loaded.model_ = keras.saving.load_model(tmp_path / "network.keras", compile=False, safe_mode=True)
    np.testing.assert_array_equal(fitted.predict_proba(X), loaded.predict_proba(X))


def test_fits_with_a_class_missing(sample: tuple[NDArray[np.uint8], NDArray[Any]]) -> None:
    """Classes are those met in fit: no column is invented for a class that was not there."""
    X, y = sample
    rows = (y != 0) & (y != 7)
    estimator = TINY["cnn"].build(seed=0).fit(X[rows], y[rows])
    assert estimator.classes_.tolist() == [1, 2, 3, 4, 5, 6, 8, 9]
    assert estimator.predict_proba(X).shape == (N_TRAIN, 8)
    assert set(estimator.predict(X)) <= set(estimator.classes_)


def test_fits_fewer_rows_than_a_batch(sample: tuple[NDArray[np.uint8], NDArray[Any]]) -> None:
    """A handful of images makes one small batch."""
    X, y = sample
    estimator = TINY["dense_network"].build(seed=0).fit(X[:7], y[:7])
    assert (7, len(set(y[:7]))) == estimator.predict_proba(X[:7]).shape


@pytest.mark.skipif(not processor.has_bfloat16(), reason="this processor has no bfloat16")
def test_bfloat16_is_for_training_alone(sample: tuple[NDArray[np.uint8], NDArray[Any]]) -> None:
    """A network trained in bfloat16 predicts in float32, and Keras's own policy is as it was."""
    import keras

    X, y = sample
    before = keras.config.dtype_policy().name
    estimator = TINY["cnn"].build(seed=0).set_params(dtype="mixed_bfloat16").fit(X, y)
    assert {"float32"} == {layer.compute_dtype for layer in estimator.model_.layers}
    assert before == keras.config.dtype_policy().name
    assert bits(estimator) != bits(clone(estimator).set_params(dtype="float32").fit(X, y))


def test_bfloat16_is_refused_where_the_processor_has_none(
    sample: tuple[NDArray[np.uint8], NDArray[Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What would take hours there is an error that says what to set instead."""
    (tmp_path / "cpuinfo").write_text("flags\t\t: fpu sse2 avx2 avx512f\n", encoding="utf-8")
    monkeypatch.setattr(processor, "_CPU_INFO", tmp_path / "cpuinfo")
    with pytest.raises(ValueError, match=r"no bfloat16 in this processor.*set dtype: auto"):
        TINY["cnn"].build(seed=0).set_params(dtype="mixed_bfloat16").fit(*sample)


def test_global_random_states_are_left_alone(sample: tuple[NDArray[np.uint8], NDArray[Any]]) -> None:
    """A fit seeds itself, and gives Python's and NumPy's global generators back as they were."""
    import random

    X, y = sample
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002 - the global state is what this test is about
    expected = random.random(), np.random.random()  # noqa: NPY002, S311 - the same; no secret is drawn
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002 - the same
    TINY["dense_network"].build(seed=0).fit(X[:20], y[:20])
    assert expected == (random.random(), np.random.random())  # noqa: NPY002, S311 - the same


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y: (X[:, :, :7], y), "8 x 7 pixels, wanted square"),
        (lambda X, y: (X.reshape(len(X), -1)[:, :60], y), "must be square, found n_features = 60"),
        (lambda X, y: (np.where(X > 15, np.nan, X.astype(float)), y), "NaN"),
        (lambda X, y: (X, y[:-1]), "inconsistent numbers of samples"),
        (lambda X, y: (X, y + 0.5), "Unknown label type"),
    ],
)
def test_bad_input_is_named(change: Any, message: str, sample: tuple[NDArray[np.uint8], NDArray[Any]]) -> None:
    """Images and labels that cannot be fitted raise a ValueError that says what is wrong."""
    with pytest.raises(ValueError, match=message):
        TINY["cnn"].build(seed=0).fit(*change(*sample))


def test_prediction_names_images_of_another_size(fitted: KerasClassifier) -> None:
    """Images of another size than those of fit raise a ValueError."""
    with pytest.raises(ValueError, match="49 features, but KerasClassifier is expecting 64"):
        fitted.predict(np.ones((3, 7, 7), np.uint8))


def test_validation_labels_must_be_known(sample: tuple[NDArray[np.uint8], NDArray[Any]]) -> None:
    """Validation data of a class that is not trained on would make the history lie."""
    X, y = sample
    with pytest.raises(ValueError, match=r"labels \[0\], wanted those of y"):
        TINY["cnn"].build(seed=0).fit(X[y > 0], y[y > 0], validation_data=(X, y))
