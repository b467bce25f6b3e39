"""A Prefect server for the length of a run, for whoever has none."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import socket
from urllib.error import URLError

from digits.errors import ServerError
from digits.settings import prepare_environment

__all__ = ["prefect_server", "quiet_console", "wait_until_healthy"]

#: A server that lives as long as one run has nothing to schedule and nobody to notify.
_NO_SERVICES = {
    f"PREFECT_SERVER_SERVICES_{name}_ENABLED": "false"
    for name in ("SCHEDULER", "LATE_RUNS", "CANCELLATION_CLEANUP", "PAUSE_EXPIRATIONS", "FOREMAN", "TRIGGERS")
}

START_SECONDS, STOP_SECONDS, POLL_SECONDS = 180.0, 10.0, 0.1


@contextmanager
def prefect_server(url: str | None, *, state: Path) -> Iterator[str]:
    """Yield the API address of a Prefect server that runs inside the block.

    Call it before Prefect is imported: a private server starts while the libraries are loaded, so it may not answer
    yet; see `wait_until_healthy`.

    Parameters
    ----------
    url
        API address of a server that is running; None starts a private one on a free loopback port.
    state
        Folder for the private server's database and log.

    Raises
    ------
    ServerError
        The server at `url` does not answer, or the private one ended.
    """
    if url is not None:
        wait_until_healthy(url, seconds=5)
        yield url
        return
    state.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    url = f"http://127.0.0.1:{port}/api"
    prepare_environment({"PREFECT_HOME": str(state), "PREFECT_API_URL": url, **_NO_SERVICES})
    with (state / "server.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-ui"],
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches the run first, which still reports to the server
        )
    try:
        yield url
    finally:
        _send_logs()
        server.terminate()
        try:
            server.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def wait_until_healthy(url: str, *, seconds: float = START_SECONDS) -> None:
    """Wait until the Prefect server at `url` answers.

    Raises
    ------
    ServerError
        It does not within `seconds`.
    """
    end = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=seconds):  # noqa: S310 - the address of our own server, or the user's
                return
        except (URLError, OSError, ValueError) as error:
            if time.monotonic() > end:
                raise ServerError(
                    f"no Prefect server answers at {url} ({error}); start it with `prefect server start`, "
                    "or unset PREFECT_API_URL to use a private one"
                ) from error
        time.sleep(POLL_SECONDS)


def quiet_console() -> None:
    """Take Prefect's handler off the console: the caller shows what happens, and the server keeps the log."""
    from prefect.logging.handlers import PrefectConsoleHandler

    root = logging.getLogger()
    root.handlers = [handler for handler in root.handlers if not isinstance(handler, PrefectConsoleHandler)]


def _send_logs() -> None:
    """Send what the run has logged while there still is a server to send it to."""
    for handler in logging.getLogger("prefect.flow_runs").handlers:
        handler.flush()


def _free_port() -> int:
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
