"""Real servers for tests: PostgreSQL, and the services of docker/compose.yaml."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from flows.servers.ports import free_port
from tests.web import WEB

ROOT = Path(__file__).parents[2]

#: How docker/compose.yaml names its services and their ports; the store's others are its own affair there.
SERVICES, PORTS = ("postgres", "store", "mlflow", "prefect"), ("5432", "8333", "5000", "4200", "8080")
STORE_PORTS = ("master.port", "volume.port", "filer.port", "master.port.grpc", "volume.port.grpc", "filer.port.grpc")

#: States of a flow run that has not ended.
OPEN = {"SCHEDULED", "PENDING", "RUNNING"}


class Postgres:
    """A PostgreSQL server of our own, in a folder of its own, on loopback.

    It refuses to run as root: then it runs as the user whom Debian's package makes.
    """

    def __init__(self, programs: Path, *, password: str | None = None) -> None:
        self.programs = programs
        self.port = free_port()
        self.password = password or secrets.token_hex(12)
        self._user = "postgres" if os.getuid() == 0 else None
        folder = tempfile.mkdtemp(prefix="digits-postgres-")  # pytest's folders are closed to other users
        self.folder = Path(folder).resolve()
        password = self.folder / "password"
        password.write_text(self.password, encoding="utf-8")
        if self._user:
            for path in (self.folder, password):
                shutil.chown(path, self._user)
        self._data = self.folder / "data"
        given = ["--username=postgres", f"--pwfile={password}", "--auth=scram-sha-256", "--locale=C.UTF-8", "--no-sync"]
        with (self.folder / "said").open("ab") as said:
            command = [programs / "initdb", *given, f"--pgdata={self._data}"]
            subprocess.run(command, cwd=self.folder, user=self._user, check=True, stdout=said, stderr=said)

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = {"listen_addresses": "127.0.0.1", "unix_socket_directories": str(self.folder), "fsync": "off"}
        command = [self.programs / "postgres", "-D", self._data, "-p", str(self.port)]
        command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        # A child of ours, whose number is free once it was waited for: else the next one would take it for living.
        with (self.folder / "log").open("ab") as said:
            self._process = subprocess.Popen(command, cwd=self.folder, user=self._user, stdout=said, stderr=said)
        ask = [self.programs / "pg_isready", "--quiet"]
        while subprocess.run(ask, env={**os.environ, **self.environment}, check=False).returncode:
            assert self._process.poll() is None, (self.folder / "log").read_text(encoding="utf-8")
            time.sleep(0.1)

    def kill(self) -> None:
        """Kill every process of it at once: it recovers from its log when it starts again."""
        while left := [process for process in psutil.process_iter() if self._is_of_it(process)]:
            for process in left:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            self._process.wait()

    def _is_of_it(self, process: psutil.Process) -> bool:
        """Say whether a process works in the folder of the data, as all of PostgreSQL's do, and has not ended."""
        with suppress(psutil.Error):
            return process.cwd() == str(self._data)
        return False

    def remove(self) -> None:
        """End it, if it runs, and take its folder away."""
        self.kill()
        shutil.rmtree(self.folder)

    @property
    def environment(self) -> dict[str, str]:
        """What PostgreSQL's own programs need to reach it as the superuser."""
        return {"PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGUSER": "postgres", "PGPASSWORD": self.password}

    def url(self, database: str) -> str:
        """Return the address of a database for SQLAlchemy."""
        return f"postgresql+psycopg://postgres:{self.password}@127.0.0.1:{self.port}/{database}"

    def sql(self, statement: str) -> None:
        """Run a statement as the superuser."""
        command = [self.programs / "psql", "--command", statement]
        subprocess.run(command, env={**os.environ, **self.environment}, check=True, capture_output=True)


class Team:
    """The services of docker/compose.yaml as processes of this machine: the very commands, on free ports.

    Parameters
    ----------
    root
        The checkout in which those of our own image work.
    postgres
        Stands in for the service of that name.
    home
        An empty home, and a place for what they say.
    notify_url
        Where notifications are posted to.
    inside
        What goes before a command of our own image, given its environment, to run it in a container.
    """

    def __init__(
        self,
        root: Path,
        *,
        postgres: Postgres,
        home: Path,
        notify_url: str = "",
        inside: Callable[[dict[str, str]], list[str]] | None = None,
    ) -> None:
        self.root, self.home = root, home
        self._postgres, self._inside = postgres, inside
        blank = re.findall(r"^([A-Z_]+)=$", (ROOT / "docker/.env.example").read_text(encoding="utf-8"), re.MULTILINE)
        # People call this machine by another name than the servers do.
        given = {"STORE_ACCESS_KEY": "digits", "LISTEN": "localhost", "DIGITS_NOTIFY_URL": notify_url}
        self.values = {name: secrets.token_hex(12) for name in blank} | given
        self._ports = {port: str(free_port()) for port in PORTS} | {"5432": str(postgres.port)}
        compose = (ROOT / "docker/compose.yaml").read_text(encoding="utf-8")
        filled = re.sub(r"\$\{(\w+):([?-])([^}]*)\}", self._value, compose)
        self._services: dict[str, Any] = yaml.safe_load(filled)["services"]
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def up(self) -> None:
        """Start every service when those that it depends on are there."""
        given = self.environment("postgres") | self._postgres.environment
        subprocess.run(["sh", ROOT / "docker/databases.sh"], env=given, check=True)
        for service in self._services:
            if service != "postgres":
                self.start(service)
            if "healthcheck" in self._services[service]:
                continue
            assert self._processes[service].wait(120) == 0, self.log(service)

    def start(self, service: str) -> None:
        """Start a service as its command says, once those that it depends on are healthy or have ended well."""
        for other, when in self._services[service].get("depends_on", {}).items():
            if when["condition"] == "service_healthy":
                self.wait_until_healthy(other)
        environment = self.environment(service)
        command = [self._here(part) for part in self._services[service]["command"]]
        if service == "store":
            command = ["weed", *(part.replace("/data", str(self.home / "store")) for part in command)]
            command += [f"-{name}={free_port()}" for name in (*STORE_PORTS, "s3.port.grpc")]
            (self.home / "store").mkdir()
        elif self._inside:
            command = [*self._inside(environment), *command]
        with (self.home / f"{service}.log").open("ab") as said:
            process = subprocess.Popen(command, cwd=self.root, env=environment, stdout=said, stderr=said)
        self._processes[service] = process

    def wait_until_healthy(self, service: str, seconds: float = 180) -> None:
        """Wait until the health check of the compose file succeeds."""
        test = [self._here(part) for part in self._services[service]["healthcheck"]["test"][1:]]
        end = time.monotonic() + seconds
        while subprocess.run(test, env=self.environment(service), capture_output=True, check=False).returncode:
            assert service == "postgres" or self._processes[service].poll() is None, self.log(service)
            assert time.monotonic() < end, self.log(service)
            time.sleep(1)

    def down(self) -> None:
        """End every process, with all below it."""
        for process in self._processes.values():
            if process.poll() is None:
                family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
                for each in family:
                    each.kill()
                process.wait()

    def environment(self, service: str) -> dict[str, str]:
        """Return the environment of a service, and nothing of this process's beside it."""
        values = {
            name: self._here(value or "") for name, value in self._services[service].get("environment", {}).items()
        }
        hosts = {name: "127.0.0.1" for name, value in values.items() if name.endswith("HOST") and value in SERVICES}
        path = f"{Path(sys.executable).parent}:{self._postgres.programs}:{os.environ['PATH']}"
        own = {"PATH": path, "HOME": str(self.home), "DIGITS_WORKERS": "1"}
        if not self._inside:
            own["PYTHONPATH"] = str(self.root)  # `digits` is this checkout's, as in the image
        return {**own, **values, **hosts}

    def log(self, service: str) -> str:
        """Return the end of what a service said."""
        return (self.home / f"{service}.log").read_text(errors="replace")[-4000:]

    def url(self, service: str) -> str:
        """Return where a service listens."""
        return f"http://127.0.0.1:{self._ports[{'mlflow': '5000', 'prefect': '4200', 'store': '8333'}[service]]}"

    def prefect(self, method: str, path: str, /, **json: Any) -> Any:
        """Ask Prefect's API."""
        account = ("admin", self.values["PREFECT_PASSWORD"])
        answer = WEB.request(method, f"{self.url('prefect')}/api/{path}", auth=account, json=json or None)
        return answer.raise_for_status().json() if answer.content else None

    def mlflow(self, method: str, path: str, /, **given: Any) -> Any:
        """Ask MLflow's API."""
        account = ("admin", self.values["MLFLOW_PASSWORD"])
        where: dict[str, Any] = {"params" if method == "GET" else "json": given}
        url = f"{self.url('mlflow')}/api/2.0/mlflow/{path}"
        return WEB.request(method, url, auth=account, **where).raise_for_status().json()

    def train(self) -> str:
        """Let the worker run the deployment now, and return the id of the flow run."""
        return self.run("train/train-digits")

    def run(self, deployment: str, state: str = "SCHEDULED", **parameters: Any) -> str:
        """Make a run of a deployment, which the worker takes if it is scheduled, and return its id."""
        found = self.prefect("GET", f"deployments/name/{deployment}")["id"]
        asked = {"state": {"type": state}, "parameters": parameters}
        return str(self.prefect("POST", f"deployments/{found}/create_flow_run", **asked)["id"])

    def end_of(self, run: str, seconds: float = 400) -> str:
        """Wait until a flow run has ended, and return how."""
        end = time.monotonic() + seconds
        while not self.has_ended(run):
            assert time.monotonic() < end, self.log("worker")
            time.sleep(0.5)
        return self._state(run)

    def has_ended(self, run: str) -> bool:
        """Say whether a flow run has ended, however."""
        return self._state(run) not in OPEN

    def _state(self, run: str) -> str:
        return str(self.prefect("GET", f"flow_runs/{run}")["state_type"])

    def runs(self, condition: str = "") -> list[Any]:
        """Return the runs of the experiment in MLflow; none before there is one."""
        found = self.mlflow("POST", "experiments/search", max_results=10, filter="name = 'digits'").get(
            "experiments", []
        )
        ids = [experiment["experiment_id"] for experiment in found]
        return (
            list(self.mlflow("POST", "runs/search", experiment_ids=ids, filter=condition).get("runs", []))
            if ids
            else []
        )

    def _value(self, match: re.Match[str]) -> str:
        name, kind, default = match.groups()
        assert kind == "-" or name in self.values, f"{name} is not in docker/.env.example"
        return self.values.get(name, default)

    def _here(self, text: str) -> str:
        """Return a value of the compose file with hosts and ports of this machine."""
        text = re.sub(rf"\b({'|'.join(SERVICES)})(?=:\d)", "127.0.0.1", text.replace("0.0.0.0", "127.0.0.1"))  # noqa: S104 - not to listen there
        return re.sub(rf"\b({'|'.join(PORTS)})\b", lambda match: self._ports[match[1]], text)


@pytest.fixture(scope="session")
def make_team() -> type[Team]:
    """Return what makes the servers of a team."""
    return Team


@pytest.fixture(scope="module")
def heard() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Start an HTTP server for notifications; return its address and what it hears."""
    messages: list[dict[str, str]] = []

    class Ear(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in the base class
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Ear) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hook", messages
        server.shutdown()


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """Return a real PostgreSQL server that holds nothing, or skip."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    program = str(found[-1]) if found else shutil.which("initdb")
    if program is None:
        pytest.skip("PostgreSQL is not installed")
    server = Postgres(Path(program).parent)
    try:
        server.start()
        yield server
    finally:
        server.remove()
