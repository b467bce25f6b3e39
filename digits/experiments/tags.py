"""Names that runs in MLflow carry: tags and their values, folders of artifacts, metrics that are asked for."""

from __future__ import annotations

TAG_FINGERPRINT, TAG_DIGEST, TAG_FAMILY, TAG_KIND = "fingerprint", "artifact.sha256", "family", "kind"
TAG_PROBA, TAG_DESCRIPTION = "validation_proba.sha256", "candidate.sha256"
TAG_PROCESS, TAG_IMPORTED, TAG_GARBAGE = "process", "imported", "garbage"
TAG_NOTE = "mlflow.note.content"
TAG_SNAPSHOT, TAG_SPLIT = "snapshot.digest", "split.digest"
TAG_PARENT, TAG_MEMBERS, TAG_EVALUATED = "mlflow.parentRunId", "members", "evaluated"
KIND_PIPELINE, KIND_CANDIDATE, KIND_REFERENCE = "pipeline", "candidate", "reference"
KIND_TUNING, KIND_TRIAL = "tuning", "trial"
CANDIDATE_FOLDER = "candidate"
METRIC_FIT_SECONDS = "fit_seconds"
