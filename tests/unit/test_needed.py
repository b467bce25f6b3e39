"""What a run on a cluster lacks is one line, before anything is waited for."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest

from digits.errors import ParamsError, ServerError
from digits.settings import Settings
from tasks import needed

WHOLE = {
    "DIGITS_RUNNER": "dask",
    "DIGITS_DASK_ADDRESS": "tcp://127.0.0.1:9",
    "MLFLOW_TRACKING_URI": "http://127.0.0.1:5000",
    "PREFECT_API_URL": "http://127.0.0.1:4200/api",
}


def _settings(monkeypatch: pytest.MonkeyPatch, **changed: str) -> Settings:
    for name, value in {**WHOLE, **changed}.items():
        monkeypatch.setenv(name, value)
    return Settings.load()


def test_a_run_on_this_machine_lacks_nothing() -> None:
    """Without DIGITS_RUNNER nothing is asked for."""
    needed.require(Settings())


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("DIGITS_DASK_ADDRESS", "", "DIGITS_DASK_ADDRESS names no scheduler, such as tcp://HOST:8786"),
        ("MLFLOW_TRACKING_URI", "", "MLFLOW_TRACKING_URI is not set; name one that they can reach"),
        ("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db", "MLFLOW_TRACKING_URI is sqlite:///mlflow.db; name one"),
        (
            "MLFLOW_TRACKING_URI",
            "postgresql+psycopg://mlflow:secret@db/mlflow",
            "MLFLOW_TRACKING_URI is postgresql+psycopg://db/mlflow; name one",
        ),
        ("PREFECT_API_URL", "", "PREFECT_API_URL is not set; name one that they can reach"),
    ],
)
def test_a_missing_setting_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str) -> None:
    """Each server that the workers must reach is asked for by its variable."""
    with pytest.raises(ParamsError) as caught:
        needed.require(_settings(monkeypatch, **{variable: value}))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_libraries_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without prefect-dask the line says how to install it."""

    def found(name: str) -> Any:
        return None if name == "prefect_dask" else name

    monkeypatch.setattr(needed, "find_spec", found)
    with pytest.raises(ParamsError, match=r"pip install -e '\.\[cluster\]'"):
        needed.require(_settings(monkeypatch))


def test_a_scheduler_that_nobody_runs_is_told_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address at which nobody listens, or that is none, is one line at once."""
    for address in ("tcp://127.0.0.1:9", "127.0.0.1:9", "tcp://127.0.0.1:port"):
        start = time.monotonic()
        with pytest.raises(ServerError, match=f"no Dask scheduler listens at {address}"):
            needed.require(_settings(monkeypatch, DIGITS_DASK_ADDRESS=address))
        assert time.monotonic() - start < 2 * needed.CONNECT_SECONDS


def test_a_scheduler_that_listens_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """With everything there nothing is raised."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        needed.require(_settings(monkeypatch, DIGITS_DASK_ADDRESS=address))
