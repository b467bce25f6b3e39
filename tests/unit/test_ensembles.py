from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import NotFittedError
from sklearn.metrics import log_loss

from digits.models.ensembles import StackingEnsemble, VotingEnsemble

N_CLASSES = 4
ENSEMBLES = [
    VotingEnsemble(("good", "poor"), weights="equal"),
    VotingEnsemble(("good", "poor"), weights="learned"),
    StackingEnsemble(("good", "poor")),
]
each_ensemble = pytest.mark.parametrize("ensemble", ENSEMBLES, ids=["equal", "learned", "stacking"])


def answers(seed: int, *, n_samples: int = 400, skills: tuple[float, ...] = (3.0, 0.5)) -> tuple[Any, Any]:
    """Return probabilities by members of different skill, (n_members, n_samples, 4), and the labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n_samples) % N_CLASSES
    logits = rng.normal(size=(len(skills), n_samples, N_CLASSES))
    logits += np.array(skills)[:, None, None] * np.eye(N_CLASSES)[labels]
    proba = np.exp(logits)
    return proba / proba.sum(axis=2, keepdims=True), labels


@each_ensemble
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=6, deadline=None)
def test_combined_probabilities_are_probabilities(ensemble: Any, seed: int) -> None:
    """Whatever the members say, the ensemble's rows lie in [0, 1] and sum to 1."""
    proba, labels = answers(seed, n_samples=80)
    combined = ensemble.fit_members_proba(proba, labels).combine(proba)

    assert combined.min() >= 0
    np.testing.assert_allclose(combined.sum(axis=1), 1)


def test_equal_votes_are_the_mean() -> None:
    """Without learned weights the ensemble is the mean of its members."""
    proba, labels = answers(0)

    np.testing.assert_allclose(
        VotingEnsemble(("good", "poor"), weights="equal").fit_members_proba(proba, labels).combine(proba),
        proba.mean(axis=0),
    )


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_learned_weights_come_closest_to_the_truth(seed: int) -> None:
    """No other weights on a grid bring the mean closer to the labels; they are not negative and of sum 1."""
    proba, labels = answers(seed, skills=(1.5, 1.0, 0.2))
    weights = VotingEnsemble(("good", "fair", "poor"), weights="learned").fit_members_proba(proba, labels).weights_

    def brier(weights: Any) -> float:
        return float(np.mean((np.tensordot(weights, proba, axes=1) - np.eye(N_CLASSES)[labels]) ** 2))

    grid = [(a, b, 1 - a - b) for a in np.linspace(0, 1, 11) for b in np.linspace(0, 1, 11) if a + b <= 1]
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1)
    assert brier(weights) <= min(map(brier, grid)) + 1e-6


def test_modest_member_is_heard() -> None:
    """A member that is right but never sure keeps its weight beside one that is sure and more often wrong."""
    proba, labels = answers(1, skills=(6.0, 2.0))
    proba[0] = 0.4 * proba[0] + 0.6 / N_CLASSES
    voting = VotingEnsemble(("modest", "sure"), weights="learned").fit_members_proba(proba, labels)

    assert voting.weights_[0] > 0.3


def test_stacking_hears_the_member_that_knows() -> None:
    """Stacking gives unseen rows a smaller log loss than the mean of a good and a poor member."""
    (proba, labels), (unseen, truth) = answers(2), answers(3)
    stacking = StackingEnsemble(("good", "poor"), C=0.1).fit_members_proba(proba, labels)

    assert log_loss(truth, stacking.combine(unseen)) < log_loss(truth, unseen.mean(axis=0))


def test_certain_and_wrong_is_not_infinitely_wrong() -> None:
    """A member that gives the truth a probability of zero does not make the ensemble's numbers infinite."""
    proba, labels = answers(4)
    proba[1] = np.eye(N_CLASSES)[(labels + 1) % N_CLASSES]

    assert all(np.isfinite(one.fit_members_proba(proba, labels).combine(proba)).all() for one in ENSEMBLES)


@pytest.mark.filterwarnings("error")
def test_out_of_fold_probabilities_do_not_know_their_row() -> None:
    """The cross-fitted score of a stacking of pure noise is that of guessing; the score on its own rows is not."""
    rng = np.random.default_rng(5)
    noise, labels = rng.dirichlet(np.ones(N_CLASSES), size=(10, 120)), np.arange(120) % N_CLASSES
    stacking = StackingEnsemble([str(number) for number in range(10)], C=0.1, n_folds=3, random_state=0)
    honest = stacking.out_of_fold_proba(noise, labels, np.zeros(len(labels)))
    own = stacking.fit_members_proba(noise, labels).combine(noise)

    assert np.mean(own.argmax(axis=1) == labels) > 0.6
    assert np.mean(honest.argmax(axis=1) == labels) < 0.4


@each_ensemble
def test_an_ensemble_is_held_to_the_folds_of_its_members(ensemble: Any) -> None:
    """What it says of a fold it has learned from the others alone: rows of one hand are not on both sides."""
    proba, labels = answers(0)
    folds = np.arange(len(labels)) // 100
    honest = ensemble.out_of_fold_proba(proba, labels, folds)
    for fold in range(4):
        seen, unseen = folds != fold, folds == fold
        alone = clone(ensemble).fit_members_proba(proba[:, seen], labels[seen]).combine(proba[:, unseen])
        np.testing.assert_array_equal(honest[unseen], alone)


@each_ensemble
def test_out_of_fold_probabilities_leave_the_ensemble_as_it_was(ensemble: Any) -> None:
    """Cross-fitting is repeatable and does not touch what the ensemble learned."""
    proba, labels = answers(6)
    before = ensemble.fit_members_proba(proba, labels).combine(proba)
    first, second = (
        ensemble.set_params(random_state=0).out_of_fold_proba(proba, labels, np.zeros(len(labels))) for _ in range(2)
    )

    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(ensemble.combine(proba), before)


def test_columns_are_in_the_order_of_the_labels() -> None:
    """Labels need not be numbers from 0; predictions speak their language."""
    proba, labels = answers(7, skills=(9.0, 9.0))
    names = np.array(["a", "b", "c", "d"])
    members = [(name, DummyClassifier(strategy="constant", constant="c").fit(names, names)) for name in ("one", "two")]
    voting = VotingEnsemble(("one", "two")).fit_members_proba(proba, names[labels]).attach(members)

    np.testing.assert_array_equal(voting.classes_, names)
    np.testing.assert_array_equal(voting.predict(np.zeros((3, 8, 8))), ["c", "c", "c"])


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        pytest.param(lambda proba, labels: (proba[:1], labels), "wanted", id="a member is missing"),
        pytest.param(lambda proba, labels: (proba, labels[1:]), "found 4 classes in labels", id="a label is missing"),
        pytest.param(lambda proba, labels: (proba, labels % 3), "found 3 classes in labels", id="a class is missing"),
        pytest.param(lambda proba, labels: (proba * np.nan, labels), "not finite", id="not a number"),
        pytest.param(lambda proba, labels: (-proba, labels), "negative", id="negative"),
    ],
)
def test_answers_that_are_none_are_refused(spoil: Any, complaint: str) -> None:
    """Probabilities and labels that do not belong together are an error that says what was found."""
    with pytest.raises(ValueError, match=complaint):
        VotingEnsemble(("good", "poor")).fit_members_proba(*spoil(*answers(8)))


def test_members_are_those_that_were_learned_from() -> None:
    """Members of other names or with other labels are refused, and without members nothing is predicted."""
    proba, labels = answers(9)
    voting = VotingEnsemble(("good", "poor")).fit_members_proba(proba, labels)
    knows = DummyClassifier().fit(np.zeros(4), np.arange(4))
    lacks = DummyClassifier().fit(np.zeros(3), np.arange(3))

    with pytest.raises(NotFittedError, match="has no fitted members"):
        voting.predict_proba(np.zeros((1, 8, 8)))
    with pytest.raises(ValueError, match="found members poor, good, wanted good, poor"):
        voting.attach([("poor", knows), ("good", knows)])
    with pytest.raises(ValueError, match="member poor knows labels"):
        voting.attach([("good", knows), ("poor", lacks)])
