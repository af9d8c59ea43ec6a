"""The faces of photographs as files to train on, cut out as predictions cut them."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from mien.base.errors import DataError, arg
from mien.base.files import write_bytes
from mien.base.images import open_image
from mien.base.preprocess import upright_rgb
from mien.base.processes import available_cores, ordered_map
from mien.base.progress import track
from mien.faces.crop import cut_out
from mien.faces.face import Detector
from mien.inference.image_files import image_files


def cut_faces(
    photos: str | os.PathLike[str],
    out: str | os.PathLike[str],
    detector: Detector,
    *,
    size_px: int = 48,
    channels: int = 1,
    skip_bad: bool = False,
) -> tuple[int, list[str], list[str]]:
    """Write the largest face of each photograph below a folder: ``photos/happy/a.jpg`` as ``out/happy/a.jpg.png``.

    A file that is there already stays, so a killed call goes on where it was.

    Args:
        photos: a folder; its folders, such as those of classes and splits, are kept.
        out: the folder of the faces.
        detector: as :func:`mien.faces.find_detector` gives it.
        size_px: side of the squares.
        channels: 1 makes them grey, 3 RGB.
        skip_bad: leave out photographs that cannot be read, instead of raising.

    Returns:
        How many faces there are, the photographs without a face, and what is wrong with those left out.

    Raises:
        DataError: no photographs; one that cannot be read.
        ModelError: the detector cannot be used.
        RunError: a file cannot be written.
    """

    def cut(file: Path) -> npt.NDArray[np.uint8] | DataError | None:
        """The face; None without one, or where it is there already."""
        if target(file).exists():
            return None
        try:
            rgb = upright_rgb(open_image(file))
        except DataError as error:
            return error
        faces = detector.detect(rgb)[:1]
        return cut_out(rgb, faces, detector.margin, size_px, channels)[0] if faces else None

    def target(file: Path) -> Path:
        return Path(out) / file.relative_to(photos).with_name(f"{file.name}.png")

    files = image_files(photos)
    without, bad = [], []
    cuts = ordered_map(cut, files, available_cores())
    for file, face in zip(files, track(cuts, len(files), "cutting out faces", "images"), strict=True):
        if isinstance(face, DataError):
            if not skip_bad:
                raise DataError(f"{face.raw} Skip such images with {arg('skip_bad', True)}.", code=face.code)
            bad.append(str(face))
        elif face is not None:
            stream = io.BytesIO()
            Image.fromarray(face).save(stream, "PNG")
            write_bytes(target(file), stream.getvalue())
        elif not target(file).exists():
            without.append(str(file))
    return len(files) - len(without) - len(bad), without, bad
