"""`digits explain` says what a run would do, with real DVC and MLflow, and changes nothing."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any
from unittest.mock import patch

import mlflow  # noqa: TID253 - the tests here count its runs

from digits.project import Project
from digits.settings import Settings
from digits.steps.explain import explain
from digits.steps.memory import known_fits
from flows.explain import stale_data_steps

FAMILIES = {
    "logistic_regression": {},
    "decision_tree": {"components": 10},
    "k_nearest_neighbors": {},
    "voting": {"members": ["logistic_regression", "k_nearest_neighbors"]},
}
CANDIDATES = Path("data/candidates/digits")


def _printed(checkout: Any) -> dict[str, tuple[str, list[tuple[str, str]]]]:
    """Return family → action and changes, as the command prints them."""
    done = checkout.digits("explain", "digits", "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    rows = json.loads(done.stdout)
    assert [list(row) for row in rows] == [["family", "action", "changes"]] * len(rows)
    return {
        row["family"]: (row["action"], [(item["component"], item["detail"]) for item in row["changes"]]) for row in rows
    }


def _explained(checkout: Any) -> dict[str, tuple[str, list[tuple[str, str]]]]:
    """Return the same without a process of its own, which is faster."""
    project = Project(root=checkout.root)
    with patch.object(Project, "find", lambda: project):  # a copy of what runs here
        stale = stale_data_steps("digits")
    settings = Settings.load(checkout.root)
    memory = known_fits(project, "digits", settings=settings)
    explanations = explain(project, "digits", memory=memory, settings=settings, stale=stale)
    return {
        item.family: (item.action, [(change.component, change.detail) for change in item.changes])
        for item in explanations
    }


def _files(root: Path) -> dict[str, tuple[int, int]]:
    """Return every file, with size and time, and folder of a checkout; not the locks, nor what DVC and Python keep."""
    own = {".dvc", ".state", "__pycache__"}
    found = [path for path in root.rglob("*") if not own & set(path.relative_to(root).parts)]
    return {
        path.as_posix(): (path.stat().st_size, path.stat().st_mtime_ns) if path.is_file() else (0, 0) for path in found
    }


def _runs(checkout: Any) -> set[str]:
    client = mlflow.MlflowClient(f"sqlite:///{checkout.root / 'mlflow' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("digits")
    return {run.info.run_id for run in client.search_runs([experiment.experiment_id])}


def _run_of(ran: Any, family: str) -> str:
    return next(str(row["run_id"]) for row in json.loads(ran.first.stdout) if row["family"] == family)


def test_a_fresh_checkout_stays_fresh(make_checkout: Any) -> None:
    """Before the first run everything is to be trained for want of a split, and not even a store is made."""
    checkout = make_checkout(store=False)
    before = _files(checkout.root)
    assert _printed(checkout) == {name: ("train", [("data", "no split; run `digits run digits`")]) for name in FAMILIES}
    done = checkout.digits("explain", "digits")
    assert done.returncode == 0, done.stderr
    assert "ingest will run (DVC has no record of it)" in done.stdout.splitlines()
    assert _files(checkout.root) == before


def test_after_a_run_everything_is_reused(ran: Any) -> None:
    """Nothing changed, so nothing is trained; asking makes no run and touches no file."""
    files, runs = _files(ran.root), _runs(ran)
    assert _printed(ran) == dict.fromkeys(FAMILIES, ("reuse", []))
    assert _files(ran.root) == files
    assert _runs(ran) == runs


def test_a_changed_param_is_named_with_the_ensembles_it_is_in(kept: Any) -> None:
    """That family and the ensemble it is in are trained, nothing else; the folder of the last fit tells, or MLflow."""
    kept.families({**FAMILIES, "k_nearest_neighbors": {"neighbors": 3}})
    expected = {
        "logistic_regression": ("reuse", []),
        "decision_tree": ("reuse", []),
        "k_nearest_neighbors": ("train", [("params", "neighbors: 6 -> 3")]),
        "voting": ("train", [("members", "k_nearest_neighbors changed")]),
    }
    assert _explained(kept) == expected
    shutil.rmtree(kept.root / CANDIDATES)
    files, runs = _files(kept.root), _runs(kept)
    assert _explained(kept) == expected
    assert _files(kept.root) == files
    assert _runs(kept) == runs


def test_changed_code_is_named_by_its_file(kept: Any) -> None:
    """A line of code in a family's module names that module, for that family alone; a comment changes nothing."""
    for module, line in (("features", "# nothing"), ("ensembles", "MORE = 1")):
        path = kept.root / "digits" / "models" / f"{module}.py"
        path.write_text(f"{path.read_text(encoding='utf-8')}{line}\n", encoding="utf-8")
    reused = dict.fromkeys(FAMILIES, ("reuse", []))
    assert _printed(kept) == {**reused, "voting": ("train", [("code", "digits/models/ensembles.py changed")])}


def test_a_lost_model_is_an_artifact_that_is_missing(kept: Any) -> None:
    """One copy is enough to reuse a fit; without the folder and with MLflow's copy damaged the artifact is named."""
    folder = kept.root / CANDIDATES / "families" / "decision_tree"
    shutil.rmtree(folder)
    files = _files(kept.root)
    assert _explained(kept)["decision_tree"] == ("reuse", [])
    assert _files(kept.root) == files

    run_id = _run_of(kept, "decision_tree")
    model = next((kept.root / "mlflow/artifacts").glob(f"**/{run_id}/artifacts/candidate/model/model.skops"))
    model.write_bytes(model.read_bytes()[:-10])
    files, runs = _files(kept.root), _runs(kept)
    explained = _explained(kept)
    where = f"{CANDIDATES.as_posix()}/families/decision_tree"
    detail = f"missing or damaged, in {where} and in MLflow's run {run_id}"
    assert explained.pop("decision_tree") == ("train", [("artifact", detail)])
    assert {action for action, _ in explained.values()} == {"reuse"}
    assert _files(kept.root) == files
    assert _runs(kept) == runs


def test_a_fit_that_nobody_remembers_is_named(kept: Any) -> None:
    """A family never fitted says so, and a run that lost its candidate; a whole one that MLflow lost is imported."""
    kept.families({**FAMILIES, "sgd": {}, "decision_tree": {"components": 20}})
    run_id = _run_of(kept, "decision_tree")
    shutil.rmtree(kept.root / CANDIDATES / "families" / "decision_tree")
    shutil.rmtree(next((kept.root / "mlflow/artifacts").glob(f"**/{run_id}/artifacts/candidate")))
    detail = f"the last fit, MLflow's run {run_id}, has lost its candidate.json"
    explained = _explained(kept)
    assert explained["sgd"] == ("train", [("fit", "never fitted")])
    assert explained["decision_tree"] == ("train", [("artifact", detail)])

    shutil.rmtree(kept.root / "mlflow")
    assert _explained(kept)["logistic_regression"] == ("reuse", [])
    assert not (kept.root / "mlflow").exists()


def test_a_data_step_that_runs_again_comes_first(kept: Any) -> None:
    """It is done aside: where it gives other data every family is trained, beside its own reasons; nothing is left."""
    kept.params(split={"validation": {"take": "folds", "folds": 4, "shuffle": False}})
    kept.families({**FAMILIES, "decision_tree": {"components": 20}})
    files = _files(kept.root)
    explained = _explained(kept)
    assert _files(kept.root) == files
    (data, own) = explained.pop("decision_tree")[1]
    assert own == ("params", "components: 10 -> 20")
    assert re.fullmatch(r"split \w{12} -> \w{12}", data[1])
    assert explained.pop("voting")[1][0] == data
    assert all(found == ("train", [data]) for found in explained.values())
    done = kept.digits("explain", "digits")
    first, *table = done.stdout.splitlines()
    assert first == "split will run again (changed: datasets.digits.split)"
    assert any(row.split() == ["params", "components:", "10", "->", "20"] for row in table)


def test_a_data_step_that_gives_the_same_again_trains_nothing(kept: Any) -> None:
    """A comment in its code, or a bound that is wider: the step runs again, and no family does."""
    kept.params(validate={"mean_ink": [0.2, 0.4]})
    path = kept.root / "digits/data/idx.py"
    path.write_text(f"{path.read_text(encoding='utf-8')}# nothing\n", encoding="utf-8")
    done = kept.digits("explain", "digits")
    assert "ingest will run again (changed: digits/data/idx.py)" in done.stdout
    assert any(line.startswith("validate will run again") for line in done.stdout.splitlines())
    assert _explained(kept) == dict.fromkeys(FAMILIES, ("reuse", []))


def test_a_data_step_that_would_end_the_run_is_told(kept: Any) -> None:
    """In the line that the run itself would end with."""
    kept.params(validate={"rows": [1, 5]})
    done = kept.digits("explain", "digits")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "a run would end here: snapshot digits breaks row-count (found rows 1797; wanted rows 1 to 5)" in done.stderr


def test_errors_are_one_line(ran: Any) -> None:
    """A dataset that is not in the params, and a server that does not answer, are named."""
    done = ran.digits("explain", "none")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "no dataset 'none'" in done.stderr
    done = ran.digits("explain", "digits", MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert done.returncode == 1
    assert "MLFLOW_TRACKING_URI" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
