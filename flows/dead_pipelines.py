"""Runs that MLflow takes for running although Prefect knows that their flow has ended, on whatever machine."""

from __future__ import annotations

from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

from digits.experiments.tags import KIND_PIPELINE, TAG_KIND
from digits.experiments.tracking import Tracking

__all__ = ["FLOW_RUN", "end_dead_pipelines"]

#: Tag of a pipeline run that names the run of the flow in Prefect.
FLOW_RUN = "prefect.flow_run_id"


def end_dead_pipelines(memory: Tracking) -> list[str]:
    """End as killed the pipeline runs whose flow has ended without them, with their fits; return the ids.

    Of a process on this host, `Tracking.reconcile` knows whether it has died; of one in a container that is gone, only
    Prefect does, whose worker has seen its end.
    """
    running = memory.search(f"tags.{TAG_KIND} = '{KIND_PIPELINE}' and attributes.status = 'RUNNING'")
    flows = {UUID(flow): run.info.run_id for run in running if (flow := run.data.tags.get(FLOW_RUN))}
    if not flows:
        return []
    with get_client(sync_client=True) as client:
        known = client.read_flow_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=list(flows))))
    ended = [flows[run.id] for run in known if run.state is not None and run.state.is_final()]
    for run_id in ended:
        memory.client.set_terminated(run_id, "KILLED")
    return [*ended, *memory.reconcile()]
