"""One registered version: a reference to it, and its files held against their digest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from digits.errors import MissingError, ServerError
from digits.experiments.connection import holds_nothing
from digits.experiments.tags import TAG_DIGEST, TAG_FAMILY, TAG_FINGERPRINT, TAG_SNAPSHOT, TAG_SPLIT
from digits.models import artifact
from digits.registry.packaging import MODEL_FILES, Package, digest_of_package
from digits.registry.stages import ARCHIVED, NONE, PRODUCTION, STAGING, TAG_STAGE

if TYPE_CHECKING:
    from digits.data.snapshot import Snapshot
    from digits.experiments.candidate import Candidate
    from digits.registry.gate import Decision

__all__ = ["ModelVersion", "brought", "tags_of"]

TAG_GATE, TAG_THREADS, TAG_PACKAGE, TAG_CODE = "gate", "threads", "package.sha256", "code.sha256"


@dataclass(frozen=True)
class ModelVersion:
    """Reference to a registered version.

    Attributes
    ----------
    name
        ``DATASET-classifier``.
    version
        Its number.
    family
        The family of the model.
    digest
        SHA-256 over the model's files when it was registered.
    package
        SHA-256 over all files by which MLflow serves it, its code among them, when it was registered.
    run_id
        The run of the candidate that it came from.
    aliases
        ``production``, ``staging``, or neither.
    stage
        ``Production``, ``Staging``, ``Archived`` or ``None``, as people who browse see it.
    threads
        How many its family predicts with.
    split
        Digest of the split that it was fitted on.
    fingerprint
        Digest of the fingerprint of the candidate that it came from.
    code
        Digest of the code that reads its files and predicts, when it was registered.
    created
        Milliseconds since 1970.
    """

    name: str
    version: int
    family: str
    digest: str
    package: str
    run_id: str
    aliases: tuple[str, ...]
    stage: str = NONE
    threads: int = 1
    split: str = ""
    fingerprint: str = ""
    code: str = ""
    created: int = 0

    @classmethod
    def of(cls, found: Any, *, holders: Mapping[str, int] | None = None) -> Self:
        """Return the reference to what MLflow says of a version.

        Parameters
        ----------
        found
            What MLflow says.
        holders
            Alias → the version that has it: in search results MLflow says of no version which aliases it has.
        """
        number = int(found.version)
        held = found.aliases if holders is None else [alias for alias, holder in holders.items() if holder == number]
        return cls(
            name=str(found.name),
            version=number,
            family=found.tags.get(TAG_FAMILY, ""),
            digest=found.tags.get(TAG_DIGEST, ""),
            package=found.tags.get(TAG_PACKAGE, ""),
            run_id=str(found.run_id),
            aliases=tuple(sorted({PRODUCTION, STAGING}.intersection(held))),
            stage=found.tags.get(TAG_STAGE, NONE),
            threads=int(found.tags.get(TAG_THREADS, 1)),
            split=found.tags.get(TAG_SPLIT, ""),
            fingerprint=found.tags.get(TAG_FINGERPRINT, ""),
            code=found.tags.get(TAG_CODE, ""),
            created=int(found.creation_timestamp),
        )

    @property
    def dataset(self) -> str:
        """Name of the dataset."""
        return self.name.removesuffix("-classifier")

    def __str__(self) -> str:
        """Return the version as people write it."""
        archived = " (archived)" if self.stage == ARCHIVED and not self.aliases else ""
        return f"{self.name} version {self.version}" + "".join(f" @{alias}" for alias in self.aliases) + archived


def tags_of(candidate: Candidate, *, snapshot: Snapshot, package: Package, decision: Decision) -> dict[str, str]:
    """Return the tags by which a version tells what it is, and which `ModelVersion.of` reads.

    Parameters
    ----------
    candidate, snapshot
        What it is made of.
    package
        The files by which MLflow serves it.
    decision
        What the gate says of it.
    """
    return {
        TAG_FAMILY: candidate.family,
        TAG_FINGERPRINT: candidate.fingerprint.digest,
        TAG_DIGEST: candidate.digest,
        TAG_PACKAGE: package.digest,
        TAG_CODE: package.code,
        TAG_SNAPSHOT: snapshot.digest,
        TAG_SPLIT: candidate.fingerprint.data,
        TAG_THREADS: str(candidate.fingerprint.params["threads"]),
        TAG_GATE: "passed" if decision.passed else f"failed: {decision.reason}",
    }


def brought(version: ModelVersion, *, address: str, work: str | None, whole: bool = False) -> Path:
    """Bring a version's files and return the folder of its model, whose digest is the registered one.

    Parameters
    ----------
    version
        The version.
    address
        Where its files lie.
    work
        Folder for a download; None to look at a folder of this machine where it is.
    whole
        Bring and check also the code by which MLflow serves it.

    Raises
    ------
    MissingError
        The files are gone, or are not those that were registered.
    ServerError
        They cannot be read.
    """
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    mend = f"register it again with `digits run {version.dataset}`"
    place = address if whole else f"{address}/{MODEL_FILES}"
    try:
        folder = Path(download_artifacts(place, dst_path=work))
        model = folder / MODEL_FILES if whole else folder
        found = {version.digest: artifact.digest(model)}
        if whole:
            found[version.package] = digest_of_package(folder)
    except MissingError as error:
        raise MissingError(f"the files of {version} are missing; {mend}") from error
    except (MlflowException, OSError) as error:
        if holds_nothing(place):
            raise MissingError(f"the files of {version} are missing; {mend}") from error
        raise ServerError(
            f"the files of {version} cannot be read ({error}); is the server of MLFLOW_TRACKING_URI there, and the "
            "store of its artifacts?"
        ) from error
    for wanted, digest in found.items():
        if digest != wanted:
            raise MissingError(
                f"the files of {version} were changed: SHA-256 {digest[:12]}, wanted {wanted[:12]}; {mend}"
            )
    return model
