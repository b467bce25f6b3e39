"""A Prefect worker for this machine, ``python -m flows.servers.worker POOL``: it waits for its server first."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Collection
from contextlib import suppress
from datetime import datetime
from http.client import HTTPException
from urllib.error import URLError

from digits.errors import DigitsError, ServerError
from digits.project import Project
from digits.settings import Settings, prepare_environment
from flows.servers.dead_runs import SILENCE, end_lost_runs
from flows.servers.private import Server

__all__ = ["main", "works_since"]


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
    MissingError
        This is no checkout.
    ServerError
        There is no Prefect server, it does not answer or do as asked, or it does not know the account.
    """
    prepare_environment()
    settings = Settings.load(Project.find().root)
    if (url := settings.prefect_api_url) is None:
        raise ServerError("a worker needs a Prefect server; set PREFECT_API_URL")
    Server(url=url, account=settings.prefect_api_auth_string).wait_until_healthy()
    end_lost_runs(pool, worker=(name := platform.node()))
    command = ["prefect", "worker", "start", "--pool", pool, "--type", "process", "--name", name, *options]
    os.execv(sys.executable, [sys.executable, "-m", *command])  # noqa: S606 - arguments of our own, no shell


def works_since(moment: float, *, names: Collection[str], pool: str, server: Server) -> bool:
    """Return whether a worker of one of these names has told Prefect of itself since a moment, and not long ago.

    Parameters
    ----------
    moment
        Seconds since 1970.
    names
        Names of workers.
    pool
        Name of their work pool.
    server
        The Prefect server.
    """
    moment = max(moment, time.time() - SILENCE.total_seconds())
    with suppress(URLError, HTTPException, OSError, ValueError):
        return any(
            worker["name"] in names and datetime.fromisoformat(worker["last_heartbeat_time"]).timestamp() >= moment
            for worker in json.loads(server.read(f"work_pools/{pool}/workers/filter", body=b"{}"))
        )
    return False


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except DigitsError as error:
        sys.exit(f"worker: {' '.join(str(error).split())}")
