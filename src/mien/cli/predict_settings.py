"""What decides the answers of ``mien predict``: a command resumes another's work only where these are equal."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from mien.errors import without_password
from mien.faces.face import Detector, LimitedDetector
from mien.faces.find import choose
from mien.inference.bulk import PredictOptions
from mien.inference.find_model import find_model
from mien.inference.image_files import is_address
from mien.inference.predictor import Predictor
from mien.version import __version__

_FORM = 3
"""Of an answer; 3 has the size of its ``image``, which 2 called ``picture``."""


def settings_of(images: Sequence[str], model: str, predictor: Predictor, options: PredictOptions) -> dict[str, Any]:
    """The settings as values of JSON; lists are compared as sets.

    Without ``--skip-bad``: images that could not be read are tried again.
    """
    files = () if options.detector is None else choose().files
    annotator = options.annotator
    absolute = all(is_address(name) or Path(name).is_absolute() for name in images)
    return {
        "mien": __version__,
        "form": _FORM,
        "images": sorted({without_password(name) for name in images}),
        # Images are known by their relative names, which depend on the working folder.
        "working folder": None if absolute else str(Path.cwd()),
        "model": _digest(find_model(model)),
        "detector": None if options.detector is None else options.detector.name,
        "detector's files": [_digest(file) for file in files],
        "faces": _limits(options.detector),
        "crops": options.detector is None,
        "output": predictor.output.name,
        "classes": options.classes,
        "threshold": options.threshold,
        "annotate": None if annotator is None else str(annotator.folder.resolve()),
        "annotated below": None if annotator is None else annotator.shared,
    }


def _limits(detector: Detector | None) -> str | None:
    """Text, because lists are compared as sets: 20 px and 20 faces would be the same."""
    if not isinstance(detector, LimitedDetector):
        return None
    return f"min score {detector.min_score}, min size {detector.min_size_px}, max faces {detector.max_faces}"


def _digest(path: Path) -> str:
    return f"sha256:{sha256(path.read_bytes()).hexdigest()[:16]}"
