"""Evaluation: the leaderboard of assessed candidates, the best one chosen on the validation rows.

Does not know how candidates came to be (``fitting``) or what becomes of the best one (``registry``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np

from digits.data.split import Split
from digits.errors import FitFailed, MissingError
from digits.experiments.assessment import EvaluateParams
from digits.experiments.candidate import Candidate
from digits.experiments.claim import Claim
from digits.experiments.code import code_digests, reachable
from digits.experiments.comparison import Comparison, better_than, compare, tied_with
from digits.experiments.label_errors import wrong_labels
from digits.experiments.leaderboard import Row, ranked
from digits.experiments.overview import pictures_of
from digits.experiments.scores import forget_others, read_conditions, read_cost, read_metrics, read_predicted
from digits.files import write_json

__all__ = ["Evaluation", "evaluate", "last_evaluation", "read_evaluation"]

DESCRIPTION, METRICS = "evaluation.json", "metrics.json"
#: What those who read the last evaluation rely on.
_READ = ("leaderboard", "failed", "confidence", "split", "params", "comparisons", "label_errors", "claim")

#: What a row says and no picture shows, as of a fit that was done again.
_NOT_DRAWN = dict.fromkeys(("fit_seconds", "run_id", "reused"))


class Draw(Protocol):
    """Who draws the pictures of an evaluation."""

    def __call__(self, rows: Sequence[Row], *, split: Split, path: Path) -> None:
        """Draw them into the folder `path`."""


@dataclass(frozen=True)
class Evaluation:
    """Result of one evaluation: the leaderboard, best candidate first.

    Attributes
    ----------
    path
        Folder that holds ``evaluation.json`` (this machine's runs included), ``metrics.json`` (the figures alone),
        and what ``assessment`` wrote.
    rows
        One per candidate, best validation accuracy first; log loss on validation breaks ties.
    failed
        Family → why it has no candidate.
    params
        Section ``evaluate`` that it was made with.
    comparisons
        Every pair of families on the same test rows.
    claim
        The accuracy that was claimed of the best one, and whether the test rows reject that.
    n_label_errors
        How many test rows are known to have a wrong label.
    """

    path: Path
    rows: tuple[Row, ...]
    failed: Mapping[str, str]
    params: EvaluateParams
    comparisons: tuple[Comparison, ...]
    claim: Claim
    n_label_errors: int

    @property
    def best(self) -> Row:
        """The row of the candidate that validation data chose."""
        return self.rows[0]

    @classmethod
    def load(cls, path: Path, *, candidate: Callable[[str], Path], split: Split) -> Self:
        """Read the evaluation in `path`, of candidates in the folders that `candidate` gives.

        Raises
        ------
        MissingError
            There is none, or it is of other candidates or another split than there are now.
        """
        content = read_evaluation(path)
        try:
            rows = tuple(
                replace(
                    _row(path, Candidate.load(candidate(row["family"])), reused=row["reused"]),
                    tied=row["tied"],
                    better=row["better"],
                    on_label_errors=row["mistakes_on_label_errors"],
                )
                for row in content["leaderboard"]
            )
            params = EvaluateParams.model_validate(content["params"])
            comparisons = tuple(Comparison(**item) for item in content["comparisons"])
            claim = Claim(**content["claim"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _no_evaluation(path, error) from error
        fitted = {row.family: row.candidate.fingerprint.digest for row in rows}
        if fitted != content.get("fingerprints") or split.digest != content["split"]:
            raise MissingError(
                f"the evaluation in {path} is of other candidates than there are now; run `digits evaluate {path.name}`"
            )
        return cls(
            path=path,
            rows=rows,
            failed=content["failed"],
            params=params,
            comparisons=comparisons,
            claim=claim,
            n_label_errors=content["label_errors"],
        )


def read_evaluation(path: Path) -> dict[str, Any]:
    """Return the last evaluation in `path` as it was written: ``leaderboard``, ``failed``, ``confidence`` and digests.

    Raises
    ------
    MissingError
        There is none, or the file lacks a part.
    """
    try:
        content: dict[str, Any] = json.loads((path / DESCRIPTION).read_text(encoding="utf-8"))
        if lacking := [name for name in _READ if name not in content]:
            raise KeyError(*lacking)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _no_evaluation(path, error) from error
    return content


def last_evaluation(path: Path) -> dict[str, Any] | None:
    """Return what `read_evaluation` does; None where there is none that can be read."""
    try:
        return read_evaluation(path)
    except MissingError:
        return None


def _no_evaluation(path: Path, error: Exception) -> MissingError:
    todo = f"run `digits run {path.name}`, or `digits evaluate {path.name}` where its candidates are there"
    return MissingError(f"no evaluation in {path} ({type(error).__name__}: {error}); {todo}")


def evaluate(
    candidates: Sequence[Candidate],
    *,
    split: Split,
    path: Path,
    params: EvaluateParams,
    reused: Iterable[str],
    failed: Mapping[str, str],
    draw: Draw,
) -> Evaluation:
    """Put assessed candidates in order and write the evaluation into `path`.

    Parameters
    ----------
    candidates
        Candidates whose folders below `path` hold what `assess` wrote.
    split
        What they were fitted and assessed on.
    path
        Folder of the evaluation.
    params
        Section ``evaluate``.
    reused
        Families whose candidates were remembered, not fitted.
    failed
        Family → why it has no candidate.
    draw
        Draws the pictures of all families, where this very evaluation has none yet.

    Raises
    ------
    FitFailed
        There is no candidate at all.
    """
    if not candidates:
        reasons = "; ".join(f"{family}: {reason}" for family, reason in failed.items())
        raise FitFailed(f"no family gave a candidate ({reasons})")
    kept, wrong = set(reused), wrong_labels(split, params.label_errors)
    rows = ranked(_row(path, candidate, reused=candidate.family in kept) for candidate in candidates)
    best = rows[0]
    labels = np.asarray(split.snapshot.labels())[split.test()]
    predicted = {row.family: read_predicted(path, row.family, split=split) for row in rows}
    comparisons = tuple(compare({family: labels == column for family, column in predicted.items()}))
    tied = {best.family, *tied_with(best.family, comparisons, confidence=best.test.confidence)}
    better = better_than(best.family, comparisons, confidence=best.test.confidence)
    rows = tuple(
        replace(
            row,
            tied=row.family in tied,
            better=row.family in better,
            on_label_errors=int(np.sum(wrong & (predicted[row.family] != labels))),
        )
        for row in rows
    )
    scored = best.test
    evaluation = Evaluation(
        path=path,
        rows=rows,
        failed=dict(failed),
        params=params,
        comparisons=comparisons,
        claim=Claim.of(
            params.claim, n_correct=scored.n_correct, n_samples=scored.n_samples, confidence=scored.confidence
        ),
        n_label_errors=int(wrong.sum()),
    )
    forget_others(path, families={row.family for row in rows})
    content = _description(evaluation, split=split)
    if not _is_drawn(path, content):
        draw(rows, split=split, path=path)
    write_json(path / METRICS, _figures(evaluation))
    write_json(path / DESCRIPTION, {**content, "pictures": pictures_of(path)})
    return evaluation


def _row(path: Path, candidate: Candidate, *, reused: bool) -> Row:
    """Return the line of a candidate with what its assessment wrote into `path`."""
    return Row(
        candidate=candidate,
        test=read_metrics(path, candidate.family),
        cost=read_cost(path, candidate.family),
        reused=reused,
        conditions=tuple(read_conditions(path, candidate.family)),
    )


def _description(evaluation: Evaluation, *, split: Split) -> dict[str, Any]:
    """Return what ``evaluation.json`` holds."""
    code = code_digests(reachable(__name__, below="digits.experiments"))
    return {
        "snapshot": split.snapshot.digest,
        "split": split.digest,
        "code": hashlib.sha256(json.dumps(code).encode()).hexdigest(),
        "confidence": evaluation.best.test.confidence,
        "params": evaluation.params.model_dump(mode="json"),
        "leaderboard": [row.as_dict() for row in evaluation.rows],
        "fingerprints": {row.family: row.candidate.fingerprint.digest for row in evaluation.rows},
        "failed": evaluation.failed,
        "label_errors": evaluation.n_label_errors,
        "claim": asdict(evaluation.claim),
        "comparisons": [item.as_dict() for item in evaluation.comparisons],
    }


def _is_drawn(path: Path, content: Mapping[str, Any]) -> bool:
    """Return whether the pictures of this very evaluation are there; `_NOT_DRAWN` is in none of them."""
    before = last_evaluation(path)
    if before is None or before.pop("pictures", None) != pictures_of(path):
        return False
    rows = [[row | _NOT_DRAWN for row in each["leaderboard"]] for each in (before, content)]
    return rows[0] == rows[1] and {**before, "leaderboard": None} == {**content, "leaderboard": None}


def _figures(evaluation: Evaluation) -> dict[str, Any]:
    """Return the figures that depend on nothing but params, data and code: those that commits are compared by."""
    names = ("validation_accuracy", "test_accuracy", "macro_f1", "log_loss")
    figures = {row.family: {name: row.as_dict()[name] for name in names} for row in evaluation.rows}
    return {"best": {"family": evaluation.best.family, **figures[evaluation.best.family]}, "families": figures}
