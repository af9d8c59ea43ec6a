"""Whole videos read: real files, and a detector that returns given faces."""

import contextlib
import http.server
import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import mien
from mien.base.errors import DataError
from mien.faces.face import Box, Face, Margin, crop_faces, square_around
from mien.inference.face_reader import FaceReader
from mien.video.tracker import HALF_LIFE_SECONDS, PATIENCE_SECONDS, IouTracker, Track, interpolate
from support import encoded, raises

pytest.importorskip("av")

SIZE = 60


class Told:
    """A detector that finds faces where its test puts them, frame by frame; it lists the frames it was asked about."""

    name = "told"
    margin, score_range = Margin(1.0, 0.0), (0.0, 1.0)

    def __init__(self, boxes_of):
        self._boxes_of, self.asked = boxes_of, []

    def detect(self, rgb):
        number = round((float(rgb[:8, :8].mean()) - 20) / 5)
        self.asked.append(number)
        return [Face(box, 1.0, points_of(box)) for box in self._boxes_of(number)]


def points_of(box):
    at = {"right_eye": (0.3, 0.3), "left_eye": (0.6, 0.3)}
    at |= {"right_mouth_corner": (0.4, 0.7), "left_mouth_corner": (0.6, 0.7)}
    return {name: (box.left + x * box.width, box.top + y * box.height) for name, (x, y) in at.items()}


def scene(astronaut, number, boxes):
    """Her face in some boxes; the pixels above left say the frame's number."""
    frame = np.full((240, 320, 3), 100, dtype=np.uint8)
    face = np.asarray(Image.fromarray(astronaut[60:170, 170:280]).resize((SIZE, SIZE)))
    for box in boxes:
        frame[box.top : box.top + SIZE, box.left : box.left + SIZE] = face
    frame[:16, :16] = 20 + 5 * number
    return frame


@pytest.fixture
def play(tmp_path, encode_video, astronaut, classifier):
    """Encode ``count`` frames with faces where ``boxes_of`` says, and read them: the frames, and the detector."""

    def run(count, boxes_of, seen_of=None, rate=30, seconds=None, detect_every_seconds=0.33, **options):
        frames = [scene(astronaut, number, boxes_of(number)) for number in range(count)]
        path = encode_video(tmp_path / "clip.mp4", frames, rate=rate, seconds=seconds)
        detector = Told(seen_of or boxes_of)
        options["detect_every_seconds"] = detect_every_seconds
        return list(mien.track(path, classifier, detector=detector, **options)), detector

    return run


def moving(number):
    return [Box(20 + 6 * number, 80 + 2 * number, SIZE, SIZE)]


def slow(number):
    return [Box(40 + 2 * number, 80 + number, SIZE, SIZE)]


def test_predictions_are_those_of_their_crops_smoothed_in_time(play, classifier):
    """Oracles: the classifier on the square that is cropped here, and the smoothing by itself."""
    frames, detector = play(12, moving, seconds=[0.03 * n + 0.02 * (n % 2) for n in range(12)])
    track = Track(1, Face(Box(0, 0, 1, 1), 1.0, {}))
    for frame in frames:
        (face,) = frame.faces
        prediction = face.prediction
        squares = crop_faces(frame.rgb, [square_around(prediction.box, detector.margin, prediction.landmarks)], 48)
        (scores,) = FaceReader(classifier).classify_found(squares)
        assert np.array_equal(prediction.crop, squares[0])
        expected = track.smoothed(frame.time_seconds, scores, HALF_LIFE_SECONDS)
        assert prediction.probability_vector == pytest.approx(expected, abs=1e-6)
    assert expected != pytest.approx(scores, abs=1e-9)


def test_fast_face_keeps_its_track(play):
    """Oracle: a face that moves by three of its widths between two detections."""
    frames, _ = play(11, lambda number: [Box(20 + 18 * number, 80, SIZE, SIZE)])
    assert [(face.track, face.prediction.box.left) for frame in frames for face in frame.faces] == [
        (1, pytest.approx(20 + 18 * number, abs=1)) for number in range(11)
    ]
    # Oracle: where it was put. Halving finds both ends, and each frame is detected once at most.
    frames, detector = play(40, lambda number: [Box(100, 80, SIZE, SIZE)] if 5 <= number < 17 else [])
    assert [len(frame.faces) for frame in frames] == [0] * 5 + [1] * 12 + [0] * 23
    assert len(detector.asked) == len({*detector.asked}) < 16
    seconds = [0, 0.1, 0.2, 0.25, 0.4, 0.9, 0.95, 1.3]
    frames, detector = play(8, lambda number: [Box(100, 80, SIZE, SIZE)], seconds=seconds)
    # Due a third of a second after the last time.
    assert detector.asked == [0, 4, 5, 7]
    assert [frame.time_seconds for frame in frames] == pytest.approx(seconds, abs=1e-3)
    frames, detector = play(31, slow)
    assert detector.asked == [0, 10, 20, 30]
    for frame in frames:
        (face,) = frame.faces
        assert (face.track, face.prediction.box, face.detected) == (1, *slow(frame.number), frame.number % 10 == 0)


@pytest.mark.parametrize(("frame_seconds", "detect_every", "looks"), [(0.2, 2, 5), (0.2, 5, 6), (1.2, 0.33, 40)])
def test_face_keeps_its_number_at_rare_detections(play, frame_seconds, detect_every, looks):
    """Detections more than a second apart, by wish or because the frames are."""
    frames, detector = play(40, slow, seconds=[frame_seconds * n for n in range(40)], detect_every_seconds=detect_every)
    assert (len(detector.asked), [[face.track for face in frame.faces] for frame in frames]) == (looks, [[1]] * 40)


def test_large_frames_are_detected_more_often(play, monkeypatch):
    """Oracle: memory for four frames between two detections."""
    monkeypatch.setattr("mien.video.tracker.AHEAD_BYTES", 4 * 240 * 320 * 3)
    _, detector = play(13, slow, detect_every_seconds=60)
    assert detector.asked == [0, 4, 8, 12]


@pytest.mark.parametrize(
    ("options", "code", "named"),
    [({"classes": "nonsense"}, "label-scheme", "nonsense"), ({"half_life_seconds": -1}, "options", "-1"),
     ({"detect_every_seconds": float("nan")}, "options", "nan"), ({}, "file-missing", "nothing.mp4")],
)  # fmt: skip
def test_track_refuses_bad_settings_and_files_before_the_first_frame(classifier, tmp_path, options, code, named):
    with raises(DataError, code, named):
        mien.track(tmp_path / "nothing.mp4", classifier, detector=Told(moving), **options)


def test_memory_holds_one_result_however_long_the_video_is(tmp_path, encode_video, classifier):
    """A frame is let go before the next is read, unless its user keeps it."""
    import weakref

    path = encode_video(tmp_path / "clip.mp4", [np.full((32, 32, 3), 10 * n, dtype=np.uint8) for n in range(20)])
    alive = weakref.WeakSet()
    for frame in mien.track(path, classifier, detector=Told(lambda number: [])):
        alive.add(frame)
        assert len(alive) <= 2
    assert frame.number == 19


def test_tracker_takes_frames_of_any_source(classifier, astronaut):
    tracker = mien.Tracker(classifier, detector=Told(moving), detect_every_seconds=0)
    for number in range(3):
        frame = scene(astronaut, number, moving(number))
        (face,) = tracker.update(frame[:, :, ::-1], 0.1 * number, bgr=True)
        assert (face.track, face.prediction.source) == (1, "camera")
        box = face.prediction.box
        same = crop_faces(frame, [square_around(box, Margin(1.0, 0.0), points_of(box))], 48)[0]
        assert np.array_equal(face.prediction.crop, same)
    for time in (0.1, float("inf")):
        with raises(DataError, "options", f"{time:g}"):
            tracker.update(frame, time)
    with raises(DataError, "image-type"):
        tracker.update(None, 0.3)
    by_clock = mien.Tracker(classifier, detector=Told(moving))
    assert [len(by_clock.update(frame)) for _ in range(3)] == [1, 1, 1]


def test_tracker_extrapolates_between_detections(classifier, astronaut):
    """Oracle: a steady motion of 6 px a frame, detected in every third."""
    detector = Told(moving)
    tracker = mien.Tracker(classifier, detector=detector)
    for number in range(10):
        (face,) = tracker.update(scene(astronaut, number, moving(number)), number / 30)
        if number >= 3:
            assert (face.track, face.prediction.box) == (1, *moving(number))
    assert detector.asked == [0, 3, 6, 9]
    # Oracle: the detector, whose boxes are of each frame alone; tracked on, they would be elsewhere.
    boxes = [Box(300, 60, 80, 80), Box(20, 100, 80, 80), Box(40, 80, 80, 80)]
    tracker = mien.Tracker(classifier, detector=Told(lambda number: [boxes[number]]), detect_every_seconds=60)
    sizes = [(240, 400), (400, 240), (240, 240)]
    frames = [np.full((*size, 3), 20 + 5 * number, dtype=np.uint8) for number, size in enumerate(sizes)]
    found = [tracker.update(frame, 0.1 * number) for number, frame in enumerate(frames)]
    assert [[(face.track, face.prediction.box, face.detected) for face in faces] for faces in found] == [
        [(1, boxes[0], True)], [(2, boxes[1], True)], [(3, boxes[2], True)],
    ]  # fmt: skip


def test_tracker_with_a_frame_rate_does_not_use_the_clock(classifier, astronaut, monkeypatch):
    """Oracle: the same frames with their times."""
    monkeypatch.setattr("mien.video.tracker.time", None)
    timed, counted = (mien.Tracker(classifier, detector=Told(moving), frame_rate=rate) for rate in (None, 25))
    for number in range(6):
        frame = scene(astronaut, number, moving(number))
        one, other = timed.update(frame, number / 25), counted.update(frame)
        assert [each.to_dict() for each in one] == [each.to_dict() for each in other]
    with raises(DataError, "options"):
        mien.Tracker(classifier, frame_rate=0)


def test_network_stream_is_followed_until_it_ends(classifier, astronaut):
    """A camera's MJPEG over HTTP. Oracle: the face's place; frames may be left out, and times rise."""
    with camera_at([scene(astronaut, 3, moving(3))] * 40) as address:
        camera = address.replace("//", "//me:secret@")
        frames = list(mien.track(camera, classifier, detector=Told(lambda number: moving(3))))
    assert 1 <= len(frames) <= 40
    assert ([frame.number for frame in frames], frames[0].time_seconds) == (list(range(len(frames))), 0)
    said = frames[0].to_dict()
    assert (said["frame"], said["time_seconds"], said["faces"][0]["track"]) == (0, 0, 1)
    assert "source" not in json.loads(json.dumps(said))["faces"][0]
    (face,) = frames[-1].faces
    assert (face.track, face.prediction.source) == (1, address.replace("//", "//me:***@"))
    assert abs(face.prediction.box.left - moving(3)[0].left) <= 3
    changed = np.asarray(frames[-1].draw()).astype(int) - frames[-1].rgb
    assert np.abs(changed)[face.prediction.box.top :, face.prediction.box.left :].max() > 50


@contextlib.contextmanager
def camera_at(frames):
    """The address of a server on this machine that sends frames as a camera does."""

    class Stream(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            for rgb in frames:
                jpeg = encoded(rgb, "JPEG", quality=95)
                with contextlib.suppress(OSError):
                    self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\n\r\n" + jpeg + b"\r\n")

        def log_message(self, *words):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stream) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/camera"
        server.shutdown()


@pytest.mark.parametrize("source", [True, None, 1.5])
def test_track_rejects_other_sources(classifier, source):
    """Python counts True as 1, which is no camera's number."""
    with raises(DataError, "options", type(source).__name__):
        mien.track(source, classifier, detector=Told(moving))


@pytest.mark.parametrize("source", [97, "97", -1, 1 << 40, "rtsp://127.0.0.1:9/x", "http://127.0.0.1:9/talk.mp4"])
def test_track_names_a_camera_or_stream_that_cannot_be_opened(classifier, source, capfd):
    with raises(DataError, "camera-missing", str(source)):
        mien.track(source, classifier, detector=Told(moving))
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are listed on Linux only")
def test_file_is_closed_when_its_frames_are_read_or_left(tmp_path, encode_video, classifier):
    path = encode_video(tmp_path / "clip.mp4", [np.zeros((16, 16, 3), dtype=np.uint8)] * 3)

    def is_open():
        return str(path) in {os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()}

    frames = mien.track(path, classifier, detector=Told(lambda number: []))
    assert is_open()
    assert len(list(frames)) == 3
    assert not is_open()
    for _ in mien.track(path, classifier, detector=Told(lambda number: [])):
        break
    assert not is_open()


def at(left, top=100, size=60):
    return Face(Box(left, top, size, size), 1.0, {"nose": (left + size / 2, top + size / 2)})


def update(tracker, seconds, *lefts):
    """The number of each face's track."""
    return [track.number for track in tracker.update(seconds, [at(left) for left in lefts])]


def numbers(tracks):
    return [track.number for track in tracks]


def test_tracks_keep_their_numbers_in_any_order_of_detection():
    tracker, shuffle = IouTracker(), np.random.default_rng(0)
    starts = [(100 * (face % 5), 100 * (face // 5)) for face in range(20)]
    assert numbers(tracker.update(0, [at(*start) for start in starts])) == list(range(1, 21))
    for step in range(1, 10):
        order = shuffle.permutation(20)
        faces = [at(starts[face][0] + 4 * step, starts[face][1] - 3 * step) for face in order]
        assert numbers(tracker.update(0.1 * step, faces)) == [face + 1 for face in order]


@pytest.mark.parametrize("gap", [0.6, 1.2, 5])
def test_track_ends_after_its_patience_and_never_between_two_detections(gap):
    tracker = IouTracker()
    for step in range(5):
        assert update(tracker, gap * step, 5 * step) == [1]
    missed = gap * 5
    update(tracker, missed)
    assert update(tracker, missed + 0.9 * PATIENCE_SECONDS, 25) == [1]
    update(tracker, missed + 2)
    assert (update(tracker, missed + 2.1 + PATIENCE_SECONDS, 25), numbers(tracker.tracks)) == ([2], [2])


def test_track_follows_a_steady_motion_further_than_its_boxes_overlap():
    """Oracle: steps of 50 px of a face 60 px wide, whose boxes overlap by a tenth; and a box that jumps is another."""
    tracker = IouTracker()
    assert [update(tracker, 0.1 * step, left) for step, left in enumerate((0, 30, 70, 120, 170))] == [[1]] * 5
    assert update(tracker, 0.6, 400) == [2]
    tracker = IouTracker()
    update(tracker, 0, 0)
    for seconds in (0.3, 0.6, 0.9):
        update(tracker, seconds)
        assert (numbers(tracker.visible), numbers(tracker.tracks)) == ([], [1])
    assert update(tracker, 1.0, 10) == [1]
    # Patience begins again with each detection.
    assert update(tracker, 1.0 + PATIENCE_SECONDS, 20) == [1]


def test_interpolation_moves_box_and_landmarks_and_keeps_the_first_score():
    first, last = Face(Box(0, 0, 10, 20), 0.9, {"nose": (5, 5)}), Face(Box(40, 20, 30, 40), 0.5, {"nose": (45.0, 25.0)})
    assert interpolate(first, last, 0.25) == Face(Box(10, 5, 15, 25), 0.9, {"nose": (15.0, 10.0)})
    # Oracle: 20 px in 0.1 s, by hand.
    tracker = IouTracker()
    update(tracker, 0, 0)
    (track,) = tracker.update(0.1, [at(20)])
    assert [track.at(seconds).box.left for seconds in (0.1, 0.15, 0.2, 0.9)] == [20, 30, 40, 40]
    assert track.at(0.2).landmarks == {"nose": (70, 130)}


@given(st.lists(st.floats(0.001, 2.0), min_size=1, max_size=12), st.floats(0.05, 1.0))
def test_smoothing_does_not_depend_on_the_frame_rate(gaps, half_life):
    """Oracle: the closed form of a step from 0 to 1: 1 - 2 ** (-t / half-life) at any time."""
    track = Track(1, at(0))
    assert track.smoothed(5.0, np.array([0.0, 1.0]), half_life) == pytest.approx([0.0, 1.0])
    seconds = 5.0
    for gap in gaps:
        seconds += gap
        risen = 1 - 2 ** (-(seconds - 5.0) / half_life)
        assert track.smoothed(seconds, np.array([1.0, 0.0]), half_life) == pytest.approx([risen, 1 - risen])
