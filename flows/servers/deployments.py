"""Telling a Prefect server what runs when: the deployments of ``prefect.yaml``, their pool, and who is notified."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from digits.errors import ParamsError, ServerError
from digits.project import Project
from digits.settings import Settings, environment_without, prepare_environment
from flows.servers.answering import answering
from flows.servers.pools import FILE, apply_pool, pool_of
from flows.servers.private import HEALTH_SECONDS, Server

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

__all__ = ["Deployed", "deploy"]


@dataclass(frozen=True)
class Deployed:
    """A deployment as the Prefect server has it.

    Attributes
    ----------
    name
        Name of the flow, a slash, and its own: what `prefect deployment run` wants.
    schedules
        When it runs by itself, with the time zone; none for one that is run on demand.
    pool
        The work pool whose workers run it.
    """

    name: str
    schedules: tuple[str, ...]
    pool: str


def deploy(project: Project, *, settings: Settings) -> list[Deployed]:
    """Apply ``prefect.yaml`` without questions: the pool that the settings name, deployments, notifications.

    Raises
    ------
    ServerError
        There is no Prefect server, or it does not answer or do as asked.
    ParamsError
        ``prefect.yaml`` cannot be understood, or has no pool of that name.
    """
    if settings.prefect_api_url is None:
        raise ServerError("deployments need a Prefect server; run `digits up`, or set PREFECT_API_URL")
    pool = pool_of(project, settings.work_pool)
    account = settings.prefect_api_auth_string
    Server(url=settings.prefect_api_url, account=account).wait_until_healthy(seconds=HEALTH_SECONDS)
    known = {"PREFECT_API_URL": settings.prefect_api_url, "PREFECT_API_AUTH_STRING": account}
    prepare_environment({name: value for name, value in known.items() if value})
    from prefect.client.orchestration import get_client

    from flows.servers.notifications import apply_automations

    with answering(), get_client(sync_client=True) as client:
        apply_pool(client, settings.work_pool, pool)
        _apply_deployments(project, pool=settings.work_pool, checkout=pool.get("checkout") or str(project.root))
        apply_automations(client, pool=settings.work_pool, notify_url=settings.notify_url)
        return _deployed(client, settings.work_pool)


def _apply_deployments(project: Project, *, pool: str, checkout: str) -> None:
    command = ["deploy", "--all"]
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", *command],
        cwd=project.root,
        env={**environment_without([]), "DIGITS_CHECKOUT": checkout, "DIGITS_WORK_POOL": pool},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise ParamsError(f"`prefect {' '.join(command)}` failed: {said[-1] if said else done.returncode}; see {FILE}")


def _deployed(client: SyncPrefectClient, pool: str) -> list[Deployed]:
    from prefect.client.schemas.filters import WorkPoolFilter, WorkPoolFilterName

    found = client.read_deployments(work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])))
    flows = {deployment.flow_id: client.read_flow(deployment.flow_id).name for deployment in found}
    return sorted(
        (
            Deployed(
                name=f"{flows[deployment.flow_id]}/{deployment.name}",
                schedules=tuple(
                    f"{getattr(item.schedule, 'cron', item.schedule)} {getattr(item.schedule, 'timezone', '')}"
                    for item in deployment.schedules
                    if item.active
                ),
                pool=pool,
            )
            for deployment in found
        ),
        key=lambda one: one.name,
    )
