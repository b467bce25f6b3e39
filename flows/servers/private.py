"""The Prefect server of a run: the one that the settings name, or a private one for as long as the run takes."""

from __future__ import annotations

import base64
import logging
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError

import psutil

from digits.errors import ServerError
from digits.files import only_one
from digits.project import Project
from digits.servers import LOOPBACK, LocalServers, prefect_command, prefect_environment
from digits.settings import SERVERS, Settings, environment_without, prepare_environment
from flows.servers.ports import free_port

__all__ = [
    "BY_HAND",
    "HEALTH_SECONDS",
    "HEARTBEAT_SECONDS",
    "Server",
    "end_stale",
    "prefect_server",
    "private_server",
    "quiet_console",
]

#: A server that lives as long as one run has nothing to schedule and nobody to notify.
_NO_SERVICES = {
    f"PREFECT_SERVER_SERVICES_{name}_ENABLED": "false"
    for name in ("SCHEDULER", "LATE_RUNS", "CANCELLATION_CLEANUP", "PAUSE_EXPIRATIONS", "FOREMAN", "TRIGGERS")
}

#: A flow run that is cut off with its machine is noticed when these stop; Prefect takes no number below 30.
HEARTBEAT_SECONDS = "30"

#: Tag of the flow runs that a person's command is: no worker would notice their deaths.
BY_HAND = "digits-by-hand"

START_SECONDS, STOP_SECONDS, HEALTH_SECONDS, POLL_SECONDS = 180.0, 10.0, 5.0, 0.1


@dataclass(frozen=True)
class Server:
    """A Prefect server that is running, or starting.

    Attributes
    ----------
    url
        Its API address.
    process
        The private server's process; None for a server that somebody else runs.
    log
        The private server's log.
    account
        ``USER:PASSWORD``, where the server asks for them.
    """

    url: str
    process: subprocess.Popen[bytes] | None = None
    log: Path | None = None
    account: str | None = field(default=None, repr=False)

    def wait_until_healthy(self, *, seconds: float = START_SECONDS) -> None:
        """Wait until the server answers.

        Raises
        ------
        ServerError
            It does not within `seconds`, or the private one has ended, or it does not know the account.
        """
        end = time.monotonic() + seconds
        while (fault := self.fault()) is not None:
            if self.process is not None and self.process.poll() is not None:
                raise ServerError(f"the private Prefect server ended with {self.process.returncode}; see {self.log}")
            if time.monotonic() > end:
                mend = "is it still starting? See `digits status`, or unset PREFECT_API_URL to use a private one"
                raise ServerError(
                    f"no Prefect server answers at {self.url} ({fault}); {f'see {self.log}' if self.log else mend}"
                )
            time.sleep(POLL_SECONDS)
        refusal = self._ask("admin/version") if self.process is None else None  # its health it tells to everybody
        if isinstance(refusal, HTTPError) and refusal.code == HTTPStatus.UNAUTHORIZED:
            raise ServerError(
                f"the Prefect server at {self.url} does not know the account that asks (401); "
                "set PREFECT_API_AUTH_STRING to USER:PASSWORD of one that it has"
            ) from refusal

    def fault(self) -> Exception | None:
        """Return why the server does not answer, None when it does."""
        return self._ask("health")

    def _ask(self, path: str) -> Exception | None:
        """Return why the server does not answer what is asked."""
        try:
            self.read(path)
        except (URLError, HTTPException, OSError, ValueError) as error:
            return error
        return None

    def read(self, path: str, *, body: bytes | None = None) -> bytes:
        """Return what the server answers to a question, a JSON `body` where it wants one; raises what urllib does.

        One on loopback is not asked through a proxy.
        """
        proxies = urllib.request.ProxyHandler({} if self.url.startswith(f"http://{LOOPBACK}:") else None)
        account = base64.b64encode((self.account or "").encode()).decode()
        headers = {"Authorization": f"Basic {account}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/{path}", data=body, headers=headers)  # noqa: S310 - the user's own server
        with urllib.request.build_opener(proxies).open(request, timeout=HEALTH_SECONDS) as answer:
            return bytes(answer.read())


@contextmanager
def prefect_server(project: Project, *, settings: Settings) -> Iterator[Server]:
    """Yield the Prefect server of the settings, else a private one that runs inside the block.

    Call it before Prefect is imported: a private server starts while the libraries are loaded, so it may not answer
    yet; see `Server.wait_until_healthy`. A checkout has one private server at a time: whoever comes second waits, as
    for `digits up`, whose servers are used if they are there by then.

    Raises
    ------
    ServerError
        The server of the settings does not answer, or does not know the account; or `digits up` has left one starting.
    """
    with ExitStack() as held:
        if settings.prefect_api_url is None:
            held.enter_context(only_one(project.prefect_lock))
            settings = Settings.load(project.root)
        if settings.prefect_api_url is None:
            _ensure_none_starts(project)
            yield held.enter_context(private_server(project.state / "prefect"))
        else:
            held.close()
            yield _named(settings.prefect_api_url, account=settings.prefect_api_auth_string)


def _ensure_none_starts(project: Project) -> None:
    """Raise where a server of `digits up` works on the private one's database, though nobody waits for it any more."""
    servers = LocalServers.started(project.root / SERVERS)
    if servers is not None and servers.prefect_api_url:
        raise ServerError(
            "`digits up` was ended before its servers were healthy; call it again to go on with them, or `digits down`"
        )


def _named(url: str, *, account: str | None) -> Server:
    """Return a server that somebody else runs, once it has answered."""
    # What stands in the project's .env alone, Prefect does not see. A run that is cut off is noticed by its silence.
    known = {"PREFECT_API_URL": url, "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": HEARTBEAT_SECONDS}
    prepare_environment({**known, **({"PREFECT_API_AUTH_STRING": account} if account else {})})
    server = Server(url=url, account=account)
    server.wait_until_healthy(seconds=HEALTH_SECONDS)
    return server


@contextmanager
def private_server(state: Path) -> Iterator[Server]:
    """Yield a Prefect server that starts on a free loopback port, and ends with the block.

    Parameters
    ----------
    state
        Folder for its database and log.
    """
    state.mkdir(parents=True, exist_ok=True)
    end_stale(state)
    port = free_port()
    url = f"http://{LOOPBACK}:{port}/api"
    own = prefect_environment(state)
    prepare_environment({"PREFECT_HOME": own["PREFECT_HOME"], "PREFECT_API_URL": url, **_NO_SERVICES})
    with (state / "server.log").open("w") as log_file:
        process = subprocess.Popen(
            [sys.executable, *prefect_command(port=port), "--no-ui"],
            env=environment_without(()) | own,
            stdout=log_file,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches the run first, which still reports to the server
        )
    try:
        yield Server(url=url, process=process, log=state / "server.log")
    finally:
        _send_logs()
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def end_stale(state: Path) -> None:
    """End the private server that a run has left which was killed: the one that was given this folder."""
    for process in psutil.process_iter():
        # Of other people's processes nothing may be asked; a dead one that nobody asks after does not end.
        with suppress(psutil.Error):
            if "prefect" in process.cmdline() and process.environ().get("PREFECT_HOME") == str(state):
                process.kill()
                process.wait(STOP_SECONDS)


def quiet_console() -> None:
    """Take Prefect's handler off the console: the caller shows what happens, and the server keeps the log."""
    from prefect.logging.handlers import PrefectConsoleHandler

    root = logging.getLogger()
    root.handlers = [handler for handler in root.handlers if not isinstance(handler, PrefectConsoleHandler)]
    logging.raiseExceptions = False  # nor is it told there, in half a line, that a log does not reach the server


def _send_logs() -> None:
    """Send what the run has logged while there still is a server to send it to."""
    for handler in logging.getLogger("prefect.flow_runs").handlers:
        handler.flush()
