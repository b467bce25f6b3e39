"""Fits on a real Dask cluster, whose workers share no disk with the flow: the same results, whatever dies."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import mlflow  # noqa: TID253 - every test here needs it
import psutil
import pytest
from distributed import Client

from digits.data.snapshot import Snapshot
from digits.data.split import Split
from digits.errors import BusyError, MissingError
from digits.experiments.candidate import Candidate
from digits.files import only_one
from digits.project import Project
from digits.settings import Settings
from digits.steps import candidates, data
from flows.servers.ports import free_port
from tasks.memory import remembered
from tasks.shared import share
from tasks.taken import _pull, taken
from tests.web import WEB

#: One of them is a network: TensorFlow runs on the workers too.
FAST = {
    "logistic_regression": {},
    "dense_network": {"epochs": 2},
    "voting": {"members": ["logistic_regression", "dense_network"]},
}

#: Its fit takes some seconds.
SLOW = {"random_forest": {"trees": 300}}


class _Cluster:
    """A scheduler and two workers; what they share with a checkout is what the network gives."""

    def __init__(self, folder: Path, *, tracking_uri: str) -> None:
        self.folder = folder
        self.address = f"tcp://127.0.0.1:{free_port()}"
        self._environment = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}  # of the default's 3 workers
        self.processes = [self._start("scheduler", "scheduler", "--host", self.address, "--no-dashboard")]
        self.workers = [self.add_worker(f"worker-{number}") for number in range(2)]
        self.settings = {
            "DIGITS_RUNNER": "dask",
            "DIGITS_DASK_ADDRESS": self.address,
            "MLFLOW_TRACKING_URI": tracking_uri,
        }

    def add_worker(self, name: str) -> subprocess.Popen[bytes]:
        process = self._start(name, "worker", self.address, "--name", name, "--nthreads", "1", "--no-dashboard")
        self.processes.append(process)
        return process

    def _start(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        """Start one of Dask's commands in a folder and with a home of its own."""
        home = self.folder / name / "home"
        home.mkdir(parents=True)
        # The bits depend on OpenBLAS's kernels, which this machine may name for all that run on it.
        kept = {name: os.environ[name] for name in ("PATH", "OPENBLAS_CORETYPE") if name in os.environ}
        with (self.folder / name / "log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "dask", *command],
                cwd=home.parent,
                env={**kept, **self._environment, "HOME": str(home)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Wait until both workers are there."""
        with Client(self.address, timeout=60, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)

    def starter_of(self, number: int) -> subprocess.Popen[bytes]:
        """Return what started the worker whose process has this number."""
        parents = {parent.pid for parent in psutil.Process(number).parents()} | {number}
        return next(worker for worker in self.workers if worker.pid in parents)

    def kill_worker(self, number: int) -> None:
        """Kill the worker whose process has this number, with what started it."""
        victim = self.starter_of(number)
        _kill(victim)
        self.workers.remove(victim)

    def fill_up(self) -> None:
        """Start what is missing of two workers."""
        while len(self.workers) < 2:
            self.workers.append(self.add_worker(f"worker-{len(self.processes)}"))
        self.wait()

    def stop(self) -> None:
        """End everything."""
        for process in self.processes:
            _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process with all that it has started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, tracking_server: Any) -> Iterator[_Cluster]:
    """Start a Dask cluster beside an MLflow server."""
    url, _ = tracking_server()
    started = _Cluster(tmp_path_factory.mktemp("cluster"), tracking_uri=url)
    try:
        started.wait()
        yield started
    finally:
        started.stop()


@pytest.fixture
def member(make_checkout: Callable[..., Any], cluster: _Cluster, tmp_path: Path) -> Any:
    """Return a checkout whose fits go to the cluster."""
    checkout = make_checkout(FAST | SLOW)
    checkout.environment.update(cluster.settings)
    remote = f"[core]\n    no_scm = true\n    remote = shared\n['remote \"shared\"']\n    url = {tmp_path / 'remote'}\n"
    (checkout.root / ".dvc/config").write_text(remote, encoding="utf-8")
    return checkout


def _runs(cluster: _Cluster, condition: str) -> list[Any]:
    client = mlflow.MlflowClient(cluster.settings["MLFLOW_TRACKING_URI"])
    experiment = client.get_experiment_by_name("digits")
    return list(client.search_runs([experiment.experiment_id], condition)) if experiment else []


def _await_fit(process: Any, cluster: _Cluster, family: str, *, but: Collection[str] = ()) -> Any:
    """Return the MLflow run of a family's fit once a worker does it; `but` are runs that are not meant."""
    condition = f"tags.family = '{family}' and attributes.status = 'RUNNING'"
    while not (runs := [run for run in _runs(cluster, condition) if run.info.run_id not in but]):
        assert process.poll() is None, process.communicate()
        time.sleep(0.3)
    return runs[0]


def _worker_of(run: Any) -> int:
    """Return the number of the process that an MLflow run was started by."""
    return int(run.data.tags["process"].split("/")[1])


@pytest.mark.timeout(600)
def test_a_killed_worker_costs_a_retry_and_the_results_are_those_of_one_machine(
    cluster: _Cluster, member: Any, make_checkout: Callable[..., Any], prefect_url: str
) -> None:
    """A worker and its nanny are killed during the slow fit: the run ends well, bit by bit as without Dask."""
    process = member.start("run", "digits", "--json")
    killed = _await_fit(process, cluster, "random_forest")
    time.sleep(0.8)
    cluster.kill_worker(_worker_of(killed))
    printed, said = process.communicate(timeout=280)
    assert process.poll() == 0, said

    runs = _runs(cluster, "tags.kind = 'candidate'")
    assert sorted(run.data.tags["family"] for run in runs if run.info.status == "FINISHED") == sorted(FAST | SLOW)
    assert {run.info.run_id for run in runs if run.info.status != "FINISHED"} == {killed.info.run_id}
    assert _runs(cluster, "attributes.status = 'RUNNING'") == []

    flow_run = _runs(cluster, "tags.kind = 'pipeline'")[0].data.tags["prefect.flow_run_id"]
    answer = WEB.post(f"{prefect_url}/task_runs/filter", json={"flow_runs": {"id": {"any_": [flow_run]}}}).json()
    assert {task["state_type"] for task in answer} == {"COMPLETED"}

    alone = make_checkout(FAST | SLOW)
    for folder in ("snapshots", "splits"):
        shutil.copytree(member.root / "data" / folder, alone.root / "data" / folder)
    shown = {row["family"]: row["validation_accuracy"] for row in json.loads(printed)}
    for family in FAST | SLOW:
        here = candidates.fit(alone.project, "digits", family, memory=alone.memory()).candidate
        there = Candidate.load(member.project.candidate("digits", family))
        assert not there.fault()
        for part in ("fingerprint", "digest", "proba_digest", "validation"):
            assert getattr(there, part) == getattr(here, part), (family, part)
        assert shown[family] == here.validation.accuracy
    assert f"fit      {'random_forest':<21}done" in said


def test_a_fit_that_every_worker_dies_of_is_given_up(cluster: _Cluster, member: Any, prefect_url: str) -> None:
    """One death more than the scheduler allows: the family fails in a line, the others stay, nothing stays running."""
    cluster.fill_up()
    member.families({"logistic_regression": {}, **SLOW})
    member.params(fit={"seed": 1})  # nobody remembers these fits
    process, killed = member.start("run", "digits", "--json"), list[str]()
    for left in (1, 0):
        run = _await_fit(process, cluster, "random_forest", but=killed)
        killed.append(run.info.run_id)
        cluster.kill_worker(_worker_of(run))
        if left:
            cluster.fill_up()  # one must be there for the other family when this one is given up
    printed, said = process.communicate(timeout=280)
    assert process.poll() == 0, said
    assert [row["family"] for row in json.loads(printed)] == ["logistic_regression"]
    line = next(line for line in said.splitlines() if re.match(r"fit +random_forest +failed", line))
    assert "2 workers died in a row while they fitted it; out of memory?" in line
    runs = _runs(cluster, "tags.family = 'random_forest'")
    assert [run.info.status for run in runs if run.info.run_id in killed] == ["KILLED", "KILLED"]
    flow_run = _runs(cluster, "tags.kind = 'pipeline'")[0].data.tags["prefect.flow_run_id"]
    states = WEB.post(f"{prefect_url}/task_runs/filter", json={"flow_runs": {"id": {"any_": [flow_run]}}}).json()
    assert {task["name"]: task["state_type"] for task in states}["fit random_forest"] == "CRASHED"


def test_a_time_limit_and_other_code_on_a_worker_are_one_line_each(cluster: _Cluster, member: Any) -> None:
    """A fit that takes too long ends; a worker whose code is not the flow's fits nothing under the flow's name."""
    member.families({"rnn": {}, "random_forest": {"trees": 2_000}})
    code = member.root / "digits/models/networks.py"
    code.write_text(code.read_text(encoding="utf-8") + "\nMORE = 1\n", encoding="utf-8")
    done = member.digits("run", "digits", DIGITS_FIT_MINUTES="0.02")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("fit ")]
    assert len(lines) == 2
    assert "took longer than 0.02 min; raise DIGITS_FIT_MINUTES" in "".join(lines)
    assert "is not as the flow is (code: digits/models/networks.py changed); install the same commit" in "".join(lines)
    assert _runs(cluster, "tags.family = 'rnn'") == []


def test_an_interrupt_ends_the_fits_on_the_workers(cluster: _Cluster, member: Any) -> None:
    """Ctrl-C on the flow's machine ends what the workers do for it; they stay, and nothing is shown as running."""
    member.families({"mlp": {"epochs": 1000}})
    process = member.start("run", "digits", "--json")
    worker = psutil.Process(_worker_of(_await_fit(process, cluster, "mlp")))
    while not (fitting := [child for child in worker.children() if "spawn_main" in " ".join(child.cmdline())]):
        time.sleep(0.1)
    lock = member.project.lock("digits", "cluster")
    with pytest.raises(BusyError), only_one(lock, busy=BusyError("another flow would fit the same")):
        pass
    process.interrupt()
    said = process.communicate(timeout=60)[1]
    assert process.poll() == 130, said
    assert "Traceback" not in said
    assert psutil.wait_procs(fitting, timeout=30)[1] == []
    deadline = time.monotonic() + 30
    while _runs(cluster, "attributes.status = 'RUNNING'"):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert worker.is_running()
    with Client(cluster.address, set_as_default=False) as client:
        assert client.submit(sum, [1, 2]).result(timeout=60) == 3


@pytest.fixture
def rows(member: Any, monkeypatch: pytest.MonkeyPatch) -> Split:
    """Return the split of a checkout whose data steps DVC remembers."""
    project = member.project
    monkeypatch.chdir(member.root)
    monkeypatch.setattr(Project, "find", lambda: member.project)  # a copy of what runs here
    for step in (partial(data.ingest, settings=Settings.load(member.root)), data.validate, data.split):
        verb = getattr(step, "func", step).__name__
        remembered(member.root, stage=f"{verb}@digits", step=partial(step, project, "digits"))
    return data.load_split(project, "digits")


def test_data_is_taken_once_by_all_and_held_against_its_digest(member: Any, rows: Split, tmp_path: Path) -> None:
    """Fits that ask at once wait for one download; what the remote holds damaged, or has lost, is refused."""
    shared, cache = share(member.root, stages=["ingest@digits", "split@digits"]), tmp_path / "cache"
    with ThreadPoolExecutor(4) as threads, patch("tasks.taken._pull", wraps=_pull) as pulls:
        places = set(threads.map(lambda _: taken(rows, shared=shared, cache=cache), range(4)))
    assert pulls.call_count == 1
    ((snapshot, split),) = places
    there = Split.load(split, snapshot=Snapshot.load(snapshot))
    there.snapshot.verify()
    assert (there.digest, there.snapshot.digest) == (rows.digest, rows.snapshot.digest)

    images = max((tmp_path / "remote").rglob("*"), key=lambda path: path.stat().st_size * path.is_file())
    content = images.read_bytes()
    images.chmod(0o644)
    for damage in (lambda: images.write_bytes(content[:-1] + b"!"), images.unlink):
        damage()
        with pytest.raises(MissingError, match="digits cannot be taken from DVC's remote") as caught:
            taken(rows, shared=shared, cache=tmp_path / "other")
        assert "\n" not in str(caught.value)
        assert not [*(tmp_path / "other").glob("*/*")]


def test_a_fit_ends_with_its_pipeline_run_on_whatever_host(member: Any, rows: Split) -> None:
    """Of a process on another host nothing is known, but its fit is over once the pipeline run is."""
    memory, params = member.memory(), member.project.params("digits").fit
    parent = memory.start_pipeline_run(snapshot=rows.snapshot, split_digest=rows.digest, tags={})
    fit = memory.start_candidate_run(
        parent=parent,
        snapshot=rows.snapshot,
        n_samples=1000,
        fingerprint=candidates.fingerprint_of(params, "logistic_regression", data=rows.digest),
        tags={"process": "elsewhere/1/1.00"},
    )
    assert memory.reconcile() == []
    memory.client.set_terminated(parent, "KILLED")
    assert memory.reconcile() == [fit]
    assert memory.client.get_run(fit).info.status == "KILLED"


def test_a_run_that_another_host_began_days_ago_is_over(member: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container is gone, or a laptop has another name today: nothing is shown as running for ever."""
    memory = member.memory()
    old = memory.create_run("old", tags={"kind": "candidate", "process": "elsewhere/1/1.00"}).info.run_id
    mine = memory.create_run("mine", tags={"kind": "candidate"}).info.run_id
    of_a_person = memory.client.create_run(memory.experiment_id, tags={"mlflow.parentRunId": old}).info.run_id
    assert memory.reconcile() == []
    monkeypatch.setattr("digits.experiments.store.FORGOTTEN", timedelta(seconds=-1))
    assert memory.reconcile() == [old]
    assert memory.reconcile() == []
    for run_id in (mine, of_a_person):
        memory.client.set_terminated(run_id)


def test_a_cluster_needs_a_remote_of_dvc(member: Any) -> None:
    """Without one, one line says so before anything is fitted."""
    (member.root / ".dvc/config").write_text("[core]\n    no_scm = true\n", encoding="utf-8")
    with pytest.raises(MissingError, match=r"DVC has no default remote.*dvc remote add --default NAME URL"):
        share(member.root)
