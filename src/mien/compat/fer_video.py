"""``fer.Video`` with mien inside; imported as ``from mien.compat.fer import Video``."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mien.errors import MienWarning, MissingExtraError
from mien.video.video_file import VideoFile

if TYPE_CHECKING:
    from pandas import DataFrame

_IGNORED = {"display": False, "detection_box": None, "zip_images": True, "video_id": None, "include_audio": False}
"""fer's arguments without effect, and the values that ask for nothing."""

_FILES = ("save_frames", "save_video", "annotate_frames", "save_fps", "lang")


class EmotionDetector(Protocol):
    """What :class:`mien.compat.fer.FER` does."""

    def detect_emotions(self, img: Any) -> list[dict[str, Any]]:
        """The faces of an image in BGR, the largest first."""


class Video:
    """A video whose faces are detected and classified frame by frame.

    It writes no files: ``mien video`` writes an annotated copy, a table and a page.

    Args:
        video_file: path of the video.
        outdir: ignored.
        first_face_only: whether :meth:`analyze` keeps the largest face of each frame alone.
        tempfile: ignored.

    Raises:
        DataError: no such file, or no video.
        MissingExtraError: PyAV is not installed.
    """

    def __init__(
        self,
        video_file: str | os.PathLike[str],
        outdir: str = "output",
        first_face_only: bool = True,
        tempfile: str | None = None,
    ) -> None:
        VideoFile(video_file).close()
        self.filepath: str = os.fspath(video_file)
        self.outdir: str = outdir
        self.first_face_only: bool = first_face_only
        self.tempfile: str | None = tempfile

    def analyze(
        self,
        detector: EmotionDetector,
        display: bool = False,
        output: str = "csv",
        frequency: int | None = None,
        max_results: int | None = None,
        **others: Any,
    ) -> Any:
        """Detect and classify the faces of the frames.

        Args:
            detector: a :class:`mien.compat.fer.FER`.
            display: ignored, with a warning; no window is opened.
            output: ``"csv"`` returns the list; ``"pandas"`` a DataFrame of it.
            frequency: every so many frames one is analyzed; None is every frame.
            max_results: the most frames that are analyzed.
            **others: fer's arguments about files that it writes; ignored.

        Returns:
            For each analyzed frame a dict of ``box0`` (x, y, width, height), ``angry0`` ... ``neutral0`` of the largest
            face, then those of the second (``box1``, ...) unless ``first_face_only``; empty for a frame without a face.

        Raises:
            ValueError: another ``output``, or a ``frequency`` below 1.
            TypeError: an argument that fer does not have.
            DataError: the video cannot be decoded.
        """
        if output not in {"csv", "pandas"} or (frequency is not None and frequency < 1):
            raise ValueError("output must be 'csv' or 'pandas', and frequency at least 1.")
        if unknown := [name for name in others if name not in _IGNORED and name not in _FILES]:
            raise TypeError(f"analyze() got an unexpected keyword argument '{unknown[0]}'")
        given = {"display": display, **others}
        ignored = [name for name, usual in _IGNORED.items() if given.get(name, usual) != usual]
        if ignored:
            warnings.warn(
                MienWarning(f"mien.compat.fer ignores {', '.join(ignored)}.", code="arguments-ignored"), stacklevel=2
            )
        found = list(islice(self._frames(detector, frequency or 1), max_results))
        return self.to_pandas(found) if output == "pandas" else found

    def _frames(self, detector: EmotionDetector, frequency: int) -> Iterator[dict[str, Any]]:
        with VideoFile(self.filepath) as video:
            for frame in islice(video.frames(), 0, None, frequency):
                faces = detector.detect_emotions(np.ascontiguousarray(frame.rgb[:, :, ::-1]))
                kept = faces[:1] if self.first_face_only else faces
                yield {
                    f"{name}{number}": value
                    for number, face in enumerate(kept)
                    for name, value in {"box": face["box"], **face["emotions"]}.items()
                }

    @staticmethod
    def to_pandas(data: Any) -> DataFrame:
        """The list that :meth:`analyze` returns as a table, a row for each frame; empty cells are NaN.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ModuleNotFoundError:
            raise MissingExtraError(
                "Video.to_pandas needs the package pandas, which is not installed. Install it with: pip install pandas"
            ) from None
        return pd.DataFrame(data)

    @staticmethod
    def get_first_face(df: DataFrame) -> DataFrame:
        """The columns of the first face, without their number."""
        if not any(str(name).endswith("0") for name in df.columns):
            return df
        first = df[[name for name in df.columns if name.endswith("0") and not name[-2].isdigit()]]
        return first.rename(columns=lambda name: name[:-1])

    @staticmethod
    def get_emotions(df: DataFrame) -> DataFrame:
        """All columns but those of boxes."""
        return df[[name for name in df.columns if "box" not in name]]
