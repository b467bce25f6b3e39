"""The flow's side of a Dask cluster: what is remembered stays here, the other fits are sent to its workers."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from distributed import Client, KilledWorker
from prefect.client.orchestration import get_client
from prefect.states import Crashed

from digits.data.split import Split
from digits.errors import MissingError, ServerError
from digits.events import report
from digits.experiments.candidate import Candidate
from digits.experiments.tracking import Tracking
from digits.files import only_one
from digits.project import Project
from digits.settings import Settings
from digits.steps.candidates import Fitted, fingerprint_of, remembered
from tasks.needed import CONNECT_SECONDS, require
from tasks.places import Order
from tasks.sent import SentFit, telling
from tasks.shared import Shared, share

__all__ = ["connected"]

log = logging.getLogger(__name__)


class _Cluster:
    """The workers of a Dask cluster.

    Parameters
    ----------
    topic
        Under which they tell what happens.
    timeout_s
        Time limit of one fit, in seconds.
    """

    def __init__(self, topic: str, *, timeout_s: float) -> None:
        self._topic = topic
        self._timeout_s = timeout_s
        self._git: Mapping[str, str] | None = None
        self._shared: Shared | None = None

    def alone(self, project: Project, dataset: str) -> AbstractContextManager[None]:
        """Return a lock: a fit on a worker can hold none that another flow knows."""
        return only_one(project.lock(dataset, "cluster"))

    def order(self, family: str, *, project: Project, rows: Split, memory: Tracking) -> Order:
        """Return the fit of a family with all that a worker has to know; of one that is remembered, the result."""
        dataset = rows.snapshot.dataset
        try:
            return _Known(remembered(project, dataset, family, memory=memory), topic=self._topic)
        except MissingError:
            pass
        if self._shared is None:
            self._shared = share(project.root, stages=[f"{verb}@{dataset}" for verb in ("ingest", "split")])
            self._git = project.git_tags()
        params = project.params(dataset)
        return SentFit(
            params=params,
            fingerprint=fingerprint_of(params.fit, family, data=rows.digest),
            rows=rows,
            shared=self._shared,
            tracking_uri=memory.uri,
            git=self._git or {},
            timeout_s=self._timeout_s,
            topic=self._topic,
        )

    def reason(self, error: Exception, *, family: str, task_run: UUID) -> str:
        """Return the error's line; that its workers died one after the other no fit could report."""
        if not isinstance(error, KilledWorker):
            return " ".join(str(error).split()) or type(error).__name__
        line = f"{error.allowed_failures + 1} workers died in a row while they fitted it; out of memory?"
        report("fit", subject=family, state="failed", detail=line)
        with get_client(sync_client=True) as client:  # to Prefect it is running for ever
            client.set_task_run_state(task_run, Crashed(message=line), force=True)
        return line


@dataclass(frozen=True)
class _Known:
    """A fit that need not be done: its result lies here."""

    candidate: Candidate
    topic: str

    def __call__(self, family: str, parent: str) -> Fitted:
        """Return the result."""
        del parent
        with telling(self.topic):
            report("fit", subject=family, state="reused", detail=self.candidate.summary)
        return Fitted(self.candidate, reused=True)


@contextmanager
def connected(project: Project, *, settings: Settings) -> Iterator[_Cluster]:
    """Yield the cluster of the settings, once everything that it needs is known to be there.

    What its workers report is reported here.
    """
    require(settings)
    share(project.root)  # raises without a remote: now, not after an hour
    topic = f"digits-{uuid4().hex}"
    try:
        client = Client(settings.dask_address, timeout=CONNECT_SECONDS, set_as_default=False)
    except OSError as error:
        reason = " ".join(str(error).split())
        raise ServerError(f"no Dask scheduler answers at {settings.dask_address} ({reason})") from error
    with client:
        if not client.scheduler_info()["workers"]:
            log.warning("the Dask scheduler at %s has no workers yet; the fits wait for some", settings.dask_address)
        client.subscribe_topic(topic, _report)
        yield _Cluster(topic, timeout_s=settings.fit_minutes * 60)


def _report(event: tuple[float, Any]) -> None:
    report(**event[1]["event"])  # Dask puts the worker's address beside it
