"""The servers of docker/compose.yaml without containers: the very commands that it names, on a real PostgreSQL."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from mlflow import MlflowClient  # noqa: TID253 - these tests need it

from digits.experiments.tracking import Tracking
from flows.servers.ports import free_port
from tests.web import WEB

pytestmark = pytest.mark.timeout(900)

#: Fast, and long enough to be met at work.
FAMILIES = {"decision_tree": {"components": 10}, "mlp": {"epochs": 40, "hidden": [64], "components": 60}}


@pytest.fixture(scope="module")
def team(
    *,
    root: Path,
    make_checkout: Any,
    make_team: Any,
    postgres: Any,
    heard: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Any]:
    """Return the servers of a team, all of them up."""
    checkout = make_checkout(FAMILIES)
    checkout.pause("validate")
    for name in ("docker", "flows", "scripts", "tasks"):
        shutil.copytree(root / name, checkout.root / name)
    with (checkout.root / ".dvc/config").open("a", encoding="utf-8") as config:  # as the README advises
        config.write("    remote = shared\n['remote \"shared\"']\n    url = /nowhere\n")
    shutil.copy(root / "docker/dvc/config", checkout.root / ".dvc/config.local")  # as in the image
    team = make_team(checkout.root, postgres=postgres, home=tmp_path_factory.mktemp("team"), notify_url=heard[0])
    team.checkout, team.postgres = checkout, postgres
    try:
        team.up()
        yield team
    finally:
        team.down()


def test_a_look_at_nothing_says_so_and_a_failure_is_told(team: Any, heard: Any) -> None:
    """Before there is a snapshot all of them are none, and one is missed; `deploy` knows whom to tell, with a link."""
    run = team.run("validate/validate")
    assert team.end_of(run) == "COMPLETED"
    assert team.prefect("GET", f"flow_runs/{run}")["state"]["message"].startswith("Nothing to look at: no dataset")
    run = team.run("validate/validate", dataset="digits")
    assert team.end_of(run) == "FAILED"
    end = time.monotonic() + 60
    while not heard[1]:
        assert time.monotonic() < end, team.log("prefect")
        time.sleep(0.3)
    (message,) = heard[1]
    assert message["subject"] == "validate digits: Failed"
    assert "digits ingest digits" in message["text"]
    page = team.url("prefect").replace("127.0.0.1", "localhost")
    assert message["text"].endswith(f"{page}/runs/flow-run/{run}")


def test_a_run_that_its_worker_never_started_is_shown_as_crashed(team: Any) -> None:
    """A worker that dies between taking a run and starting it leaves it pending: in time, that is seen."""
    name = "digits: run did not start in digits"
    (automation,) = team.prefect("POST", "automations/filter", automations={"name": {"any_": [name]}})
    was = automation["trigger"]["within"]

    def change(*, within: float) -> None:
        kept = {key: automation[key] for key in ("name", "description", "trigger", "actions")}
        kept["trigger"]["within"] = within
        place = f"{team.url('prefect')}/api/automations/{automation['id']}"
        answer = WEB.put(place, auth=("admin", team.values["PREFECT_PASSWORD"]), json=kept)
        assert answer.is_success, answer.text

    change(within=10)
    assert team.end_of(team.run("validate/validate", state="PENDING"), seconds=120) == "CRASHED"
    change(within=was)


#: Prints how many runs of the pool went down with the worker of that name.
END_LOST = """
import sys
from flows.servers.dead_runs import end_lost_runs
print(end_lost_runs("digits", worker=sys.argv[1]))
"""


def test_what_went_down_with_a_worker_is_shown_as_crashed_when_it_is_there_again(team: Any) -> None:
    """As after its container was started again: a run whose process lives is left alone, and all of other workers."""
    lost, kept = (team.run("promote/promote", "RUNNING", dataset="digits") for _ in range(2))
    address = {"PREFECT_API_URL": f"{team.url('prefect')}/api"}
    environment = {**os.environ, **address, "PREFECT_API_AUTH_STRING": f"admin:{team.values['PREFECT_PASSWORD']}"}
    with subprocess.Popen(["sleep", "60"], env={**os.environ, "PREFECT__FLOW_RUN_ID": kept}) as living:
        for number, run in ((2**30, lost), (living.pid, kept)):
            team.prefect("PATCH", f"flow_runs/{run}", infrastructure_pid=str(number))
        for worker, found in (("another", "0"), (platform.node(), "1")):
            command = [sys.executable, "-c", END_LOST, worker]
            done = subprocess.run(command, cwd=team.root, env=environment, capture_output=True, text=True, check=True)
            assert done.stdout.strip() == found, worker
        assert [team.prefect("GET", f"flow_runs/{run}")["state_type"] for run in (lost, kept)] == ["CRASHED", "RUNNING"]
        living.kill()
    team.prefect("POST", f"flow_runs/{kept}/set_state", state={"type": "CRASHED"}, force=True)


def test_a_deployed_flow_runs_through_the_servers_of_the_compose_file(team: Any) -> None:
    """Through a worker, into PostgreSQL and the object store: run, model and plots are found through both APIs."""
    run = team.train()
    assert team.end_of(run) == "COMPLETED", team.log("worker")
    tasks = team.prefect("POST", "task_runs/filter", flow_runs={"id": {"any_": [run]}})
    assert {"fit mlp", "fit decision_tree", "evaluate digits", "register digits"} <= {task["name"] for task in tasks}
    waiting = team.prefect("POST", "flow_runs/filter", flow_runs={"state": {"type": {"any_": ["SCHEDULED"]}}})
    assert any(each["auto_scheduled"] for each in waiting), "the scheduler makes no runs"
    named = {"name": "digits-classifier", "alias": "staging"}  # the gate asks more of a model than this one can
    assert team.mlflow("GET", "registered-models/alias", **named)["model_version"]["version"] == "1"
    candidates = team.runs("tags.kind = 'candidate'")
    assert {candidate["info"]["status"] for candidate in candidates} == {"FINISHED"}
    artifacts = team.prefect("POST", "artifacts/filter", flow_runs={"id": {"any_": [run]}})
    (links,) = [item["data"] for item in artifacts if item["key"] == "run-digits"]
    assert f"({team.url('mlflow').replace('127.0.0.1', 'localhost')}/#/experiments/" in links
    plots = team.mlflow("GET", "artifacts/list", run_id=candidates[0]["info"]["run_id"], path="plots")["files"]
    assert any(item["path"].endswith(".png") for item in plots)
    assert any(item["Key"].endswith("plots") or "/plots/" in item["Key"] for item in _objects(team, "mlflow"))


def test_files_come_through_mlflow_alone(team: Any) -> None:
    """Who is not among the containers reaches MLflow and Prefect, not the object store: a lost fit comes back."""
    shutil.rmtree(team.checkout.root / "data/candidates")
    known = {name: value.replace("127.0.0.1", "localhost") for name, value in team.environment("worker").items()}
    elsewhere = {"http_proxy": f"http://127.0.0.1:{free_port()}", "no_proxy": "localhost"}  # nobody's: it fails at once
    given = {**known, **elsewhere, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    done = team.checkout.digits("fit", "digits", "decision_tree", **given)
    assert done.returncode == 0, done.stderr
    assert "reused" in done.stdout + done.stderr


def test_postgres_killed_during_a_run_costs_no_run(team: Any) -> None:
    """Killed while families are fitted, back some seconds later: the run ends and says how, the next is whole."""
    team.checkout.params(fit={"seed": 1})  # every family is fitted again
    run = team.train()
    while not team.runs("tags.kind = 'pipeline' and attributes.status = 'RUNNING'"):
        assert not team.has_ended(run), team.log("worker")
        time.sleep(0.2)
    team.postgres.kill()
    time.sleep(5)
    team.postgres.start()
    assert team.end_of(run) in {"COMPLETED", "CRASHED", "FAILED"}
    assert team.end_of(team.train()) == "COMPLETED", team.log("worker")
    assert team.runs("attributes.status = 'RUNNING'") == []


def test_a_wrong_password_is_one_line(team: Any) -> None:
    """MLflow's and Prefect's refusals are named, with the variable to set, by a worker too; nothing is made."""
    known = team.environment("worker")
    cases = {"MLFLOW_TRACKING_PASSWORD": "wrong-password", "PREFECT_API_AUTH_STRING": "admin:wrong"}
    for name, value in cases.items():
        done = team.checkout.digits("run", "digits", **{**known, name: value})
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
        assert "(401)" in done.stderr
        assert name in done.stderr
    given = {**known, "PREFECT_API_AUTH_STRING": "admin:wrong"}
    command = [sys.executable, "-m", "flows.servers.worker", "digits"]
    done = subprocess.run(command, cwd=team.root, env=given, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert done.stderr.startswith("worker: the Prefect server at ")


def test_a_wrong_password_of_a_database_is_one_line(team: Any) -> None:
    """`prepare` names each user whom PostgreSQL does not let in, and the variable; nothing is migrated."""
    wrong = {"PGPASSWORD": "wrong", "PREFECT_SERVER_DATABASE_PASSWORD": "wrong"}
    given = {**team.environment("prepare"), **wrong}
    done = subprocess.run(
        ["sh", "docker/prepare.sh"], cwd=team.root, env=given, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    for line, user in zip(done.stderr.splitlines(), ("mlflow", "prefect"), strict=True):
        assert line.startswith(f"prepare: PostgreSQL does not let the user {user} into the database {user} (")
        assert f"{user.upper()}_DB_PASSWORD" in line


def test_results_travel_through_the_store(team: Any) -> None:
    """`dvc push` in the worker's checkout puts the snapshot into the bucket of the compose file, and nowhere else."""
    command = ["dvc", "push", "--quiet", "split@digits", "--with-deps"]
    done = subprocess.run(
        command, cwd=team.root, env=team.environment("worker"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert _objects(team, "dvc")


def test_a_backup_restores(team: Any) -> None:
    """What `pg_dumpall` gives, read into an empty PostgreSQL, is the registry as it was, with its passwords."""
    old = team.postgres
    new = type(old)(old.programs, password=old.password)
    try:
        new.start()
        with (old.folder / "dump.sql").open("w+b") as dump:
            back_up = [old.programs / "pg_dumpall", "--clean", "--if-exists"]
            subprocess.run(back_up, env=old.environment, stdout=dump, check=True)
            dump.seek(0)
            restore = [new.programs / "psql", "--quiet"]
            subprocess.run(restore, env=new.environment, stdin=dump, check=True, capture_output=True)
        versions = MlflowClient(new.url("mlflow")).search_model_versions("name = 'digits-classifier'")
        assert [version.version for version in versions]
        mlflow_account = f"postgresql+psycopg://mlflow:{team.values['MLFLOW_DB_PASSWORD']}@127.0.0.1:{new.port}/mlflow"
        assert MlflowClient(mlflow_account).get_experiment_by_name("digits") is not None
    finally:
        new.remove()


def test_a_store_moves_from_sqlite(team: Any, tmp_path: Path) -> None:
    """Runs, registry and files of a checkout are those of PostgreSQL and the object store; a second time is refused."""
    old = Tracking(
        f"sqlite:///{tmp_path / 'mlflow/mlflow.db'}", dataset="other", artifacts=tmp_path / "mlflow/artifacts"
    )
    run = old.client.create_run(old.experiment_id, tags={"family": "svm"})
    old.client.log_metric(run.info.run_id, "accuracy", 0.5)
    old.client.log_text(run.info.run_id, "seven", "candidate/model.txt")
    old.client.create_registered_model("other-classifier")
    old.client.create_model_version("other-classifier", f"{run.info.artifact_uri}/candidate", run.info.run_id)
    team.postgres.sql("CREATE DATABASE moved")
    environment = team.environment("prepare") | team.postgres.environment | {"PGDATABASE": "moved"}
    made = subprocess.run(["mlflow", "db", "upgrade", "postgresql+psycopg:///"], env=environment, check=False)
    assert made.returncode == 0
    command = [sys.executable, "scripts/from_sqlite.py", tmp_path / "mlflow"]
    for fault in ("", "PostgreSQL holds"):
        done = subprocess.run(command, cwd=team.root, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, fault in done.stderr) == (1 if fault else 0, True), done.stderr
    new = MlflowClient(team.postgres.url("moved"))
    moved = new.get_run(run.info.run_id)
    assert (moved.data.metrics, moved.data.tags["family"]) == ({"accuracy": 0.5}, "svm")
    assert moved.info.artifact_uri == f"mlflow-artifacts:/{run.info.run_id}/artifacts"
    assert f"{run.info.run_id}/artifacts/candidate/model.txt" in {item["Key"] for item in _objects(team, "mlflow")}
    version = new.get_model_version("other-classifier", "1")
    assert version.source == f"{moved.info.artifact_uri}/candidate"
    assert new.create_experiment("next") > old.experiment_id


def _objects(team: Any, bucket: str) -> list[Any]:
    """Return what lies in a bucket of the object store."""
    key = {"aws_access_key_id": "digits", "aws_secret_access_key": team.values["STORE_SECRET_KEY"]}
    store = boto3.client("s3", endpoint_url=team.url("store"), region_name="us-east-1", **key)
    return list(store.list_objects_v2(Bucket=bucket).get("Contents", []))
