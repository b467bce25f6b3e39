"""Promises of digits/experiments/metrics.py on hand-made examples."""

from __future__ import annotations

import re
from math import log

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from digits.errors import FitFailed
from digits.experiments.metrics import Metrics, score
from digits.experiments.probabilities import calibration_error
from digits.experiments.statistics import wilson_interval

TRUE = [0, 0, 1, 2]
PROBA = np.array([[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.2, 0.5, 0.3], [0.25, 0.25, 0.5]])


@pytest.fixture
def metrics() -> Metrics:
    """Return the metrics of four images, of which the second is wrong."""
    return score(TRUE, PROBA, classes=[0, 1, 2])


def test_figures_are_those_of_the_definitions(metrics: Metrics) -> None:
    """Accuracy, interval, averages and log loss are what one computes by hand."""
    assert metrics.confusion == ((1, 1, 0), (0, 1, 0), (0, 0, 1))
    assert (metrics.n_correct, metrics.n_samples, metrics.accuracy) == (3, 4, 0.75)
    assert metrics.accuracy_interval == wilson_interval(3, 4, confidence=0.95)
    assert metrics.per_class == {0: (1, 0.5, pytest.approx(2 / 3)), 1: (0.5, 1, pytest.approx(2 / 3)), 2: (1, 1, 1)}
    assert metrics.macro == pytest.approx((5 / 6, 5 / 6, 7 / 9))
    assert metrics.weighted == pytest.approx((7 / 8, 3 / 4, 3 / 4))
    assert metrics.log_loss == pytest.approx(-(log(0.8) + log(0.3) + log(0.5) + log(0.5)) / 4)


def test_flat_names_every_figure_for_mlflow(metrics: Metrics) -> None:
    """The flat figures have the promised names, fit for MLflow, and are plain numbers."""
    flat = metrics.flat()
    figures = ("precision", "recall", "f1")

    assert set(flat) == {
        *("accuracy", "accuracy_low", "accuracy_high", "balanced_accuracy", "log_loss", "brier_score"),
        *("calibration_error", "adaptive_calibration_error", "roc_auc", "average_precision"),
        *("top2_accuracy", "selective_coverage"),
        *(f"{average}_{figure}" for average in ("macro", "weighted") for figure in figures),
        *(f"{figure}_{label}" for label in range(3) for figure in figures),
    }
    assert all(re.fullmatch(r"[\w./:-]+", name) for name in flat)
    assert all(type(value) is float for value in flat.values())
    assert flat["f1_0"] == pytest.approx(2 / 3)


def test_report_is_scikit_learns(metrics: Metrics) -> None:
    """The text shows every class with its support, and the averages."""
    rows = [line.split() for line in metrics.report.splitlines() if line]

    assert rows[1] == ["0", "1.0000", "0.5000", "0.6667", "2"]
    assert rows[4] == ["accuracy", "0.7500", "4"]
    assert rows[6] == ["weighted", "avg", "0.8750", "0.7500", "0.7500", "4"]


def test_metrics_survive_a_round_trip_through_json(metrics: Metrics) -> None:
    """What is read back is equal, also after figures were looked at."""
    metrics.flat()
    again = Metrics.model_validate_json(metrics.model_dump_json())

    assert again == metrics
    assert again.flat() == metrics.flat()


def test_a_class_never_seen_or_predicted_counts_as_zero() -> None:
    """A ratio without a denominator is 0, without a warning."""
    metrics = score([0, 1], [[0.9, 0.1, 0], [0.9, 0.1, 0]], classes=[0, 1, 2])

    assert [metrics.per_class[label] for label in (1, 2)] == [(0, 0, 0)] * 2


def test_a_certain_mistake_costs_a_finite_log_loss() -> None:
    """Probability 0 for the true class is clipped, as scikit-learn does, so that averages stay comparable."""
    certain = score([0, 1], [[0, 1], [0, 1]], classes=[0, 1])

    assert 10 < certain.log_loss < 40


def test_single_precision_scores_like_double() -> None:
    """The rounding of a float32 softmax is no reason to refuse it, and moves the log loss by next to nothing."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(500, 10)).astype(np.float32)
    proba = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    y_true = rng.integers(0, 10, size=500)
    single, double = (
        score(y_true, proba.astype(kind), classes=range(10), confidence=0.95) for kind in (np.float32, np.float64)
    )

    assert proba.dtype == np.float32
    assert single.confusion == double.confusion
    assert single.log_loss == pytest.approx(double.log_loss, abs=1e-6)


def _changed(row: int, column: int, value: float) -> NDArray[np.float64]:
    proba = PROBA.copy()
    proba[row, column] = value
    return proba


@pytest.mark.parametrize(
    ("proba", "message"),
    [
        (_changed(2, 1, np.nan), "of 1 rows, first row 2, are not finite"),
        (_changed(2, 1, np.inf), "of 1 rows, first row 2, are not finite"),
        (_changed(1, 2, 0.2), "row 1 sum to 1.1, wanted 1"),
        (_changed(3, 0, -0.25), "-0.25 in row 3, column 0, wanted 0 or more"),
        (PROBA[:3], r"shape \(3, 3\), wanted \(4, 3\)"),
        (PROBA[:, :2], r"shape \(4, 2\), wanted \(4, 3\)"),
        (PROBA[:, 0], r"shape \(4,\), wanted \(4, 3\)"),
    ],
)
def test_what_is_no_probability_is_refused(proba: NDArray[np.float64], message: str) -> None:
    """Each way in which probabilities can be wrong gives one line that names the place and what was wanted."""
    with pytest.raises(FitFailed, match=message) as caught:
        score(TRUE, proba, classes=[0, 1, 2])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("y_true", "classes", "message"),
    [
        ([0, 0, 1, 7], [0, 1, 2], r"y_true holds \[7\], wanted only \[0, 1, 2\]"),
        ([], [0, 1, 2], r"shape \(0,\)"),
        ([[0, 0, 1, 2]], [0, 1, 2], r"shape \(1, 4\)"),
        (TRUE, [2, 1, 0], r"classes are \[2, 1, 0\], wanted two or more in ascending order"),
        (TRUE, [0, 1, 1], "ascending"),
        (TRUE, [0], "two or more"),
    ],
)
def test_labels_that_do_not_fit_are_refused(y_true: list[int], classes: list[int], message: str) -> None:
    """Labels outside the classes, none at all, or classes in another order than the columns are an error."""
    with pytest.raises(FitFailed, match=message):
        score(y_true, PROBA, classes=classes)


@pytest.mark.parametrize(
    "confusion", [((1, 0),), ((1, 0), (0,)), ((0, 0), (0, 0)), ((2, -1), (0, 1))], ids=["rows", "ragged", "empty", "<0"]
)
def test_a_matrix_that_holds_no_counts_is_refused(confusion: tuple[tuple[int, ...], ...]) -> None:
    """A damaged file does not become metrics."""
    with pytest.raises(ValidationError, match="confusion must"):
        Metrics.model_validate({**score([0, 1], [[1, 0], [0, 1]], classes=[0, 1]).model_dump(), "confusion": confusion})


def test_figures_of_probabilities_are_those_of_the_definitions(metrics: Metrics) -> None:
    """Four images by hand: the second is wrong, with confidence 0.6; its true class comes second."""
    distances = (0.2**2 + 2 * 0.1**2, 0.7**2 + 0.6**2 + 0.1**2, 0.2**2 + 0.5**2 + 0.3**2, 2 * 0.25**2 + 0.5**2)
    assert metrics.brier_score == pytest.approx(sum(distances) / 4)
    assert metrics.top2_accuracy == 1
    assert metrics.balanced_accuracy == pytest.approx(5 / 6)
    # Only the most confident image is kept: the second most confident one is wrong.
    assert metrics.selective_coverage == 0.25
    # Bins of one fifteenth: 0.8, 0.6 and twice 0.5, of which all but 0.6 are right; four bins of one image each.
    assert metrics.calibration_error == pytest.approx((0.2 + 0.6 + 2 * 0.5) / 4)
    assert metrics.adaptive_calibration_error == pytest.approx((0.2 + 0.6 + 2 * 0.5) / 4)


def test_images_of_one_class_have_no_ranking() -> None:
    """Where there is no other class to rank below, the figure is left out."""
    metrics = score([1, 1], [[0.3, 0.7], [0.6, 0.4]], classes=[0, 1])
    assert (metrics.roc_auc, metrics.average_precision) == (None, None)
    assert "roc_auc" not in metrics.flat()


@pytest.mark.parametrize("n_each", [58, 83])
def test_a_perfect_ranking_is_no_better_than_one(n_each: int) -> None:
    """Although the floats of these counts add up to 1.0000000000000002."""
    truth = np.repeat(np.arange(10), n_each)
    right = np.linspace(0.5, 0.9, len(truth))[:, np.newaxis]
    metrics = score(truth, np.eye(10)[truth] * right + (1 - right) / 10, classes=list(range(10)))
    assert (metrics.roc_auc, metrics.average_precision) == (1, 1)


def test_adaptive_calibration_error_is_that_of_bins_of_as_many_images_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand, on six images and three bins; and by NumPy's own parts on many, for the number of bins that counts."""
    confidence = np.array([0.9, 0.6, 1.0, 0.5, 0.96, 0.7])
    right = np.array([True, True, True, False, False, False])
    monkeypatch.setattr("digits.experiments.probabilities.BINS", 3)
    # 0.5, 0.6: sure to 0.55, right to 0.5. 0.7, 0.9: 0.8, 0.5. 0.96, 1.0: 0.98, 0.5. (0.05 + 0.3 + 0.48) / 3; bins
    # of the same width would hold none, two and four images.
    assert calibration_error(confidence, right, adaptive=True) == pytest.approx(0.83 / 3)
    monkeypatch.undo()
    rng = np.random.default_rng(0)
    confidence, right = rng.random(300), rng.random(300) < 0.7
    parts = np.array_split(np.argsort(confidence), 15)
    apart = [len(part) * abs(confidence[part].mean() - right[part].mean()) for part in parts]
    assert calibration_error(confidence, right, adaptive=True) == pytest.approx(sum(apart) / 300)


def test_calibration_error_is_that_of_a_published_example(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine samples, three bins: 0.23778 (M. Pavlovic, "Expected Calibration Error", 2023, Towards Data Science)."""
    monkeypatch.setattr("digits.experiments.probabilities.BINS", 3)
    probability = np.array([0.22, 0.64, 0.92, 0.42, 0.51, 0.15, 0.70, 0.37, 0.83])
    truth = np.array([0, 1, 0, 0, 0, 1, 1, 0, 1])
    found = calibration_error(probability, (probability > 0.5) == truth, adaptive=False)
    assert found == pytest.approx(0.23778, abs=5e-6)
