"""The order of rows and the learning rates of a fit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digits.models.schedule import batches, one_cycle


@given(n_samples=st.integers(1, 200), batch_size=st.integers(1, 250), seed=st.integers(0, 100))
def test_every_row_is_met_in_every_epoch(n_samples: int, batch_size: int, seed: int) -> None:
    """An epoch holds every row, none more than once too often, in batches of one size."""
    order = batches(n_samples, batch_size=batch_size, rng=np.random.default_rng(seed))
    counts = np.bincount(order.ravel(), minlength=n_samples)
    assert n_samples == len(counts)
    assert counts.min() == 1
    assert counts.max() <= 2
    assert min(batch_size, n_samples) == order.shape[1]
    assert order.size - n_samples < order.shape[1]


def test_order_is_seeded_and_new_in_every_epoch() -> None:
    """One generator gives another order in each epoch; the same seed gives the same orders."""
    rng, twin = np.random.default_rng(0), np.random.default_rng(0)
    first, second = (batches(100, batch_size=10, rng=rng) for _ in range(2))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, batches(100, batch_size=10, rng=twin))


@given(n_steps=st.integers(10, 500), warm_up=st.floats(0, 0.9))
def test_learning_rate_rises_once_and_falls_to_zero(n_steps: int, warm_up: float) -> None:
    """The learning rate goes up to its peak, then down to nothing, and never beyond the peak."""
    rates = one_cycle(n_steps, peak=0.5, warm_up=warm_up)
    top = int(rates.argmax())
    assert (n_steps,) == rates.shape
    assert rates.max() <= 0.5
    assert rates.min() >= 0
    assert rates[-1] == pytest.approx(0, abs=1e-6)
    assert (np.diff(rates[: top + 1]) >= 0).all()
    assert (np.diff(rates[top:]) <= 0).all()
    assert abs(top + 1 - warm_up * n_steps) <= 1
