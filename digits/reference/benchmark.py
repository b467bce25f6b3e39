"""The page of a benchmark: families beside plain scripts, the race to 99 %, and the machine it was measured on."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Self

import psutil

from digits.models.processor import has_bfloat16, processor_name
from digits.reference.measured import Measured

__all__ = ["Benchmark", "Machine", "Race", "Row", "head"]

_LIBRARIES = ("numpy", "scikit-learn", "opencv-python-headless", "tensorflow", "keras")


@dataclass(frozen=True)
class Machine:
    """Where and when something was measured.

    Attributes
    ----------
    processor, cores, memory_gib, bfloat16
        The hardware; whether the processor multiplies bfloat16.
    load
        How many processes wanted a core in the minute before, per core; above 0.5 the machine was busy.
    versions
        Distribution → version, and Python's.
    date
        The day, in UTC.
    """

    processor: str
    cores: int
    memory_gib: float
    bfloat16: bool
    load: float
    versions: Mapping[str, str]
    date: str

    @classmethod
    def here(cls) -> Self:
        """Return what this machine is now."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return cls(
            processor=processor_name(),
            cores=cores,
            memory_gib=round(psutil.virtual_memory().total / (1 << 30), 1),
            bfloat16=has_bfloat16(),
            load=round(psutil.getloadavg()[0] / cores, 2),
            versions={"python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}},
            date=datetime.now(UTC).date().isoformat(),
        )


@dataclass(frozen=True)
class Row:
    """One family: what each seed gave, and the plain script, where there is one."""

    family: str
    ours: Sequence[Measured]
    plain: Measured | None

    def as_dict(self) -> dict[str, Any]:
        """Return means over the seeds, the spread of the accuracy (standard deviation), and plain over ours."""
        accuracies = [each.accuracy for each in self.ours]
        fit, predict = (
            statistics.mean(getattr(each, name) for each in self.ours) for name in ("fit_seconds", "predict_seconds")
        )
        row: dict[str, Any] = {
            "family": self.family,
            "seeds": len(self.ours),
            "accuracy": statistics.mean(accuracies),
            "accuracy_deviation": statistics.stdev(accuracies) if len(accuracies) > 1 else None,
            "fit_seconds": fit,
            "predict_seconds": predict,
        }
        if self.plain is None:
            return row | {"plain": None}
        return row | {
            "plain": asdict(self.plain),
            "fit_ratio": self.plain.fit_seconds / fit,
            "predict_ratio": self.plain.predict_seconds / predict,
            "error_ratio": (1 - self.plain.accuracy) / max(1 - row["accuracy"], 1e-9),
        }


@dataclass(frozen=True)
class Race:
    """How long it takes from the start of a process, imports and images included, to a fitted and scored classifier.

    Attributes
    ----------
    target, accuracy
        What was wanted and what came out, on the test rows.
    family
        Who ran.
    seconds, processor_seconds
        By the clock on the wall, and of the processor.
    """

    target: float
    accuracy: float
    family: str
    seconds: float
    processor_seconds: float


@dataclass(frozen=True)
class Benchmark:
    """Everything that was measured."""

    dataset: str
    machine: Machine
    rows: Sequence[Row]
    races: Sequence[Race]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "dataset": self.dataset,
            "machine": asdict(self.machine),
            "families": [row.as_dict() for row in self.rows],
            "time_to": [asdict(race) for race in self.races],
        }

    def as_markdown(self) -> str:
        """Return a page."""
        lines = [*head(self.dataset, self.machine), *_table([row.as_dict() for row in self.rows])]
        if self.races:
            lines += ["", "| time to | family | accuracy | seconds | of the processor |", "|---|---|---|---|---|"]
        lines += [
            f"| {race.target:.2%} | {race.family} | {race.accuracy:.2%} | {race.seconds:.1f} "
            f"| {race.processor_seconds:.1f} |"
            for race in self.races
        ]
        return "\n".join(lines)


def head(command: str, machine: Machine) -> list[str]:
    """Return the lines above a table: what `digits bench` was asked for, and where and when."""
    extra = "with" if machine.bfloat16 else "without"
    libraries = ", ".join(f"{name} {number}" for name, number in machine.versions.items())
    busy = machine.load > 0.5
    return [
        f"Output of `digits bench {command}`, {machine.date}: {machine.processor}, {machine.cores} cores, {extra} "
        f"bfloat16, {machine.memory_gib:g} GiB; {libraries}.",
        "",
        *([f"**The machine was busy** (load {machine.load:g} per core): times are too long.", ""] if busy else []),
    ]


def _table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [
        "| family | test accuracy | fit | predict | plain script | fit | predict | mistakes, plain / ours | fit, plain / ours |",  # noqa: E501 - one row
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        spread = "" if row["accuracy_deviation"] is None else f" ± {100 * row['accuracy_deviation']:.2f}"
        cells = [
            row["family"],
            f"{100 * row['accuracy']:.2f}{spread} %",
            f"{row['fit_seconds']:.1f} s",
            f"{row['predict_seconds']:.1f} s",
        ]
        if plain := row["plain"]:
            cells += [
                f"{plain['accuracy']:.2%}",
                f"{plain['fit_seconds']:.1f} s",
                f"{plain['predict_seconds']:.1f} s",
                f"{row['error_ratio']:.1f}",
                f"{row['fit_ratio']:.1f}",
            ]
        lines.append("| " + " | ".join(cells + [""] * (9 - len(cells))) + " |")
    return lines
