"""What a run on a Dask cluster needs besides one on this machine. Imports nothing heavy: it is asked first."""

from __future__ import annotations

import socket
from importlib.util import find_spec
from urllib.parse import urlsplit

from digits.errors import ParamsError, ServerError
from digits.servers import without_account
from digits.settings import Settings

__all__ = ["require", "require_libraries"]

CONNECT_SECONDS = 5.0


def require(settings: Settings) -> None:
    """Raise, in one line, what a run with these settings lacks; one on this machine lacks nothing.

    Raises
    ------
    ParamsError
        A setting is missing, or the libraries of the extra ``cluster`` are.
    ServerError
        Nobody listens at the scheduler's address.
    """
    if settings.runner != "dask":
        return
    require_libraries()
    if not settings.dask_address:
        raise ParamsError("DIGITS_RUNNER is dask, but DIGITS_DASK_ADDRESS names no scheduler, such as tcp://HOST:8786")
    if not (settings.mlflow_tracking_uri or "").startswith("http"):
        raise ParamsError(
            f"the workers of a cluster bring their fits to an MLflow server, but MLFLOW_TRACKING_URI is "
            f"{without_account(settings.mlflow_tracking_uri or 'not set')}; name one that they can reach, such as http://HOST:5000"
        )
    if not settings.prefect_api_url:
        raise ParamsError(
            "the workers of a cluster tell a Prefect server how far they are, but PREFECT_API_URL is not set; "
            "name one that they can reach, such as http://HOST:4200/api"
        )
    _reach(settings.dask_address)


def require_libraries() -> None:
    """Raise `ParamsError` when the libraries of the extra ``cluster`` are not installed."""
    if not (find_spec("distributed") and find_spec("prefect_dask")):
        raise ParamsError("DIGITS_RUNNER is dask, but prefect-dask is not installed; run `pip install -e '.[cluster]'`")


def _reach(address: str) -> None:
    """Look whether anybody listens at the scheduler's address."""
    try:
        parts = urlsplit(address if "://" in address else f"tcp://{address}")
        port = parts.port or 8786
        socket.create_connection((parts.hostname or "", port), timeout=CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        raise ServerError(
            f"no Dask scheduler listens at {address} ({error}); start it with `dask scheduler`, or mend "
            "DIGITS_DASK_ADDRESS"
        ) from error
