"""A family of the pipeline, and the plain script for the same, measured on the same rows: how right, how long.

Times are processor seconds of one thread, so that what else the machine does hardly counts; whoever has the machine
alone waits as long.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from digits.data.split import Split
from digits.experiments.fitting import fitting
from digits.models.ensembles import Ensemble
from digits.models.family import Family
from digits.reference.plain import PLAIN

__all__ = ["Measured", "Probabilities", "combined", "measure", "measure_plain"]


@dataclass(frozen=True)
class Measured:
    """What came of one fit on the development rows.

    Attributes
    ----------
    accuracy
        On the test rows, in ``[0, 1]``.
    fit_seconds, predict_seconds
        Processor seconds for fitting, and for predicting all test rows.
    """

    accuracy: float
    fit_seconds: float
    predict_seconds: float


@dataclass(frozen=True)
class Probabilities:
    """What an ensemble learns from and is scored by.

    Attributes
    ----------
    validation
        Out of fold, ``(n_validation, n_classes)`` float64, in the order of ``Split.validation``.
    test
        ``(n_test, n_classes)`` float64.
    """

    validation: NDArray[np.float64]
    test: NDArray[np.float64]


def measure(
    split: Split, *, family: Family, seed: int, validated: bool = False
) -> tuple[Measured, Probabilities | None]:
    """Fit a family to the development rows and score it on the test rows.

    Parameters
    ----------
    split
        The rows.
    family, seed
        What to fit.
    validated
        Whether to fit every fold too, not counted in the time, for an ensemble that needs the probabilities.

    Raises what `fitting` does.
    """
    images, labels = split.snapshot.images(), np.asarray(split.snapshot.labels())
    with fitting(split, family=family):
        start = time.process_time()
        estimator = family.build(seed=seed).fit(images[split.development()], labels[split.development()])
        fitted = time.process_time()
        test = estimator.predict_proba(images[split.test()])
        predicted = time.process_time()
        measured = Measured(
            _accuracy(split, estimator.classes_[test.argmax(axis=1)]), fitted - start, predicted - fitted
        )
        if not validated:
            return measured, None
        proba = np.zeros((len(images), len(estimator.classes_)))
        for fold in split.folds():
            estimator = family.build(seed=seed).fit(images[fold.train], labels[fold.train])
            proba[fold.validation] = estimator.predict_proba(images[fold.validation])
    return measured, Probabilities(proba[split.validation()], test)


def combined(split: Split, *, family: Family, seed: int, members: Sequence[tuple[Measured, Probabilities]]) -> Measured:
    """Return what an ensemble makes of its members; its time is theirs and its own."""
    labels = np.asarray(split.snapshot.labels())
    ensemble: Ensemble = family.build(seed=seed)
    start = time.process_time()
    ensemble.fit_members_proba(np.stack([proba.validation for _, proba in members]), labels[split.validation()])
    fitted = time.process_time()
    proba = ensemble.combine(np.stack([proba.test for _, proba in members]))
    predicted = time.process_time()
    return Measured(
        _accuracy(split, ensemble.classes_[proba.argmax(axis=1)]),
        fitted - start + sum(measured.fit_seconds for measured, _ in members),
        predicted - fitted + sum(measured.predict_seconds for measured, _ in members),
    )


def measure_plain(split: Split, *, family: str, seed: int) -> Measured:
    """Fit the plain script for a family to the same rows and score it on the same."""
    snapshot = split.snapshot
    X = np.asarray(snapshot.images()).reshape(snapshot.n_samples, -1).astype(np.float32) / snapshot.max_value
    y = np.asarray(snapshot.labels())
    train, test = split.development(), split.test()
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the tutorials do not wait for convergence either
        X_train, y_train, X_test = X[train], y[train], X[test]
        estimator = PLAIN[family](seed)
        start = time.process_time()
        estimator.fit(X_train, y_train)
        fitted = time.process_time()
        predicted = estimator.predict(X_test)
        return Measured(_accuracy(split, predicted), fitted - start, time.process_time() - fitted)


def _accuracy(split: Split, predicted: NDArray[np.generic]) -> float:
    return float(np.mean(predicted == np.asarray(split.snapshot.labels())[split.test()]))
