"""Tables of the registry on stdout: versions, the ledger, the gate."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from digits.cli.display import result_console

if TYPE_CHECKING:
    from digits.registry.gate import Decision
    from digits.registry.history import Entry
    from digits.registry.version import ModelVersion
    from digits.steps.proposal import Proposal

__all__ = ["print_gate", "print_history", "print_versions", "proposals_heard"]

_STYLES = {"Production": "bold green", "Staging": "cyan", "Archived": "dim"}
_OUTCOMES = {"refused": "red", "failed": "red", "forced": "yellow", "rolled back": "yellow"}
_WAYS = {"absolute": "", "better": "one way", "cheaper": "the other"}


def print_versions(versions: Sequence[ModelVersion]) -> None:
    """Print versions, one line each."""
    table = _table("version", "stage", "alias", "family", "registered", "SHA-256")
    for item in versions:
        made = datetime.fromtimestamp(item.created / 1000, UTC).astimezone()
        aliases = " ".join(f"@{alias}" for alias in item.aliases)
        row = (str(item.version), item.stage, aliases, item.family, f"{made:%Y-%m-%d %H:%M}", item.digest[:12])
        table.add_row(*row, style=_STYLES.get(item.stage, ""))
    result_console().print(table)


def print_history(entries: Sequence[Entry]) -> None:
    """Print the ledger, one line for each entry."""
    table = _table("time", "version", "stage", "outcome", "before", "by", "reason")
    for item in entries:
        outcome = item.outcome or "under way"
        reason = item.reason
        if item.approved_by:
            reason = f"{reason}; {item.approved_by}: {item.approval_reason}"
        table.add_row(
            f"{item.time.astimezone():%Y-%m-%d %H:%M:%S}",
            str(item.version),
            item.stage,
            Text(outcome, _OUTCOMES.get(outcome, "")),
            "" if item.before is None else str(item.before),
            item.actor,
            reason,
        )
    result_console().print(table)


def print_gate(decision: Decision) -> None:
    """Print every criterion of the gate."""
    table = _table("", "gate", "found", "wanted", "")
    for item in decision.criteria:
        met = Text("met", "green") if item.passed else Text("not met", "red")
        table.add_row(met, item.name, item.found_text, item.wanted, Text(_WAYS[item.group], "dim"))
    result_console().print(table)


class _Listener(logging.Handler):
    """Hands on every proposal that the gate has judged."""

    def __init__(self, hear: Callable[[Proposal], None]) -> None:
        super().__init__(logging.INFO)
        self._hear = hear

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record; most carry no proposal."""
        proposal: Proposal | None = getattr(record, "proposal", None)
        if proposal is not None:
            with suppress(OSError):  # whoever was looking has gone; the promotion goes on
                self._hear(proposal)


@contextmanager
def proposals_heard(hear: Callable[[Proposal], None]) -> Iterator[None]:
    """Call `hear` with each proposal as soon as the gate has judged it, be it in a flow."""
    listener, logger = _Listener(hear), logging.getLogger("digits.steps.promotion")
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(listener)
    try:
        yield
    finally:
        logger.removeHandler(listener)
        logger.setLevel(level)


def _table(*headings: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in headings:
        table.add_column(heading, no_wrap=heading != "reason")
    return table
