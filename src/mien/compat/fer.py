"""``fer.FER`` and ``fer.Video`` with mien inside: replace the import by ``from mien.compat.fer import FER, Video``.

The calls of fer's README, with results in the shapes of fer 25.10; faces, crops and probabilities are mien's.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.base.errors import needs_extra
from mien.compat.images import SEVEN, default_predictor, to_rgb, warn_ignored
from mien.inference.face_reader import FaceReader
from mien.video.video_file import VideoFile

if TYPE_CHECKING:
    from pandas import DataFrame


class FER:
    """Detects faces and classifies the expression of each.

    Args:
        **ignored: fer's other arguments, such as ``mtcnn``, cause a warning: mien has its own detector and crops.
    """

    def __init__(self, **ignored: Any) -> None:
        self._reader = FaceReader(default_predictor(), classes=SEVEN)
        warn_ignored("fer", [name for name, value in ignored.items() if value], self._reader)

    def detect_emotions(self, img: Any) -> list[dict[str, Any]]:
        """The faces of an image, each ``{"box": [x, y, width, height], "emotions": {name: probability}}``.

        Args:
            img: a path, a data URI, or an array uint8 (H, W) grey or (H, W, 3) or (H, W, 4) in OpenCV's order BGR(A).

        Returns:
            The largest face first; probabilities are rounded to two digits, as in fer. Empty without a face.

        Raises:
            DataError: something that is not an image.
        """
        return [
            {
                "box": [] if prediction.box is None else list(prediction.box),
                "emotions": {name: round(value, 2) for name, value in prediction.probabilities.items()},
            }
            for prediction in self._reader.read(to_rgb(img))
        ]

    def top_emotion(self, img: Any) -> tuple[str, float] | tuple[None, None]:
        """The class of highest probability of the largest face, and its probability; (None, None) without a face."""
        faces = self.detect_emotions(img)
        if not faces:
            return None, None
        shares = faces[0]["emotions"]
        name = max(shares, key=shares.get)
        return name, shares[name]


class Video:
    """A video whose faces are detected and classified frame by frame.

    It writes no files: ``mien video`` writes an annotated copy, a table and a page.

    Args:
        video_file: path of the video.
        first_face_only: whether :meth:`analyze` keeps the largest face of each frame alone.

    Raises:
        DataError: no such file, or no video.
        MissingExtraError: PyAV is not installed.
    """

    def __init__(self, video_file: str | os.PathLike[str], *, first_face_only: bool = True) -> None:
        VideoFile(video_file).close()
        self.filepath: str = os.fspath(video_file)
        self.first_face_only: bool = first_face_only

    def analyze(self, detector: FER, display: bool = False, **ignored: Any) -> list[dict[str, Any]]:
        """Detect and classify the faces of each frame.

        Args:
            detector: finds and classifies the faces.
            display: fer's window; causes a warning, as mien shows none.
            **ignored: fer's arguments about files that it writes cause a warning, too.

        Returns:
            For each frame a dict of ``box0`` (x, y, width, height), ``angry0`` ... ``neutral0`` of the largest face,
            then those of the second (``box1``, ...) unless ``first_face_only``; empty for a frame without a face.

        Raises:
            DataError: the video cannot be decoded.
        """
        warn_ignored("fer", [name for name, value in {"display": display, **ignored}.items() if value])
        rows = []
        with VideoFile(self.filepath) as video:
            for frame in video.frames():
                faces = detector.detect_emotions(np.ascontiguousarray(frame.rgb[:, :, ::-1]))
                row: dict[str, Any] = {}
                for number, face in enumerate(faces[:1] if self.first_face_only else faces):
                    values = {"box": face["box"], **face["emotions"]}
                    row |= {f"{name}{number}": value for name, value in values.items()}
                rows.append(row)
        return rows

    @staticmethod
    def to_pandas(data: Any) -> DataFrame:
        """The list that :meth:`analyze` returns as a table, a row for each frame; empty cells are NaN.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        with needs_extra("pandas", "Video.to_pandas"):
            import pandas as pd
        return pd.DataFrame(data)

    @staticmethod
    def get_first_face(df: DataFrame) -> DataFrame:
        """The columns of the first face, without their number."""
        first = df[[name for name in df.columns if name.endswith("0") and not name[-2].isdigit()]]
        return first.rename(columns=lambda name: name[:-1])

    @staticmethod
    def get_emotions(df: DataFrame) -> DataFrame:
        """All columns but those of boxes."""
        return df[[name for name in df.columns if "box" not in name]]
