"""Candidates brought back from what MLflow remembers, each held against the digests that were recorded.

Reads; what writes to MLflow is `digits.experiments.tracking`.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from digits.errors import MissingError
from digits.experiments.candidate import DESCRIPTION, Candidate
from digits.experiments.tags import (
    CANDIDATE_FOLDER,
    KIND_CANDIDATE,
    TAG_DESCRIPTION,
    TAG_DIGEST,
    TAG_FINGERPRINT,
    TAG_KIND,
    TAG_PROBA,
)
from digits.experiments.tracking import Tracking
from digits.files import replaced_folder

if TYPE_CHECKING:
    from mlflow.entities import Run

    from digits.experiments.fingerprint import Fingerprint

__all__ = ["Recalled", "fetch", "is_intact", "logged_fingerprint", "recall"]


class Recalled(NamedTuple):
    """What MLflow remembers under a fingerprint.

    Attributes
    ----------
    candidate
        The candidate, whole and in its folder; None when it has to be fitted.
    fault
        What was wrong with the files where it was looked for; empty when nothing was.
    """

    candidate: Candidate | None
    fault: str


def recall(tracking: Tracking, fingerprint: str, *, path: Path) -> Recalled:
    """Return the candidate with this fingerprint if a finished run remembers it.

    The folder `path` is used when it holds that candidate undamaged; otherwise the run's artifacts take its place,
    once they are known to be whole.
    """
    fault = _fault(path, fingerprint=fingerprint)
    finished = f"tags.`{TAG_FINGERPRINT}` = '{fingerprint}' and attributes.status = 'FINISHED'"
    runs = {str(run.info.run_id): run.data.tags for run in tracking.search(finished)}
    for run_id, tags in runs.items():  # before anything is brought: what lies there whole is not written over
        if (candidate := _intact(path, tags=tags)) is not None:
            return Recalled(replace(candidate, run_id=run_id), fault)
    for run_id, tags in runs.items():
        with TemporaryDirectory() as work:
            copy = Path(work) / CANDIDATE_FOLDER
            if tracking.download(run_id, path=copy) and (candidate := _intact(copy, tags=tags)) is not None:
                with replaced_folder(path) as new:
                    shutil.copytree(copy, new, dirs_exist_ok=True)
                return Recalled(replace(candidate, path=path, run_id=run_id), fault)
        fault = f"missing or damaged in its folder and in run {run_id}"
    return Recalled(None, fault)


def fetch(tracking: Tracking, run_id: str, *, path: Path) -> tuple[Candidate, Mapping[str, str]]:
    """Bring the candidate that a run holds into the folder `path`; return it and the run's tags.

    Raises
    ------
    MissingError
        The run is no fit, or it has lost its candidate.
    """
    tags: Mapping[str, str] = tracking.client.get_run(run_id).data.tags
    if tags.get(TAG_KIND) != KIND_CANDIDATE:
        raise MissingError(f"run {run_id} is no fit of a family but {tags.get(TAG_KIND, 'another kind of run')}")
    if not tracking.download(run_id, path=path):
        raise MissingError(f"run {run_id} has lost its candidate")
    candidate = Candidate.load(path)
    if fault := candidate.fault() or ("" if _is_recorded(candidate, tags=tags) else f"its {DESCRIPTION} was changed"):
        raise MissingError(f"the candidate of run {run_id} is no longer what it was: {fault}")
    return candidate, tags


def is_intact(tracking: Tracking, run: Run, *, path: Path) -> bool:
    """Return whether the folder `path` or the run's artifacts hold the run's candidate undamaged.

    Asks what `recall` asks, but leaves `path` as it is.
    """
    tags = run.data.tags
    if _intact(path, tags=tags) is not None:
        return True
    with TemporaryDirectory() as work:
        copy = Path(work) / CANDIDATE_FOLDER
        return tracking.download(run.info.run_id, path=copy) and _intact(copy, tags=tags) is not None


def logged_fingerprint(tracking: Tracking, run: Run) -> Fingerprint | None:
    """Return the fingerprint that a fit's run holds with all its components; None when the run lost it."""
    from mlflow.exceptions import MlflowException

    with TemporaryDirectory() as work:
        try:
            file = tracking.client.download_artifacts(run.info.run_id, f"{CANDIDATE_FOLDER}/{DESCRIPTION}", work)
            return Candidate.load(Path(file).parent).fingerprint
        except (MlflowException, OSError, MissingError):
            return None


def _intact(path: Path, *, tags: Mapping[str, str]) -> Candidate | None:
    """Return the candidate in a folder if it is, undamaged, the one that a run with these tags remembers."""
    try:
        candidate = Candidate.load(path)
    except MissingError:
        return None
    return candidate if _is_recorded(candidate, tags=tags) and not candidate.fault() else None


def _is_recorded(candidate: Candidate, *, tags: Mapping[str, str]) -> bool:
    recorded = [tags.get(name) for name in (TAG_FINGERPRINT, TAG_DESCRIPTION, TAG_DIGEST, TAG_PROBA)]
    found = (candidate.fingerprint.digest, candidate.description_digest, candidate.digest, candidate.proba_digest)
    return recorded == list(found)


def _fault(path: Path, *, fingerprint: str) -> str:
    """Return what is wrong with the candidate in a folder; nothing is with one of another fingerprint."""
    try:
        candidate = Candidate.load(path)
    except MissingError:
        return "its description is missing or damaged" if path.exists() else ""
    return candidate.fault() if candidate.fingerprint.digest == fingerprint else ""
