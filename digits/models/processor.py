"""What this machine's processor can do."""

from __future__ import annotations

import platform
from pathlib import Path

__all__ = ["has_bfloat16", "processor_name"]

# Where Linux tells of the processor.
_CPU_INFO = Path("/proc/cpuinfo")
# What oneDNN multiplies bfloat16 with. Without either TensorFlow falls back to loops that take a hundred times as long.
_BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16"})


def has_bfloat16() -> bool:
    """Return whether the processor multiplies bfloat16; False where that cannot be known."""
    return not _BFLOAT16.isdisjoint(_told("flags").split())


def processor_name() -> str:
    """Return what the processor calls itself, else its architecture."""
    return _told("model name") or platform.machine()


def _told(key: str) -> str:
    """Return what the system says of its first processor, or nothing."""
    try:
        lines = _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next(
        (value.strip() for name, _, value in (line.partition(":") for line in lines) if name.strip() == key), ""
    )
