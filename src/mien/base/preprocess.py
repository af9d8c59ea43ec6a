"""From an image to the network's input. Training, testing and serving share this code.

    image --base/images--> PIL image --face_square--> uint8 (S, S) or (S, S, 3) --to_input--> float32 (1 or 3, C, C)

:func:`upright_rgb` turns a photo into an array. The photo's faces are detected and cropped (mien/faces), and each crop
goes through :func:`face_square`. In training, augmentation crops the same squares. Both use :func:`normalise`.
"""

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, BeforeValidator, Field, model_validator

from mien.base.arrays import Floats32, Pixels
from mien.base.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

Values = TypeVar("Values")


def _numbers(least: float, most: float) -> BeforeValidator:
    """Accept one number or a list of three. A pydantic union would name its members in error messages."""

    def check(value: Any) -> Any:
        numbers = value if isinstance(value, list | tuple) else [value]
        good = all(isinstance(each, int | float) and not isinstance(each, bool) for each in numbers)
        if not (good and all(least <= each <= most for each in numbers) and (numbers == [value] or len(numbers) == 3)):
            raise ValueError(f"expected one number, {least:g} to {most:g}, or a list of three for red, green, blue")
        return float(value) if numbers == [value] else tuple(float(each) for each in numbers)

    return BeforeValidator(check)


OneOrThree = float | tuple[float, float, float]


class InputSpec(BaseModel, extra="forbid", frozen=True, allow_inf_nan=False):
    """The input of a network.

    A face is stored as a square of ``size_px``: grey with one channel, RGB with three. The network sees its central
    ``crop_px`` square, normalised as ``(pixel / 255 - mean) / std``; with three channels, both may have three numbers.
    """

    size_px: int = Field(default=48, ge=8, le=1024)
    crop_px: int = Field(default=48, ge=8, le=1024)
    channels: Literal[1, 3] = 1
    mean: Annotated[OneOrThree, _numbers(0.0, 1.0)] = 0.5
    std: Annotated[OneOrThree, _numbers(1e-3, 1e3)] = 0.25

    @model_validator(mode="after")
    def _crop_fits(self) -> "InputSpec":
        if self.crop_px > self.size_px:
            raise ValueError(f"crop_px {self.crop_px} is larger than size_px {self.size_px}")
        return self

    @model_validator(mode="after")
    def _one_number_is_grey(self) -> "InputSpec":
        if self.channels == 1 and not (isinstance(self.mean, float) and isinstance(self.std, float)):
            raise ValueError("mean and std of three numbers need channels = 3")
        return self

    @property
    def face_shape(self) -> tuple[int, ...]:
        """Shape of a stored face: (size_px, size_px), or (size_px, size_px, 3) in colour."""
        return face_shape(self.size_px, self.channels)

    @property
    def window(self) -> slice:
        """Position of the central crop along each side of a stored face."""
        start = (self.size_px - self.crop_px) // 2
        return slice(start, start + self.crop_px)

    @property
    def size_and_channels(self) -> tuple[int, int]:
        """``size_px`` and ``channels``, as data is loaded for this input."""
        return self.size_px, self.channels

    @property
    def crop_and_channels(self) -> tuple[int, int]:
        """``crop_px`` and ``channels``, as the network is built."""
        return self.crop_px, self.channels

    def __str__(self) -> str:
        colours = "grey" if self.channels == 1 else "RGB"
        mean, std = (value if isinstance(value, float) else list(value) for value in (self.mean, self.std))
        return f"{colours} {self.size_px} px, its central {self.crop_px} px; (pixel / 255 - {mean}) / {std}"


def face_shape(size_px: int, channels: int) -> tuple[int, ...]:
    """Return the shape of a stored face. A grey face has no channel axis."""
    return (size_px, size_px) if channels == 1 else (size_px, size_px, channels)


def face_square(image: "Image | npt.NDArray[np.generic]", size_px: int, channels: int = 1) -> Pixels:
    """Convert an image to what models see, uint8 (size_px, size_px[, 3]): :func:`grey_square`, or the same in RGB."""
    return grey_square(image, size_px) if channels == 1 else _squared(upright_rgb(image), size_px)


def grey_square(image: "Image | npt.NDArray[np.generic]", size_px: int) -> Pixels:
    """Convert an image to the grey square that models see. Returns uint8 (size_px, size_px), 0..255.

    Colour becomes ITU-R 601 luma, transparency becomes white, 16-bit grey is scaled to 8 bits. An image of another
    size is resized by Lanczos's filter until its longer side fits. An image that is not square is then padded with its
    border pixels, so that no part of the face is cut off or stretched. A grey ``size_px`` square is returned unchanged,
    bit for bit.

    Args:
        image: PIL image, or array: uint8 or uint16 grey (H, W) or (H, W, 1), uint8 RGB (H, W, 3) or RGBA (H, W, 4).
        size_px: side of the result in pixels.

    Raises:
        DataError: an array of another shape or dtype, or pixels that are NaN, infinite, fractions of 1, or 16 bits of
            0 to 255 (``image-type``).
    """
    return _squared(_grey_array(image) if isinstance(image, np.ndarray) else _grey(image), size_px)


def grey_stack(images: Pixels) -> Pixels:
    """Convert RGB images to ITU-R 601 luma, as Pillow computes it; keep grey ones: (N, H, W[, 3]) -> (N, H, W)."""
    if images.ndim == 3:
        return images
    luma = np.empty(images.shape[:3], dtype=np.uint8)
    for at in range(0, len(images), 256):
        red, green, blue = np.moveaxis(images[at : at + 256].astype(np.uint32), 3, 0)
        luma[at : at + 256] = (19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16
    return luma


def _squared(pixels: Pixels, size_px: int) -> Pixels:
    from PIL import Image

    longer = max(pixels.shape[:2])
    if longer != size_px:
        height, width = (max(round(side * size_px / longer), 1) for side in pixels.shape[:2])
        # As sharp as FER2013's faces. A triangle filter costs up to one point of accuracy on photographs.
        pixels = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS), dtype=np.uint8)
    below, right = (size_px - side for side in pixels.shape[:2])
    if below or right:
        around = [(below // 2, below - below // 2), (right // 2, right - right // 2), (0, 0)]
        pixels = np.pad(pixels, around[: pixels.ndim], mode="edge")
    return pixels


def from_opencv(image: Any) -> Any:
    """Convert an OpenCV array from BGR or BGRA to RGB or RGBA. Anything else is returned unchanged."""
    if isinstance(image, np.ndarray) and image.ndim == 3 and image.shape[2] in {3, 4}:
        return image[:, :, [2, 1, 0, 3][: image.shape[2]]]
    return image


def upright_rgb(image: "Image | npt.NDArray[np.generic]") -> Pixels:
    """Convert a whole image to RGB for face detection. Returns uint8 (H, W, 3), 0..255.

    Transparency becomes white, grey is repeated in all three channels, 16-bit grey is scaled to 8 bits.
    :func:`grey_square` of the result equals :func:`grey_square` of the image, and raises the same.
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


def _in_three_channels(grey: Pixels) -> Pixels:
    return np.repeat(grey[:, :, np.newaxis], 3, axis=2)


def _opaque(image: "Image") -> "Image":
    from PIL import Image

    if image.mode == "La":  # Pillow can convert this mode only to L
        image = image.convert("LA")
    if not image.has_transparency_data:
        return image
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)


def _grey(image: "Image") -> Pixels:
    if image.mode.startswith(("I", "F")):
        values = np.array(image, dtype=np.float32)
        greatest = values.max(initial=0)
        if not np.isfinite(greatest) or not np.isfinite(values.min(initial=0)):
            raise DataError("The image contains pixels that are NaN or infinite.", code="image-type")
        if image.mode == "F" and 0 < greatest <= 1:
            raise DataError("The image contains fractions of 0 to 1. Save it as 8 bits, 0 to 255.", code="image-type")
        # 16-bit grey opens as I;16. Modes I and F have no fixed range, so values above 255 mean 16 bits.
        if image.mode.startswith("I;16") and 0 < greatest <= 255:
            words = f"The 16-bit image holds no value above {greatest:.0f}, so it is black. Save it as 8 bits (uint8)."
            raise DataError(words, code="image-type")
        return _in_8_bits(values, 257.0 if greatest > 255 else 1.0)
    image = _opaque(image)
    image = image.convert("RGB") if image.mode not in {"L", "RGB"} else image
    return np.asarray(image.convert("L"), dtype=np.uint8)


def _in_8_bits(values: Floats32, scale: float) -> Pixels:
    """Divide by ``scale``, round and clip to 0..255, in place: a copy of a large image would take gigabytes."""
    np.divide(values, scale, out=values)
    np.rint(values, out=values)
    return np.clip(values, 0, 255, out=values).astype(np.uint8)


def _grey_array(array: npt.NDArray[np.generic]) -> Pixels:
    from PIL import Image

    _check_array(array)
    array = array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array
    colour = array.ndim == 3
    # Accept uint16 in both byte orders.
    if array.dtype.kind == "u" and array.dtype.itemsize == 2 and not colour:
        return _grey(Image.fromarray(np.ascontiguousarray(array, dtype=np.uint16)))
    if array.dtype != np.uint8:
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            found, advice = f"{array.dtype} with NaN or infinity", "Replace those first"
        elif array.dtype.kind == "f":
            found, advice = f"{array.dtype}", "Multiply values of 0 to 1 by 255 and convert them"
        else:
            found, advice = f"{array.dtype}", "Convert it first"
        raise DataError(f"An image array must be uint8, 0..255; found {found}. {advice}.", code="image-type")
    return _grey(Image.fromarray(np.ascontiguousarray(array))) if colour else array.astype(np.uint8, copy=False)


def _check_array(array: npt.NDArray[np.generic]) -> None:
    if 0 in array.shape:
        raise DataError(f"An image array must not be empty; found shape {array.shape}.", code="image-type")
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in {1, 3, 4})):
        hint = " Give several images as list(array)." if array.ndim in {3, 4} or array.dtype.kind in "OUS" else ""
        if array.ndim == 3 and array.shape[0] in {1, 3, 4}:
            hint = " Put the channels last: array.transpose(1, 2, 0)."
        words = f"An image array must be (H, W), (H, W, 3) or (H, W, 4); found shape {array.shape}.{hint}"
        raise DataError(words, code="image-type")


def normalise(pixels: Values, spec: InputSpec) -> Values:
    """Compute ``(pixel / 255 - mean) / std`` for pixels 0..255, arrays or torch tensors (..., channels, H, W)."""
    mean, std = (_by_channel(value, pixels) for value in (spec.mean, spec.std))
    return (pixels - 255.0 * mean) * (1.0 / (255.0 * std))  # type: ignore[no-any-return]


def denormalise(inputs: Values, spec: InputSpec) -> Values:
    """Invert :func:`normalise`: return pixels 0..255."""
    mean, std = (_by_channel(value, inputs) for value in (spec.mean, spec.std))
    return 255.0 * (inputs * std + mean)  # type: ignore[no-any-return]


def _by_channel(value: float | tuple[float, ...], like: Any) -> Any:
    """Return a single number unchanged, and three numbers as an array or tensor (channels, 1, 1)."""
    if isinstance(value, float):
        return value
    column = np.array(value, dtype=np.float32)[:, np.newaxis, np.newaxis]
    return column if isinstance(like, np.ndarray) else like.new_tensor(column)


def in_pixels(inputs: Floats32, spec: InputSpec) -> Pixels:
    """Convert a network's input back to images: (N, channels, H, W) -> uint8 (N, H, W), or (N, H, W, 3) in colour."""
    pixels: Pixels = np.rint(denormalise(inputs, spec)).clip(0, 255).astype(np.uint8)
    return pixels[:, 0] if spec.channels == 1 else np.moveaxis(pixels, 1, 3)


def to_input(images: Pixels, spec: InputSpec) -> Floats32:
    """Crop the centre and normalise: uint8 (N, size_px, size_px[, 3]) -> float32 (N, channels, crop_px, crop_px).

    Raises DataError: wrong shape or dtype (``image-type``).
    """
    if images.dtype != np.uint8 or images.shape[1:] != spec.face_shape:
        expected, found = ", ".join(map(str, spec.face_shape)), f"{images.dtype} {images.shape}"
        raise DataError(f"Face crops must be uint8 (N, {expected}), 0..255; found {found}.", code="image-type")
    crop = images[:, spec.window, spec.window].astype(np.float32)
    # Channels first: grey (N, H, W) or RGB (N, H, W, 3) -> (N, 1 or 3, H, W).
    return normalise(crop[:, np.newaxis] if crop.ndim == 3 else np.ascontiguousarray(np.moveaxis(crop, 3, 1)), spec)
