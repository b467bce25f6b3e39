"""Whatever the picture: a result of the right kind or a `PictureError`, and the same one for the same strokes."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageDraw

from digits.data.images import DIGITS_FRAME, MNIST_FRAME, Frame, frame_picture, read_picture
from digits.errors import PictureError

FRAMES = st.sampled_from([MNIST_FRAME, DIGITS_FRAME])
# Lines at least half as long as the longest, so that the pen's width does not make a blot of them.
POINTS = st.lists(st.tuples(st.integers(0, 100), st.integers(0, 140)), min_size=2, max_size=6).filter(
    lambda points: max(np.ptp(points, axis=0)) >= 70
)


def attempt(reading: Callable[[], np.ndarray]) -> np.ndarray | str:
    """Return what is read, or the message of the `PictureError`."""
    try:
        return reading()
    except PictureError as error:
        return str(error)


#: Where a drawing begins, from the left and from the top.
PLACE = 40


def drawing(points: list[tuple[int, int]]) -> np.ndarray:
    """Draw one line through the points, white on black, on a canvas of 300 x 400."""
    picture = Image.new("L", (300, 400), 0)
    ImageDraw.Draw(picture).line([(x + PLACE, y + PLACE) for x, y in points], fill=255, width=14)
    return np.asarray(picture)


@given(
    values=st.one_of(
        arrays.arrays(np.uint8, arrays.array_shapes(min_dims=2, max_dims=2, max_side=70)),
        arrays.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from([3, 4]))),
    ),
    frame=FRAMES,
)
@example(values=np.array([[20, 4]], dtype=np.uint8), frame=Frame(height=28, width=28, max_value=255))
@settings(deadline=None, max_examples=150)  # no deadline: the machine may be busy
def test_any_pixels_give_an_image_of_the_frame_or_a_picture_error(values: np.ndarray, frame: Frame) -> None:
    """No pixels whatever break the reading: shape, type and range are right, or the picture is called blank."""
    image = attempt(lambda: frame_picture(Image.fromarray(values), frame=frame))

    if isinstance(image, str):
        assert "blank" in image
    else:
        assert image.shape == (frame.height, frame.width)
        assert image.dtype == np.uint8
        assert 0 < image.max() <= frame.max_value


@given(
    kind=st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"]),
    harm=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8),
    cut=st.floats(0.02, 1),
)
@settings(deadline=None, max_examples=150)  # no deadline: the machine may be busy
def test_damaged_files_give_an_image_or_a_picture_error(kind: str, harm: list[tuple[float, int]], cut: float) -> None:
    """Files with changed and missing bytes raise nothing but `PictureError`, in one line."""
    buffer = io.BytesIO()
    Image.fromarray(drawing([(0, 0), (100, 0), (30, 140)])).convert("RGB").resize((60, 80)).save(buffer, kind)
    content = bytearray(buffer.getvalue())
    for place, value in harm:
        content[int(place * len(content))] = value
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture"
        path.write_bytes(content[: int(cut * len(content))])
        image = attempt(lambda: read_picture(path, frame=MNIST_FRAME))

    if isinstance(image, str):
        assert image.startswith(str(path))
        assert "\n" not in image
    else:
        assert image.shape == (28, 28)


@given(points=POINTS, left=st.integers(10, 180), top=st.integers(10, 240), frame=FRAMES)
@example(points=[(0, 0), (93, 22)], left=10, top=10, frame=Frame(height=28, width=28, max_value=255))
@settings(deadline=None, max_examples=60)  # no deadline: the machine may be busy
def test_place_and_polarity_do_not_matter(points: list[tuple[int, int]], left: int, top: int, frame: Frame) -> None:
    """The same line elsewhere on the canvas, and dark on light, gives the same image to the last bit but rounding."""
    canvas = drawing(points)  # not drawn twice: Pillow may round the corners of a line otherwise elsewhere
    here = frame_picture(Image.fromarray(canvas), frame=frame).astype(int)

    moved = np.roll(canvas, (top - PLACE, left - PLACE), axis=(0, 1))
    there = frame_picture(Image.fromarray(255 - moved), frame=frame).astype(int)

    assert np.abs(here - there).max() <= 1


@given(points=POINTS)
@settings(deadline=None, max_examples=60)  # no deadline: the machine may be busy
def test_mnist_frame_is_a_fixed_point(points: list[tuple[int, int]]) -> None:
    """An image that is in MNIST's frame comes through nearly unchanged when it is read again."""
    once = frame_picture(Image.fromarray(drawing(points)), frame=MNIST_FRAME)

    twice = frame_picture(Image.fromarray(once), frame=MNIST_FRAME)

    assert np.abs(once.astype(int) - twice.astype(int)).mean() <= 3
