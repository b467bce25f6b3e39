"""When training meets which rows, and with what learning rate. Plain NumPy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["batches", "one_cycle"]


def one_cycle(n_steps: int, *, peak: float, warm_up: float) -> NDArray[np.float32]:
    """Return a learning rate per step: up in a line, then down to zero along a cosine.

    Parameters
    ----------
    n_steps
        Number of steps in the whole fit.
    peak
        Largest learning rate.
    warm_up
        Share of the steps on the way up.

    Returns
    -------
    ndarray of shape (n_steps,), float32
        Values from 0 to `peak`.

    References
    ----------
    L. N. Smith, N. Topin: Super-convergence, 2017, arXiv:1708.07120; with the cosine of I. Loshchilov, F. Hutter:
    SGDR, 2016, arXiv:1608.03983.
    """
    time = (np.arange(n_steps) + 1) / n_steps
    rising = np.minimum(time / max(warm_up, 1 / n_steps), 1)
    falling = (1 + np.cos(np.pi * np.clip((time - warm_up) / (1 - warm_up), 0, 1))) / 2
    return (peak * np.where(time < warm_up, rising, falling)).astype(np.float32)


def batches(n_samples: int, *, batch_size: int, rng: np.random.Generator) -> NDArray[np.int32]:
    """Return an epoch: every row once, in random order, the last batch filled up from the front.

    Batches of one size let one traced step do them all.

    Parameters
    ----------
    n_samples
        Number of training rows.
    batch_size
        Wanted size of a batch; fewer rows make one smaller batch.
    rng
        Where the order comes from.

    Returns
    -------
    ndarray of shape (n_batches, min(batch_size, n_samples)), int32
        Indices of rows.
    """
    size = min(batch_size, n_samples)
    n_batches = -(-n_samples // size)
    return np.resize(rng.permutation(n_samples).astype(np.int32), (n_batches, size))
