"""Flow runs that Prefect takes for running although the machine, or its servers, went down under them."""

from __future__ import annotations

import logging
from datetime import datetime

from digits.settings import prepare_environment

__all__ = ["end_dead_runs"]

log = logging.getLogger(__name__)


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
