"""What a person sees: the live table of a run, the leaderboard, the explanations. All goes to stderr or stdout here."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from rich.console import Console, RenderableType
from rich.filesize import decimal
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from digits.events import Event
from digits.experiments.statistics import interval_name, percentage

if TYPE_CHECKING:
    # They load scikit-learn, which a run does while it waits.
    from digits.experiments.explanation import Explanation
    from digits.steps.garbage import Garbage
    from digits.steps.reference import Referred

__all__ = [
    "events_shown",
    "print_explanations",
    "print_garbage",
    "print_leaderboard",
    "print_references",
    "result_console",
]

WIDE = 120

_STYLES = {"running": "cyan", "done": "green", "reused": "blue", "failed": "bold red"}
_MARKS = {"done": "✓", "reused": "↺", "failed": "✗"}


class _Board(logging.Handler):
    """Keeps the last event of each piece of work, and draws them."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.INFO)
        self.console = console
        self.live: Live | None = None
        self._rows: dict[tuple[str, str], tuple[Event, float]] = {}  # seconds it took; when it started, while it runs
        self._started: dict[tuple[str, str], float] = {}
        self._spinner = Spinner("dots")

    def emit(self, record: logging.LogRecord) -> None:
        """Take an event; where nothing is drawn live, print it once it is over."""
        event: Event | None = getattr(record, "event", None)
        if event is None:
            return
        key = (event.step, event.subject)
        over = event.state != "running"
        started = self._started.setdefault(key, time.monotonic())
        if over:
            del self._started[key]  # tried again, it starts anew
        self._rows[key] = (event, time.monotonic() - started if over else started)
        if self.live is None and over:
            with suppress(OSError):  # whoever was looking has gone; the work goes on
                self.console.print(_line(event, seconds=time.monotonic() - started))

    def __rich__(self) -> RenderableType:
        """Draw all pieces of work, one line each."""
        table = Table.grid(padding=(0, 1))
        for event, moment in list(self._rows.values()):
            running = event.state == "running"
            seconds = time.monotonic() - moment if running else moment
            mark: RenderableType = self._spinner if running else Text(_MARKS[event.state], _STYLES[event.state])
            table.add_row(mark, _line(event, seconds=seconds))
        return table


def _line(event: Event, *, seconds: float) -> Text:
    text = Text()
    text.append(f"{event.step:<9}{event.subject:<21}")
    text.append(f"{event.state:<8}", _STYLES[event.state])
    text.append(f"{seconds:6.1f} s  ", "dim")
    text.append(event.detail)
    return text


@contextmanager
def events_shown() -> Iterator[None]:
    """Show the events of the steps on stderr: drawn live on a terminal, else one line each."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    board = _Board(console)
    logger = logging.getLogger("digits.events")
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(board)
    try:
        if console.is_terminal:
            with Live(board, console=console, refresh_per_second=8) as board.live:
                yield
        else:
            yield
    finally:
        logger.removeHandler(board)
        logger.setLevel(level)


def _leaderboard_table(evaluation: Mapping[str, Any]) -> Table:
    """Return the leaderboard of an evaluation as `read_evaluation` gives it, best validation accuracy first."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    interval = f"test ({interval_name(evaluation['confidence'])})"
    for heading in ("family", "validation", interval, "", "macro F1", "log loss", "per image", "fit", ""):
        table.add_column(heading, justify="left" if heading in {"family", ""} else "right", no_wrap=True)
    for number, row in enumerate(evaluation["leaderboard"]):
        table.add_row(
            row["family"],
            _validation(row),
            f"{row['test_accuracy']:.2%} ({row['test_accuracy_low']:.2%} to {row['test_accuracy_high']:.2%})",
            row["against_best"] if number else "",
            f"{row['macro_f1']:.4f}",
            f"{row['log_loss']:.4f}",
            f"{1e6 * row['batch_seconds']:,.0f} µs",
            f"{row['fit_seconds']:.1f} s",
            "reused" if row["reused"] else "trained",
            style="bold green" if number == 0 else "",
        )
    return table


def _validation(row: Mapping[str, Any]) -> str:
    """Return the validation accuracy, with the folds' deviation where there are folds."""
    deviation = row["cross_validation_deviation"]
    return f"{row['validation_accuracy']:.2%}" + ("" if deviation is None else f" ± {deviation:.2%}")


def print_leaderboard(evaluation: Mapping[str, Any]) -> None:
    """Print the leaderboard of an evaluation on stdout, and below it which families have no place on it, and why."""
    console = result_console()
    console.print(_leaderboard_table(evaluation))
    best, *others = evaluation["leaderboard"]
    if any(row["tied"] for row in others):
        console.print(Text(f"tied: the test images do not tell it from {best['family']}", "dim"))
    if any(row["better"] for row in others):
        words = f"better: the test images say so, but they choose nothing; {best['family']} is best by validation"
        console.print(Text(words, "dim"))
    if evaluation["label_errors"]:
        mistakes, known = best["mistakes"], best["mistakes_on_label_errors"]
        wrong = f"{evaluation['label_errors']} test labels are known to be wrong"
        console.print(Text(f"{wrong}: of the {mistakes} mistakes of {best['family']}, {known} are on them", "dim"))
    claim = evaluation["claim"]
    verdict = "rejected" if claim["rejected"] else "not rejected"
    tested = f"(exact binomial test, p = {claim['p_value']:.2g})"
    words = f"the claim of {percentage(claim['accuracy'])} accuracy is {verdict} {tested}"
    console.print(Text(words, "dim"))
    for family, reason in evaluation["failed"].items():
        console.print(Text(f"{family}: {reason}", "red"))


def print_explanations(explanations: Sequence[Explanation]) -> None:
    """Print on stdout what a run does with each family, a line for each reason."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("family", "", "because of", ""):
        table.add_column(heading, no_wrap=True)
    for item in explanations:
        first = [Text(item.family), Text(item.action, _STYLES["reused" if item.action == "reuse" else "running"])]
        reasons = [[Text(change.component), Text(change.detail)] for change in item.changes]
        for number, reason in enumerate(reasons or [[]]):
            table.add_row(*(first if number == 0 else ["", ""]), *reason)
    result_console().print(table)


def print_garbage(found: Mapping[str, Sequence[Garbage]], *, removed: bool) -> None:
    """Print on stdout what nothing refers to, dataset by dataset, and what becomes of it."""
    console = result_console()
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("dataset", "", "", "what", "size"):
        table.add_column(heading, no_wrap=True, justify="right" if heading == "size" else "left")
    for dataset, items in found.items():
        for item in items:
            table.add_row(dataset, item.kind, item.name, item.detail, decimal(item.n_bytes))
    everything = [item for items in found.values() for item in items]
    if everything:
        console.print(table)
    counts = [f"{sum(item.kind == kind for item in everything)} {kind}s" for kind in ("run", "folder")]
    size = decimal(sum(item.n_bytes for item in everything))
    verdict = "removed" if removed else "would be removed; do it with --no-dry-run"
    console.print(f"{' and '.join(counts)}, {size}, {verdict}" if everything else "nothing to remove")


def print_references(found: Sequence[Referred]) -> None:
    """Print on stdout what was published, what comes out here, and what the pipeline's best reaches."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("system", "", "published", "here", "pipeline's best", ""):
        left = heading in {"system", ""}
        table.add_column(heading, no_wrap=True, justify="left" if left else "right")
    for item in found:
        best = "" if item.champion_accuracy is None else f"{item.champion_accuracy:.2%}"
        family = item.champion or f"after `digits run {item.dataset}`"
        table.add_row(item.name, item.title, item.published_text, f"{item.accuracy:.2%}", best, family)
    console = result_console()
    console.print(table)
    for item in found:
        if item.statement:
            console.print(f"\n{item.name}", style="bold")
            console.print(item.statement, highlight=False)


def result_console() -> Console:
    """Return a console on stdout that is wide enough for the leaderboard where nobody is looking."""
    console = Console(soft_wrap=True, highlight=False)
    return console if console.is_terminal else Console(soft_wrap=True, highlight=False, width=WIDE)
