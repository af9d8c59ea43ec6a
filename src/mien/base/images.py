"""Open images from files, bytes, PIL images or arrays; turn them upright; refuse images with too many pixels."""

import errno
import io
import os
import re
import shlex
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from mien.base.arrays import Array
from mien.base.errors import DataError, MienError, without_password
from mien.base.files import expand_home, refuse_pointer

if TYPE_CHECKING:
    from typing import BinaryIO

    from PIL.Image import Image

    ImageSource: TypeAlias = str | os.PathLike[str] | bytes | BinaryIO | Array | Image

MAXIMUM_PIXELS = 100_000_000
"""Largest number of pixels. Larger images are refused before decoding, because a small file can decode to gigabytes."""

FORMATS: tuple[str, ...] = ("PNG", "JPEG", "WEBP", "AVIF", "BMP", "GIF", "TIFF", "PPM")
"""Formats that mien opens. Other formats of Pillow, such as EPS, start external programs. HEIC needs pi-heif."""

_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
"""Bytes 8 to 12 of an HEIC file, after ``ftyp``."""

_HEIC = (".heic", ".heif")
_HAS_HEIC = find_spec("pi_heif") is not None

IMAGE_SUFFIXES: tuple[str, ...] = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".avif", ".bmp", ".gif", ".tif", ".tiff"),
    *(".pgm", ".ppm", *(_HEIC if _HAS_HEIC else ())),
)
"""Suffixes of image files, in lower case."""

UNREAD_SUFFIXES: tuple[str, ...] = (*(() if _HAS_HEIC else _HEIC), ".jxl", ".jp2", ".dng", ".cr2", ".nef", ".arw")
"""Suffixes of photo formats that mien cannot open, in lower case."""

UNREAD_ADVICE: str = "convert them to JPEG first" + ("" if _HAS_HEIC else "; for HEIC: pip install 'mien[heic]'")

_SYSTEM_FOLDERS = (
    *("__macosx", "@eadir", "@recycle", "#recycle", "#snapshot"),
    *("$recycle.bin", "system volume information", "lost+found"),
)
_VIDEOS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm")

_ORIENTATION = 0x0112
_TURNS = ("FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_270", "TRANSVERSE", "ROTATE_90")
_TRANSPOSE = dict(enumerate(_TURNS, start=2))
"""Pillow's name of the transpose that turns an image upright, by EXIF orientation 2..8."""

_METADATA = ("exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif")
"""Keys of ``Image.info`` in which Pillow finds an orientation."""

_PILLOW_IGNORED = ("ignore", None, Warning, re.compile(r"PIL\."), 0)
_FILTERS = threading.Lock()


def is_system_folder(name: str) -> bool:
    """Return whether a folder is hidden, or holds thumbnails or deleted files of a NAS, Windows or macOS."""
    return name.startswith(".") or name.lower() in _SYSTEM_FOLDERS


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # circular links
        return False


def _is_left_out(folder: os.DirEntry[str], within: Sequence[Path]) -> bool:
    """Return whether a folder is a system's, or a link to one that holds one of ``within``, resolved paths."""
    leads_back = folder.is_symlink() and any(each.is_relative_to(Path(folder).resolve()) for each in within)
    return leads_back or is_system_folder(folder.name)


def open_image(source: str | os.PathLike[str] | bytes) -> "Image":
    """Open an image or an animation's first frame upright. Raises DataError: unreadable or over ``MAXIMUM_PIXELS``."""
    with open_image_header(source) as image:
        return _upright(image, name_of(source))


@contextmanager
def open_image_header(source: str | os.PathLike[str] | bytes, formats: tuple[str, ...] = ()) -> "Iterator[Image]":
    """Open an image, a path or bytes, in one of the formats (by default all of mien), and read only its header.

    Errors in the ``with`` block become a DataError.
    """
    from PIL import Image

    ignore_pillow_warnings()
    with _decoding(name_of(source)):
        opened = io.BytesIO(source) if isinstance(source, bytes) else _File(io.FileIO(expand_home(source)))
        with opened as file:
            if not (file.peek(1) if isinstance(file, _File) else source):
                raise DataError(f"{name_of(source)} is empty: it has 0 bytes.", code="image-empty")
            head = file.peek(12) if isinstance(file, _File) else file.getvalue()
            with Image.open(file, formats=formats or _formats_of(head[:12], name_of(source))) as image:
                yield image


def _formats_of(head: bytes, name: str) -> tuple[str, ...]:
    """Return the formats to try for a file's first 12 bytes; HEIC is included if its package is installed."""
    if head[4:8] != b"ftyp" or head[8:12] not in _HEIC_BRANDS:
        return FORMATS
    try:
        from pi_heif import register_heif_opener
    except ImportError:
        words = f"{name} is an HEIC photo. Run pip install 'mien[heic]', or convert it to JPEG first."
        raise DataError(words, code="image-format") from None
    register_heif_opener()
    return (*FORMATS, "HEIF")


class _File(io.BufferedReader):
    """A file reader that reads at most to the end of the file; a damaged length could allocate gigabytes."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > io.DEFAULT_BUFFER_SIZE:
            size = max(min(size, os.fstat(self.fileno()).st_size - self.tell()), 0)
        return super().read(size)


def ignore_pillow_warnings() -> None:
    """Silence Pillow's warnings about odd metadata and large images; they do not affect the pixels. The filter stays,
    at the front: ``warnings.catch_warnings`` changes those of the whole process and is not thread-safe.
    """
    with _FILTERS:
        if warnings.filters[:1] != [_PILLOW_IGNORED]:
            warnings.filterwarnings("ignore", module=r"PIL\.")


def missing_file(name: str | os.PathLike[str]) -> DataError:
    """Return the error for a file that does not exist (``file-missing``) or is a web address (``image-address``)."""
    # Path() replaces the two slashes of an address by one.
    address = re.sub(r"^(\w\w+):/(?!/)", lambda of: "file:///" if of[1] == "file" else f"{of[1]}://", os.fspath(name))
    address = without_password(address)
    if address.startswith("file://"):
        path = "/" + address[7:].lstrip("/")
        return DataError(f"{address} is a file address; give its path, {path}.", code="image-address")
    if address.startswith("data:"):
        return DataError(f"{name_of(address)} is base64. Decode it to bytes.", code="image-address")
    if "://" in address:
        return DataError(f"{address} is a web address; mien works offline. Download it first.", code="image-address")
    return DataError(f"{os.fspath(name) or 'The empty path'} does not exist.", code="file-missing")


class StandardInput(bytes):
    """The image file on standard input, which results and messages name ``-``."""

    def __str__(self) -> str:
        return "-"


def name_of(source: str | os.PathLike[str] | bytes) -> str:
    """Return the source's name in messages: a path, or the start and end of a base64 string given as a path."""
    if isinstance(source, bytes):
        return str(source) if isinstance(source, StandardInput) else "the image"
    name = os.fspath(source)
    return name if len(name) <= 300 else f"{name[:40]}...{name[-40:]}"


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    """Turn any error that Pillow raises within the block into a DataError about ``name``."""
    from PIL import Image, UnidentifiedImageError

    try:
        yield
    except (MienError, MemoryError):
        raise
    except FileNotFoundError:
        raise missing_file(name) from None
    except (IsADirectoryError, PermissionError) as error:  # Windows denies permission for a folder
        # Path.is_dir raises where the folder of the file has no access.
        if isinstance(error, PermissionError) and not os.path.isdir(expand_home(name)):  # noqa: PTH112
            raise DataError(f"{name} cannot be read: permission denied.", code="file-unreadable") from None
        words = f"{name} is a folder. Give the files in it, such as sorted(Path({str(name)!r}).glob('*.jpg'))."
        raise DataError(words, code="image-format") from None
    except UnidentifiedImageError:
        refuse_pointer(name, DataError)
        hint = f" mien video {shlex.quote(name)} reads videos." if name.lower().endswith(_VIDEOS) else ""
        if name.lower().endswith((".csv", ".npy", ".npz", ".parquet")):
            hint = " Predict the faces of a table from Python: mien.load().predict_crops(images), uint8 (N, 48, 48)."
        hint = " Convert it to JPEG first." if name.lower().endswith(UNREAD_SUFFIXES) else hint
        words = f"{name} is not an image in a supported format (PNG, JPEG, WebP, AVIF, BMP, GIF, TIFF, PPM).{hint}"
        raise DataError(words, code="image-format") from None
    except Image.DecompressionBombError:
        # Pillow first checks its own limit: twice mien's, unless the program has changed it.
        if (own := 2 * (Image.MAX_IMAGE_PIXELS or 0)) < MAXIMUM_PIXELS:
            words = f"{name} has more than {own:,} pixels: twice PIL.Image.MAX_IMAGE_PIXELS, set by this program."
            raise DataError(words, code="image-pixels") from None
        raise _too_large(name) from None
    except Exception as error:  # noqa: BLE001 - struct.error, TypeError, AttributeError: damaged files raise anything
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
            raise DataError(f"{name} is too long for a path. Decode base64 to bytes.", code="file-missing") from None
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise DataError(f"{name} is damaged and cannot be decoded ({reason}).", code="image-damaged") from None


def _too_large(name: str, pixels: str = "too many") -> DataError:
    return DataError(f"{name} has {pixels} pixels; the limit is {MAXIMUM_PIXELS:,}. Shrink it.", code="image-pixels")


def _upright(image: "Image", name: str) -> "Image":
    """Decode the image if it is small enough, and apply the EXIF orientation. Damaged metadata is ignored."""
    from PIL import Image

    width, height = image.size
    if not width * height:
        raise DataError(f"{name} is empty: it has {width} x {height} pixels.", code="image-empty")
    if width * height > MAXIMUM_PIXELS:
        raise _too_large(name, f"{width} x {height}")
    image.load()
    try:
        turn = image.getexif().get(_ORIENTATION)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - damaged metadata raises anything
        turn = None
    # ImageOps.exif_transpose would rewrite the metadata, and fail if any of it is damaged.
    if turn not in _TRANSPOSE:
        # The caller closes the file, so return a copy.
        return image.copy()
    upright = image.transpose(Image.Transpose[_TRANSPOSE[turn]])
    # Remove the metadata that would turn the image again.
    for key in _METADATA:
        upright.info.pop(key, None)
    return upright


def encoded(image: "Image", form: str = "PNG", **options: Any) -> bytes:
    """Return the bytes of an image file in one of Pillow's formats; ``options`` are Pillow's."""
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def open_image_source(source: "ImageSource") -> "Image | npt.NDArray[np.generic]":
    """Open a path, image bytes, binary file or PIL image upright; an array is returned as it is, others refused."""
    source = bytes(source) if isinstance(source, bytearray | memoryview) else source
    if isinstance(source, str | os.PathLike | bytes):
        return open_image(source)
    if isinstance(source, np.ndarray):
        return source
    other: Any = source
    ignore_pillow_warnings()
    with _decoding("the image"):
        if hasattr(other, "getbands"):
            # Image.open reads only the header, so it may not be decoded yet.
            return _upright(other, "the image")
        content = other.read() if hasattr(other, "read") else None
    if isinstance(content, bytes):
        return open_image(content)
    words = f"an object of type {type(source).__name__} is not an image; give a path, bytes, an open file, a PIL image"
    rest = " (cv2.imread gives None for a file that it cannot read)" if source is None else ""
    raise DataError(f"{words} or a uint8 array{rest}.", code="image-type")


def image_files(folder: str | os.PathLike[str]) -> list[Path]:
    """Return all image files below a folder, by suffix, sorted. Hidden files are skipped.

    Raises DataError: no image file (``no-images``), or an unreadable folder (``file-unreadable``).
    """
    return [Path(name) for name in _images_and_unread(folder)[0]]


def find_images(
    sources: Sequence[str], *, missing_too: bool = False, stdin: bool = False
) -> tuple[list[str], dict[str, int]]:
    """Return all images in files and folders, sorted within each folder; a source that is given twice counts once.

    Also returns the number of photos in formats that mien cannot open, by folder. ``missing_too`` keeps missing files,
    ``stdin`` keeps ``-``. Raises DataError if a source is missing or contains no image.
    """
    images, unread = [], {}
    for source in dict.fromkeys(sources):
        if Path(source).is_dir():
            below, unread[source] = _images_and_unread(source)
            images += below
        elif missing_too or (stdin and source == "-") or Path(source).exists():
            images.append(source)
        else:
            raise missing_file(source)
    return images, unread


def _images_and_unread(folder: str | os.PathLike[str]) -> tuple[list[str], int]:
    # A link without a target is an image that cannot be read. Opening a pipe could wait forever.
    found = [
        str(Path(entry.path))  # "a.png" of ".", not "./a.png"
        for entry in walk(Path(folder))
        if entry.name.lower().endswith(IMAGE_SUFFIXES + UNREAD_SUFFIXES)
        and (entry.is_file(follow_symlinks=False) or os.path.isfile(entry) or not os.path.exists(entry))  # noqa: PTH110, PTH113 - Path's may raise
    ]
    images = [file for file in found if file.lower().endswith(IMAGE_SUFFIXES)]
    unread = len(found) - len(images)
    if not images:
        suffixes = ", ".join(sorted(IMAGE_SUFFIXES))
        hint = f" Files of other formats: {unread:,}; {UNREAD_ADVICE}." if unread else ""
        raise DataError(f"{os.fspath(folder)} contains no images ({suffixes}).{hint}", code="no-images")
    return images, unread


def walk(folder: str | os.PathLike[str], above: Sequence[Path] = ()) -> Iterator[os.DirEntry[str]]:
    """Yield the files below a folder, sorted in each, without hidden and system folders and links to a folder above.

    ``above`` are the resolved folders around it. Raises DataError for an unreadable folder (``file-unreadable``).
    """
    within = (*above, Path(folder).resolve())
    try:
        with os.scandir(folder) as entries:
            found = sorted((each for each in entries if not each.name.startswith(".")), key=lambda each: each.name)
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror or error}.", code="file-unreadable") from None
    for entry in found:
        if not is_folder(entry):
            yield entry
        elif not _is_left_out(entry, within):
            yield from walk(entry.path, within)
