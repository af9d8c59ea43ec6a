"""Write vectors.json: pictures, and what Python makes of them, which the page must make as well.

    python web/tests/make_vectors.py

A test of the Python side (tests/serve/test_vectors.py) fails when the file is stale.
"""

from __future__ import annotations

import base64
import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from mien.data.synthetic import render_faces
from mien.inference.classifier import Classifier
from mien.inference.locate import find_model
from mien.pictures import open_image
from mien.preprocess import grey_square
from mien.serve.built_page import PAGE_MODEL

FILE = Path(__file__).with_name("vectors.json")
ORIENTATION = 0x0112
SIDEWAYS = 6


def vectors() -> dict[str, Any]:
    """Everything in the file."""
    classifier = Classifier(find_model(PAGE_MODEL), threads=1)
    size_px = classifier.manifest.input.size_px
    pictures = []
    for name, content in _pictures().items():
        square = grey_square(open_image(content), size_px)
        answer = classifier.probabilities(square[np.newaxis])[0]
        pictures.append(
            {
                "name": name,
                "file": base64.b64encode(content).decode(),
                "square": base64.b64encode(square.tobytes()).decode(),
                "probabilities": [round(float(share), 7) for share in answer],
            }
        )
    return {"classes": list(classifier.classes), "size_px": size_px, "pictures": pictures, "resized": _resized()}


def _pictures() -> dict[str, bytes]:
    """Image files by name: every size and form that takes another way through the code. Drawn faces."""
    faces = [Image.fromarray(face) for face in render_faces(np.array([3, 0, 5, 4, 2, 6, 1, 3, 5]), seed=11)]
    return {
        "as-it-is.png": _png(faces[0]),
        "small.png": _png(_tinted(faces[1], 30, 30)),
        "square.png": _png(_tinted(faces[2], 100, 100)),
        "wide.png": _png(_tinted(faces[3], 130, 87)),
        "tall.png": _png(_tinted(faces[4], 61, 97)),
        "photo.jpg": _jpeg(_tinted(faces[5], 333, 250)),
        "cut-out.png": _png(_with_alpha(_tinted(faces[6], 80, 80), hard=True)),
        "veiled.png": _png(_with_alpha(_tinted(faces[7], 64, 64), hard=False)),
        "sideways.jpg": _jpeg(_tinted(faces[8], 120, 90), orientation=SIDEWAYS),
        "sideways.png": _png(_tinted(faces[8], 60, 45), orientation=SIDEWAYS),
        "lossy.webp": _webp(_tinted(faces[0], 90, 70)),
        **{f"turned-{way}.webp": _webp(_tinted(faces[way], 60, 45), orientation=way) for way in range(2, 9)},
        "print.jpg": _jpeg(_tinted(faces[0], 90, 90).convert("CMYK")),
        "deep-grey.png": _png(_deep(faces[1])),
    }


def _resized() -> list[dict[str, Any]]:
    """A noise picture at several sizes, by Pillow."""
    noise = np.random.default_rng(5).integers(0, 256, (31, 23), dtype=np.uint8)
    image = Image.fromarray(noise)
    sizes = [(48, 48), (11, 17), (23, 7), (1, 1), (22, 31), (100, 64)]
    return [
        {"width": 23, "height": 31, "data": noise.ravel().tolist()},
        *(
            {"width": width, "height": height, "data": np.asarray(small).ravel().tolist()}
            for width, height in sizes
            for small in [image.resize((width, height), Image.Resampling.BILINEAR)]
        ),
    ]


def _tinted(face: Image.Image, width: int, height: int) -> Image.Image:
    """A drawn face in colour at some size, unlike in its three channels."""
    grey = np.asarray(face.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float64)
    across = np.linspace(0, 40, width)[np.newaxis]
    colours = np.stack([grey, 0.9 * grey + across, 255 - 0.8 * (255 - grey) - across], axis=-1)
    return Image.fromarray(np.clip(np.rint(colours), 0, 255).astype(np.uint8))


def _with_alpha(image: Image.Image, *, hard: bool) -> Image.Image:
    rows, columns = np.mgrid[0 : image.height, 0 : image.width]
    distance = np.hypot(rows - image.height / 2, columns - image.width / 2) / (image.width / 2)
    alpha: npt.NDArray[np.float64] = np.where(distance < 0.9, 1.0, 0.0) if hard else np.clip(1.4 - distance, 0, 1)
    image.putalpha(Image.fromarray(np.rint(255 * alpha).astype(np.uint8)))
    return image


def _deep(face: Image.Image) -> Image.Image:
    """A drawn face in 16-bit grey that uses more than the upper eight bits."""
    grey = np.asarray(face, dtype=np.uint16) * 257
    return Image.fromarray(grey - np.minimum(grey, np.arange(grey.size, dtype=np.uint16).reshape(grey.shape) % 200))


def _png(image: Image.Image, orientation: int = 1) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG", optimize=True, **_exif(orientation))
    return stream.getvalue()


def _jpeg(image: Image.Image, orientation: int = 1) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=90, **_exif(orientation))
    return stream.getvalue()


def _webp(image: Image.Image, orientation: int = 1) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "WEBP", quality=90, **_exif(orientation))
    return stream.getvalue()


def _exif(orientation: int) -> dict[str, Any]:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return {} if orientation == 1 else {"exif": exif}


def text() -> str:
    """The file as it should be."""
    return json.dumps(vectors(), separators=(",", ":")).replace("},{", "},\n{") + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
    sys.stdout.write(f"{FILE}\n")
