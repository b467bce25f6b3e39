"""IDX, the format of MNIST's files: a big-endian header and then the bytes of an array of uint8.

The header is two zero bytes, the type (8 for unsigned bytes), the number of dimensions, and each dimension as four
bytes (LeCun, Cortes and Burges, "The MNIST database of handwritten digits", section "File formats").
"""

from __future__ import annotations

import gzip
import hashlib
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digits.errors import SourceError

__all__ = ["decode", "encode", "read_payload", "verify"]

_UNSIGNED_BYTE = 8
# MNIST's largest file has 47 MB; a file that unfolds to more than this is not one of its kind.
_MAX_BYTES = 1 << 28


def encode(array: NDArray[np.uint8]) -> bytes:
    """Return an array of uint8 as the bytes of an IDX file."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, _UNSIGNED_BYTE, array.ndim, *array.shape)
    return header + array.tobytes()


def decode(payload: bytes, *, dimensions: int, name: str) -> NDArray[np.uint8]:
    """Return the array that the bytes of an IDX file hold, read-only.

    Parameters
    ----------
    payload
        Header and values, decompressed.
    dimensions
        How many dimensions the array must have: 3 for images, 1 for labels.
    name
        What to call the file in an error.

    Raises
    ------
    SourceError
        The header is not that of such an array, or the values are fewer or more than it says.
    """
    start = 4 + 4 * dimensions
    magic = bytes([0, 0, _UNSIGNED_BYTE, dimensions])
    if payload[:4] != magic or len(payload) < start:
        raise SourceError(
            f"{name} is no IDX file of {dimensions} dimensions: it begins with {payload[:4].hex() or 'nothing'}, "
            f"wanted {magic.hex()}; get it again"
        )
    shape = struct.unpack(f">{dimensions}I", payload[4:start])
    wanted = start + math.prod(shape)
    if len(payload) != wanted:
        fault = "truncated" if len(payload) < wanted else "too long"
        size = " x ".join(map(str, shape))
        raise SourceError(f"{name} is {fault}: {len(payload)} bytes, wanted {wanted} for {size}; get it again")
    return np.frombuffer(payload, dtype=np.uint8, offset=start).reshape(shape)


def read_payload(path: Path) -> bytes:
    """Return the bytes of a file, decompressed when its name ends in ``.gz``.

    Raises
    ------
    SourceError
        The file cannot be read, is truncated or corrupt, or unfolds to more than any file of MNIST.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            payload = stream.read(_MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"{path} is truncated or corrupt ({error}); get it again") from error
    if len(payload) > _MAX_BYTES:
        raise SourceError(f"{path} is too long: more than {_MAX_BYTES} bytes decompressed; get it again")
    return payload


def verify(payload: bytes, *, md5: str, name: str) -> None:
    """Raise `SourceError` when the MD5 of `payload` is not `md5`.

    MD5, because that is what the publishers of these files and of their copies give; against accidents, not attacks.
    """
    found = hashlib.md5(payload, usedforsecurity=False).hexdigest()
    if found != md5:
        raise SourceError(f"{name} is not the file it should be: MD5 {found}, wanted {md5}; get it again")
