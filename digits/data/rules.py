"""The rules that a snapshot must keep: their names, what they mean, and the numbers that they look at.

A rule is data: which table it looks at and the bounds of that table's columns. Great Expectations judges it
(``expectations``); this module says which rows break it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from digits.data.summary import N_CLASSES

if TYPE_CHECKING:
    import pandas as pd

    from digits.data.bounds import ValidateParams

__all__ = ["ROW_RULES", "RULES", "Check", "Rule", "Table", "rules_of"]

Table = Literal["snapshot", "classes", "images"]

SHAPE = "shape"
DTYPE = "dtype"
MAX_VALUE = "max-value"
ROW_COUNT = "row-count"
MEAN_INK = "mean-ink"
LABEL_DISTRIBUTION = "label-distribution"
INK_DISTRIBUTION = "ink-distribution"
EVERY_CLASS = "every-class"
CLASS_SHARE = "class-share"
LABEL_RANGE = "label-range"
VALUE_RANGE = "value-range"
BLANK = "blank"
SATURATED = "saturated"
DIGIT_SIZE = "digit-size"
OFF_CENTRE = "off-centre"
CONFLICTING_LABELS = "conflicting-labels"
TRAIN_TEST_OVERLAP = "train-test-overlap"

# Rules that single rows break; those rows can be set aside.
ROW_RULES = (
    LABEL_RANGE,
    VALUE_RANGE,
    BLANK,
    SATURATED,
    DIGIT_SIZE,
    OFF_CENTRE,
    CONFLICTING_LABELS,
    TRAIN_TEST_OVERLAP,
)
RULES = (
    SHAPE,
    DTYPE,
    MAX_VALUE,
    ROW_COUNT,
    EVERY_CLASS,
    CLASS_SHARE,
    LABEL_DISTRIBUTION,
    MEAN_INK,
    INK_DISTRIBUTION,
    *ROW_RULES,
)


@dataclass(frozen=True)
class Check:
    """Bounds of one column: at least `low`, at most `high`, or one of `choices`. A missing value is not judged."""

    column: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] | None = None

    def broken_by(self, frame: pd.DataFrame) -> NDArray[np.bool_]:
        """Return which rows of `frame` break the bounds, ``(n_rows,)`` bool."""
        values = frame[self.column]
        if self.choices is not None:
            return ~values.isin(self.choices).to_numpy()
        broken = np.zeros(len(values), dtype=bool)
        if self.low is not None:
            broken |= (values < self.low).to_numpy()
        if self.high is not None:
            broken |= (values > self.high).to_numpy()
        return broken

    def __str__(self) -> str:
        name = _words(self.column)
        if self.choices is not None:
            return f"{name} {' or '.join(self.choices)}"
        if self.low is None:
            return f"{name} at most {self.high:g}"
        if self.high is None:
            return f"{name} at least {self.low:g}"
        return f"{name} {self.low:g}" if self.low == self.high else f"{name} {self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Rule:
    """One rule of the contract.

    Attributes
    ----------
    name
        Stable name, the same in report, error and Data Docs.
    table
        What the rule looks at: the ``snapshot`` as a whole (one row), its ``classes`` (a row for each digit) or its
        ``images`` (a row for each).
    meaning
        The rule in a sentence.
    checks
        Bounds that must all hold; none when the params switch the rule off.
    """

    name: str
    table: Table
    meaning: str
    checks: tuple[Check, ...]

    @property
    def wanted(self) -> str:
        """Return the bounds in words."""
        return ", ".join(str(check) for check in self.checks)

    def broken_by(self, frame: pd.DataFrame) -> NDArray[np.bool_]:
        """Return which rows of `frame` break the rule, ``(n_rows,)`` bool."""
        broken = np.zeros(len(frame), dtype=bool)
        for check in self.checks:
            broken |= check.broken_by(frame)
        return broken

    def found(self, frame: pd.DataFrame) -> str:
        """Return in words the values that the rule looks at in `frame`, a table that is not that of the images."""
        broken = self.broken_by(frame)
        if self.table == "snapshot":
            return ", ".join(f"{_words(check.column)} {_number(frame[check.column].iloc[0])}" for check in self.checks)
        column = self.checks[0].column
        if broken.any():
            rows = frame[broken]
            return ", ".join(
                f"digit {label}: {_words(column)} {_number(value)}"
                for label, value in zip(rows["label"], rows[column], strict=True)
            )
        return f"{_words(column)} {_number(frame[column].min())} to {_number(frame[column].max())}"


def _words(column: str) -> str:
    return column.replace("_", " ")


def _number(value: object) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"


def rules_of(params: ValidateParams, *, n_samples: int) -> tuple[Rule, ...]:
    """Return the rules, in the order of `RULES`, for a snapshot whose description says `n_samples`."""
    rules = {rule.name: rule for rule in (*_dataset_rules(params, n_samples=n_samples), *_row_rules(params))}
    return tuple(rules[name] for name in RULES)


def _dataset_rules(params: ValidateParams, *, n_samples: int) -> tuple[Rule, ...]:
    reference = params.reference
    labels = () if reference is None else (Check("label_distance", high=reference.tolerance),)
    ink = () if reference is None else (Check("ink_distance", high=reference.tolerance),)
    shapes = (
        Check("images_shape", choices=(str((n_samples, params.height, params.width)),)),
        Check("labels_shape", choices=(str((n_samples,)),)),
    )
    dtypes = (Check("images_dtype", choices=("uint8",)), Check("labels_dtype", choices=("uint8",)))
    scale = (Check("max_value", params.max_value, params.max_value),)
    return (
        Rule(SHAPE, "snapshot", "Every image has the wanted size, and every image has a label.", shapes),
        Rule(DTYPE, "snapshot", "Pixels and labels are bytes.", dtypes),
        Rule(MAX_VALUE, "snapshot", "A pixel full of ink has the wanted value.", scale),
        Rule(ROW_COUNT, "snapshot", "There are enough images, and not too many.", (Check("rows", *params.rows),)),
        Rule(
            MEAN_INK,
            "snapshot",
            "The images are neither too faint nor too dark on average.",
            (Check("mean_ink", *params.mean_ink),),
        ),
        Rule(LABEL_DISTRIBUTION, "snapshot", "The labels are distributed as in the reference.", labels),
        Rule(INK_DISTRIBUTION, "snapshot", "The ink is distributed as in the reference.", ink),
        Rule(EVERY_CLASS, "classes", "Every digit is there.", (Check("images", low=1),)),
        Rule(CLASS_SHARE, "classes", "No digit is rare or rampant.", (Check("share", *params.class_share),)),
    )


def _row_rules(params: ValidateParams) -> tuple[Rule, ...]:
    fewest, most = params.inked
    repeated = (
        "No image stands twice, so that a random split cannot tear its copies apart."
        if params.test_rows is None
        else f"No image outside the last {params.test_rows} stands among them."
    )
    values = (Check("lowest", low=0), Check("highest", high=params.max_value))
    return (
        Rule(LABEL_RANGE, "images", "Every label is a digit.", (Check("label", 0, N_CLASSES - 1),)),
        Rule(VALUE_RANGE, "images", "Every pixel lies between paper and full ink.", values),
        Rule(BLANK, "images", "No image is blank.", (Check("inked", low=fewest),)),
        Rule(SATURATED, "images", "No image is flooded with ink.", (Check("inked", high=most),)),
        Rule(DIGIT_SIZE, "images", "No digit is a mere speck.", (Check("size", low=params.min_size),)),
        Rule(OFF_CENTRE, "images", "Every digit stands in the middle.", (Check("offset", high=params.max_offset),)),
        Rule(CONFLICTING_LABELS, "images", "No image has two labels.", (Check("other_labels", high=0),)),
        Rule(TRAIN_TEST_OVERLAP, "images", repeated, (Check("repeats", high=0),)),
    )
