"""A split: which rows of a snapshot are trained on, which choose, and which are touched once.

One small array says it all, the role of every row: `EXCLUDED` (set aside by validation), `TEST`, `TRAIN` (never
validated on), or the number of the fold that the row is validated in. The images are never copied.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from digits.data.snapshot import Snapshot
from digits.errors import MissingError, ParamsError
from digits.files import replaced_folder, write_json
from digits.params import Section

__all__ = ["Fold", "LastRows", "Split", "SplitParams", "split"]

ROLES, DESCRIPTION = "roles.npy", "split.json"
EXCLUDED, TEST, TRAIN = -3, -2, -1


class LastRows(Section):
    """The last `rows` rows are the test split, as the dataset's publishers meant them to be."""

    take: Literal["last"] = "last"
    rows: int = Field(gt=0)


class Fraction(Section):
    """A stratified random fraction of all rows."""

    take: Literal["fraction"] = "fraction"
    fraction: float = Field(gt=0, lt=1)


class KFold(Section):
    """Stratified cross-validation inside the rows that are not test.

    Attributes
    ----------
    shuffle
        Whether rows are shuffled before they are dealt. Where neighbouring rows come from one hand they should not be:
        a fold would then be validated on writers that it has learned from, which test images are not by.
    """

    take: Literal["folds"] = "folds"
    folds: int = Field(ge=2, le=20)
    shuffle: bool = True


class SplitParams(Section):
    """Section ``split`` of ``params.yaml``."""

    seed: int = Field(ge=0, lt=2**32)
    test: Annotated[LastRows | Fraction, Field(discriminator="take")]
    validation: Annotated[Fraction | KFold, Field(discriminator="take")]


@dataclass(frozen=True)
class Fold:
    """Row indices of one round: fit on `train`, score on `validation`; both int64, sorted."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Reference to a split in a folder.

    Attributes
    ----------
    path
        Folder that holds ``roles.npy`` and ``split.json``.
    snapshot
        The snapshot whose rows are split.
    digest
        SHA-256 over the snapshot's digest and the roles.
    """

    path: Path
    snapshot: Snapshot
    digest: str

    @classmethod
    def load(cls, path: Path, *, snapshot: Snapshot) -> Self:
        """Read the split in `path` and check that it was made for `snapshot`.

        Raises
        ------
        MissingError
            There is no split, or it belongs to another snapshot.
        """
        mend = f"run `digits split {snapshot.dataset}`"
        try:
            content = json.loads((path / DESCRIPTION).read_text(encoding="utf-8"))
            digest, of_snapshot = content["digest"], content["snapshot"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MissingError(f"no split in {path} ({type(error).__name__}: {error}); {mend}") from error
        if of_snapshot != snapshot.digest:
            raise MissingError(
                f"split {path} was made for snapshot {of_snapshot[:12]}, found {snapshot.digest[:12]}; {mend}"
            )
        return cls(path=path, snapshot=snapshot, digest=digest)

    def roles(self) -> NDArray[np.int8]:
        """Return the role of every row, ``(n_samples,)`` int8: `EXCLUDED`, `TEST`, `TRAIN`, or a fold's number.

        Raises
        ------
        MissingError
            They cannot be read, or are not those that the digest was taken of.
        """
        mend = f"run `digits split {self.snapshot.dataset}`"
        try:
            roles: NDArray[np.int8] = np.load(self.path / ROLES, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise MissingError(f"cannot read {self.path / ROLES} ({error}); {mend}") from error
        if _digest_of(roles, snapshot=self.snapshot) != self.digest:
            raise MissingError(f"{self.path / ROLES} was changed since the split was made; {mend}")
        return roles

    def test(self) -> NDArray[np.int64]:
        """Return the sorted row indices of the test split, int64."""
        return np.flatnonzero(self.roles() == TEST)

    def development(self) -> NDArray[np.int64]:
        """Return the sorted row indices of everything to learn from and to choose by, int64."""
        return np.flatnonzero(self.roles() >= TRAIN)

    def validation(self) -> NDArray[np.int64]:
        """Return the sorted row indices that are validated on in one of the folds, int64."""
        return np.flatnonzero(self.roles() >= 0)

    def folds(self) -> list[Fold]:
        """Return the rounds of validation: one for a hold-out, several for cross-validation."""
        roles = self.roles()
        return [
            Fold(
                train=np.flatnonzero((roles >= TRAIN) & (roles != number)),
                validation=np.flatnonzero(roles == number),
            )
            for number in range(int(roles.max()) + 1)
        ]


def split(snapshot: Snapshot, *, params: SplitParams, path: Path, excluded: Sequence[int] = ()) -> Split:
    """Give every row of `snapshot` a role and write the result into `path`.

    Parameters
    ----------
    snapshot
        Whose rows are split.
    params
        Section ``split``.
    path
        Folder of the split.
    excluded
        Rows that validation set aside.

    Raises
    ------
    ParamsError
        The snapshot is too small for these params: no row left to train on, or a class that is missing somewhere.
    """
    roles = assign_roles(np.asarray(snapshot.labels()), params=params, excluded=excluded)
    digest = _digest_of(roles, snapshot=snapshot)
    with replaced_folder(path) as work:
        np.save(work / ROLES, roles, allow_pickle=False)
        write_json(work / DESCRIPTION, _describe(roles, digest=digest, snapshot=snapshot))
    return Split(path=path, snapshot=snapshot, digest=digest)


def _digest_of(roles: NDArray[np.int8], *, snapshot: Snapshot) -> str:
    return hashlib.sha256(snapshot.digest.encode() + roles.tobytes()).hexdigest()


def assign_roles(labels: NDArray[np.uint8], *, params: SplitParams, excluded: Sequence[int] = ()) -> NDArray[np.int8]:
    """Return the role of every row, ``(n_samples,)`` int8, for `labels` of shape ``(n_samples,)``."""
    roles = np.full(len(labels), TRAIN, dtype=np.int8)
    roles[list(excluded)] = EXCLUDED
    try:
        roles[_test_rows(labels, roles, params=params)] = TEST
        for number, rows in enumerate(_validation_rows(labels, roles, params=params)):
            roles[rows] = number
    except ValueError as error:
        raise ParamsError(f"the snapshot cannot be split: {error}; change `split` in params.yaml") from error
    return roles


def _test_rows(labels: NDArray[np.uint8], roles: NDArray[np.int8], *, params: SplitParams) -> NDArray[np.int64]:
    usable = np.flatnonzero(roles != EXCLUDED)
    if isinstance(params.test, Fraction):
        return _stratified(usable, labels, fraction=params.test.fraction, seed=params.seed)
    first = len(labels) - params.test.rows
    if not np.any(usable < first):
        raise ValueError(f"test.rows is {params.test.rows}, the snapshot has {len(labels)} rows")
    return usable[usable >= first]


def _validation_rows(
    labels: NDArray[np.uint8], roles: NDArray[np.int8], *, params: SplitParams
) -> list[NDArray[np.int64]]:
    """Return the rows of each fold."""
    from sklearn.model_selection import StratifiedKFold

    development = np.flatnonzero(roles == TRAIN)
    dealt = params.validation if isinstance(params.validation, KFold) else None
    n_folds = dealt.folds if dealt else 1
    needed = max(2, n_folds)  # a hold-out needs a row to train on and one to validate on
    counts = np.bincount(labels[development], minlength=int(labels.max()) + 1)
    if counts[np.unique(labels[roles != EXCLUDED])].min() < needed:
        raise ValueError(f"a class has fewer than {needed} rows outside the test split")
    if isinstance(params.validation, Fraction):
        return [_stratified(development, labels, fraction=params.validation.fraction, seed=params.seed)]
    shuffle = dealt is not None and dealt.shuffle
    folds = StratifiedKFold(n_folds, shuffle=shuffle, random_state=params.seed if shuffle else None)
    return [development[validation] for _, validation in folds.split(development, labels[development])]


def _stratified(rows: NDArray[np.int64], labels: NDArray[np.uint8], *, fraction: float, seed: int) -> NDArray[np.int64]:
    """Draw a fraction of `rows` that keeps the shares of the classes."""
    from sklearn.model_selection import train_test_split

    _, drawn = train_test_split(rows, test_size=fraction, stratify=labels[rows], random_state=seed)
    return np.asarray(drawn)


def _describe(roles: NDArray[np.int8], *, digest: str, snapshot: Snapshot) -> dict[str, Any]:
    return {
        "digest": digest,
        "snapshot": snapshot.digest,
        "n_development": int(np.sum(roles >= TRAIN)),
        "n_validation": int(np.sum(roles >= 0)),
        "n_folds": int(roles.max()) + 1,
        "n_test": int(np.sum(roles == TEST)),
        "n_excluded": int(np.sum(roles == EXCLUDED)),
    }
