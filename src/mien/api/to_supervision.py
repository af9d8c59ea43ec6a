"""``mien.to_supervision``: faces as Roboflow's supervision has detections."""

from __future__ import annotations

from typing import Any

import numpy as np

from mien.base.errors import MissingExtraError
from mien.inference.prediction import Photo
from mien.video.tracker import VideoFrame


def to_supervision(shown: Photo | VideoFrame) -> Any:
    """The faces as one ``supervision.Detections``, for its annotators, zones and sinks.

    Args:
        shown: a photo of :meth:`mien.Predictor.stream`, or a frame of :func:`mien.track`.

    Returns:
        ``xyxy`` in pixels, ``confidence`` and ``class_id`` of each prediction's top, of a frame ``tracker_id``, and the
        answers as ``data["class_name"]``.

    Raises:
        MissingExtraError: supervision is not installed.
    """
    try:
        import supervision
    except ModuleNotFoundError:
        raise MissingExtraError(
            "to_supervision needs the package supervision. Install it with: pip install supervision"
        ) from None
    tracks = [face.track for face in shown.faces] if isinstance(shown, VideoFrame) else None
    predictions = [face.prediction for face in shown.faces] if isinstance(shown, VideoFrame) else shown.predictions
    return supervision.Detections(
        xyxy=np.array([each.box.xyxy for each in predictions], dtype=np.float32).reshape(-1, 4),
        confidence=np.array([each.confidence for each in predictions], dtype=np.float32),
        class_id=np.array([each.classes.index(each.top) for each in predictions], dtype=np.int64),
        tracker_id=None if tracks is None else np.array(tracks, dtype=np.int64),
        data={"class_name": np.array([each.answer for each in predictions], dtype=np.str_)},
    )
