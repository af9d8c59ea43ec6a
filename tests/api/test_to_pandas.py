"""``mien.to_pandas``. Oracle: the predictions themselves."""

import sys
import types

import numpy as np
import pytest

import mien
from mien.base.errors import MissingExtraError
from mien.faces.face import Box
from mien.inference.prediction import Photo, Prediction
from mien.video.tracker import TrackedFace, VideoFrame
from support import FIELDS, raises

pytest.importorskip("pandas")

CLASSES = ("sad", "happy")


def prediction(happy, **others):
    return Prediction("a.jpg", CLASSES, np.array([1 - happy, happy]), **others)


def test_every_face_is_a_row():
    found = prediction(0.75, box=Box(1, 2, 3, 4), detection_score=0.5)
    photo = Photo("a.jpg", 9, 9, "told", [found])
    frame = VideoFrame(7, 0.25, np.zeros((9, 9, 3), dtype=np.uint8), [TrackedFace(2, found)])
    place = ("a.jpg", 1, 2, 3, 4, 0.5, *(getattr(found, name) for name in FIELDS), 0.25, 0.75)
    columns = ["source", "box_left", "box_top", "box_width", "box_height", "detection_score", *FIELDS, *CLASSES]
    for given in (found, photo, [found], [[found], []], [photo]):
        table = mien.to_pandas(given)
        assert (list(table.columns), list(table.itertuples(index=False, name=None))) == (columns, [place])
    table = mien.to_pandas(iter([frame]))
    assert list(table.columns) == ["source", "frame", "time_seconds", "track", *columns[1:]]
    assert (tuple(table.iloc[0])[1:4], list(mien.to_pandas([prediction(0.2)])["answer"])) == ((7, 0.25, 2), ["sad"])
    named = mien.to_pandas([Prediction("a.jpg", ("answer", "track"), np.array([0.25, 0.75]))])
    assert list(named.iloc[0][["answer", "p(answer)", "p(track)"]]) == ["track", 0.25, 0.75]
    further = ["unsure", "not_a_face", "derived_valence", "derived_arousal"]
    assert (len(mien.to_pandas([[]])), list(mien.to_pandas([[]]).columns)) == (0, [*columns[:-2], *further])


def test_supervision_gets_boxes_tracks_and_answers(monkeypatch):
    """Oracle: the arguments of ``supervision.Detections``; the package itself is no part of the tests."""
    monkeypatch.setitem(sys.modules, "supervision", types.SimpleNamespace(Detections=types.SimpleNamespace))
    found = prediction(0.75, box=Box(1, 2, 3, 4), detection_score=0.5)
    frame = VideoFrame(7, 0.25, np.zeros((9, 9, 3), dtype=np.uint8), [TrackedFace(2, found)])
    for shown, tracks in ((frame, [2]), (Photo("a.jpg", 9, 9, "told", [found]), None)):
        made = mien.to_supervision(shown)
        assert (made.xyxy.tolist(), made.class_id.tolist(), made.confidence.tolist()) == ([[1, 2, 4, 6]], [1], [0.75])
        assert (made.tracker_id if tracks is None else made.tracker_id.tolist()) == tracks
        assert made.data["class_name"].tolist() == ["happy"]
    assert mien.to_supervision(Photo("a.jpg", 9, 9, "told", [])).xyxy.shape == (0, 4)
    monkeypatch.setitem(sys.modules, "supervision", None)
    with raises(MissingExtraError, "missing-extra", "pip install supervision"):
        mien.to_supervision(frame)
