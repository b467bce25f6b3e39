"""What `digits bench` times runs with the settings of the project that it copies."""

from __future__ import annotations

from pathlib import Path

import pytest

from digits.cli.bench import _environment
from digits.settings import Settings


def test_the_timed_run_has_the_projects_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in the project's .env reaches the run, whose folder has none; its servers are its own."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    lines = ["DIGITS_WORKERS=3", "DIGITS_FIT_MINUTES=1.5", "DIGITS_FIT_RETRIES=0", f"DIGITS_MNIST_DIR={tmp_path}"]
    for line in lines:
        monkeypatch.delenv(line.partition("=")[0], raising=False)
    (tmp_path / ".env").write_text("\n".join(lines), encoding="utf-8")
    environment = _environment(Settings.load(tmp_path))
    assert [f"{name}={environment[name]}" for name in (line.partition("=")[0] for line in lines)] == lines
    assert "MLFLOW_TRACKING_URI" not in environment
