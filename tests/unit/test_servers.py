"""Where the servers of `digits up` are known, and what is deployed there."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from digits.processes import name_of
from digits.project import Project
from digits.servers import LocalServers
from digits.settings import SERVERS, Settings
from flows.servers.local import Servers
from flows.servers.ports import free_port

ADDRESSES = {"prefect_api_url": "http://127.0.0.1:4200/api", "mlflow_tracking_uri": "http://127.0.0.1:5000"}


@pytest.fixture(autouse=True)
def _no_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)


def test_servers_that_are_up_are_used(
    tmp_path: Path, make_manager: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settings name them while they are up, however the machine is called; what the environment says wins."""
    assert Settings.load(tmp_path).prefect_api_url is None
    manager = make_manager(tmp_path / SERVERS)
    LocalServers(manager, **ADDRESSES).write(tmp_path / SERVERS)
    assert Settings.load(tmp_path).prefect_api_url is None, "they are not ready yet"
    LocalServers(f"renamed/{manager.partition('/')[2]}", **ADDRESSES, ready=True).write(tmp_path / SERVERS)
    settings = Settings.load(tmp_path)
    assert {name: getattr(settings, name) for name in ADDRESSES} == ADDRESSES
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere:5000")
    settings = Settings.load(tmp_path)
    assert settings.mlflow_tracking_uri == "http://elsewhere:5000"
    assert settings.prefect_api_url == ADDRESSES["prefect_api_url"]
    LocalServers.forget(tmp_path / SERVERS)
    assert Settings.load(tmp_path).prefect_api_url is None


def test_a_free_port_is_given_once() -> None:
    """Servers that start side by side take seconds until they listen: nobody is given the port of another one."""
    ports = [free_port() for _ in range(1000)]
    assert len(set(ports)) == len(ports)
    with socket.create_server(("127.0.0.1", ports[0])) as listener:
        assert listener.getsockname()[1] == ports[0]


def test_servers_that_died_are_none(tmp_path: Path) -> None:
    """A file that a machine's end has left, or a damaged one, names no server."""
    code = "from digits.processes import this_process; print(this_process())"
    gone = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    LocalServers(gone, **ADDRESSES, ready=True).write(tmp_path)
    assert LocalServers.running(tmp_path) is None
    for damaged in ("", "{}", '{"manager": 1'):
        (tmp_path / "servers.json").write_text(damaged)
        assert LocalServers.running(tmp_path) is None


def test_nobody_else_is_taken_for_them(tmp_path: Path) -> None:
    """What another container has left names a number that is nobody's here, or somebody else's: who is left alone."""
    folder, servers = tmp_path / SERVERS, Servers(Project(root=tmp_path), settings=Settings())
    with subprocess.Popen(["sleep", "60"]) as other:
        for number in (name_of(other.pid).partition("/")[2], f"{other.pid}/1.00", f"{2**30}/1.00"):
            LocalServers(f"elsewhere/{number}", **ADDRESSES, ready=True).write(folder)
            assert LocalServers.running(folder) is None
            assert servers.status() == []
            assert not servers.down()
        assert other.poll() is None
        other.kill()


@pytest.mark.parametrize(("file", "line"), [("params.yaml", "set PREFECT_API_URL"), ("other", "no params.yaml")])
def test_a_worker_that_cannot_start_says_so_in_one_line(root: Path, tmp_path: Path, file: str, line: str) -> None:
    """Of a server or a checkout that is not there its log has a line, not a traceback, and it exits with 1."""
    shutil.copy(root / "params.yaml", tmp_path / file)
    command = [sys.executable, "-m", "flows.servers.worker", "digits"]
    given = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(command, cwd=tmp_path, env=given, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert line in done.stderr


def test_deployments_say_when_and_how_often(root: Path) -> None:
    """Each schedule has a time zone; one run at a time, and what comes due meanwhile is cancelled; nobody's paths."""
    text = (root / "prefect.yaml").read_text(encoding="utf-8")
    content = yaml.safe_load(text)
    names = {deployment["name"]: deployment for deployment in content["deployments"]}
    assert set(names) == {"train-digits", "train-mnist", "validate", "promote", "rollback"}
    for deployment in names.values():
        assert all(schedule["timezone"] for schedule in deployment.get("schedules", []))
        limit = {"limit": 1, "collision_strategy": "CANCEL_NEW"} if "schedules" in deployment else None
        assert deployment.get("concurrency_limit") == limit
        assert deployment["work_pool"] == {"name": "{{ $DIGITS_WORK_POOL }}"}
        assert (root / deployment["entrypoint"].partition(":")[0]).is_file()
        assert deployment["description"]
    assert content["pull"] == [
        {"prefect.deployments.steps.set_working_directory": {"directory": "{{ $DIGITS_CHECKOUT }}"}},
        {"digits.settings.prepare_environment": {}},
    ]
    pools = content["definitions"]["pools"]
    assert {name: pool["type"] for name, pool in pools.items()} == {"digits": "process", "digits-docker": "docker"}
