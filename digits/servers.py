"""The servers of `digits up`: which addresses they have, and whether they are there.

Who starts them writes one file; whoever needs an address reads it through `digits.settings`. The file of servers that
have ended is as good as none. They are always this machine's, whose name may have changed since: it is not asked.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from digits.files import write_json
from digits.processes import living

__all__ = [
    "LOOPBACK",
    "MARK",
    "LocalServers",
    "mlflow_command",
    "mlflow_environment",
    "prefect_command",
    "prefect_environment",
    "without_account",
]

LOOPBACK = "127.0.0.1"

#: Variable that the manager, and all that it starts, have in their environment: the folder of their state.
MARK = "DIGITS_SUPERVISED_IN"

_FILE = "servers.json"

#: What stands in an address before its host, where a password may hold any sign but a blank, and an account among its
#: options.
_ACCOUNT = re.compile(
    r"(?<=://)[^:/?\s]*(?::\S*)?@|(?<=[?&])(?:user|username|(?:ssl)?password|passwd|pwd)=[^&\s]*", re.I
)


@dataclass(frozen=True)
class LocalServers:
    """What `digits up` has started.

    Attributes
    ----------
    manager
        Name of the process that keeps the others alive; see `digits.processes`.
    prefect_api_url, mlflow_tracking_uri
        Addresses of the servers; None for one that the environment named, so that none was started.
    ready
        Whether all have been healthy. It may stay False: `digits up` can be killed while they start.
    """

    manager: str
    prefect_api_url: str | None
    mlflow_tracking_uri: str | None
    ready: bool = False

    @classmethod
    def running(cls, folder: Path) -> LocalServers | None:
        """Return the servers whose state lies in a folder, None when they are not up, or not ready yet."""
        found = cls.started(folder)
        return found if found and found.ready else None

    @classmethod
    def started(cls, folder: Path) -> LocalServers | None:
        """Return the servers whose state lies in a folder, ready or not, None when their manager has ended."""
        try:
            found = cls(**json.loads((folder / _FILE).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        return found if found.process(folder) else None

    def process(self, folder: Path) -> psutil.Process | None:
        """Return the manager's process, None when it has ended: another one of its number is not marked as it is.

        The marks of another user's processes cannot be seen, but nor can this user do anything to them.
        """
        try:
            process = living(self.manager)
            return process if process and process.environ().get(MARK) == str(folder.resolve()) else None
        except psutil.AccessDenied:
            return process
        except psutil.Error:
            return None

    def write(self, folder: Path) -> None:
        """Tell every process of this checkout that the servers are there."""
        write_json(folder / _FILE, asdict(self))

    @staticmethod
    def forget(folder: Path) -> None:
        """Tell every process of this checkout that there are none."""
        (folder / _FILE).unlink(missing_ok=True)


def prefect_command(*, port: int) -> list[str]:
    """Return the arguments to Python that start a Prefect server on loopback."""
    return ["-m", "prefect", "server", "start", "--host", LOOPBACK, "--port", str(port)]


def prefect_environment(state: Path) -> dict[str, str]:
    """Return what gives a Prefect server the folder `state`, whichever database the user has told Prefect of.

    Leases under concurrency limits lie there too: with those in memory, a server that starts again would cancel the
    runs that hold them.
    """
    return {
        "PREFECT_HOME": str(state),
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{state.resolve() / 'prefect.db'}",
    }


def mlflow_command(*, port: int, store: str, artifacts: Path) -> list[str]:
    """Return the arguments to Python that start an MLflow server on loopback, over a local store.

    New experiments keep their artifacts in the folder itself, not behind the server: what is logged while it runs can
    be read when it does not.

    Parameters
    ----------
    port
        Port to listen on.
    store
        Address of the database of runs and of the registry.
    artifacts
        Folder of the artifacts.
    """
    command = ["-m", "mlflow", "server", "--backend-store-uri", store, "--registry-store-uri", store]
    command += ["--default-artifact-root", artifacts.as_uri(), "--artifacts-destination", artifacts.as_uri()]
    return [
        *command,
        "--host",
        LOOPBACK,
        "--port",
        str(port),
        "--workers",
        "1",
        "--uvicorn-opts",
        "--log-level warning",
    ]


def mlflow_environment() -> dict[str, str]:
    """Return what an MLflow server needs in its environment to be one process instead of ten.

    What one person asks needs neither four workers nor a job queue. MLflow's server uses a module that Starlette will
    drop, and says so at each start; only MLflow can mend that.
    """
    return {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "PYTHONWARNINGS": "ignore:starlette.middleware.wsgi is deprecated",
    }


def without_account(text: str) -> str:
    """Return an address, or words that hold some, as people may see it: with neither user nor password."""
    return _ACCOUNT.sub("", text)
