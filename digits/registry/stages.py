"""Stages of versions: None → Staging → Production → Archived.

Which version is staged and which serves is what the aliases ``@staging`` and ``@production`` say. They are the truth:
giving one is a single call, after which every reader gets the other version. The tag ``stage``, for people who browse,
and MLflow's own stage, for those who load ``models:/NAME/Production``, are mirrors that `Stages.agree` makes agree.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

__all__ = ["ARCHIVED", "NONE", "NO_SUCH", "PRODUCTION", "STAGING", "TAG_STAGE", "Stages"]

#: The aliases.
PRODUCTION, STAGING = "production", "staging"

#: Stages, as the tag and MLflow's own field spell them.
NONE, ARCHIVED = "None", "Archived"
TAG_STAGE = "stage"

#: What MLflow says of a model, a version or an alias that is not there.
NO_SUCH = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}


class Stages:
    """The stages of the versions of one registered model.

    Parameters
    ----------
    client
        MLflow's.
    name
        Of the registered model.
    """

    def __init__(self, client: MlflowClient, name: str) -> None:
        self._client = client
        self._name = name

    def holders(self) -> dict[str, int]:
        """Return alias → number of the version that has it, of the two that are stages: what others mean is not known.

        Empty where nothing is registered.
        """
        from mlflow.exceptions import MlflowException

        try:
            aliases = self._client.get_registered_model(self._name).aliases
        except MlflowException as error:
            if error.error_code in NO_SUCH:
                return {}
            raise
        return {alias: int(number) for alias, number in aliases.items() if alias in {PRODUCTION, STAGING}}

    def give(self, alias: str, version: int) -> None:
        """Give the alias to a version: the one call that counts. Whoever had it before has it no more."""
        self._client.set_registered_model_alias(self._name, alias, str(version))

    def archive(self, version: int) -> None:
        """Take a version out of use: it is staged no more, and its tag says so, unless somebody has deleted it."""
        from mlflow.exceptions import MlflowException

        if self.holders().get(STAGING) == version:
            self._client.delete_registered_model_alias(self._name, STAGING)
        try:
            self._client.set_model_version_tag(self._name, str(version), TAG_STAGE, ARCHIVED)
        except MlflowException as error:
            if error.error_code not in NO_SUCH:
                raise

    def agree(self) -> None:
        """Make the mirrors say what the aliases say; doing it twice changes nothing.

        A version that serves is not staged any more. One that has served is archived, and so is one that somebody
        archived. One that was staged and is not any more has no stage.
        """
        before: dict[str, int] | None = None
        while (holders := self.holders()) != before:  # an alias that moves meanwhile is mirrored too
            if PRODUCTION in holders and holders.get(STAGING) == holders[PRODUCTION]:
                self._client.delete_registered_model_alias(self._name, STAGING)
                del holders[STAGING]
            for version in self._versions():
                self._mirror(version, _stage_of(version, holders))
            before = holders

    def faults(self) -> list[str]:
        """Return a line for each version of which a mirror says something else than the aliases do."""
        holders = self.holders()
        return [
            f"version {version.version} of {self._name} is in the stage {stage}, but {mirror} says {found}: somebody "
            "set it by hand; the next promotion, rollback or archiving puts it right"
            for version in self._versions()
            for stage in [_stage_of(version, holders)]
            for mirror, found in [
                (f"its tag `{TAG_STAGE}`", version.tags.get(TAG_STAGE, NONE)),
                ("MLflow's own stage", getattr(version, "current_stage", stage)),
            ]
            if found != stage
        ]

    def _versions(self) -> Iterator[Any]:
        token = None
        while True:
            page = self._client.search_model_versions(f"name = '{self._name}'", page_token=token)
            yield from page
            if not (token := page.token):
                return

    def _mirror(self, version: Any, stage: str) -> None:
        number, tag = str(version.version), version.tags.get(TAG_STAGE)
        if tag != (None if stage == NONE else stage):
            if stage == NONE:
                self._client.delete_model_version_tag(self._name, number, TAG_STAGE)
            else:
                self._client.set_model_version_tag(self._name, number, TAG_STAGE, stage)
        self._mirror_native(version, stage)

    def _mirror_native(self, version: Any, stage: str) -> None:
        """Set MLflow's own stage, which it says it will drop: where it has none any more, nothing is missed."""
        move = getattr(self._client, "transition_model_version_stage", None)
        if move is None or getattr(version, "current_stage", stage) == stage:
            return
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*transition_model_version_stage", category=FutureWarning)
            move(self._name, str(version.version), stage)


def _stage_of(version: Any, holders: Mapping[str, int]) -> str:
    """Return the stage of a version: its alias says it, and without one the tag whether it was in use before."""
    held = next((alias for alias in (PRODUCTION, STAGING) if holders.get(alias) == int(version.version)), None)
    if held is not None:
        return held.capitalize()
    return ARCHIVED if version.tags.get(TAG_STAGE) in {PRODUCTION.capitalize(), ARCHIVED} else NONE
