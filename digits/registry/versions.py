"""Registered versions of a dataset's classifier; every call to MLflow's registry stands here.

The alias is the truth about which version serves; the tag ``stage`` repeats it for people who browse.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from digits.errors import MissingError, ServerError
from digits.experiments.connection import holds_nothing
from digits.experiments.leaderboard import Row
from digits.experiments.tracking import TAG_DIGEST, TAG_FAMILY, TAG_FINGERPRINT, TAG_SNAPSHOT, Tracking
from digits.models import artifact
from digits.registry.card import model_card
from digits.registry.gate import Decision
from digits.registry.packaging import ARTIFACT, log_model

if TYPE_CHECKING:
    from digits.data.snapshot import Snapshot

__all__ = ["PRODUCTION", "STAGING", "ModelVersion", "Registry"]

log = logging.getLogger(__name__)

PRODUCTION, STAGING = "production", "staging"
CARD = "model_card.md"
TAG_STAGE, TAG_GATE = "stage", "gate"


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
    run_id
        The run of the candidate that it came from.
    aliases
        ``production``, ``staging``, or neither.
    """

    name: str
    version: int
    family: str
    digest: str
    run_id: str
    aliases: tuple[str, ...]

    def __str__(self) -> str:
        """Return the version as people write it."""
        return f"{self.name} version {self.version}" + "".join(f" @{alias}" for alias in self.aliases)


class Registry:
    """The registered model of one dataset.

    Parameters
    ----------
    tracking
        The dataset's experiment; the registry lives on the same server.
    """

    def __init__(self, tracking: Tracking) -> None:
        self._client = tracking.client
        self.dataset = tracking.dataset
        self.name = f"{tracking.dataset}-classifier"

    def register(self, row: Row, *, snapshot: Snapshot, decision: Decision, tags: Mapping[str, str]) -> ModelVersion:
        """Make a candidate a version, unless it is one already.

        The version becomes ``@production`` when there is none and the gate is passed, else ``@staging``. A version
        whose files are damaged or gone is replaced by a new one, which serves where the old one did.

        Parameters
        ----------
        row
            The candidate with its test metrics.
        snapshot
            What it was fitted on.
        decision
            The gate's answer.
        tags
            Further tags: the git commit, …

        Raises
        ------
        MissingError
            The candidate's own files are damaged.
        ServerError
            The files of a version cannot be read, whether they are damaged or not.
        """
        known = self._with_fingerprint(row.candidate.fingerprint.digest)
        version = next(filter(self._is_intact, known), None)
        if version is None:
            version = self._create(row, snapshot=snapshot, decision=decision, tags=tags)
        if PRODUCTION in version.aliases:
            return version
        replaces = any(PRODUCTION in damaged.aliases for damaged in known)
        if replaces or (decision.passed and self._alias(PRODUCTION) is None):
            return self._hold(version, PRODUCTION)
        return version if version.aliases else self._hold(version, STAGING)

    def _create(self, row: Row, *, snapshot: Snapshot, decision: Decision, tags: Mapping[str, str]) -> ModelVersion:
        if fault := row.candidate.fault():
            family = row.candidate.family
            raise MissingError(
                f"the candidate of {family} cannot be registered: {fault}; run `digits fit {self.dataset} {family}`"
            )
        source, model_id = log_model(row, snapshot=snapshot, client=self._client)
        self._ensure_model()
        card = model_card(row, snapshot=snapshot, decision=decision, name=self.name)
        self._client.log_text(row.candidate.run_id, card, CARD)
        created = self._client.create_model_version(
            self.name,
            source=source,
            run_id=row.candidate.run_id,
            model_id=model_id,
            description=card,
            tags={
                TAG_FAMILY: row.candidate.family,
                TAG_FINGERPRINT: row.candidate.fingerprint.digest,
                TAG_DIGEST: row.candidate.digest,
                TAG_SNAPSHOT: snapshot.digest,
                TAG_GATE: "passed" if decision.passed else f"failed: {decision.reason}",
                **tags,
            },
        )
        return self._reference(created)

    def _hold(self, version: ModelVersion, alias: str) -> ModelVersion:
        """Give `version` the alias, and repeat it in the tag for people who browse."""
        number, holder = str(version.version), self._alias(alias)
        if holder is not None:
            self._client.delete_model_version_tag(self.name, str(holder.version), TAG_STAGE)
        self._client.set_registered_model_alias(self.name, alias, number)
        self._client.set_model_version_tag(self.name, number, TAG_STAGE, alias.capitalize())
        if alias == PRODUCTION and STAGING in version.aliases:
            self._client.delete_registered_model_alias(self.name, STAGING)
        log.info("%s version %s is @%s", self.name, number, alias)
        return self._reference(self._client.get_model_version(self.name, number))

    def serving(self) -> ModelVersion:
        """Return the version that holds ``@production``.

        Raises
        ------
        MissingError
            No version does.
        """
        version = self._alias(PRODUCTION)
        if version is not None:
            return version
        waiting = self._alias(STAGING)
        found = f"only {waiting}, which did not clear the gate" if waiting else "no version at all"
        raise MissingError(
            f"no production version of {self.name}: found {found}; run `digits run {self.dataset}` "
            "with params that clear the gate (section `register` in params.yaml)"
        )

    def source_runs(self) -> set[str]:
        """Return the runs of the candidates that versions came from."""
        token, found = None, set()
        while True:
            page = self._client.search_model_versions(f"name = '{self.name}'", page_token=token)
            found |= {str(version.run_id) for version in page}
            if not (token := page.token):
                return found

    def load(self, version: ModelVersion) -> Any:
        """Return the fitted estimator of a version, after its files were held against the registered digest.

        Raises
        ------
        MissingError
            The files are gone, or are not those that were registered.
        ServerError
            They cannot be read.
        """
        with tempfile.TemporaryDirectory() as work:
            return artifact.load(self._files(version, work=work))

    def _files(self, version: ModelVersion, *, work: str) -> Path:
        """Return the folder of a version's files, whose digest is the registered one; `work` is for a download."""
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException

        mend = f"register it again with `digits run {self.dataset}`"
        files = self._client.get_model_version_download_uri(self.name, str(version.version))
        address = f"{files}/artifacts/{ARTIFACT}"
        try:
            folder = Path(download_artifacts(address, dst_path=work))
            found = artifact.digest(folder)
        except MissingError as error:
            raise MissingError(f"the files of {version} are missing; {mend}") from error
        except (MlflowException, OSError) as error:
            if holds_nothing(address):
                raise MissingError(f"the files of {version} are missing; {mend}") from error
            raise ServerError(
                f"the files of {version} cannot be read ({error}); is the server of MLFLOW_TRACKING_URI there, and the "
                "store of its artifacts?"
            ) from error
        if found != version.digest:
            raise MissingError(
                f"the files of {version} were changed: SHA-256 {found[:12]}, wanted {version.digest[:12]}; {mend}"
            )
        return folder

    def _is_intact(self, version: ModelVersion) -> bool:
        try:
            with tempfile.TemporaryDirectory() as work:
                self._files(version, work=work)
        except MissingError as error:
            log.warning("%s", error)
            return False
        return True

    def _ensure_model(self) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(self.name, description=f"Reads images like those of {self.dataset}.")
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _alias(self, alias: str) -> ModelVersion | None:
        from mlflow.exceptions import MlflowException

        try:
            return self._reference(self._client.get_model_version_by_alias(self.name, alias))
        except MlflowException as error:
            if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                return None
            raise

    def _with_fingerprint(self, fingerprint: str) -> list[ModelVersion]:
        """Return the versions of that candidate: the one that serves first, then the newest first."""
        found = self._client.search_model_versions(
            f"name = '{self.name}' and tags.`{TAG_FINGERPRINT}` = '{fingerprint}'"
        )
        numbers = sorted((int(item.version) for item in found), reverse=True)
        versions = [self._reference(self._client.get_model_version(self.name, str(number))) for number in numbers]
        return sorted(versions, key=lambda version: PRODUCTION not in version.aliases)

    def _reference(self, found: Any) -> ModelVersion:
        # A version's own list of aliases is empty in search results; the registered model's is right.
        aliases = self._client.get_registered_model(self.name).aliases
        return ModelVersion(
            name=self.name,
            version=int(found.version),
            family=found.tags.get(TAG_FAMILY, ""),
            digest=found.tags.get(TAG_DIGEST, ""),
            run_id=found.run_id,
            aliases=tuple(sorted(alias for alias, number in aliases.items() if int(number) == int(found.version))),
        )
