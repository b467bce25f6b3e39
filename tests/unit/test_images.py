"""A picture of one digit, however it was made, comes out as the image that its dataset would hold."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from digits.data.images import DIGITS_FRAME, MNIST_FRAME, Frame, frame_picture, read_picture
from digits.errors import PictureError

FRAMES = pytest.mark.parametrize("frame", [MNIST_FRAME, DIGITS_FRAME], ids=["28x28", "8x8"])


def seven(
    *, size: tuple[int, int] = (300, 400), corner: tuple[int, int] = (90, 80), mode: str = "L", paper=255, ink=0, pen=24
) -> Image.Image:
    """Draw a seven, 120 wide and 200 high, with its upper left corner at `corner`."""
    picture = Image.new(mode, size, paper)
    x, y = corner
    ImageDraw.Draw(picture).line([(x, y), (x + 120, y), (x + 40, y + 200)], fill=ink, width=pen, joint="curve")
    return picture


def distance(one: NDArray[np.uint8], other: NDArray[np.uint8], *, frame: Frame) -> float:
    """Return the mean absolute difference as a share of the value range."""
    return float(np.abs(one.astype(float) - other.astype(float)).mean()) / frame.max_value


@FRAMES
def test_image_has_shape_type_and_range_of_its_frame(frame: Frame) -> None:
    """The result has the frame's shape, is uint8, reaches the full value, and is empty where there is no ink."""
    image = frame_picture(seven(), frame=frame)

    assert (frame.height, frame.width) == image.shape
    assert image.dtype == np.uint8
    assert image.max() == frame.max_value
    assert image.min() == 0


def test_mnist_frame_is_a_box_of_20_with_the_centre_of_mass_in_the_middle() -> None:
    """The longer side of the ink is 20 pixels and its centre of mass is within half a pixel of the centre."""
    image = frame_picture(seven(), frame=MNIST_FRAME).astype(float)

    rows = np.flatnonzero(image.any(1))
    assert rows[-1] - rows[0] + 1 == 20
    y, x = (np.average(np.arange(28), weights=image.sum(axis)) for axis in (1, 0))
    assert abs(y - 14) <= 0.51
    assert abs(x - 14) <= 0.51


def test_digits_frame_fills_the_height_and_leaves_the_sides_free() -> None:
    """In scikit-learn's frame a digit reaches the first and the last row, and not the outermost columns."""
    image = frame_picture(seven(), frame=DIGITS_FRAME)

    assert image[0].any()
    assert image[-1].any()
    assert not image[:, 0].any()
    assert not image[:, -1].any()


VARIANTS = {
    "light on dark": seven(paper=0, ink=255),
    "little contrast": seven(paper=200, ink=150),
    "off-centre on a large canvas": seven(size=(1500, 900), corner=(1300, 600)),
    "cropped tightly": seven(size=(140, 224), corner=(10, 12)),
    "colour": seven(mode="RGB", paper=(250, 240, 200), ink=(20, 40, 160)),
    "colours of one brightness": seven(mode="RGB", paper=(255, 0, 0), ink=(0, 130, 0)),
    "transparent, dark ink": seven(mode="RGBA", paper=(0, 0, 0, 0), ink=(0, 0, 0, 255)),
    "transparent, light ink": seven(mode="RGBA", paper=(255, 255, 255, 0), ink=(255, 255, 255, 255)),
    "transparent, faint ink": seven(mode="RGBA", paper=(9, 9, 9, 0), ink=(90, 0, 0, 120)),
    "grey with transparency": seven(mode="LA", paper=(0, 0), ink=(0, 255)),
    "opaque with an alpha channel": seven(mode="RGBA", paper=(255, 255, 255, 255), ink=(0, 0, 0, 255)),
    "one bit": seven(mode="1", paper=1, ink=0),
    "palette": seven(mode="RGB", paper=(255, 255, 255), ink=(10, 90, 10)).quantize(16),
    "CMYK": seven(mode="CMYK", paper=(0, 0, 0, 0), ink=(200, 200, 0, 100)),
    "16 bit": Image.fromarray(np.asarray(seven()).astype(np.uint16) * 200 + 3000),
    "32 bit": Image.fromarray(np.asarray(seven()).astype(np.int32) * 9000),
    "floating point": Image.fromarray(np.asarray(seven()).astype(np.float32) / 255),
}


@FRAMES
@pytest.mark.parametrize("name", VARIANTS)
def test_colour_polarity_depth_and_place_do_not_matter(name: str, frame: Frame) -> None:
    """The same strokes give the same image whatever they are drawn with, on what, and where."""
    plain = frame_picture(seven(), frame=frame)

    image = frame_picture(VARIANTS[name], frame=frame)

    assert distance(plain, image, frame=frame) < 0.015


def test_palette_with_a_transparent_colour_shows_the_rest() -> None:
    """A GIF-like picture whose paper is the transparent entry of its palette reads like any other."""
    picture = seven(mode="P", paper=0, ink=1)
    picture.putpalette([0, 0, 0, 0, 0, 0])
    picture.info["transparency"] = 0

    image = frame_picture(picture, frame=MNIST_FRAME)

    assert distance(frame_picture(seven(), frame=MNIST_FRAME), image, frame=MNIST_FRAME) < 0.015


def test_paper_cut_out_on_a_transparent_ground_is_not_the_digit() -> None:
    """On a visible sheet inside a transparent picture, the ink on the sheet is what is read."""
    picture = Image.new("RGBA", (500, 600), (0, 0, 0, 0))
    picture.paste(seven(mode="RGBA", paper=(255, 255, 240, 255), ink=(0, 0, 90, 255)), (100, 90))

    image = frame_picture(picture, frame=MNIST_FRAME)

    assert distance(frame_picture(seven(), frame=MNIST_FRAME), image, frame=MNIST_FRAME) < 0.015


def test_uneven_light_grain_and_dust_leave_the_digit() -> None:
    """A photograph, with a shadow across the paper, grain, dust and JPEG's blocks, gives nearly the drawn image."""
    rng = np.random.default_rng(0)
    light = np.linspace(0.95, 0.55, 300)[None, :] * np.linspace(1.0, 0.85, 400)[:, None]
    values = np.asarray(seven()) / 255 * 0.75 + 0.25
    values[30:34, 20:24] = 0.3
    photograph = np.clip(values * light + rng.normal(0, 0.015, values.shape), 0, 1)
    buffer = io.BytesIO()
    Image.fromarray((photograph * 255).astype(np.uint8)).save(buffer, "JPEG", quality=60)

    image = frame_picture(Image.open(buffer), frame=MNIST_FRAME)

    assert distance(frame_picture(seven(), frame=MNIST_FRAME), image, frame=MNIST_FRAME) < 0.03


@pytest.mark.parametrize("pen", [3, 50], ids=["thin", "thick"])
def test_thin_and_thick_pens_give_strokes_like_those_of_mnist(pen: int) -> None:
    """Strokes far thinner and thicker than any training image's come out with an amount of ink that is usual."""
    usual = frame_picture(seven(), frame=MNIST_FRAME).sum()

    ink = frame_picture(seven(pen=pen), frame=MNIST_FRAME).sum()

    assert 0.5 < ink / usual < 1.8


def test_exif_rotation_is_applied(tmp_path: Path) -> None:
    """A picture stored on its side, with the rotation in its EXIF data, is read upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "seven.jpg"
    seven().transpose(Image.Transpose.ROTATE_90).save(path, exif=exif, quality=95)

    image = read_picture(path, frame=MNIST_FRAME)

    assert distance(frame_picture(seven(), frame=MNIST_FRAME), image, frame=MNIST_FRAME) < 0.015


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp", "tiff", "webp", "ppm"])
def test_common_file_formats_are_read(suffix: str, tmp_path: Path) -> None:
    """The formats that people draw and photograph with give the image of the drawing."""
    path = tmp_path / f"seven.{suffix}"
    seven().convert("RGB").save(path)

    image = read_picture(path, frame=MNIST_FRAME)

    assert distance(frame_picture(seven(), frame=MNIST_FRAME), image, frame=MNIST_FRAME) < 0.015


@pytest.mark.parametrize("scale", [1, 10])
def test_images_of_the_dataset_itself_come_through_unchanged(scale: int) -> None:
    """An image of scikit-learn's digits saved as a picture, also enlarged, is nearly the same image again."""
    from sklearn.datasets import load_digits

    for original in load_digits().images[:20].astype(np.uint8):
        picture = Image.fromarray(original * 15).resize((8 * scale, 8 * scale), Image.Resampling.NEAREST)
        assert distance(original, frame_picture(picture, frame=DIGITS_FRAME), frame=DIGITS_FRAME) < 0.04


def grain(level: int) -> Image.Image:
    """Return a sheet of grainy paper with nothing on it."""
    values = np.random.default_rng(level).normal(level, 6, (120, 120))
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


@FRAMES
@pytest.mark.parametrize(
    "picture",
    [
        Image.new("L", (50, 50), 255),
        Image.new("L", (1, 1), 0),
        Image.new("RGB", (28, 28), (7, 7, 7)),
        Image.new("RGBA", (40, 40), (0, 0, 0, 0)),
        Image.new("I;16", (40, 40), 900),
        grain(220),
        grain(90),
    ],
    ids=["white", "one pixel", "colour", "transparent", "16 bit", "grain on white", "grain on grey"],
)
def test_blank_pictures_are_refused(picture: Image.Image, frame: Frame) -> None:
    """A picture without ink raises an error that says so."""
    with pytest.raises(PictureError, match=r"the picture is blank: .+; draw"):
        frame_picture(picture, frame=frame)


def test_a_speck_is_no_digit() -> None:
    """A spot of dust on an empty sheet is not enlarged to a digit."""
    picture = Image.new("L", (400, 400), 255)
    picture.putpixel((200, 200), 0)

    with pytest.raises(PictureError, match="nothing but a spot"):
        frame_picture(picture, frame=MNIST_FRAME)


def bomb() -> bytes:
    """Return a PNG of a few kilobytes that says it has 40,000 x 40,000 pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content).to_bytes(4, "big")
        return len(content).to_bytes(4, "big") + kind + content + checksum

    header = (40_000).to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    content = zlib.compress(bytes(1 << 20))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", content) + chunk(b"IEND", b"")


def encoded() -> bytes:
    """Return a seven as the bytes of a PNG file."""
    buffer = io.BytesIO()
    seven().save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        (b"", "0 bytes"),
        (b"seven", "no picture; wanted one of PNG"),
        (encoded()[:400], "cannot be read|damaged"),
        (bomb(), "too large.*scale it down"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no picture"),
    ],
    ids=["missing", "empty", "text", "truncated", "bomb", "program"],
)
def test_unreadable_files_are_named_with_what_is_wrong(content: bytes | None, message: str, tmp_path: Path) -> None:
    """Whatever is wrong with a file, one `PictureError` of one line names the file and the fault."""
    path = tmp_path / "seven.png"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(PictureError, match=message) as caught:
        read_picture(path, frame=MNIST_FRAME)

    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_picture(tmp_path: Path) -> None:
    """A folder given in place of a picture is named like any other unreadable file."""
    with pytest.raises(PictureError, match="cannot be read"):
        read_picture(tmp_path, frame=MNIST_FRAME)
