"""What has to be so before the servers of this machine are started: room, ports, a pool that its worker can serve."""

from __future__ import annotations

import shutil

from digits.errors import ParamsError, ServerError
from digits.project import Project
from digits.servers import without_account
from digits.settings import Settings
from flows.servers.pools import pool_of
from flows.servers.ports import check_free
from flows.servers.private import HEALTH_SECONDS, Server

__all__ = ["ensure_possible"]

#: So much has to be free on a disk that servers write to: on a full one, databases break in the middle of a run.
ROOM_BYTES = 200_000_000


def ensure_possible(project: Project, *, settings: Settings) -> None:
    """Raise unless the servers that the settings leave to this machine can be started, and the others are there.

    Raises
    ------
    ServerError
        A disk is full, a port is taken, or a server that somebody else runs does not answer.
    ParamsError
        The settings' work pool is none of processes.
    """
    _ensure_room(project)
    _ensure_processes(project, pool=settings.work_pool)
    _ensure_answers(settings)
    _ensure_ports(settings)


def _ensure_room(project: Project) -> None:
    """Make the folders that the servers write to, and see that there is room in each."""
    for folder in (project.state, project.tracking_artifacts.parent):
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        if free < ROOM_BYTES:
            raise ServerError(
                f"{free // 10**6} MB are free on the disk of {folder}; the servers' databases, logs and artifacts "
                f"need {ROOM_BYTES // 10**6}: free some, `digits gc` may help"
            )


def _ensure_processes(project: Project, *, pool: str) -> None:
    if (kind := pool_of(project, pool)["type"]) != "process":
        raise ParamsError(
            f"the work pool {pool} is of type {kind}, and `digits up` starts a worker for processes; set "
            f"DIGITS_WORK_POOL to a pool of those, and start `prefect worker start --pool {pool}` beside it"
        )


def _ensure_answers(settings: Settings) -> None:
    """See that what somebody else runs is there: its clients would wait for minutes."""
    if url := settings.prefect_api_url:
        Server(url=url, account=settings.prefect_api_auth_string).wait_until_healthy(seconds=HEALTH_SECONDS)
    url = without_account(settings.mlflow_tracking_uri or "")  # its health it tells to everybody
    if url.startswith("http") and (fault := Server(url=url).fault()) is not None:
        raise ServerError(f"no MLflow server answers at {url} ({fault}); start it, or unset MLFLOW_TRACKING_URI")


def _ensure_ports(settings: Settings) -> None:
    ports = {
        "prefect": None if settings.prefect_api_url else settings.prefect_port,
        "mlflow": None if settings.mlflow_tracking_uri else settings.mlflow_port,
    }
    for name, port in ports.items():
        if port is not None:
            check_free(port, variable=f"DIGITS_{name}_PORT".upper(), name=name)
    if ports["prefect"] is not None and ports["prefect"] == ports["mlflow"]:
        raise ServerError(f"port {ports['mlflow']} is wanted by both servers; set DIGITS_MLFLOW_PORT to another one")
