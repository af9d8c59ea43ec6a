"""What a type checker knows of ``import mien``. Checked by `make types`, never run.

Oracle: mypy's --strict, which refuses an ``ignore`` that ignores nothing: a misspelt name must be an error.
"""

from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any, assert_type

import numpy as np
import numpy.typing as npt
from PIL import Image

import mien
from mien.video.tracker import TrackedFace, VideoFrame

mien.laod("default")  # type: ignore[attr-defined]

model = mien.load("default")
array: npt.NDArray[np.uint8] = np.zeros((48, 48, 3), dtype=np.uint8)

assert_type(model.predict("photo.jpg"), list[mien.Prediction])
assert_type(model.predict(Path("photo.jpg")), list[mien.Prediction])
assert_type(model.predict(b"..."), list[mien.Prediction])
with Path("photo.jpg").open("rb") as stream:
    assert_type(model.predict(stream), list[mien.Prediction])
assert_type(model.predict(Image.open("photo.jpg")), list[mien.Prediction])
assert_type(model.predict(array), list[mien.Prediction])
assert_type(model.predict(["a.jpg", array]), list[list[mien.Prediction]])
assert_type(model.predict_crops([array]), list[mien.Prediction])
for prediction in model.predict("photo.jpg"):
    left, top, width, height = prediction.box
assert_type(mien.Tracker(model).update(array), list[TrackedFace])
with closing(mien.track(0)) as frames:
    assert_type(frames, Generator[VideoFrame, None, None])
model.stream(["photo.jpg"]).close()


def answers(upload: bytes) -> list[dict[str, Any]]:
    try:
        return [face.to_dict() for face in model.predict(upload)]
    except mien.DataError as error:
        raise ValueError(error.code) from None
