"""Work pools: what ``prefect.yaml`` says of them, and telling it to a Prefect server."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import yaml

from digits.errors import ParamsError
from digits.project import Project

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

__all__ = ["FILE", "apply_pool", "pool_of"]

FILE = "prefect.yaml"


def pool_of(project: Project, name: str) -> dict[str, Any]:
    """Return the definition of a pool: its ``type``, ``variables`` and perhaps ``checkout``.

    Raises
    ------
    ParamsError
        ``prefect.yaml`` cannot be understood, or has no pool of that name.
    """
    try:
        pools = yaml.safe_load((project.root / FILE).read_text(encoding="utf-8"))["definitions"]["pools"]
        if name in pools:
            return {"type": pools[name]["type"], **pools[name]}
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise ParamsError(f"cannot read the pools of {FILE}: {' '.join(str(error).split())}") from error
    raise ParamsError(f"{FILE} defines no pool {name!r}; it has {', '.join(pools)} (DIGITS_WORK_POOL)")


def apply_pool(client: SyncPrefectClient, name: str, pool: dict[str, Any]) -> None:
    """Make the pool, or give it the defaults that its definition says; what else people have set there stays.

    Raises
    ------
    ParamsError
        The server has a pool of that name and another type, or Prefect knows no such type or variable.
    """
    from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
    from prefect.exceptions import ObjectNotFound

    try:
        known = client.read_work_pool(name)
    except ObjectNotFound:
        known = None
    if known and known.type != pool["type"]:
        raise ParamsError(
            f"the Prefect server has the work pool {name} as one of type {known.type}, {FILE} says {pool['type']}; "
            f"take it away with `prefect work-pool delete {name}`, or name another one (DIGITS_WORK_POOL)"
        )
    template = deepcopy(known.base_job_template if known else _template(client, pool["type"]))
    properties = template["variables"]["properties"]
    for variable, value in pool.get("variables", {}).items():
        if variable not in properties:
            raise ParamsError(
                f"{FILE}: pools of type {pool['type']} have no variable {variable!r}; {sorted(properties)}"
            )
        about = properties[variable]
        about["default"] = {**(about.get("default") or {}), **value} if isinstance(value, dict) else value
    if known is None:
        client.create_work_pool(WorkPoolCreate(name=name, type=pool["type"], base_job_template=template))
    else:
        client.update_work_pool(name, WorkPoolUpdate(base_job_template=template))


def _template(client: SyncPrefectClient, kind: str) -> dict[str, Any]:
    """Return what Prefect takes for the jobs of a new pool of a type."""
    kinds = {kind: about for group in client.read_worker_metadata().values() for kind, about in group.items()}
    if kind not in kinds:
        raise ParamsError(f"{FILE}: Prefect knows no type of work pools {kind!r}; it has {', '.join(sorted(kinds))}")
    template: dict[str, Any] = kinds[kind]["default_base_job_configuration"]
    return template
