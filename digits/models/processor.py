"""What this machine's processor can do."""

from __future__ import annotations

from pathlib import Path

__all__ = ["has_bfloat16"]

# Where Linux tells of the processor.
_CPU_INFO = Path("/proc/cpuinfo")
# What oneDNN multiplies bfloat16 with. Without either TensorFlow falls back to loops that take a hundred times as long.
_BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16"})


def has_bfloat16() -> bool:
    """Return whether the processor multiplies bfloat16; False where that cannot be known."""
    try:
        lines = _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    return any(line.startswith("flags") and not _BFLOAT16.isdisjoint(line.split()) for line in lines)
