"""Every rule of the contract: the published digits keep it, and data that breaks it breaks it alone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from pydantic import ValidationError

from digits.data import rules
from digits.data.contract import ValidateParams, validate
from digits.data.report import ValidationReport
from digits.data.snapshot import LABELS, Snapshot, write_snapshot
from digits.data.summary import BATCH_ROWS
from digits.errors import ContractViolation, MissingError

Images = NDArray[np.uint8]
Labels = NDArray[np.uint8]
Data = tuple[NDArray[Any], NDArray[Any]]

# What a case must loosen so that only its own rule can break.
_ANY_SIZE = {"rows": (1, 1797), "reference": None}


def _wider(images: Images, labels: Labels) -> Data:
    return np.pad(images, ((0, 0), (0, 0), (0, 1))), labels


def _taller(images: Images, labels: Labels) -> Data:
    return np.pad(images, ((0, 0), (0, 1), (0, 0))), labels


def _wide_pixels(images: Images, labels: Labels) -> Data:
    return images.astype(np.int16), labels


def _wide_labels(images: Images, labels: Labels) -> Data:
    return images, labels.astype(np.int64)


def _same(images: Images, labels: Labels) -> Data:
    return images, labels


def _one_less(images: Images, labels: Labels) -> Data:
    return images[1:], labels[1:]


def _no_seven(images: Images, labels: Labels) -> Data:
    return images[labels != 7], labels[labels != 7]


def _without_first(images: Images, labels: Labels, *, count: int, of: tuple[int, ...]) -> Data:
    gone = np.concatenate([np.flatnonzero(labels == label)[:count] for label in of])
    return np.delete(images, gone, axis=0), np.delete(labels, gone)


def _few_eights(images: Images, labels: Labels) -> Data:
    return _without_first(images, labels, count=90, of=(8,))


def _many_eights(images: Images, labels: Labels) -> Data:
    return _without_first(images, labels, count=36, of=(0, 1, 2, 3, 4, 5, 6, 7, 9))


def _tilted(images: Images, labels: Labels) -> Data:
    return _without_first(images, labels, count=20, of=(0, 1, 2, 3, 4))


def _darker(images: Images, labels: Labels) -> Data:
    return np.minimum(16, images * 1.2).astype(np.uint8), labels


def _fainter(images: Images, labels: Labels) -> Data:
    return (images * 0.95).astype(np.uint8), labels


def _spread(images: Images, labels: Labels) -> Data:
    factors = np.where(np.arange(len(images)) % 2, 0.9, 1.12)[:, None, None]
    return np.minimum(16, np.rint(images * factors)).astype(np.uint8), labels


def _with_label(images: Images, labels: Labels) -> Data:
    labels[30] = 12
    return images, labels


def _with_image(row: int, image: Any) -> Callable[[Images, Labels], Data]:
    def change(images: Images, labels: Labels) -> Data:
        images[row] = image
        return images, labels

    return change


def _too_bright(images: Images, labels: Labels) -> Data:
    images[3, 4, 4] = 17
    return images, labels


def _conflicting(images: Images, labels: Labels) -> Data:
    images[10], labels[10] = images[9], (labels[9] + 1) % 10
    return images, labels


def _leaked(images: Images, labels: Labels) -> Data:
    images[11], labels[11] = images[1500], labels[1500]
    return images, labels


_SPECK = np.zeros((8, 8), np.uint8)
_SPECK[2:6, 2:6] = 16
_ASIDE = np.zeros((8, 8), np.uint8)
_ASIDE[:, :3] = 16

Case = tuple[str, Callable[[Images, Labels], Data], dict[str, Any], tuple[int, ...]]

# Rule, how the data is broken, params that differ, rows that are named; a rule with two sides is broken on both.
CASES: list[Case] = [
    (rules.SHAPE, _wider, {"mean_ink": (0, 1), "inked": (0.1, 0.6), "reference": None}, ()),
    (rules.SHAPE, _taller, {"mean_ink": (0, 1), "inked": (0.1, 0.6), "reference": None, "max_offset": 0.3}, ()),
    (rules.DTYPE, _wide_labels, {}, ()),
    (rules.DTYPE, _wide_pixels, {}, ()),
    (rules.MAX_VALUE, _same, {}, ()),
    (rules.ROW_COUNT, _one_less, {}, ()),
    (rules.ROW_COUNT, _same, {"rows": (1, 1796)}, ()),
    (rules.EVERY_CLASS, _no_seven, {**_ANY_SIZE, "class_share": (0.09, 0.13)}, (7,)),
    (rules.CLASS_SHARE, _few_eights, _ANY_SIZE, (8,)),
    (rules.CLASS_SHARE, _many_eights, _ANY_SIZE, (8,)),
    (rules.LABEL_DISTRIBUTION, _tilted, {"rows": (1, 1797)}, ()),
    (rules.MEAN_INK, _darker, {"reference": None}, ()),
    (rules.MEAN_INK, _fainter, {"reference": None, "inked": (0.1, 0.6)}, ()),
    (rules.INK_DISTRIBUTION, _spread, {}, ()),
    (rules.LABEL_RANGE, _with_label, {}, (30,)),
    (rules.VALUE_RANGE, _too_bright, {}, (3,)),
    (rules.BLANK, _with_image(3, 0), {}, (3,)),
    (rules.SATURATED, _with_image(5, 16), {}, (5,)),
    (rules.DIGIT_SIZE, _with_image(7, _SPECK), {}, (7,)),
    (rules.OFF_CENTRE, _with_image(8, _ASIDE), {}, (8,)),
    (rules.CONFLICTING_LABELS, _conflicting, {}, (9, 10)),
    (rules.TRAIN_TEST_OVERLAP, _leaked, {}, (11,)),
]


@pytest.fixture(scope="module")
def published() -> tuple[Images, Labels]:
    """Return scikit-learn's digits."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return bunch.images.astype(np.uint8), bunch.target.astype(np.uint8)


@pytest.fixture(scope="module")
def section(root: Path) -> dict[str, Any]:
    """Return the section ``validate`` of digits in the project's params.yaml."""
    content = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
    found: dict[str, Any] = content["datasets"]["digits"]["validate"]
    return found


def _snapshot(path: Path, data: Data, *, max_value: int = 16, **description: Any) -> Snapshot:
    images, labels = data
    return write_snapshot(
        path, dataset="digits", batches=[(images, labels)], max_value=max_value, description=description
    )


def _verdict(snapshot: Snapshot, params: ValidateParams, folder: Path) -> tuple[ValidationReport, str]:
    """Return the report that was written and the error's line, empty when there was none."""
    try:
        return validate(snapshot, params=params, path=folder, docs=folder / "docs"), ""
    except ContractViolation as error:
        return ValidationReport.load(folder), str(error)


def test_published_digits_keep_every_rule(
    tmp_path: Path, published: tuple[Images, Labels], section: dict[str, Any]
) -> None:
    """The data that the bounds were measured on is good, every rule was looked at, and the report says so."""
    snapshot = _snapshot(tmp_path / "s", published)
    report = validate(snapshot, params=ValidateParams(**section), path=tmp_path / "v", docs=tmp_path / "docs")
    assert {rule.name: rule.passed for rule in report.rules} == dict.fromkeys(rules.RULES, True)
    assert report.success
    assert report.quarantined == ()
    assert report.snapshot == snapshot.digest
    assert ValidationReport.load(tmp_path / "v") == report


def test_what_batches_hold_is_found_as_in_one_table(tmp_path: Path) -> None:
    """Of more images than are judged at once, rows, counts and copies are those of all, and the Data Docs count all."""
    n_samples = 2 * BATCH_ROWS + 1000
    images = np.zeros((n_samples, 4, 4), np.uint8)
    images[:, 1:3, 1:3] = (np.arange(n_samples)[:, None] // 100 ** np.arange(4) % 100 + 100).reshape(-1, 2, 2)
    blank, (one, other) = [7, BATCH_ROWS + 7, n_samples - 8], (3, n_samples - 3)
    labels = (np.arange(n_samples) % 10).astype(np.uint8)
    images[blank], images[other] = 0, images[one]
    labels[blank], labels[other] = 5, labels[one]
    snapshot = _snapshot(tmp_path / "s", (images, labels), max_value=255)
    report, _ = _verdict(snapshot, ValidateParams(height=4, width=4, on_invalid="quarantine"), tmp_path / "v")
    broken = {rule.name: rule.rows for rule in report.rules if rule.count}
    assert broken == {rules.BLANK: tuple(blank), rules.TRAIN_TEST_OVERLAP: (*blank[1:], other)}
    assert [aside.row for aside in report.quarantined] == sorted([*blank, other])
    html = (tmp_path / "v" / "docs" / "images.html").read_text(encoding="utf-8")
    page = " ".join(re.sub("<[^>]+>", "", html).split())
    assert f"3 unexpected values found. ≈0.004509% of {n_samples} total rows." in page


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{case[1].__name__}")
def test_rule_is_broken_alone(
    case: Case, tmp_path: Path, published: tuple[Images, Labels], section: dict[str, Any]
) -> None:
    """Data that breaks one rule is reported under that rule with its rows, and under no other."""
    rule, change, loosened, rows = case
    data = change(published[0].copy(), published[1].copy())
    snapshot = _snapshot(tmp_path / "s", data, max_value=255 if rule == rules.MAX_VALUE else 16)
    report, line = _verdict(snapshot, ValidateParams(**{**section, **loosened}), tmp_path / "v")
    assert [found.name for found in report.rules if found.passed is False] == [rule]
    assert report.rule(rule).rows == rows
    assert not report.success
    assert f"breaks {rule} (found" in line
    assert str(tmp_path / "v" / "docs" / "index.html") in line
    assert "\n" not in line


def test_every_rule_has_a_case_that_breaks_it() -> None:
    """No rule is without data that breaks it."""
    assert {rule for rule, *_ in CASES} == set(rules.RULES)


def test_without_test_rows_no_image_stands_twice(
    tmp_path: Path, published: tuple[Images, Labels], section: dict[str, Any]
) -> None:
    """When a random split will be drawn, every copy after the first is reported."""
    images, labels = published[0].copy(), published[1].copy()
    images[[20, 40]], labels[[20, 40]] = images[6], labels[6]
    report, _ = _verdict(
        _snapshot(tmp_path / "s", (images, labels)), ValidateParams(**{**section, "test_rows": None}), tmp_path / "v"
    )
    assert [(rule.name, rule.rows) for rule in report.rules if not rule.passed] == [
        (rules.TRAIN_TEST_OVERLAP, (20, 40))
    ]


@pytest.mark.parametrize("kind", ["no images", "a row of pixels each", "fewer labels", "fractions", "no pixels"])
def test_arrays_that_cannot_be_measured_break_the_contract(kind: str, tmp_path: Path) -> None:
    """Exactly one rule says why, and of the rules about images nothing is claimed."""
    from digits.data.snapshot import digest_of
    from digits.files import write_json

    good = np.zeros((5, 8, 8), np.uint8)
    arrays: dict[str, Data] = {
        "no images": (np.zeros((0, 8, 8), np.uint8), np.zeros(0, np.uint8)),
        "a row of pixels each": (good.reshape(5, 64), np.zeros(5, np.uint8)),
        "fewer labels": (good, np.zeros(4, np.uint8)),
        "fractions": (good / 16, np.zeros(5, np.uint8)),
        "no pixels": (np.zeros((5, 0, 8), np.uint8), np.zeros(5, np.uint8)),
    }
    images, labels = arrays[kind]
    path = tmp_path / "s"
    path.mkdir()
    np.save(path / "images.npy", images)
    np.save(path / "labels.npy", labels)
    described = {"dataset": "odd", "n_samples": len(images), "height": 8, "width": 8, "max_value": 16}
    write_json(path / "snapshot.json", {**described, "digest": digest_of(images, labels)})
    params = ValidateParams(rows=(1, 5), height=8, width=8, max_value=16)
    report, line = _verdict(Snapshot.load(path), params, tmp_path / "v")
    broken = {"fractions": rules.DTYPE, "no images": rules.ROW_COUNT}.get(kind, rules.SHAPE)
    assert [rule.name for rule in report.rules if rule.passed is False] == [broken]
    assert f"breaks {broken} (found" in line
    looked_at = {rules.SHAPE, rules.DTYPE, rules.MAX_VALUE, rules.ROW_COUNT}
    assert {rule.name for rule in report.rules if rule.passed is not None} == looked_at


def test_error_names_the_files_of_the_first_offending_rows(
    tmp_path: Path, published: tuple[Images, Labels], section: dict[str, Any]
) -> None:
    """For a folder of pictures the line names rows and files, the first ones only, and what can be done."""
    images = published[0].copy()
    images[100:108] = 0
    files = [f"{label}/{row}.png" for row, label in enumerate(published[1])]
    snapshot = _snapshot(tmp_path / "s", (images, published[1]), files=files)
    report, line = _verdict(snapshot, ValidateParams(**section), tmp_path / "v")
    assert f"rows 100 ({files[100]}), 101 ({files[101]})" in line
    assert f"104 ({files[104]}), …;" in line
    assert "105 (" not in line
    assert "on_invalid: quarantine" in line
    assert report.rule(rules.BLANK).count == 8
    assert report.rule(rules.BLANK).files == tuple(files[100:108])


def test_report_bytes_depend_on_snapshot_and_params_alone(
    tmp_path: Path, published: tuple[Images, Labels], section: dict[str, Any]
) -> None:
    """Judged twice, from two places, report and Data Docs have the same bytes; other params give another report."""
    params = ValidateParams(**section)
    for name in ("one", "two"):
        data = _with_image(3, 0)(published[0].copy(), published[1])
        _verdict(_snapshot(tmp_path / name / "s", data), params, tmp_path / name / "v")
    one, two = (sorted((tmp_path / name / "v").rglob("*.*")) for name in ("one", "two"))
    assert [path.name for path in one] == [path.name for path in two]
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
    before = (tmp_path / "one/v/report.json").read_bytes()
    other = params.model_copy(update={"min_size": 0.7})
    _verdict(Snapshot.load(tmp_path / "one/s"), other, tmp_path / "one/v")
    assert (tmp_path / "one/v/report.json").read_bytes() != before


def test_damaged_snapshot_is_not_judged(tmp_path: Path, published: tuple[Images, Labels]) -> None:
    """Arrays that are not those of the digest are an input that is damaged, not a contract that is broken."""
    snapshot = _snapshot(tmp_path / "s", published)
    np.save(snapshot.path / LABELS, published[1][::-1])
    with pytest.raises(MissingError, match="damaged"):
        validate(snapshot, params=ValidateParams(), path=tmp_path / "v", docs=tmp_path / "docs")
    assert not (tmp_path / "v").exists()


def test_file_names_that_do_not_fit_the_images_are_damage(tmp_path: Path, published: tuple[Images, Labels]) -> None:
    """A snapshot that names fewer files than it has images could blame the wrong file."""
    snapshot = _snapshot(tmp_path / "s", published, files=["0/a.png"])
    with pytest.raises(MissingError, match="1 file names for 1797 images"):
        validate(snapshot, params=ValidateParams(), path=tmp_path / "v", docs=tmp_path / "docs")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"rules": [], "quarantined": [1]}'])
def test_unreadable_report_is_missing(content: str, tmp_path: Path) -> None:
    """A report that is not one is an error of this project, and says what to run."""
    (tmp_path / "report.json").write_text(content, encoding="utf-8")
    with pytest.raises(MissingError, match="run `digits validate"):
        ValidationReport.load(tmp_path)


@pytest.mark.parametrize(
    "section",
    [
        {"inked": [0.7, 0.1]},
        {"inked": [0.1, 1.7]},
        {"rows": [5, 2]},
        {"test_rows": 0},
        {"on_invalid": "ignore"},
        {"unheard_of": 1},
        {"reference": {"tolerance": 0.1, "label_shares": [0.2] * 10, "ink_deciles": [0.1] * 9}},
        {"reference": {"tolerance": 0.1, "label_shares": [0.1] * 10, "ink_deciles": [0.1] * 8}},
        {"reference": {"tolerance": 0.1, "label_shares": [0.1] * 10, "ink_deciles": [0.9, *[0.1] * 8]}},
    ],
)
def test_params_that_make_no_sense_are_refused(section: dict[str, Any]) -> None:
    """Bounds that nothing can keep, or that nobody reads, are errors and not silently accepted."""
    with pytest.raises(ValidationError):
        ValidateParams(**section)


def test_report_lists_what_was_wanted(
    tmp_path: Path, published: tuple[Images, Labels], section: dict[str, Any]
) -> None:
    """The report alone tells a reader of it the bounds, the measured values, and the params."""
    snapshot = _snapshot(tmp_path / "s", published)
    validate(snapshot, params=ValidateParams(**section), path=tmp_path / "v", docs=tmp_path / "docs")
    content = json.loads((tmp_path / "v" / "report.json").read_text(encoding="utf-8"))
    assert content["params"]["rows"] == section["rows"]
    row_count = next(rule for rule in content["rules"] if rule["name"] == rules.ROW_COUNT)
    assert (row_count["wanted"], row_count["found"]) == ("rows 1797", "rows 1797")
