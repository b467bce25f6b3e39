"""The command that opens the MLflow UI."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from digits.errors import ServerError
from digits.project import Project
from digits.settings import Settings, prepare_environment

__all__ = ["ui"]


def ui(*, port: int = 5000) -> NoReturn:
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
    if server := Settings.load(project.root).mlflow_tracking_uri:
        raise ServerError(f"the experiments are on {server} (MLFLOW_TRACKING_URI), not in the local store; open that")
    with socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise ServerError(f"port {port} is taken; name a free one with `digits ui --port`")
    # One process instead of ten: the UI of one person needs neither four workers nor a job queue. MLflow's server uses
    # a module that Starlette will drop, and says so at each start; only MLflow can mend that.
    prepare_environment(
        {
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_LOGGING_LEVEL": "WARNING",
            "PYTHONWARNINGS": "ignore:starlette.middleware.wsgi is deprecated",
        }
    )
    (project.root / "mlflow").mkdir(exist_ok=True)
    sys.stderr.write(f"MLflow UI: http://127.0.0.1:{port} (Ctrl-C ends it)\n")
    command = ["mlflow", "server", "--backend-store-uri", project.tracking_uri]
    command += ["--registry-store-uri", project.tracking_uri, "--uvicorn-opts", "--log-level warning"]
    command += ["--default-artifact-root", project.tracking_artifacts.as_uri()]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-m", *command])  # noqa: S606 - arguments of our own, no shell
