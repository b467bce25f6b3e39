"""What keeps the servers of this machine from being started is one line, before anything has begun."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from digits.errors import DigitsError
from digits.project import Project
from digits.settings import Settings
from flows.servers.pools import pool_of
from flows.servers.ports import free_port
from flows.servers.possible import ensure_possible


@pytest.fixture
def project(root: Path, tmp_path: Path) -> Project:
    """Return a project with the pools of this checkout."""
    shutil.copy(root / "prefect.yaml", tmp_path)
    return Project(root=tmp_path)


def _settings(**known: Any) -> Settings:
    return Settings(prefect_port=free_port(), mlflow_port=free_port()).model_copy(update=known)


def test_nothing_is_in_the_way(project: Project) -> None:
    """Free ports and a pool of processes are all that it takes; the folders to write to are made."""
    ensure_possible(project, settings=_settings())
    assert project.state.is_dir()


@pytest.mark.parametrize(
    ("known", "line"),
    [
        (
            {"work_pool": "digits-docker"},
            "the work pool digits-docker is of type docker, and `digits up` starts a worker",
        ),
        ({"work_pool": "typo"}, r"prefect\.yaml defines no pool 'typo'; it has digits, digits-docker"),
        ({"prefect_port": 4299, "mlflow_port": 4299}, "port 4299 is wanted by both servers; set DIGITS_MLFLOW_PORT"),
        (
            {"mlflow_tracking_uri": "http://127.0.0.1:9"},
            "no MLflow server answers at http://127.0.0.1:9 .* unset MLFLOW_",
        ),
    ],
)
def test_what_is_in_the_way_is_named(project: Project, known: dict[str, Any], line: str) -> None:
    """A pool that this machine's worker cannot serve, one port for two servers, a server that is not there."""
    with pytest.raises(DigitsError, match=line):
        ensure_possible(project, settings=_settings(**known))


@pytest.mark.parametrize("pools", ["{digits: process}", "{digits: {variables: {}}}", "[]", ""])
def test_pools_that_are_none_are_one_line(project: Project, pools: str) -> None:
    """Whatever stands in prefect.yaml in their place."""
    (project.root / "prefect.yaml").write_text(f"definitions: {{pools: {pools}}}", encoding="utf-8")
    with pytest.raises(DigitsError, match=r"prefect\.yaml"):
        pool_of(project, "digits")
