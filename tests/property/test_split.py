"""Whatever the labels and the params: every row has one role, and the roles are fair."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from digits.data.snapshot import Snapshot, write_snapshot
from digits.data.split import EXCLUDED, TEST, TRAIN, Split, SplitParams, assign_roles, split
from digits.errors import MissingError, ParamsError

Labels = NDArray[np.uint8]


@st.composite
def labelled(draw: st.DrawFn) -> Labels:
    """Draw labels of two to ten classes, 20 to 60 rows of each, in any order."""
    counts = draw(st.lists(st.integers(20, 60), min_size=2, max_size=10))
    labels = np.repeat(np.arange(len(counts), dtype=np.uint8), counts)
    return np.random.default_rng(draw(st.integers(0, 2**32 - 1))).permutation(labels)


fractions = st.floats(0.1, 0.4).map(lambda fraction: {"take": "fraction", "fraction": fraction})
last_rows = st.integers(1, 10).map(lambda rows: {"take": "last", "rows": rows})
folds = st.builds(
    lambda number, shuffle: {"take": "folds", "folds": number, "shuffle": shuffle}, st.integers(2, 5), st.booleans()
)


def params_of(*, test: object, validation: object, seed: int = 0) -> SplitParams:
    """Return params as they are read from the file."""
    return SplitParams.model_validate({"seed": seed, "test": test, "validation": validation})


any_params = st.builds(params_of, test=fractions | last_rows, validation=fractions | folds, seed=st.integers(0, 2**31))


def share_error(labels: Labels, *, part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> float:
    """Return by how many rows, at most, a class of `part` is off its share of `whole`."""
    n_classes = int(labels.max()) + 1
    inside, around = (np.bincount(labels[rows], minlength=n_classes) for rows in (part, whole))
    return float(np.abs(inside - around * part.sum() / whole.sum()).max())


def tiny(folder: Path, labels: Labels) -> Snapshot:
    """Write a snapshot with these labels."""
    images = np.zeros((len(labels), 2, 2), dtype=np.uint8)
    return write_snapshot(folder / "snapshot", dataset="tiny", batches=[(images, labels)], max_value=16, description={})


# No deadline: the first example pays for scikit-learn, and a busy machine is no reason to fail.
@settings(deadline=None, max_examples=60)
@given(labelled(), any_params)
def test_the_same_seed_gives_the_same_roles(labels: Labels, params: SplitParams) -> None:
    """Roles depend on labels and params alone, and each row has one that is known."""
    roles = assign_roles(labels, params=params)

    assert roles.shape == labels.shape
    assert set(np.unique(roles)) - {TEST, TRAIN} == set(range(roles.max() + 1))
    assert np.array_equal(assign_roles(labels, params=params), roles)


@settings(deadline=None, max_examples=60)
@given(labelled(), any_params, st.integers(0, 2**31))
def test_another_seed_moves_rows_but_not_the_last_ones(labels: Labels, params: SplitParams, seed: int) -> None:
    """Another seed is another draw of the same size; test rows that are the last stay the last."""
    assume(seed != params.seed)
    assume(params.test.take == "fraction" or getattr(params.validation, "shuffle", True))  # else nothing is drawn
    roles = assign_roles(labels, params=params)
    others = assign_roles(labels, params=params.model_copy(update={"seed": seed}))

    assert not np.array_equal(roles, others)
    assert np.sum(roles == TEST) == np.sum(others == TEST)
    if params.test.take == "last":
        assert np.array_equal(np.flatnonzero(others == TEST), np.arange(len(labels))[-params.test.rows :])


@settings(deadline=None, max_examples=60)
@given(labelled(), any_params)
def test_classes_keep_their_shares(labels: Labels, params: SplitParams) -> None:
    """A random part holds each class in its share, up to one row; of two folds neither has two rows more of any."""
    roles = assign_roles(labels, params=params)
    if params.test.take == "fraction":
        assert share_error(labels, part=roles == TEST, whole=np.ones(len(labels), dtype=bool)) <= 1
    if params.validation.take == "fraction":
        assert share_error(labels, part=roles == 0, whole=roles != TEST) <= 1
    counts = [np.bincount(labels[roles == number], minlength=labels.max() + 1) for number in range(roles.max() + 1)]
    assert np.ptp(counts, axis=0).max() <= 1


@settings(deadline=None, max_examples=60)
@given(labelled(), last_rows | fractions, folds)
def test_folds_cover_the_development_rows_once(
    labels: Labels, test: dict[str, object], validation: dict[str, object]
) -> None:
    """In cross-validation every row that is not test is validated in exactly one fold."""
    roles = assign_roles(labels, params=params_of(test=test, validation=validation))

    assert roles.max() + 1 == validation["folds"]
    assert not np.any(roles == TRAIN)


@settings(deadline=None, max_examples=60)
@given(labelled(), any_params, st.sets(st.integers(0, 19), min_size=1, max_size=5))
def test_excluded_rows_are_nowhere(labels: Labels, params: SplitParams, excluded: set[int]) -> None:
    """A row that was set aside plays no role, even when it is the only one of a class that does not exist."""
    labels[sorted(excluded)] = 99
    roles = assign_roles(labels, params=params, excluded=sorted(excluded))

    assert set(np.flatnonzero(roles == EXCLUDED)) == excluded


@settings(deadline=None, max_examples=25)
@given(labelled(), any_params)
def test_a_split_gives_back_its_rows(
    tmp_path_factory: pytest.TempPathFactory, labels: Labels, params: SplitParams
) -> None:
    """Test and development rows are all rows; each fold trains on the development rows that it does not validate."""
    folder = tmp_path_factory.mktemp("split")
    snapshot = tiny(folder, labels)
    made = split(snapshot, params=params, path=folder / "split")
    rounds = made.folds()
    development = made.development()

    assert Split.load(folder / "split", snapshot=snapshot) == made
    assert np.array_equal(np.sort(np.concatenate([made.test(), development])), np.arange(len(labels)))
    for fold in rounds:
        assert len(fold.train)
        assert np.array_equal(np.sort(np.concatenate([fold.train, fold.validation])), development)
    assert np.array_equal(np.sort(np.concatenate([fold.validation for fold in rounds])), made.validation())


def test_a_split_of_another_snapshot_is_refused(tmp_path: Path) -> None:
    """A split is read only for the snapshot that it was made for, and one that is missing says what to run."""
    labels = np.arange(100, dtype=np.uint8) % 10
    params = params_of(test={"take": "last", "rows": 20}, validation={"take": "folds", "folds": 3})
    split(tiny(tmp_path / "one", labels), params=params, path=tmp_path / "split")
    other = tiny(tmp_path / "other", labels[::-1])

    with pytest.raises(MissingError, match=r"was made for snapshot .*run `digits split tiny`"):
        Split.load(tmp_path / "split", snapshot=other)
    with pytest.raises(MissingError, match=r"no split in .*run `digits split tiny`"):
        Split.load(tmp_path / "nowhere", snapshot=other)


@pytest.mark.parametrize(
    ("labels", "test", "validation"),
    [
        ([0, 1] * 5, {"take": "last", "rows": 10}, {"take": "folds", "folds": 2}),
        ([0, 1] * 5, {"take": "last", "rows": 99}, {"take": "fraction", "fraction": 0.5}),
        ([0, 1] * 5, {"take": "last", "rows": 4}, {"take": "folds", "folds": 4}),
        ([0] * 9 + [1], {"take": "fraction", "fraction": 0.5}, {"take": "folds", "folds": 2}),
        ([0] * 8 + [1] * 2, {"take": "last", "rows": 2}, {"take": "folds", "folds": 2}),
        ([0] * 8 + [1] * 2, {"take": "last", "rows": 2}, {"take": "fraction", "fraction": 0.5}),
        ([0] * 8 + [1] * 2, {"take": "last", "rows": 1}, {"take": "fraction", "fraction": 0.5}),
        ([0, 1] * 5, {"take": "last", "rows": 1}, {"take": "fraction", "fraction": 0.01}),
    ],
    ids=[
        "all test",
        "more than all",
        "few for folds",
        "one of a class",
        "only in test",
        "never trained",
        "one left",
        "tiny",
    ],
)
def test_too_little_data_is_refused(labels: list[int], test: object, validation: object) -> None:
    """Labels that cannot be split as asked are one clear error that says where to change it."""
    with pytest.raises(ParamsError, match=r"cannot be split: .*change `split` in params.yaml"):
        assign_roles(np.array(labels, dtype=np.uint8), params=params_of(test=test, validation=validation))


def test_roles_that_are_not_those_of_the_split_are_refused(tmp_path: Path) -> None:
    """Roles that were altered, cut off or lost, and a description of another shape, are one line with what to run."""
    snapshot = tiny(tmp_path, np.arange(40, dtype=np.uint8) % 4)
    params = params_of(test={"take": "last", "rows": 8}, validation={"take": "folds", "folds": 2})
    made = split(snapshot, params=params, path=tmp_path / "split")
    file = made.path / "roles.npy"
    np.save(file, np.where(made.roles() == TEST, TRAIN, made.roles()))
    with pytest.raises(MissingError, match=r"roles\.npy was changed .*run `digits split tiny`"):
        made.test()
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(MissingError, match=r"cannot read .*roles\.npy.*run `digits split tiny`"):
        made.folds()
    file.unlink()
    with pytest.raises(MissingError, match="cannot read"):
        made.development()
    (made.path / "split.json").write_text("[]", encoding="utf-8")
    with pytest.raises(MissingError, match=r"no split in .*run `digits split tiny`"):
        Split.load(made.path, snapshot=snapshot)


@settings(deadline=None, max_examples=60)
@given(labelled(), st.integers(2, 5))
def test_neighbours_stay_together_unless_they_are_shuffled(labels: Labels, number: int) -> None:
    """Without shuffling, the rows of a class go to one fold after the other, in their order."""
    params = params_of(
        test={"take": "last", "rows": 1}, validation={"take": "folds", "folds": number, "shuffle": False}, seed=0
    )
    try:
        roles = assign_roles(labels, params=params)
    except ParamsError:
        return  # a class has fewer rows than folds
    for label in np.unique(labels):
        dealt = roles[(labels == label) & (roles >= 0)]
        assert (np.diff(dealt) >= 0).all()
