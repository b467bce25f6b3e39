"""Flow runs that Prefect takes for running although the machine, or its servers, went down under them."""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import psutil

from digits.settings import prepare_environment
from flows.servers.answering import answering

__all__ = ["SILENCE", "end_dead_runs", "end_lost_runs"]

#: Three of the signs of life that a flow run, or a worker, gives every half minute.
SILENCE = timedelta(seconds=90)

#: A worker that has been seen so lately may be the one whose runs live on, on a machine that cannot be looked at.
OTHERS = timedelta(days=1)

log = logging.getLogger(__name__)


@answering()
def end_dead_runs(url: str, *, before: datetime) -> int:
    """End as crashed the flow runs that were begun before a moment at which nobody was left to run them.

    Parameters
    ----------
    url
        API address of a Prefect server that this machine alone uses.
    before
        The moment.

    Returns
    -------
    int
        How many there were.
    """
    prepare_environment({"PREFECT_API_URL": url})
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
    from prefect.client.schemas.objects import StateType
    from prefect.states import Crashed

    begun = [StateType.PENDING, StateType.RUNNING, StateType.PAUSED, StateType.CANCELLING]
    having = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=begun)))
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(flow_run_filter=having)
        dead = [run for run in runs if run.state is not None and run.state.timestamp < before]
        for run in dead:
            client.set_flow_run_state(run.id, Crashed(message="Its process ended with the servers of this machine"))
    if dead:
        log.warning("%d flow runs had died with the servers; they are shown as crashed now", len(dead))
    return len(dead)


@answering()
def end_lost_runs(pool: str, *, worker: str) -> int:
    """End as crashed the runs of a pool that went down with this worker, as in a container that was started again.

    Call it before the worker starts. A run outlives its worker, so one whose process lives is left alone; and where
    another worker was seen lately, all that have none here may be that one's: their silence tells.

    Parameters
    ----------
    pool
        Name of the work pool.
    worker
        Name of the worker.

    Returns
    -------
    int
        How many there were.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateType,
        WorkPoolFilter,
        WorkPoolFilterName,
    )
    from prefect.client.schemas.objects import StateType
    from prefect.exceptions import ObjectNotFound
    from prefect.states import Crashed

    begun = FlowRunFilterStateType(any_=[StateType.PENDING, StateType.RUNNING, StateType.CANCELLING])
    with get_client(sync_client=True) as client:
        try:
            client.read_work_pool(pool)
        except ObjectNotFound:  # the first worker makes it
            return 0
        workers = client.read_workers_for_work_pool(pool)
        seen = datetime.now(tz=UTC) - OTHERS
        if any(each.name != worker and (each.last_heartbeat_time or seen) > seen for each in workers):
            return 0
        runs = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=begun)),
            work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])),
        )
        lost = [run for run in runs if run.infrastructure_pid and not _lives(run.infrastructure_pid, str(run.id))]
        for run in lost:
            client.set_flow_run_state(run.id, Crashed(message="Its process ended with its worker"), force=False)
    return len(lost)


def _lives(number: str, run: str) -> bool:
    """Return whether the process of that number is that of a flow run."""
    with suppress(psutil.Error, ValueError):
        return psutil.Process(int(number)).environ().get("PREFECT__FLOW_RUN_ID") == run
    return False
