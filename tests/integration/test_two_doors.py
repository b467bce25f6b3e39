"""Two doors, one memory: what the flow did `dvc repro` does not do again, and the other way round."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import mlflow  # noqa: TID253 - every test here needs it
import networkx as nx
import numpy as np
import pytest
import yaml
from dvc.repo import Repo
from numpy.typing import NDArray

from digits.cli.candidates import evaluate as evaluate_command
from digits.cli.candidates import fit as fit_command
from digits.cli.data import split as split_command
from digits.dataset_params import DatasetParams
from digits.errors import FitFailed, MissingError, ParamsError
from digits.experiments import assessment, code, scoring
from digits.experiments.candidate import Candidate
from digits.experiments.evaluation import Evaluation
from digits.experiments.fingerprint import fingerprint
from digits.experiments.recall import recall
from digits.experiments.workers import InProcess
from digits.files import replaced_file
from digits.project import Project
from digits.settings import Settings
from digits.steps import candidates, data, evaluation
from tasks.memory import changes, record, remembered
from tasks.stages import alone
from tests.web import WEB

TARGET = "evaluate@digits"
FAMILIES = {"logistic_regression": {}, "k_nearest_neighbors": {}}


def _fits(checkout: Any) -> set[str]:
    """Return the ids of the candidate runs that MLflow remembers."""
    client = mlflow.MlflowClient(f"sqlite:///{checkout.root / 'mlflow/mlflow.db'}")
    experiment = client.get_experiment_by_name("digits")
    runs = client.search_runs([experiment.experiment_id], filter_string="tags.kind = 'candidate'")
    return {run.info.run_id for run in runs}


def _fitted(checkout: Any, *, since: set[str]) -> list[str]:
    client = mlflow.MlflowClient(f"sqlite:///{checkout.root / 'mlflow/mlflow.db'}")
    return sorted(client.get_run(run_id).data.tags["family"] for run_id in _fits(checkout) - since)


def _closure(edges: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    return set(nx.transitive_closure(nx.DiGraph(edges)).edges)


def _name(stage: str) -> str:
    """Return what the flow calls a stage of dvc.yaml: ``fit-digits@svm`` is the task ``fit svm``."""
    verb, _, subject = stage.partition("@")
    return f"{'fit' if verb.endswith('-digits') else verb} {subject}"


def test_the_stages_and_the_flow_are_the_same_graph(ran: Any, prefect_url: str) -> None:
    """What waits for what is the same in dvc.yaml and among the tasks that Prefect ran, but for registration."""
    with Repo(str(ran.root)) as repo:
        stages = [(before.name, after.name) for after, before in repo.index.graph.edges]
    wanted = _closure((_name(before), _name(after)) for before, after in stages if "mnist" not in before + after)

    client = mlflow.MlflowClient(f"sqlite:///{ran.root / 'mlflow/mlflow.db'}")
    experiment = client.get_experiment_by_name("digits")
    pipelines = client.search_runs([experiment.experiment_id], filter_string="tags.kind = 'pipeline'")
    flow_run = pipelines[-1].data.tags["prefect.flow_run_id"]
    answer = WEB.post(f"{prefect_url}/task_runs/filter", json={"flow_runs": {"id": {"any_": [flow_run]}}}).json()
    names = {task["id"]: task["name"] for task in answer}
    edges = [
        (names[source["id"]], task["name"])
        for task in answer
        for sources in task["task_inputs"].values()
        for source in sources
        if source["input_type"] == "task_run"
    ]
    found = {edge for edge in _closure(edges) if edge[1] != "register digits"}
    assert found == wanted
    assert ("evaluate digits", "register digits") in edges


@dataclass(frozen=True)
class _Watched(Project):
    """A project that notes which sections of the params are read."""

    read: set[str] = field(default_factory=set)

    def params(self, dataset: str) -> Any:
        """Return the params of a dataset, watched."""
        params, read = super().params(dataset), self.read

        class Watching:
            def __getattr__(self, name: str) -> Any:
                read.add(DatasetParams.model_fields[name].alias or name)
                return getattr(params, name)

        return Watching()


def test_each_stage_names_the_params_that_its_step_takes(kept: Any) -> None:
    """The sections that a step reads while it works are those that its stage declares."""
    stages, memory = yaml.safe_load((kept.root / "dvc.yaml").read_text(encoding="utf-8"))["stages"], kept.memory()

    def evaluate(project: Project, dataset: str) -> None:
        fitted, failed = evaluation.all_remembered(project, dataset, memory=memory)
        evaluation.evaluate(project, dataset, fitted=fitted, failed=failed, memory=memory)

    fit = partial(candidates.fit, family="decision_tree", memory=memory)
    steps: dict[str, Callable[..., Any]] = {
        "ingest": partial(data.ingest, settings=Settings.load(kept.root)),
        "validate": data.validate,
        "split": data.split,
        "fit-digits": fit,
        "ensemble-digits": partial(candidates.fit, family="voting", memory=memory),
        "evaluate": evaluate,
    }
    for stage, step in steps.items():
        project = _Watched(root=kept.root)
        step(project, "digits")
        declared = {re.split(r"[.{}]+", key.replace("${key}", "digits"))[2] for key in stages[stage]["do"]["params"]}
        assert project.read == declared, stage


@pytest.mark.parametrize("dataset", ["digits", "mnist"])
def test_a_fit_depends_on_its_own_params_alone(root: Path, dataset: str) -> None:
    """A stage that fits names the seed and its own family: another one's params fit nothing."""
    stages = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    for verb, section in (("fit", "families"), ("ensemble", "ensembles")):
        assert stages[f"{verb}-{dataset}"]["do"]["params"] == [
            f"datasets.{dataset}.fit.seed",
            f"datasets.{dataset}.fit.{section}.${{key}}",
        ]


def test_the_blocks_of_all_datasets_are_the_same(root: Path) -> None:
    """What is said of fitting digits is said of fitting mnist, word for word."""
    stages = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    for verb in ("fit", "ensemble"):
        assert yaml.safe_load(yaml.safe_dump(stages[f"{verb}-digits"]).replace("digits", "mnist")) == yaml.safe_load(
            yaml.safe_dump(stages[f"{verb}-mnist"]).replace("digits", "mnist")
        )


def test_ones_own_dataset_is_known_to_dvc(root: Path, checkout: Any) -> None:
    """The dataset that docs/params.md shows is valid, and each stage finds the params that it names."""
    example = re.search(r"```yaml\n(  mine:.*?)```", (root / "docs/params.md").read_text(encoding="utf-8"), re.DOTALL)
    assert example
    params = checkout.root / "params.yaml"
    params.write_text(params.read_text(encoding="utf-8") + example[1], encoding="utf-8")
    stages = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))
    for verb in ("fit", "ensemble"):
        block = yaml.safe_dump(stages["stages"][f"{verb}-digits"]).replace("digits fit digits", "digits fit mine")
        block = re.sub(r"datasets\.digits|(?<=/)digits(?=[/\n])", lambda found: found[0][:-6] + "mine", block)
        stages["stages"][f"{verb}-mine"] = yaml.safe_load(block)
    (checkout.root / "dvc.yaml").write_text(yaml.safe_dump(stages), encoding="utf-8")
    assert list(Project(root=checkout.root).params("mine").fit.families) == ["logistic_regression", "svm"]
    names = ["ingest@mine", "validate@mine", "split@mine", "fit-mine@svm", "evaluate@mine"]
    assert list(changes(checkout.root, stages=names)) == names


def test_a_dataset_that_dvc_knows_alone_is_named_before_anything_is_done(checkout: Any) -> None:
    """Whoever takes a dataset out of params.yaml and leaves its stages is told so at the first look at DVC."""
    content = yaml.safe_load((checkout.root / "params.yaml").read_text(encoding="utf-8"))
    del content["datasets"]["mnist"]
    (checkout.root / "params.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(MissingError, match=r"datasets\.mnist"):
        remembered(checkout.root, stage="ingest@digits", step=lambda: pytest.fail("something was done"))


def test_a_flow_waits_for_dvc(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """While another DVC command works on a stage's files, whoever records the stage waits for its end."""
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\n    no_scm = true\n    analytics = false\n", encoding="utf-8")
    stage = {"cmd": "touch begun; sleep 3; touch made", "outs": ["made"]}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"make": stage}}), encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        while process.poll() is None and not (tmp_path / "begun").exists():
            time.sleep(0.05)
        assert not remembered(tmp_path, stage="make", step=lambda: pytest.fail("done twice"))
        record(tmp_path, stages=lambda: ["make"])
        assert process.wait(20) == 0, process.stdout
    assert "DVC is at work here" in caplog.text
    assert not changes(tmp_path, stages=["make"])


def test_a_stage_that_dvc_does_not_know_is_named(checkout: Any) -> None:
    """Whoever has taken a step out of dvc.yaml is told so."""
    with pytest.raises(MissingError, match=r"no stage polish@digits; it has ingest@digits"):
        changes(checkout.root, stages=["polish@digits"])


def test_what_a_kill_cuts_off_while_dvc_writes_is_mended(checkout: Any, root: Path) -> None:
    """DVC's list of readers, if damaged, is dropped; half a lock is nobody's, DVC's own stays as it is."""
    half, readers = checkout.root / ".dvc/tmp/dvc.lock", checkout.root / ".dvc/tmp/rwlock"
    shutil.copy(root / "dvc.lock", checkout.root)
    for path in (half, readers):
        path.parent.mkdir(parents=True, exist_ok=True)
    half.write_text("stages: {ingest@", encoding="utf-8")
    readers.touch()
    assert remembered(checkout.root, stage="ingest@digits", step=lambda: _ingest(checkout))
    assert not half.exists()
    assert changes(checkout.root, stages=["ingest@digits"]) == {}
    recorded, shipped = (
        yaml.safe_load((folder / "dvc.lock").read_text(encoding="utf-8"))["stages"] for folder in (checkout.root, root)
    )
    assert recorded == shipped


def test_dvcs_list_of_a_process_before_a_restart_stops_nobody(checkout: Any) -> None:
    """A number that the list names may be that of another process by now, which DVC would wait for without end."""
    readers = checkout.root / ".dvc/tmp/rwlock"
    readers.parent.mkdir(parents=True, exist_ok=True)
    with subprocess.Popen(["sleep", "60"]) as other:
        busy = {"pid": other.pid, "cmd": "dvc repro"}
        readers.write_text(json.dumps({"write": {str(checkout.root / "params.yaml"): busy}}), encoding="utf-8")
        with alone(checkout.root):
            assert readers.exists()  # it may be the one that is meant
        os.utime(readers, (0, 0))
        assert list(changes(checkout.root, stages=["ingest@digits"])) == ["ingest@digits"]
        other.kill()


def test_what_a_command_made_is_not_made_again(checkout: Any, root: Path) -> None:
    """In a fresh clone DVC's cache is empty: files that are as the lock says go there without the step, others not."""
    shutil.copy(root / "dvc.lock", checkout.root)
    _ingest(checkout)
    assert changes(checkout.root, stages=["ingest@digits"]) == {}
    assert not remembered(checkout.root, stage="ingest@digits", step=lambda: pytest.fail("done twice"))
    assert "up to date" in checkout.dvc("status", "ingest@digits")
    shutil.rmtree(checkout.root / ".dvc/cache")
    (checkout.root / "data/snapshots/digits/labels.npy").write_bytes(b"")
    assert list(changes(checkout.root, stages=["ingest@digits"])) == ["ingest@digits"]


def test_what_a_step_has_not_read_is_not_recorded(checkout: Any) -> None:
    """A source that is changed while a step reads it is read again by the next run."""

    def step() -> None:
        _ingest(checkout)
        checkout.params(ingest={"path": "data/sources/other"})

    shutil.copytree(checkout.root / "data/sources/digits", checkout.root / "data/sources/other")
    assert remembered(checkout.root, stage="ingest@digits", step=step)
    assert changes(checkout.root, stages=["ingest@digits"]) == {"ingest@digits": []}


def test_what_old_code_did_is_not_recorded(checkout: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code that was edited after it was loaded has not run: the next run does the step again."""
    asked: set[str] = set()

    def edited(modules: Iterable[str]) -> set[str]:
        asked.update(modules)
        return {"digits.data.sources"} & asked

    monkeypatch.setattr("tasks.memory.changed_code", edited)
    assert remembered(checkout.root, stage="ingest@digits", step=lambda: _ingest(checkout))
    assert {"digits.data.sources", "digits.data.snapshot"} <= asked
    assert list(changes(checkout.root, stages=["ingest@digits"])) == ["ingest@digits"]


def _ingest(checkout: Any) -> None:
    data.ingest(Project(root=checkout.root), "digits", settings=Settings.load(checkout.root))


def test_a_fit_whose_code_was_changed_meanwhile_is_none(kept: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows which code made it: it is neither kept nor remembered. What is not current is known as such."""
    project, memory = kept.project, kept.memory()
    candidate = candidates.remembered(project, "digits", "decision_tree", memory=memory)
    done = Evaluation.load(
        project.evaluation("digits"),
        candidate=partial(project.candidate, "digits"),
        split=data.load_split(project, "digits"),
    )
    assert evaluation.is_current(project, "digits", done)
    other = replace(done, params=done.params.model_copy(update={"confidence": 0.9}))
    assert not evaluation.is_current(project, "digits", other)
    assert candidates.current(project, "digits", [candidate]) == [candidate]
    kept.families({"decision_tree": {"components": 12}})
    assert candidates.current(project, "digits", [candidate]) == []
    assert not evaluation.is_current(project, "digits", done)
    known, answers = _fits(kept), iter([set(), {"digits.models.trees"}])
    monkeypatch.setattr(code, "changed_code", lambda _: next(answers))
    with pytest.raises(FitFailed, match=r"digits\.models\.trees was changed after this process had begun"):
        candidates.fit(project, "digits", "decision_tree", memory=memory)
    assert not candidate.path.exists()
    (run_id,) = _fits(kept) - known
    assert memory.client.get_run(run_id).info.status == "FAILED"


@pytest.mark.parametrize("half", [False, True], ids=["whole", "half"])
def test_a_file_that_is_edited_while_a_command_fits_costs_the_fit(kept: Any, *, half: bool) -> None:
    """The workers may have loaded either, or fallen over a half: neither folder nor MLflow has a candidate."""
    kept.families({"random_forest": {"trees": 400}})
    known, process = _fits(kept), kept.start("fit", "digits", "random_forest")
    while process.poll() is None and not _fits(kept) - known:
        time.sleep(0.1)
    module = kept.root / "digits/models/trees.py"
    whole = module.read_text(encoding="utf-8")
    with replaced_file(module) as edited:
        edited.write_text(whole[: len(whole) // 2] if half else f"{whole}\nEDITED = True\n", encoding="utf-8")
    said = process.communicate(120)[1]
    assert process.wait() == 1
    assert said.splitlines()[-1] == "digits: digits.models.trees was changed after this process had begun; run again"
    assert not kept.project.candidate("digits", "random_forest").exists()
    (run_id,) = _fits(kept) - known
    assert kept.memory().client.get_run(run_id).info.status == "FAILED"


def test_dvc_records_nothing_of_other_libraries_than_it_believes(kept: Any) -> None:
    """To DVC the lock says what is installed: where that is not so, its stages fail and the flow tells it of no fit."""
    lock = kept.root / "requirements.lock"
    lock.write_text(re.sub(r"(?m)^numpy==\S+", "numpy==0.1", lock.read_text(encoding="utf-8")), encoding="utf-8")
    for command in (("fit", "digits", "decision_tree"), ("evaluate", "digits", "--all")):
        refused = kept.digits(*command, DVC_STAGE="a stage")
        assert (refused.returncode, refused.stderr.count("\n")) == (1, 1), refused.stderr
        assert "installed is another numpy than requirements.lock names" in refused.stderr
        assert kept.digits(*command).returncode == 0
    before = (kept.root / "dvc.lock").read_bytes()
    done = kept.digits("run", "digits")
    assert done.returncode == 0, done.stderr
    assert (kept.root / "dvc.lock").read_bytes() == before


def test_state_may_lie_on_another_disk(checkout: Any) -> None:
    """As in a container, where it is a volume: DVC's lock is not moved across."""
    other = Path("/dev/shm", checkout.root.name)  # noqa: S108 - another file system than that of the checkout
    if not other.parent.is_dir() or other.parent.stat().st_dev == checkout.root.stat().st_dev:
        pytest.skip("there is no other file system to write to")
    other.mkdir()
    try:
        (checkout.root / ".state").symlink_to(other)
        assert remembered(checkout.root, stage="ingest@digits", step=lambda: _ingest(checkout))
        assert changes(checkout.root, stages=["ingest@digits"]) == {}
    finally:
        shutil.rmtree(other)


def test_a_damaged_picture_is_drawn_again(kept: Any) -> None:
    """DVC would take the damaged one of the leaderboard for the good one."""
    picture = kept.root / "data/evaluations/digits/plots/leaderboard.png"
    whole = picture.read_bytes()
    picture.write_bytes(whole[:-100])
    assert kept.digits("evaluate", "digits").returncode == 0
    assert picture.read_bytes() == whole


def test_the_very_same_model_is_neither_scored_nor_drawn_again(kept: Any) -> None:
    """A fit that is lost and done again has a run of its own, onto which the scores that are there are logged."""
    project, memory = kept.project, kept.memory()
    drawn = {path: path.stat().st_mtime_ns for path in (kept.root / "data/evaluations").rglob("*.png")}
    lost = candidates.remembered(project, "digits", "decision_tree", memory=memory)
    memory.client.delete_run(lost.run_id)
    shutil.rmtree(lost.path)
    again = candidates.fit(project, "digits", "decision_tree", memory=memory).candidate
    fitted, failed = evaluation.all_remembered(project, "digits", memory=memory)
    evaluation.evaluate(project, "digits", fitted=fitted, failed=failed, memory=memory)
    before, after = (memory.client.get_run(each.run_id).data.metrics for each in (lost, again))
    assert before | {"fit_seconds": None} == after | {"fit_seconds": None}
    assert {path: path.stat().st_mtime_ns for path in drawn} == drawn
    for folder in ("scores", "plots"):
        told = [[item.path for item in memory.client.list_artifacts(each.run_id, folder)] for each in (lost, again)]
        assert told[0] == told[1] != []


def test_what_was_changed_during_a_command_is_not_recorded_by_dvc(kept: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command whose params are edited while it works ends as failed, so `dvc repro` does it again; the fit stays."""
    known, fit = _fits(kept), candidates.fit

    def edited(*arguments: Any, **named: Any) -> Any:
        done = fit(*arguments, **named)
        kept.families({"decision_tree": {"components": 14}})
        return done

    kept.families({"decision_tree": {"components": 12}})
    monkeypatch.chdir(kept.root)
    monkeypatch.setattr(Project, "find", lambda: kept.project)  # a copy of what runs here
    monkeypatch.setattr(candidates, "fit", edited)
    with pytest.raises(FitFailed, match="its params or code were changed meanwhile; run again"):
        fit_command("digits", "decision_tree")
    assert _fitted(kept, since=known) == ["decision_tree"]
    monkeypatch.setattr(data, "split", lambda *_, **__: kept.params(split={"seed": 9}))
    with pytest.raises(ParamsError, match=r"params\.yaml was changed while the step ran"):
        split_command("digits")


def test_a_family_without_a_fit_is_an_error_for_dvc(kept: Any) -> None:
    """`evaluate` alone ranks those that there are; with --all, as `dvc repro` calls it, one that is missing is told."""
    kept.params(fit={"seed": 5})
    candidates.fit(kept.project, "digits", "decision_tree", memory=kept.memory())
    refused = kept.digits("evaluate", "digits", "--all")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "logistic_regression is not fitted with today's params, data, code and libraries" in refused.stderr
    done = kept.digits("evaluate", "digits", "--json")
    assert [row["family"] for row in json.loads(done.stdout)] == ["decision_tree"]


def test_nothing_is_fitted_to_or_scored_on_a_damaged_snapshot(kept: Any) -> None:
    """Else MLflow would remember, as of the images of the snapshot, what came of others."""
    path, known = kept.root / "data/snapshots/digits/labels.npy", _fits(kept)
    fitted, failed = evaluation.all_remembered(kept.project, "digits", memory=kept.memory())
    assert fitted
    np.save(path, np.roll(np.load(path), 1))
    kept.families({"decision_tree": {"components": 12}})
    with pytest.raises(MissingError, match=r"snapshot .* is damaged"):
        candidates.fit(kept.project, "digits", "decision_tree", memory=kept.memory())
    assert _fits(kept) == known
    with pytest.raises(MissingError, match=r"snapshot .* is damaged"):
        evaluation.evaluate(kept.project, "digits", fitted=fitted, failed=failed, memory=kept.memory())


def test_an_ensemble_of_other_members_than_it_names_is_none(kept: Any) -> None:
    """A member that another terminal replaces while the ensemble is made may be in it: it is not remembered."""
    member = kept.project.candidate("digits", "logistic_regression")

    class Meanwhile(InProcess):
        """Who finds, when the fit is done, that somebody has replaced a member."""

        def run(self, function: Any, **arguments: Any) -> Any:
            done = super().run(function, **arguments)
            shutil.rmtree(member)
            shutil.copytree(kept.project.candidate("digits", "k_nearest_neighbors"), member)
            return done

    kept.families({**FAMILIES, "voting": {"members": list(FAMILIES), "weights": "learned"}})
    with pytest.raises(FitFailed, match="its member logistic_regression was replaced or damaged meanwhile"):
        candidates.fit(kept.project, "digits", "voting", memory=kept.memory(), workers=Meanwhile())
    assert not kept.project.candidate("digits", "voting").exists()


def test_an_ensemble_is_scored_by_its_own_members_scores(kept: Any) -> None:
    """Where a member that is scored is another one than the ensemble was made of, the ensemble has no score."""
    project, memory = kept.project, kept.memory()
    fitted, _ = evaluation.all_remembered(project, "digits", memory=memory)
    kept.families({**FAMILIES, "k_nearest_neighbors": {"neighbors": 3}})
    other = candidates.fit(project, "digits", "k_nearest_neighbors", memory=memory)
    mixed = [other if item.candidate.family == "k_nearest_neighbors" else item for item in fitted]
    shutil.rmtree(kept.root / "data/evaluations")
    done = evaluation.evaluate(project, "digits", fitted=mixed, failed={}, memory=memory)
    assert "its member k_nearest_neighbors is another one than is scored" in done.failed["voting"]


def test_what_is_brought_takes_its_place_only_when_it_is_whole(kept: Any, tmp_path: Path) -> None:
    """Where MLflow's copy of a candidate is damaged, what lies in the folder stays."""
    memory, place = kept.memory(), tmp_path / "place"
    candidate = candidates.remembered(kept.project, "digits", "decision_tree", memory=memory)
    other = candidates.remembered(kept.project, "digits", "k_nearest_neighbors", memory=memory)
    shutil.copytree(other.path, place)
    stored = next((kept.root / "mlflow/artifacts").rglob(f"{candidate.run_id}/artifacts/candidate"))
    model = next((stored / "model").iterdir())
    content = model.read_bytes()
    model.write_bytes(content[:-10])
    assert recall(memory, candidate.fingerprint.digest, path=place).candidate is None
    assert Candidate.load(place).digest == other.digest
    model.write_bytes(content)
    assert recall(memory, candidate.fingerprint.digest, path=place).candidate == replace(candidate, path=place)


@pytest.mark.parametrize("dataset", ["digits", "mnist"])
def test_each_stage_names_the_code_of_its_fingerprint(root: Path, dataset: str) -> None:
    """Whatever code a fingerprint counts, DVC watches: no change of it is overlooked by `dvc repro`."""
    stages = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    for family in Project(root=root).params(dataset).fit.families.values():
        stage = stages[f"{'ensemble' if family.members else 'fit'}-{dataset}"]["do"]
        watched = [dependency.removesuffix(".py") for dependency in stage["deps"]]
        for module in fingerprint(family, data="", seed=0).code:
            assert any(module.replace(".", "/").startswith(path) for path in watched), (family.name, module)
        assert "requirements.lock" in watched  # the versions of the libraries


@pytest.mark.parametrize(
    ("stage", "modules", "besides"),
    [
        ("ingest", ["data.sources", "data.snapshot"], set()),
        ("validate", ["data.contract"], {"data.datadocs", "data.quarantine"}),  # what they write is no out of the stage
        ("split", ["data.split"], set()),
        ("evaluate", ["experiments.assessment", "experiments.evaluation", "experiments.overview"], set()),
    ],
)
def test_each_stage_names_the_code_of_its_step(root: Path, stage: str, modules: list[str], besides: set[str]) -> None:
    """What a step imports of its own package is watched, to the last module; nothing else is."""
    stages = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    deps = [Path(name).with_suffix("") for name in stages[stage]["do"]["deps"] if name.endswith(".py")]
    package = f"digits.{modules[0].partition('.')[0]}"
    needed = set[str]().union(*(code.reachable(f"digits.{module}", below=package) for module in modules))
    assert {".".join(path.parts) for path in deps} == needed - {f"digits.{name}" for name in besides}


@pytest.fixture
def repository(make_checkout: Callable[..., Any], root: Path) -> Any:
    """Return a fresh checkout that is a git repository; two families and their ensemble, as DVC starts each anew."""
    members = ["logistic_regression", "k_nearest_neighbors"]
    checkout = make_checkout({**{name: {} for name in members}, "voting": {"members": members}})
    for name in (".gitignore", "data/.gitignore"):
        shutil.copy(root / name, checkout.root / name)
    (checkout.root / ".dvc/config").write_text("[core]\n    analytics = false\n", encoding="utf-8")
    (checkout.root / ".dvc/.gitignore").write_text("/config.local\n/tmp\n/cache\n", encoding="utf-8")
    who = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.org")
    for command in (("init", "-q"), ("add", "-A"), (*who, "commit", "-qm", "All")):
        subprocess.run(["git", *command], cwd=checkout.root, env=checkout.environment, check=True)
    checkout.environment.update({f"GIT_{part}_NAME": "Somebody" for part in ("AUTHOR", "COMMITTER")})
    checkout.environment.update({f"GIT_{part}_EMAIL": "somebody@example.org" for part in ("AUTHOR", "COMMITTER")})
    return checkout


def test_what_the_flow_did_is_not_done_again(kept: Any) -> None:
    """Flow, repro, flow: nothing is fitted twice."""
    known = _fits(kept)
    assert len(known) == 4
    assert "Running stage" not in kept.dvc("repro", TARGET)
    again = kept.digits("run", "digits", "--json")
    assert again.returncode == 0, again.stderr
    assert {row["reused"] for row in json.loads(again.stdout)} == {True}
    assert _fits(kept) == known


def test_one_memory_behind_two_doors(repository: Any) -> None:
    """Repro from nothing, then the flow: nothing is fitted twice. Changed code and params fit what they change."""
    checkout = repository
    checkout.dvc("repro", TARGET)
    known = _fits(checkout)
    assert _fitted(checkout, since=set()) == ["k_nearest_neighbors", "logistic_regression", "voting"]
    flow = checkout.digits("run", "digits", "--json")
    assert flow.returncode == 0, flow.stderr
    assert _fits(checkout) == known

    for module, line in (("mlp", "# a comment"), ("ensembles", "MORE = 1")):
        path = checkout.root / f"digits/models/{module}.py"
        path.write_text(f"{path.read_text(encoding='utf-8')}\n{line}\n", encoding="utf-8")
    checkout.dvc("repro", TARGET)
    assert _fitted(checkout, since=known) == ["voting"]
    known = _fits(checkout)

    changed = "+datasets.digits.fit.families.k_nearest_neighbors.neighbors=3"
    checkout.dvc("exp", "run", "-S", changed, TARGET)
    assert _fitted(checkout, since=known) == ["k_nearest_neighbors", "voting"]
    known = _fits(checkout)
    last = checkout.digits("leaderboard", "digits", "--json")
    assert last.returncode == 0, last.stderr
    assert "index.html" in checkout.dvc("plots", "show", "data/evaluations/digits/plots")
    figures = json.loads(checkout.dvc("metrics", "show", "--json"))[""]["data"]
    shown = figures["data/evaluations/digits/metrics.json"]["data"]["families"]
    assert {name: row["test_accuracy"] for name, row in shown.items()} == {
        row["family"]: row["test_accuracy"] for row in json.loads(last.stdout)
    }


def test_a_damaged_candidate_is_fitted_again_and_said_so(kept: Any) -> None:
    """A model whose files are damaged, in its folder and in MLflow's store, is fitted again; the damage is reported."""
    known = _fits(kept)
    row = next(row for row in json.loads(kept.first.stdout) if row["family"] == "decision_tree")
    stored = next((kept.root / "mlflow/artifacts").rglob(f"{row['run_id']}/artifacts/candidate"))
    for folder in (kept.root / "data/candidates/digits/families/decision_tree", stored):
        model = next((folder / "model").iterdir())
        model.write_bytes(model.read_bytes()[:-10])
    done = kept.digits("run", "digits", "--json")
    assert done.returncode == 0, done.stderr
    assert _fitted(kept, since=known) == ["decision_tree"]
    assert re.search(
        r"fit +decision_tree +done.*fitted again: missing or damaged in its folder and in run", done.stderr
    )
    figures = [{row["family"]: row["test_accuracy"] for row in json.loads(run.stdout)} for run in (kept.first, done)]
    assert figures[0] == figures[1]


@pytest.mark.parametrize("sealed", [False, True], ids=["damaged", "forged"])
def test_a_changed_description_wins_nothing(kept: Any, sealed: bool) -> None:
    """Scores that somebody wrote into candidate.json are not believed: what MLflow recorded comes back in its place."""
    project, memory = kept.project, kept.memory()
    candidate = candidates.remembered(project, "digits", "decision_tree", memory=memory)
    diagonal = tuple(map(tuple, np.diag(np.sum(candidate.validation.confusion, axis=1)).tolist()))
    forged = replace(candidate, validation=candidate.validation.model_copy(update={"confusion": diagonal}))
    path = candidate.path / "candidate.json"
    before = path.read_text(encoding="utf-8")
    forged.write(candidate.path)
    if not sealed:
        path.write_text(path.read_text("utf-8").replace(forged.description_digest, candidate.description_digest))
        with pytest.raises(MissingError, match="what it says is not what was written"):
            Candidate.load(candidate.path)
        assert kept.digits("register", "digits").returncode == 1
    assert not candidate.is_in_place()
    assert candidates.remembered(project, "digits", "decision_tree", memory=memory) == candidate
    assert json.loads(path.read_text(encoding="utf-8")) == json.loads(before)
    stored = next((kept.root / "mlflow/artifacts").rglob(f"{candidate.run_id}/artifacts/candidate"))
    for folder in (candidate.path, stored):
        forged.write(folder)
    with pytest.raises(MissingError, match="decision_tree is not fitted"):
        candidates.remembered(project, "digits", "decision_tree", memory=memory)


def test_what_cannot_be_scored_is_no_success(
    kept: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A candidate that gives NaN costs its place and its ensemble's; the others are shown, and DVC hears of it."""

    def nothing(proba: NDArray[np.float64], *_: Any, **__: Any) -> NDArray[np.float64]:
        return proba * np.nan

    def assess(candidate: Candidate, **rest: Any) -> Any:
        with patch.object(scoring, "aligned", nothing) if candidate.family == broken else nullcontext():
            return assessment.assess(candidate, **rest)

    broken = "k_nearest_neighbors"
    shutil.rmtree(kept.root / "data/evaluations")
    monkeypatch.chdir(kept.root)
    monkeypatch.setattr(Project, "find", lambda: kept.project)  # a copy of what runs here
    monkeypatch.setattr(evaluation, "assess", assess)
    with pytest.raises(FitFailed, match=rf"{broken} \(.*not finite.*voting \(its member {broken} could not be scored"):
        evaluate_command("digits", json=True)
    assert {row["family"] for row in json.loads(capsys.readouterr().out)} == {"logistic_regression", "decision_tree"}


def test_what_was_replaced_meanwhile_is_not_scored(kept: Any) -> None:
    """A candidate whose folder holds another fit by now gives no score in the name of the first, and is no record."""
    project, memory = kept.project, kept.memory()
    fitted, _ = evaluation.all_remembered(project, "digits", memory=memory)
    before = (kept.root / "params.yaml").read_bytes()
    kept.families({"decision_tree": {"components": 12}})
    candidates.fit(project, "digits", "decision_tree", memory=memory)
    (kept.root / "params.yaml").write_bytes(before)
    assert len(candidates.current(project, "digits", [item.candidate for item in fitted])) == len(fitted) - 1
    shutil.rmtree(kept.root / "data/evaluations")
    done = evaluation.evaluate(project, "digits", fitted=fitted, failed={}, memory=memory)
    assert list(done.failed) == ["decision_tree"]
    assert "were replaced" in done.failed["decision_tree"]


def test_candidates_travel_to_a_machine_that_never_saw_the_server(
    ran: Any, make_checkout: Callable[..., Any], root: Path, tmp_path: Path
) -> None:
    """README's `dvc push` and `dvc pull` bring the candidates; evaluate works there and records them as imported."""
    block = re.findall(r"(?m)^    dvc ((?:remote|push|pull) .*?)(?:  #.*)?$", (root / "README.md").read_text("utf-8"))
    remote, push, pull = (line.replace("/mnt/shared", str(tmp_path)).split() for line in block)
    ran.dvc(*remote)
    ran.dvc(*push)
    other = make_checkout()
    for name in ("dvc.lock", ".dvc/config"):
        shutil.copy(ran.root / name, other.root / name)
    ran.dvc("remote", "remove", "shared")
    other.dvc(*pull)
    done = other.digits("evaluate", "digits", "--json")
    assert done.returncode == 0, done.stderr
    first = {row["family"]: row for row in json.loads(ran.first.stdout)}
    rows = json.loads(done.stdout)
    assert {row["family"]: row["test_accuracy"] for row in rows} == {
        family: row["test_accuracy"] for family, row in first.items()
    }
    client = mlflow.MlflowClient(f"sqlite:///{other.root / 'mlflow/mlflow.db'}")
    for row in rows:
        run = client.get_run(row["run_id"])
        assert run.data.tags["imported"] == first[row["family"]]["run_id"]
        assert run.info.status == "FINISHED"
    assert "Running stage" not in other.dvc("repro", TARGET)


def test_two_flows_at_once_fit_nothing_twice(checkout: Any) -> None:
    """Two flows of the same dataset at the same time, through one Prefect server: one fit per family, one result."""
    both = [checkout.start("digits", program="flow") for _ in range(2)]
    for process in both:
        _, said = process.communicate(280)
        assert process.wait() == 0, said
    assert _fitted(checkout, since=set()) == ["decision_tree", "k_nearest_neighbors", "logistic_regression", "voting"]
    assert "Running stage" not in checkout.dvc("repro", TARGET)
    rows = json.loads(checkout.digits("leaderboard", "digits", "--json").stdout)
    assert len(rows) == 4
