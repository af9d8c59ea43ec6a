"""The examples in the OpenAPI document: what this very service, with its model, answers about a drawn face."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.data.synthetic import render_faces
from mien.labels import EXPRESSIONS
from mien.serve.refusals import RefusedError
from mien.serve.schemas import Wishes

if TYPE_CHECKING:
    from mien.serve.reading import Reader

NO_IMAGE = b"no image"
"""The second file of the batch's example."""


def drawn_face() -> bytes:
    """A happy face of 48 x 48 pixels as PNG: the file of every example."""
    from PIL import Image

    (face,) = render_faces(np.array([EXPRESSIONS.index("happy")]), seed=1)
    stream = io.BytesIO()
    Image.fromarray(face).save(stream, "PNG")
    return stream.getvalue()


def predict_examples(reader: Reader) -> dict[str, Any]:
    """Answers about :func:`drawn_face` as a picture and as a face that is cut out already."""
    photo, crop = (
        reader.read_here(drawn_face(), plan) | reader.about(plan, time.perf_counter())
        for plan in (reader.plan(Wishes(crops=crops)) for crops in (False, True))
    )
    return {
        "picture": {"summary": "a drawn face, found in its picture", "value": photo},
        "crop": {"summary": "the same with crops=true", "value": crop},
    }


def batch_examples(reader: Reader) -> dict[str, Any]:
    """The answer about :func:`drawn_face` and :data:`NO_IMAGE`."""
    plan = reader.plan(Wishes(crops=True))
    results = [reader.read_here(drawn_face(), plan)]
    try:
        reader.read_here(NO_IMAGE, plan)
    except RefusedError as error:
        results.append(error.to_dict())
    answer = {"results": results} | reader.about(plan, time.perf_counter())
    return {"batch": {"summary": "a drawn face and a file that is no image, with crops=true", "value": answer}}
