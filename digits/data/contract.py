"""Validation: a snapshot keeps its contract, or the run ends here.

Numbers are measured (``summary``), rules name their bounds (``rules``, ``bounds``), Great Expectations judges
(``expectations``), and the verdict is written for machines (``report``) and for people (``datadocs``, ``quarantine``).
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from digits.data.bounds import Reference, ValidateParams
from digits.data.datadocs import INDEX, write_docs
from digits.data.expectations import Judge
from digits.data.quarantine import write_quarantine
from digits.data.report import RuleResult, SetAside, ValidationReport
from digits.data.rules import ROW_RULES, Rule, Table, rules_of
from digits.data.snapshot import DESCRIPTION, Snapshot
from digits.data.summary import ink_distance, label_distance, summarise, summarise_classes
from digits.errors import ContractViolation, MissingError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Reference", "ValidateParams", "validate"]

log = logging.getLogger(__name__)

# How many offending rows the report and the one line of the error name.
_ROWS_IN_REPORT, _ROWS_IN_ERROR = 10, 5


def validate(
    snapshot: Snapshot, *, params: ValidateParams, path: Path, docs: Path, quarantine: Path | None = None
) -> ValidationReport:
    """Judge a snapshot by every rule of its contract and write what was found.

    Parameters
    ----------
    snapshot
        The snapshot to judge; nothing in it is changed.
    params
        The bounds of every rule, and whether rows that break one fail the run or are set aside.
    path
        Folder that gets ``report.json``, whose bytes depend on snapshot and params alone.
    docs
        Folder that is replaced by the Data Docs: ``index.html`` and a page per table, readable without a network.
    quarantine
        Folder that is replaced by the pictures that are set aside, with ``reasons.json``; by default ``quarantine``
        inside `path`. Removed where ``params.on_invalid`` is not ``"quarantine"``: nothing is set aside then.

    Raises
    ------
    ContractViolation
        A rule is violated. Report, Data Docs and quarantine have been written before.
    MissingError
        The snapshot's files cannot be read or are damaged.
    """
    snapshot.verify()
    files = _files(snapshot)
    rules = rules_of(params, n_samples=snapshot.n_samples)
    judge = Judge()
    images = _image_table(snapshot, params=params)
    results = _judged("images", images, rules=rules, judge=judge, files=files)
    aside = _set_aside(images, rules=rules, files=files) if params.on_invalid == "quarantine" else ()
    kept = images.drop(index=[one.row for one in aside])
    results |= _judged("classes", _class_table(kept), rules=rules, judge=judge)
    results |= _judged("snapshot", _snapshot_table(snapshot, kept, params=params), rules=rules, judge=judge)
    report = ValidationReport(
        path=path,
        dataset=snapshot.dataset,
        snapshot=snapshot.digest,
        success=not _violated(rules, results=results, forgiven=aside),
        rules=tuple(results[rule.name] for rule in rules),
        quarantined=aside,
        params=params.model_dump(mode="json"),
    )
    report.write()
    write_docs(docs, report=report, judge=judge, snapshot=snapshot)
    folder = quarantine or path / "quarantine"
    if params.on_invalid == "quarantine":
        write_quarantine(folder, rows=aside, snapshot=snapshot)
    elif folder.exists():
        shutil.rmtree(folder)
    if aside:
        log.warning("%s: %d of %d images are set aside", snapshot.dataset, len(aside), snapshot.n_samples)
    if not report.success:
        raise ContractViolation(_complaint(_violated(rules, results=results, forgiven=aside), report, docs=docs))
    return report


def _image_table(snapshot: Snapshot, *, params: ValidateParams) -> pd.DataFrame:
    """Return a row of measures per image, or an empty table when the arrays are no images with labels."""
    import pandas as pd

    images, labels = snapshot.images(), snapshot.labels()
    measurable = images.ndim == 3 and labels.shape == images.shape[:1] and images[:1].size > 0
    if not (measurable and images.dtype.kind in "bui" and labels.dtype.kind in "bui"):
        return pd.DataFrame()
    return summarise(images, labels, max_value=params.max_value, ink_level=params.ink_level, test_rows=params.test_rows)


def _class_table(images: pd.DataFrame) -> pd.DataFrame:
    return summarise_classes(images["label"].to_numpy()) if "label" in images else images


def _snapshot_table(snapshot: Snapshot, images: pd.DataFrame, *, params: ValidateParams) -> pd.DataFrame:
    """Return one row: the shape of the arrays, and the distributions of what is left of the images."""
    import pandas as pd

    pixels, labels = snapshot.images(), snapshot.labels()
    facts: dict[str, Any] = {
        "images_shape": str(pixels.shape),
        "labels_shape": str(labels.shape),
        "images_dtype": str(pixels.dtype),
        "labels_dtype": str(labels.dtype),
        "max_value": snapshot.max_value,
        "rows": len(images) if "row" in images else pixels.shape[0],
    }
    if "ink" in images:
        ink = images["ink"].to_numpy()
        facts["mean_ink"] = float(ink.mean()) if len(ink) else 0.0
        if params.reference is not None:
            facts |= {
                "label_distance": label_distance(images["label"].to_numpy(), shares=params.reference.label_shares),
                "ink_distance": ink_distance(ink, deciles=params.reference.ink_deciles),
            }
    return pd.DataFrame([facts])


def _judged(
    table: Table, frame: pd.DataFrame, *, rules: Sequence[Rule], judge: Judge, files: Sequence[str] = ()
) -> dict[str, RuleResult]:
    """Return what each rule about `table` found in `frame`, by the name of the rule."""
    about = [rule for rule in rules if rule.table == table]
    judged = [rule for rule in about if rule.checks and all(check.column in frame for check in rule.checks)]
    passed = judge.passed(table, frame, rules=judged) if judged else {}
    return {rule.name: _result(rule, frame, passed=passed.get(rule.name), files=files) for rule in about}


def _result(rule: Rule, frame: pd.DataFrame, *, passed: bool | None, files: Sequence[str]) -> RuleResult:
    if passed is None:
        reason = "the arrays cannot be measured" if rule.checks else "the params give no reference"
        return RuleResult(rule.name, rule.meaning, rule.wanted, f"not looked at: {reason}", passed=None)
    broken = np.flatnonzero(rule.broken_by(frame))
    first = tuple(int(row) for row in broken[:_ROWS_IN_REPORT]) if rule.table != "snapshot" else ()
    return RuleResult(
        name=rule.name,
        meaning=rule.meaning,
        wanted=rule.wanted,
        found=rule.found(frame),
        passed=passed,
        count=len(broken),
        rows=first,
        files=tuple(files[row] for row in first) if files else (),
    )


def _set_aside(images: pd.DataFrame, *, rules: Sequence[Rule], files: Sequence[str]) -> tuple[SetAside, ...]:
    """Return the rows that break a rule about images, ascending, each with the names of those rules."""
    if "row" not in images:
        return ()
    reasons: dict[int, list[str]] = {}
    for rule in rules:
        if rule.table == "images":
            for row in np.flatnonzero(rule.broken_by(images)):
                reasons.setdefault(int(row), []).append(rule.name)
    return tuple(SetAside(row, tuple(reasons[row]), files[row] if files else None) for row in sorted(reasons))


def _violated(
    rules: Sequence[Rule], *, results: Mapping[str, RuleResult], forgiven: Sequence[SetAside]
) -> list[RuleResult]:
    """Return the results that end the run: a rule about images does not when its rows were set aside."""
    reasons = {reason for one in forgiven for reason in one.reasons}
    return [results[rule.name] for rule in rules if results[rule.name].passed is False and rule.name not in reasons]


def _complaint(violated: Sequence[RuleResult], report: ValidationReport, *, docs: Path) -> str:
    """Return the one line that says which rules are broken, by which rows, and where to look."""
    mend = "mend the source or change `validate` in params.yaml"
    if any(result.name in ROW_RULES for result in violated):
        mend = "mend the source, or set these images aside with `on_invalid: quarantine` in params.yaml"
    broken = "; ".join(_named(result) for result in violated)
    return f"snapshot {report.dataset} breaks {broken}; see {docs / INDEX}; {mend}"


def _named(result: RuleResult) -> str:
    where = ""
    if result.name in ROW_RULES:
        rows = [str(row) for row in result.rows]
        if result.files:
            rows = [f"{row} ({file})" for row, file in zip(result.rows, result.files, strict=True)]
        more = ", …" if result.count > _ROWS_IN_ERROR else ""
        where = f", rows {', '.join(rows[:_ROWS_IN_ERROR])}{more}"
    return f"{result.name} (found {result.found}{where}; wanted {result.wanted})"


def _files(snapshot: Snapshot) -> tuple[str, ...]:
    """Return the names of the files that the images came from, in row order; none when the snapshot has none."""
    files = json.loads((snapshot.path / DESCRIPTION).read_text(encoding="utf-8")).get("files", ())
    if files and len(files) != snapshot.n_samples:
        raise MissingError(
            f"snapshot {snapshot.path} is damaged: {len(files)} file names for {snapshot.n_samples} images; "
            f"run `digits ingest {snapshot.dataset}`"
        )
    return tuple(files)
