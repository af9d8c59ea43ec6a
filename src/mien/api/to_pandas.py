"""``mien.to_pandas`` and ``mien.to_supervision``: convert predictions for other packages."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.base.errors import DataError, MissingExtraError, needs_extra
from mien.base.heads import VotesHead
from mien.inference.output_files import FACE_COLUMNS, SCORE_COLUMN, probability_columns
from mien.inference.prediction import Photo, Prediction, prediction_fields
from mien.video.tracker import VideoFrame

if TYPE_CHECKING:
    from pandas import DataFrame


def to_pandas(
    predictions: Iterable[Prediction | list[Prediction] | Photo | VideoFrame] | Prediction | Photo | VideoFrame,
) -> "DataFrame":
    """Return a table with a row per face and the columns of ``mien predict --csv`` and ``mien video``.

    Args:
        predictions: results of ``predict``, ``predict_crops`` or ``stream``, or frames of :func:`mien.track`; or
            one prediction, photo or frame.

    Returns:
        ``source``; for a video also ``frame``, ``time_seconds`` and ``track``; for a detected face also ``box_left``
        ... ``box_height`` in pixels and ``detection_score``; ``answer``, ``top``, ``confidence``; a probability for
        each class, 0..1. Images and frames without faces have no row. Without a face, columns of classes are missing.

    Raises:
        DataError: not predictions (``options``).
        MissingExtraError: pandas is not installed.

    >>> import mien, numpy as np
    >>> mien.to_pandas(mien.load().predict_crops(np.full((48, 48), 128, dtype=np.uint8))).shape
    (1, 20)
    """
    with needs_extra("pandas", "A table"):
        import pandas as pd
    several = predictions if isinstance(predictions, Iterable) else [predictions]
    rows = [row for each in several for row in _rows(each)]
    empty = ["source", *FACE_COLUMNS[1:], SCORE_COLUMN, *prediction_fields(None, True, VotesHead.derives)]
    return pd.DataFrame(rows, columns=None if rows else empty)


def to_supervision(shown: Photo | VideoFrame) -> Any:
    """Return the faces as one ``supervision.Detections``, for supervision's annotators, zones and sinks.

    Args:
        shown: a photo from :meth:`mien.Predictor.stream`, or a frame from :func:`mien.track`.

    Returns:
        ``xyxy`` in pixels, ``confidence`` and ``class_id`` of the top class, answers in ``data["class_name"]``; for a
        frame also ``tracker_id``.

    Raises:
        MissingExtraError: supervision is not installed.
    """
    try:
        import supervision
    except ModuleNotFoundError:
        raise MissingExtraError("to_supervision needs supervision: pip install supervision") from None
    tracks = [face.track for face in shown.faces] if isinstance(shown, VideoFrame) else None
    predictions = [face.prediction for face in shown.faces] if isinstance(shown, VideoFrame) else shown.predictions
    return supervision.Detections(
        xyxy=np.array([each.box.xyxy for each in predictions], dtype=np.float32).reshape(-1, 4),
        confidence=np.array([each.confidence for each in predictions], dtype=np.float32),
        class_id=np.array([each.classes.index(each.top) for each in predictions], dtype=np.int64),
        tracker_id=None if tracks is None else np.array(tracks, dtype=np.int64),
        data={"class_name": np.array([each.answer for each in predictions], dtype=np.str_)},
    )


def _rows(each: object) -> Iterator[dict[str, Any]]:
    each = each.predictions if isinstance(each, Photo) else each
    if isinstance(each, list):
        for one in each:
            yield from _rows(one)
    elif isinstance(each, VideoFrame):
        for face in each.faces:
            frame = {"frame": each.number, "time_seconds": each.time_seconds, "track": face.track}
            # A key's position is that of its first occurrence.
            yield {"source": face.prediction.source, **frame, **_row(face.prediction)}
    elif isinstance(each, Prediction):
        yield _row(each)
    else:
        raise DataError(f"{type(each).__name__} is not a prediction.", code="options")


def _row(prediction: Prediction) -> dict[str, Any]:
    score = prediction.detection_score
    place = {} if score is None else dict(zip(FACE_COLUMNS[1:], prediction.box, strict=True)) | {SCORE_COLUMN: score}
    fields = {name: getattr(prediction, name) for name in prediction.fields}
    shares = zip(probability_columns(prediction.probabilities, fields), prediction.probabilities.values(), strict=True)
    return {"source": prediction.source, **place, **fields, **dict(shares)}
