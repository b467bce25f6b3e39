"""Settings come from the environment; what cannot be understood names the variable."""

from __future__ import annotations

from pathlib import Path

import pytest

from digits.errors import ParamsError
from digits.settings import Settings


def test_variables_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each documented variable reaches its field."""
    monkeypatch.setenv("DIGITS_MNIST_DIR", "/somewhere")
    monkeypatch.setenv("DIGITS_WORKERS", "3")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    settings = Settings.load()
    assert (settings.mnist_dir, settings.workers) == (Path("/somewhere"), 3)
    assert settings.mlflow_tracking_uri == "http://127.0.0.1:5000"


@pytest.mark.parametrize(
    ("variable", "value"), [("DIGITS_WORKERS", "0"), ("DIGITS_FIT_MINUTES", "soon"), ("DIGITS_RUNNER", "ray")]
)
def test_a_bad_variable_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    """A value out of range or of the wrong type gives one line with the variable and the value."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(ParamsError, match=f"{variable} is '{value}'"):
        Settings.load()


ACCOUNT = {"MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": "worlds-apart"}


@pytest.fixture
def _no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ACCOUNT:
        monkeypatch.setenv(name, "")  # so that it is taken back


@pytest.mark.usefixtures("_no_account")
def test_mlflow_finds_the_account_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow reads the environment alone: what stands in `.env` is put there, and what stands there already wins."""
    from mlflow.utils.credentials import get_default_host_creds

    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in ACCOUNT.items()), encoding="utf-8")
    Settings.load(tmp_path).give_account()
    found = get_default_host_creds("http://127.0.0.1:5000")
    assert [found.username, found.password] == list(ACCOUNT.values())
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "another")
    Settings.load(tmp_path).give_account()
    found = get_default_host_creds("http://127.0.0.1:5000")
    assert [found.username, found.password] == ["ada", "another"]


@pytest.mark.usefixtures("_no_account")
def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings that somebody prints or logs tell no password and no address that is a secret."""
    secrets = ("MLFLOW_TRACKING_PASSWORD", "PREFECT_API_AUTH_STRING", "DIGITS_NOTIFY_URL", "MLFLOW_TRACKING_URI")
    for name in secrets:
        monkeypatch.setenv(name, f"secret of {name}")
    assert "secret of" not in repr(Settings.load())


def test_people_may_open_mlflow_elsewhere_than_runs_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Links are to the address of the tracking server, where there is one, unless there is one for people.

    What it holds of an account is for runs alone.
    """
    monkeypatch.setenv("DIGITS_MLFLOW_URL", "")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert Settings.load().mlflow_pages is None
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    assert Settings.load().mlflow_pages == "http://mlflow:5000"
    monkeypatch.setenv(
        "MLFLOW_TRACKING_URI", "postgresql+psycopg://me@server:se@c/ret@db:5432/mlflow?user=me&PASSWORD=secret&a=b"
    )
    assert Settings.load().mlflow_pages == "postgresql+psycopg://db:5432/mlflow?&&a=b"
    monkeypatch.setenv("DIGITS_MLFLOW_URL", "https://mlflow.example.org")
    assert Settings.load().mlflow_pages == "https://mlflow.example.org"
