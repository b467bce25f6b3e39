"""Every error that Digits raises on purpose.

::

    DigitsError                exit code 1
    ├── ParamsError            params.yaml, the environment or an argument cannot be understood
    ├── SourceError            images cannot be ingested from their source
    ├── ContractViolation      a snapshot breaks a rule of its contract
    ├── FitFailed              no candidate came out of fitting
    ├── MissingError           a step's input is not there yet, or is damaged
    ├── ServerError            a server that the run needs does not answer
    └── PictureError           a picture cannot be read as a digit             exit code 2

A message says what was found, what was wanted, and what to do next, in one line. The command line prints that line
and leaves with ``exit_code``; nobody sees a traceback for an error of this tree.
"""

from __future__ import annotations

__all__ = [
    "ContractViolation",
    "DigitsError",
    "FitFailed",
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


class MissingError(DigitsError):
    """A step's input is not there yet, or is damaged."""


class ServerError(DigitsError):
    """A server that the run needs does not answer."""


class PictureError(DigitsError):
    """A picture cannot be read as a digit."""

    exit_code = 2
