"""What is logged onto the runs of an experiment: fits, evaluations, pipeline runs, reference systems, searches.

One experiment per dataset, one parent run per pipeline run, one child run per fitted family.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from digits.experiments.candidate import Candidate
from digits.experiments.logged_model import create_logged_model, finalize, logged_model_of
from digits.experiments.store import Store
from digits.experiments.tags import (
    CANDIDATE_FOLDER,
    KIND_CANDIDATE,
    KIND_PIPELINE,
    KIND_REFERENCE,
    KIND_TRIAL,
    KIND_TUNING,
    METRIC_FIT_SECONDS,
    TAG_DESCRIPTION,
    TAG_DIGEST,
    TAG_FAMILY,
    TAG_FINGERPRINT,
    TAG_IMPORTED,
    TAG_KIND,
    TAG_MEMBERS,
    TAG_NOTE,
    TAG_PARENT,
    TAG_PROBA,
    TAG_SNAPSHOT,
    TAG_SPLIT,
)

if TYPE_CHECKING:
    from digits.data.snapshot import Snapshot
    from digits.experiments.assessment import Assessment
    from digits.experiments.fingerprint import Fingerprint

__all__ = ["Tracking"]

#: MLflow refuses a dataset's digest of more than 36 characters.
_DIGEST_CHARACTERS = 32

#: What a run does with rows: all but the test rows are learnt from; the snapshot as a whole is named.
_TRAINING, _TESTING = "training", "testing"


class Tracking(Store):
    """The experiment of one dataset, with what is logged onto its runs."""

    def start_pipeline_run(self, *, snapshot: Snapshot, split_digest: str, tags: Mapping[str, str]) -> str:
        """Start the parent run of one pipeline run and return its id."""
        run = self.create_run(
            f"{self.dataset} {time.strftime('%Y-%m-%d %H:%M:%S')}",
            tags={TAG_KIND: KIND_PIPELINE, TAG_SNAPSHOT: snapshot.digest, TAG_SPLIT: split_digest, **tags},
        )
        self._log_dataset(run.info.run_id, snapshot=snapshot)
        return str(run.info.run_id)

    def start_candidate_run(
        self,
        *,
        parent: str | None,
        snapshot: Snapshot,
        n_samples: int,
        fingerprint: Fingerprint,
        tags: Mapping[str, str],
    ) -> str:
        """Start the run of one family, below its pipeline's if it has one, and return its id.

        Parameters
        ----------
        parent
            The pipeline's run.
        snapshot, n_samples
            The dataset, and how many of its rows there are to learn from and to validate on.
        fingerprint
            Of the candidate.
        tags
            Further tags.
        """
        run = self.create_run(
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
        self._log_rows(run_id, part="development", digest=fingerprint.data, n_samples=n_samples, context=_TRAINING)
        return run_id

    def log_candidate(self, candidate: Candidate, *, run_id: str) -> None:
        """Log what a fit gave onto its run; the fit can be recalled once the run is finished."""
        from mlflow.entities import Metric

        model_id = create_logged_model(self.client, run_id, name=candidate.family, files=CANDIDATE_FOLDER)
        figures = {f"validation_{name}": value for name, value in candidate.validation.flat().items()}
        figures[METRIC_FIT_SECONDS] = candidate.fit_seconds
        if folds := candidate.cross_validation:
            figures |= zip(("cross_validation_mean", "cross_validation_deviation"), folds, strict=True)
        self._log_figures(run_id, figures, context=_TRAINING)
        now = int(time.time() * 1000)
        for curve, values in candidate.history.items():
            points = [Metric(f"epochs/{curve}", value, now, step) for step, value in enumerate(values, start=1)]
            self.client.log_batch(run_id, metrics=points)
        self.client.log_artifacts(run_id, str(candidate.path), CANDIDATE_FOLDER)
        self.client.set_tag(run_id, TAG_DIGEST, candidate.digest)
        self.client.set_tag(run_id, TAG_PROBA, candidate.proba_digest)
        self.client.set_tag(run_id, TAG_DESCRIPTION, candidate.description_digest)
        finalize(self.client, model_id)

    def import_candidate(
        self, candidate: Candidate, *, snapshot: Snapshot, n_samples: int, tags: Mapping[str, str]
    ) -> Candidate:
        """Log a candidate that was fitted out of this server's sight, and return it as remembered by the new run."""
        origin = {TAG_IMPORTED: candidate.run_id or "never logged"}
        run_id = self.start_candidate_run(
            parent=None,
            snapshot=snapshot,
            n_samples=n_samples,
            fingerprint=candidate.fingerprint,
            tags={**tags, **origin},
        )
        with self.finishing(run_id):
            self.log_candidate(candidate, run_id=run_id)
        return replace(candidate, run_id=run_id)

    def log_evaluation(self, run_id: str, *, assessment: Assessment, folders: Iterable[Path]) -> None:
        """Log a candidate's test figures, its cost, and the folders of its scores and plots onto its run.

        A group of handwriting that no test image is in has no accuracy.
        """
        figures = {f"test_{name}": value for name, value in assessment.metrics.flat().items()}
        figures |= {f"cost_{name}": value for name, value in assessment.cost.as_dict().items()}
        for item in (each for each in assessment.conditions if each.n_samples):
            section = "handwriting" if item.is_handwriting else "robustness"
            figures[f"{section}/{item.kind.replace(' ', '_')}_{item.level}"] = item.accuracy
        split, n_samples = self.client.get_run(run_id).data.tags[TAG_SPLIT], assessment.metrics.n_samples
        self._log_rows(run_id, part="test", digest=split, n_samples=n_samples, context=_TESTING)
        self._log_figures(run_id, figures, context=_TESTING)
        for folder in folders:
            self.client.log_artifacts(run_id, str(folder), folder.parent.name)  # `scores` or `plots`, as it lies here

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

        The note, in Markdown, is what people read first on the run.
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

    def start_reference_run(
        self, name: str, *, params: Mapping[str, Any], snapshot: Snapshot, tags: Mapping[str, str]
    ) -> str:
        """Start the run of a reference system that is done again and return its id."""
        from mlflow.entities import Param

        run = self.create_run(name, tags={TAG_KIND: KIND_REFERENCE, TAG_SNAPSHOT: snapshot.digest, **tags})
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

    def start_tuning_run(self, family: str, *, snapshot: Snapshot, tags: Mapping[str, str]) -> str:
        """Start the parent run of a search for a family's hyper-parameters and return its id."""
        run = self.create_run(
            f"{family} {time.strftime('%Y-%m-%d %H:%M:%S')}",
            tags={TAG_KIND: KIND_TUNING, TAG_FAMILY: family, TAG_SNAPSHOT: snapshot.digest, **tags},
        )
        self._log_dataset(run.info.run_id, snapshot=snapshot)
        return str(run.info.run_id)

    @contextmanager
    def trial(self, number: int, *, params: Mapping[str, Any], parent: str) -> Iterator[dict[str, float]]:
        """Make a run of one trial below its search; the figures that the block puts into the dictionary are logged."""
        from mlflow.entities import Metric, Param

        run = self.create_run(f"trial {number}", tags={TAG_KIND: KIND_TRIAL, TAG_PARENT: parent})
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

    def _log_figures(self, run_id: str, figures: Mapping[str, float], *, context: str) -> None:
        """Log figures onto a run and onto its model, where they are linked to the rows that it has as `context`."""
        from mlflow.entities import Metric

        run, now = self.client.get_run(run_id), int(time.time() * 1000)
        data = next(item.dataset for item in run.inputs.dataset_inputs if context in {tag.value for tag in item.tags})
        linked = {"model_id": logged_model_of(run), "dataset_name": data.name, "dataset_digest": data.digest}
        metrics = [Metric(name, value, now, 0, **linked) for name, value in figures.items()]
        self.client.log_batch(run_id, metrics=metrics)

    def _log_dataset(self, run_id: str, *, snapshot: Snapshot) -> None:
        dataset, digest = snapshot.dataset, snapshot.digest  # the reference systems have an experiment of their own
        self._log_rows(run_id, dataset=dataset, digest=digest, n_samples=snapshot.n_samples, context=_TRAINING)

    def _log_rows(
        self, run_id: str, *, digest: str, n_samples: int, context: str, part: str = "", dataset: str = ""
    ) -> None:
        """Log that a run has read rows of the dataset, all or those of a part; once is enough."""
        from mlflow.entities import Dataset, DatasetInput, InputTag
        from mlflow.exceptions import MlflowException

        dataset = dataset or self.dataset
        described = Dataset(
            name=f"{dataset} {part}".strip(),
            digest=digest[:_DIGEST_CHARACTERS],
            source_type="dvc",
            source=f'{{"path": "data/snapshots/{dataset}"}}',
            profile=f'{{"num_rows": {n_samples}}}',
        )
        given = [DatasetInput(described, [InputTag("mlflow.data.context", context)])]
        try:
            self.client.log_inputs(run_id, given)
        except MlflowException as error:
            # Of several that are the first to tell of a dataset, all but one are refused; by now it is known.
            if error.error_code != "BAD_REQUEST":
                raise
            self.client.log_inputs(run_id, given)
