"""The servers of one machine: a Prefect server, an MLflow server and a worker, started together and kept alive."""

from __future__ import annotations

import platform
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import psutil

from digits.errors import ServerError
from digits.files import only_one
from digits.processes import living, name_of
from digits.project import Project
from digits.servers import (
    LOOPBACK,
    LocalServers,
    mlflow_command,
    mlflow_environment,
    prefect_command,
    prefect_environment,
)
from digits.settings import SERVERS, Settings
from flows.servers.dead_runs import end_dead_runs
from flows.servers.possible import ensure_possible
from flows.servers.private import HEARTBEAT_SECONDS, Server, end_stale
from flows.servers.supervision import Supervisor
from flows.servers.worker import works_since

__all__ = ["Seen", "Servers"]

START_SECONDS, RUN_SECONDS, POLL_SECONDS = 180.0, 10.0, 0.2


#: Whoever presses "Run" in the UI waits half as long as with Prefect's own ten.
_QUERY_SECONDS = "5"

#: A scheduled run has nobody who waits: it gives a tracking server that was lost two minutes to come back.
_MLFLOW_RETRIES = "6"


@dataclass(frozen=True)
class Seen:
    """How one of the servers was found.

    Attributes
    ----------
    name
        ``prefect``, ``mlflow`` or ``worker``.
    state
        ``healthy``, ``starting`` (it runs, but not all have answered to whoever waited for it) or ``stopped``.
    url
        Where to look at it; None for the worker.
    pid, since, megabytes
        The number and start of its process, and the memory that it and those below it hold (resident set size).
    """

    name: str
    state: str
    url: str | None = None
    pid: int | None = None
    since: str | None = None
    megabytes: int | None = None


class Servers:
    """The servers of a checkout.

    Parameters
    ----------
    project
        The checkout.
    settings
        Their ports; a server that the environment names already is not started.
    """

    def __init__(self, project: Project, *, settings: Settings) -> None:
        self.project = project
        self._settings = settings
        self._ports = {"prefect": settings.prefect_port, "mlflow": settings.mlflow_port}
        self._supervisor = Supervisor(project.root / SERVERS)

    @property
    def running(self) -> LocalServers | None:
        """What `up` has started, None when nothing of it is there, or not ready yet."""
        return LocalServers.running(self._supervisor.folder)

    def up(self) -> LocalServers:
        """Start the servers that are not there, wait until all are healthy and return their addresses.

        What was started by one that was killed before they were healthy is gone on with.

        Raises
        ------
        ServerError
            A port is taken, or a server does not get healthy; then none is left.
        ParamsError
            The settings' work pool is none of processes.
        """
        if (running := self.running) is not None:
            return running
        # A run that has a private Prefect server of its own uses the same database.
        with only_one(self.project.prefect_lock):
            if (running := self.running) is not None:
                return running
            try:
                return self._ready(self._started or self._start())
            except BaseException:
                with suppress(ServerError):  # what went wrong first is told
                    self.down()
                raise

    def down(self) -> bool:
        """End the servers and all that they have started; return whether there was anything to end.

        Flow runs go first, while there is a server that they can tell of it.

        Raises
        ------
        ServerError
            They are another user's.
        """
        started = self._started
        manager = started.process(self._supervisor.folder) if started else None
        found = manager is not None or bool(self._supervisor.processes())
        runs = self._supervisor.find("PREFECT__FLOW_RUN_ID")
        for process in runs:
            with suppress(psutil.Error):
                process.terminate()
        psutil.wait_procs(runs, timeout=RUN_SECONDS)
        self._supervisor.stop(manager)
        if started and started.process(self._supervisor.folder):
            raise ServerError("the servers of this checkout are another user's, who alone can end them")
        LocalServers.forget(self._supervisor.folder)
        return found

    def status(self) -> list[Seen]:
        """Return how each server is found now; empty when they are not up."""
        if (servers := self._started) is None:
            return []
        processes = self._supervisor.processes()
        return [self._seen(name, processes.get(name), servers=servers) for name in (*_urls(servers), "worker")]

    @property
    def _started(self) -> LocalServers | None:
        return LocalServers.started(self._supervisor.folder)

    def _seen(self, name: str, process: psutil.Process | None, *, servers: LocalServers) -> Seen:
        url = _urls(servers).get(name)
        page = url.removesuffix("/api") if url else None
        if process is None:
            return Seen(name, "stopped", url=page)
        try:
            started = process.create_time()
            bytes_ = sum(part.memory_info().rss for part in [process, *process.children(recursive=True)])
        except psutil.Error:
            return Seen(name, "stopped", url=page)
        healthy = Server(url=url).fault() is None if url else self._works_since(started, servers)
        return Seen(
            name,
            "healthy" if healthy and servers.ready else "starting",
            url=page,
            pid=process.pid,
            since=datetime.fromtimestamp(started, tz=UTC).isoformat(timespec="seconds"),
            megabytes=bytes_ // 10**6,
        )

    def _works_since(self, moment: float, servers: LocalServers) -> bool:
        """Return whether the worker works, whose name is the machine's: that of when it was started, or of now."""
        url = servers.prefect_api_url or str(self._settings.prefect_api_url)
        server = Server(url=url, account=self._settings.prefect_api_auth_string)
        names = {servers.manager.partition("/")[0], platform.node()}
        return works_since(moment, names=names, pool=self._settings.work_pool, server=server)

    def _url(self, name: str) -> str:
        return f"http://{LOOPBACK}:{self._ports[name]}"

    def _start(self) -> LocalServers:
        """Start the servers, and tell of them before they begin: `digits up` may be killed at any moment."""
        self._supervisor.stop(None)  # what is left of a supervisor that was killed, and of a run
        end_stale(self.project.state / "prefect")
        ensure_possible(self.project, settings=self._settings)
        LocalServers.forget(self._supervisor.folder)
        prefect = None if self._settings.prefect_api_url else f"{self._url('prefect')}/api"
        mlflow = None if self._settings.mlflow_tracking_uri else self._url("mlflow")
        commands, environment = self._commands(), self._environment(prefect)
        with self._supervisor.start(commands, directory=self.project.root, environment=environment) as manager:
            started = LocalServers(name_of(manager.pid), prefect_api_url=prefect, mlflow_tracking_uri=mlflow)
            started.write(self._supervisor.folder)
        return started

    def _environment(self, prefect: str | None) -> dict[str, str]:
        """Return what all of them find in their environment; `prefect` is the address of the server that is started."""
        environment = {
            **mlflow_environment(),
            "PREFECT_API_URL": prefect or str(self._settings.prefect_api_url),
            "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": HEARTBEAT_SECONDS,
            "PREFECT_WORKER_QUERY_SECONDS": _QUERY_SECONDS,
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": _MLFLOW_RETRIES,
        }
        if prefect is not None:
            state = self.project.state / "prefect"  # the database is that of `digits run`
            state.mkdir(exist_ok=True)
            environment |= prefect_environment(state)
        if (account := self._settings.prefect_api_auth_string) is not None:
            environment["PREFECT_API_AUTH_STRING"] = account
        return environment

    def _commands(self) -> dict[str, list[str]]:
        """Return name → command line of each server that nobody else runs, in the order in which to start them."""
        commands: dict[str, list[str]] = {}
        if not self._settings.prefect_api_url:
            commands["prefect"] = prefect_command(port=self._ports["prefect"])
        if not self._settings.mlflow_tracking_uri:
            store, artifacts = self.project.tracking_uri, self.project.tracking_artifacts
            commands["mlflow"] = mlflow_command(port=self._ports["mlflow"], store=store, artifacts=artifacts)
        commands["worker"] = ["-m", "flows.servers.worker", self._settings.work_pool]
        return {name: [sys.executable, *command] for name, command in commands.items()}

    def _ready(self, servers: LocalServers) -> LocalServers:
        """Wait for every server, the worker last, and tell that they are ready."""
        began, end = float(servers.manager.rpartition("/")[2]), time.monotonic() + START_SECONDS
        urls = _urls(servers)
        waiting = [*urls, "worker"]
        while waiting:
            name = waiting[0]
            if Server(url=urls[name]).fault() is None if name in urls else self._works_since(began, servers):
                waiting.pop(0)
                continue
            if living(servers.manager) is None:
                raise ServerError(f"the supervisor of the servers has ended; see {self._supervisor.logs}")
            if time.monotonic() > end:
                log = self._supervisor.logs / f"{name}.log"
                raise ServerError(f"{name} does not get healthy within {START_SECONDS:g} s; see {log}")
            time.sleep(POLL_SECONDS)
        if servers.prefect_api_url:
            end_dead_runs(servers.prefect_api_url, before=datetime.fromtimestamp(began, tz=UTC))
        ready = replace(servers, ready=True)
        ready.write(self._supervisor.folder)
        return ready


def _urls(servers: LocalServers) -> dict[str, str]:
    """Return name → address of those that have one."""
    urls = {"prefect": servers.prefect_api_url, "mlflow": servers.mlflow_tracking_uri}
    return {name: url for name, url in urls.items() if url}
