"""The command that opens the MLflow UI."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Annotated, NoReturn

from cyclopts import Parameter
from cyclopts.validators import Number

from digits.errors import ServerError
from digits.project import Project
from digits.servers import LOOPBACK, mlflow_command, mlflow_environment
from digits.settings import Settings, prepare_environment

__all__ = ["ui"]


def ui(*, port: Annotated[int, Parameter(validator=Number(gte=1, lte=65535))] = 5000) -> NoReturn:
    """Open the MLflow UI on this project's local store, on loopback, until Ctrl-C.

    Examples
    --------
    ::

        digits ui
        digits ui --port 5001

    Parameters
    ----------
    port
        Port to listen on.
    """
    from socket import socket

    project = Project.find()
    if server := Settings.load(project.root).mlflow_pages:
        raise ServerError(f"an MLflow server has the experiments: open {server} (MLFLOW_TRACKING_URI, or `digits up`)")
    with socket() as probe:
        if probe.connect_ex((LOOPBACK, port)) == 0:
            raise ServerError(f"port {port} is taken; name a free one with `digits ui --port`")
    prepare_environment(mlflow_environment())
    (project.root / "mlflow").mkdir(exist_ok=True)
    address = f"http://{LOOPBACK}:{port}"
    sys.stderr.write(f"MLflow UI: {address} (Ctrl-C ends it)\n")
    for dataset, page in _pages(project):
        sys.stderr.write(f"  {dataset}, best validation accuracy first: {address}/{page}\n")
    command = mlflow_command(port=port, store=project.tracking_uri, artifacts=project.tracking_artifacts)
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *command])  # noqa: S606 - arguments of our own, no shell


def _pages(project: Project) -> Iterator[tuple[str, str]]:
    """Yield each dataset that has fits, with the address of their table."""
    from digits.experiments.views import fits_address
    from digits.steps.memory import known_fits

    settings = Settings.load(project.root)
    for dataset in project.datasets():
        if memory := known_fits(project, dataset, settings=settings):
            yield dataset, fits_address(memory.experiment_id)
