"""What a whole video becomes: its table without the tracks that are no face, and the copy that is drawn from it."""

import csv
import os
import threading

import numpy as np
import pytest

import mien
from mien.base.errors import DataError, MienWarning
from mien.base.files import refuse_pointer
from mien.faces.face import Box, Face, Margin
from mien.inference.predictor import load
from mien.video.tracker import Tracker, track_file
from mien.video.video_file import VideoFile
from support import raises

av = pytest.importorskip("av")

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
    pytest.importorskip("jinja2")
    blocks = np.random.default_rng(0).integers(90, 160, (15, 20, 1), dtype=np.uint8)
    image = np.repeat(np.kron(blocks, np.ones((8, 8, 1), dtype=np.uint8)), 3, axis=2)
    return encode_video(tmp_path / "clip.mkv", [image] * 5, rate=10, codec="ffv1")


def predict(video, out, **options):
    """Write the files of a video with a face and, in its first frame, a lamp, of which a warning tells."""
    model = load("fast-int8", output="fer2013")
    given = {"detector": OnceMistaken(), "detect_every_seconds": 0, **options}
    with pytest.warns(MienWarning):
        return mien.predict_video(video, out, model, **given)


def images(path):
    with VideoFile(path) as video:
        return np.stack([frame.rgb for frame in video.frames()]).astype(int)


def test_false_face_is_neither_in_the_table_nor_drawn(tmp_path, clip):
    """Oracle: the copy differs from the video at the face's box in each frame, and nowhere near the lamp's."""
    made = predict(clip, tmp_path / "out")
    assert {row["track"] for row in csv.DictReader(made.files["table"].read_text().splitlines())} == {"1"}
    assert [note.code for note in made.notes] == ["tracks-excluded"]
    difference = np.abs(images(clip) - images(made.files["annotated"])).max(axis=3) > 50
    assert difference[:, FACE.top : FACE.top + 4, FACE.left : FACE.left + FACE.width].any(axis=1).mean() > 0.8
    assert not difference[:, LAMP.top : LAMP.top + LAMP.height, LAMP.left : LAMP.left + LAMP.width].any()


def test_notice_names_further_video_streams(tmp_path, clip):
    """As a camera with two lenses writes them."""
    with av.open(str(clip)) as one, av.open(str(tmp_path / "two.mkv"), "w") as two:
        tracks = [two.add_stream_from_template(one.streams.video[0]) for _ in range(2)]
        for packet in [*one.demux(video=0)]:
            for track in tracks if packet.dts is not None else ():
                packet.stream = track
                two.mux(packet)
    made = predict(tmp_path / "two.mkv", tmp_path / "out", annotate=False)
    assert [note.code for note in made.notes] == ["video-streams", "tracks-excluded"]


def test_faces_of_a_frame_have_their_own_tracks(tmp_path, clip):
    """Oracle: where the detector puts two faces."""

    class Two(OnceMistaken):
        def detect(self, rgb):
            return [Face(FACE, 0.9, {}), Face(LAMP, 0.9, {})]

    model = load("fast-int8", output="fer2013")
    made = mien.predict_video(clip, tmp_path / "out", model, detector=Two(), detect_every_seconds=0, annotate=False)
    table = csv.DictReader(made.files["table"].read_text().splitlines())
    rows = [(row["frame"], row["track"], int(row["box_left"])) for row in table]
    assert rows == [(str(n), track, box.left) for n in range(5) for track, box in (("1", FACE), ("2", LAMP))]


def test_table_equals_the_tracked_frames(tmp_path, clip):
    """Oracle: the frames themselves."""
    made = predict(clip, tmp_path / "out", annotate=False)
    tracker = Tracker(load("fast-int8", output="fer2013"), detector=OnceMistaken(), detect_every_seconds=0)
    rows = csv.DictReader(made.files["table"].read_text().splitlines())
    for frame, row in zip(track_file(VideoFile(clip), tracker), rows, strict=True):
        face = frame.faces[0].prediction
        assert (int(row["frame"]), float(row["time_seconds"])) == (frame.number, pytest.approx(frame.time_seconds))
        assert tuple(int(row[f"box_{side}"]) for side in ("left", "top", "width", "height")) == tuple(face.box)
        assert (row["answer"], row["detection_score"]) == (face.answer, "0.900000")
        assert [float(row[name]) for name in face.classes] == pytest.approx(face.probability_vector.tolist(), abs=1e-6)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a pipe with a name")
def test_pipe_is_read_once_without_the_copy(tmp_path, clip):
    """Oracle: the table of the file itself. With the copy, which would read it twice, it is refused."""
    pipe, tables, out = tmp_path / "pipe", [], tmp_path / "out"
    os.mkfifo(pipe)
    refuse_pointer(pipe, DataError)  # opening it would wait for a writer, or take its first bytes
    with raises(DataError, "video-unreadable", "pipe"):
        mien.predict_video(pipe, out)
    assert not out.exists()
    writing = threading.Thread(target=lambda: pipe.write_bytes(clip.read_bytes()))
    writing.start()
    for source in (pipe, clip):
        tables.append(predict(source, out, annotate=False, overwrite=True).files["table"].read_text())
    writing.join()
    assert tables[0] == tables[1]
