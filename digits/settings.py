"""Settings: where and how Digits runs. Only from the environment and ``.env``; never hashed, never logged as params.

Results do not depend on anything here; what they depend on stands in ``params.yaml``. No other module reads or
writes the environment.
"""

from __future__ import annotations

import getpass
import os
import platform
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from digits.errors import ParamsError
from digits.servers import LocalServers, without_account

__all__ = ["GARBAGE_THRESHOLD", "ONE_THREAD", "SERVERS", "Settings", "environment_without", "prepare_environment"]

#: None of the tools may send usage data anywhere, unless the user's own environment says so.
_NO_TELEMETRY = {
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}

#: The tools' own chatter. ``GIT_PYTHON_REFRESH``: MLflow warns when git is missing. Four retries are half a minute, in
#: which a tracking server can start again; MLflow's own seven are four minutes for every call.
_QUIET = {
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "4",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "digits",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}

#: Files go through the tracking server: MLflow's clients would ask it for addresses in its object store and go there
#: themselves, but whoever is not among its containers does not reach that.
_THROUGH_SERVER = {
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "false",
}

#: What changes bits is the same whatever the user has set.
_SAME_BITS = {"TF_ENABLE_ONEDNN_OPTS": "1"}

#: A worker process computes with one thread unless its family asks for more: as many workers as cores, no
#: oversubscription, and bits that do not depend on what runs beside.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
}


#: Variables that MLflow reads itself, at each question to a server.
_MLFLOW_USERNAME, _MLFLOW_PASSWORD = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"

#: Folder of a checkout in which the servers of `digits up` keep their state.
SERVERS = Path(".state", "servers")

#: New objects after which a process looks for garbage: importing the libraries makes millions, and all of them stay.
GARBAGE_THRESHOLD = 100_000


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _user_at_host() -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container whose user has no name
        user = str(os.getuid()) if hasattr(os, "getuid") else "unknown"
    return f"{user}@{platform.node()}"


class Settings(BaseSettings):
    """Everything that the environment can say; each variable is the field's name in capitals, after ``DIGITS_``.

    Attributes
    ----------
    mnist_dir
        Folder with the four IDX files of MNIST, plain or ``.gz``; without it they are downloaded.
    workers
        Number of fits that run side by side; the number of usable cores by default.
    fit_minutes
        Time limit of one fit, in minutes.
    fit_retries
        How often a fit whose worker died is tried again.
    actor
        Whom the ledger of the registry names; user and host by default.
    prefect_port, mlflow_port
        Ports on which the servers of `digits up` listen.
    work_pool
        The pool of Prefect whose workers run the deployments.
    notify_url
        Where notifications are posted to; none are sent by default.
    mlflow_url
        The address at which people open MLflow; see `mlflow_pages`.
    runner
        Where fits take place: in ``processes`` of this machine, or on a ``dask`` cluster.
    dask_address
        The scheduler of that cluster, such as ``tcp://10.0.0.5:8786``.
    cache
        Folder in which a worker of the cluster keeps snapshots and splits; below its working directory by default.
    mlflow_tracking_uri
        ``MLFLOW_TRACKING_URI``: the tracking server; that of `digits up` by default, and where there is none a SQLite
        store below ``mlflow/``.
    mlflow_tracking_username, mlflow_tracking_password
        ``MLFLOW_TRACKING_USERNAME`` and ``MLFLOW_TRACKING_PASSWORD``: the account there, where it asks for one.
    prefect_api_url
        ``PREFECT_API_URL``: the Prefect server; that of `digits up` by default, and where there is none a private one
        for the length of a run.
    prefect_api_auth_string
        ``PREFECT_API_AUTH_STRING``: the account on the Prefect server, ``USER:PASSWORD``, where it asks for one.
    """

    model_config = SettingsConfigDict(env_prefix="DIGITS_", env_ignore_empty=True, extra="ignore", frozen=True)

    mnist_dir: Path | None = None
    workers: int = Field(default_factory=_usable_cores, ge=1)
    fit_minutes: float = Field(default=60.0, gt=0)
    fit_retries: int = Field(default=1, ge=0)
    actor: str = Field(default_factory=_user_at_host, min_length=1, max_length=200)
    prefect_port: int = Field(default=4200, ge=1, le=65535)
    mlflow_port: int = Field(default=5000, ge=1, le=65535)
    work_pool: str = "digits"
    notify_url: str | None = Field(default=None, repr=False)
    mlflow_url: str | None = None
    runner: Literal["processes", "dask"] = "processes"
    dask_address: str | None = None
    cache: Path = Path("digits-cache")
    mlflow_tracking_uri: str | None = Field(default=None, validation_alias="MLFLOW_TRACKING_URI", repr=False)
    mlflow_tracking_username: str | None = Field(default=None, validation_alias=_MLFLOW_USERNAME)
    mlflow_tracking_password: str | None = Field(default=None, validation_alias=_MLFLOW_PASSWORD, repr=False)
    prefect_api_url: str | None = Field(default=None, validation_alias="PREFECT_API_URL")
    prefect_api_auth_string: str | None = Field(default=None, validation_alias="PREFECT_API_AUTH_STRING", repr=False)

    def give_account(self) -> None:
        """Put MLflow's account into the environment, which alone MLflow asks for it."""
        account = {_MLFLOW_USERNAME: self.mlflow_tracking_username, _MLFLOW_PASSWORD: self.mlflow_tracking_password}
        os.environ.update({name: value for name, value in account.items() if value})

    @property
    def mlflow_pages(self) -> str | None:
        """Where people open the tracking server, which may have another name for them; None where there is none.

        They have accounts of their own: it holds none.
        """
        return self.mlflow_tracking_uri and without_account(self.mlflow_url or self.mlflow_tracking_uri)

    @classmethod
    def load(cls, root: Path | None = None) -> Settings:
        """Read the settings; an address that the environment leaves open is that of the servers of `digits up`.

        Parameters
        ----------
        root
            The folder whose ``.env`` and servers count; the current one by default.

        Raises
        ------
        ParamsError
            A variable holds something that cannot be understood.
        """
        folder = root or Path()
        settings = cls._read(folder / ".env")
        if (servers := LocalServers.running(folder / SERVERS)) is None:
            return settings
        found = {
            "mlflow_tracking_uri": settings.mlflow_tracking_uri or servers.mlflow_tracking_uri,
            "prefect_api_url": settings.prefect_api_url or servers.prefect_api_url,
        }
        return settings.model_copy(update=found)

    @classmethod
    def _read(cls, file: Path) -> Settings:
        try:
            return cls(_env_file=file)  # type: ignore[call-arg]  # pydantic-settings' own
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0])
            variable = name if name.isupper() else f"DIGITS_{name}".upper()
            message = re.sub(r"^Input should be ", "should be ", first["msg"])
            raise ParamsError(f"environment variable {variable} is {first['input']!r}; it {message}") from error


def prepare_environment(more: Mapping[str, str] | None = None) -> None:
    """Set what the tools read at import, keeping what the user has set but for what changes results.

    Call it before any of them is imported.

    Parameters
    ----------
    more
        Variables to set in any case, such as the address of the server that was just started.
    """
    for name, value in {**_NO_TELEMETRY, **_QUIET, **_THROUGH_SERVER}.items():
        os.environ.setdefault(name, value)
    os.environ.update({**_SAME_BITS, **(more or {})})


def is_stage_of_dvc() -> bool:
    """Return whether DVC runs this process, as a stage of dvc.yaml, and will record what comes out."""
    return "DVC_STAGE" in os.environ


def environment_without(names: Iterable[str]) -> dict[str, str]:
    """Return a copy of the environment without some variables, for a process of ours that must not see them."""
    left_out = set(names)
    return {name: value for name, value in os.environ.items() if name not in left_out}
