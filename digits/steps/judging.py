"""Judging a version: it and the one that serves are examined on the same rows, and the gate decides."""

from __future__ import annotations

import logging
from dataclasses import replace

from digits.data.split import Split
from digits.errors import MissingError
from digits.experiments.assessment import EvaluateParams
from digits.experiments.scoring import score_on_test
from digits.project import Project
from digits.registry.examination import Examination
from digits.registry.gate import Decision, decide
from digits.registry.loading import loaded, predicts_alike
from digits.registry.version import ModelVersion
from digits.registry.versions import Registry
from digits.steps.data import is_validated

__all__ = ["judged"]

log = logging.getLogger(__name__)


def judged(
    project: Project, registry: Registry, chosen: ModelVersion, *, split: Split, champion: int | None, force: bool
) -> Decision:
    """Examine a version and the champion here and now, one after the other, and ask the gate.

    Parameters
    ----------
    project, registry
        Whose params, and whose versions.
    chosen
        The version that asks.
    split
        On whose test rows both are examined.
    champion
        Number of the version that serves, if one does.
    force
        Decide also where the champion cannot be examined; then the gate does not pass.

    Raises
    ------
    MissingError
        The snapshot, or the files of `chosen`, are damaged; so are those of the champion, and nobody forces it.
    """
    params = project.params(registry.dataset)
    split.snapshot.verify()  # nothing is decided on other images than those that were validated
    validated = is_validated(project, split.snapshot)
    challenger = _examined(registry, chosen, split=split, params=params.evaluate, validated=validated, whole=True)
    defender: Examination | None = None
    is_lost = False
    if champion is not None and champion != chosen.version:
        try:
            serves = registry.version(champion)  # which somebody may have deleted
            if serves.split != split.digest:
                log.warning("%s was fitted on another split: it may have learned from today's test images", serves)
            if serves.digest == chosen.digest and predicts_alike(serves, chosen):
                defender = challenger
            else:
                defender = _examined(registry, serves, split=split, params=params.evaluate, validated=validated)
            if serves.digest == chosen.digest:
                defender = replace(defender, cost=challenger.cost)  # of the same files none is the faster one
        except MissingError as error:
            if not force:
                raise MissingError(f"the champion cannot be examined: {error}") from error
            log.warning("the champion cannot be examined: %s", error)
            is_lost = True
    return decide(challenger, defender, params=params.promote, champion_lost=is_lost)


def _examined(
    registry: Registry,
    version: ModelVersion,
    *,
    split: Split,
    params: EvaluateParams,
    validated: bool,
    whole: bool = False,
) -> Examination:
    """Examine a version, loaded after its files, or the whole package, were held against their digest."""
    with registry.files(version, whole=whole) as folder, loaded(version, folder) as estimator:
        try:
            scored = score_on_test(
                estimator,
                split=split,
                model=folder,
                threads=version.threads,
                confidence=params.confidence,
                n_harmed=params.corrupted_images,
            )
        except ValueError as error:  # the dataset's images may be of another size by now
            raise MissingError(f"{version} cannot read today's images: {error}") from error
    return Examination.of_scored(scored, split=split, validated=validated, unseen=version.split == split.digest)
