"""A version's model, ready to predict by the code that it was registered with.

Where that is the code of this process, it predicts here. Where the code has changed since, it predicts in a process of
its own, by the code that was packaged with it: a version that comes back into production gives the probabilities that
it gave before, whatever was edited meanwhile.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from digits.errors import MissingError
from digits.models import artifact
from digits.registry import elsewhere
from digits.registry.packaging import CODE_FILES, MODEL_FILES, digest_of_code
from digits.registry.version import ModelVersion
from digits.settings import environment_without

__all__ = ["has_other_code", "loaded", "predicts_alike"]

log = logging.getLogger(__name__)

#: So long may a process that has failed take to say why.
END_SECONDS = 10


def has_other_code(version: ModelVersion) -> bool:
    """Return whether a version was registered with other code than this process would load it with."""
    return _code(version) != digest_of_code()


def predicts_alike(one: ModelVersion, other: ModelVersion) -> bool:
    """Return whether two versions predict by the same code."""
    return _code(one) == _code(other)


def _code(version: ModelVersion) -> str:
    """Return the digest of the code that a version predicts by: this process's, where its own is not known."""
    return version.code or digest_of_code()


@contextmanager
def loaded(version: ModelVersion, folder: Path) -> Iterator[Any]:
    """Yield what predicts as a version's estimator does: it has ``predict_proba`` and ``classes_``.

    Parameters
    ----------
    version
        The version.
    folder
        Its model; where `has_other_code`, in its whole package.

    Raises
    ------
    MissingError
        Its files hold no model, or its own code cannot load it with the libraries that are installed.
    """
    if not has_other_code(version):
        yield artifact.load(folder)
        return
    log.info("%s predicts in a process of its own, by the code that it was registered with", version)
    package = folder.absolute().parents[len(Path(MODEL_FILES).parts) - 1]
    ours, theirs = Pipe()
    arguments = [str(theirs.fileno()), str(folder.absolute()), str(version.threads)]
    with TemporaryFile() as said, TemporaryDirectory() as sources, ours:
        # The sources alone were held against their digest: what somebody has compiled beside them is left behind.
        shutil.copytree(package / CODE_FILES, sources, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        process = subprocess.Popen(
            # -P: what Python imports first is not what lies beside the script, but the version's own code.
            [sys.executable, "-P", elsewhere.__file__, *arguments],
            env=_environment(sources),
            pass_fds=[theirs.fileno()],
            stdout=said,
            stderr=said,
        )
        theirs.close()
        try:
            yield _Elsewhere(version, ours, process, said)
        finally:
            process.kill()
            process.wait()


def _environment(code: str) -> dict[str, str]:
    """Return this process's environment, with the folder `code` before all others that Python imports from."""
    known = environment_without(())
    return known | {"PYTHONPATH": os.pathsep.join(filter(None, [code, known.get("PYTHONPATH")]))}


class _Elsewhere:
    """An estimator in another process."""

    def __init__(
        self, version: ModelVersion, connection: Connection, process: subprocess.Popen[bytes], said: IO[bytes]
    ) -> None:
        self._version, self._connection, self._process, self._said = version, connection, process, said
        self.classes_ = self._answer()

    def predict_proba(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return the probabilities of each image, ``(n_samples, n_classes)``."""
        with suppress(BrokenPipeError):  # it has ended: there is no answer
            elsewhere.send(self._connection, images)
        return self._answer()

    def _answer(self) -> NDArray[Any]:
        try:
            return elsewhere.received(self._connection)
        except (EOFError, ConnectionResetError) as error:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(END_SECONDS)  # it says why at its end
            self._said.seek(0)
            *_, last = self._said.read().decode(errors="replace").splitlines() or ["it ended without a word"]
            if (code := self._process.poll()) is not None and code < 0:
                last = f"its process was killed by signal {-code}"
            raise MissingError(
                f"{self._version} cannot predict by the code that it was registered with, which is not what "
                f"this process runs: {last}"
            ) from error
