"""The same fits give the same to the last bit, whoever starts them and whatever runs beside."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from digits.experiments import fitting
from digits.experiments.candidate import Candidate
from digits.experiments.fingerprint import fingerprint
from digits.experiments.workers import InProcess, WorkerPool, Workers
from digits.models.families import FAMILIES
from digits.project import Project
from digits.reference.measured import measure
from digits.steps.data import load_split
from digits.steps.race import COMMAND
from tests.watch import Watch

PARAMS: dict[str, dict[str, Any]] = {
    "extra_trees": {"trees": 10},
    "svm": {},
    "cnn": {"stages": [[8], [8]], "strides": [1, 2], "normalised": [False, True], "epochs": 1},
}


def test_side_by_side_and_one_by_one_give_the_same_bits(ran: Any, tmp_path: Path) -> None:
    """Two workers and this process agree in every metric and in the model's files."""
    rows = load_split(Project(root=ran.root), "digits")

    def fitted(name: str, *, workers: Workers) -> Candidate:
        family = FAMILIES[name].model_validate(PARAMS[name])
        print_ = fingerprint(family, data=rows.digest, seed=0)
        path = tmp_path / f"{workers.count}-{name}"
        return workers.run(fitting.fit, split=rows, family=family, seed=0, fingerprint=print_, path=path)

    with WorkerPool(2, timeout_s=200) as pool, ThreadPoolExecutor(2) as threads:
        beside = list(threads.map(lambda name: fitted(name, workers=pool), PARAMS))
    for there, name in zip(beside, PARAMS, strict=True):
        here = fitted(name, workers=InProcess())
        for part in ("family", "validation", "digest", "proba_digest"):
            assert getattr(here, part) == getattr(there, part), (name, part)


def test_the_pipeline_and_a_plain_script_give_identical_metrics(make_checkout: Any, tmp_path: Path) -> None:
    """`digits bench overhead` compares every family, an ensemble too; one that fails in the pipeline is named.

    A ratio above the limit is an error, after all figures were printed. Of all tools and servers in a whole run, which
    are processes of their own from their first line, none sends anything anywhere, and none has anything to remark.
    """
    watch = Watch(tmp_path)
    families = {
        "decision_tree": {"components": 10},
        "mlp": {"epochs": 3},
        "k_nearest_neighbors": {"neighbors": 5000},
        "voting": {"members": ["decision_tree", "mlp"]},
    }
    checkout = make_checkout(families)
    done = checkout.digits(
        "bench", "overhead", "digits", "--limit", "0.01", "--json", DIGITS_WORKERS="2", **watch.environment
    )
    assert done.returncode == 1, done.stderr
    assert done.stdout, done.stderr
    figures = json.loads(done.stdout)
    said = f"the pipeline takes {figures['ratio']} times as long as a plain script; wanted 0.01 at most"
    assert done.stderr.splitlines()[-1] == f"digits: {said}"
    for noise in ("Traceback", "Warning", "warning", "ERROR", "telemetry"):
        assert noise not in done.stderr
    assert (figures["families"], figures["failed"]) == (len(families) - 1, ["k_nearest_neighbors"])
    assert figures["different_metrics"] == []
    assert watch.seen() == []


def test_families_are_measured_beside_plain_scripts(ran: Any) -> None:
    """`digits bench mnist` scores family, ensemble and plain script on the same rows, and keeps nothing."""
    before = _files(ran.root)
    asked = ("bench", "mnist", "decision_tree", "voting", "--dataset", "digits", "--seeds", "2")
    done = ran.digits(*asked, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    tree, voting = found["families"]

    assert [tree["family"], voting["family"]] == ["decision_tree", "voting"]
    assert voting["accuracy"] > tree["accuracy"] > tree["plain"]["accuracy"] > 0.5
    assert tree["accuracy_deviation"] >= 0
    assert tree["error_ratio"] > 1
    assert voting["plain"] is None  # it learns from its members, whose time is its own
    assert voting["fit_seconds"] > 0
    assert found["machine"]["versions"]["numpy"]
    assert found["time_to"] == []  # the race is MNIST's
    assert before == _files(ran.root)


def test_a_race_ends_with_the_accuracy_of_the_fit(ran: Any) -> None:
    """What a new process does on its way to a classifier is what the bench measures in a worker."""
    done = subprocess.run([*COMMAND, str(ran.root), "digits", "decision_tree"], capture_output=True, check=True)
    project = Project(root=ran.root)
    family = project.params("digits").fit.families["decision_tree"]
    measured, _ = measure(load_split(project, "digits"), family=family, seed=project.params("digits").fit.seed)
    assert json.loads(done.stdout) == measured.accuracy > 0.5


def _files(folder: Path) -> list[Path]:
    """Return the files below a folder, but for what Python compiles when a command is first used."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")


def test_a_family_that_is_none_is_named(ran: Any) -> None:
    """A misspelt family is one line, before anything is measured."""
    done = ran.digits("bench", "mnist", "desicion_tree", "--dataset", "digits")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no family desicion_tree" in done.stderr


def test_growth_is_measured_in_a_project_that_is_gone_after(ran: Any) -> None:
    """`digits bench scale` measures each step in a process of its own, and keeps nothing."""
    before, temporary = _files(ran.root), ran.root.parent / "temporary"
    temporary.mkdir()
    asked = ("bench", "scale", "--dataset", "digits", "--images", "300", "300", "--json", "--limit", "1.1")
    done = ran.digits(*asked, TMPDIR=str(temporary))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["steps"]

    assert [row["step"] for row in found] == ["ingest", "validate", "features", "logistic_regression"]
    assert [row["batched"] for row in found] == [True, True, True, False]
    assert [row["iterations"] is None for row in found] == [True, True, True, False]
    for row in found:
        assert (row["n_images"], row["time_ratio"], row["memory_ratio"]) == (300, None, None)
        assert row["processor_seconds"] > 0
        assert 0 < row["start_bytes"] <= row["peak_bytes"]
    assert before == _files(ran.root)
    assert list(temporary.iterdir()) == []


def test_growth_without_images_says_what_is_missing(ran: Any) -> None:
    """Where MNIST is neither ingested nor in a folder, nothing is downloaded: one line says what to do."""
    done = ran.digits("bench", "scale", DIGITS_MNIST_DIR="")
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("digits: no images of mnist: there is no snapshot in ")
    assert line.endswith("set it, or run `digits ingest mnist`")
