"""Copies of photos with boxes and predictions drawn in, written into one folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mien.base.errors import DataError
from mien.base.files import whole_file
from mien.base.images import open_image_header
from mien.inference.drawing import draw_photo
from mien.inference.prediction import Prediction


class Annotator:
    """Writes annotated images into a folder, each at its relative path below the common folder of all arguments.

    So two images of one name get two paths, whatever their order. Images are written in the source's format and size,
    upright, with its colour profile; an animation as its first frame.

    Args:
        folder: where the images are written.
        arguments: the files and folders that images are read from.

    Attributes:
        folder: as given.
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
                raise DataError(
                    f"--annotate {folder} and {argument} are inside each other, so an input image could be "
                    f"overwritten. Choose a folder outside.",
                    code="annotate-overlap",
                )
        if folder.exists() and not folder.is_dir():
            raise DataError(f"--annotate must be a folder; {folder} is a file.", code="annotate-file")
        homes = [_absolute(each if each.is_dir() else each.parent) for each in arguments]
        try:
            self.shared: str = os.path.commonpath(homes)
        except ValueError:
            raise DataError(
                "--annotate needs images with a common folder; these are on several drives.", code="annotate-drives"
            ) from None

    def path_of(self, source: str | os.PathLike[str]) -> Path:
        """Path of the annotated copy of a file."""
        return self.folder / os.path.relpath(_absolute(source), self.shared)

    def write(self, source: str, rgb: npt.NDArray[np.uint8], predictions: Sequence[Prediction]) -> Path:
        """Write an image with its predictions; returns its path.

        Args:
            source: the image file.
            rgb: the upright image, uint8 (H, W, 3).
            predictions: one for each face in it.

        Raises:
            RunError: the folder cannot be written.
            DataError: the format does not support an image of this size (``annotate-format``); the copy would replace
                its source (``annotate-overwrite``); the source no longer exists (``file-missing``).
        """
        with open_image_header(source) as original:
            # Cameras append more images to a JPEG (MPO); the first one is annotated and saved as JPEG.
            # HEIC is read and not written.
            kind = "JPEG" if original.format in {"MPO", "HEIF"} else original.format or "PNG"
            # A profile of another colour space (CMYK, grey) would be wrong for RGB.
            profile = original.info.get("icc_profile") if original.mode in {"RGB", "RGBA", "P"} else None
        image = draw_photo(rgb, predictions)
        options = {"quality": 95} if kind in {"JPEG", "WEBP"} else {}
        if profile and kind in {"JPEG", "PNG", "WEBP", "TIFF"}:
            options["icc_profile"] = profile
        target = self.path_of(f"{source}.jpg" if source.lower().endswith((".heic", ".heif")) else source)
        if target.exists() and target.samefile(source):
            raise DataError(
                f"{source} would be overwritten by its annotated copy. Choose another folder with --annotate.",
                code="annotate-overwrite",
            )
        try:
            with whole_file(target) as temporary:
                image.save(temporary, kind, **options)
        except ValueError as error:
            raise DataError(f"{source} cannot be annotated as {kind}: {error}.", code="annotate-format") from None
        return target


def _absolute(path: str | os.PathLike[str]) -> str:
    """Absolute, without ``..``; links are kept, because a linked image is annotated at the link's path."""
    return os.path.normpath(Path(path).absolute())
