"""Every error that Digits raises on purpose.

::

    DigitsError                exit code 1
    ├── ParamsError            params.yaml, the environment or an argument cannot be understood
    ├── SourceError            images cannot be ingested from their source
    ├── ContractViolation      a snapshot breaks a rule of its contract
    ├── FitFailed              no candidate came out of fitting
    ├── MissingError           a step's input is not there yet, or is damaged
    ├── ServerError            a server that the run needs does not answer
    ├── BusyError              somebody else changes the same thing just now
    ├── GateFailed             a version has not earned its promotion           exit code 3
    └── PictureError           a picture cannot be read as a digit             exit code 2

A message says what was found, what was wanted, and what to do next, in one line. The command line prints that line
and leaves with ``exit_code``; nobody sees a traceback for an error of this tree.
"""

from __future__ import annotations

__all__ = [
    "BlankPictureError",
    "BusyError",
    "CodeChangedError",
    "ContractViolation",
    "DigitsError",
    "FitFailed",
    "GateFailed",
    "MissingError",
    "ParamsError",
    "PictureError",
    "ServerError",
    "SourceError",
]


class DigitsError(Exception):
    """Base of every error that Digits raises on purpose."""

    exit_code = 1


class ParamsError(DigitsError):
    """``params.yaml``, the environment or an argument holds something that cannot be understood."""


class SourceError(DigitsError):
    """Images cannot be ingested: the source is missing, truncated, corrupt or mislabelled."""


class ContractViolation(DigitsError):
    """A snapshot breaks a rule of its contract."""


class FitFailed(DigitsError):
    """No candidate came out of fitting: the family crashed, ran out of time, or every family did."""


class CodeChangedError(FitFailed):
    """Code was written after this process had begun: nobody knows which of it a result would come from."""


class MissingError(DigitsError):
    """A step's input is not there yet, or is damaged."""


class ServerError(DigitsError):
    """A server that the run needs does not answer."""


class BusyError(DigitsError):
    """Somebody else changes the same thing just now, or has changed it since it was looked at."""


class GateFailed(DigitsError):
    """A version has not earned its promotion, or a person refused it."""

    exit_code = 3


class PictureError(DigitsError):
    """A picture cannot be read as a digit."""

    exit_code = 2


class BlankPictureError(PictureError):
    """A picture can be read, and there is no digit on it."""
