"""What MLflow remembers of experiments; every call to its tracking interface stands here.

One experiment per dataset, one parent run per pipeline run, one child run per fitted family. Parents are named by
their id: MLflow's active run belongs to a thread, and families are fitted by several.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from digits.errors import MissingError, ServerError
from digits.experiments.candidate import Candidate
from digits.experiments.connection import answering, connect, first_line, has_no_store, holds_nothing
from digits.experiments.logged_model import create_logged_model, finalize, logged_model_of
from digits.experiments.views import FITS_VIEW
from digits.files import only_one, replaced_folder
from digits.processes import has_died, this_process

if TYPE_CHECKING:
    from mlflow.entities import Run

    from digits.data.snapshot import Snapshot
    from digits.experiments.assessment import Assessment
    from digits.experiments.fingerprint import Fingerprint

__all__ = ["Tracking"]

log = logging.getLogger(__name__)

TAG_FINGERPRINT, TAG_DIGEST, TAG_FAMILY, TAG_KIND = "fingerprint", "artifact.sha256", "family", "kind"
TAG_PROBA, TAG_DESCRIPTION = "validation_proba.sha256", "candidate.sha256"
TAG_PROCESS, TAG_IMPORTED, TAG_GARBAGE = "process", "imported", "garbage"
TAG_NOTE = "mlflow.note.content"
TAG_SNAPSHOT, TAG_SPLIT = "snapshot.digest", "split.digest"
TAG_PARENT, TAG_MEMBERS, TAG_EVALUATED = "mlflow.parentRunId", "members", "evaluated"
KIND_PIPELINE, KIND_CANDIDATE, KIND_REFERENCE = "pipeline", "candidate", "reference"
KIND_TUNING, KIND_TRIAL = "tuning", "trial"
CANDIDATE_FOLDER, PLOTS_FOLDER = "candidate", "plots"
METRIC_FIT_SECONDS = "fit_seconds"

#: What the UI shows of an experiment whose runs train models, once it is not asked for traces of language models.
_EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development", **FITS_VIEW}

#: MLflow refuses a dataset's digest of more than 36 characters.
_DIGEST_CHARACTERS = 32

#: What MLflow says of an id that it does not know, and of one that can be none.
_UNKNOWN = frozenset({"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"})

#: So many of the last fits tell how long a family takes.
_RECENT = 200


class Tracking:
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
            self.experiment_id = self._experiment(artifacts)

    def _experiment(self, artifacts: Path) -> str:
        location = None if self.uri.startswith("http") else artifacts.resolve().as_uri()
        experiment = self.client.get_experiment_by_name(self.dataset)
        if experiment is None:
            return str(self.client.create_experiment(self.dataset, artifact_location=location, tags=_EXPERIMENT_TAGS))
        if experiment.lifecycle_stage == "deleted":
            raise ServerError(
                f"the experiment {self.dataset} was deleted in MLflow; restore it with "
                f"`mlflow experiments restore --experiment-id {experiment.experiment_id}`"
            )
        return str(experiment.experiment_id)

    def beside(self, name: str) -> Tracking:
        """Return another experiment on the same server, over the same connection; made where it is not there yet."""
        other = copy(self)
        other.dataset = name
        with answering(), only_one(self._artifacts.with_name(".opening.lock")):
            other.experiment_id = other._experiment(self._artifacts)
        return other

    def start_pipeline_run(self, *, snapshot: Snapshot, split_digest: str, tags: Mapping[str, str]) -> str:
        """Start the parent run of one pipeline run and return its id."""
        run = self._create_run(
            f"{self.dataset} {time.strftime('%Y-%m-%d %H:%M:%S')}",
            tags={TAG_KIND: KIND_PIPELINE, TAG_SNAPSHOT: snapshot.digest, TAG_SPLIT: split_digest, **tags},
        )
        self._log_dataset(run.info.run_id, snapshot=snapshot)
        return str(run.info.run_id)

    def start_candidate_run(
        self, *, parent: str | None, snapshot: Snapshot, fingerprint: Fingerprint, tags: Mapping[str, str]
    ) -> str:
        """Start the run of one family, below its pipeline's if it has one, and return its id."""
        run = self._create_run(
            fingerprint.family,
            tags={
                TAG_KIND: KIND_CANDIDATE,
                TAG_FAMILY: fingerprint.family,
                TAG_FINGERPRINT: fingerprint.digest,
                TAG_SNAPSHOT: snapshot.digest,
                TAG_SPLIT: fingerprint.data,
                **({TAG_PARENT: parent} if parent else {}),
                **({TAG_MEMBERS: " ".join(members)} if (members := fingerprint.members.values()) else {}),
                **tags,
            },
        )
        run_id = str(run.info.run_id)
        from mlflow.entities import Param

        params = {**fingerprint.params, "seed": fingerprint.seed}
        self.client.log_batch(run_id, params=[Param(key, str(value)) for key, value in params.items()])
        self._log_dataset(run_id, snapshot=snapshot)
        return run_id

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

    def log_candidate(self, candidate: Candidate, *, run_id: str) -> None:
        """Log what a fit gave onto its run; the fit can be recalled once the run is finished."""
        from mlflow.entities import Metric

        model_id = create_logged_model(self.client, run_id, name=candidate.family, files=CANDIDATE_FOLDER)
        figures = {f"validation_{name}": value for name, value in candidate.validation.flat().items()}
        figures[METRIC_FIT_SECONDS] = candidate.fit_seconds
        if folds := candidate.cross_validation:
            figures |= zip(("cross_validation_mean", "cross_validation_deviation"), folds, strict=True)
        self._log_figures(run_id, figures)
        now = int(time.time() * 1000)
        for curve, values in candidate.history.items():
            points = [Metric(f"epochs/{curve}", value, now, step) for step, value in enumerate(values, start=1)]
            self.client.log_batch(run_id, metrics=points)
        self.client.log_artifacts(run_id, str(candidate.path), CANDIDATE_FOLDER)
        self.client.set_tag(run_id, TAG_DIGEST, candidate.digest)
        self.client.set_tag(run_id, TAG_PROBA, candidate.proba_digest)
        self.client.set_tag(run_id, TAG_DESCRIPTION, candidate.description_digest)
        finalize(self.client, model_id)

    def import_candidate(self, candidate: Candidate, *, snapshot: Snapshot, tags: Mapping[str, str]) -> Candidate:
        """Log a candidate that was fitted out of this server's sight, and return it as remembered by the new run."""
        origin = {TAG_IMPORTED: candidate.run_id or "never logged"}
        run_id = self.start_candidate_run(
            parent=None, snapshot=snapshot, fingerprint=candidate.fingerprint, tags={**tags, **origin}
        )
        with self.finishing(run_id):
            self.log_candidate(candidate, run_id=run_id)
        return replace(candidate, run_id=run_id)

    def reconcile(self) -> list[str]:
        """End the runs as killed whose process on this host has died without a word; return their ids.

        So end the fits, on whatever host, whose pipeline run is over: nobody waits for them.
        """
        running = {str(run.info.run_id): run.data.tags for run in self.search("attributes.status = 'RUNNING'")}
        died = [run_id for run_id, tags in running.items() if has_died(tags.get(TAG_PROCESS, ""))]
        alive = running.keys() - died
        died += [run_id for run_id in alive if running[run_id].get(TAG_PARENT, run_id) not in alive]
        for run_id in died:
            self.client.set_terminated(run_id, "KILLED")
        return died

    def end_left_behind(self, parent: str) -> None:
        """End as killed what still runs below a pipeline run whose fits are all over: its workers have died."""
        for run in self.search(f"tags.`{TAG_PARENT}` = '{parent}' and attributes.status = 'RUNNING'"):
            self.client.set_terminated(run.info.run_id, "KILLED")

    def log_evaluation(self, run_id: str, *, assessment: Assessment, folders: Iterable[Path]) -> None:
        """Log a candidate's test figures, its cost, and the folders of its scores and plots onto its run."""
        figures = {f"test_{name}": value for name, value in assessment.metrics.flat().items()}
        figures |= {f"cost_{name}": value for name, value in assessment.cost.as_dict().items()}
        for item in assessment.conditions:
            section = "handwriting" if item.is_handwriting else "robustness"
            figures[f"{section}/{item.kind.replace(' ', '_')}_{item.level}"] = item.accuracy
        self._log_figures(run_id, figures)
        for folder in folders:
            self.client.log_artifacts(run_id, str(folder), PLOTS_FOLDER)

    def log_summary(
        self,
        run_id: str,
        *,
        best: str,
        figures: Mapping[str, float],
        tags: Mapping[str, str],
        files: Iterable[Path],
        note: str,
    ) -> None:
        """Log what sums up a pipeline run onto its parent run: figures, tags and files; its name then names the best.

        The note, in Markdown, is what people read first: on the run, and on the experiment as that of the last run.
        """
        from mlflow.entities import Metric, RunTag

        now = int(time.time() * 1000)
        self.client.log_batch(
            run_id,
            metrics=[Metric(name, value, now, 0) for name, value in figures.items()],
            tags=[RunTag(name, value) for name, value in {**tags, TAG_NOTE: note}.items()],
        )
        for path in files:
            self.client.log_artifact(run_id, str(path))
        self.client.update_run(run_id, name=f"{self.client.get_run(run_id).info.run_name}, best: {best}")
        self.describe(note)
        for name, value in FITS_VIEW.items():
            self.client.set_experiment_tag(self.experiment_id, name, value)

    def start_reference_run(
        self, name: str, *, params: Mapping[str, Any], snapshot: Snapshot, tags: Mapping[str, str]
    ) -> str:
        """Start the run of a reference system that is done again and return its id."""
        from mlflow.entities import Param

        run = self._create_run(name, tags={TAG_KIND: KIND_REFERENCE, TAG_SNAPSHOT: snapshot.digest, **tags})
        run_id = str(run.info.run_id)
        self.client.log_batch(run_id, params=[Param(key, str(value)) for key, value in params.items()])
        self._log_dataset(run_id, snapshot=snapshot)
        return run_id

    def log_reference(
        self, run_id: str, *, figures: Mapping[str, float], folder: Path, tags: Mapping[str, str]
    ) -> None:
        """Log what came of a reference system, with the files in a folder."""
        from mlflow.entities import Metric, RunTag

        now = int(time.time() * 1000)
        metrics = [Metric(key, value, now, 0) for key, value in figures.items()]
        self.client.log_batch(run_id, metrics=metrics, tags=[RunTag(key, value) for key, value in tags.items()])
        self.client.log_artifacts(run_id, str(folder))

    def describe(self, note: str) -> None:
        """Set the note of the experiment, in Markdown."""
        self.client.set_experiment_tag(self.experiment_id, TAG_NOTE, note)

    def start_tuning_run(self, family: str, *, snapshot: Snapshot, tags: Mapping[str, str]) -> str:
        """Start the parent run of a search for a family's hyper-parameters and return its id."""
        run = self._create_run(
            f"{family} {time.strftime('%Y-%m-%d %H:%M:%S')}",
            tags={TAG_KIND: KIND_TUNING, TAG_FAMILY: family, TAG_SNAPSHOT: snapshot.digest, **tags},
        )
        self._log_dataset(run.info.run_id, snapshot=snapshot)
        return str(run.info.run_id)

    @contextmanager
    def trial(self, number: int, *, params: Mapping[str, Any], parent: str) -> Iterator[dict[str, float]]:
        """Make a run of one trial below its search; the figures that the block puts into the dictionary are logged."""
        from mlflow.entities import Metric, Param

        run = self._create_run(f"trial {number}", tags={TAG_KIND: KIND_TRIAL, TAG_PARENT: parent})
        self.client.log_batch(run.info.run_id, params=[Param(key, str(value)) for key, value in params.items()])
        figures: dict[str, float] = {}
        with self.finishing(run.info.run_id):
            yield figures
            now = int(time.time() * 1000)
            self.client.log_batch(run.info.run_id, [Metric(key, value, now, 0) for key, value in figures.items()])

    def log_found(self, run_id: str, *, params: Mapping[str, Any], accuracy: float, before: float | None) -> None:
        """Log the winner of a search, and the accuracy of the values that were there before, onto its run."""
        from mlflow.entities import Metric, Param

        now = int(time.time() * 1000)
        figures = {"validation_accuracy": accuracy}
        if before is not None:
            figures["validation_accuracy_before"] = before
        self.client.log_batch(
            run_id,
            metrics=[Metric(key, value, now, 0) for key, value in figures.items()],
            params=[Param(key, str(value)) for key, value in params.items()],
        )

    def fit_seconds(self) -> dict[str, float]:
        """Return family → seconds of its last finished fit, for those that have one."""
        seconds: dict[str, float] = {}
        finished = self.search(f"tags.`{TAG_KIND}` = '{KIND_CANDIDATE}' and attributes.status = 'FINISHED'")
        for run in islice(finished, _RECENT):
            seconds.setdefault(run.data.tags[TAG_FAMILY], run.data.metrics.get(METRIC_FIT_SECONDS, 0.0))
        return seconds

    @classmethod
    def existing(cls, uri: str, *, dataset: str, artifacts: Path) -> Tracking | None:
        """Return the dataset's experiment; None when it, or the local store, is not there yet: nothing is made."""
        if has_no_store(uri):
            return None
        with answering():
            if connect(uri).get_experiment_by_name(dataset) is None:
                return None
        return cls(uri, dataset=dataset, artifacts=artifacts)

    @classmethod
    def holding(cls, uri: str, *, run_id: str, artifacts: Path) -> Tracking:
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
                raise MissingError(f"no run {run_id} in MLflow at {uri} ({first_line(error)})") from error
        return cls(uri, dataset=experiment.name, artifacts=artifacts)

    def finished(self, tag: str, value: str) -> list[Run]:
        """Return the finished runs of fits with this value of a tag, the newest first."""
        fits = f"tags.`{TAG_KIND}` = '{KIND_CANDIDATE}' and tags.`{tag}` = '{value}'"
        return list(self.search(f"{fits} and attributes.status = 'FINISHED'"))

    def _create_run(self, name: str, *, tags: Mapping[str, str]) -> Run:
        source = {"mlflow.source.name": "digits", TAG_PROCESS: this_process()}
        return self.client.create_run(self.experiment_id, run_name=name, tags={**source, **tags})

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

    def _log_figures(self, run_id: str, figures: Mapping[str, float]) -> None:
        """Log figures onto a run and onto its model, where they are linked to the dataset."""
        from mlflow.entities import Metric

        run, now = self.client.get_run(run_id), int(time.time() * 1000)
        data = run.inputs.dataset_inputs[0].dataset
        linked = {"model_id": logged_model_of(run), "dataset_name": data.name, "dataset_digest": data.digest}
        metrics = [Metric(name, value, now, 0, **linked) for name, value in figures.items()]
        self.client.log_batch(run_id, metrics=metrics)

    def _log_dataset(self, run_id: str, *, snapshot: Snapshot) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        described = Dataset(
            name=snapshot.dataset,
            digest=snapshot.digest[:_DIGEST_CHARACTERS],
            source_type="dvc",
            source=f'{{"path": "data/snapshots/{snapshot.dataset}"}}',
            profile=f'{{"num_rows": {snapshot.n_samples}}}',
        )
        self.client.log_inputs(run_id, [DatasetInput(described, [InputTag("mlflow.data.context", "training")])])
