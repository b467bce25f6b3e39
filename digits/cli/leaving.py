"""Leaving a command from outside as Ctrl-C does: what it has started is ended on the way out, and told to Prefect."""

from __future__ import annotations

import signal
import sys
from contextlib import suppress
from types import FrameType

__all__ = ["leave_as_ctrl_c_does"]


#: SIGHUP is what the closing of the terminal sends; Windows has none.
_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


def leave_as_ctrl_c_does() -> None:
    """Let the command end as by Ctrl-C when it is asked to end, or when its terminal is closed; not under `nohup`."""
    asked: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        if len(asked) > 1:
            return  # it is leaving: the terminal's closing may be told twice, and Prefect passes on what it was told
        with suppress(OSError):  # the terminal may be gone
            sys.stderr.write(f"digits: signal {number}\n")
        raise KeyboardInterrupt

    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupt)
