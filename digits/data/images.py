"""Pictures of single digits, brought into the frame that a dataset's images have.

The same code reads a folder of labelled pictures (``folder``) and a drawing at prediction time, so that a model is
asked about images of the kind that it learned from.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from digits.data.ink import EDGE, ink_map
from digits.errors import BlankPictureError, PictureError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["DIGITS_FRAME", "MNIST_FRAME", "Frame", "frame_picture", "read_picture"]

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Frame:
    """What the images of a dataset look like.

    Attributes
    ----------
    height, width
        Size in pixels.
    max_value
        Value of a pixel that is full of ink: 255 for MNIST; 16 for scikit-learn's digits, whose pixels count the
        inked ones of a 4 x 4 block.
    """

    height: int
    width: int
    max_value: int


MNIST_FRAME = Frame(28, 28, 255)
DIGITS_FRAME = Frame(8, 8, 16)

# What people draw and photograph with. Not every format that Pillow knows: some start other programs (EPS).
_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "AVIF", "ICO")
# Room for the camera of any telephone, and at most 0.4 GB of memory.
_MAX_PIXELS = 100_000_000
# A JPEG of more than twice this size is decoded at a fraction of it, which takes a fraction of the time.
_DRAFT_SIDE = 1024
# A speck of this size or less is no digit: pixels, and share of the picture's longer side.
_MIN_PIXELS, _MIN_SHARE = 3, 0.015
# The box inside MNIST's frame (LeCun et al., Proc. IEEE 86(11), 1998, section III-A): 20 of 28 pixels.
_BOX_SHARE = 20 / 28
# Stroke widths in MNIST's box of 20 pixels lie between these for 98 of 100 training images; beyond, they are mended.
_THIN, _THICK = 1.85, 4.5
# Strokes are thinned and thickened on a canvas this many times finer than the box.
_FINER = 8
# Blocks of the bitmap whose inked pixels are counted in scikit-learn's digits.
_BLOCK = 4
# The NIST bitmaps are 20 of 32 pixels wide; a plain stroke is widened no more than this, lest it become a block.
_COUNTED_WIDTH, _WIDEN = 20 / 32, 1.5


def read_picture(path: Path, *, frame: Frame) -> NDArray[np.uint8]:
    """Read the picture of one digit and bring it into a frame.

    Parameters
    ----------
    path
        A PNG, JPEG, GIF, BMP, TIFF, WebP, PPM, AVIF or ICO file: any size, grey or colour, dark on light or light on
        dark, off-centre, with or without transparency. Of an animation, the first picture counts.
    frame
        What the images of the dataset look like.

    Returns
    -------
    NDArray[np.uint8]
        ``(frame.height, frame.width)`` uint8 in ``[0, frame.max_value]``, 0 where there is no ink.

    Raises
    ------
    BlankPictureError
        There is no digit on the picture.
    PictureError
        The file is missing, empty, no picture, damaged or too large.
    """
    try:
        return frame_picture(_decoded(path), frame=frame)
    except PictureError as error:
        raise type(error)(f"{path}: {error}") from error


def frame_picture(image: Image, *, frame: Frame) -> NDArray[np.uint8]:
    """Bring a decoded picture of one digit into a frame; see `read_picture`.

    Raises
    ------
    BlankPictureError
        There is no digit on the picture.
    PictureError
        The picture has no pixels.
    """
    if 0 in image.size:
        raise PictureError(f"the picture is empty: {image.width} x {image.height} pixels; save it again")
    ink = ink_map(image)
    rows, columns = np.flatnonzero((ink > EDGE).any(1)), np.flatnonzero((ink > EDGE).any(0))
    side = max(np.ptp(rows), np.ptp(columns)) + 1 if len(rows) else 0
    if side < _MIN_PIXELS or side < _MIN_SHARE * max(ink.shape):
        raise BlankPictureError(f"the picture is blank: nothing but a spot of {side} pixels; draw a larger digit")
    if _is_framed(ink, rows=rows, columns=columns, frame=frame):
        ink = _resized(ink, height=frame.height, width=frame.width)
    else:
        crop = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        ink = _counted(crop, frame=frame) if frame.max_value == _BLOCK**2 else _centred(crop, frame=frame)
    return np.asarray(np.rint(np.clip(ink, 0, 1) * frame.max_value), dtype=np.uint8)


def _decoded(path: Path) -> Image:
    from PIL import Image as Pillow
    from PIL import ImageOps, UnidentifiedImageError

    try:
        if path.stat().st_size == 0:
            raise PictureError("the file is empty: 0 bytes; save the picture again")
        with warnings.catch_warnings():
            # Damaged metadata and sizes just above Pillow's own limit: what matters of it becomes a PictureError.
            warnings.simplefilter("ignore")
            with Pillow.open(path, formats=_FORMATS) as image:
                if image.width * image.height > _MAX_PIXELS:
                    raise PictureError(
                        f"the picture is too large: {image.width} x {image.height} pixels, "
                        f"wanted at most {_MAX_PIXELS:,} in all; scale it down"
                    )
                image.draft(None, (_DRAFT_SIDE, _DRAFT_SIDE))
                return ImageOps.exif_transpose(image)
    except PictureError:
        raise
    except UnidentifiedImageError as error:
        raise PictureError(f"the file is no picture; wanted one of {', '.join(_FORMATS)}") from error
    except Pillow.DecompressionBombError as error:
        raise PictureError(f"the picture is too large: wanted at most {_MAX_PIXELS:,} pixels; scale it down") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise PictureError(f"the picture cannot be read ({reason}); save it again") from error
    except Exception as error:  # decoders fed with damaged bytes raise whatever they stumble on
        raise PictureError(f"the picture is damaged ({type(error).__name__}: {error}); save it again") from error


def _is_framed(ink: Array, *, rows: NDArray[np.intp], columns: NDArray[np.intp], frame: Frame) -> bool:
    """Return whether a picture is in the frame already, perhaps enlarged, as an image taken out of the dataset is."""
    height, width = ink.shape
    scale = height / frame.height
    if scale < 1 or width != scale * frame.width:
        return False
    tall, wide = (np.ptp(rows) + 1) / scale, (np.ptp(columns) + 1) / scale
    if frame.max_value == _BLOCK**2:
        return bool(tall >= frame.height - 0.5 and wide <= frame.width - 0.5)
    if scale > 1 and not _THIN <= _stroke_width(ink) / scale <= _THICK:
        return False
    y, x = _centre_of_mass(ink)
    off = max(abs((y + 0.5) / scale - 0.5 - frame.height // 2), abs((x + 0.5) / scale - 0.5 - frame.width // 2))
    return bool(abs(max(tall, wide) - _box(frame)) <= 1.5 and off <= 0.75)


def _centred(crop: Array, *, frame: Frame) -> Array:
    """Scale ink into the box and put its centre of mass at the centre of the frame, as MNIST does.

    MNIST's frame: the digit fits a box of 20 x 20 pixels with its aspect kept, and its centre of mass is shifted by
    whole pixels to the centre of 28 x 28 (LeCun et al., Proc. IEEE 86(11), 1998, section III-A).
    """
    box = _box(frame)
    tile = _fitted(_mended(crop, box=box), height=box, width=box)
    tile = tile / tile.max()
    y, x = _centre_of_mass(tile)
    height, width = tile.shape
    top = int(np.clip(np.rint(frame.height // 2 - y), 0, frame.height - height))
    left = int(np.clip(np.rint(frame.width // 2 - x), 0, frame.width - width))
    ink = np.zeros((frame.height, frame.width), np.float32)
    ink[top : top + height, left : left + width] = tile
    return ink


def _counted(crop: Array, *, frame: Frame) -> Array:
    """Scale ink to a bitmap of four times the frame's size and count the inked pixels of each block of 4 x 4.

    As the UCI digits were made (Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998) from the
    bitmaps of the NIST form-based handprint recognition system (NISTIR 5469, 1994): upright, and scaled to the full
    height and a width of 20 of 32 pixels whatever its aspect.
    """
    height, width = frame.height * _BLOCK, frame.width * _BLOCK
    upright = _upright(_mended(crop, box=height))
    wide = round(min(_COUNTED_WIDTH * width, max(1, _WIDEN * upright.shape[1] * height / upright.shape[0])))
    left = (width - wide) // 2
    bitmap = np.zeros((height, width), bool)
    bitmap[:, left : left + wide] = _resized(upright, height=height, width=wide) > 0.5
    blocks = bitmap.reshape(frame.height, _BLOCK, frame.width, _BLOCK)
    return np.asarray(blocks.mean(axis=(1, 3)), dtype=np.float32)


def _upright(crop: Array) -> Array:
    """Take the slant out of ink: shear it until the second mixed moment about its centre is nought."""
    import cv2

    height, width = crop.shape
    y, x = _centre_of_mass(crop)
    down, right = np.arange(height) - y, np.arange(width) - x
    slant = float(down @ crop @ right) / max(float((down**2) @ crop.sum(1)), 1e-6)
    room = int(np.ceil(abs(slant) * height)) + 1
    shear = np.array([[1, slant, -slant * y - room], [0, 1, 0]], np.float32)
    size = (width + 2 * room, height)
    return _cropped(np.asarray(cv2.warpAffine(crop, shear, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)))


def _mended(crop: Array, *, box: int) -> Array:
    """Return ink whose strokes are as wide, for its size, as those of the training images."""
    import cv2

    side = max(crop.shape)
    width, unit = _stroke_width(crop) * 20 / side, side / 20
    if _THIN <= width <= _THICK:
        return crop
    scale = max(1.0, box * _FINER / side)
    canvas = _resized(crop, height=round(crop.shape[0] * scale), width=round(crop.shape[1] * scale))
    wanted = _THIN if width < _THIN else _THICK
    radius = max(1, round(abs(wanted - width) * unit * scale / 2))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    canvas = np.pad(canvas, radius)
    mended = np.asarray(cv2.dilate(canvas, kernel) if width < _THIN else cv2.erode(canvas, kernel), dtype=np.float32)
    return _cropped(mended) if (mended > EDGE).any() else crop


def _cropped(ink: Array) -> Array:
    """Return the bounding box of the ink."""
    rows, columns = np.flatnonzero((ink > EDGE).any(1)), np.flatnonzero((ink > EDGE).any(0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _stroke_width(ink: Array) -> float:
    """Return twice the area over the perimeter, in pixels: the width of a long stroke.

    The perimeter of a soft shape is its total variation (coarea formula).
    """
    down, right = np.gradient(np.pad(ink, 1))
    return 2 * float(ink.sum()) / max(float(np.hypot(down, right).sum()), 1e-6)


def _fitted(crop: Array, *, height: int, width: int) -> Array:
    """Scale ink into a box with anti-aliasing, its aspect kept."""
    scale = min(height / crop.shape[0], width / crop.shape[1])
    return _resized(
        crop,
        height=min(height, max(1, round(crop.shape[0] * scale))),
        width=min(width, max(1, round(crop.shape[1] * scale))),
    )


def _resized(ink: Array, *, height: int, width: int) -> Array:
    from PIL import Image as Pillow

    if ink.shape == (height, width):
        return ink
    # Averages over the new pixel's area where the picture shrinks, so that nothing is lost; smooth where it grows.
    shrinks = height <= ink.shape[0] and width <= ink.shape[1]
    method = Pillow.Resampling.BOX if shrinks else Pillow.Resampling.BILINEAR
    return np.asarray(Pillow.fromarray(ink).resize((width, height), method), dtype=np.float32)


def _centre_of_mass(ink: Array) -> tuple[float, float]:
    total = float(ink.sum())
    y, x = np.arange(ink.shape[0]), np.arange(ink.shape[1])
    return float(ink.sum(1) @ y) / total, float(ink.sum(0) @ x) / total


def _box(frame: Frame) -> int:
    return round(_BOX_SHARE * min(frame.height, frame.width))
