"""The support vector machine on digits, and the claim that was made of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

from digits.data.split import Split
from digits.experiments.canvas import blank, panel
from digits.experiments.claim import Claim
from digits.experiments.metrics import Metrics, score
from digits.experiments.statistics import percentage
from digits.reference.system import Images, Options, Outcome

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["RANGES", "claimed", "held_out", "machine", "read_by_range"]

#: The claim is tested after so many first rows to learn from.
RANGES = (1000, 1200, 1500)


def machine(split: Split, options: Options, *, test_share: float, random_state: int, **params: Any) -> Outcome:
    """Fit on all images but a few, and score on those.

    Parameters
    ----------
    split
        Of digits; its own rows do not matter here.
    options
        How sure the interval in the report is.
    test_share, random_state
        Share of the images that are held out at random, in ``(0, 1)``, and the seed that draws them.
    params
        Of the support vector machine.
    """
    images = Images.of(split, np.arange(split.snapshot.n_samples))
    estimator = SVC(**params)
    true, predicted = held_out(
        images.X, images.y, estimator=estimator, test_share=test_share, random_state=random_state
    )
    scored = _scored(true, predicted, classes=np.unique(images.y), confidence=options.confidence)
    return Outcome(
        accuracy=scored.accuracy,
        figures={"confusion_matrix.png": _heatmap(scored, dataset=split.snapshot.dataset)},
        texts={"classification_report.txt": scored.report},
    )


def claimed(split: Split, options: Options, **params: Any) -> Outcome:
    """Hold the claim against three ranges of rows; the accuracy is the mean of theirs.

    Parameters
    ----------
    split
        Of digits; its own rows do not matter here.
    options
        The claim, and how sure one must be to reject it.
    params
        Of the support vector machine.
    """
    images = Images.of(split, np.arange(split.snapshot.n_samples))
    lines = [f"Claim: {percentage(options.claim)} of the digits are predicted accurately."]
    metrics: dict[str, float] = {}
    each = read_by_range(images.X, images.y, make=lambda: SVC(**params))
    for end, right in zip(RANGES, each, strict=True):
        claim = Claim.of(options.claim, n_correct=int(right.sum()), n_samples=len(right), confidence=options.confidence)
        metrics |= {f"accuracy_after_{end}": float(right.mean()), f"p_value_after_{end}": claim.p_value}
        lines.append(
            f"Rows 1 to {end:,} to learn from, {len(right):,} to test: {right.sum():,} right, {right.mean():.2%}; "
            f"exact binomial test, p = {claim.p_value:.3g}: {claim.verdict}."
        )
    text = "\n".join(lines)
    accuracy = float(np.mean([right.mean() for right in each]))
    return Outcome(accuracy=accuracy, metrics=metrics, texts={"claim.txt": f"{text}\n"}, statement=text)


def held_out(
    X: NDArray[np.uint8], y: NDArray[np.uint8], *, estimator: Any, test_share: float, random_state: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the labels of rows held out at random, and what an estimator fitted on the others says of them."""
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=test_share, random_state=random_state)
    return y_test, np.asarray(estimator.fit(X_train, y_train).predict(X_test))


def read_by_range(X: NDArray[np.uint8], y: NDArray[np.uint8], *, make: Callable[[], Any]) -> list[NDArray[np.bool_]]:
    """Return for each of the ranges which of the rows after it are read rightly by an estimator fitted on it."""
    return [np.asarray(make().fit(X[:end], y[:end]).predict(X[end:]) == y[end:]) for end in RANGES]


def _scored(y_true: Any, predicted: Any, *, classes: Any, confidence: float) -> Metrics:
    """Return the metrics of predictions that come without probabilities."""
    proba = (predicted[:, np.newaxis] == classes).astype(float)
    return score(y_true, proba, classes=classes.tolist(), confidence=confidence)


def _heatmap(metrics: Metrics, *, dataset: str) -> Figure:
    """Draw the confusion matrix as the tutorial did: by seaborn, all counts on one scale."""
    import seaborn as sns  # seconds, which nothing else here waits for

    side = 0.46 * len(metrics.classes)
    subtitle = f"{metrics.n_correct:,} of {metrics.n_samples:,} held-out images right"
    figure = blank(width=side + 1.2, height=side + 0.9, title=f"SVC on {dataset}", subtitle=subtitle)
    axes = panel(figure, left=0.8, bottom=0.7, width=side, height=side)
    labels = metrics.classes
    style = {"annot": True, "fmt": "d", "cbar": False, "linewidths": 0.5, "cmap": "Blues", "ax": axes}
    sns.heatmap(metrics.matrix, xticklabels=labels, yticklabels=labels, **style)
    axes.set(xlabel="predicted digit", ylabel="true digit")
    axes.tick_params(axis="y", labelrotation=0)
    return figure
