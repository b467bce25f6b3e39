"""What DVC remembers: the stages of ``dvc.yaml``, as they were when their steps last ran, through whichever door."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from dvc.dvcfile import Lockfile
from dvc.exceptions import DvcException
from dvc.lock import LockError, make_lock
from dvc.repo import Repo, lock_repo
from dvc.stage import PipelineStage

from digits.errors import MissingError
from digits.files import only_one
from digits.models.families import FAMILIES

__all__ = ["Shared", "changes", "fit_stage", "record", "remembered", "share"]

log = logging.getLogger(__name__)

_BUSY_SECONDS = 1.0

#: Name of a stage → DVC's view of it.
_Stages = Mapping[str, PipelineStage]
_Answer = TypeVar("_Answer")

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

    def inputs_if_changed(known: _Stages) -> list[Any]:
        found = _named(known, stage)
        if always:
            return _inputs(found)
        changed = bool(found.status())
        if changed and not _has_to_run(found):
            _commit([found])
            changed = False
        return _inputs(found) if changed else []

    with _alone(root):
        if not (inputs := _with_dvc(root, inputs_if_changed)):
            return False
        step()

        def commit_what_was_read(known: _Stages) -> None:
            # What was changed while the step ran has not been read by it: the next run does it again.
            if _inputs(_named(known, stage)) == inputs:
                _commit([known[stage]])

        _with_dvc(root, commit_what_was_read)
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

    def commit_changed(known: _Stages) -> None:
        _commit([known[stage] for stage in stages() if stage in known and known[stage].status()])

    with _alone(root):
        _with_dvc(root, commit_changed)


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

    def changed(known: _Stages) -> dict[str, list[str]]:
        found = {}
        for stage in stages:
            if (status := _named(known, stage).status()) and _has_to_run(known[stage]):
                recorded = any(out.hash_info for out in known[stage].outs)
                found[stage] = _names(next(iter(status.values()))) if recorded else []
        return found

    with _alone(root):
        return _with_dvc(root, changed)


@dataclass(frozen=True)
class Shared:
    """Where another machine finds what stages wrote.

    Attributes
    ----------
    remote
        Name of DVC's remote.
    options
        Its address and options, without the secrets of ``.dvc/config.local``.
    outs
        Name of a stage → the digest by which DVC knows the folder that it wrote.
    """

    remote: str
    options: Mapping[str, str]
    outs: Mapping[str, str]


def share(root: Path, *, stages: Sequence[str] = ()) -> Shared:
    """Push what the steps of `stages` wrote to DVC's default remote, as far as it is missing there.

    Raises
    ------
    MissingError
        There is no default remote, or it cannot be written to.
    """

    def pushed(known: _Stages) -> Shared:
        repo = next(iter(known.values())).repo
        if not (name := repo.config["core"].get("remote")):
            raise MissingError(
                "DVC has no default remote, from which the workers of the cluster take the images; "
                "run `dvc remote add --default NAME URL`"
            )
        found = {stage: _named(known, stage).outs[0] for stage in stages}
        if found:
            for stage in found:
                known[stage].commit()  # whoever has cleared DVC's cache still has the files
            repo.push(targets=[f"{root / 'dvc.yaml'}:{stage}" for stage in stages])
        options = {**repo.config.load_one("repo")["remote"].get(name, {}), "url": repo.config["remote"][name]["url"]}
        return Shared(
            remote=name,
            options={key: str(value) for key, value in options.items()},
            outs={stage: out.hash_info.value for stage, out in found.items()},
        )

    with _alone(root):
        return _with_dvc(root, pushed)


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Let one of our processes at a time look at DVC's view of the checkout, once what a kill has left is mended."""
    with only_one(root / ".state" / "locks" / "dvc"):
        _mend(root)
        yield


def _with_dvc(root: Path, question: Callable[[_Stages], _Answer]) -> _Answer:
    """Return what `question` gives for the stages of the checkout; wait while a command of DVC works on their files.

    Raises
    ------
    MissingError
        DVC cannot answer; what it raises is one line.
    """
    # DVC's progress bars follow the levels of its loggers; what goes wrong is raised.
    for name in ("dvc", "dvc_data", "dvc_objects"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    told = False
    while True:
        try:
            with Repo(str(root)) as repo, lock_repo(repo):
                return question({stage.name: stage for stage in repo.index.stages})
        except LockError as error:
            if not told:
                log.warning("DVC is at work here (%s); waiting for its end", str(error).partition("\n")[0])
            told = True
            time.sleep(_BUSY_SECONDS)
        except DvcException as error:
            raise MissingError(f"DVC cannot go on: {error}; see `dvc status`") from error


def _named(known: _Stages, name: str) -> PipelineStage:
    """Return the stage of that name."""
    if name not in known:
        raise MissingError(f"dvc.yaml has no stage {name}; it has {', '.join(known)}")
    return known[name]


def _has_to_run(stage: PipelineStage) -> bool:
    """Return whether a stage's files, params or command are not as they were recorded, in the cache or not."""
    return any(stage.changed_entries())


def _commit(stages: Sequence[PipelineStage]) -> None:
    """Record what stages have written, as ``dvc commit --force`` does for each.

    DVC's lock is written once, beside itself, and then takes its place: a kill leaves the old one.
    """
    if not stages:
        return
    for stage in stages:
        stage.save()
        stage.commit()
    repo = stages[0].repo
    lock, work = Path(repo.root_dir, "dvc.lock"), Path(repo.root_dir, ".state", "dvc.lock")
    work.unlink(missing_ok=True)
    if lock.exists():
        shutil.copy(lock, work)
    Lockfile(repo, str(work)).dump_stages(stages)
    work.replace(lock)


def _inputs(stage: PipelineStage) -> list[Any]:
    """Return what a stage's dependencies and params are now, as DVC records them."""
    stage.save_deps(allow_missing=True)
    return [dependency.hash_info for dependency in stage.deps]


def _mend(root: Path) -> None:
    """Drop DVC's list of who reads and writes, if a process was killed while it wrote it."""
    readers = root / ".dvc" / "tmp" / "rwlock"
    if not readers.exists():
        return
    with suppress(LockError), make_lock(f"{readers}.lock"):  # DVC's own, while it writes
        try:
            json.loads(readers.read_text(encoding="utf-8"))
        except ValueError:
            readers.unlink()


def _names(entries: _Status) -> list[str]:
    """Return what one stage's status names: keys of params, paths, and what became of them where it is not a change."""
    parts = {kind: items for entry in entries if not isinstance(entry, str) for kind, items in entry.items()}
    states: dict[str, str] = {}
    for items in parts.values():
        for path, state in items.items():
            states |= {path: state} if isinstance(state, str) else state
    others = [entry.removeprefix("changed ") for entry in entries if isinstance(entry, str)]
    return [name if state == "modified" else f"{name} {state}" for name, state in states.items()] + others
