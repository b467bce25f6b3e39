"""The model card of a version: what it was made of, what it is good for, where it fails, and how to be rid of it.

After M. Mitchell et al., "Model cards for model reporting", FAT* 2019.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from digits.experiments.canvas import percent
from digits.experiments.conditions import by_handwriting
from digits.experiments.leaderboard import Row
from digits.experiments.metrics import Metrics
from digits.experiments.robustness import at_reference
from digits.experiments.statistics import interval_name, wilson_interval
from digits.registry.gate import Decision

if TYPE_CHECKING:
    from digits.data.snapshot import Snapshot

__all__ = ["model_card"]

TEMPLATE = Path(__file__).with_name("card.md")

#: So many of the most frequent mistakes, and of the harms that cost most, are named.
_NAMED = 5


def model_card(row: Row, *, snapshot: Snapshot, n_label_errors: int, decision: Decision, name: str) -> str:
    """Return the card in Markdown, short enough for the description of a version.

    Parameters
    ----------
    row
        The candidate with its test metrics.
    snapshot
        What it was fitted on.
    n_label_errors
        How many test rows are known to have a wrong label.
    decision
        The gate's answer.
    name
        Of the registered model.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)  # noqa: S701 - no HTML
    environment.filters["percent"] = percent
    environment.filters["interval_name"] = interval_name
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        row=row,
        snapshot=snapshot,
        n_label_errors=n_label_errors,
        decision=decision,
        name=name,
        recalls=list(_recalls(row.test)),
        mistakes=_mistakes(row.test),
        handwriting=by_handwriting(row.conditions),
        harms=sorted(at_reference(row.conditions).values(), key=lambda item: item.accuracy)[:_NAMED],
        n_harmed=next((item.n_samples for item in row.conditions if not item.is_handwriting), 0),
    )


def _recalls(metrics: Metrics) -> Iterator[tuple[int, float, tuple[float, float]]]:
    """Yield digit, recall and its interval, for every digit of which there is an image."""
    for label, right, total in zip(metrics.classes, metrics.matrix.diagonal(), metrics.matrix.sum(axis=1), strict=True):
        if total:
            interval = wilson_interval(int(right), int(total), confidence=metrics.confidence)
            yield label, metrics.per_class[label].recall, interval


def _mistakes(metrics: Metrics) -> list[tuple[int, int, int, int]]:
    """Return true digit, what it was taken for, how often, and of how many: the most frequent mistakes first."""
    wrong = metrics.matrix.copy()
    np.fill_diagonal(wrong, 0)
    most = np.argsort(-wrong, axis=None, kind="stable")[:_NAMED]
    places = [np.unravel_index(place, wrong.shape) for place in most]
    return [
        (metrics.classes[true], metrics.classes[taken], int(wrong[true, taken]), int(metrics.matrix[true].sum()))
        for true, taken in places
        if wrong[true, taken]
    ]
