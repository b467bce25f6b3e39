"""A fit on a worker of a Dask cluster, which shares no disk with whoever sends it.

The worker has the code; it gets params and references. Data comes from DVC's remote, the candidate goes to MLflow, and
so do the members of an ensemble come. The fit itself runs in a process of its own below the worker, as it does on the
flow's machine: the same environment, the same time limit, and a crash costs a try.
"""

from __future__ import annotations

import logging
import multiprocessing
import platform
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from distributed import get_worker

from digits.data.split import Split
from digits.dataset_params import DatasetParams
from digits.errors import DigitsError, FitFailed
from digits.events import report
from digits.experiments.code import changed_code
from digits.experiments.explanation import changes_between
from digits.experiments.fingerprint import Fingerprint
from digits.experiments.tracking import Tracking
from digits.experiments.workers import WorkerPool
from digits.project import Project
from digits.settings import Settings, prepare_environment
from digits.steps import candidates
from digits.steps.candidates import Fitted, fingerprint_of
from tasks.shared import Shared
from tasks.taken import taken

__all__ = ["SentFit", "telling"]

#: How soon a worker notices that nobody waits for its fit any more.
POLL_SECONDS = 0.5

#: Pools of one process each that are warm and have nothing to do.
_idle: list[WorkerPool] = []


@dataclass(frozen=True)
class SentFit:
    """The fit of one family as a worker is told of it.

    Attributes
    ----------
    params
        Those of the dataset.
    fingerprint
        What the flow expects; a worker with other code or libraries does not fit.
    rows
        The split, by its digest; its folders are the flow's.
    shared
        Where DVC has snapshot and split.
    tracking_uri
        The MLflow server.
    git
        The tags that name the flow's commit.
    timeout_s
        Time limit of the fit, in seconds.
    topic
        Under which the worker tells what happens.
    """

    params: DatasetParams
    fingerprint: Fingerprint
    rows: Split
    shared: Shared
    tracking_uri: str
    git: Mapping[str, str]
    timeout_s: float
    topic: str

    def __call__(self, family: str, parent: str) -> Fitted:
        """Fit the family here and bring the candidate to MLflow."""
        prepare_environment()
        dataset = self.rows.snapshot.dataset
        with (
            telling(self.topic),
            TemporaryDirectory(prefix="fit.", dir=get_worker().local_directory) as folder,
            _process(timeout_s=self.timeout_s) as pool,
        ):
            project = self._project(Path(folder), family=family)
            Settings.load().give_account()
            memory = Tracking(self.tracking_uri, dataset=dataset, artifacts=project.tracking_artifacts)
            return candidates.fit(project, dataset, family, memory=memory, workers=pool, parent=parent)

    def _project(self, root: Path, *, family: str) -> Project:
        """Return a project for this fit alone, with its data in place."""
        try:
            self._compare(family)
            snapshot, split = taken(self.rows, shared=self.shared, cache=Settings.load().cache)
        except DigitsError as error:
            report("fit", subject=family, state="failed", detail=str(error))
            raise
        return _SentProject(root, sent=self, snapshot_folder=snapshot, split_folder=split)

    def _compare(self, family: str) -> None:
        """Raise `FitFailed` when a fit here would not be the one that the flow asks for."""
        host = platform.node()
        if changed := changed_code(self.fingerprint.code):
            names = ", ".join(sorted(changed))
            raise FitFailed(f"the code of {names} on worker {host} was changed since it started; start it again")
        found = fingerprint_of(self.params.fit, family, data=self.rows.digest)
        if found.digest != self.fingerprint.digest:
            changes = "; ".join(f"{item.component}: {item.detail}" for item in changes_between(self.fingerprint, found))
            raise FitFailed(f"worker {host} is not as the flow is ({changes}); install the same commit and lock there")


@dataclass(frozen=True)
class _SentProject(Project):
    """A project without a checkout: params and references were sent, the data lies in the worker's cache."""

    sent: SentFit
    snapshot_folder: Path
    split_folder: Path

    def params(self, dataset: str) -> DatasetParams:
        del dataset
        return self.sent.params

    def snapshot(self, dataset: str) -> Path:
        del dataset
        return self.snapshot_folder

    def split(self, dataset: str) -> Path:
        del dataset
        return self.split_folder

    def git_tags(self) -> dict[str, str]:
        return dict(self.sent.git)


@contextmanager
def telling(topic: str) -> Iterator[None]:
    """Send what this thread reports in the block to whoever listens to the topic."""
    worker, here, logger = get_worker(), threading.get_ident(), logging.getLogger("digits.events")

    class Sender(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == here and hasattr(record, "event"):
                worker.log_event(topic, {"event": asdict(record.event)})

    sender = Sender()
    logger.addHandler(sender)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(sender)


@contextmanager
def _process(*, timeout_s: float) -> Iterator[WorkerPool]:
    """Yield a pool of one process for the task of this thread; it is stopped when nobody waits for that any more."""
    # What starts a worker makes it a daemon, to which multiprocessing allows no children; ours end with their parent.
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]
    pool = _warm(timeout_s) or WorkerPool(1, timeout_s=timeout_s)
    worker, over = get_worker(), threading.Event()
    key = worker.get_current_task()

    def watch() -> None:
        while not over.wait(POLL_SECONDS):
            task = worker.state.tasks.get(key)
            if task is None or task.state not in {"executing", "long-running"}:
                pool.stop()
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield pool
    finally:
        over.set()
        watcher.join()
        if not pool.stopped:
            _idle.append(pool)


def _warm(timeout_s: float) -> WorkerPool | None:
    """Return a pool that has nothing to do and this time limit; those with another one end."""
    while True:
        try:
            pool = _idle.pop()
        except IndexError:  # not asked before it is taken: another thread of the worker takes some, too
            return None
        if pool.timeout_s == timeout_s:
            return pool
        pool.stop()
