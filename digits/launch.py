"""Another's program, as its users start it but for one thing: ``python -m digits.launch MODULE [ARGUMENT]...``.

It looks for garbage seldom: among the objects of the libraries that it loads, which all stay, that takes a third of the
time of loading them. What a server leaves behind later waits a little longer for it, a few megabytes.
"""

from __future__ import annotations

import gc
import runpy
import sys

from digits.settings import GARBAGE_THRESHOLD

__all__ = ["main"]


def main(module: str, *arguments: str) -> None:
    """Run `module` as a program that was called with these arguments."""
    gc.set_threshold(GARBAGE_THRESHOLD)
    sys.argv[:] = [module, *arguments]
    runpy.run_module(module, run_name="__main__")


if __name__ == "__main__":
    main(*sys.argv[1:])
