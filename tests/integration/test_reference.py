"""The tutorials' systems come out as they were published, and the pipeline's best beside them."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import mlflow  # noqa: TID253 - the tests here read its runs
import numpy as np
import pytest
from sklearn.linear_model import SGDClassifier

from digits.data import idx
from digits.data.snapshot import write_snapshot
from digits.data.split import Fraction, LastRows, SplitParams, split
from digits.errors import MissingError, ParamsError
from digits.experiments.metrics import score
from digits.experiments.scores import read_predicted
from digits.reference.champions import detects
from digits.reference.machine import _heatmap
from digits.reference.system import Images, Options
from digits.reference.systems import SYSTEMS
from digits.settings import Settings
from digits.steps import data
from digits.steps.reference import Referred, _champion, _note, reference


def test_the_systems_on_digits_are_those_of_their_tutorials(kept: Any) -> None:
    """Both published figures come out; the pipeline's best is above where it can be; pictures and texts are logged."""
    done = kept.digits("reference", "svc", "svc_claim", "perceptron", "--json")
    assert done.returncode == 0, done.stderr
    svc, claimed, perceptron = json.loads(done.stdout)
    assert svc["accuracy"] == svc["champion_accuracy"] == 1.0
    assert round(perceptron["accuracy"], 4) == 0.9147
    assert perceptron["champion_accuracy"] > perceptron["published"]
    assert claimed["champion_accuracy"] > claimed["accuracy"]
    assert perceptron["champion_accuracy"] == json.loads(kept.first.stdout)[0]["test_accuracy"]
    client = mlflow.MlflowClient(f"sqlite:///{kept.root / 'mlflow/mlflow.db'}")
    run = client.get_run(svc["run_id"])
    assert client.get_experiment(run.info.experiment_id).name == "reference"
    assert run.data.params["C"] == "100"
    assert run.data.params["option.claim"] == "0.95"
    assert run.data.tags["champion"] == svc["champion"]
    assert "mlflow.note.content" not in client.get_experiment(run.info.experiment_id).tags  # a table of all, or none
    names = {item.path for item in client.list_artifacts(svc["run_id"])}
    assert names == {"confusion_matrix.png", "classification_report.txt"}
    assert claimed["statement"].startswith("Claim: 95\u202f% of the digits are predicted accurately.")
    assert (claimed["published"], claimed["published_text"]) == (None, "")
    run = client.get_run(claimed["run_id"])
    claim = Path(client.download_artifacts(claimed["run_id"], "claim.txt")).read_text(encoding="utf-8")
    assert claim.count("exact binomial test") == 3
    for end in (1000, 1200, 1500):
        line = next(line for line in claim.splitlines() if line.startswith(f"Rows 1 to {end:,} "))
        rejected = run.data.metrics[f"p_value_after_{end}"] < 0.05
        assert line.endswith(": rejected." if rejected else ": not rejected.")
    accuracies = [run.data.metrics[f"accuracy_after_{end}"] for end in (1000, 1200, 1500)]
    assert accuracies[0] > 0.95
    assert claimed["accuracy"] == pytest.approx(np.mean(accuracies))


def test_the_heatmap_has_true_digits_in_rows() -> None:
    """Each count stands in the row of what was written and the column of what was read."""
    scored = score([0, 0, 1, 2], np.eye(3)[[0, 1, 1, 2]], classes=[0, 1, 2])
    (axes,) = _heatmap(scored, dataset="digits").axes
    assert [text.get_text() for text in axes.texts] == ["1", "1", "0", "0", "1", "0", "0", "0", "1"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted digit", "true digit")
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0", "1", "2"]


def test_the_note_is_a_table_of_all() -> None:
    """With a link to each run; where nothing was published of a digit, or no pipeline has run, the cell is empty."""
    common = {"name": "svc", "title": "SVC", "dataset": "digits", "accuracy": 1.0, "run_id": "abc", "statement": ""}
    known = Referred(published=1.0, published_text="100 %", champion="svm", champion_accuracy=0.99, **common)
    alone = replace(known, published=None, published_text="", champion=None, champion_accuracy=None)
    note = _note([known, alone], experiment_id="7")
    assert "| SVC | 100 % | 100.00% | 99.00% | svm |" in note
    assert "| SVC |  | 100.00% |  |  |" in note
    assert note.count("experiments/7/runs/abc") == 2


def test_what_cannot_be_done_is_one_line(checkout: Any) -> None:
    """An unknown system is named, with those that there are; so is a dataset that has no split."""
    with pytest.raises(ParamsError, match="no reference system quantum; there are detector, "):
        reference(checkout.project, ["quantum"], digit=2, settings=Settings.load(checkout.root))
    settings = Settings.load(checkout.root)
    with pytest.raises(MissingError, match="digits ingest digits"):
        reference(checkout.project, ["svc"], digit=2, settings=settings)
    checkout.params(split={"test": {"take": "last", "rows": 700}}, validate={"test_rows": None})
    for step in (partial(data.ingest, settings=settings), data.validate, data.split):
        step(checkout.project, "digits")
    with pytest.raises(ParamsError, match="perceptron was tested on the last 797 rows of digits, the split has others"):
        reference(checkout.project, ["svc", "perceptron"], digit=2, settings=settings)


def test_the_pipelines_best_detects_on_rows_that_it_was_not_fitted_on(ran: Any) -> None:
    """Its column of both detectors: how often it says rightly of a test image whether it is that digit, one by one."""
    rows = data.load_split(ran.project, "digits")
    champion = _champion(ran.project, rows)
    assert champion is not None
    accuracy, family = detects(rows, champion, Options(digit=3))
    labels = rows.snapshot.labels()[rows.test()]
    predicted = read_predicted(ran.project.evaluation("digits"), family, split=rows)
    assert len(labels) == len(predicted) == 797
    assert accuracy == pytest.approx(np.mean((predicted == 3) == (labels == 3)))
    assert family == json.loads(ran.first.stdout)[0]["family"]
    assert accuracy > 0.97


def test_the_pipelines_best_is_the_one_that_was_evaluated(kept: Any) -> None:
    """Params that were edited since are none of its: it is fitted to other rows as it was to its own."""
    rows = data.load_split(kept.project, "digits")
    before = _champion(kept.project, rows)
    kept.families({name: {"threads": 2} for name in ("logistic_regression", "k_nearest_neighbors")})
    kept.params(fit={"seed": 9})
    assert before is not None
    assert (before.single.threads, before.seed) == (1, 0)
    assert _champion(kept.project, rows) == before


@pytest.mark.parametrize("name", ["detector", "detector_lbfgs", "multinomial", "sgd", "sgd_raw", "dense"])
def test_the_systems_on_mnist_learn(name: str, mnist_dir: Path, tmp_path: Path) -> None:
    """On hundreds of images already each is far better than chance, and gives the pictures and texts that it should."""
    images, labels = (
        idx.decode(idx.read_payload(mnist_dir / f"train-{kind}-ubyte.gz"), dimensions=dimensions, name=kind)[:900]
        for kind, dimensions in (("images-idx3", 3), ("labels-idx1", 1))
    )
    snapshot = write_snapshot(
        tmp_path / "snapshot", dataset="mnist", batches=[(images, labels)], max_value=255, description={}
    )
    params = SplitParams(seed=0, test=LastRows(rows=300), validation=Fraction(fraction=0.1))
    rows = split(snapshot, params=params, path=tmp_path / "split")
    outcome = SYSTEMS[name].again(rows, Options(digit=7))
    assert outcome.accuracy > (0.93 if name.startswith("detector") else 0.5)
    wanted = {
        "detector": {"detector.txt"},
        "detector_lbfgs": {"detector.txt"},
        "dense": {"learning_curves.png", "over-fitting.txt"},
    }.get(name, {"misclassified.png", "confusion_matrix.png", "classification_report.txt"})
    assert {*outcome.figures, *outcome.texts} == wanted
    if name.startswith("sgd"):
        train, test = (Images.of(rows, part) for part in (rows.development(), rows.test()))
        params = {**SYSTEMS[name].params}
        scale = params.pop("divide_by")
        plain = SGDClassifier(**params).fit(train.X / scale, train.y)
        assert outcome.accuracy == pytest.approx(plain.score(test.X / scale, test.y)), "what the tutorial counts"
    if name == "detector":
        assert "Is it a 7?" in outcome.texts["detector.txt"]
        assert outcome.accuracy > outcome.metrics["always_no"]
