"""Write vectors.json: images with Python's face crops and probabilities by output, which the page must match.

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

from mien.base.images import open_image
from mien.base.preprocess import grey_square
from mien.base.run_folder import find_model
from mien.data.synthetic import render_faces
from mien.faces.face import sharpness
from mien.inference.predictor import Predictor
from mien.near_copies.alignment import aligned_correlation
from mien.near_copies.finder import MIN_CORRELATION

MODEL = "fast-int8"
"""The model that ``make web`` puts into the page."""

FILE = Path(__file__).with_name("vectors.json")
ORIENTATION = 0x0112
SIDEWAYS = 6


def vectors() -> dict[str, Any]:
    """The content of the file."""
    predictor = Predictor(find_model(MODEL), threads=1)
    size_px, outputs = predictor.manifest.input.size_px, predictor.manifest.outputs
    images = []
    for name, content in _images().items():
        crop = grey_square(open_image(content), size_px)
        images.append(
            {
                "name": name,
                "file": base64.b64encode(content).decode(),
                "crop": base64.b64encode(crop.tobytes()).decode(),
                "sharpness": round(sharpness(crop), 6),
                "probabilities": {output: probabilities_of(predictor, crop, output) for output in outputs},
            }
        )
    classes = {name: list(output.classes) for name, output in outputs.items()}
    return {
        "classes": classes,
        "size_px": size_px,
        "images": images,
        "resized": _resized(),
        "coloured": _coloured(),
        "copies": _copies(),
    }


def probabilities_of(predictor: Predictor, crop: npt.NDArray[np.uint8], output: str) -> list[float]:
    """Probabilities of a face crop by an output of the model, in the order of its classes."""
    row = predictor.with_output(output).probabilities(crop[np.newaxis])[0]
    return [round(float(each), 7) for each in row]


def _images() -> dict[str, bytes]:
    """Image files by name: one for each size and format that the code treats differently. The faces are rendered."""
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
    """Noise, resized by Pillow to several sizes."""
    noise = np.random.default_rng(5).integers(0, 256, (31, 23), dtype=np.uint8)
    image = Image.fromarray(noise)
    sizes = [(48, 48), (11, 17), (23, 7), (1, 1), (22, 31), (100, 64)]
    return [
        {"width": 23, "height": 31, "data": noise.ravel().tolist()},
        *(
            {"width": width, "height": height, "data": np.asarray(small).ravel().tolist()}
            for width, height in sizes
            for small in [image.resize((width, height), Image.Resampling.LANCZOS)]
        ),
    ]


def _coloured() -> list[dict[str, Any]]:
    """Noise in colour, resized by Pillow to several sizes as the detector's images are."""
    image = Image.fromarray(np.random.default_rng(6).integers(0, 256, (43, 65, 3), dtype=np.uint8))
    sizes = [(65, 43), (32, 21), (30, 20), (16, 11), (100, 60)]
    copies = [image.resize(size, Image.Resampling.BILINEAR, reducing_gap=1.0) for size in sizes]
    return [{"width": each.width, "height": each.height, "data": np.asarray(each).ravel().tolist()} for each in copies]


def _copies() -> dict[str, Any]:
    """Rendered faces, each with two changed copies, and the correlation of each pair at its best alignment."""
    rng = np.random.default_rng(7)
    faces = render_faces(np.array([3, 0, 5, 4]), seed=12)
    crops = list(faces)
    for number, face in enumerate(faces):
        lighter = np.clip(0.8 * face.astype(float) + 30 + rng.normal(0, 2, face.shape), 0, 255).astype(np.uint8)
        crops.append(np.roll(lighter[:, :: -1 if number % 2 else 1], (number - 1, 2), axis=(0, 1)))
        crops.append(np.asarray(Image.fromarray(face[3:46, 2:45]).resize((48, 48), Image.Resampling.BICUBIC)))
    images = np.stack(crops)
    first, second = np.triu_indices(len(images), k=1)
    correlation = aligned_correlation(images, first, second)
    return {
        "crops": [base64.b64encode(image.tobytes()).decode() for image in images],
        "pairs": np.stack([first, second], axis=1).tolist(),
        "near": (correlation >= MIN_CORRELATION).tolist(),
        "least": round(float(correlation[correlation >= MIN_CORRELATION].min()), 4),
        "most": round(float(correlation[correlation < MIN_CORRELATION].max()), 4),
    }


def _tinted(face: Image.Image, width: int, height: int) -> Image.Image:
    """A rendered face in colour, with three different channels."""
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
    """A rendered face in 16-bit grey, with values in the lower eight bits too."""
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
    """The file's text."""
    return json.dumps(vectors(), separators=(",", ":")).replace("},{", "},\n{") + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
    sys.stdout.write(f"{FILE}\n")
