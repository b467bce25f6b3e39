"""Names of processes that stay true after their end: who works on something, and whether it lives; their memory."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import psutil

__all__ = ["TOLERANCE_SECONDS", "has_died", "is_here", "living", "name_of", "private_bytes", "this_process"]

#: The moment of a process's start moves with the system's clock when that is set; no number is used again so soon.
TOLERANCE_SECONDS = 5.0


def this_process() -> str:
    """Return a name for this process that no other process ever has: host, number and moment of its start."""
    return name_of(os.getpid())


def name_of(number: int) -> str:
    """Return the same for the process of that number, which must be there."""
    return f"{platform.node()}/{number}/{psutil.Process(number).create_time():.2f}"


def has_died(name: str) -> bool:
    """Return whether the process of that name is known to have ended; of one on another host nothing is known."""
    return is_here(name) and living(name) is None


def living(name: str) -> psutil.Process | None:
    """Return this machine's process of that number and start, None when there is none, whatever the host is called.

    Where the name may be that of another host, the two may agree by chance.
    """
    _, number, started = _parts(name)
    try:
        process = psutil.Process(number)
        # One that has ended but that its parent does not ask after does nothing any more.
        ended = process.status() == psutil.STATUS_ZOMBIE
        return None if ended or abs(process.create_time() - started) >= TOLERANCE_SECONDS else process
    except psutil.NoSuchProcess:
        return None


def is_here(name: str) -> bool:
    """Return whether the process of that name is, or was, one of this host."""
    return _parts(name)[0] == platform.node()


def private_bytes(number: int | None = None) -> int:
    """Return the memory that a process, this one by default, has for itself now; 0 for one that has ended.

    On Linux it is the resident anonymous memory: pages of mapped files are not counted, which the system may take back
    at any time. Elsewhere it is what the system says would be free if the process ended.
    """
    number = os.getpid() if number is None else number
    try:
        lines = Path(f"/proc/{number}/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return _unique_bytes(number)
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))


def _unique_bytes(number: int) -> int:
    try:
        return int(psutil.Process(number).memory_full_info().uss)
    except psutil.Error:
        return 0


def _parts(name: str) -> tuple[str, int, float]:
    """Return host, number and start; no host where it is no name of a process."""
    host, _, rest = name.partition("/")
    number, _, started = rest.partition("/")
    try:
        return host, int(number), float(started)
    except ValueError:
        return "", 0, 0.0
