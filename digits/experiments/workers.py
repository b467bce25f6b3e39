"""A pool of warm worker processes that survives the death of a worker and can stop one that takes too long.

Heavy libraries are imported once per worker instead of once per fit. Each worker computes with one thread (see
`digits.settings.ONE_THREAD`), so as many workers as cores share the machine without oversubscription.
"""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from pebble import CONSTS, ProcessExpired, ProcessPool

from digits.errors import FitFailed
from digits.settings import GARBAGE_THRESHOLD, ONE_THREAD, prepare_environment

__all__ = ["InProcess", "WorkerDied", "WorkerPool", "Workers", "worker_pool"]

log = logging.getLogger(__name__)

#: A worker that is killed while it takes a call from the pipe holds up the others, and the pool, for so many seconds.
CONSTS.channel_lock_timeout = 10

T = TypeVar("T")


class WorkerDied(FitFailed):
    """The worker process ended before its work did; another try may succeed."""


class Workers(Protocol):
    """Something that calls functions elsewhere and waits for their results.

    Attributes
    ----------
    count
        How many calls run side by side.
    """

    count: int

    def run(self, function: Callable[..., T], **arguments: Any) -> T:
        """Call `function` with `arguments` and return its result."""


class InProcess:
    """Calls functions where it stands, one after the other."""

    count = 1

    def run(self, function: Callable[..., T], **arguments: Any) -> T:
        """Call `function` with `arguments` and return its result."""
        return function(**arguments)


class WorkerPool:
    """Runs functions in warm worker processes; a context manager that leaves no process behind.

    Parameters
    ----------
    count
        Number of processes.
    timeout_s
        Seconds after which a call is given up and its worker killed.

    Attributes
    ----------
    count, timeout_s
        As given.
    stopped
        Whether it was stopped for good.
    """

    def __init__(self, count: int, *, timeout_s: float) -> None:
        self.count = count
        self.timeout_s = timeout_s
        self.stopped = False
        self._waited_for: set[Future[Any]] = set()
        self._changing = threading.RLock()  # held by whoever schedules a call, or replaces or stops the pool
        self._pool = self._new_pool()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.stop()
        elif not self.stopped:
            self._pool.close()
            self._pool.join()

    def stop(self) -> None:
        """Kill the workers for good; calls that are waited for, and those to come, are given up."""
        with self._changing:
            if not self.stopped:
                self.stopped = True
                self._end_pool()

    def prepare(self, function: Callable[..., object], **arguments: Any) -> None:
        """Call `function` once per worker without waiting, such as for imports that the first fit would pay for."""
        for _ in range(self.count):
            self._pool.schedule(function, kwargs=arguments, timeout=self.timeout_s)

    def run(self, function: Callable[..., T], **arguments: Any) -> T:
        """Call `function` in a worker and wait for its result.

        Parameters
        ----------
        function
            Importable function; called with `arguments`.

        Raises
        ------
        FitFailed
            The call took longer than the time limit, or the pool was stopped.
        WorkerDied
            The worker's process ended: killed, out of memory, or a crash in native code.
        """
        future = self._schedule(function, arguments)
        try:
            result: T = future.result()
        except FutureTimeoutError as error:
            raise FitFailed(f"took longer than {self.timeout_s / 60:g} min; raise DIGITS_FIT_MINUTES") from error
        except (BrokenExecutor, CancelledError) as error:
            with self._changing:
                self._renew()
            raise WorkerDied("the pool of workers broke down, and was started again") from error
        except ProcessExpired as error:
            raise WorkerDied(f"its worker process died (exit code {error.exitcode}); out of memory?") from error
        finally:
            self._waited_for.discard(future)
        return result

    def _schedule(self, function: Callable[..., T], arguments: dict[str, Any]) -> Future[T]:
        """Hand a call to the pool; one that takes no more, as when a worker died between two calls, is replaced."""
        with self._changing:
            self._renew()
            try:
                future: Future[T] = self._pool.schedule(function, kwargs=arguments, timeout=self.timeout_s)
            except RuntimeError:
                self._renew()
                future = self._pool.schedule(function, kwargs=arguments, timeout=self.timeout_s)
            self._waited_for.add(future)
        return future

    def _new_pool(self) -> ProcessPool:
        # spawn: forking a process in which TensorFlow has run hangs.
        context = multiprocessing.get_context("spawn")
        return ProcessPool(max_workers=self.count, initializer=_start_worker, context=context)

    def _renew(self) -> None:
        """Start a new pool in place of one that takes no more calls.

        Raises
        ------
        FitFailed
            The pool was stopped.
        """
        if self.stopped:
            raise FitFailed("given up")
        if not self._pool.active:
            self._end_pool()
            self._pool = self._new_pool()

    def _end_pool(self) -> None:
        # Not left to the pool: it forgets the calls that are running, and whoever waits for them would wait for ever.
        for future in list(self._waited_for):
            future.cancel()
        self._pool.stop()
        self._pool.join()


_pools: list[WorkerPool] = []


@contextmanager
def worker_pool(count: int, *, timeout_s: float) -> Iterator[WorkerPool]:
    """Yield the pool of this process; the outermost caller makes it, and ends it.

    A caller may so start the workers before the one that uses them.

    Parameters
    ----------
    count, timeout_s
        As in `WorkerPool`, for the outermost caller.
    """
    if _pools:
        try:
            yield _pools[0]
        except BaseException:
            # Whoever waits for a call must be let go before the outermost caller is reached.
            _pools[0].stop()
            raise
        return
    with WorkerPool(count, timeout_s=timeout_s) as pool:
        _pools.append(pool)
        try:
            yield pool
        finally:
            _pools.clear()


def _start_worker() -> None:
    """Set up a worker before it imports any library: one thread, no chatter, Ctrl-C handled by the parent alone."""
    prepare_environment(ONE_THREAD)
    gc.set_threshold(GARBAGE_THRESHOLD)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Before the first call is taken from the pipe: a worker that imports while it holds the pipe, on a busy machine for
    # longer than the others wait for it, is taken for one that was killed, and the pool with it.
    import digits.experiments.fitting  # noqa: F401

    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when its parent has: nobody waits for what it computes, and another run may compute the same."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()  # a pipe tells, however it ended, and even if it did while this one started
    os._exit(1)
