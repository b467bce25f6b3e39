"""The servers of `digits up`, and what Prefect runs there by itself; kill -9 of each of them while it does.

One set of servers for the whole module: the tests stand in the order in which a person would live through them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socket import socket
from typing import Any

import httpx
import mlflow  # noqa: TID253 - the tests look at what it remembers
import psutil
import pytest
import yaml

from digits.settings import SERVERS
from flows.servers.ports import free_port
from tests.web import WEB

pytestmark = pytest.mark.timeout(600)

#: The second one's fit takes some seconds, in which somebody can be killed.
FAMILIES = {"logistic_regression": {}, "random_forest": {"trees": 100}}
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


@dataclass(frozen=True)
class Halfway:
    """What was found when a first `digits up` was told to end, and a second one killed, and what the third one said."""

    ended: tuple[int, str | None]
    manager: str
    states: list[str]
    run: subprocess.CompletedProcess[str]
    up: subprocess.CompletedProcess[str]


@dataclass
class Served:
    """A checkout whose servers are up and whose deployments are applied."""

    checkout: Any
    prefect: str
    mlflow: str
    due: datetime
    halfway: Halfway
    heard: list[dict[str, str]] = field(default_factory=list)

    def ask(self, path: str, **body: Any) -> Any:
        """Post a question to the Prefect server and return its answer; a busy one is asked again, as its clients do."""
        return self.until(
            lambda: WEB.post(f"{self.prefect}/api/{path}", json=body).raise_for_status().json(),
            seconds=120,
        )

    def start(self, deployment: str, **parameters: Any) -> str:
        """Let a deployment run now and return the id of the run."""
        (found,) = self.ask("deployments/filter", deployments={"name": {"any_": [deployment]}})
        return str(self.ask(f"deployments/{found['id']}/create_flow_run", parameters=parameters)["id"])

    def end_of(self, run_id: str, *, seconds: float = 180) -> dict[str, Any]:
        """Wait until a run has ended and return it; the server may be away meanwhile."""
        return self.until(lambda: self._ended(run_id), seconds=seconds)

    def _ended(self, run_id: str) -> dict[str, Any] | None:
        run: dict[str, Any] = WEB.get(f"{self.prefect}/api/flow_runs/{run_id}").raise_for_status().json()
        return run if run["state_type"] in ENDED else None

    def tasks(self, run_id: str) -> set[str]:
        """Return the names of the tasks of a run."""
        return {task["name"] for task in self.ask("task_runs/filter", flow_runs={"id": {"any_": [run_id]}})}

    def status(self) -> dict[str, dict[str, Any]]:
        """Return what `digits status` says, by name."""
        return {server["name"]: server for server in json.loads(self.checkout.digits("status", "--json").stdout)}

    def told(self, *subjects: str) -> dict[str, str]:
        """Wait until notifications on these subjects, among others, were heard; return subject → text of all."""

        def told() -> dict[str, str] | None:
            texts = {message["subject"]: message["text"] for message in list(self.heard)}
            return texts if set(subjects) <= set(texts) else None

        return self.until(told, seconds=120)

    def await_healthy(self) -> None:
        """Wait until all of them are healthy."""
        self.until(lambda: self.checkout.digits("status").returncode == 0 or None, seconds=120)

    @staticmethod
    def until(question: Callable[[], Any], *, seconds: float) -> Any:
        """Return the answer to a question once there is one; a server that does not answer has none yet."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with suppress(httpx.HTTPError):
                if (answer := question()) is not None:
                    return answer
            time.sleep(0.3)
        raise AssertionError(f"nothing within {seconds:g} s")

    def client(self) -> mlflow.MlflowClient:
        """Return a client of the MLflow server."""
        return mlflow.MlflowClient(self.mlflow, registry_uri=self.mlflow)


@pytest.fixture(scope="module")
def served(make_checkout: Any, root: Path, prefect_state: Path, heard: Any) -> Iterator[Served]:
    """Bring the servers of a checkout up, with a run of `train-digits` due at a full minute."""
    checkout = make_checkout(FAMILIES)
    checkout.pause("validate")
    for name in ("flows", "tasks"):
        shutil.copytree(root / name, checkout.root / name)
    state = checkout.root / ".state/prefect"
    state.mkdir(parents=True)
    with (
        closing(sqlite3.connect(prefect_state / "prefect.db")) as source,
        closing(sqlite3.connect(state / "prefect.db")) as copy,
    ):
        source.backup(copy)
    _add_broken_dataset(checkout)
    prefect, mlflow_port = free_port(), free_port()
    del checkout.environment["PREFECT_API_URL"]
    checkout.environment |= {
        "DIGITS_PREFECT_PORT": str(prefect),
        "DIGITS_MLFLOW_PORT": str(mlflow_port),
        "DIGITS_NOTIFY_URL": heard[0],
    }
    try:
        halfway = _halfway(checkout)
        due = _deployed(checkout)
        addresses = [f"http://127.0.0.1:{port}" for port in (prefect, mlflow_port)]
        yield Served(checkout, *addresses, due=due, halfway=halfway, heard=heard[1])
    finally:
        checkout.digits("down")


def _manager(checkout: Any) -> str | None:
    """Return who keeps the servers alive, None while it is not known."""
    with suppress(FileNotFoundError):
        return str(json.loads((checkout.root / SERVERS / "servers.json").read_text("utf-8"))["manager"])
    return None


def _halfway(checkout: Any) -> Halfway:
    """Bring the servers up in three goes: the first is told to end, the second killed, once they are known."""
    first = checkout.start("up")
    Served.until(lambda: _manager(checkout), seconds=60)
    os.kill(first.pid, signal.SIGTERM)
    ended = first.wait(60), _manager(checkout)
    (log := checkout.root / SERVERS / "logs/prefect.log").unlink(missing_ok=True)
    second = checkout.start("up")
    manager = Served.until(lambda: _manager(checkout), seconds=60)
    Served.until(lambda: (log.exists() and log.stat().st_size) or None, seconds=60)  # it has begun to speak
    second.kill()
    seen = json.loads(checkout.digits("status", "--json").stdout)
    run, up = checkout.digits("run", "digits"), checkout.digits("up", "--json")
    assert up.returncode == 0, up.stderr
    return Halfway(ended, manager, [server["state"] for server in seen], run, up)


def _deployed(checkout: Any) -> datetime:
    """Deploy with a run of `train-digits` at a full minute that is soon, and return it."""
    content = yaml.safe_load((checkout.root / "prefect.yaml").read_text(encoding="utf-8"))
    (daily,) = content["deployments"][0]["schedules"]
    for lead in (75, 150, 300):
        due = (datetime.now(tz=UTC) + timedelta(seconds=lead)).replace(second=0, microsecond=0)
        daily["cron"] = f"{due.minute} {due.hour} * * *"
        (checkout.root / "prefect.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        deployed = checkout.digits("deploy")
        assert deployed.returncode == 0, deployed.stderr
        if datetime.now(tz=UTC) < due - timedelta(seconds=5):  # else this machine was too busy to be in time
            return due
    raise AssertionError("`digits deploy` takes minutes")


def _add_broken_dataset(checkout: Any) -> None:
    """Add a dataset whose contract its snapshot breaks."""
    path = checkout.root / "params.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    broken = json.loads(json.dumps(content["datasets"]["digits"]))
    broken["validate"]["rows"] = [5000, 6000]
    content["datasets"]["broken"] = broken
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def _listening(served: Served) -> bool:
    ports = {int(url.rpartition(":")[2]) for url in (served.prefect, served.mlflow)}
    for port in ports:
        with socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return True
    return False


def test_what_a_killed_start_has_left_is_gone_on_with(served: Served) -> None:
    """They are known before they are there: nobody else works on their database, and the next `digits up` waits."""
    found = served.halfway
    assert found.ended == (130, None)
    assert len(found.states) == 3
    assert {"starting"} <= set(found.states) <= {"starting", "stopped"}
    assert (found.run.returncode, found.run.stderr.count("\n")) == (1, 1)
    assert "`digits up` was ended before its servers were healthy" in found.run.stderr
    assert found.manager == _manager(served.checkout)
    assert re.fullmatch(r"digits: all healthy after \d+ s, with \d+ MB", found.up.stderr.splitlines()[-1])
    assert {server["state"] for server in json.loads(found.up.stdout)} == {"healthy"}


def test_a_machine_may_be_renamed(served: Served) -> None:
    """Under another name of the host the servers are still this checkout's, and healthy."""
    renamed = ["unshare", "--uts", "sh", "-c", 'hostname elsewhere && exec "$@"', "sh"]
    if subprocess.run([*renamed, "true"], capture_output=True, check=False).returncode:
        pytest.skip("only root can rename a machine, and not everywhere")
    command = [*renamed, *served.checkout.command("status", "--json")]
    done = subprocess.run(
        command, cwd=served.checkout.root, env=served.checkout.environment, capture_output=True, text=True, check=False
    )
    assert [server["state"] for server in json.loads(done.stdout)] == ["healthy"] * 3


def test_they_are_started_once_and_told(served: Served) -> None:
    """All three are healthy, within 1.5 GB; a second `digits up` finds them, and starts nothing."""
    before = served.status()
    assert {name: server["state"] for name, server in before.items()} == dict.fromkeys(
        ("prefect", "mlflow", "worker"), "healthy"
    )
    assert sum(server["megabytes"] for server in before.values()) < 1500
    assert served.checkout.digits("up").returncode == 0
    assert {name: server["pid"] for name, server in served.status().items()} == {
        name: server["pid"] for name, server in before.items()
    }
    assert f"open {served.mlflow}" in served.checkout.digits("ui").stderr


def test_a_busy_port_is_one_line(served: Served, make_checkout: Any) -> None:
    """The port, who holds it and the setting to change are named, and nothing is left running."""
    other = make_checkout(FAMILIES)
    del other.environment["PREFECT_API_URL"]
    port = served.prefect.rpartition(":")[2]
    refused = other.digits("up", DIGITS_PREFECT_PORT=port, DIGITS_MLFLOW_PORT=str(free_port()))
    assert refused.returncode == 1
    line = refused.stderr.splitlines()[-1]
    assert line.startswith(f"digits: port {port} for prefect is taken by process {served.status()['prefect']['pid']} (")
    assert line.endswith("or set DIGITS_PREFECT_PORT to a free port")
    assert other.digits("status").returncode == 1
    assert other.digits("down").stdout == "the servers were not up\n"


def test_a_violated_contract_is_told(served: Served) -> None:
    """`validate` looks at every snapshot; one that breaks its contract fails the run, and both are told."""
    assert served.checkout.digits("ingest", "broken").returncode == 0
    run = served.end_of(served.start("validate"))
    assert run["state_type"] == "FAILED"
    assert "row-count" in run["state"]["message"]
    told = served.told("The contract of broken is violated", "validate all: Failed")
    assert "row-count" in told["The contract of broken is violated"]
    assert f"{served.prefect}/runs/flow-run/{run['id']}" in told["validate all: Failed"]


def test_a_scheduled_run_fires_by_itself(served: Served) -> None:
    """At its minute the run starts without anybody's doing, and ends in a registered version and its artifacts."""
    (deployment,) = served.ask("deployments/filter", deployments={"name": {"any_": ["train-digits"]}})
    runs = served.ask(
        "flow_runs/filter", deployments={"id": {"any_": [deployment["id"]]}}, sort="EXPECTED_START_TIME_ASC"
    )
    assert datetime.fromisoformat(runs[0]["expected_start_time"]) == served.due
    run = served.end_of(runs[0]["id"], seconds=240)
    assert (run["state_type"], run["auto_scheduled"], run["name"]) == ("COMPLETED", True, "train digits")
    assert abs(datetime.fromisoformat(run["start_time"]) - served.due) < timedelta(seconds=120)
    (version,) = served.client().search_model_versions("name = 'digits-classifier'")
    candidate = served.client().get_run(version.run_id)
    parent = served.client().get_run(candidate.data.tags["mlflow.parentRunId"])
    assert parent.data.tags["prefect.flow_run_id"] == run["id"]
    served.told("A version for digits was promoted")
    artifacts = {item["key"]: item for item in served.ask("artifacts/filter", flow_runs={"id": {"any_": [run["id"]]}})}
    assert set(artifacts) == {"run-digits", "leaderboard-digits"}
    rows = json.loads(artifacts["leaderboard-digits"]["data"])
    assert len(rows) == len(FAMILIES)
    assert all(row["batch_seconds"] > 0 for row in rows)
    page = f"{served.mlflow}/#/experiments/{parent.info.experiment_id}/runs/{parent.info.run_id}"
    assert page in artifacts["run-digits"]["data"]
    assert f"[index.html]({page}/artifacts/data-docs/index.html)" in artifacts["run-digits"]["data"]
    logged = {item.path for item in served.client().list_artifacts(parent.info.run_id, "data-docs")}
    assert "data-docs/index.html" in logged


def test_runs_that_are_late_collapse_into_one(served: Served) -> None:
    """A worker that comes back after days finds one due run per day: one is done, the others are cancelled."""
    runs = [served.start("train-digits") for _ in range(3)]
    ends = [served.end_of(run)["state_type"] for run in runs]
    assert sorted(ends) == ["CANCELLED", "CANCELLED", "COMPLETED"]


@pytest.mark.parametrize(("seed", "server"), [(1, "worker"), (2, "prefect"), (3, "mlflow")])
def test_a_run_outlives_a_server(served: Served, seed: int, server: str) -> None:
    """Killed while a family is fitted, each of them is there again at once, and the run ends well; nothing is left."""
    served.checkout.params(fit={"seed": seed})  # every family is fitted again
    run_id = served.start("train-digits")
    served.until(lambda: "fit random_forest" in served.tasks(run_id) or None, seconds=120)
    before = served.status()
    leases = {path.stem for path in served.checkout.root.glob(".state/prefect/concurrency_leases/*-*.json")}
    assert leases, "a run holds its place under the limit"
    os.kill(before[server]["pid"], signal.SIGKILL)
    run = served.end_of(run_id)
    assert (run["state_type"], run["state"]["message"]) == ("COMPLETED", None)
    served.await_healthy()
    after = served.status()
    assert {name for name in after if after[name]["pid"] != before[name]["pid"]} == {server}
    running = {"state": {"type": {"any_": ["RUNNING", "PENDING"]}}}
    assert served.ask("flow_runs/filter", flow_runs=running) == []
    (experiment,) = served.client().search_experiments(filter_string="name = 'digits'")
    assert served.client().search_runs([experiment.experiment_id], "attributes.status = 'RUNNING'") == []


def test_a_run_that_dies_without_a_word_is_shown_as_crashed(served: Served) -> None:
    """Killed together with its worker: the next one says so, and its place is free again.

    A run in a terminal, which no worker looks after, its silence gives away.
    """
    by_hand = served.checkout.start("run", "digits")
    tagged = {"tags": {"all_": ["digits-by-hand"]}, "state": {"type": {"any_": ["RUNNING"]}}}
    (run_by_hand,) = served.until(lambda: served.ask("flow_runs/filter", flow_runs=tagged) or None, seconds=60)
    by_hand.kill()
    served.checkout.params(fit={"seed": 4})
    run_id = served.start("train-digits")
    served.until(lambda: "ingest digits" in served.tasks(run_id) or None, seconds=120)
    worker = psutil.Process(served.status()["worker"]["pid"])
    runs = [process for process in psutil.process_iter() if _environment(process).get("PREFECT__FLOW_RUN_ID") == run_id]
    for process in (worker, *runs):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    for number, words in (
        (run_id, "Its process ended with its worker"),
        (run_by_hand["id"], "No sign of life for 90 s"),
    ):
        run = served.end_of(number, seconds=240)
        assert run["state_type"] == "CRASHED"
        assert words in run["state"]["message"]
    assert served.end_of(served.start("train-digits"))["state_type"] == "COMPLETED"


def test_a_promotion_and_a_refusal_are_told(served: Served) -> None:
    """A version that has not earned it is refused; one that is forced is promoted, until it is rolled back.

    Promotion and refusal are told, with the reason.
    """
    served.heard.clear()
    for part in ("snapshots", "splits"):  # as on a machine that has not trained
        shutil.rmtree(served.checkout.root / "data" / part)
    refused = served.end_of(served.start("promote", dataset="digits"))
    assert refused["state_type"] == "FAILED"
    champion = served.client().get_model_version_by_alias("digits-classifier", "production").version
    forced = served.end_of(served.start("promote", dataset="digits", force=True, reason="as a test"))
    assert forced["state_type"] == "COMPLETED"
    assert served.client().get_model_version_by_alias("digits-classifier", "production").version != champion
    back = served.end_of(served.start("rollback", dataset="digits", reason="it was one", actor="Ada"))
    assert back["state_type"] == "COMPLETED"
    (ledger,) = served.client().search_experiments(filter_string="name = 'promotions'")
    assert served.client().search_runs([ledger.experiment_id])[0].data.tags["actor"] == "Ada"
    assert served.client().get_model_version_by_alias("digits-classifier", "production").version == champion
    told = served.told(
        "A promotion for digits was refused",
        "promote digits to production: Failed",
        "A version for digits was promoted",
    )
    assert "is not promoted" in told["A promotion for digits was refused"]
    assert told["A version for digits was promoted"].endswith("is @production now: as a test")
    form = {item["name"]: item["parameter_openapi_schema"] for item in served.ask("deployments/filter")}["promote"]
    assert form["properties"]["to"]["enum"] == ["staging", "production"]
    assert form["required"] == ["dataset"]


def test_a_run_that_died_with_everything_is_shown_as_crashed(served: Served) -> None:
    """A run whose machine went down is no longer shown as running once the servers are up again."""
    (deployment,) = served.ask("deployments/filter", deployments={"name": {"any_": ["validate"]}})
    run = served.ask(f"deployments/{deployment['id']}/create_flow_run", state={"type": "RUNNING"})
    code = (
        "import sys; from datetime import UTC, datetime; from flows.servers.dead_runs import end_dead_runs\n"
        "print(end_dead_runs(sys.argv[1], before=datetime.now(tz=UTC)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, f"{served.prefect}/api"],
        cwd=served.checkout.root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "1\n"
    assert served.end_of(run["id"])["state_type"] == "CRASHED"


def test_down_leaves_nothing(served: Served) -> None:
    """In the middle of a run: the run is shown as crashed, and no process and no port is left; history stays."""
    served.checkout.params(fit={"seed": 10})
    run_id = served.start("train-digits")
    served.until(lambda: "ingest digits" in served.tasks(run_id) or None, seconds=120)
    below = [psutil.Process(server["pid"]) for server in served.status().values()]
    below += [child for process in below for child in process.children(recursive=True)]
    assert served.checkout.digits("down").stdout == "the servers have ended\n"
    _, alive = psutil.wait_procs(below, timeout=10)
    assert alive == []
    assert not _listening(served)
    mark = str(served.checkout.root / SERVERS)
    assert [
        process for process in psutil.process_iter() if _environment(process).get("DIGITS_SUPERVISED_IN") == mark
    ] == []
    with closing(sqlite3.connect(served.checkout.root / ".state/prefect/prefect.db")) as database:
        states = database.execute("SELECT state_type FROM flow_run WHERE id = ?", (run_id,)).fetchall()
    assert states == [("CRASHED",)]
    local = mlflow.MlflowClient(served.checkout.project.tracking_uri)
    experiment = local.get_experiment_by_name("digits")
    assert local.search_runs([experiment.experiment_id], "attributes.status = 'FINISHED'")
    refused = served.checkout.digits("deploy")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "run `digits up`" in refused.stderr


def _environment(process: psutil.Process) -> dict[str, str]:
    with suppress(psutil.Error):
        return process.environ()
    return {}
