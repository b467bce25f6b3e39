from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits, make_blobs
from sklearn.metrics import log_loss
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from digits.models.mlp import FixedEpochsMLP
from digits.models.svm import RbfSVC

X, y = load_digits(return_X_y=True)
X_train, y_train, X_unseen, y_unseen = X[:600], y[:600], X[1000:1400], y[1000:1400]


@parametrize_with_checks(
    [RbfSVC(), FixedEpochsMLP(max_iter=50)],
    expected_failed_checks=lambda estimator: (
        {"check_sample_weight_equivalence_on_dense_data": "the rows held out are drawn without regard to their weights"}
        if isinstance(estimator, RbfSVC)
        else {}
    ),
)
def test_classifiers_keep_scikit_learns_contract(estimator: Any, check: Any) -> None:
    """The classifiers that are derived from scikit-learn's pass its own checks."""
    check(estimator)


@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_decisions_are_those_of_libsvm(n_classes: int) -> None:
    """The kernel by matrix products gives the decisions that libsvm gives for every pair."""
    rows = y_train < n_classes
    params: dict[str, Any] = {"C": 5.0, "gamma": 1e-3, "decision_function_shape": "ovo"}
    ours, theirs = RbfSVC(**params), SVC(**params)
    for machine in (ours, theirs):
        machine.fit(X_train[rows], y_train[rows])

    np.testing.assert_allclose(ours.decision_function(X_unseen), theirs.decision_function(X_unseen), atol=1e-9)
    np.testing.assert_allclose(
        ours.decision_function(X_unseen.astype(np.float32)), theirs.decision_function(X_unseen), atol=1e-3
    )


def test_decisions_agree_with_predictions() -> None:
    """The class with the largest decision is the one that is predicted."""
    machine = RbfSVC(C=5.0, gamma=1e-3).fit(X_train, y_train)

    np.testing.assert_array_equal(machine.decision_function(X_unseen).argmax(axis=1), machine.predict(X_unseen))


def test_predictions_are_nearly_those_of_libsvm() -> None:
    """Predictions by probability differ from libsvm's votes on no more than a few undecided rows."""
    ours, theirs = (kind(C=5.0, gamma=1e-3).fit(X_train, y_train) for kind in (RbfSVC, SVC))

    assert np.mean(ours.predict(X_unseen) == theirs.predict(X_unseen)) > 0.98


@pytest.mark.parametrize("n_classes", [2, 10])
def test_probabilities_are_better_than_their_unfitted_selves(n_classes: int) -> None:
    """The sharpness that held-out rows chose gives unseen rows a smaller log loss than none."""
    rows, unseen = y_train < n_classes, y_unseen < n_classes
    machine = RbfSVC(C=5.0, gamma=1e-3, random_state=0).fit(X_train[rows], y_train[rows])
    fitted = log_loss(y_unseen[unseen], machine.predict_proba(X_unseen[unseen]))
    machine.sharpness_ = 1.0

    assert fitted < log_loss(y_unseen[unseen], machine.predict_proba(X_unseen[unseen]))


def test_two_classes_know_their_sides() -> None:
    """With two classes the columns are in the order of the labels, too."""
    machine = RbfSVC(gamma=1e-3).fit(X_train[y_train < 2], y_train[y_train < 2])
    unseen = y_unseen < 2

    assert np.mean(machine.predict(X_unseen[unseen]) == y_unseen[unseen]) > 0.97


def test_rows_that_are_all_right_do_not_ask_for_certainty() -> None:
    """Classes that lie far apart give probabilities near 0 and 1, but the sharpness stays finite."""
    points, labels = make_blobs([40, 40, 40], centers=[(0, 0), (50, 0), (0, 50)], random_state=0)

    assert 1 < RbfSVC(gamma=1e-3, random_state=0).fit(points, labels).sharpness_ < 20


def test_too_few_rows_leave_the_sharpness_alone() -> None:
    """Where a class has one row there is nothing to hold out; the fit goes on without."""
    points, labels = make_blobs([1, 5, 5], n_features=2, random_state=0)

    assert RbfSVC().fit(points, labels).sharpness_ == 1.0
