"""A Prefect worker for this machine, ``python -m flows.servers.worker POOL``: it waits for its server first."""

from __future__ import annotations

import os
import platform
import sys

from digits.errors import DigitsError, ServerError
from digits.project import Project
from digits.settings import Settings, prepare_environment
from flows.servers.dead_runs import end_lost_runs
from flows.servers.private import Server

__all__ = ["main"]


def main(pool: str, *options: str) -> None:
    """Wait until the Prefect server answers, end what went down with this worker, and be it, for a pool of processes.

    Parameters
    ----------
    pool
        Name of the work pool.
    options
        More of what `prefect worker start` takes.

    Raises
    ------
    ServerError
        There is no Prefect server, it does not answer, or it does not know the account.
    """
    prepare_environment()
    settings = Settings.load(Project.find().root)
    if (url := settings.prefect_api_url) is None:
        raise ServerError("a worker needs a Prefect server; set PREFECT_API_URL")
    Server(url=url, account=settings.prefect_api_auth_string).wait_until_healthy()
    end_lost_runs(pool, worker=(name := platform.node()))
    command = ["prefect", "worker", "start", "--pool", pool, "--type", "process", "--name", name, *options]
    os.execv(sys.executable, [sys.executable, "-m", *command])  # noqa: S606 - arguments of our own, no shell


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except DigitsError as error:
        sys.exit(f"worker: {' '.join(str(error).split())}")
