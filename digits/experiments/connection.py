"""The connection to an MLflow server or to a local store; what MLflow raises is one line."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from digits.errors import ServerError
from digits.servers import without_account

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

__all__ = ["answering", "connect", "first_line", "has_no_store", "holds_nothing"]

CONNECT_SECONDS = 5.0
_SQLITE = "sqlite:///"

#: What MLflow calls a wrong user or password.
_NO_ACCOUNT = "UNAUTHENTICATED"


@contextmanager
def answering() -> Iterator[None]:
    """Turn what MLflow, or its database, raises in the block into a `ServerError` of one line; also a decorator."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:
        if getattr(error, "error_code", None) == _NO_ACCOUNT:
            raise ServerError(
                "MLflow does not know the account that asks (401); set MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD to one that it has"
            ) from error
        raise ServerError(
            f"MLflow does not do as asked ({first_line(error)}); is the server of MLFLOW_TRACKING_URI there, and room "
            "on its disk?"
        ) from error


def connect(uri: str) -> MlflowClient:
    """Return a client; making it gives a new database its tables.

    Raises
    ------
    ServerError
        Nobody listens at a server's address, or a database cannot be opened.
    """
    import mlflow
    from sqlalchemy.exc import SQLAlchemyError

    if uri.startswith("http"):
        _reach(uri)
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    mlflow.set_tracking_uri(uri)
    try:
        if uri.startswith(_SQLITE):
            Path(uri.removeprefix(_SQLITE)).parent.mkdir(parents=True, exist_ok=True)
        return mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
    except (OSError, ImportError, SQLAlchemyError) as error:
        raise ServerError(
            f"the store of MLflow cannot be opened ({first_line(error)}); mend MLFLOW_TRACKING_URI, or unset it"
        ) from error


def _reach(uri: str) -> None:
    """Look whether anybody listens at `uri`, once: what is wrong from the start is said at once, not after retries."""
    try:
        parts = urlsplit(uri)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname or "", port), timeout=CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        where = without_account(uri)
        raise ServerError(
            f"no MLflow server listens at {where} ({first_line(error)}); start it, or unset MLFLOW_TRACKING_URI"
        ) from error


def has_no_store(uri: str) -> bool:
    """Return whether `uri` names a local database that was not made yet: to look into it would make it."""
    return uri.startswith(_SQLITE) and not Path(uri.removeprefix(_SQLITE)).is_file()


def first_line(error: Exception) -> str:
    """Return the first line of an error's message without the accounts in it, its kind where it has none."""
    return without_account(next(iter(str(error).strip().splitlines()), type(error).__name__))[:200]


def holds_nothing(address: str) -> bool:
    """Return whether the store says that no file lies there; False too when it does not answer."""
    from mlflow.artifacts import list_artifacts
    from mlflow.exceptions import MlflowException

    try:
        return not list_artifacts(address)
    except (MlflowException, OSError):
        return False
