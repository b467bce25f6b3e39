"""Work pools on a real Prefect server: what is made of prefect.yaml, and the environment that a run finds there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolUpdate
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, temporary_settings

from digits.errors import ParamsError
from digits.project import Project
from digits.settings import prepare_environment
from flows.servers.dead_runs import end_lost_runs
from flows.servers.notifications import apply_automations
from flows.servers.pools import apply_pool, pool_of

pytestmark = pytest.mark.timeout(600)

#: Prints the environment of a run in a pool, as Prefect's own worker for it makes it, after the pool itself.
_SCRIPT = """
import asyncio, importlib, json, sys, uuid
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun

async def main(pool, module, name):
    kind = getattr(importlib.import_module(module), name)
    async with get_client() as client:
        template = (await client.read_work_pool(pool)).base_job_template
        configuration = await kind.from_template_and_values(template, {}, client=client)
    configuration.prepare_for_flow_run(FlowRun(flow_id=uuid.uuid4()))
    print(json.dumps([template, configuration.env]))

asyncio.run(main(*sys.argv[1:]))
"""

#: Does what prefect.yaml says is done before a run's process starts, and prints the environment that it starts with.
_PULL = """
import asyncio, json, os, sys
from prefect.deployments.steps.core import run_steps

asyncio.run(run_steps(json.loads(sys.argv[1]), print_function=lambda *_, **__: None))
print(json.dumps(dict(os.environ)))
"""

#: What every run is given, whoever started its worker.
PATIENT = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "6"}

ACCOUNT = {
    "MLFLOW_TRACKING_URI": "http://127.0.0.1:5000",
    "MLFLOW_TRACKING_USERNAME": "ada",
    "MLFLOW_TRACKING_PASSWORD": "worlds-apart",
}


@pytest.fixture
def client(prefect_url: str) -> Iterator[SyncPrefectClient]:
    """Return a client of the session's server."""
    with temporary_settings({PREFECT_API_URL: prefect_url}), get_client(sync_client=True) as asked:
        yield asked


@pytest.mark.parametrize("name", ["digits", "digits-docker"])
def test_a_pool_has_the_defaults_of_its_definition(client: SyncPrefectClient, root: Path, name: str) -> None:
    """Made or there already; what a person has set beside them stays."""
    pool, made = pool_of(Project(root=root), name), f"{name}-as-a-test"
    apply_pool(client, made, pool)
    template = client.read_work_pool(made).base_job_template
    properties = template["variables"]["properties"]
    properties["name"]["default"], properties["env"]["default"]["BY_HAND"] = "set by hand", "1"
    client.update_work_pool(made, WorkPoolUpdate(base_job_template=template))
    apply_pool(client, made, pool)
    known = client.read_work_pool(made)
    assert known.type == pool["type"]
    defaults = {key: value.get("default") for key, value in known.base_job_template["variables"]["properties"].items()}
    assert {**pool["variables"], "name": "set by hand"}.items() <= {**defaults, "env": pool["variables"]["env"]}.items()
    assert defaults["env"] == {**pool["variables"]["env"], "BY_HAND": "1"}


@pytest.mark.usefixtures("client")
def test_where_there_is_no_pool_nothing_went_down_with_its_worker() -> None:
    """The first worker makes it."""
    assert end_lost_runs("none-as-yet", worker="worker") == 0


def test_automations_that_are_as_they_should_be_stay(client: SyncPrefectClient) -> None:
    """A change would make Prefect forget the runs that each of them waits for."""
    apply_pool(client, "watched", {"type": "process"})
    address = "http://127.0.0.1:9/hook"
    made = apply_automations(client, pool="watched", notify_url=address)
    with patch.object(client, "update_automation") as update:
        assert apply_automations(client, pool="watched", notify_url=address) == made
    update.assert_not_called()


def test_an_address_that_nothing_posts_to_is_not_kept(client: SyncPrefectClient) -> None:
    """Deployed without one, its block goes with the automations, once those of the other pools do without it, too."""
    pools = ("watched", "watched-too")
    for pool in pools:
        apply_pool(client, pool, {"type": "process"})
        apply_automations(client, pool=pool, notify_url="http://127.0.0.1:9/hook")
    block = ("digits-notifications", "custom-webhook")
    for pool in pools:
        assert client.read_block_document_by_name(*block).data["secrets"]
        apply_automations(client, pool=pool, notify_url=None)
    with pytest.raises(ObjectNotFound):
        client.read_block_document_by_name(*block)


def test_a_pool_that_cannot_be_is_one_line(client: SyncPrefectClient) -> None:
    """A type or a variable that Prefect does not know, and a pool that is there with another type."""
    with pytest.raises(ParamsError, match="Prefect knows no type of work pools 'dockr'"):
        apply_pool(client, "misspelt", {"type": "dockr"})
    with pytest.raises(ParamsError, match="pools of type process have no variable 'image'"):
        apply_pool(client, "misspelt", {"type": "process", "variables": {"image": "digits"}})
    apply_pool(client, "there", {"type": "process"})
    with pytest.raises(ParamsError, match=r"has the work pool there as one of type process, prefect\.yaml says docker"):
        apply_pool(client, "there", {"type": "docker"})


@pytest.fixture(scope="module")
def deployed(root: Path, make_checkout: Any) -> Callable[..., Any]:
    """Return a function that deploys into a pool and returns it, with the environment that a run finds there."""
    checkout = make_checkout(store=False)
    for name in ("flows", "tasks"):
        shutil.copytree(root / name, checkout.root / name)

    def deploy(pool: str, kind: str, **environment: str) -> Any:
        done = checkout.digits("deploy", DIGITS_WORK_POOL=pool)
        assert done.returncode == 0, done.stderr
        command = [sys.executable, "-c", _SCRIPT, pool, *kind.rsplit(".", 1)]
        given = {**checkout.environment, **environment}
        return json.loads(subprocess.run(command, env=given, capture_output=True, text=True, check=True).stdout)

    return deploy


def test_a_process_gives_signs_of_life_whoever_started_its_worker(deployed: Callable[..., Any]) -> None:
    """The pool itself says how often, so that a worker started by hand does too; the rest is the worker's own."""
    _, environment = deployed("digits", "prefect.workers.process.ProcessJobConfiguration", **ACCOUNT)
    assert environment.items() >= {**ACCOUNT, **PATIENT}.items()


def test_a_container_finds_the_servers_of_its_worker(deployed: Callable[..., Any]) -> None:
    """The worker hands MLflow's address and account on, and nothing else of its own; Prefect keeps no password."""
    pytest.importorskip("prefect_docker", reason="the extra docker is not installed")
    kind = "prefect_docker.worker.DockerWorkerJobConfiguration"
    pool, environment = deployed("digits-docker", kind, OTHER="of the worker", **ACCOUNT)
    more = {"DO_NOT_TRACK": "1", "PREFECT_CLIENT_MAX_RETRIES": "6", "PREFECT_CLIENT_RETRY_EXTRA_CODES": "500"}
    assert environment.items() >= {**ACCOUNT, **PATIENT, **more}.items()
    assert "OTHER" not in environment
    assert ACCOUNT["MLFLOW_TRACKING_PASSWORD"] not in json.dumps(pool)


def test_a_container_is_set_up_as_a_command_is(root: Path, tmp_path: Path, prefect_url: str) -> None:
    """It begins with a run, not with `digits`: the same variables all the same, and what the pool says wins."""
    steps = yaml.safe_load((root / "prefect.yaml").read_text(encoding="utf-8"))["pull"]
    steps = json.loads(json.dumps(steps).replace("{{ $DIGITS_CHECKOUT }}", str(root)))  # as `digits deploy` does
    bare = {"HOME": str(tmp_path), "PREFECT_API_URL": prefect_url, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "6"}
    command = [sys.executable, "-c", _PULL, json.dumps(steps)]
    done = subprocess.run(command, cwd=tmp_path, env=bare, capture_output=True, text=True, check=True)
    with patch.dict(os.environ, bare, clear=True):
        prepare_environment()
        wanted = dict(os.environ)
    found = json.loads(done.stdout)
    assert len(wanted) > len(bare) + 5
    assert found.items() >= wanted.items()
    assert wanted["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "6"
