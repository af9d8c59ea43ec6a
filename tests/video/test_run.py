"""What a whole video becomes: its table without the tracks that are no face, and the copy that is drawn from it."""

import csv
import io
import os
import threading

import numpy as np
import pytest

from mien.errors import DataError
from mien.faces.face import Box, Face, Margin
from mien.inference.predictor import load
from mien.video.run import csv_columns, csv_rows, read_table, write_table, write_video
from mien.video.tracker import Tracker, track_file
from mien.video.video_file import VideoFile
from support import raises

FACE, LAMP = Box(80, 40, 60, 60), Box(8, 40, 40, 40)


class OnceMistaken:
    """Finds a face always, and in the first frame a lamp, too."""

    name, margin, score_range = "stub", Margin(1.0, 0.0), (0.0, 1.0)

    def __init__(self):
        self.looks = 0

    def detect(self, rgb):
        self.looks += 1
        return [Face(FACE, 0.9, {}), *([Face(LAMP, 0.6, {})] if self.looks == 1 else [])]


@pytest.fixture
def clip(tmp_path, encode_video):
    pytest.importorskip("av")
    blocks = np.random.default_rng(0).integers(90, 160, (15, 20, 1), dtype=np.uint8)
    image = np.repeat(np.kron(blocks, np.ones((8, 8, 1), dtype=np.uint8)), 3, axis=2)
    return encode_video(tmp_path / "clip.mkv", [image] * 5, rate=10, codec="ffv1")


def predictor():
    return Tracker(load("fast-int8", output="fer2013"), detector=OnceMistaken(), source="clip", detect_every_seconds=0)


def images(path):
    with VideoFile(path) as video:
        return np.stack([frame.rgb for frame in video.frames()]).astype(int)


def test_what_is_no_face_is_neither_in_the_table_nor_drawn(tmp_path, clip):
    """Oracle: the copy differs from the video at the face's box in each frame, and nowhere near the lamp's."""
    pytest.importorskip("jinja2")
    made = write_video(tmp_path / "out", VideoFile(clip), predictor(), annotate=True, overwrite=False, metadata={})
    with made.files["table"].open() as stream:
        assert {row["track"] for row in csv.DictReader(stream)} == {"1"}
    assert len(made.notes) == 1
    difference = np.abs(images(clip) - images(made.files["annotated"])).max(axis=3) > 50
    assert difference[:, FACE.top : FACE.top + 4, FACE.left : FACE.left + FACE.width].any(axis=1).mean() > 0.8
    assert not difference[:, LAMP.top : LAMP.top + LAMP.height, LAMP.left : LAMP.left + LAMP.width].any()


def test_a_table_is_read_as_it_was_written(tmp_path, clip):
    table, made = tmp_path / "t.csv", predictor()
    frames = list(track_file(VideoFile(clip), made))
    with table.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(csv_columns(made.classes, made.fields))
        for frame in frames:
            rows.writerows(csv_rows(frame))
    read = dict(read_table(table, made))
    assert list(read) == [0, 1, 2, 3, 4]
    for frame in frames:
        assert list(read[frame.number]) == [face.track for face in frame.faces]
        for face, again in zip(frame.faces, read[frame.number].values(), strict=True):
            assert (again.box, again.text) == (face.prediction.box, face.prediction.text)
            np.testing.assert_allclose(again.probability_vector, face.prediction.probability_vector, atol=1e-6)
    with table.open() as stream:
        assert [row["detection_score"] for row in csv.DictReader(stream)][:3] == ["0.900000", "0.600000", "0.900000"]


def test_a_pipe_is_refused_where_it_would_be_read_twice(tmp_path, clip):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    video = VideoFile(clip)
    video.path = pipe
    with raises(DataError, "video-pipe", "pipe"):
        write_video(tmp_path / "out", video, predictor(), annotate=True, overwrite=False, metadata={})
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a pipe with a name")
def test_a_pipe_is_read_once_without_the_copy(tmp_path, clip):
    """Oracle: the table of the file itself."""
    pytest.importorskip("jinja2")
    pipe, tables = tmp_path / "pipe", []
    os.mkfifo(pipe)
    writing = threading.Thread(target=lambda: pipe.write_bytes(clip.read_bytes()))
    writing.start()
    for source in (pipe, clip):
        video = VideoFile(source)
        made = write_video(tmp_path / "out", video, predictor(), annotate=False, overwrite=True, metadata={})
        tables.append(made.files["table"].read_text())
    writing.join()
    assert tables[0] == tables[1]


def test_rows_of_tracks_are_left_out(tmp_path):
    rows = io.StringIO("frame,seconds,track,top\n0,0.0,1,sad\n0,0.0,12,sad\n1,0.1,2,sad\n")
    write_table(tmp_path / "t.csv", rows, [1, 2])
    assert (tmp_path / "t.csv").read_text() == "frame,seconds,track,top\n0,0.0,12,sad\n"
