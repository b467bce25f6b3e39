"""Names of processes that stay true after their end: who works on something, and whether it still lives."""

from __future__ import annotations

import os
import platform

import psutil

__all__ = ["has_died", "this_process"]


def this_process() -> str:
    """Return a name for this process that no other process ever has: host, number and moment of its start."""
    return _name(psutil.Process(os.getpid()))


def has_died(name: str) -> bool:
    """Return whether the process of that name is known to have ended; of one on another host nothing is known."""
    host, _, rest = name.rpartition("/")[0].rpartition("/")
    if host != platform.node() or not rest.isdecimal():
        return False
    try:
        return _name(psutil.Process(int(rest))) != name
    except psutil.NoSuchProcess:
        return True


def _name(process: psutil.Process) -> str:
    return f"{platform.node()}/{process.pid}/{process.create_time():.2f}"
