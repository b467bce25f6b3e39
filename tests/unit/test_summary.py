"""What a run leaves beside its report."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from digits.experiments.tracking import Tracking
from tasks import summary


def test_data_docs_are_put_beside_a_run_unless_that_is_too_much(
    mlflow_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where they are not, or cannot be put there, the link leads nowhere else and the run goes on."""
    shutil.copy(mlflow_store, tmp_path / "mlflow.db")
    memory = Tracking(f"sqlite:///{tmp_path / 'mlflow.db'}", dataset="digits", artifacts=tmp_path / "artifacts")
    parent, docs = memory.create_run("run", tags={}).info.run_id, tmp_path / "docs"
    assert not summary._put_beside(docs, memory=memory, parent=parent)
    docs.mkdir()
    (docs / "index.html").write_text("all rules", encoding="utf-8")
    assert summary._put_beside(docs, memory=memory, parent=parent)
    (found,) = memory.client.list_artifacts(parent, "data-docs")
    assert found.path == "data-docs/index.html"
    assert not summary._put_beside(docs, memory=memory, parent=32 * "0")
    monkeypatch.setattr(summary, "MOST", 5)
    assert not summary._put_beside(docs, memory=memory, parent=parent)
