from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits

from digits.models import artifact
from digits.models.families import FAMILIES

# Small enough for seconds; what makes a family itself is kept.
QUICK: dict[str, dict[str, Any]] = {
    "random_forest": {"trees": 5},
    "extra_trees": {"trees": 5},
    "gradient_boosting": {"rounds": 3},
    "mlp": {"epochs": 3, "copies": 1},
    "dense_network": {"epochs": 2, "batch_size": 32},
    "cnn": {"epochs": 2, "batch_size": 32},
    "rnn": {"epochs": 4, "batch_size": 32},
    "voting": {"members": ["svm", "dense_network"], "weights": "learned"},
    "stacking": {"members": ["svm", "dense_network"]},
}
N_TRAIN, N_VALIDATION = 300, 200

# Every family fitted in another order than in `fitted`, in a process of its own; prints the digests of its files.
IN_ANOTHER_PROCESS = f"""
import json, sys
from pathlib import Path
import numpy as np
from sklearn.datasets import load_digits
from digits.models import artifact
from digits.models.families import FAMILIES
from threadpoolctl import threadpool_limits
threadpool_limits(1)
quick, folder = json.loads(sys.argv[1]), Path(sys.argv[2])
X, y = load_digits().images.astype(np.uint8), load_digits().target.astype(np.uint8)
seen, unseen = slice({N_TRAIN}), slice({N_TRAIN}, {N_TRAIN + N_VALIDATION})
families = {{name: FAMILIES[name].model_validate(quick.get(name, {{}})) for name in reversed(FAMILIES)}}
fitted = {{name: f.build(seed=7).fit(X[seen], y[seen]) for name, f in families.items() if not f.members}}
for name in [name for name, family in families.items() if family.members]:
    members = [(member, fitted[member]) for member in families[name].members]
    proba = np.stack([member.predict_proba(X[unseen]) for _, member in members])
    fitted[name] = families[name].build(seed=7).fit_members_proba(proba, y[unseen]).attach(members)
for name, estimator in fitted.items():
    artifact.save(estimator, folder / name)
print(json.dumps({{name: artifact.digest(folder / name) for name in fitted}}))
"""

each_family = pytest.mark.parametrize("name", FAMILIES)
each_single = pytest.mark.parametrize("name", [name for name in FAMILIES if "members" not in QUICK.get(name, {})])


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Compute with one thread, as a worker does: more of them only wait for each other on arrays of this size."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Return scikit-learn's digits, (1797, 8, 8) uint8."""
    return load_digits().images.astype(np.uint8)


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    """Return their labels, (1797,) uint8."""
    return load_digits().target.astype(np.uint8)


@pytest.fixture(scope="module")
def unseen(images: np.ndarray) -> np.ndarray:
    """Return images that no estimator was fitted on."""
    return images[1000:1100]


@pytest.fixture(scope="module")
def fitted(images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Return every family, fitted with the same seed."""
    estimators: dict[str, Any] = {}
    for name, family in FAMILIES.items():
        params = family.model_validate(QUICK.get(name, {}))
        estimator = params.build(seed=7)
        if params.members:
            rows = slice(N_TRAIN, N_TRAIN + N_VALIDATION)
            members = [(member, estimators[member]) for member in params.members]
            proba = np.stack([member.predict_proba(images[rows]) for _, member in members])
            estimator.fit_members_proba(proba, labels[rows]).attach(members)
        else:
            estimator.fit(images[:N_TRAIN], labels[:N_TRAIN])
        estimators[name] = estimator
    return estimators


@each_family
def test_name_is_the_key(name: str) -> None:
    """A family is found under the name that it gives itself."""
    assert FAMILIES[name].name == name


@each_family
def test_one_thread_unless_told_otherwise(name: str) -> None:
    """A family uses one thread by default, so that families side by side do not fight for cores."""
    assert FAMILIES[name].model_validate(QUICK.get(name, {})).threads == 1


@each_family
def test_unknown_parameters_are_refused(name: str) -> None:
    """A hyper-parameter that a family does not have is an error, not silence."""
    with pytest.raises(ValueError, match="Extra inputs are not permitted"):
        FAMILIES[name].model_validate({**QUICK.get(name, {}), "no_such_parameter": 1})


@each_family
def test_flattened_images_are_the_same_images(name: str, fitted: dict[str, Any], unseen: np.ndarray) -> None:
    """Predictions for flattened images equal those for frames, bit for bit."""
    flat = unseen.reshape(len(unseen), -1)

    np.testing.assert_array_equal(fitted[name].predict_proba(flat), fitted[name].predict_proba(unseen))


@each_single
def test_fit_takes_flattened_images(
    name: str, fitted: dict[str, Any], images: np.ndarray, labels: np.ndarray, unseen: np.ndarray
) -> None:
    """A fit on flattened images gives the estimator that a fit on frames gives, bit for bit."""
    estimator = clone(fitted[name]).fit(images[:N_TRAIN].reshape(N_TRAIN, -1), labels[:N_TRAIN])

    np.testing.assert_array_equal(estimator.predict_proba(unseen), fitted[name].predict_proba(unseen))


@each_family
def test_probabilities_are_probabilities(name: str, fitted: dict[str, Any], unseen: np.ndarray) -> None:
    """Probabilities lie in [0, 1], one column per class, and every row sums to 1."""
    proba = fitted[name].predict_proba(unseen)

    assert proba.shape == (len(unseen), 10)
    assert proba.min() >= 0
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-5)


@each_family
def test_prediction_is_the_most_probable_class(name: str, fitted: dict[str, Any], unseen: np.ndarray) -> None:
    """`predict` never contradicts `predict_proba`."""
    proba = fitted[name].predict_proba(unseen)

    np.testing.assert_array_equal(fitted[name].predict(unseen), fitted[name].classes_[proba.argmax(axis=1)])


@each_family
def test_digits_are_recognised(name: str, fitted: dict[str, Any], images: np.ndarray, labels: np.ndarray) -> None:
    """Even a hasty fit is far better than guessing, so its columns are in the right order."""
    rows = slice(N_TRAIN, N_TRAIN + N_VALIDATION)

    assert np.mean(fitted[name].predict(images[rows]) == labels[rows]) > 0.3


@each_family
def test_parameters_survive_a_clone(name: str, fitted: dict[str, Any]) -> None:
    """A clone has the same parameters, and takes them from `set_params` too."""
    params = fitted[name].get_params(deep=False)

    assert repr(clone(fitted[name]).get_params(deep=False)) == repr(params)
    assert repr(clone(fitted[name]).set_params(**params).get_params(deep=False)) == repr(params)


@each_family
def test_saved_model_predicts_the_same_bits(
    name: str, fitted: dict[str, Any], unseen: np.ndarray, tmp_path: Path
) -> None:
    """What is loaded predicts bit for bit what was saved."""
    artifact.save(fitted[name], tmp_path / name)

    np.testing.assert_array_equal(
        artifact.load(tmp_path / name).predict_proba(unseen), fitted[name].predict_proba(unseen)
    )


@pytest.fixture(scope="module")
def digests_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the digest of each family's files after the same fits in another process, in the reverse order."""
    command = [sys.executable, "-c", IN_ANOTHER_PROCESS, json.dumps(QUICK), str(tmp_path_factory.mktemp("elsewhere"))]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    digests: dict[str, str] = json.loads(done.stdout)
    return digests


@each_family
def test_same_seed_gives_the_same_files_in_any_process(
    name: str, fitted: dict[str, Any], digests_elsewhere: dict[str, str], tmp_path: Path
) -> None:
    """Two processes that fit with the same seed write the same bytes, whatever they fitted before."""
    artifact.save(fitted[name], tmp_path / name)

    assert artifact.digest(tmp_path / name) == digests_elsewhere[name]


@each_single
def test_missing_class_is_not_invented(
    name: str, fitted: dict[str, Any], images: np.ndarray, labels: np.ndarray, unseen: np.ndarray
) -> None:
    """A fit on labels that lack a class knows the others, each in its column."""
    rows = np.flatnonzero(labels[:N_TRAIN] != 3)
    estimator = clone(fitted[name]).fit(images[rows], labels[rows])

    np.testing.assert_array_equal(estimator.classes_, [0, 1, 2, 4, 5, 6, 7, 8, 9])
    assert estimator.predict_proba(unseen).shape == (len(unseen), 9)
    assert 3 not in estimator.predict(unseen)


@each_family
@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        pytest.param(lambda X: np.where(X.max() == X, np.nan, X), "NaN", id="not a number"),
        pytest.param(lambda X: X[:, 1:, 1:], "49 features", id="smaller frames"),
        pytest.param(lambda X: np.full(X.shape, "seven"), "seven|string|dtype|numeric", id="text"),
        pytest.param(lambda X: X[0, 0], "2D array", id="a single row of pixels"),
    ],
)
def test_bad_images_are_refused(
    name: str, spoil: Any, complaint: str, fitted: dict[str, Any], unseen: np.ndarray
) -> None:
    """Images that are none, or of another size, are a ValueError that says so."""
    with pytest.raises(ValueError, match=complaint):
        fitted[name].predict_proba(spoil(unseen))


@pytest.mark.parametrize("name", FAMILIES)
def test_params_read_back_are_the_same_to_the_last_character(name: str) -> None:
    """A default and the same value written down give the same record: 500 and 500.0 would be two model files."""
    family = FAMILIES[name].model_validate(QUICK.get(name, {}))
    recorded = family.model_dump_json()
    assert FAMILIES[name].model_validate_json(recorded).model_dump_json() == recorded
