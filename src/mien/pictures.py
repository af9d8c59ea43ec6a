"""Open pictures: files, bytes or what a program holds already, upright and within bounds."""

from __future__ import annotations

import io
import os
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from mien.errors import DataError, MienError

if TYPE_CHECKING:
    from PIL.Image import Image

    Picture: TypeAlias = str | os.PathLike[str] | bytes | npt.NDArray[Any] | Image

MAXIMUM_PIXELS = 100_000_000
"""A larger picture is refused before it is decoded: a small file can unpack to more memory than there is."""

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
"""What is read. Pillow knows more, some of which (EPS) it hands to other programs."""

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".pgm", ".ppm")
"""Names of image files, in lower case."""

_VIDEOS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm")

_ORIENTATION = 0x0112
_TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
"""What puts a picture upright, by its EXIF orientation."""

_METADATA = ("exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif")
"""Where Pillow finds an orientation."""

_PILLOW_IGNORED = ("ignore", None, Warning, re.compile(r"PIL\."), 0)
_FILTERS = threading.Lock()


def open_image(source: str | os.PathLike[str] | bytes) -> Image:
    """Open and decode a picture, upright (EXIF orientation applied). The first frame of an animation.

    Args:
        source: a path, or the bytes of an image file.

    Raises:
        DataError: missing, empty, not an image, damaged, cut off, or over :data:`MAXIMUM_PIXELS`.
    """
    with opened_file(source) as image:
        return _upright(image, _name(source))


@contextmanager
def opened_file(source: str | os.PathLike[str] | bytes) -> Iterator[Image]:
    """A picture's file with its header read; it can be decoded within the block. Whatever fails there is a DataError.

    Args:
        source: a path, or the bytes of an image file.

    Raises:
        DataError: missing, empty, not an image, or damaged.
    """
    from PIL import Image

    ignore_pillow_warnings()
    with _decoding(_name(source)):
        file = io.BytesIO(source) if isinstance(source, bytes) else source
        with Image.open(file, formats=FORMATS) as image:
            yield image


def ignore_pillow_warnings() -> None:
    """Keep Pillow from remarks about odd metadata, which does not spoil the pixels, and about large pictures.

    The filter stays: to take it back after each picture (``warnings.catch_warnings``) would swap the filters of the
    whole process, and with several threads lose the program's own. It is put back in front where others came before it.
    """
    with _FILTERS:
        if warnings.filters[:1] != [_PILLOW_IGNORED]:
            warnings.filterwarnings("ignore", module=r"PIL\.")


def missing(name: str | os.PathLike[str]) -> DataError:
    """What is said of a file that is not there."""
    # A path has lost the address's second slash.
    address = re.sub(r"^(https?):/+", r"\1://", os.fspath(name))
    if "://" in address:
        return DataError(f"{address} is an address; mien reads files: download it first.")
    return DataError(f"{os.fspath(name)} does not exist.")


def _name(source: str | os.PathLike[str] | bytes) -> str:
    return "the image" if isinstance(source, bytes) else os.fspath(source)


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    """Whatever Pillow raises within the block as a DataError about ``name``."""
    from PIL import Image, UnidentifiedImageError

    try:
        yield
    except (MienError, MemoryError):
        raise
    except FileNotFoundError:
        raise missing(name) from None
    except IsADirectoryError:
        raise DataError(f"{name} is a folder; expected an image file.") from None
    except PermissionError:
        raise DataError(f"{name} may not be read: permission denied.") from None
    except UnidentifiedImageError:
        hint = f" A video is read with: mien video {name}" if name.lower().endswith(_VIDEOS) else ""
        raise DataError(
            f"{name} is not an image that can be read (PNG, JPEG, WebP, BMP, GIF, TIFF, PPM).{hint}"
        ) from None
    except Image.DecompressionBombError:
        # Pillow's own bound is twice as high as ours and comes before it.
        raise DataError(f"{name} has too many pixels; at most {MAXIMUM_PIXELS:,} are read. Shrink it first.") from None
    except Exception as error:  # noqa: BLE001 - struct.error, TypeError, AttributeError: damaged files raise anything
        reason = str(error) or type(error).__name__
        raise DataError(f"{name} is damaged and cannot be decoded ({reason}).") from None


def _upright(image: Image, name: str) -> Image:
    """Decode within bounds, and apply EXIF orientation. Odd metadata never costs the picture."""
    from PIL import Image

    width, height = image.size
    if width * height > MAXIMUM_PIXELS:
        raise DataError(f"{name} has {width} x {height} pixels; at most {MAXIMUM_PIXELS:,} are read. Shrink it first.")
    image.load()
    try:
        turn = image.getexif().get(_ORIENTATION)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - damaged metadata raises anything
        turn = None
    # Not ImageOps.exif_transpose, which writes the metadata anew and fails where any of it is damaged.
    if turn not in _TURNS:
        # A copy, for the caller closes the file.
        return image.copy()
    upright = image.transpose(Image.Transpose[_TURNS[turn]])
    # Without what would turn it again.
    for name in _METADATA:
        upright.info.pop(name, None)
    return upright


def open_picture(picture: Picture) -> Image | npt.NDArray[np.generic]:
    """Whatever may be given as a picture, as :mod:`mien.preprocess` takes it.

    Args:
        picture: a path or the bytes of an image file, which is opened; a PIL image, which is put upright; or an array.

    Raises:
        DataError: something else, or as :func:`open_image`.
    """
    if isinstance(picture, str | os.PathLike | bytes):
        return open_image(picture)
    if isinstance(picture, np.ndarray):
        return picture
    if hasattr(picture, "getbands"):
        # It may not be decoded yet: Image.open reads the header alone.
        ignore_pillow_warnings()
        with _decoding("the image"):
            return _upright(picture, "the image")
    raise DataError(
        f"an object of type {type(picture).__name__} is not a picture; "
        "give a path, bytes, a PIL image or a uint8 array."
    )
