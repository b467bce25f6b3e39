"""Whatever the probabilities, the figures of one scoring agree with each other and with scikit-learn's."""

from __future__ import annotations

import warnings
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from sklearn import metrics as sklearn_metrics

from digits.experiments.metrics import Metrics, checked_proba, score
from digits.experiments.probabilities import BINS, calibration_error, coverage

Scoring = tuple[NDArray[np.int64], NDArray[np.float64], list[int]]


@st.composite
def scorings(draw: st.DrawFn) -> Scoring:
    """Draw labels, probabilities and classes: few images, classes with gaps, classes that never occur."""
    classes = sorted(draw(st.sets(st.integers(0, 9), min_size=2)))
    n_samples = draw(st.integers(1, 60))
    weights = draw(arrays.arrays(np.float64, (n_samples, len(classes)), elements=st.floats(0, 1, width=16)))
    weights[:, 0] += weights.sum(axis=1) == 0
    y_true = draw(arrays.arrays(np.int64, n_samples, elements=st.sampled_from(classes)))
    return y_true, weights / weights.sum(axis=1, keepdims=True), classes


# No deadline: the first example pays for imports, and a busy machine is no reason to fail.
@settings(deadline=None, max_examples=60)
@given(scorings())
def test_confusion_report_and_accuracy_agree(scoring: Scoring) -> None:
    """Accuracy, report and confusion matrix are those that scikit-learn computes of the predictions themselves."""
    y_true, y_proba, classes = scoring
    y_pred = np.array(classes)[y_proba.argmax(axis=1)]
    metrics = score(y_true, y_proba, classes=classes)
    expected = sklearn_metrics.precision_recall_fscore_support(y_true, y_pred, labels=classes, zero_division=0)

    assert metrics.n_samples == len(y_true)
    assert metrics.accuracy == pytest.approx(sklearn_metrics.accuracy_score(y_true, y_pred))
    assert np.array_equal(metrics.matrix, sklearn_metrics.confusion_matrix(y_true, y_pred, labels=classes))
    assert np.array([metrics.per_class[label] for label in classes]) == pytest.approx(np.transpose(expected[:3]))
    assert metrics.report == sklearn_metrics.classification_report(
        y_true, y_pred, labels=classes, digits=4, zero_division=0
    )


@settings(deadline=None, max_examples=60)
@given(scorings(), st.floats(0.01, 0.99))
def test_figures_stay_within_their_bounds(scoring: Scoring, confidence: float) -> None:
    """Every share lies in [0, 1], the interval holds the accuracy, and weighted recall is accuracy by another name."""
    y_true, y_proba, classes = scoring
    flat = score(y_true, y_proba, classes=classes, confidence=confidence).flat()

    assert flat["accuracy_low"] <= flat["accuracy"] <= flat["accuracy_high"]
    assert flat["weighted_recall"] == pytest.approx(flat["accuracy"])
    assert flat.pop("log_loss") >= 0
    assert 0 <= flat.pop("brier_score") <= 2
    assert all(0 <= share <= 1 for share in flat.values())


@settings(deadline=None, max_examples=60)
@given(scorings(), st.randoms(use_true_random=False))
def test_the_order_of_images_does_not_matter(scoring: Scoring, random: Random) -> None:
    """Shuffled rows give the same matrix, and every figure the same up to rounding."""
    y_true, y_proba, classes = scoring
    order = np.arange(len(y_true))
    random.shuffle(order)  # type: ignore[arg-type]  # an array is shuffled as well as a list
    metrics, shuffled = (score(y_true[rows], y_proba[rows], classes=classes) for rows in (slice(None), order))

    assert shuffled.confusion == metrics.confusion
    assert shuffled.flat() == pytest.approx(metrics.flat())


@settings(deadline=None, max_examples=60)
@given(scorings())
def test_json_keeps_everything(scoring: Scoring) -> None:
    """Metrics read back from JSON are equal, to the last bit."""
    y_true, y_proba, classes = scoring
    metrics = score(y_true, y_proba, classes=classes)

    assert Metrics.model_validate_json(metrics.model_dump_json()) == metrics


@settings(deadline=None, max_examples=60)
@given(scorings())
def test_figures_of_probabilities_are_scikit_learns(scoring: Scoring) -> None:
    """Those that scikit-learn has too are the same."""
    y_true, y_proba, classes = scoring
    metrics = score(y_true, y_proba, classes=classes)
    columns = np.searchsorted(classes, y_true)
    assert metrics.log_loss == pytest.approx(sklearn_metrics.log_loss(columns, y_proba, labels=range(len(classes))))
    assert metrics.brier_score == pytest.approx(np.mean(((y_proba - np.eye(len(classes))[columns]) ** 2).sum(axis=1)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # classes that are predicted, but of which there is no image
        balanced = sklearn_metrics.balanced_accuracy_score(y_true, np.array(classes)[y_proba.argmax(axis=1)])
    assert metrics.balanced_accuracy == pytest.approx(balanced)
    # scikit-learn's takes the last ones of a tie, ours the first, as a prediction does: mirrored, they are the same.
    mirrored = (
        sklearn_metrics.top_k_accuracy_score(
            len(classes) - 1 - columns, y_proba[:, ::-1], k=2, labels=range(len(classes))
        )
        if len(classes) > 2
        else 1.0
    )
    assert metrics.top2_accuracy == pytest.approx(mirrored)
    # To divide by a sum of almost 1 moves the last bits, and with them who is as probable as another.
    y_proba = checked_proba(y_proba, n_samples=len(y_true), n_classes=len(classes))
    if len(classes) > 2 and set(y_true) == set(classes):
        assert metrics.roc_auc == pytest.approx(sklearn_metrics.roc_auc_score(y_true, y_proba, multi_class="ovr"))
        assert metrics.average_precision == pytest.approx(
            sklearn_metrics.average_precision_score(np.eye(len(classes))[columns], y_proba, average="macro")
        )


@settings(deadline=None, max_examples=60)
@given(scorings())
def test_calibration_and_coverage_are_those_of_the_slow_way(scoring: Scoring) -> None:
    """Bin by bin and image by image, the same comes out."""
    y_true, y_proba, classes = scoring
    confidence, right = y_proba.max(axis=1), np.array(classes)[y_proba.argmax(axis=1)] == y_true
    error = 0.0
    for number in range(BINS):
        inside = [k for k, value in enumerate(confidence) if number / BINS < value <= (number + 1) / BINS]
        error += abs(sum(confidence[k] - float(right[k]) for k in inside)) / len(y_true)
    assert calibration_error(confidence, right, adaptive=False) == pytest.approx(error)
    best = 0.0
    for least in set(confidence):
        kept = confidence >= least
        if right[kept].mean() >= 0.9:
            best = max(best, kept.mean())
    assert coverage(confidence, right, accuracy=0.9) == pytest.approx(best)


@settings(deadline=None, max_examples=60)
@given(scorings())
def test_adaptive_bins_hold_as_many_images_each_and_no_tie_is_cut(scoring: Scoring) -> None:
    """Each bin ends with the image that a fifteenth more of all reaches, and with those as confident as that one."""
    y_true, y_proba, classes = scoring
    confidence, right = y_proba.max(axis=1), np.array(classes)[y_proba.argmax(axis=1)] == y_true
    ascending, left, error = sorted(confidence), list(zip(confidence, right, strict=True)), 0.0
    for number in range(1, BINS + 1):
        reached = int(number * len(ascending) / BINS)
        limit = ascending[reached - 1] if reached else ascending[0]
        inside = [pair for pair in left if pair[0] <= limit or number == BINS]
        left = [pair for pair in left if not (pair[0] <= limit or number == BINS)]
        error += abs(sum(sure - float(hit) for sure, hit in inside)) / len(ascending)
    assert calibration_error(confidence, right, adaptive=True) == pytest.approx(error)
