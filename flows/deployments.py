"""Telling a Prefect server what runs when: the deployments of ``prefect.yaml`` and the pool that they run in."""

from __future__ import annotations

import subprocess
import sys

from digits.errors import ParamsError, ServerError
from digits.project import Project
from digits.settings import Settings, environment_without
from flows.server import Server

__all__ = ["deploy"]

ANSWER_SECONDS = 5.0


def deploy(project: Project, *, settings: Settings) -> list[str]:
    """Apply ``prefect.yaml``, without questions, and return the names of the deployments of this project.

    Raises
    ------
    ServerError
        There is no Prefect server, or it does not answer.
    ParamsError
        Prefect cannot make a deployment of what ``prefect.yaml`` says.
    """
    if settings.prefect_api_url is None:
        raise ServerError("deployments need a Prefect server; run `digits up`, or set PREFECT_API_URL")
    Server(url=settings.prefect_api_url).wait_until_healthy(seconds=ANSWER_SECONDS)
    given = {
        "PREFECT_API_URL": settings.prefect_api_url,
        "DIGITS_CHECKOUT": str(project.root),
        "DIGITS_WORK_POOL": settings.work_pool,
    }
    environment = {**environment_without([]), **given}
    pool = ["work-pool", "create", settings.work_pool, "--type", "process", "--overwrite"]
    for command in (pool, ["deploy", "--all"]):
        done = subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", *command],
            cwd=project.root,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise ParamsError(f"`prefect {' '.join(command)}` failed: {said[-1] if said else done.returncode}")
    return []
