"""The command that tells Prefect what runs when."""

from __future__ import annotations

from dataclasses import asdict

from digits.cli.output import print_json, print_line
from digits.project import Project
from digits.settings import Settings

__all__ = ["deploy"]


def deploy(*, json: bool = False) -> None:
    """Apply prefect.yaml to the Prefect server, without questions: deployments, schedules, work pool, notifications.

    Doing it again changes only what has changed. The server is that of `digits up`, or the one at PREFECT_API_URL.

    Examples
    --------
    ::

        digits deploy
        DIGITS_NOTIFY_URL=https://hooks.example.org/digits digits deploy

    Parameters
    ----------
    json
        Print an array with name, schedules and pool.
    """
    from flows.servers.deployments import deploy as apply

    project = Project.find()
    applied = apply(project, settings=Settings.load(project.root))
    if json:
        print_json([asdict(deployment) for deployment in applied])
        return
    for deployment in applied:
        print_line(f"{deployment.name:<26}{', '.join(deployment.schedules) or 'on demand'}")
