"""The support vector machine on digits, and the claim that was made of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

from digits.data.split import Split
from digits.experiments.evaluation import Claim
from digits.experiments.metrics import Metrics, score
from digits.experiments.plots import confusion_matrix
from digits.experiments.statistics import percentage
from digits.reference.system import Images, Options, Outcome

__all__ = ["machine"]


def machine(split: Split, options: Options, *, test_share: float, ranges: tuple[int, ...], **params: Any) -> Outcome:
    """Fit on all images but a few, score on those; then hold the claim against three ranges.

    Parameters
    ----------
    split
        Of digits; its own rows do not matter here.
    options
        The claim, and how sure one must be to reject it.
    test_share
        Share of the images that are held out at random, in ``(0, 1)``.
    ranges
        Numbers of first rows to learn from; the claim is tested on the rows after them.
    params
        Of the support vector machine.
    """
    images = Images.of(split, np.arange(split.snapshot.n_samples))
    X, X_test, y, y_test = train_test_split(images.X, images.y, test_size=test_share, random_state=0)
    predicted = SVC(**params).fit(X, y).predict(X_test)
    lines = [f"Claim: {percentage(options.claim)} of the digits are predicted accurately."]
    metrics: dict[str, float] = {}
    for end in ranges:
        right = SVC(**params).fit(images.X[:end], images.y[:end]).predict(images.X[end:]) == images.y[end:]
        claim = Claim.of(options.claim, n_correct=int(right.sum()), n_samples=len(right), confidence=options.confidence)
        verdict = "rejected" if claim.rejected else "not rejected"
        metrics |= {f"accuracy_after_{end}": float(right.mean()), f"p_value_after_{end}": claim.p_value}
        lines.append(
            f"Rows 1 to {end:,} to learn from, {len(right):,} to test: {right.sum():,} right, {right.mean():.2%}; "
            f"exact binomial test, p = {claim.p_value:.3g}: {verdict}."
        )
    scored = _scored(y_test, predicted, classes=np.unique(images.y), confidence=options.confidence)
    picture = confusion_matrix(scored, dataset=split.snapshot.dataset, family="SVC", split="test")
    return Outcome(
        accuracy=scored.accuracy,
        metrics=metrics,
        figures={"confusion_matrix.png": picture},
        texts={"classification_report.txt": scored.report, "claim.txt": "\n".join(lines) + "\n"},
        statement="\n".join(lines),
    )


def _scored(y_true: Any, predicted: Any, *, classes: Any, confidence: float) -> Metrics:
    """Return the metrics of predictions that come without probabilities."""
    proba = (predicted[:, np.newaxis] == classes).astype(float)
    return score(y_true, proba, classes=classes.tolist(), confidence=confidence)
