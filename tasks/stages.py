"""The stages of ``dvc.yaml`` as DVC sees them: one of our processes looks at a time, none while DVC is at work."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import psutil
from dvc.dvcfile import PROJECT_FILE, load_file
from dvc.exceptions import DvcException
from dvc.lock import LockError, make_lock
from dvc.repo import Repo, lock_repo
from dvc.stage import PipelineStage

from digits.errors import MissingError
from digits.files import only_one
from digits.processes import TOLERANCE_SECONDS

__all__ = ["Stages", "alone", "named", "with_stages"]

log = logging.getLogger(__name__)

_BUSY_SECONDS = 1.0

#: Name of a stage → DVC's view of it, made anew each time that it is asked for: all at once take a tenth of a second.
Stages = Mapping[str, PipelineStage]
_Answer = TypeVar("_Answer")


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """Let one of our processes at a time look at DVC's view of the checkout, once what a kill has left is mended."""
    with only_one(root / ".state" / "locks" / "dvc"):
        _mend(root)
        yield


def with_stages(root: Path, question: Callable[[Stages], _Answer]) -> _Answer:
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
                known = load_file(repo, str(root / PROJECT_FILE)).stages
                known.resolver.resolve()  # what one of them lacks is told whichever is asked for
                return question(known)
        except LockError as error:
            if not told:
                log.warning("DVC is at work here (%s); waiting for its end", " ".join(str(error).split()))
            told = True
            time.sleep(_BUSY_SECONDS)
        except DvcException as error:
            raise MissingError(f"DVC cannot go on: {error}; see `dvc status`") from error


def named(known: Stages, name: str) -> PipelineStage:
    """Return the stage of that name."""
    if name not in known:
        raise MissingError(f"dvc.yaml has no stage {name}; it has {', '.join(known)}")
    return known[name]


def _mend(root: Path) -> None:
    """Drop DVC's list of who reads and writes, if a kill has left it half written, or naming nobody who could have.

    DVC itself looks only whether a process of that number lives; after a restart of the machine another one may.
    """
    readers = root / ".dvc" / "tmp" / "rwlock"
    if not readers.exists():
        return
    with suppress(LockError), make_lock(f"{readers}.lock"):  # DVC's own, while it writes
        written = readers.stat().st_mtime
        try:
            numbers = _numbers(json.loads(readers.read_text(encoding="utf-8")))
        except (ValueError, TypeError, KeyError, AttributeError):
            numbers = set()
        if not any(_began_before(written, number) for number in numbers):
            readers.unlink()


def _numbers(lists: Mapping[str, Mapping[str, Any]]) -> set[int]:
    """Return the processes that DVC's list names: for each path one that writes, and those that read."""
    entries = [entry for paths in lists.values() for entry in paths.values()]
    return {int(each["pid"]) for entry in entries for each in (entry if isinstance(entry, list) else [entry])}


def _began_before(moment: float, number: int) -> bool:
    try:
        return psutil.Process(number).create_time() <= moment + TOLERANCE_SECONDS
    except psutil.NoSuchProcess:
        return False
