"""Copies of photos with boxes and predictions drawn in, as JPEGs in one folder."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mien.base.errors import DataError
from mien.base.files import whole_file
from mien.base.images import open_image_header
from mien.inference.drawing import draw_predictions
from mien.inference.prediction import Prediction

MAX_JPEG_PX = 65_500
"""Largest side of a JPEG that libjpeg can write."""


class Annotator:
    """Writes annotated images to a folder, each at its path relative to the common folder of all arguments.

    Two images with the same name therefore get different paths. Images are upright JPEGs in the source's size, with its
    colour profile. An animation gives its first frame.

    Args:
        folder: folder of the annotated images.
        arguments: files and folders from which images are read.

    Attributes:
        folder: the given folder.
        shared: the common folder of all arguments.

    Raises:
        DataError: ``folder`` contains an argument or is inside one (``annotate-overlap``), is a file
            (``annotate-file``), or the arguments have no common folder (``annotate-drives``).
    """

    def __init__(self, folder: Path, arguments: Sequence[Path]) -> None:
        self.folder: Path = folder
        real = Path(os.path.realpath(folder))
        for argument in arguments:
            source = Path(os.path.realpath(argument))
            home = source if argument.is_dir() else source.parent
            if real == home or real in source.parents or (argument.is_dir() and home in real.parents):
                words = f"--annotate {folder} and {argument} overlap, so an input image could be "
                words += "overwritten. Choose a folder outside."
                raise DataError(words, code="annotate-overlap")
        if folder.exists() and not folder.is_dir():
            raise DataError(f"--annotate must be a folder; {folder} is a file.", code="annotate-file")
        homes = [_absolute(each if each.is_dir() else each.parent) for each in arguments]
        try:
            self.shared: str = os.path.commonpath(homes)
        except ValueError:
            words = "--annotate needs images with a common folder; these are on several drives."
            raise DataError(words, code="annotate-drives") from None

    def path_of(self, source: str | os.PathLike[str]) -> Path:
        """Return the path of a file's annotated copy: ``a.jpg`` is unchanged, ``a.png`` becomes ``a.png.jpg``.

        ``a.png.jpg`` also keeps its name, unless ``a.png`` exists beside it; then it becomes ``a.png.jpg.jpg``.
        """
        given, path = Path(source), self.folder / os.path.relpath(_absolute(source), self.shared)
        keeps = given.suffix.lower() in {".jpg", ".jpeg"} and not given.with_suffix("").is_file()
        return path if keeps else path.with_name(f"{path.name}.jpg")

    def write(self, source: str, rgb: npt.NDArray[np.uint8], predictions: Sequence[Prediction]) -> Path:
        """Write an upright image, uint8 (H, W, 3), with the predictions of its faces, and return the path.

        Raises RunError if the folder cannot be written. Raises DataError if the image is too large for a JPEG
        (``annotate-format``), the copy would replace its source (``annotate-overwrite``), or the source no longer
        exists (``file-missing``).
        """
        with open_image_header(source) as original:
            # A profile for another colour space (CMYK, grey) would be wrong for RGB.
            profile = original.info.get("icc_profile") if original.mode in {"RGB", "RGBA", "P"} else None
        target = self.path_of(source)
        if target.exists() and target.samefile(source):
            words = f"{source} would be overwritten by its annotated copy. Choose another folder with --annotate."
            raise DataError(words, code="annotate-overwrite")
        if max(rgb.shape) > MAX_JPEG_PX:
            raise DataError(
                f"{source} has a side of {max(rgb.shape):,} pixels; an annotated copy, a JPEG, has {MAX_JPEG_PX:,} at "
                "most. Cut it into parts first.",
                code="annotate-format",
            )
        with whole_file(target) as temporary:
            draw_predictions(rgb, predictions).save(temporary, "JPEG", quality=95, icc_profile=profile)
        return target


def _absolute(path: str | os.PathLike[str]) -> str:
    """Make a path absolute, without ``..``. Links are not resolved: a linked image has the link's path."""
    return os.path.normpath(Path(path).absolute())
