"""The image that `make images` builds: each service of docker/compose.yaml runs inside it, on a real PostgreSQL."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

#: The name of the image; `make images-check` says it.
IMAGE = "DIGITS_TEST_IMAGE"


@pytest.fixture(scope="module")
def container() -> Iterator[str]:
    """Return a container of the image, or skip."""
    if not (image := os.environ.get(IMAGE)):
        pytest.skip(f"{IMAGE} is not set; `make images-check` sets it")
    name = subprocess.run(["buildah", "from", image], capture_output=True, text=True, check=True).stdout.strip()
    yield name
    subprocess.run(["buildah", "rm", name], check=True, capture_output=True)


def _run(container: str, *options: str) -> list[str]:
    return ["buildah", "run", "--isolation", "chroot", *options, container, "--"]


def test_every_service_runs_inside_its_image(
    container: str, make_team: Any, postgres: Any, root: Path, tmp_path: Path
) -> None:
    """Each command does what its health check asks, or ends well; with the environment of the compose file alone."""

    def inside(environment: dict[str, str]) -> list[str]:
        given = {name: value for name, value in environment.items() if name not in {"PATH", "HOME"}}
        return _run(container, *(f"--env={name}={value}" for name, value in given.items()))

    team = make_team(root, postgres=postgres, home=tmp_path, inside=inside)
    try:
        team.up()
        team.wait_until_healthy("worker")
        deployments = {each["name"] for each in team.prefect("POST", "deployments/filter")}
        assert {"train-digits", "train-mnist", "validate"} <= deployments
        assert team.mlflow("POST", "experiments/search", max_results=1)["experiments"]
    finally:
        team.down()


def test_the_image_holds_what_runs_and_no_secret(container: str) -> None:
    """Nobody is root in it; tools of development, git's history and files with secrets stayed outside."""
    script = "id -u; ls -A /srv/digits; pip list 2>/dev/null || python -c 'import pytest' 2>&1 | tail -1; git --version"
    said = subprocess.run(
        [*_run(container), "sh", "-c", script], capture_output=True, text=True, check=False
    ).stdout.split("\n")
    assert said[0] == "10001"
    assert {"digits", "flows", "params.yaml", "prefect.yaml"} <= set(said)
    assert not {".git", ".env", "tests", ".venv"} & set(said)
    assert "ModuleNotFoundError: No module named 'pytest'" in said


def test_results_go_to_the_store_of_the_containers(container: str) -> None:
    """A default remote that somebody has committed with the checkout is not DVC's in the image."""
    script = "printf '[core]\\n    remote = shared\\n' > .dvc/config && dvc config core.remote"
    command = [*_run(container), "sh", "-c", script]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "store\n"
