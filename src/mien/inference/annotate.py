"""Pictures with their readings drawn in, written beside each other into one folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mien.errors import DataError
from mien.files import whole_file
from mien.inference.drawing import draw_readings
from mien.inference.readings import Reading
from mien.pictures import opened_file


class Annotator:
    """Writes annotated pictures into a folder, each at its place below the folder that all arguments share.

    So two pictures of one name keep two places, whatever order they come in. Pictures are written in the source's
    format and size, upright, with its colour profile; an animation as its first frame.

    Args:
        folder: where the pictures go.
        arguments: the files and folders that pictures are read from.

    Attributes:
        folder: as given.
        shared: the folder that all arguments share.

    Raises:
        DataError: ``folder`` holds or is inside what is read, is a file, or the arguments share no folder.
    """

    def __init__(self, folder: Path, arguments: Sequence[Path]) -> None:
        self.folder = folder
        real = Path(os.path.realpath(folder))
        for argument in arguments:
            source = Path(os.path.realpath(argument))
            home = source if argument.is_dir() else source.parent
            if real == home or real in source.parents or (argument.is_dir() and home in real.parents):
                raise DataError(
                    f"--annotate {folder} and {argument} lie inside each other, and no image that is read may be "
                    f"overwritten; choose a folder outside."
                )
        if folder.exists() and not folder.is_dir():
            raise DataError(f"--annotate must name a folder; {folder} is a file.")
        homes = [_absolute(each if each.is_dir() else each.parent) for each in arguments]
        try:
            self.shared = os.path.commonpath(homes)
        except ValueError:
            raise DataError("--annotate needs images that share a folder; these are on several drives.") from None
        # The folder itself goes with its pictures where it is new.
        self._stays = folder if folder.exists() else folder.parent
        self._made: list[Path] = []

    def place(self, source: str | os.PathLike[str]) -> Path:
        """Where the annotated picture of a file goes."""
        return self.folder / os.path.relpath(_absolute(source), self.shared)

    def write(self, source: str, rgb: npt.NDArray[np.uint8], readings: Sequence[Reading]) -> Path:
        """Write a picture with its readings; returns its path.

        Args:
            source: the file that the picture is from.
            rgb: the picture, upright, uint8 (H, W, 3).
            readings: what was found and read in it.

        Raises:
            RunError: the folder cannot be written.
            DataError: the format cannot hold a picture of this size; the file is gone meanwhile.
        """
        from PIL import Image

        with opened_file(source) as original:
            # Cameras append further pictures to a JPEG (MPO); the first is drawn into, and saved as what it is.
            kind = "JPEG" if original.format == "MPO" else original.format or "PNG"
            # A profile of another colour space (CMYK, grey) would be wrong of RGB.
            profile = original.info.get("icc_profile") if original.mode in {"RGB", "RGBA", "P"} else None
        image = Image.fromarray(rgb)
        draw_readings(image, readings)
        options = {"quality": 95} if kind in {"JPEG", "WEBP"} else {}
        if profile and kind in {"JPEG", "PNG", "WEBP", "TIFF"}:
            options["icc_profile"] = profile
        target = self.place(source)
        if target.exists() and target.samefile(source):
            raise DataError(f"{source} would be overwritten by its annotated picture; choose another --annotate.")
        was_there = target.exists()
        try:
            with whole_file(target) as temporary:
                image.save(temporary, kind, **options)
        except ValueError as error:
            raise DataError(f"{source} cannot be written with readings as {kind}: {error}.") from None
        if not was_there:
            self._made.append(target)
        return target

    def take_back(self) -> None:
        """Remove the pictures that :meth:`write` added, and the folders that are empty without them."""
        for path in self._made:
            path.unlink(missing_ok=True)
            with suppress(OSError):
                for folder in path.parents:
                    if folder == self._stays:
                        break
                    folder.rmdir()
        self._made.clear()


def _absolute(path: str | os.PathLike[str]) -> str:
    """From the root, without ``..``; links are kept, for a linked picture's place is where the link is."""
    return os.path.normpath(Path(path).absolute())
