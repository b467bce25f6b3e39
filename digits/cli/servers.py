"""The commands that start, show and end the servers of this machine."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.table import Table

from digits.cli.display import result_console
from digits.cli.leaving import leave_as_ctrl_c_does
from digits.cli.output import print_json, print_line
from digits.project import Project
from digits.settings import Settings

if TYPE_CHECKING:
    from flows.servers.local import Seen, Servers

__all__ = ["down", "status", "up"]


def up(*, json: bool = False) -> int:
    """Start a Prefect server, an MLflow server and a worker on this machine, and wait until they are healthy.

    They listen on loopback alone, outlive the terminal once they are healthy, are started again when they die, and are
    started once however often this is called. `digits run` uses them while they are up. A server that PREFECT_API_URL
    or MLFLOW_TRACKING_URI names is used and not started. Logs: .state/servers/logs.

    Examples
    --------
    ::

        digits up
        DIGITS_PREFECT_PORT=4201 DIGITS_MLFLOW_PORT=5001 digits up

    Parameters
    ----------
    json
        Print what `digits status --json` does.
    """
    leave_as_ctrl_c_does()
    servers = _servers()
    if servers.running is not None:
        return _shown(servers.status(), json=json)
    sys.stderr.write("digits: starting the servers, ten seconds or more\n")
    began = time.monotonic()
    servers.up()
    seconds, seen = time.monotonic() - began, servers.status()
    code = _shown(seen, json=json)
    if code == 0:
        megabytes = sum(server.megabytes or 0 for server in seen)
        sys.stderr.write(f"digits: all healthy after {seconds:.0f} s, with {megabytes} MB\n")
    return code


def status(*, json: bool = False) -> int:
    """Show the servers of this machine; exit code 1 unless all of them are healthy.

    Examples
    --------
    ::

        digits status
        digits status --json

    Parameters
    ----------
    json
        Print an array with name, state, url, pid, since and megabytes; empty when they are not up.
    """
    return _shown(_servers().status(), json=json)


def down() -> None:
    """End the servers of this machine, with every run that their worker is at.

    Examples
    --------
    ::

        digits down
    """
    print_line("the servers have ended" if _servers().down() else "the servers were not up")


def _servers() -> Servers:
    from flows.servers.local import Servers

    project = Project.find()
    return Servers(project, settings=Settings.load(project.root))


def _shown(seen: Sequence[Seen], *, json: bool) -> int:
    """Show the servers and return the exit code: 0 if all are there and healthy."""
    _show(seen, json=json)
    return 0 if seen and all(server.state == "healthy" for server in seen) else 1


def _show(seen: Sequence[Seen], *, json: bool) -> None:
    if json:
        print_json([asdict(server) for server in seen])
        return
    if not seen:
        print_line("the servers are not up; `digits up` starts them")
        return
    table = Table.grid(padding=(0, 2))
    for server in seen:
        style = {"healthy": "green", "starting": "yellow"}.get(server.state, "bold red")
        memory = f"{server.megabytes} MB" if server.megabytes else ""
        table.add_row(server.name, f"[{style}]{server.state}[/{style}]", server.url or "", memory)
    result_console().print(table)
