"""The runs of one experiment on an MLflow server: how they are found, begun and ended.

Does not know what is logged onto them (``tracking``). No run is ever MLflow's active one: that belongs to a thread, and
families are fitted by several.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import copy
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Self

from digits.errors import MissingError, ServerError
from digits.experiments.connection import answering, connect, first_line, has_no_store, holds_nothing
from digits.experiments.tags import (
    CANDIDATE_FOLDER,
    KIND_CANDIDATE,
    METRIC_FIT_SECONDS,
    TAG_FAMILY,
    TAG_KIND,
    TAG_NOTE,
    TAG_PARENT,
    TAG_PROCESS,
)
from digits.experiments.views import fits_view
from digits.files import only_one, replaced_folder
from digits.processes import has_died, is_here, this_process
from digits.servers import without_account

if TYPE_CHECKING:
    from mlflow.entities import Run

__all__ = ["Store"]

#: So that the UI shows runs, and not traces of language models.
_KIND = {"mlflow.experimentKind": "custom_model_development"}

#: What MLflow says of an id that it does not know, and of one that can be none.
_UNKNOWN = frozenset({"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"})

#: After so long a run of another host, of whose processes nothing is known, counts as dead.
FORGOTTEN = timedelta(days=2)

#: So many of the last fits tell how long a family takes.
_RECENT = 200


class Store:
    """The experiment of one dataset on an MLflow tracking server.

    Parameters
    ----------
    uri
        Address of the tracking server, or of a database.
    dataset
        Name of the dataset, and of the experiment.
    artifacts
        Folder for the artifacts of a new experiment when `uri` is a database; a server has its own.

    Raises
    ------
    ServerError
        The server does not answer.
    """

    def __init__(self, uri: str, *, dataset: str, artifacts: Path) -> None:
        self.uri = uri
        self.dataset = dataset
        self._artifacts = artifacts
        # One at a time: a new database is given its tables, and a new dataset its experiment.
        with answering(), only_one(artifacts.with_name(".opening.lock")):
            self.client = connect(uri)
            self.experiment_id = self._experiment(artifacts, view=fits_view())

    def _experiment(self, artifacts: Path, *, view: Mapping[str, str]) -> str:
        location = None if self.uri.startswith("http") else artifacts.resolve().as_uri()
        experiment = self.client.get_experiment_by_name(self.dataset)
        if experiment is None:
            tags = {**_KIND, **view}
            return str(self.client.create_experiment(self.dataset, artifact_location=location, tags=tags))
        if experiment.lifecycle_stage == "deleted":
            raise ServerError(
                f"the experiment {self.dataset} was deleted in MLflow; restore it with "
                f"`mlflow experiments restore --experiment-id {experiment.experiment_id}`"
            )
        return str(experiment.experiment_id)

    def beside(self, name: str) -> Self:
        """Return another experiment on the same server, over the same connection; made where it is not there yet.

        It does not hold fits, so it gets no view of them.
        """
        other = copy(self)
        other.dataset = name
        with answering(), only_one(self._artifacts.with_name(".opening.lock")):
            other.experiment_id = other._experiment(self._artifacts, view={})
        return other

    @classmethod
    def existing(cls, uri: str, *, dataset: str, artifacts: Path) -> Self | None:
        """Return the dataset's experiment; None when it, or the local store, is not there yet: nothing is made."""
        if has_no_store(uri):
            return None
        with answering():
            if connect(uri).get_experiment_by_name(dataset) is None:
                return None
        return cls(uri, dataset=dataset, artifacts=artifacts)

    @classmethod
    def holding(cls, uri: str, *, run_id: str, artifacts: Path) -> Self:
        """Return the experiment that holds a run.

        Raises
        ------
        MissingError
            There is no such run.
        """
        from mlflow.exceptions import MlflowException

        if has_no_store(uri):
            raise MissingError(f"no run {run_id}: nothing was ever fitted here; run `digits run`")
        with answering():
            client = connect(uri)
            try:
                experiment = client.get_experiment(client.get_run(run_id).info.experiment_id)
            except MlflowException as error:
                if error.error_code not in _UNKNOWN:
                    raise
                where = without_account(uri)
                raise MissingError(f"no run {run_id} in MLflow at {where} ({first_line(error)})") from error
        return cls(uri, dataset=experiment.name, artifacts=artifacts)

    def finished(self, tag: str, value: str) -> list[Run]:
        """Return the finished runs of fits with this value of a tag, the newest first."""
        fits = f"tags.`{TAG_KIND}` = '{KIND_CANDIDATE}' and tags.`{tag}` = '{value}'"
        return list(self.search(f"{fits} and attributes.status = 'FINISHED'"))

    def search(self, condition: str, *, deleted: bool = False) -> Iterator[Run]:
        """Yield the runs of the experiment that meet a condition in MLflow's language, the last to end first.

        Parameters
        ----------
        condition
            What is looked for.
        deleted
            Whether it is looked for among the runs marked as deleted; else among the others.
        """
        from mlflow.entities import ViewType

        view, token = ViewType.DELETED_ONLY if deleted else ViewType.ACTIVE_ONLY, None
        while True:
            page = self.client.search_runs(
                [self.experiment_id], condition, view, order_by=["attributes.end_time DESC"], page_token=token
            )
            yield from page
            if not (token := page.token):
                return

    def create_run(self, name: str, *, tags: Mapping[str, str]) -> Run:
        """Begin a run that this process works on."""
        source = {"mlflow.source.name": "digits", TAG_PROCESS: this_process()}
        return self.client.create_run(self.experiment_id, run_name=name, tags={**source, **tags})

    @contextmanager
    def finishing(self, run_id: str) -> Iterator[None]:
        """Mark a run finished when the block ends, failed when it raises."""
        from mlflow.exceptions import MlflowException

        try:
            yield
        except BaseException:
            # What went wrong is what matters, also when the server has gone; the next run ends what this one cannot.
            with suppress(MlflowException):
                self.client.set_terminated(run_id, "FAILED")
            raise
        self.client.set_terminated(run_id, "FINISHED")

    def reconcile(self) -> list[str]:
        """End the runs as killed whose process on this host has died without a word; return their ids.

        So end the fits, on whatever host, whose pipeline run is over: nobody waits for them; and what another host has
        begun days ago.
        """
        found = {str(run.info.run_id): run for run in self.search("attributes.status = 'RUNNING'")}
        running = {run_id: run for run_id, run in found.items() if TAG_PROCESS in run.data.tags}  # others' are theirs
        long_ago = 1000 * (time.time() - FORGOTTEN.total_seconds())
        died = [
            run_id
            for run_id, run in running.items()
            for process in [run.data.tags[TAG_PROCESS]]
            if has_died(process) or (run.info.start_time < long_ago and not is_here(process))
        ]
        alive = found.keys() - died
        died += [
            run_id for run_id in running.keys() - died if running[run_id].data.tags.get(TAG_PARENT, run_id) not in alive
        ]
        for run_id in died:
            self.client.set_terminated(run_id, "KILLED")
        return died

    def end_left_behind(self, parent: str) -> None:
        """End as killed what still runs below a pipeline run whose fits are all over: its workers have died."""
        for run in self.search(f"tags.`{TAG_PARENT}` = '{parent}' and attributes.status = 'RUNNING'"):
            self.client.set_terminated(run.info.run_id, "KILLED")

    def download(self, run_id: str, *, path: Path) -> bool:
        """Bring the candidate that a run holds into `path`; False when the run no longer has it.

        Raises
        ------
        ServerError
            It cannot be brought, whether the run has it or not.
        """
        from mlflow.exceptions import MlflowException

        try:
            with replaced_folder(path) as work:
                source = self.client.download_artifacts(run_id, CANDIDATE_FOLDER, str(work))
                for item in Path(source).iterdir():
                    item.rename(work / item.name)
                Path(source).rmdir()
        except (MlflowException, OSError) as error:
            address = f"{self.client.get_run(run_id).info.artifact_uri}/{CANDIDATE_FOLDER}"
            if holds_nothing(address):
                return False
            raise ServerError(
                f"the candidate of run {run_id} cannot be brought ({first_line(error)}); is the store of MLflow's "
                "artifacts there, and room on this disk?"
            ) from error
        return True

    def fit_seconds(self) -> dict[str, float]:
        """Return family → seconds of its last finished fit, for those that have one."""
        seconds: dict[str, float] = {}
        finished = self.search(f"tags.`{TAG_KIND}` = '{KIND_CANDIDATE}' and attributes.status = 'FINISHED'")
        for run in islice(finished, _RECENT):
            seconds.setdefault(run.data.tags[TAG_FAMILY], run.data.metrics.get(METRIC_FIT_SECONDS, 0.0))
        return seconds

    def describe(self, note: str, *, view: Mapping[str, str] | None = None) -> None:
        """Set the note of the experiment, in Markdown, and the view of its runs that the note leads to."""
        for name, value in {TAG_NOTE: note, **(view or {})}.items():
            self.client.set_experiment_tag(self.experiment_id, name, value)
