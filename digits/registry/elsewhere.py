"""Run as a process of its own, by its path: load a model by the code that was packaged with it, and predict.

``digits`` is here the package in that package's code, whatever its age: nothing of it is used but its model files'
reader. Takes the descriptor of a connection, the folder of the model, and how many threads it predicts with; sends
the classes, and then the probabilities of each array of images that comes, until nobody is there any more.
"""

from __future__ import annotations

import io
import sys
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from digits.models import artifact

__all__ = ["received", "send"]


def send(connection: Connection, array: NDArray[Any]) -> None:
    """Send an array, as the bytes of a ``.npy`` file."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    connection.send_bytes(buffer.getvalue())


def received(connection: Connection) -> NDArray[Any]:
    """Wait for an array and return it.

    Raises
    ------
    EOFError
        The other side has ended.
    """
    array: NDArray[Any] = np.load(io.BytesIO(connection.recv_bytes()), allow_pickle=False)
    return array


if __name__ == "__main__":
    asker = Connection(int(sys.argv[1]))
    model = artifact.load(Path(sys.argv[2]))
    with suppress(EOFError), threadpool_limits(int(sys.argv[3])):
        send(asker, model.classes_)
        while True:
            send(asker, model.predict_proba(received(asker)))
