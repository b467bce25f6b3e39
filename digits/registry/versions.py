"""Registered versions of a dataset's classifier: making them, finding them, and loading their files.

Every call to MLflow's registry stands here and in ``stages``.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from digits.errors import MissingError, ParamsError
from digits.experiments.leaderboard import Row
from digits.experiments.tags import TAG_FINGERPRINT
from digits.experiments.tracking import Tracking
from digits.registry.card import model_card
from digits.registry.gate import Decision
from digits.registry.history import differences
from digits.registry.ledger import EXPERIMENT, Ledger
from digits.registry.loading import has_other_code, loaded
from digits.registry.packaging import log_model
from digits.registry.stages import ARCHIVED, NO_SUCH, PRODUCTION, STAGING, Stages
from digits.registry.version import ModelVersion, brought, tags_of

if TYPE_CHECKING:
    from digits.data.snapshot import Snapshot

__all__ = ["PRODUCTION", "STAGING", "ModelVersion", "Registry"]

log = logging.getLogger(__name__)

CARD = "model_card.md"


class Registry:
    """The registered model of one dataset.

    Parameters
    ----------
    tracking
        The dataset's experiment; the registry lives on the same server.
    """

    def __init__(self, tracking: Tracking) -> None:
        if tracking.dataset == EXPERIMENT:
            raise ParamsError(f"no dataset may be called {EXPERIMENT!r}: so is the ledger of the registry")
        self._tracking = tracking
        self._client = tracking.client
        self.dataset = tracking.dataset
        self.name = f"{tracking.dataset}-classifier"
        self.stages = Stages(tracking.client, self.name)

    @cached_property
    def ledger(self) -> Ledger:
        """What was done with the versions, when and by whom."""
        return Ledger(self._tracking)

    def intact(self, fingerprint: str) -> tuple[ModelVersion | None, list[ModelVersion]]:
        """Return the version of a candidate whose files are whole, and those before it whose files are not.

        Raises
        ------
        ServerError
            The files of a version cannot be read, whether they are damaged or not.
        """
        damaged: list[ModelVersion] = []
        for version in self._with_fingerprint(fingerprint):
            if not (fault := self.fault(version)):
                return version, damaged
            log.warning("%s", fault)
            damaged.append(version)
        return None, damaged

    def create(
        self, row: Row, *, snapshot: Snapshot, n_label_errors: int, decision: Decision, tags: Mapping[str, str]
    ) -> ModelVersion:
        """Make a candidate a version, in no stage yet.

        Parameters
        ----------
        row
            The candidate with its test metrics.
        snapshot
            What it was fitted on.
        n_label_errors
            How many test rows are known to have a wrong label.
        decision
            What the gate says of its own figures.
        tags
            Further tags: the git commit, …

        Raises
        ------
        MissingError
            The candidate's own files are damaged.
        """
        if fault := row.candidate.fault():
            family = row.candidate.family
            raise MissingError(
                f"the candidate of {family} cannot be registered: {fault}; run `digits fit {self.dataset} {family}`"
            )
        package = log_model(row, snapshot=snapshot, client=self._client)
        self._ensure_model()
        card = model_card(row, snapshot=snapshot, n_label_errors=n_label_errors, decision=decision, name=self.name)
        self._client.log_text(row.candidate.run_id, card, CARD)
        created = self._client.create_model_version(
            self.name,
            source=package.source,
            run_id=row.candidate.run_id,
            model_id=package.model_id,
            description=card,
            tags={**tags_of(row.candidate, snapshot=snapshot, package=package, decision=decision), **tags},
        )
        return ModelVersion.of(created)

    def serving(self) -> ModelVersion:
        """Return the version that holds ``@production``.

        Raises
        ------
        MissingError
            No version does.
        """
        if serves := self.holding(PRODUCTION):
            return serves
        there = self.versions()
        if not there:
            raise MissingError(
                f"no production version of {self.name}: found no version at all; run `digits run {self.dataset}`"
            )
        newest = next((version for version in there if version.aliases), there[0])
        which = "" if newest.aliases else f" --version {newest.version}"
        raise MissingError(
            f"no production version of {self.name}: found only {newest}; "
            f"`digits registry promote {self.dataset}{which}` says what the gate wants of it"
        )

    def holding(self, alias: str) -> ModelVersion | None:
        """Return the version that holds an alias; None where none does, or nothing is registered."""
        from mlflow.exceptions import MlflowException

        try:
            return ModelVersion.of(self._client.get_model_version_by_alias(self.name, alias))
        except MlflowException as error:
            if error.error_code not in NO_SUCH:
                raise
            return None

    def version(self, number: int) -> ModelVersion:
        """Return a version by its number.

        Raises
        ------
        MissingError
            There is none of that number.
        """
        from mlflow.exceptions import MlflowException

        try:
            return ModelVersion.of(self._client.get_model_version(self.name, str(number)))
        except MlflowException as error:
            if error.error_code not in NO_SUCH:
                raise
            there = ", ".join(str(item.version) for item in self.versions()) or "none"
            raise MissingError(f"no version {number} of {self.name}; there are {there}") from error

    def versions(self) -> list[ModelVersion]:
        """Return all versions, the newest first."""
        holders = self.stages.holders()
        found = [ModelVersion.of(item, holders=holders) for item in self._search(f"name = '{self.name}'")]
        return sorted(found, key=lambda version: version.version, reverse=True)

    def is_archived(self, version: ModelVersion) -> bool:
        """Return whether the candidate of a version was taken out of use, under this number or another one."""
        return any(other.stage == ARCHIVED for other in self._with_fingerprint(version.fingerprint))

    def source_runs(self) -> set[str]:
        """Return the runs of the candidates that versions came from."""
        return {version.run_id for version in self.versions()}

    @contextmanager
    def load(self, version: ModelVersion) -> Iterator[Any]:
        """Yield the fitted estimator of a version, after its files were held against the registered digest.

        It predicts by the code that the version was registered with; see ``loading``. A warning says so where the
        version has an alias that the ledger does not know of.

        Raises
        ------
        MissingError
            The files are gone, or are not those that were registered.
        ServerError
            They cannot be read.
        """
        self.warn_of_aliases()
        with self.files(version) as folder, loaded(version, folder) as estimator:
            yield estimator

    def warn_of_aliases(self) -> None:
        """Warn of each alias that is not where the ledger says."""
        for fault in self.moved_by_hand():
            log.warning("%s", fault)

    def moved_by_hand(self) -> list[str]:
        """Return a line for each alias that is not where the ledger says."""
        holders = self.stages.holders()
        # What is promoted while the ledger is read is not moved by hand: the aliases are the same before and after.
        while True:
            entries, before = self.ledger.entries(), holders
            if (holders := self.stages.holders()) == before:
                break
        return [
            f"@{alias} of {self.name} is {found}, the ledger says {recorded}: somebody moved it by hand; see "
            f"`digits registry history {self.dataset}`"
            for alias, found, recorded in differences(entries, holders)
        ]

    @contextmanager
    def files(self, version: ModelVersion, *, whole: bool = False) -> Iterator[Path]:
        """Yield the folder of a version's model, after its files were held against the registered digest.

        Parameters
        ----------
        version
            The version.
        whole
            Check also the code by which MLflow serves it, and which this process runs only where `has_other_code`.

        Raises
        ------
        MissingError
            The files are gone, or are not those that were registered.
        ServerError
            They cannot be read.
        """
        with tempfile.TemporaryDirectory() as work:
            yield brought(version, address=self._address(version), work=work, whole=whole or has_other_code(version))

    def check(self, version: ModelVersion) -> None:
        """Hold all of a version's files against the registered digests, where they lie if that is a folder here.

        Raises
        ------
        MissingError
            The files are gone, or are not those that were registered.
        ServerError
            They cannot be read.
        """
        address = self._address(version)
        with tempfile.TemporaryDirectory() as work:
            brought(version, address=address, work=None if address.startswith("file:") else work, whole=True)

    def fault(self, version: ModelVersion) -> str:
        """Return what is wrong with any of a version's files, in one line; empty where they are whole.

        Raises
        ------
        ServerError
            They cannot be read, whether they are damaged or not.
        """
        try:
            self.check(version)
        except MissingError as error:
            return str(error)
        return ""

    def _address(self, version: ModelVersion) -> str:
        """Return where a version's files lie."""
        return str(self._client.get_model_version_download_uri(self.name, str(version.version)))

    def _ensure_model(self) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(self.name, description=f"Reads images like those of {self.dataset}.")
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _with_fingerprint(self, fingerprint: str) -> list[ModelVersion]:
        """Return the versions of that candidate: the one that serves first, then the newest first."""
        holders = self.stages.holders()
        wanted = f"name = '{self.name}' and tags.`{TAG_FINGERPRINT}` = '{fingerprint}'"
        versions = [ModelVersion.of(item, holders=holders) for item in self._search(wanted)]
        return sorted(versions, key=lambda version: (PRODUCTION not in version.aliases, -version.version))

    def _search(self, condition: str) -> Iterator[Any]:
        token = None
        while True:
            page = self._client.search_model_versions(condition, page_token=token)
            yield from page
            if not (token := page.token):
                return
