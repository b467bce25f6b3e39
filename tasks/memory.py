"""What DVC remembers: the stages of ``dvc.yaml``, as they were when their steps last ran, through whichever door."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dvc.dvcfile import Lockfile
from dvc.stage import PipelineStage

from digits.experiments.code import changed_code
from digits.models.families import FAMILIES
from tasks.stages import Stages, alone, named, with_stages

__all__ = ["changes", "fit_stage", "record", "remembered"]

#: What DVC says has changed of one stage: texts, or kind of what has changed → its name → what became of it.
_Status = Sequence[str | Mapping[str, Mapping[str, Any]]]


def fit_stage(dataset: str, family: str) -> str:
    """Return the name of the stage that fits a family or an ensemble."""
    verb = "ensemble" if FAMILIES[family].section == "ensembles" else "fit"
    return f"{verb}-{dataset}@{family}"


def remembered(root: Path, *, stage: str, step: Callable[[], object], always: bool = False) -> bool:
    """Call `step` if `stage` has changed since DVC last recorded it, and record what it wrote.

    Files that are as they were recorded, but that DVC's cache lacks, were made by the step's command: they go there.
    The stage is not run through its command: an error keeps its type, and nothing is imported twice.

    Parameters
    ----------
    root
        The checkout.
    stage
        Name of the stage, such as ``ingest@digits``.
    step
        Does what the stage's command does.
    always
        Call it even if DVC sees no change: it looks at sizes and times of files before their bytes.

    Returns
    -------
    bool
        Whether `step` was called.
    """

    def inputs_if_changed(known: Stages) -> list[Any]:
        found = named(known, stage)
        if always:
            return _inputs(found)
        changed = bool(found.status())
        if changed and not _has_to_run(found):
            _commit([found])
            changed = False
        return _inputs(found) if changed else []

    with alone(root):
        if not (inputs := with_stages(root, inputs_if_changed)):
            return False
        step()

        def commit_what_was_read(known: Stages) -> None:
            # What was changed while the step ran has not been read by it: the next run does it again. So does code
            # that was edited after this process had loaded it.
            found = named(known, stage)
            if _inputs(found) == inputs and not changed_code(_modules(found)):
                _commit([found])

        with_stages(root, commit_what_was_read)
    return True


def record(root: Path, *, stages: Callable[[], Sequence[str]]) -> None:
    """Record what the steps of stages wrote, so that ``dvc repro`` does not run them again.

    A stage that ``dvc.yaml`` does not name is left out: a dataset may be trained without being rebuilt by DVC.

    Parameters
    ----------
    root
        The checkout.
    stages
        Names those whose results are still what params and code give; asked once nobody else is at work here, right
        before they are recorded.
    """

    def commit_changed(known: Stages) -> None:
        found = [known[stage] for stage in stages() if stage in known]
        _commit([stage for stage in found if stage.status()])

    with alone(root):
        with_stages(root, commit_changed)


def changes(root: Path, *, stages: Sequence[str]) -> dict[str, list[str]]:
    """Return those of `stages` that have changed since DVC last recorded them, each with the names of what changed.

    Nothing is run or recorded. A stage that was never recorded comes with no names.

    Parameters
    ----------
    root
        The checkout.
    stages
        Names of stages, such as ``ingest@digits``.
    """

    def changed(known: Stages) -> dict[str, list[str]]:
        found = {}
        for stage in (named(known, name) for name in stages):
            if (status := stage.status()) and _has_to_run(stage):
                recorded = any(out.hash_info for out in stage.outs)
                found[stage.name] = _names(next(iter(status.values()))) if recorded else []
        return found

    with alone(root):
        return with_stages(root, changed)


def _has_to_run(stage: PipelineStage) -> bool:
    """Return whether a stage's files, params or command are not as they were recorded, in the cache or not."""
    return any(stage.changed_entries())


def _modules(stage: PipelineStage) -> list[str]:
    """Return the modules that a stage names as files it depends on."""
    paths = [Path(dependency.def_path) for dependency in stage.deps]
    return [".".join(path.with_suffix("").parts) for path in paths if path.suffix == ".py"]


def _inputs(stage: PipelineStage) -> list[Any]:
    """Return what a stage's dependencies and params are now, as DVC records them."""
    stage.save_deps(allow_missing=True)
    return [dependency.hash_info for dependency in stage.deps]


def _commit(stages: Sequence[PipelineStage]) -> None:
    """Record what stages have written, as ``dvc commit --force`` does for each.

    DVC's lock is written once, in DVC's own folder, and then takes its place: a kill leaves the old one.
    """
    if not stages:
        return
    for stage in stages:
        stage.save()
        stage.commit()
    repo = stages[0].repo
    lock, work = Path(repo.root_dir, "dvc.lock"), Path(repo.tmp_dir, "dvc.lock")  # `.state` may be another disk
    work.unlink(missing_ok=True)
    if lock.exists():
        shutil.copy(lock, work)
    Lockfile(repo, str(work)).dump_stages(stages)
    work.replace(lock)


def _names(entries: _Status) -> list[str]:
    """Return what one stage's status names: keys of params, paths, and what became of them where it is not a change."""
    parts = {kind: items for entry in entries if not isinstance(entry, str) for kind, items in entry.items()}
    states: dict[str, str] = {}
    for items in parts.values():
        for path, state in items.items():
            states |= {path: state} if isinstance(state, str) else state
    others = [entry.removeprefix("changed ") for entry in entries if isinstance(entry, str)]
    return [name if state == "modified" else f"{name} {state}" for name, state in states.items()] + others
