"""The whole line with real DVC, Great Expectations, Prefect and MLflow, on scikit-learn's digits."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import mlflow  # noqa: TID253 - every test here needs it
import numpy as np
import pytest
from PIL import Image

from digits.errors import MissingError
from digits.experiments.assessment import Assessment
from digits.experiments.candidate import Candidate
from digits.experiments.conditions import Condition
from digits.experiments.scores import read_cost, read_metrics
from digits.experiments.strokes import LEVELS
from digits.experiments.tags import TAG_SPLIT
from digits.steps.candidates import fit
from digits.steps.data import load_split
from digits.steps.evaluation import all_remembered, evaluate
from digits.steps.registration import register

FAMILIES = {
    "logistic_regression": {},
    "decision_tree": {"components": 10},
    "k_nearest_neighbors": {},
    "voting": {"members": ["logistic_regression", "k_nearest_neighbors"]},
}
COLUMNS = [
    "family",
    "validation_accuracy",
    "cross_validation_mean",
    "cross_validation_deviation",
    "test_accuracy",
    "test_accuracy_low",
    "test_accuracy_high",
    "macro_f1",
    "log_loss",
    "fit_seconds",
    "single_seconds",
    "batch_seconds",
    "model_bytes",
    "tied",
    "better",
    "against_best",
    "mistakes",
    "mistakes_on_label_errors",
    "run_id",
    "reused",
]


@pytest.fixture(autouse=True)
def _tracked(ran: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point plain MLflow calls at the store of the checkout that ran."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{ran.root / 'mlflow' / 'mlflow.db'}")


def _client(checkout: Any) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(f"sqlite:///{checkout.root / 'mlflow' / 'mlflow.db'}")


def test_a_run_prints_the_leaderboard_and_nothing_else(ran: Any) -> None:
    """With --json stdout is the array alone, best validation accuracy first; stderr has no traceback or warning."""
    rows = json.loads(ran.first.stdout)
    assert [list(row) for row in rows] == [COLUMNS] * 4
    assert [row["validation_accuracy"] for row in rows] == sorted(
        (row["validation_accuracy"] for row in rows), reverse=True
    )
    for row in rows:
        assert row["test_accuracy_low"] < row["test_accuracy"] < row["test_accuracy_high"]
        assert not row["reused"]
    for noise in ("Traceback", "Warning", "warning", "ERROR", "telemetry"):
        assert noise not in ran.first.stderr
    assert "fit      decision_tree" in ran.first.stderr


def test_a_run_is_remembered_by_mlflow(ran: Any) -> None:
    """One parent run with a finished child per family: params, metrics, plots, the dataset, the candidate."""
    client = _client(ran)
    experiment = client.get_experiment_by_name("digits")
    runs = client.search_runs([experiment.experiment_id])
    parents = [run for run in runs if run.data.tags["kind"] == "pipeline"]
    children = {run.data.tags["family"]: run for run in runs if run.data.tags["kind"] == "candidate"}
    assert len(parents) == 1
    assert set(children) == {"logistic_regression", "decision_tree", "k_nearest_neighbors", "voting"}
    assert {run.info.status for run in runs} == {"FINISHED"}
    for family, run in children.items():
        assert run.data.tags["mlflow.parentRunId"] == parents[0].info.run_id
        assert {"validation_accuracy", "test_brier_score", "test_macro_f1", "fit_seconds", "cost_model_bytes"} <= set(
            run.data.metrics
        )
        assert {"cross_validation_mean", "cross_validation_deviation"} <= set(run.data.metrics)
        assert "seed" in run.data.params
        assert len(run.data.tags["fingerprint"]) == 64
        rows = {item.tags[0].value: item.dataset for item in run.inputs.dataset_inputs}
        assert {context: data.name for context, data in rows.items()} == {
            "training": "digits development",
            "testing": "digits test",
        }
        assert json.loads(rows["testing"].profile) == {"num_rows": 797}
        assert run.data.tags[TAG_SPLIT].startswith(rows["testing"].digest)
        plots = {item.path for item in client.list_artifacts(run.info.run_id, "plots")}
        pictures = {"confusion_matrix.png", "class_report.png", "misclassified.png", "reliability.png"}
        assert {f"plots/{name}" for name in pictures} == plots, family
        scores = {item.path for item in client.list_artifacts(run.info.run_id, "scores")}
        assert {"scores/metrics.json", "scores/test_proba.npy"} <= scores
        assert "candidate/candidate.json" in {item.path for item in client.list_artifacts(run.info.run_id, "candidate")}
    assert "\n\nThe claim of 95\u202f% accuracy is " in parents[0].data.tags["mlflow.note.content"]
    assert {"leaderboard.png", "samples.png", "evaluation.json"} <= {
        item.path for item in client.list_artifacts(parents[0].info.run_id)
    }


def test_every_family_is_a_model_whose_figures_name_the_dataset(ran: Any) -> None:
    """The models of the experiment are the families; what was found on the test rows is linked to those alone."""
    client = _client(ran)
    experiment = client.get_experiment_by_name("digits")
    models = {model.name: model for model in client.search_logged_models([experiment.experiment_id])}
    assert set(models) == {"logistic_regression", "decision_tree", "k_nearest_neighbors", "voting"}
    run_ids = {row["family"]: row["run_id"] for row in json.loads(ran.first.stdout)}
    for family, model in models.items():
        assert model.source_run_id == run_ids[family]
        assert (str(model.status), model.tags["files"]) == ("READY", f"runs:/{run_ids[family]}/candidate")
        linked = {metric.key: metric.dataset_name for metric in model.metrics}
        assert linked["validation_accuracy"] == "digits development"
        inputs = client.get_run(model.source_run_id).inputs.dataset_inputs
        rows = {item.dataset.name: json.loads(item.dataset.profile)["num_rows"] for item in inputs}
        assert rows == {"digits development": 1000, "digits test": 797}
        assert linked["test_accuracy"] == linked["handwriting/thickness_thin"] == "digits test"


def test_folds_are_told_apart(ran: Any) -> None:
    """Mean and deviation are those of the accuracies of the folds, counted from the out-of-fold predictions."""
    split = load_split(ran.project, "digits")
    labels = np.asarray(split.snapshot.labels())
    for row in json.loads(ran.first.stdout):
        candidate = Candidate.load(ran.project.candidate("digits", row["family"]))
        predicted = dict(zip(split.validation(), candidate.validation_proba().argmax(axis=1), strict=True))
        folds = [np.mean([predicted[place] == labels[place] for place in fold.validation]) for fold in split.folds()]
        assert len(folds) == 2
        assert row["cross_validation_mean"] == pytest.approx(np.mean(folds))
        assert row["cross_validation_deviation"] == pytest.approx(np.std(folds, ddof=1))


def test_the_best_candidate_is_registered(ran: Any) -> None:
    """The best by validation is a version with signature, input example, tags and the alias @production."""
    client = _client(ran)
    version = client.get_model_version_by_alias("digits-classifier", "production")
    best = json.loads(ran.first.stdout)[0]
    assert version.tags["family"] == best["family"]
    assert version.run_id == best["run_id"]
    assert {"snapshot.digest", "fingerprint", "artifact.sha256", "gate", "stage"} <= set(version.tags)
    model = mlflow.models.get_model_info(version.source)
    files = client.get_model_version_download_uri("digits-classifier", version.version)
    assert files.startswith(f"file://{ran.root}/mlflow/artifacts/")
    beside = {
        "params.yaml",
        "dvc.yaml",
        "requirements.lock",
        ".dvcignore",
        "prefect.yaml",
        "dvc.lock",
        "digits",
        "data",
        "mlflow",
        "reports",
        ".dvc",
        ".state",
    }
    assert {path.name for path in ran.root.iterdir()} == beside
    assert model.signature.inputs.to_dict()[0]["tensor-spec"] == {"dtype": "uint8", "shape": (-1, 8, 8)}
    assert model.saved_input_example_info is not None


def test_the_ledger_has_no_view_of_fits(ran: Any) -> None:
    """The UI shows its runs as they are; columns of accuracies and times are for the dataset's experiment."""
    views = {
        name: any("sharedViewState" in tag for tag in _client(ran).get_experiment_by_name(name).tags)
        for name in ("digits", "promotions")
    }
    assert views == {"digits": True, "promotions": False}


def test_the_version_has_a_model_card(ran: Any) -> None:
    """Data, split, figures, slices, failures, gate and the way back: on the version, and beside its candidate."""
    client = _client(ran)
    version = client.get_model_version_by_alias("digits-classifier", "production")
    best = json.loads(ran.first.stdout)[0]
    card = version.description
    assert (ran.root / "mlflow/artifacts" / version.run_id / "artifacts/model_card.md").read_text("utf-8") == card
    for words in (
        f"**{best['family']}**",
        f"{100 * best['test_accuracy']:.2f}\u202f%",
        "1,797 images",
        "thickness: thin",
    ):
        assert words in card
    snapshot = json.loads((ran.root / "data/snapshots/digits/snapshot.json").read_text("utf-8"))
    assert snapshot["digest"][:12] in card
    matrix = json.loads((ran.root / f"data/evaluations/digits/scores/{best['family']}/metrics.json").read_text("utf-8"))
    confusion = np.array(matrix["confusion"])
    worst = (confusion - np.diag(np.diag(confusion))).max()
    assert f": {worst} of " in card.partition("Known failures")[2].splitlines()[1]
    assert "lower end of the accuracy's interval" in card
    assert "digits registry rollback digits" in card
    assert "None → Staging → Production → Archived" in card


def test_the_report_is_one_page_for_all(kept: Any) -> None:
    """Figures, pictures and data facts, with nothing loaded from elsewhere; and what has changed since the last one."""
    page = kept.root / "reports/digits.html"
    text, rows = page.read_text(encoding="utf-8"), json.loads(kept.first.stdout)
    for row in rows:
        assert f"{100 * row['test_accuracy']:.2f}\u202f%" in text
        assert f'id="{row["family"]}"' in text
        found = kept.root / f"data/evaluations/digits/scores/{row['family']}/conditions.json"
        for item in json.loads(found.read_text("utf-8")):
            assert item["kind"] in LEVELS or f"sure to {100 * item['mean_confidence']:.1f}\u202f%" in text
    assert not re.findall(r"(?:src|href)=\"(?!data:image/png;base64,|#|\.\./data/docs/digits/index\.html\")", text)
    assert text.count("data:image/png") >= 7 + 3 * len(rows)
    assert (page.parent / "../data/docs/digits/index.html").exists()
    assert "Since the last evaluation" not in text
    (run,) = _client(kept).search_runs(
        [_client(kept).get_experiment_by_name("digits").experiment_id], "tags.kind = 'pipeline'", max_results=1
    )
    logged = _client(kept).download_artifacts(run.info.run_id, "digits.html")
    assert "Leaderboard" in Path(logged).read_text(encoding="utf-8")
    families = {"decision_tree": {"components": 20}, "k_nearest_neighbors": {}}
    kept.families(families)
    kept.params(evaluate={"claim": 0.9, "label_errors": [1000]})
    fitted = [fit(kept.project, "digits", name, memory=kept.memory()) for name in families]
    evaluate(kept.project, "digits", fitted=fitted, failed={}, memory=kept.memory())
    text = page.read_text(encoding="utf-8")
    assert "logistic_regression is no longer there" in text
    assert "Fitted with other params, data or code: decision_tree, " in text
    assert "Evaluated with other params: claim, label_errors." in text


def test_accuracy_under_conditions_is_logged(ran: Any) -> None:
    """Every third of handwriting holds test images, and every harm has a figure on the candidate's run."""
    best = json.loads(ran.first.stdout)[0]
    metrics = _client(ran).get_run(best["run_id"]).data.metrics
    found = json.loads(
        (ran.root / f"data/evaluations/digits/scores/{best['family']}/conditions.json").read_text("utf-8")
    )
    thirds = [item for item in found if item["kind"] == "slant"]
    assert sum(item["n_samples"] for item in thirds) == 797
    assert sum(item["n_correct"] for item in thirds) == round(797 * best["test_accuracy"])
    noise = {item["level"]: item["n_correct"] / 20 for item in found if item["kind"] == "noise"}
    assert {level: metrics[f"robustness/noise_{level}"] for level in noise} == noise


def test_a_group_without_images_has_no_accuracy(kept: Any) -> None:
    """Nothing is logged of it: 0 would say that all of its images were misread."""
    best = json.loads(kept.first.stdout)[0]
    folder = kept.root / "data/evaluations/digits"
    nobody, somebody = (
        Condition(kind="size", level=level, n_samples=count, n_correct=count, mean_confidence=1)
        for level, count in (("nobody", 0), ("somebody", 1))
    )
    found = Assessment(read_metrics(folder, best["family"]), [nobody, somebody], read_cost(folder, best["family"]))
    kept.memory().log_evaluation(best["run_id"], assessment=found, folders=[])
    metrics = _client(kept).get_run(best["run_id"]).data.metrics
    assert metrics["handwriting/size_somebody"] == 1
    assert "handwriting/size_nobody" not in metrics


def test_the_registered_model_takes_raw_images(ran: Any) -> None:
    """Plain `mlflow.pyfunc` gives the probabilities that the evaluation saw, from raw uint8 images.

    To the rounding of single precision: this process computes with as many threads as it likes.
    """
    best = json.loads(ran.first.stdout)[0]["family"]
    model = mlflow.pyfunc.load_model("models:/digits-classifier@production")
    images = np.load(ran.root / "data/snapshots/digits/images.npy")[-797:]
    predicted = model.predict(images)
    expected = np.load(ran.root / "data/evaluations/digits/scores" / best / "test_proba.npy")
    probabilities = predicted[[f"probability_{label}" for label in range(10)]].to_numpy()
    np.testing.assert_allclose(probabilities, expected, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(predicted["digit"], expected.argmax(axis=1))


def test_pictures_are_read(ran: Any, tmp_path: Path) -> None:
    """`predict` answers in the order given; a bad picture is named, the others are read, and the exit code is 2."""
    images = np.load(ran.root / "data/snapshots/digits/images.npy")
    labels = np.load(ran.root / "data/snapshots/digits/labels.npy")
    paths = []
    for row in range(4):
        enlarged = np.kron(255 - images[row] * 15, np.ones((12, 12))).astype(np.uint8)
        paths.append(tmp_path / f"{row}.png")
        Image.fromarray(np.pad(enlarged, 20, constant_values=255)).save(paths[-1])
    done = ran.digits("predict", "digits", *map(str, paths), "--json")
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert [answer["image"] for answer in answers] == [str(path) for path in paths]
    assert [answer["digit"] for answer in answers] == labels[:4].tolist()
    assert all(0 < answer["probability"] <= 1 for answer in answers)

    blank, torn, missing = tmp_path / "blank.png", tmp_path / "torn.png", tmp_path / "missing.png"
    Image.new("L", (40, 40), 255).save(blank)
    torn.write_bytes(b"no picture")
    done = ran.digits("predict", "digits", str(blank), str(paths[2]), str(torn), str(missing), "--json")
    assert done.returncode == 2
    assert [answer["digit"] for answer in json.loads(done.stdout)] == [int(labels[2])]
    for path in (blank, torn, missing):
        assert path.name in done.stderr
    assert "Traceback" not in done.stderr


def test_known_label_errors_are_told_beside_the_score(kept: Any, caplog: pytest.LogCaptureFixture) -> None:
    """They count as they are labelled; how many of the mistakes are on them is told. What is tied is marked.

    Nothing is predicted again for it.
    """
    before = json.loads(kept.first.stdout)
    best = before[0]["family"]
    labels = np.load(kept.root / "data/snapshots/digits/labels.npy")
    proba = np.load(kept.root / "data/evaluations/digits/scores" / best / "test_proba.npy")
    wrong = 1000 + np.flatnonzero(proba.argmax(axis=1) != labels[1000:])
    assert before[0]["mistakes"] == len(wrong)
    assert before[0]["tied"] is True
    assert before[-1]["tied"] is False  # the small tree
    known = [*wrong[1:].tolist(), 999, 1000 if 1000 not in wrong else 1001]  # the first of these is no test row
    kept.params(evaluate={"label_errors": known})
    fitted, missing = all_remembered(kept.project, "digits", memory=kept.memory())
    scored = (kept.root / f"data/evaluations/digits/assessed/{best}.json").read_text("utf-8")
    evaluate(kept.project, "digits", fitted=fitted, failed=missing, memory=kept.memory())
    assert (kept.root / f"data/evaluations/digits/assessed/{best}.json").read_text("utf-8") == scored  # times included
    assert f"1 of the {len(known)} label_errors of digits are no test rows: no figure counts them" in caplog.messages
    told = (
        f"{len(known) - 1} test labels are known to be wrong: of the {len(wrong)} mistakes of {best}, {len(wrong) - 1}"
    )
    assert told in kept.digits("leaderboard", "digits").stdout
    note = _client(kept).get_experiment_by_name("digits").tags["mlflow.note.content"]
    assert f"{len(known) - 1} test labels are known to be wrong: {len(wrong) - 1} of the {len(wrong)} mistakes" in note
    after = json.loads((kept.root / "data/evaluations/digits/evaluation.json").read_text("utf-8"))["leaderboard"]
    assert [row["test_accuracy"] for row in after] == [row["test_accuracy"] for row in before]


def test_label_errors_that_are_no_rows_are_refused(kept: Any) -> None:
    """Rows that the snapshot does not have are named in one line, with those that it has; nothing is written."""
    written = kept.root / "data/evaluations/digits/evaluation.json"
    before = written.read_bytes()
    kept.params(evaluate={"label_errors": [1796, 60947, 1797]})
    refused = kept.digits("evaluate", "digits")
    assert (refused.returncode, refused.stderr.splitlines()[-1]) == (
        1,
        "digits: label_errors of digits hold 1797, 60947, wanted rows of the snapshot, 0 to 1796; mend "
        "datasets.digits.evaluate.label_errors in params.yaml",
    )
    assert written.read_bytes() == before


def test_a_card_tells_of_the_label_errors_of_its_evaluation(kept: Any) -> None:
    """How many there are, and how many of the mistakes are on them."""
    kept.params(evaluate={"label_errors": [1000, 1001]})
    kept.evaluate({"k_nearest_neighbors": {"neighbors": 3}})
    version = register(kept.project, "digits", memory=kept.memory())
    card = _client(kept).get_model_version("digits-classifier", str(version.version)).description
    assert re.search(
        r"\*\*Labels known to be wrong\*\*: 2 of the test images; \d of its \d+ mistakes are on them", card
    )


def test_a_second_run_reuses_everything(ran: Any) -> None:
    """Nothing changed: every family is reused with the same figures, and no new version is registered.

    Wherever in the checkout one stands.
    """
    done = ran.digits("run", "digits", "--json", folder="data")
    assert done.returncode == 0, done.stderr
    first, second = json.loads(ran.first.stdout), json.loads(done.stdout)
    assert all(row["reused"] for row in second)
    assert [{**row, "reused": False} for row in second] == first
    assert len(_client(ran).search_model_versions("name = 'digits-classifier'")) == 1
    shown = ran.digits("leaderboard", "digits", "--json")
    assert json.loads(shown.stdout) == second


def test_a_terminal_shows_the_steps_and_no_other_progress(ran: Any) -> None:
    """On a terminal each step and family has its line, in colour; no tool draws bars or says anything beside it."""
    shutil.rmtree(ran.root / "data/splits")
    shutil.rmtree(ran.root / "data/candidates/digits/ensembles/voting")
    screen = _on_a_terminal(ran, "run", "digits")
    lines = [line for line in screen if line.strip()]
    for step in ("ingest   digits", "validate digits", "split    digits", "fit      voting", "evaluate digits"):
        assert any(step in line for line in lines), step
    shown = ("ingest", "validate", "split", "fit ", "evaluate", "register", "family", "digits-classifier")
    shown += ("the claim of", "Report", "Data Docs", "Experiments", "Read a picture", *FAMILIES)
    assert [line for line in lines if not any(word in line for word in shown)] == []


def _on_a_terminal(checkout: Any, *arguments: str) -> list[str]:
    """Run a command of `digits` on a terminal of 120 columns and return the lines of its screen at the end."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 120, 0, 0))
    process = subprocess.Popen(
        checkout.command(*arguments),
        cwd=checkout.root,
        env={**checkout.environment, "TERM": "xterm-256color"},
        stdin=follower,
        stdout=follower,
        stderr=follower,
    )
    os.close(follower)
    written = b""
    while True:
        try:
            written += os.read(leader, 65536)
        except OSError:  # Linux says so when the last writer has closed the terminal
            break
    os.close(leader)
    assert process.wait() == 0, written.decode()
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written.decode())
    return [line.rsplit("\r", 1)[-1] for line in text.replace("\r\n", "\n").split("\n")]


def test_dvc_agrees_that_nothing_changed(ran: Any, tmp_path: Path) -> None:
    """What the flow recorded is up to date for `dvc repro`, and a rebuild from nothing gives the same bytes.

    Here DVC and what its stages call are processes of their own, as a person's.
    """
    environment = {**ran.environment, "PATH": f"{Path(sys.executable).parent}:{ran.environment['PATH']}"}

    def dvc(*arguments: str) -> str:
        done = subprocess.run(
            ["dvc", *arguments], cwd=ran.root, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    targets = [f"{step}@digits" for step in ("ingest", "validate", "split")]
    assert json.loads(dvc("status", "--json", *targets)) == {}
    lock = (ran.root / "dvc.lock").read_bytes()
    for folder in ("snapshots", "validations", "splits"):
        shutil.rmtree(ran.root / "data" / folder)
    cache = ran.root / ".dvc" / "cache"
    cache.rename(tmp_path / "cache")
    shutil.rmtree(ran.root / ".dvc" / "tmp")
    try:
        dvc("repro", *targets)
        assert (ran.root / "dvc.lock").read_bytes() == lock
    finally:  # others push what lies there
        shutil.rmtree(cache, ignore_errors=True)
        (tmp_path / "cache").rename(cache)


def test_a_lost_candidate_comes_back_from_mlflow(kept: Any) -> None:
    """A candidate whose folder is gone, or whose files were damaged, is brought back instead of fitted again."""
    folder = kept.root / "data/candidates/digits/families"
    shutil.rmtree(folder / "decision_tree")
    model = next((folder / "logistic_regression" / "model").iterdir())
    model.write_bytes(model.read_bytes()[:-10])
    for family in ("decision_tree", "logistic_regression"):
        assert fit(kept.project, "digits", family, memory=kept.memory()).reused
    fitted, missing = all_remembered(kept.project, "digits", memory=kept.memory())
    done = evaluate(kept.project, "digits", fitted=fitted, failed=missing, memory=kept.memory())
    assert [(row.family, row.test_accuracy) for row in done.rows] == [
        (row["family"], row["test_accuracy"]) for row in json.loads(kept.first.stdout)
    ]


def test_other_params_make_another_candidate(kept: Any) -> None:
    """After a change of params the old candidate counts for nothing: not as a member, not on the leaderboard."""
    kept.families({**FAMILIES, "k_nearest_neighbors": {"neighbors": 3}})
    with pytest.raises(MissingError, match="k_nearest_neighbors is not fitted with today's params"):
        fit(kept.project, "digits", "voting", memory=kept.memory())
    done = kept.digits("evaluate", "digits")
    assert done.returncode == 0, done.stderr
    assert "run `digits fit digits k_nearest_neighbors`" in done.stdout
    rows = json.loads((kept.root / "data/evaluations/digits/evaluation.json").read_text("utf-8"))["leaderboard"]
    assert {row["family"] for row in rows} == {"logistic_regression", "decision_tree"}
    (experiment,) = kept.memory().client.search_experiments(filter_string="name = 'digits'")
    note, view = (experiment.tags[name] for name in ("mlflow.note.content", "mlflow.sharedViewState.leaderboard"))
    assert note.startswith("Best: [**")
    assert "| k_nearest_neighbors |" not in note
    assert load_split(kept.project, "digits").digest in view  # figures of other splits are no rivals
    kept.families({**FAMILIES, "decision_tree": {"components": 12}})
    fit(kept.project, "digits", "decision_tree", memory=kept.memory())
    refused = kept.digits("leaderboard", "digits")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "is of other candidates than there are now; run `digits evaluate digits`" in refused.stderr
