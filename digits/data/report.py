"""The report of a validation: what every rule found, in bytes that depend on the snapshot and the params alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from digits.errors import MissingError
from digits.files import write_json

__all__ = ["RuleResult", "SetAside", "ValidationReport"]

REPORT = "report.json"


@dataclass(frozen=True)
class RuleResult:
    """What one rule found.

    Attributes
    ----------
    name, meaning
        Stable name of the rule, and the rule in a sentence.
    wanted, found
        Bounds and measured values in words.
    passed
        Whether the rule holds; None when it was not looked at, `found` then says why.
    count
        How many rows (images, for a rule about images; digits, for a rule about classes) break it.
    rows
        The first of those rows, ascending.
    files
        The files that these images came from, when the snapshot knows them.
    """

    name: str
    meaning: str
    wanted: str
    found: str
    passed: bool | None
    count: int = 0
    rows: tuple[int, ...] = ()
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class SetAside:
    """A row that is left out, the names of the rules that it breaks, and its file when the snapshot knows it."""

    row: int
    reasons: tuple[str, ...]
    file: str | None = None


@dataclass(frozen=True)
class ValidationReport:
    """Reference to the report of a validation in a folder.

    Attributes
    ----------
    path
        Folder that holds ``report.json``.
    dataset, snapshot
        Name of the dataset and digest of the snapshot that was validated.
    success
        Whether the contract holds: every rule that was looked at, but for rules about images whose offending rows
        have all been set aside.
    rules
        What every rule found.
    quarantined
        The rows that were set aside, ascending: `split` must leave them out.
    params
        The bounds that were wanted, as plain values.
    """

    path: Path
    dataset: str
    snapshot: str
    success: bool
    rules: tuple[RuleResult, ...]
    quarantined: tuple[SetAside, ...]
    params: Mapping[str, Any]

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the report in `path`.

        Raises
        ------
        MissingError
            There is no report, or it cannot be read.
        """
        try:
            content = json.loads((path / REPORT).read_text(encoding="utf-8"))
            return cls(
                path=path,
                dataset=content["dataset"],
                snapshot=content["snapshot"],
                success=content["success"],
                rules=tuple(RuleResult(**_tuples(rule)) for rule in content["rules"]),
                quarantined=tuple(SetAside(**_tuples(row)) for row in content["quarantined"]),
                params=content["params"],
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise MissingError(
                f"no validation report in {path} ({type(error).__name__}: {error}); run `digits validate {path.name}`"
            ) from error

    def write(self) -> None:
        """Write ``report.json``, replacing the one that is there."""
        content = asdict(self)
        del content["path"]
        write_json(self.path / REPORT, content)

    def rule(self, name: str) -> RuleResult:
        """Return what the rule called `name` found."""
        return next(rule for rule in self.rules if rule.name == name)


def _tuples(content: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in content.items()}
