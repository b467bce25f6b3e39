"""How the time and memory of steps grow with the number of images, and whether that is too much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from digits.reference.benchmark import Machine, head
from digits.reference.distorted import BATCH_ROWS

__all__ = ["Growth", "StepMeasured"]

_MIB = 1 << 20

_HEADS = (
    "step",
    "images",
    "processor",
    "wall",
    "per 1,000 images",
    "time / linear",
    "peak memory",
    "of it the libraries",
    "memory / first",
)


@dataclass(frozen=True)
class StepMeasured:
    """What one step took for so many images, in a process of its own.

    Attributes
    ----------
    step
        Name of the step, or of the family that was fitted.
    n_images
        How many images.
    seconds, processor_seconds
        By the clock on the wall, and of the processor; libraries were loaded before.
    start_bytes, peak_bytes
        Private memory when the step began, which is the libraries', and at its peak.
    batched
        Whether the step goes through the images batch by batch: its memory is to grow hardly with their number.
    iterations
        Of the solver that fitted the family; None for a step that has none.
    """

    step: str
    n_images: int
    seconds: float
    processor_seconds: float
    start_bytes: int
    peak_bytes: int
    batched: bool
    iterations: int | None = None


@dataclass(frozen=True)
class Growth:
    """Every step for every number of images; for each step in ascending order of them."""

    dataset: str
    machine: Machine
    measured: Sequence[StepMeasured]

    def rows(self) -> list[dict[str, Any]]:
        """Return what was measured, step by step, with what came of it against fewer images.

        ``time_ratio`` is the processor time over that for the next smaller number of images, divided by how many times
        as many images they are: 1 where time is linear. ``memory_ratio`` is the peak over that for the fewest images
        of at least `BATCH_ROWS`: so many fill a part of the source and a batch of features, not a batch of validate.
        Either is None where there is nothing to compare with.
        """
        steps = dict.fromkeys(item.step for item in self.measured)
        return [row for step in steps for row in self._rows_of(step)]

    def _rows_of(self, step: str) -> list[dict[str, Any]]:
        items = [item for item in self.measured if item.step == step]
        full = [item for item in items if item.n_images >= BATCH_ROWS]
        rows = []
        for before, item in zip([None, *items[:-1]], items, strict=True):
            row: dict[str, Any] = {**asdict(item), "time_ratio": None, "memory_ratio": None}
            if before is not None:
                linear = before.processor_seconds * item.n_images / before.n_images
                row["time_ratio"] = item.processor_seconds / linear
            if item in full[1:]:
                row["memory_ratio"] = item.peak_bytes / full[0].peak_bytes
            rows.append(row)
        return rows

    def complaints(self, *, limit: float) -> list[str]:
        """Return in words where time grows by more than `limit` times linear, or memory that is not to grow so much."""
        found = []
        for row in self.rows():
            if (ratio := row["time_ratio"]) is not None and ratio > limit:
                found.append(f"{row['step']} of {row['n_images']:,} images takes {ratio:.2f} times what is linear")
            if (ratio := row["memory_ratio"]) is not None and row["batched"] and ratio > limit:
                found.append(f"{row['step']} of {row['n_images']:,} images takes {ratio:.2f} times the memory")
        return found

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {"dataset": self.dataset, "machine": asdict(self.machine), "steps": self.rows()}

    def as_markdown(self) -> str:
        """Return a page."""
        lines = [*head("scale", self.machine), _line(_HEADS), "|" + "---|" * len(_HEADS)]
        return "\n".join([*lines, *(_line(_cells(row)) for row in self.rows())])


def _cells(row: Mapping[str, Any]) -> list[str]:
    iterations = "" if row["iterations"] is None else f", {row['iterations']} iterations"
    return [
        f"{row['step']}{iterations}",
        f"{row['n_images']:,}",
        f"{row['processor_seconds']:.2f} s",
        f"{row['seconds']:.2f} s",
        f"{1e6 * row['processor_seconds'] / row['n_images']:.1f} ms",
        "" if row["time_ratio"] is None else f"{row['time_ratio']:.2f}",
        f"{row['peak_bytes'] / _MIB:.0f} MiB",
        f"{row['start_bytes'] / _MIB:.0f} MiB",
        "" if row["memory_ratio"] is None else f"{row['memory_ratio']:.2f}{'' if row['batched'] else ' (may grow)'}",
    ]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
