"""TensorFlow in this process: started once, quietly, on the CPU, with a fixed number of threads.

Whoever needs TensorFlow or Keras calls `start` first. It knows nothing of digits.
"""

from __future__ import annotations

import logging
import os
import random
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from digits.errors import DigitsError

__all__ = ["LOCK", "seeded", "start"]

log = logging.getLogger(__name__)

LOCK = threading.RLock()
"""Held by whoever uses Keras: what its seeds come from is global to the process, so its users take turns."""

_START_UP_LINE = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog\(\)"
    rb"|[IWE]\d{4} \d\d:\d\d:[\d.]+ +\d+ \w+\.cc:\d+\]"  # I0000 00:00:1764000000.123456    7106 port.cc:153] oneDNN ...
    rb"|\d{4}-\d\d-\d\d \d\d:\d\d:[\d.]+: [IWE] "  # 2026-01-01 00:00:00.123456: I tensorflow/core/util/port.cc:153] ...
    rb"|To enable the following instructions:"
)


def start(*, threads: int) -> tuple[Any, Any]:
    """Return the modules ``tensorflow`` and ``keras``, ready to compute on the CPU.

    The first call of a process imports them and fixes the threads; TensorFlow cannot change those later, so a later
    call with another number (or a process that used TensorFlow before) keeps what there is, and says so in the log.
    A graphics card is left alone: on it the same seed does not give the same bits, and every worker process would
    claim all of its memory for networks that are small enough for a processor.

    Parameters
    ----------
    threads
        Number of threads that one operation may use, at least 1. Operations run one after the other.

    Returns
    -------
    tuple
        ``(tensorflow, keras)``.

    Raises
    ------
    DigitsError
        If Keras was told to compute with something else than TensorFlow.
    """
    with LOCK:
        if "tensorflow" in sys.modules and "keras" in sys.modules:
            import keras
            import tensorflow as tf
        else:
            tf, keras = _import(threads=threads)
        if (backend := keras.backend.backend()) != "tensorflow":
            raise DigitsError(f"Keras computes with {backend!r}, wanted 'tensorflow': unset KERAS_BACKEND")
        _fix_threads(tf, threads=threads)
        return tf, keras


@contextmanager
def seeded(*, seed: int) -> Iterator[None]:
    """Seed what Keras draws the seeds of its layers from: Python's generator, which is given back as it was.

    Not ``keras.utils.set_random_seed``: it also seeds TensorFlow, which nothing here draws from, and TensorFlow then
    forgets its compiled functions, at up to a second for each of the next calls.

    Parameters
    ----------
    seed
        Any integer.
    """
    with LOCK:
        state = random.getstate()
        random.seed(seed)
        try:
            yield
        finally:
            random.setstate(state)


def _import(*, threads: int) -> tuple[Any, Any]:
    """Import both, fix the threads and run a first operation; TensorFlow's start-up lines do not reach the screen."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # above any keras.json that lies in a home directory
    with _without_start_up_lines():
        import keras
        import tensorflow as tf

        _fix_threads(tf, threads=threads)
        tf.zeros(())  # the last of the lines come with the first operation
    return tf, keras


def _fix_threads(tf: Any, *, threads: int) -> None:
    """Fix the threads and hide graphics cards, as long as TensorFlow has not computed anything."""
    config = tf.config.threading
    with suppress(RuntimeError):  # raised when TensorFlow has computed already; reported below if it matters
        tf.config.set_visible_devices([], "GPU")
        config.set_intra_op_parallelism_threads(threads)
        config.set_inter_op_parallelism_threads(1)
    if (found := config.get_intra_op_parallelism_threads()) != threads:
        log.warning(
            "TensorFlow runs with %s threads in this process, wanted %d: the same seed may give other last digits",
            found or "as many as cores",
            threads,
        )


@contextmanager
def _without_start_up_lines() -> Iterator[None]:
    """Hold back file descriptor 2, then write out everything but TensorFlow's start-up lines.

    The lines come from C++ before Python's logging or an environment variable can stop them.
    """
    sys.stderr.flush()
    screen = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(screen, 2)
            os.close(screen)
            held.seek(0)
            for line in held:
                if not _START_UP_LINE.match(line):
                    os.write(2, line)
