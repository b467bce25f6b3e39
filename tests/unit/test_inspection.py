"""Images are looked through batch by batch, and what is found is what one look at all of them finds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from digits.data import rules
from digits.data.bounds import ValidateParams
from digits.data.expectations import Judge
from digits.data.inspection import Inspection, inspect
from digits.data.snapshot import Snapshot, write_snapshot

N_SAMPLES, TEST_ROWS = 60, 15


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """Return 60 images: one no digit among the first ten, many after; a conflict, and two leaks into the test split."""
    images = np.random.default_rng(0).integers(1, 17, (N_SAMPLES, 4, 4), dtype=np.uint8)
    labels = np.arange(N_SAMPLES, dtype=np.uint8) % 10
    labels[5], labels[10:] = 12, 13
    images[40] = images[2]
    images[[50, 59]] = images[3]
    path = tmp_path_factory.mktemp("snapshot")
    return write_snapshot(path / "s", dataset="s", batches=[(images, labels)], max_value=16, description={})


def _inspected(snapshot: Snapshot, *, batch_rows: int) -> tuple[Inspection, dict[str, Any]]:
    """Return what was found, and what Great Expectations says of each rule and column, for the Data Docs."""
    params = ValidateParams(height=4, width=4, max_value=16, test_rows=TEST_ROWS)
    judge = Judge()
    about = rules.rules_of(params, n_samples=N_SAMPLES)
    found = inspect(snapshot, params=params, rules=about, judge=judge, batch_rows=batch_rows)
    results = judge._results["images"]
    metas = [result.expectation_config.meta for result in results.results]
    said = [(result.success, result.result) for result in results.results]
    return found, {f"{meta['rule']} {meta['column']}": one for meta, one in zip(metas, said, strict=True)}


@pytest.mark.parametrize("batch_rows", [10, 41])
def test_what_is_found_does_not_depend_on_batches(snapshot: Snapshot, batch_rows: int) -> None:
    """Rows, copies of images in other batches, counts, shares and examples are those of one batch."""
    whole, said = _inspected(snapshot, batch_rows=N_SAMPLES)
    parts, said_of_parts = _inspected(snapshot, batch_rows=batch_rows)
    assert said_of_parts == said
    assert parts.passed == whole.passed
    assert {name: rows.tolist() for name, rows in parts.broken.items()} == {
        name: rows.tolist() for name, rows in whole.broken.items()
    }
    assert np.array_equal(parts.ink, whole.ink)
    assert parts.broken[rules.CONFLICTING_LABELS].tolist() == [2, 3, 40, 50, 59]
    assert parts.broken[rules.TRAIN_TEST_OVERLAP].tolist() == [3]


def test_examples_come_from_every_batch(snapshot: Snapshot) -> None:
    """Of one broken row in the first batch and 50 in others the Data Docs show ten, with rows of the whole snapshot."""
    _, said = _inspected(snapshot, batch_rows=10)
    _, label = said[f"{rules.LABEL_RANGE} label"]
    assert label["partial_unexpected_list"] == [12] + [13] * 9
    assert label["partial_unexpected_index_list"] == [5, *range(10, 19)]
    assert label["partial_unexpected_counts"] == [{"value": 13, "count": 9}, {"value": 12, "count": 1}]
