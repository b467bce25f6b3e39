"""The linear systems on MNIST: detectors of one digit, and classifiers of all."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from scipy.special import softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import cross_val_score

from digits.data.split import Split
from digits.experiments.metrics import score
from digits.experiments.plots import confusion_matrix, misclassified
from digits.reference.system import Images, Options, Outcome

__all__ = ["detector", "multinomial", "sgd"]


@contextmanager
def _as_written() -> Iterator[None]:
    """Let solvers stop where the tutorials stopped: they did not wait for convergence either."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def detector(split: Split, options: Options, *, folds: int, **params: Any) -> Outcome:
    """Cross-validate "is it this digit?" on the raw pixels of the training rows.

    Parameters
    ----------
    split
        Of MNIST.
    options
        Which digit.
    folds
        Number of folds; stratified, in the order of the rows.
    params
        Of the logistic regression.
    """
    train = Images.of(split, split.development())
    with _as_written():
        scores = cross_val_score(
            LogisticRegression(**params), train.X, train.y == options.digit, cv=folds, scoring="accuracy"
        )
    always_no = float(np.mean(train.y != options.digit))
    return Outcome(
        accuracy=float(scores.mean()),
        metrics={"deviation": float(scores.std()), "always_no": always_no},
        texts={
            "detector.txt": f"Is it a {options.digit}? {folds} folds: {', '.join(f'{each:.4f}' for each in scores)}.\n"
            f"Whoever always says no is right {always_no:.4f} of the times.\n"
        },
    )


def multinomial(split: Split, options: Options, *, divide_by: int, **params: Any) -> Outcome:
    """Fit a multinomial logistic regression to the pixels, divided by a number."""
    return _classified(
        split, LogisticRegression(**params), family="logistic regression", divide_by=divide_by, options=options
    )


def sgd(split: Split, options: Options, *, divide_by: int, **params: Any) -> Outcome:
    """Fit logistic regression by stochastic gradient descent to the pixels, divided by a number, shuffled.

    On pixels up to 255 a step is as large as the weights: where it stops is chance.
    """
    return _classified(split, SGDClassifier(**params), family="SGD", divide_by=divide_by, options=options)


def _classified(split: Split, estimator: Any, *, family: str, divide_by: int, options: Options) -> Outcome:
    train, test = Images.of(split, split.development()), Images.of(split, split.test())
    with _as_written():
        estimator.fit(train.X / divide_by, train.y)
    # Not `predict_proba`: on raw pixels the sigmoids of several classes are 1, and the first of them would win. The
    # softmax agrees with `predict`, and is what multinomial logistic regression gives.
    proba = softmax(estimator.decision_function(test.X / divide_by), axis=1)
    metrics = score(test.y, proba, classes=estimator.classes_.tolist(), confidence=options.confidence)
    shown: dict[str, Any] = {"dataset": split.snapshot.dataset, "family": family, "split": "test"}
    gallery = misclassified(
        np.asarray(split.snapshot.images()[split.test()]),
        y_true=test.y,
        y_proba=proba,
        classes=metrics.classes,
        max_value=split.snapshot.max_value,
        **shown,
    )
    return Outcome(
        accuracy=metrics.accuracy,
        metrics={"macro_f1": metrics.macro.f1},
        figures={"misclassified.png": gallery, "confusion_matrix.png": confusion_matrix(metrics, **shown)},
        texts={"classification_report.txt": metrics.report},
    )
