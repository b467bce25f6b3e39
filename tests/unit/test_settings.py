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
