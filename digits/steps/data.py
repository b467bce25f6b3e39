"""The steps that DVC remembers: ingest, validate, split."""

from __future__ import annotations

import tempfile
from pathlib import Path

from digits.data.contract import validate as validate_snapshot
from digits.data.report import ValidationReport
from digits.data.snapshot import Snapshot
from digits.data.sources import ingest as ingest_source
from digits.data.split import Split
from digits.data.split import split as split_snapshot
from digits.errors import ContractViolation, MissingError
from digits.files import only_one
from digits.project import Project
from digits.settings import Settings

__all__ = ["foreseen", "ingest", "is_validated", "load_split", "split", "validate"]


def ingest(project: Project, dataset: str, *, settings: Settings) -> Snapshot:
    """Ingest a dataset from its source into a snapshot."""
    params = project.params(dataset).ingest
    with only_one(project.lock(dataset, "data")):
        return ingest_source(
            params,
            dataset=dataset,
            path=project.snapshot(dataset),
            root=project.root,
            mnist_dir=settings.mnist_dir,
            downloads=project.state / "downloads",
        )


def validate(project: Project, dataset: str) -> ValidationReport:
    """Hold a dataset's snapshot against its contract."""
    with only_one(project.lock(dataset, "data")):
        return validate_snapshot(
            Snapshot.load(project.snapshot(dataset)),
            params=project.params(dataset).validate_,
            path=project.validation(dataset),
            docs=project.docs(dataset),
            quarantine=project.quarantine(dataset),
        )


def split(project: Project, dataset: str) -> Split:
    """Split a dataset's validated snapshot."""
    snapshot = Snapshot.load(project.snapshot(dataset))
    checked = ValidationReport.load(project.validation(dataset))
    if not _holds(checked, project, snapshot):
        raise MissingError(
            f"snapshot {snapshot.digest[:12]} of {dataset} is not known to keep its contract; "
            f"run `digits validate {dataset}`"
        )
    with only_one(project.lock(dataset, "data")):
        return split_snapshot(
            snapshot,
            params=project.params(dataset).split,
            path=project.split(dataset),
            excluded=[aside.row for aside in checked.quarantined],
        )


def foreseen(project: Project, dataset: str, *, settings: Settings, new_source: bool) -> Split:
    """Return the split that the data steps would give now; they are done in a folder that nothing is left of.

    Parameters
    ----------
    project, dataset
        Whose.
    settings
        Where the source's files may lie.
    new_source
        Whether the images are to be ingested; else they are those of the snapshot that is there.

    Raises
    ------
    SourceError, ContractViolation
        A step would end the run.
    """
    params = project.params(dataset)
    with tempfile.TemporaryDirectory(prefix="digits-") as folder:
        work = Path(folder)
        if new_source:
            snapshot = ingest_source(
                params.ingest,
                dataset=dataset,
                path=work / "snapshot",
                root=project.root,
                mnist_dir=settings.mnist_dir,
                downloads=project.state / "downloads",
            )
        else:
            snapshot = Snapshot.load(project.snapshot(dataset))
        try:
            checked = validate_snapshot(
                snapshot, params=params.validate_, path=work / "report", docs=work / "docs", quarantine=work / "aside"
            )
        except ContractViolation as error:
            broken = str(error).partition("; see ")[0]
            raise ContractViolation(f"a run would end here: {broken}; run `digits validate {dataset}`") from error
        excluded = [aside.row for aside in checked.quarantined]
        return split_snapshot(snapshot, params=params.split, path=work / "split", excluded=excluded)


def load_split(project: Project, dataset: str) -> Split:
    """Return the split that `split` wrote."""
    return Split.load(project.split(dataset), snapshot=Snapshot.load(project.snapshot(dataset)))


def is_validated(project: Project, snapshot: Snapshot) -> bool:
    """Return whether a snapshot is known to keep the contract that params.yaml states now."""
    try:
        return _holds(ValidationReport.load(project.validation(snapshot.dataset)), project, snapshot)
    except MissingError:
        return False


def _holds(checked: ValidationReport, project: Project, snapshot: Snapshot) -> bool:
    wanted = project.params(snapshot.dataset).validate_.model_dump(mode="json")
    return checked.success and (checked.snapshot, checked.params) == (snapshot.digest, wanted)
