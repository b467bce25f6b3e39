"""The report of one evaluation: a page for people that is whole in one file, pictures and all."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from digits.data.split import Split
from digits.experiments.canvas import ORANGE, percent
from digits.experiments.conditions import by_handwriting, by_harm
from digits.experiments.corruptions import CORRUPTIONS
from digits.experiments.evaluation import Evaluation, read_evaluation
from digits.experiments.overview import PICTURES
from digits.experiments.robustness import at_reference
from digits.experiments.scores import plots_folder
from digits.experiments.statistics import interval_name, percentage
from digits.files import replaced_file
from digits.pages import PAGE_STYLE

__all__ = ["changes_since", "write_report"]

TEMPLATE = Path(__file__).with_name("report.html")


def write_report(
    path: Path,
    evaluation: Evaluation,
    *,
    split: Split,
    before: Mapping[str, Any] | None = None,
    data_docs: str | None = None,
    git: Mapping[str, str] | None = None,
) -> None:
    """Write the page.

    Parameters
    ----------
    path
        The file.
    evaluation
        What it tells of.
    split
        What the families were fitted and assessed on.
    before
        The evaluation before this one, as `read_evaluation` gives it, if there was one.
    data_docs
        Address of the Data Docs, relative to the page, if they are there.
    git
        The tags that name the code.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"percent": percent, "bytes": _bytes, "change": _change}
    environment.filters |= {"interval_name": interval_name, "percentage": percentage}
    page = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    best = evaluation.best
    comparable = before["leaderboard"] if before and before["split"] == split.digest else ()
    text = page.render(
        style=PAGE_STYLE,
        harm_colour=ORANGE,
        dataset=split.snapshot.dataset,
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        evaluation=evaluation,
        best=best,
        snapshot=split.snapshot,
        split=split,
        n_development=len(split.development()),
        git=git or {},
        data_docs=data_docs,
        changes=changes_since(before, read_evaluation(evaluation.path)),
        accuracy_before={row["family"]: row["test_accuracy"] for row in comparable},
        kinds=[kind.name for kind in CORRUPTIONS],
        strengths={kind.name: f"{kind.reference:g} {kind.unit}" for kind in CORRUPTIONS},
        at_reference={row.family: at_reference(row.conditions) for row in evaluation.rows},
        handwriting=by_handwriting(best.conditions),
        harm={row.family: by_harm(row.conditions) for row in evaluation.rows},
        units={kind.name: kind.unit for kind in CORRUPTIONS},
        overview=[_embedded(evaluation.path / name) for name in PICTURES],
        plots=_side_by_side(evaluation),
    )
    with replaced_file(path) as work:
        work.write_text(text, encoding="utf-8")


def changes_since(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> list[str]:
    """Return what is different between two evaluations, a sentence each; nothing when there was none before.

    Both as `digits.experiments.evaluation.read_evaluation` gives them.
    """
    if before is None:
        return []
    rows, rows_then = ({row["family"]: row for row in each["leaderboard"]} for each in (now, before))
    changes = []
    if before.get("snapshot") != now["snapshot"]:
        changes.append("The snapshot is another one: the figures of both runs are of different images.")
    elif before["split"] != now["split"]:
        changes.append("The rows are split in another way: the figures of both runs are of different images.")
    if others := [name for name, value in now["params"].items() if before["params"].get(name) != value]:
        changes.append(f"Evaluated with other params: {', '.join(others)}.")
    if before.get("code") != now["code"]:
        changes.append("Evaluated by other code: a figure may be another one for that alone.")
    changes += [f"{family} is new." for family in rows if family not in rows_then]
    changes += [f"{family} has failed." for family in rows_then if family in now["failed"]]
    changes += [f"{family} is no longer there." for family in rows_then if family not in {*rows, *now["failed"]}]
    prints, prints_then = now["fingerprints"], before.get("fingerprints", {})
    fitted = [
        f"{family}, {percent(rows_then[family]['test_accuracy'])} to {percent(row['test_accuracy'])}"
        for family, row in rows.items()
        if family in rows_then and prints_then.get(family) != prints[family]
    ]
    if fitted:
        changes.append(f"Fitted with other params, data or code: {'; '.join(fitted)}.")
    (leader, *_), (leader_then, *_) = rows, rows_then
    if leader != leader_then:
        changes.append(f"The best by validation is {leader}; it was {leader_then}.")
    return changes or ["Nothing: the same candidates, params and code, on the same images."]


def _side_by_side(evaluation: Evaluation) -> dict[str, list[tuple[str, str]]]:
    """Return kind of picture → family and address of each, the best family first."""
    pictures: dict[str, list[tuple[str, str]]] = {}
    for row in evaluation.rows:
        for file in sorted(plots_folder(evaluation.path, row.family).glob("*.png")):
            kind, address = _embedded(file)
            pictures.setdefault(kind, []).append((row.family, address))
    return pictures


def _embedded(file: Path) -> tuple[str, str]:
    """Return the name of a picture, and an address that holds it."""
    return file.stem.replace("_", " "), "data:image/png;base64," + base64.b64encode(file.read_bytes()).decode()


def _change(now: float, before: float | None) -> str:
    """Return by how many points a share has changed; nothing where it has not, or is new."""
    points = 0.0 if before is None else round(100 * (now - before), 2)
    return f"{points:+.2f}" if points else ""


def _bytes(count: int) -> str:
    size, units = float(count), iter(("B", "kB", "MB", "GB"))
    unit = next(units)
    while size >= 1000 and unit != "GB":
        size, unit = size / 1000, next(units)
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
