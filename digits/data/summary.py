"""One row of numbers per image: what the rules of the contract look at instead of pixels.

Does not know the rules. The images are read in chunks and their numbers given in batches, so that memory hardly grows
with how many they are: by eight bytes for each, by which copies are found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BATCH_ROWS", "N_CLASSES", "ink_distance", "label_distance", "summarise", "summarise_classes"]

N_CLASSES = 10
#: How many images are read at a time, and of how many the numbers make a batch.
_CHUNK_ROWS, BATCH_ROWS = 4096, 32_768

Real = NDArray[Any]
Float = NDArray[np.float64]


class _Copies(NamedTuple):
    """The rows whose image stands in another row too, ascending, and two columns for them; the others have zeros."""

    rows: NDArray[np.int64]
    other_labels: NDArray[np.int64]
    repeats: NDArray[np.int64]


def summarise(
    images: Real,
    labels: Real,
    *,
    max_value: int,
    ink_level: float,
    test_rows: int | None = None,
    batch_rows: int = BATCH_ROWS,
) -> Iterator[pd.DataFrame]:
    """Measure every image, batch by batch.

    Parameters
    ----------
    images
        ``(n_samples, height, width)``, numbers; not copied as a whole, may be mapped from a file.
    labels
        ``(n_samples,)``, numbers.
    max_value
        Value of a pixel that is full of ink.
    ink_level
        Share of `max_value` above which a pixel counts as inked, in ``[0, 1)``.
    test_rows
        How many of the last rows are the publisher's test split; None when there is none.
    batch_rows
        How many rows a batch has at most.

    Yields
    ------
    pandas.DataFrame
        The next rows, ``n_samples`` in all, each at the index of its image, with the columns

        * ``row``, ``label``;
        * ``ink``: mean of the pixels as a share of `max_value`;
        * ``lowest``, ``highest``: extreme values of the pixels;
        * ``inked``: share of the pixels that are inked;
        * ``box_top``, ``box_left``, ``box_height``, ``box_width``: smallest box around the inked pixels, in pixels;
        * ``size``: the box's longer side as a share of the image's, NaN when no pixel is inked;
        * ``centre_y``, ``centre_x``: centre of mass as a share of height and width, NaN where there is no ink;
        * ``offset``: the larger of the centre's two distances from 0.5, NaN where there is no ink;
        * ``other_labels``: how many other labels the very same image has in other rows;
        * ``repeats``: with `test_rows`, how often an image outside the test split stands in the test split (0 inside);
          without, how often the same image stood in an earlier row.
    """
    import pandas as pd

    copies = _copies(images, labels, test_rows=test_rows)
    for start in range(0, len(images), batch_rows):
        stop = min(start + batch_rows, len(images))
        columns: dict[str, Real] = {"row": np.arange(start, stop), "label": np.asarray(labels[start:stop])}
        for first in range(start, stop, _CHUNK_ROWS):
            chunk = np.ascontiguousarray(images[first : min(first + _CHUNK_ROWS, stop)])
            for name, values in _measure(chunk, max_value=max_value, ink_level=ink_level).items():
                if first == start:
                    columns[name] = np.empty(stop - start)
                columns[name][first - start :][: len(chunk)] = values
        inside = slice(*np.searchsorted(copies.rows, [start, stop]))
        for name, values in (("other_labels", copies.other_labels), ("repeats", copies.repeats)):
            columns[name] = np.zeros(stop - start, dtype=np.int64)
            columns[name][copies.rows[inside] - start] = values[inside]
        yield pd.DataFrame(columns, index=columns["row"])


def summarise_classes(labels: Real) -> pd.DataFrame:
    """Return one row per digit with its ``label``, its number of ``images`` and their ``share``, NaN for none."""
    import pandas as pd

    counts = _counts(labels)
    share = np.divide(counts, len(labels), out=np.full(N_CLASSES, np.nan), where=counts > 0)
    return pd.DataFrame({"label": np.arange(N_CLASSES), "images": counts, "share": share})


def label_distance(labels: Real, *, shares: tuple[float, ...]) -> float:
    """Return the total variation distance between the labels' distribution and `shares`, in ``[0, 1]``."""
    outside = len(labels) - int(_counts(labels).sum())
    found = _counts(labels) / max(1, len(labels))
    return float((np.abs(found - np.asarray(shares)).sum() + outside / max(1, len(labels))) / 2)


def ink_distance(ink: Float, *, deciles: tuple[float, ...]) -> float:
    """Return how far the ink's distribution function strays from that of a reference, at its deciles, in ``[0, 1]``.

    This is Kolmogorov's distance (Smirnov, Ann. Math. Stat. 19(2):279-281, 1948) at the nine points where the
    reference is known: there its distribution function is 0.1, 0.2 … 0.9.
    """
    expected = np.arange(1, len(deciles) + 1) / (len(deciles) + 1)
    found = np.searchsorted(np.sort(ink), np.asarray(deciles), side="right") / max(1, len(ink))
    return float(np.abs(found - expected).max())


def _counts(labels: Real) -> NDArray[np.int64]:
    return np.array([np.count_nonzero(labels == label) for label in range(N_CLASSES)], dtype=np.int64)


def _measure(chunk: Real, *, max_value: int, ink_level: float) -> dict[str, Real]:
    n_samples, height, width = chunk.shape
    flat = chunk.reshape(n_samples, -1)
    inked = chunk > ink_level * max_value
    top, bottom, any_inked = _extent(np.any(inked, axis=2))
    left, right, _ = _extent(np.any(inked, axis=1))
    box_height, box_width = bottom - top, right - left
    size = np.maximum(box_height / height, box_width / width)
    in_rows, in_columns = chunk.sum(axis=2, dtype=np.float64), chunk.sum(axis=1, dtype=np.float64)
    mass = in_rows.sum(axis=1)
    centre_y, centre_x = _centre(in_rows, mass=mass), _centre(in_columns, mass=mass)
    return {
        "ink": mass / (height * width * max_value),
        "lowest": flat.min(axis=1),
        "highest": flat.max(axis=1),
        "inked": inked.reshape(n_samples, -1).mean(axis=1),
        "box_top": top,
        "box_left": left,
        "box_height": box_height,
        "box_width": box_width,
        "size": np.where(any_inked, size, np.nan),
        "centre_y": centre_y,
        "centre_x": centre_x,
        "offset": np.maximum(np.abs(centre_y - 0.5), np.abs(centre_x - 0.5)),
    }


def _extent(inked: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Return the first inked line, the line after the last, and whether there is one, of ``(n_samples, side)``."""
    some = np.asarray(np.any(inked, axis=1))
    first = inked.argmax(axis=1)
    end = np.where(some, inked.shape[1] - inked[:, ::-1].argmax(axis=1), 0)
    return first, end, some


def _centre(lines: Float, *, mass: Float) -> Float:
    """Return the centre of mass of ``(n_samples, side)`` lines as a share of the side; pixel i ends at i + 1."""
    side = lines.shape[1]
    moment = lines @ ((np.arange(side) + 0.5) / side)
    centre: Float = np.divide(moment, mass, out=np.full(len(lines), np.nan), where=mass > 0)
    return centre


def _copies(images: Real, labels: Real, *, test_rows: int | None) -> _Copies:
    import pandas as pd

    rows = _suspects(images)
    digests = [hashlib.blake2b(np.ascontiguousarray(images[row]).data, digest_size=16).digest() for row in rows]
    same, _ = pd.factorize(np.array(digests, dtype=object))
    is_test = None if test_rows is None else rows >= len(images) - test_rows
    return _Copies(rows, _other_labels(same, np.asarray(labels[rows])), _repeats(same, is_test=is_test))


def _suspects(images: Real) -> NDArray[np.int64]:
    """Return the rows, ascending, whose image has the same short digest as another's: every copy is among them."""
    short = np.empty(len(images), dtype=np.uint64)
    for start in range(0, len(images), _CHUNK_ROWS):
        chunk = np.ascontiguousarray(images[start : start + _CHUNK_ROWS])
        digests = b"".join(hashlib.blake2b(image, digest_size=short.itemsize).digest() for image in chunk)
        short[start : start + len(chunk)] = np.frombuffer(digests, dtype=short.dtype)
    ordered = np.sort(short)
    repeated = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if not len(repeated):
        return np.empty(0, dtype=np.int64)
    # The last is left out of the search: whatever is greater finds it then, and no place behind the end.
    chunks = (short[start : start + _CHUNK_ROWS] for start in range(0, len(short), _CHUNK_ROWS))
    return np.flatnonzero(
        np.concatenate([repeated[np.searchsorted(repeated[:-1], chunk)] == chunk for chunk in chunks])
    )


def _other_labels(same: NDArray[np.intp], labels: Real) -> NDArray[np.int64]:
    import pandas as pd

    first = ~pd.DataFrame({"same": same, "label": labels}).duplicated().to_numpy()
    n_labels = np.bincount(same[first])
    return np.asarray(n_labels[same] - 1, dtype=np.int64)


def _repeats(same: NDArray[np.intp], *, is_test: NDArray[np.bool_] | None) -> NDArray[np.int64]:
    import pandas as pd

    if is_test is None:
        return np.asarray(pd.Series(same).groupby(same).cumcount(), dtype=np.int64)
    in_test = np.bincount(same[is_test], minlength=int(same.max(initial=0)) + 1)
    return np.where(is_test, 0, in_test[same])
