"""Validation: a snapshot keeps its contract, or the run ends here.

All images are looked through (``inspection``): numbers are measured (``summary``), rules name their bounds (``rules``,
``bounds``), Great Expectations judges (``expectations``). The verdict is written for machines (``report``) and for
people (``datadocs``, ``quarantine``).
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from digits.data.bounds import Reference, ValidateParams
from digits.data.datadocs import INDEX, write_docs
from digits.data.expectations import Judge
from digits.data.inspection import Inspection, inspect
from digits.data.quarantine import write_quarantine
from digits.data.report import RuleResult, SetAside, ValidationReport
from digits.data.rules import ROW_RULES, Rule, Table, rules_of
from digits.data.snapshot import DESCRIPTION, Snapshot
from digits.data.summary import ink_distance, label_distance, summarise_classes
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
    images = inspect(snapshot, params=params, rules=rules, judge=judge)
    results = {rule.name: _of_images(rule, images, files=files) for rule in rules if rule.table == "images"}
    aside = _set_aside(images.broken, files=files) if params.on_invalid == "quarantine" else ()
    kept = images.without([one.row for one in aside])
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


def _class_table(images: Inspection) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame() if images.labels is None else summarise_classes(images.labels)


def _snapshot_table(snapshot: Snapshot, images: Inspection, *, params: ValidateParams) -> pd.DataFrame:
    """Return one row: the shape of the arrays, and the distributions of what is left of the images."""
    import pandas as pd

    pixels, labels = snapshot.images(), snapshot.labels()
    facts: dict[str, Any] = {
        "images_shape": str(pixels.shape),
        "labels_shape": str(labels.shape),
        "images_dtype": str(pixels.dtype),
        "labels_dtype": str(labels.dtype),
        "max_value": snapshot.max_value,
        "rows": pixels.shape[0] if images.ink is None else len(images.ink),
    }
    if images.labels is not None and images.ink is not None:
        facts["mean_ink"] = float(images.ink.mean()) if len(images.ink) else 0.0
        if params.reference is not None:
            facts |= {
                "label_distance": label_distance(images.labels, shares=params.reference.label_shares),
                "ink_distance": ink_distance(images.ink, deciles=params.reference.ink_deciles),
            }
    return pd.DataFrame([facts])


def _judged(table: Table, frame: pd.DataFrame, *, rules: Sequence[Rule], judge: Judge) -> dict[str, RuleResult]:
    """Return what each rule about `table` found in `frame`, by the name of the rule."""
    about = [rule for rule in rules if rule.table == table]
    judged = [rule for rule in about if rule.checks and all(check.column in frame for check in rule.checks)]
    passed = judge.passed(table, frame, rules=judged) if judged else {}
    results = {rule.name: _not_looked_at(rule) for rule in about}
    for rule in judged:
        broken = np.flatnonzero(rule.broken_by(frame))
        results[rule.name] = _result(rule, found=rule.found(frame), passed=passed[rule.name], broken=broken)
    return results


def _of_images(rule: Rule, images: Inspection, *, files: Sequence[str]) -> RuleResult:
    """Return what a rule about images found."""
    if images.ink is None:
        return _not_looked_at(rule)
    broken = images.broken[rule.name]
    found = f"{len(broken):,} of {len(images.ink):,} images"
    return _result(rule, found=found, passed=images.passed[rule.name], broken=broken, files=files)


def _not_looked_at(rule: Rule) -> RuleResult:
    reason = "the arrays cannot be measured" if rule.checks else "the params give no reference"
    return RuleResult(rule.name, rule.meaning, rule.wanted, f"not looked at: {reason}", passed=None)


def _result(
    rule: Rule, *, found: str, passed: bool, broken: NDArray[np.int64], files: Sequence[str] = ()
) -> RuleResult:
    first = tuple(int(row) for row in broken[:_ROWS_IN_REPORT]) if rule.table != "snapshot" else ()
    return RuleResult(
        name=rule.name,
        meaning=rule.meaning,
        wanted=rule.wanted,
        found=found,
        passed=passed,
        count=len(broken),
        rows=first,
        files=tuple(files[row] for row in first) if files else (),
    )


def _set_aside(broken: Mapping[str, NDArray[np.int64]], *, files: Sequence[str]) -> tuple[SetAside, ...]:
    """Return the rows that break a rule about images, ascending, each with the names of those rules."""
    reasons: dict[int, list[str]] = {}
    for name, rows in broken.items():
        for row in rows:
            reasons.setdefault(int(row), []).append(name)
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
