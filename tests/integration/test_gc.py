"""`digits gc` removes what nothing refers to, with real DVC and MLflow, and nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import mlflow  # noqa: TID253 - the tests here count its runs
import pytest
from mlflow.entities import ViewType  # noqa: TID253 - and those marked as deleted

from digits.errors import MissingError
from digits.settings import Settings
from digits.steps.candidates import fit
from digits.steps.garbage import Garbage, collect_garbage, find_garbage
from digits.steps.memory import known_fits, tracking


def _gc(checkout: Any, *, newest: int = 10, remove: bool = False) -> list[tuple[str, str]]:
    """Return kind and name of what is found."""
    return [(item.kind, item.name) for item in _found(checkout, newest=newest, remove=remove)]


def _found(checkout: Any, *, newest: int, remove: bool = False) -> list[Garbage]:
    project = checkout.project
    memory = known_fits(project, "digits", settings=Settings.load(checkout.root))
    return (collect_garbage if remove else find_garbage)(project, "digits", memory=memory, newest=newest)


def _client(checkout: Any) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(f"sqlite:///{checkout.root / 'mlflow/mlflow.db'}")


def _runs(checkout: Any, view: int = ViewType.ACTIVE_ONLY) -> set[str]:
    client = _client(checkout)
    experiment = client.get_experiment_by_name("digits").experiment_id
    return {run.info.run_id for run in client.search_runs([experiment], run_view_type=view)}


def _files(checkout: Any, run_id: str) -> list[Path]:
    """Return the files of a run and of its models."""
    names = [run_id, *(output.model_id for output in _client(checkout).get_run(run_id).outputs.model_outputs)]
    everything = (checkout.root / "mlflow/artifacts").rglob("*")
    return [path for path in everything if path.is_file() and not set(names).isdisjoint(path.parts)]


@pytest.fixture
def forgotten(kept: Any) -> str:
    """Return the run of a fit whose params have changed since, and that no pipeline run saw."""
    before = (kept.root / "params.yaml").read_text(encoding="utf-8")
    kept.families({"decision_tree": {"components": 20}})
    candidate = fit(kept.project, "digits", "decision_tree", memory=kept.memory()).candidate
    (output,) = _client(kept).get_run(candidate.run_id).outputs.model_outputs
    _client(kept).log_model_artifact(output.model_id, str(candidate.path / "candidate.json"))  # as if it was registered
    (kept.root / "params.yaml").write_text(before, encoding="utf-8")
    return str(candidate.run_id)


def test_after_a_run_nothing_is_garbage(ran: Any) -> None:
    """Not even the pipeline's own run, until it is no longer among the newest."""
    before = _runs(ran)
    assert _gc(ran) == []
    found = _gc(ran, newest=0)
    assert [kind for kind, _ in found] == ["run"] * len(found)
    kinds = {_client(ran).get_run(name).data.tags["kind"] for _, name in found}
    assert kinds == {"pipeline"}
    assert _runs(ran) == before


def test_a_fit_of_other_params_is_removed_with_its_files(kept: Any, forgotten: str) -> None:
    """By default it is only named; then its run is marked as deleted, its files are gone, and all else is reused."""
    before = _runs(kept)
    assert _gc(kept) == []  # it is younger than the newest pipeline run
    old = _gc(kept, newest=0)
    assert ("run", forgotten) in old
    (row,) = [item for item in _found(kept, newest=0) if item.name == forgotten]
    assert row.n_bytes == sum(path.stat().st_size for path in _files(kept, forgotten))
    assert any("models" in path.parts for path in _files(kept, forgotten))
    assert _files(kept, forgotten)
    assert _runs(kept) == before
    shown = kept.digits("gc", "--newest", "0")
    assert f"{len(old)} runs and 0 folders" in shown.stdout
    assert "--no-dry-run" in shown.stdout
    done = kept.digits("gc", "digits", "--newest", "0", "--no-dry-run", "--json")
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    assert content["removed"] is True
    assert [(item["kind"], item["name"]) for item in content["garbage"]] == old
    assert _files(kept, forgotten) == []
    assert _runs(kept) == before - {name for _, name in old}
    assert _gc(kept, newest=0, remove=True) == []
    explained = json.loads(kept.digits("explain", "digits", "--json").stdout)
    assert {row["action"] for row in explained} == {"reuse"}


def test_a_removal_that_was_cut_off_is_finished(kept: Any, forgotten: str) -> None:
    """A run that is marked as garbage and deleted, but has its files, is found again; one deleted by hand is not."""
    client = _client(kept)
    client.delete_run(forgotten)
    assert _gc(kept) == []
    client.restore_run(forgotten)
    client.set_tag(forgotten, "garbage", "true")
    client.delete_run(forgotten)
    assert _gc(kept, remove=True) == [("run", forgotten)]
    assert _files(kept, forgotten) == []
    assert forgotten in _runs(kept, ViewType.DELETED_ONLY)


def test_folders_that_no_stage_makes_are_removed(kept: Any) -> None:
    """A candidate of a family that has left the params, and what a killed process has left half-written."""
    content = {"logistic_regression": {}, "k_nearest_neighbors": {}}
    kept.families({**content, "voting": {"members": list(content)}})
    half = kept.root / "data/candidates/digits/families/.decision_tree.a1b2c3"
    (half / ".model.d4e5f6").mkdir(parents=True)  # goes with the folder it is in
    left = kept.root / "data/candidates/digits/families/decision_tree"
    wanted = [("folder", path.relative_to(kept.root).as_posix()) for path in (left, half)]
    assert _gc(kept) == wanted
    assert left.exists()
    assert _gc(kept, remove=True) == wanted
    assert not left.exists()
    assert not half.exists()
    assert (left.parent / "logistic_regression/candidate.json").exists()


def test_what_is_not_known_to_be_garbage_stays(kept: Any) -> None:
    """Without a split, or with an evaluation that lacks a part, nobody knows which fits are in use."""
    described = kept.root / "data/evaluations/digits/evaluation.json"
    described.write_text(described.read_text(encoding="utf-8").replace('"leaderboard"', '"board"'), encoding="utf-8")
    with pytest.raises(MissingError, match=r"nothing is removed of digits.*leaderboard"):
        _gc(kept, newest=0, remove=True)
    tracking(kept.project, "mnist", settings=Settings.load(kept.root))  # as after a run without a source
    shutil.rmtree(kept.root / "data/splits")
    done = kept.digits("gc", "--newest", "0", "--no-dry-run")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "nothing is removed of digits" in done.stderr
    done = kept.digits("gc", "typo")
    assert (done.returncode, done.stderr) == (1, "digits: no dataset 'typo'; there are digits, mnist, reference\n")
