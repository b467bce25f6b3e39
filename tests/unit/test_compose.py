"""docker/compose.yaml is what the specification wants, keeps to itself, and holds no secret."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml


@pytest.fixture
def text(root: Path) -> str:
    """Return the compose file."""
    return (root / "docker" / "compose.yaml").read_text(encoding="utf-8")


@pytest.fixture
def services(text: str) -> Any:
    """Return its services."""
    return yaml.safe_load(text)["services"]


def test_it_meets_the_specification(root: Path) -> None:
    """The schema of the Compose Specification accepts it."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, root / "docker" / "compose.yaml"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_nothing_listens_on_a_public_address_by_default(services: Any) -> None:
    """Only MLflow and Prefect are published, on the address that LISTEN names: loopback."""
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert set(published) == {"mlflow", "prefect"}
    for ports in published.values():
        assert all(port.startswith("${LISTEN:-127.0.0.1}:") for port in ports)


def test_every_secret_comes_from_the_environment(root: Path, text: str, services: Any) -> None:
    """What has no default stands, blank, in the example, which names nothing else; no password is written down."""
    example = (root / "docker" / ".env.example").read_text(encoding="utf-8")
    named = set(re.findall(r"^([A-Z_]+)=", example, re.MULTILINE))
    assert set(re.findall(r"\$\{(\w+):\?", text)) <= named
    assert named <= set(re.findall(r"\$\{(\w+)", text))
    for service in services.values():
        for name, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|AUTH_STRING", name):
                assert re.search(r"\$\{\w+:\?", value), name
        assert not re.search("PASSWORD|SECRET", " ".join(service.get("command", [])))


def test_images_of_others_are_pinned_by_digest(root: Path, services: Any) -> None:
    """Their tag is for people; the digest says which bytes. So it is for the base of our own image."""
    images = {service["image"] for service in services.values() if not service["image"].startswith("digits:")}
    base = re.search(r"^ARG BASE=(\S+)", (root / "docker/Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert base
    for image in (*images, base[1]):
        assert re.fullmatch(r"docker\.io/[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}", image)


def test_every_service_is_watched_or_ends(services: Any) -> None:
    """What stays up has a health check and starts again; what ends is waited for, and does not."""
    waited_for = {
        name: when["condition"] for each in services.values() for name, when in each.get("depends_on", {}).items()
    }
    for name, service in services.items():
        if service.get("restart") == "unless-stopped":
            assert "healthcheck" in service, name
        else:
            assert (service["restart"], waited_for[name]) == ("no", "service_completed_successfully")


def test_people_are_given_addresses_that_they_can_open(services: Any) -> None:
    """Links to both servers go to what is published on this machine, not to names that containers alone know."""
    published = {name: services[name]["ports"][0].rpartition(":")[0] for name in ("mlflow", "prefect")}
    assert services["worker"]["environment"]["DIGITS_MLFLOW_URL"] == f"http://{published['mlflow']}"
    assert services["prefect"]["environment"]["PREFECT_UI_URL"] == f"http://{published['prefect']}"


def test_what_is_set_for_deploying_reaches_deploy(services: Any) -> None:
    """Whom to tell and which pool: what `deploy` does not hear of, it would take away with each start."""
    given = services["deploy"]["environment"]
    assert given["DIGITS_NOTIFY_URL"] == "${DIGITS_NOTIFY_URL:-}"
    assert given["DIGITS_WORK_POOL"] == "${DIGITS_WORK_POOL:-digits}"
