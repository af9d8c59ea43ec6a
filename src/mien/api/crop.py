"""``mien.crop``: save the faces of photographs as training images, cropped as in prediction."""

import os
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from mien.base.errors import DataError, RunError
from mien.base.files import check_outside, expand_home, write_bytes
from mien.base.images import encoded, image_files, open_image, open_image_header
from mien.base.preprocess import upright_rgb
from mien.base.processes import available_cores, ordered_map
from mien.base.progress import track
from mien.data.image_store import check_form
from mien.faces.face import Detector, cut_out
from mien.faces.find import find_detector


class Cropped(NamedTuple):
    """Result of :func:`crop`.

    Attributes:
        faces: number of faces in the output folder.
        without: photographs in which no face was found.
        bad: error messages of skipped photographs.
        others: PNG files in the output folder whose photograph is missing, for example because it was moved.
    """

    faces: int
    without: list[str]
    bad: list[str]
    others: list[str]


def crop(
    photos: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    size_px: int = 48,
    channels: int = 1,
    detector: Detector | None = None,
    skip_bad: bool = False,
) -> Cropped:
    """Save the largest face of each photograph in a folder: ``photos/happy/a.jpg`` as ``out/happy/a.jpg.png``.

    A photograph's whole name stays, so that a face's name never depends on other files. Existing faces are kept
    unless their photograph is newer, so the same call resumes an interrupted one.

    Args:
        photos: a folder of photographs. The output has the same subfolders, such as those of classes and splits.
        out: the folder for the faces.
        size_px: side of the square images in pixels.
        channels: 1 for grey squares, 3 for RGB.
        detector: face detector, as in :meth:`mien.Predictor.predict`.
        skip_bad: skip images that cannot be read.

    Raises:
        DataError: no photograph, or one that cannot be read; ``size_px`` is not 8..1024, or ``channels`` not 1 or 3.
        ModelError: the detector cannot be used.
        RunError: ``out`` is inside ``photos`` (``out-path``); an existing face has another size or colours
            (``file-exists``); or a file cannot be written.
    """
    check_form(size_px, channels)
    photos, out, detector = expand_home(photos), check_outside(out, photos), find_detector(detector)
    targets = {file: out / file.relative_to(photos).with_name(f"{file.name}.png") for file in image_files(photos)}
    todo = [each for each, to in targets.items() if not to.exists() or to.stat().st_mtime < each.stat().st_mtime]
    for target in (each for each in targets.values() if each.exists()):
        with open_image_header(target) as kept:
            if kept.size != (size_px, size_px) or len(kept.getbands()) != channels:
                words = f"{target} exists already with another size or colours. Choose another folder: --out."
                raise RunError(words, code="file-exists")

    def cut(file: Path) -> bytes | DataError | None:
        """Return a PNG of the face, None without a face."""
        try:
            rgb = upright_rgb(open_image(file))
        except DataError as error:
            return error
        faces = detector.detect(rgb)[:1]
        if not faces:
            return None
        return encoded(Image.fromarray(cut_out(rgb, faces, detector.margin, size_px, channels)[0]))

    without, bad = list[str](), list[str]()
    cuts = ordered_map(cut, todo, available_cores())
    for file, face in zip(todo, track(cuts, len(todo), "cutting out faces", "images"), strict=True):
        if isinstance(face, bytes):
            write_bytes(targets[file], face)
        elif face is not None and not skip_bad:
            raise DataError(f"{face} Skip such images with --skip-bad.", code=face.code)
        else:
            targets[file].unlink(missing_ok=True)  # of the photograph as it was
            (without if face is None else bad).append(str(face or file))
    others = sorted(map(str, {*out.rglob("*.png")} - {*targets.values()}))
    return Cropped(len(targets) - len(without) - len(bad), without, bad, others)
