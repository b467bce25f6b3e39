"""Runs that nothing refers to: neither today's params, nor a registered version, nor a recent pipeline run."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from digits.experiments.tags import (
    KIND_CANDIDATE,
    KIND_PIPELINE,
    KIND_REFERENCE,
    TAG_EVALUATED,
    TAG_FINGERPRINT,
    TAG_KIND,
    TAG_MEMBERS,
    TAG_PARENT,
)

if TYPE_CHECKING:
    from mlflow.entities import Run

__all__ = ["unreferenced"]


def unreferenced(
    runs: Collection[Run], *, fingerprints: Collection[str], run_ids: Collection[str], newest: int
) -> list[Run]:
    """Return the runs that can go, in the order given.

    A run stays while it runs, while it is one of the `newest` pipeline runs, a fit that such a one evaluated or that
    began after the oldest of them, one of `run_ids`, a fit with one of `fingerprints`, or a member of an ensemble that
    stays. Runs that this project did not make stay. Fits of `dvc repro` and of colleagues belong to no pipeline run
    that is known here; they stay as long as what was done beside them. Of each reference system the `newest` runs stay.

    Parameters
    ----------
    runs
        The runs of one dataset's experiment.
    fingerprints
        Those that today's params give.
    run_ids
        The runs that registered versions and the last evaluation come from.
    newest
        How many pipeline runs stay, and how many of each reference system.
    """
    ours = [run for run in runs if run.data.tags.get(TAG_KIND) in {KIND_PIPELINE, KIND_CANDIDATE}]
    kept = {run.info.run_id for run in ours if run.info.status == "RUNNING"} | set(run_ids)
    pipelines = [run for run in ours if run.data.tags[TAG_KIND] == KIND_PIPELINE]
    pipelines.sort(key=lambda run: run.info.start_time, reverse=True)
    for run in pipelines[:newest]:
        kept |= {run.info.run_id, *_words(run, TAG_EVALUATED)}
    since = pipelines[newest - 1].info.start_time if 0 < newest <= len(pipelines) else 0 if newest else math.inf
    kept |= {run.info.run_id for run in ours if run.info.start_time >= since or run.data.tags.get(TAG_PARENT) in kept}
    wanted = set(fingerprints)
    kept |= {run.info.run_id for run in ours if run.data.tags.get(TAG_FINGERPRINT) in wanted}
    members = {name for run in ours if run.info.run_id in kept for name in _words(run, TAG_MEMBERS)}
    fits = [run for run in ours if run.info.run_id not in kept and run.data.tags.get(TAG_FINGERPRINT) not in members]
    return fits + _done_since(runs, newest=newest)


def _done_since(runs: Iterable[Run], *, newest: int) -> list[Run]:
    """Return the runs of reference systems that were each done again, `newest` times or more, since."""
    systems: dict[str, list[Run]] = {}
    for run in sorted(runs, key=lambda run: run.info.start_time, reverse=True):
        if run.data.tags.get(TAG_KIND) == KIND_REFERENCE and run.info.status != "RUNNING":
            systems.setdefault(run.info.run_name, []).append(run)
    return [run for done in systems.values() for run in done[newest:]]


def _words(run: Run, tag: str) -> list[str]:
    return str(run.data.tags.get(tag, "")).split()
