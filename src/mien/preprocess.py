"""From a picture to the numbers that a network sees: the only such code, for training, testing and serving.

    picture --open_image--> PIL image --grey_square--> uint8 (S, S) --to_input--> float32 (1, C, C)

A photo becomes an array by :func:`upright_rgb`, its faces are found and cut out (mien/faces), and each goes on from
grey_square. Training starts at uint8 (S, S) too, cuts its crops by its own augmentation, and shares :func:`normalise`.
"""

from __future__ import annotations

import io
import os
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

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

Numbers = TypeVar("Numbers")

_PILLOW_IGNORED = ("ignore", None, Warning, re.compile(r"PIL\."), 0)
_FILTERS = threading.Lock()


class InputSpec(BaseModel):
    """What a network wants to see.

    A face is kept as a grey square of ``size_px``; the network sees its central ``crop_px`` square, as
    ``(pixel / 255 - mean) / std``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    size_px: int = Field(default=48, ge=8, le=1024)
    crop_px: int = Field(default=48, ge=8, le=1024)
    mean: float = Field(default=0.5, ge=0, le=1)
    std: float = Field(default=0.25, gt=0)

    @model_validator(mode="after")
    def _crop_fits(self) -> InputSpec:
        if self.crop_px > self.size_px:
            raise ValueError(f"crop_px {self.crop_px} is larger than size_px {self.size_px}")
        return self


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
        raise DataError(f"{name} does not exist.") from None
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
    """Whatever may be given as a picture, as :func:`grey_square` and :func:`upright_rgb` take it.

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
    raise DataError(f"a {type(picture).__name__} is not a picture; give a path, bytes, a PIL image or a uint8 array.")


def grey_square(image: Image | npt.NDArray[np.generic], size_px: int) -> npt.NDArray[np.uint8]:
    """Make the grey square that everything else works on. Returns uint8 (size_px, size_px), 0..255.

    Colour becomes ITU-R 601 luma, transparency is laid on white, 16-bit grey is scaled to 8 bits. A picture
    of another size is resized bilinearly with anti-aliasing until its longer side fits; one that is not square is
    then padded with its border pixels, so that no part of the face is cut off or stretched. A grey ``size_px``
    square comes back bit for bit.

    Args:
        image: a PIL image, or an array uint8 or uint16 (H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA.
        size_px: side of the result in pixels.

    Raises:
        DataError: an array of another shape or type, or pixels that are not numbers.
    """
    from PIL import Image

    grey = _grey_array(image) if isinstance(image, np.ndarray) else _grey(image)
    longer = max(grey.shape)
    if longer != size_px:
        height, width = (max(round(side * size_px / longer), 1) for side in grey.shape)
        grey = np.asarray(Image.fromarray(grey).resize((width, height), Image.Resampling.BILINEAR), dtype=np.uint8)
    below, right = (size_px - side for side in grey.shape)
    if below or right:
        grey = np.pad(grey, ((below // 2, below - below // 2), (right // 2, right - right // 2)), mode="edge")
    return grey


def upright_rgb(image: Image | npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """A whole picture as faces are looked for in it. Returns uint8 (H, W, 3), 0..255.

    Transparency is laid on white, grey is repeated in all three channels, 16-bit grey is scaled to 8 bits:
    :func:`grey_square` makes the same of the result as of the picture itself.

    Args:
        image: as in :func:`grey_square`.

    Raises:
        DataError: as :func:`grey_square`.
    """
    from PIL import Image

    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] == 1:
            return _in_three_channels(_grey_array(image))
        _check_array(image)
        image = Image.fromarray(np.ascontiguousarray(image))
    if image.mode.startswith(("I", "F")):
        return _in_three_channels(_grey(image))
    return np.asarray(_opaque(image).convert("RGB"), dtype=np.uint8)


def _in_three_channels(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.repeat(grey[:, :, np.newaxis], 3, axis=2)


def _opaque(image: Image) -> Image:
    from PIL import Image

    if not image.has_transparency_data:
        return image
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)


def _grey(image: Image) -> npt.NDArray[np.uint8]:
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image, dtype=np.float64)
        if not np.isfinite(values).all():
            raise DataError("The image holds pixels that are not numbers (NaN or infinity).")
        # 16-bit grey opens as I;16. Modes I and F name no range: above 255 it can only be 16 bits.
        scale = 257.0 if image.mode.startswith("I;16") or values.max(initial=0) > 255 else 1.0
        return np.clip(np.rint(values / scale), 0, 255).astype(np.uint8)
    image = _opaque(image)
    if image.mode not in {"L", "RGB"}:
        image = image.convert("RGB")
    return np.asarray(image.convert("L"), dtype=np.uint8)


def _grey_array(array: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    from PIL import Image

    _check_array(array)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    colour = array.ndim == 3
    if array.dtype == np.uint16 and not colour:
        return np.rint(array.astype(np.float64) / 257.0).astype(np.uint8)
    if array.dtype != np.uint8:
        strange = array.dtype.kind == "f" and not np.isfinite(array).all()
        found = f"{array.dtype} with NaN or infinity" if strange else f"{array.dtype}"
        raise DataError(f"An image array must hold uint8 values 0..255; found {found}. Convert it first.")
    return _grey(Image.fromarray(np.ascontiguousarray(array))) if colour else array.astype(np.uint8, copy=False)


def _check_array(array: npt.NDArray[np.generic]) -> None:
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in {1, 3, 4})) or 0 in array.shape:
        raise DataError(f"An image array must be (H, W), (H, W, 3) or (H, W, 4); found shape {array.shape}.")


def normalise(pixels: Numbers, spec: InputSpec) -> Numbers:
    """``(pixel / 255 - mean) / std`` for pixels 0..255, on NumPy arrays and torch tensors alike."""
    return (pixels - 255.0 * spec.mean) * (1.0 / (255.0 * spec.std))  # type: ignore[operator,return-value]


def to_input(images: npt.NDArray[np.uint8], spec: InputSpec) -> npt.NDArray[np.float32]:
    """Central crop and normalisation: uint8 (N, size_px, size_px) -> float32 (N, 1, crop_px, crop_px).

    Raises:
        DataError: another shape or type.
    """
    if images.dtype != np.uint8:
        raise DataError(f"Expected faces of uint8 values 0..255; found {images.dtype}. Convert them first.")
    if images.ndim != 3 or images.shape[1:] != (spec.size_px, spec.size_px):
        raise DataError(f"Expected faces (N, {spec.size_px}, {spec.size_px}); found {images.shape}.")
    start = (spec.size_px - spec.crop_px) // 2
    crop = images[:, start : start + spec.crop_px, start : start + spec.crop_px]
    return normalise(crop.astype(np.float32), spec)[:, np.newaxis]
