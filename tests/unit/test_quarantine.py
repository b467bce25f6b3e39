"""Rows that are set aside: reported, pictured, and never lost."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from digits.data import rules
from digits.data.contract import ValidateParams, validate
from digits.data.report import SetAside, ValidationReport
from digits.data.snapshot import Snapshot, write_snapshot
from digits.errors import ContractViolation

PARAMS = ValidateParams(
    rows=(20, 40), height=8, width=8, max_value=16, class_share=(0.05, 0.2), on_invalid="quarantine"
)


@pytest.fixture
def data() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return forty images that differ, four of each digit."""
    images = np.zeros((40, 8, 8), np.uint8)
    images[:, 1:7, 2:6] = 8 + np.random.default_rng(0).integers(0, 9, (40, 6, 4))
    return images, np.tile(np.arange(10, dtype=np.uint8), 4)


def _snapshot(path: Path, images: Any, labels: Any, **description: Any) -> Snapshot:
    return write_snapshot(path, dataset="mine", batches=[(images, labels)], max_value=16, description=description)


def test_offending_rows_are_set_aside_with_reasons_and_pictures(
    tmp_path: Path, data: tuple[Any, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """The run goes on without them; report, log and folder say which and why; the snapshot keeps them."""
    images, labels = data
    images[4], images[9] = 0, 16
    labels[9] = 11
    images[20], images[31] = images[30], images[30]
    labels[[20, 30, 31]] = 0
    files = [f"{label}/{row}.png" for row, label in enumerate(labels)]
    snapshot = _snapshot(tmp_path / "s", images, labels, files=files)
    with caplog.at_level(logging.WARNING):
        report = validate(
            snapshot, params=PARAMS, path=tmp_path / "v", docs=tmp_path / "docs", quarantine=tmp_path / "q"
        )
    assert report.success
    assert report.quarantined == (
        SetAside(4, (rules.BLANK,), files[4]),
        SetAside(9, (rules.LABEL_RANGE, rules.SATURATED), files[9]),
        SetAside(30, (rules.TRAIN_TEST_OVERLAP,), files[30]),
        SetAside(31, (rules.TRAIN_TEST_OVERLAP,), files[31]),
    )
    assert ValidationReport.load(tmp_path / "v") == report
    assert "mine: 4 of 40 images are set aside" in caplog.text
    assert report.rule(rules.ROW_COUNT).found == "rows 36"
    reasons = json.loads((tmp_path / "q" / "reasons.json").read_text(encoding="utf-8"))
    assert reasons[1] == {
        "picture": "000009.png",
        "label": 11,
        "row": 9,
        "reasons": [rules.LABEL_RANGE, rules.SATURATED],
        "file": files[9],
    }
    names = {path.name for path in (tmp_path / "q").iterdir()}
    assert names == {"reasons.json", "000004.png", "000009.png", "000030.png", "000031.png"}
    with Image.open(tmp_path / "q" / "000030.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), np.rint(images[30] / 16 * 255))
    snapshot.verify()


def test_rules_about_the_dataset_still_fail_on_what_is_left(tmp_path: Path, data: tuple[Any, Any]) -> None:
    """When too much was set aside the run ends, names the dataset's rule alone, and the pictures are there."""
    images, labels = data
    images[labels == 3] = 0
    snapshot = _snapshot(tmp_path / "s", images, labels)
    with pytest.raises(ContractViolation, match="breaks every-class") as caught:
        validate(snapshot, params=PARAMS, path=tmp_path / "v", docs=tmp_path / "docs")
    assert rules.BLANK not in str(caught.value)
    assert not ValidationReport.load(tmp_path / "v").success
    assert len(list((tmp_path / "v" / "quarantine").glob("*.png"))) == 4


def test_a_snapshot_of_which_nothing_is_left_fails(tmp_path: Path, data: tuple[Any, Any]) -> None:
    """Every image set aside is a broken contract, not a crash and not a success."""
    images, labels = data
    snapshot = _snapshot(tmp_path / "s", images * 0, labels)
    with pytest.raises(ContractViolation, match=r"row-count \(found rows 0; wanted rows 20 to 40\)"):
        validate(snapshot, params=PARAMS, path=tmp_path / "v", docs=tmp_path / "docs")
    report = ValidationReport.load(tmp_path / "v")
    assert len(report.quarantined) == 40


def test_nothing_is_set_aside_of_good_data_and_old_pictures_go(tmp_path: Path, data: tuple[Any, Any]) -> None:
    """The folder says what this run set aside, not an earlier one."""
    (tmp_path / "q").mkdir()
    (tmp_path / "q" / "000001.png").write_bytes(b"old")
    report = validate(
        _snapshot(tmp_path / "s", *data),
        params=PARAMS,
        path=tmp_path / "v",
        docs=tmp_path / "d",
        quarantine=tmp_path / "q",
    )
    assert report.quarantined == ()
    assert [path.name for path in (tmp_path / "q").iterdir()] == ["reasons.json"]


def test_failing_run_sets_nothing_aside(tmp_path: Path, data: tuple[Any, Any]) -> None:
    """With `on_invalid: fail` the same data ends the run and no picture is written."""
    images, labels = data
    images[4] = 0
    params = PARAMS.model_copy(update={"on_invalid": "fail"})
    with pytest.raises(ContractViolation, match=r"breaks blank \(found 1 of 40 images, rows 4; wanted inked at least"):
        validate(
            _snapshot(tmp_path / "s", images, labels),
            params=params,
            path=tmp_path / "v",
            docs=tmp_path / "d",
            quarantine=tmp_path / "q",
        )
    assert not (tmp_path / "q").exists()
    assert ValidationReport.load(tmp_path / "v").quarantined == ()


def test_a_quarantine_that_is_no_longer_wanted_goes(tmp_path: Path, data: tuple[Any, Any]) -> None:
    """Back on `fail` nothing is set aside, and nothing looks as if it were."""
    images, labels = data
    images[4] = 0
    snapshot, folder = _snapshot(tmp_path / "s", images, labels), tmp_path / "q"
    places = {"path": tmp_path / "v", "docs": tmp_path / "docs", "quarantine": folder}
    validate(snapshot, params=PARAMS, **places)
    assert folder.exists()
    with pytest.raises(ContractViolation):
        validate(snapshot, params=PARAMS.model_copy(update={"on_invalid": "fail"}), **places)
    assert not folder.exists()
