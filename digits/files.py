"""Writing files so that a reader sees the old content or the new one, never half of either."""

from __future__ import annotations

import ctypes
import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

__all__ = [
    "bytes_below",
    "only_one",
    "replaced_file",
    "replaced_folder",
    "sha256_of_file",
    "sha256_of_folder",
    "write_json",
]

log = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 20

#: ``AT_FDCWD`` and ``RENAME_EXCHANGE`` of Linux; see renameat2(2).
_HERE, _EXCHANGE = -100, 2


@contextmanager
def replaced_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside `path` that takes its place when the block ends without an error.

    Where the system can swap two folders in one step, as Linux can, one of them is in its place at any moment.

    Parameters
    ----------
    path
        The folder to replace; it need not exist. After an error it is left as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    work.chmod(0o755)
    try:
        yield work
        if not path.exists():
            work.rename(path)
        elif not _swapped(work, path):
            _put_in_place(work, path)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _put_in_place(work: Path, path: Path) -> None:
    """Let the folder `work` take the place of `path`, in two steps."""
    old = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", dir=path.parent))
    path.rename(old / path.name)
    try:
        work.rename(path)
    except OSError:
        (old / path.name).rename(path)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _swapped(one: Path, other: Path) -> bool:
    """Swap two folders in one step, if the system and its disk can; return whether they did."""
    try:
        renameat2 = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError, TypeError):  # not Linux
        return False
    return bool(renameat2(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0)


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """Yield the name of a file beside `path` that takes its place when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    work = Path(name)
    work.chmod(0o644)
    try:
        yield work
        work.replace(path)
    finally:
        work.unlink(missing_ok=True)


@contextmanager
def only_one(lock: Path, *, busy: Exception | None = None) -> Iterator[None]:
    """Hold the file `lock` in the block; wait, and say so in the log, while another process holds it.

    A process that dies gives it up. Where `busy` is given it is raised instead of waiting.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    held = FileLock(lock)
    try:
        held.acquire(blocking=False)
    except Timeout:
        if busy is not None:
            raise busy from None
        log.warning("somebody else holds %s; waiting for its end", lock)
        held.acquire()
    try:
        yield
    finally:
        held.release()


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON with a final newline, atomically; the bytes depend on the content alone."""
    with replaced_file(path) as work:
        work.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def bytes_below(folder: Path) -> int:
    """Return the size of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def sha256_of_folder(folder: Path, *, without: frozenset[str] = frozenset()) -> str:
    """Return the SHA-256 over names and contents of the files below a folder, 64 hexadecimal digits.

    Files and folders of the names `without` are not counted.
    """
    total = hashlib.sha256()
    paths = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    counted = {name.as_posix(): path for name, path in paths.items() if without.isdisjoint(name.parts)}
    for name, path in sorted(counted.items()):
        total.update(f"{sha256_of_file(path)}  {name}\n".encode())
    return total.hexdigest()


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
