"""From a picture to the numbers that a network sees: the only such code, for training, testing and serving.

    picture --mien.pictures--> PIL image --grey_square--> uint8 (S, S) --to_input--> float32 (1, C, C)

A photo becomes an array by :func:`upright_rgb`, its faces are found and cut out (mien/faces), and each goes on from
grey_square. Training starts at uint8 (S, S) too, cuts its crops by its own augmentation, and shares :func:`normalise`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from mien.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

Numbers = TypeVar("Numbers")


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


def grey_square(image: Image | npt.NDArray[np.generic], size_px: int) -> npt.NDArray[np.uint8]:
    """Make the grey square that everything else works on. Returns uint8 (size_px, size_px), 0..255.

    Colour becomes ITU-R 601 luma, transparency is laid on white, 16-bit grey is scaled to 8 bits. A picture
    of another size is resized bilinearly with anti-aliasing until its longer side fits; one that is not square is
    then padded with its border pixels, so that no part of the face is cut off or stretched. A grey ``size_px``
    square comes back bit for bit.

    Args:
        image: a PIL image, or an array: uint8 or uint16 grey (H, W) or (H, W, 1), uint8 RGB (H, W, 3) or
            RGBA (H, W, 4).
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

    if image.mode == "La":  # Pillow turns it into nothing but this
        image = image.convert("LA")
    if not image.has_transparency_data:
        return image
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)


def _grey(image: Image) -> npt.NDArray[np.uint8]:
    if image.mode.startswith(("I", "F")):
        values = np.array(image, dtype=np.float32)
        greatest = values.max(initial=0)
        if not np.isfinite(greatest) or not np.isfinite(values.min(initial=0)):
            raise DataError("The image holds pixels that are not numbers (NaN or infinity).")
        if image.mode == "F" and 0 < greatest <= 1:
            raise DataError("The image holds fractions of 0 to 1. Multiply them by 255 and save it in 8 bits.")
        # 16-bit grey opens as I;16. Modes I and F name no range: above 255 it can only be 16 bits.
        return _in_8_bits(values, 257.0 if image.mode.startswith("I;16") or greatest > 255 else 1.0)
    image = _opaque(image)
    if image.mode not in {"L", "RGB"}:
        image = image.convert("RGB")
    return np.asarray(image.convert("L"), dtype=np.uint8)


def _in_8_bits(values: npt.NDArray[np.float32], scale: float) -> npt.NDArray[np.uint8]:
    """``values / scale``, rounded, 0..255. In place: a large picture's copies would each take gigabytes."""
    np.divide(values, scale, out=values)
    np.rint(values, out=values)
    return np.clip(values, 0, 255, out=values).astype(np.uint8)


def _grey_array(array: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    from PIL import Image

    _check_array(array)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    colour = array.ndim == 3
    # Whatever the order of its bytes.
    if array.dtype.kind == "u" and array.dtype.itemsize == 2 and not colour:
        return _in_8_bits(array.astype(np.float32), 257.0)
    if array.dtype != np.uint8:
        strange = array.dtype.kind == "f" and not np.isfinite(array).all()
        found = f"{array.dtype} with NaN or infinity" if strange else f"{array.dtype}"
        mend = "Multiply values of 0 to 1 by 255 and convert them" if array.dtype.kind == "f" else "Convert it first"
        mend = "Replace those first" if strange else mend
        raise DataError(f"An image array must hold uint8 values 0..255; found {found}. {mend}.")
    return _grey(Image.fromarray(np.ascontiguousarray(array))) if colour else array.astype(np.uint8, copy=False)


def _check_array(array: npt.NDArray[np.generic]) -> None:
    if 0 in array.shape:
        raise DataError(f"An image array must hold pixels; found shape {array.shape}.")
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in {1, 3, 4})):
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
