"""Promises of the plots: they say what they show, survive what may come, and give the same bytes every time."""

from __future__ import annotations

import io
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from digits.errors import FitFailed, MissingError
from digits.experiments import plots
from digits.experiments.canvas import BLUE
from digits.experiments.conditions import Condition
from digits.experiments.corruptions import CORRUPTIONS
from digits.experiments.cost import Cost
from digits.experiments.metrics import score
from digits.experiments.statistics import wilson_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

N_SAMPLES = 200
HISTORY = {
    "loss": [1.0, 0.4, 0.05],
    "accuracy": [0.7, 0.9, 0.99],
    "val_loss": [0.9, 0.3, 0.35],
    "val_accuracy": [0.8, 0.95, 0.94],
}


@dataclass(frozen=True)
class Line:
    """A family on a leaderboard."""

    family: str
    validation_accuracy: float
    test_accuracy: float
    test_accuracy_low: float
    test_accuracy_high: float
    against_best: str = ""


@dataclass(frozen=True)
class Family:
    """A family with what it costs."""

    family: str
    test_accuracy: float
    cost: Cost


def line(family: str, *, correct: int, validation: float) -> Line:
    """Return the line of a family that took `correct` of 797 test images for what they are."""
    return Line(family, validation, correct / 797, *wilson_interval(correct, 797, confidence=0.95))


@dataclass(frozen=True)
class Scored:
    """Images, labels and probabilities that belong together."""

    images: NDArray[np.uint8]
    y_true: NDArray[np.int64]
    y_proba: NDArray[np.float64]


@pytest.fixture(scope="module")
def scored() -> Scored:
    """Return 200 noisy images of 8 by 8 pixels, of which about a quarter are misclassified."""
    rng = np.random.default_rng(0)
    y_true = np.arange(N_SAMPLES) % 10
    y_proba = rng.random((N_SAMPLES, 10))
    y_proba[np.arange(N_SAMPLES), y_true] += rng.random(N_SAMPLES) * 1.5
    images = rng.integers(0, 17, size=(N_SAMPLES, 8, 8), dtype=np.uint8)
    return Scored(images, y_true, y_proba / y_proba.sum(axis=1, keepdims=True))


def texts(figure: Figure) -> list[str]:
    """Return every text of a figure, headings first."""
    of_axes = [text.get_text() for axes in figure.axes for text in axes.texts]
    return [text.get_text().replace("\u202f", " ") for text in figure.texts] + of_axes


def gallery(scored: Scored, *, rows: NDArray[np.int64], limit: int = 40) -> Figure:
    """Draw the misclassified ones among some rows."""
    return plots.misclassified(
        scored.images[rows],
        y_true=scored.y_true[rows],
        y_proba=scored.y_proba[rows],
        classes=range(10),
        max_value=16,
        dataset="digits",
        family="svm",
        split="test",
        limit=limit,
    )


def harmed(share: float) -> list[Condition]:
    """Return what is left of 20 images under every kind and strength of harm."""
    return [
        Condition(kind=kind.name, level=f"{strength:g}", n_samples=20, n_correct=int(20 * share), mean_confidence=0.5)
        for kind in CORRUPTIONS
        for strength in kind.strengths
    ]


def every_plot(scored: Scored) -> dict[str, Callable[[], Figure]]:
    """Return how each plot is drawn."""
    metrics = score(scored.y_true, scored.y_proba, classes=range(10), confidence=0.95)
    predicted = scored.y_proba.argmax(axis=1)
    lines = [line("svm", correct=780, validation=0.99), line("sgd", correct=797, validation=1.0)]
    lines += [replace(lines[1], against_best=mark) for mark in ("tied", "better")]
    return {
        "confusion_matrix": lambda: plots.confusion_matrix(metrics, dataset="digits", family="svm", split="test"),
        "misclassified": lambda: gallery(scored, rows=np.arange(N_SAMPLES)),
        "learning_curves": lambda: plots.learning_curves(HISTORY, dataset="digits", family="cnn", n_samples=1000),
        "sample_grid": lambda: plots.sample_grid(scored.images, scored.y_true, max_value=16, dataset="digits"),
        "leaderboard": lambda: plots.leaderboard(
            lines, dataset="digits", n_validation=1000, n_test=797, confidence=0.95
        ),
        "reliability": lambda: plots.reliability(
            metrics, y_true=scored.y_true, y_proba=scored.y_proba, dataset="digits", family="svm", split="test"
        ),
        "pareto": lambda: plots.pareto(
            [Family("svm", 0.98, Cost(0.01, 0.002, 1000)), Family("sgd", 1.0, Cost(0.001, 0.00001, 10))],
            dataset="digits",
            n_test=200,
        ),
        "class_report": lambda: plots.class_report(metrics, dataset="digits", family="svm", split="test"),
        "per_digit": lambda: plots.per_digit({"svm": metrics, "sgd": metrics}, dataset="digits"),
        "roc_and_precision_recall": lambda: plots.roc_and_precision_recall(
            {"svm": scored.y_proba, "sgd": scored.y_proba**2},
            scored.y_true[:, np.newaxis] == np.arange(10),
            dataset="digits",
        ),
        "robustness": lambda: plots.robustness({"svm": harmed(0.8), "sgd": harmed(0.9)}, dataset="digits"),
        "agreement": lambda: plots.agreement(
            {"svm": predicted, "k_nearest_neighbors": scored.y_true}, scored.y_true, dataset="digits"
        ),
    }


PLOTS = [
    "confusion_matrix",
    "misclassified",
    "learning_curves",
    "sample_grid",
    "leaderboard",
    "reliability",
    "agreement",
    "pareto",
    "class_report",
    "per_digit",
    "roc_and_precision_recall",
    "robustness",
]


@dataclass(frozen=True)
class Drawn:
    """A plot, and the picture that was saved of it."""

    name: str
    figure: Figure
    path: Path


@pytest.fixture(scope="module", params=PLOTS)
def drawn(request: pytest.FixtureRequest, scored: Scored, tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    """Return each plot, drawn once."""
    figure, path = every_plot(scored)[request.param](), tmp_path_factory.mktemp("drawn") / "0.png"
    plots.save_png(figure, path)
    return Drawn(request.param, figure, path)


def test_the_same_input_gives_the_same_bytes(drawn: Drawn, scored: Scored) -> None:
    """Two drawings are one file to the byte, without a date or a version inside."""
    plots.save_png(every_plot(scored)[drawn.name](), drawn.path.with_name("1.png"))
    first, second = (drawn.path.with_name(f"{number}.png").read_bytes() for number in range(2))

    assert first == second
    assert set(Image.open(io.BytesIO(first)).info) == {"dpi"}
    assert sorted(path.name for path in drawn.path.parent.iterdir()) == ["0.png", "1.png"]


def test_every_plot_fits_on_its_paper(drawn: Drawn) -> None:
    """The edge of every picture is blank: nothing is cut off; only the band behind the champion reaches it."""
    pixels = np.asarray(Image.open(drawn.path).convert("L"))
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])

    assert edge.min() >= 240
    assert pixels.min() < 100


def test_headings_say_what_is_shown(drawn: Drawn) -> None:
    """The heading names the dataset and the number of images."""
    heading = " ".join(texts(drawn.figure)[:2])

    assert "digits" in heading
    assert any(count in heading for count in ("200", "1,000", "20 test images"))


def test_an_interrupted_drawing_leaves_the_old_picture(tmp_path: Path) -> None:
    """A figure that cannot be drawn does not replace the picture that is there."""
    from matplotlib.figure import Figure

    path = tmp_path / "plot.png"
    path.write_bytes(b"old")
    figure = Figure()
    figure.text(0, 0, "$\\nonsense$")

    with pytest.raises(ValueError, match="nonsense"):
        plots.save_png(figure, path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_confusion_matrix_shows_every_count(scored: Scored) -> None:
    """Each count stands in its cell, and none stands in an empty one."""
    metrics = score(scored.y_true, scored.y_proba, classes=range(10), confidence=0.95)
    (axes,) = every_plot(scored)["confusion_matrix"]().axes
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    expected = {
        (column, row): str(count) for (row, column), count in np.ndenumerate(metrics.matrix) if count or row == column
    }

    assert {place: text for place, text in cells.items() if place in expected} == expected
    assert not {place for place in np.ndindex(10, 10) if place in cells} - set(expected)


def test_misclassified_shows_the_most_confident_mistakes_first(scored: Scored) -> None:
    """The captions name the true and the predicted digit of the mistakes, in falling confidence, up to the limit."""
    predicted = scored.y_proba.argmax(axis=1)
    wrong = np.flatnonzero(predicted != scored.y_true)
    expected = sorted(wrong, key=lambda row: -scored.y_proba[row].max())[:7]
    captions = texts(gallery(scored, rows=np.arange(N_SAMPLES), limit=7))[2:]

    assert captions[0::3] == [f"{scored.y_true[row]} →" for row in expected]
    assert captions[1::3] == [f"{predicted[row]}" for row in expected]
    assert all(int(left) >= int(right) for left, right in pairwise(captions[2::3]))


@pytest.mark.parametrize("n_wrong", [0, 1, 3, 11])
def test_few_mistakes_make_a_picture_too(scored: Scored, n_wrong: int) -> None:
    """A family without mistakes gets a picture that says so; a few of them fill less than a row."""
    right = scored.y_proba.argmax(axis=1) == scored.y_true
    rows = np.concatenate([np.flatnonzero(right), np.flatnonzero(~right)[:n_wrong]])
    figure = gallery(scored, rows=rows)
    figure.savefig(io.BytesIO(), format="png")

    assert texts(figure)[1].startswith(f"{n_wrong or 'none'} of {len(rows)} test images")
    assert len(texts(figure)) == 2 + 3 * n_wrong


@pytest.mark.parametrize(
    ("history", "titles"),
    [
        (HISTORY, ["loss", "accuracy"]),
        ({"loss": [0.9, 0.5]}, ["loss"]),
        ({"val_accuracy": [0.9]}, ["accuracy"]),
        ({"loss": [1.0, float("nan")], "val_loss": [float("nan")] * 2}, ["loss"]),
        ({"loss": [-0.5, -0.9], "learning_rate": [0.1, 0.1]}, ["loss"]),
        ({"loss": [1.0, 0.0], "accuracy": []}, ["loss"]),
    ],
    ids=["all", "loss only", "one epoch", "diverged", "negative", "zero"],
)
def test_learning_curves_draw_what_is_there(history: dict[str, list[float]], titles: list[str]) -> None:
    """Each figure that has epochs gets a panel, even after a diverged fit or a single epoch."""
    figure = plots.learning_curves(history, dataset="digits", family="cnn", n_samples=1000)
    figure.savefig(io.BytesIO(), format="png")

    assert [axes.get_title(loc="left") for axes in figure.axes] == titles


def test_learning_curves_ring_the_best_validation_epoch() -> None:
    """The lowest loss and the highest accuracy on validation data are written out."""
    figure = plots.learning_curves(HISTORY, dataset="digits", family="cnn", n_samples=1000)

    assert [text.replace("\u202f", " ") for text in texts(figure)[2:]] == [
        "best 0.3000 in epoch 2",
        "best 95.00 % in epoch 2",
    ]


def test_a_history_without_epochs_is_refused() -> None:
    """Nothing to draw is an error that names what was found."""
    with pytest.raises(FitFailed, match=r"history of svm holds \['seconds'\]"):
        plots.learning_curves({"seconds": [1.0]}, dataset="digits", family="svm", n_samples=1000)


def test_sample_grid_counts_every_class() -> None:
    """A class with fewer images than columns is shown with those it has, and the counts are right."""
    labels = np.array([3] * 20 + [7] * 2)
    figure = plots.sample_grid(np.full((22, 28, 28), 255, np.uint8), labels, max_value=255, dataset="folder")
    (image,) = figure.axes[0].images
    lower = np.asarray(image.get_array())[-40]

    assert texts(figure)[2:] == ["3", "20", "7", "2"]
    assert np.count_nonzero(lower.sum(axis=1) < 255) == 2 * 84


def test_leaderboard_keeps_the_order_and_shows_the_intervals() -> None:
    """Families stand in the order they came in, the test accuracy inside its interval, also when it is perfect."""
    lines = [
        line("svm", correct=797, validation=1.0),
        line("sgd", correct=790, validation=0.97),
        line("cnn", correct=0, validation=0.0),
    ]
    figure = plots.leaderboard(lines, dataset="digits", n_validation=1000, n_test=797, confidence=0.95)
    (axes,) = figure.axes
    validation, test = (np.asarray(drawn.get_xdata(), dtype=np.float64) for drawn in axes.lines)
    bars = [segment[:, 0] for segment in axes.collections[0].get_segments()]  # type: ignore[attr-defined]  # hlines

    assert [text for text in texts(figure) if text in {"svm", "sgd", "cnn"}] == ["svm", "sgd", "cnn"]
    assert all(low <= dot <= high for (low, high), dot in zip(bars, test, strict=True))
    assert np.isfinite([*validation, *test, *axes.get_xlim()]).all()
    assert axes.get_xlim()[0] <= validation.min() < test.max() <= axes.get_xlim()[1]


def test_leaderboard_tells_tied_from_better() -> None:
    """A family that the test images call better than the best is marked so, beside its line; a tied one is shaded."""
    best, other, worse = (line(name, correct=780, validation=0.99) for name in ("svm", "mlp", "sgd"))
    lines = [replace(best, against_best="tied"), replace(other, against_best="better"), worse]
    figure = plots.leaderboard(lines, dataset="digits", n_validation=1000, n_test=797, confidence=0.95)
    (mark,) = [text for text in figure.axes[0].texts if text.get_text() == "better"]

    assert mark.get_position()[1] == 1
    assert len(figure.axes[0].patches) == 1  # the best's own shade
    assert "shaded" not in texts(figure)[1]
    assert texts(figure)[1].endswith("; better: these say so")
    tied = plots.leaderboard(
        [best, replace(other, against_best="tied"), worse],
        dataset="digits",
        n_validation=1000,
        n_test=797,
        confidence=0.95,
    )
    assert len(tied.axes[0].patches) == 2
    assert "better" not in " ".join(texts(tied))


def test_a_confidence_above_99_per_cent_is_written_out(scored: Scored) -> None:
    """An interval of 99.5 % is not called one of 100 %."""
    metrics = score(scored.y_true, scored.y_proba, classes=range(10), confidence=0.995)
    matrix = plots.confusion_matrix(metrics, dataset="digits", family="svm", split="test")
    board = plots.leaderboard(
        [line("svm", correct=780, validation=1.0)], dataset="digits", n_validation=1000, n_test=797, confidence=0.995
    )

    assert "99.5 % interval" in texts(matrix)[1]
    assert "99.5\u202f% interval" in texts(board)


def test_reliability_draws_what_the_calibration_error_averages() -> None:
    """Probabilities that sum to almost 1 are brought to 1 for the dots as they are for the figure."""
    y_true, y_proba = np.zeros(10, np.int64), np.tile([0.6006, 0.3998], (10, 1))
    metrics = score(y_true, y_proba, classes=range(2))
    figure = plots.reliability(metrics, y_true=y_true, y_proba=y_proba, dataset="digits", family="svm", split="test")
    dot = np.asarray(figure.axes[0].lines[1].get_xdata())

    assert 1 - dot == pytest.approx(metrics.calibration_error)


def priced(**families: tuple[float, float]) -> Figure:
    """Draw what families cost, each an accuracy and the seconds per image, on paper too: warnings are errors."""
    items = [Family(name, accuracy, Cost(0.01, seconds, 10)) for name, (accuracy, seconds) in families.items()]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = plots.pareto(items, dataset="digits", n_test=10_000)
        figure.savefig(io.BytesIO(), format="png")
    return figure


@pytest.mark.parametrize("accuracy", [0.55, 0.9, 0.99, 0.9972, 0.9999, 1.0])
def test_pareto_writes_accuracies_that_differ(accuracy: float) -> None:
    """Each accuracy on the axis is another one, also where all families are good, and where there is only one."""
    for families in ({"svm": (accuracy, 1e-5)}, {"svm": (accuracy, 1e-5), "sgd": (accuracy - 0.002, 1e-5)}):
        (axes,) = priced(**families).axes
        written = [label.get_text() for label in axes.get_yticklabels()]
        assert written
        assert len(written) == len(set(written))


def test_equal_families_do_not_beat_each_other() -> None:
    """Of two that are as fast and as accurate both stand on the line; one that is only slower does not."""
    figure = priced(svm=(0.99, 1e-5), sgd=(0.99, 1e-5), mlp=(0.99, 2e-5))
    bold = {text.get_text() for text in figure.axes[0].texts if text.get_fontweight() == "bold"}

    assert {"svm", "sgd", "mlp"} & bold == {"svm", "sgd"}


def test_one_mistake_is_pale() -> None:
    """One mistake of a kind is not drawn as darkly as five."""
    y_true = np.array([0, 0, 1, 1])
    metrics = score(y_true, np.array([[0.9, 0.1], [0.4, 0.6], [0.1, 0.9], [0.2, 0.8]]), classes=range(2))
    (image,) = plots.confusion_matrix(metrics, dataset="digits", family="svm", split="test").axes[0].images

    assert image.get_clim() == (0, 5)


@pytest.mark.parametrize("families", [["svm"], ["svm", "sgd"], ["sgd", "svm"], ["svm", "sgd", "mlp"]])
def test_curves_and_their_names_have_one_colour(families: list[str], scored: Scored) -> None:
    """The best is blue where it has the least area, too; only a name whose line is drawn so is orange."""
    proba = {"svm": scored.y_proba, "sgd": np.full((N_SAMPLES, 10), 0.1), "mlp": scored.y_proba**2}
    figure = plots.roc_and_precision_recall(
        {family: proba[family] for family in families}, scored.y_true[:, np.newaxis] == np.arange(10), dataset="digits"
    )
    lines = [drawn.get_color() for drawn in figure.axes[0].lines]
    names = {text.get_text().partition(":")[0]: text.get_color() for text in figure.texts[2:]}

    assert next(iter(names)) == families[0]
    assert names[families[0]] == BLUE
    assert all(lines[families.index(family)] == colour for family, colour in names.items())


def test_an_empty_leaderboard_is_refused() -> None:
    """No family is an error that says what to run."""
    with pytest.raises(MissingError, match="run `digits run digits`"):
        plots.leaderboard([], dataset="digits", n_validation=1000, n_test=797, confidence=0.95)


def test_plots_load_matplotlib_only_when_they_draw(root: Path) -> None:
    """Importing the module is cheap, and pyplot with its global state is never loaded."""
    code = (
        "import sys; from digits.experiments import plots; assert 'matplotlib' not in sys.modules\n"
        "plots.learning_curves({'loss': [1.0]}, dataset='d', family='f', n_samples=1)\n"
        "assert 'matplotlib' in sys.modules and 'matplotlib.pyplot' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
