"""Work pools on a real Prefect server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from digits.errors import ParamsError
from digits.project import Project
from flows.servers.pools import apply_pool, pool_of


@pytest.fixture
def client(prefect_url: str) -> Iterator[SyncPrefectClient]:
    """Return a client of the session's server."""
    with temporary_settings({PREFECT_API_URL: prefect_url}), get_client(sync_client=True) as asked:
        yield asked


@pytest.mark.parametrize("name", ["digits", "digits-docker"])
def test_a_pool_has_the_defaults_of_its_definition(client: SyncPrefectClient, root: Path, name: str) -> None:
    """Made or there already; what a person has set beside them stays."""
    pool, made = pool_of(Project(root=root), name), f"{name}-as-a-test"
    apply_pool(client, made, pool)
    template = client.read_work_pool(made).base_job_template
    template["variables"]["properties"]["name"]["default"] = "set by hand"
    apply_pool(client, made, {**pool, "variables": {}})
    apply_pool(client, made, pool)
    known = client.read_work_pool(made)
    assert known.type == pool["type"]
    defaults = {key: value.get("default") for key, value in known.base_job_template["variables"]["properties"].items()}
    assert pool["variables"].items() <= defaults.items()


def test_a_pool_that_cannot_be_is_one_line(client: SyncPrefectClient) -> None:
    """A type or a variable that Prefect does not know, and a pool that is there with another type."""
    with pytest.raises(ParamsError, match="Prefect knows no type of work pools 'dockr'"):
        apply_pool(client, "misspelt", {"type": "dockr"})
    with pytest.raises(ParamsError, match="pools of type process have no variable 'image'"):
        apply_pool(client, "misspelt", {"type": "process", "variables": {"image": "digits"}})
    apply_pool(client, "there", {"type": "process"})
    with pytest.raises(ParamsError, match=r"has the work pool there as one of type process, prefect\.yaml says docker"):
        apply_pool(client, "there", {"type": "docker"})
