"""Real video files, encoded here: what is read of whole and damaged ones, and how other files are refused."""

import struct
import threading
import types
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.base.errors import DataError
from mien.video import camera
from mien.video import video_file as video_module
from mien.video.video_file import VideoFile
from support import raises

av = pytest.importorskip("av")

CORNERS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}


def corner_frame(height=32, width=48):
    """Red above left, green above right, blue below left, white below right."""
    frame = np.zeros((height, width, 3), dtype=np.uint8)
    half, middle = height // 2, width // 2
    frame[:half, :middle], frame[:half, middle:] = CORNERS["red"], CORNERS["green"]
    frame[half:, :middle], frame[half:, middle:] = CORNERS["blue"], CORNERS["white"]
    return frame


def corners(rgb):
    """The names of an image's corner colours: above left, above right, below left, below right."""
    height, width = rgb.shape[:2]
    points = [rgb[y, x].astype(int) for y in (height // 5, -height // 5) for x in (width // 5, -width // 5)]
    return [min(CORNERS, key=lambda name: np.abs(point - CORNERS[name]).sum()) for point in points]


def numbered(count, height=32, width=48):
    """Frames that say by their grey which they are."""
    return [np.full((height, width, 3), 10 + 200 * n // max(count - 1, 1), dtype=np.uint8) for n in range(count)]


def test_frames_come_in_order_with_their_times(tmp_path, encode_video):
    frames = numbered(30)
    path = encode_video(tmp_path / "clip.mp4", frames, rate=15)
    with VideoFile(path) as video:
        read = list(video.frames())
    assert (video.width, video.height, video.frame_rate, video.expected_frames) == (48, 32, 15, 30)
    assert [frame.number for frame in read] == list(range(30))
    assert [frame.seconds for frame in read] == pytest.approx([n / 15 for n in range(30)])
    for frame, made in zip(read, frames, strict=True):
        assert (frame.rgb.dtype, frame.rgb.mean()) == (np.uint8, pytest.approx(made.mean(), abs=3))
    assert (video.damaged, video.missing_seconds) == (0, 0)


# Of ISO/IEC 14496-12, 8.3.2 (a b u; c d v; x y w): x' = a x + c y, y' = b x + d y. What each does to the corners
# is worked out by hand from that.
MATRICES = {
    "as it is": ((1, 0, 0, 1), ["red", "green", "blue", "white"]),
    "quarter clockwise": ((0, 1, -1, 0), ["blue", "red", "white", "green"]),
    "half": ((-1, 0, 0, -1), ["white", "blue", "green", "red"]),
    "quarter anticlockwise": ((0, -1, 1, 0), ["green", "white", "red", "blue"]),
    "mirrored": ((-1, 0, 0, 1), ["green", "red", "white", "blue"]),
    "upside down": ((1, 0, 0, -1), ["blue", "white", "red", "green"]),
    "mirrored and turned": ((0, 1, 1, 0), ["red", "blue", "green", "white"]),
}


@pytest.mark.parametrize("turn", MATRICES)
def test_rotated_videos_are_turned_upright(tmp_path, encode_video, turn):
    (a, b, c, d), expected = MATRICES[turn]
    path = encode_video(tmp_path / "clip.mp4", [corner_frame()] * 3)
    # Written into the file's own track header, as a phone does.
    content = bytearray(path.read_bytes())
    at, one = content.index(b"tkhd") + 4 + 40, 1 << 16
    content[at : at + 36] = struct.pack(">9i", a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    with VideoFile(path) as video:
        read = [frame.rgb for frame in video.frames()]
    assert ((video.width, video.height), len(read)) == ((32, 48) if a == 0 else (48, 32), 3)
    for rgb in read:
        assert rgb.shape == (video.height, video.width, 3)
        assert rgb.flags.c_contiguous
        assert corners(rgb) == expected


def test_pixels_become_square(tmp_path, encode_video):
    path = encode_video(tmp_path / "clip.mp4", [corner_frame()] * 2, aspect=Fraction(4, 3))
    with VideoFile(path) as video:
        assert (video.width, video.height, {frame.rgb.shape for frame in video.frames()}) == (64, 32, {(32, 64, 3)})
    # A recording that was cut out of a longer one begins at its own five seconds.
    path = encode_video(tmp_path / "clip.mkv", numbered(3), seconds=[5.0, 5.1, 5.3])
    with VideoFile(path) as video:
        assert video.start_seconds == 5
        assert [frame.seconds for frame in video.frames()] == pytest.approx([0, 0.1, 0.3], abs=1e-3)
    first, *others = [Image.fromarray(frame) for frame in numbered(4)]
    first.save(tmp_path / "clip.gif", save_all=True, append_images=others, duration=100)
    with VideoFile(tmp_path / "clip.gif") as video:
        assert len(list(video.frames())) == 4


@pytest.mark.parametrize("name", ["clip.mkv", "clip.avi", "clip.mov", "clip.ts", "clip.h264"])
def test_other_containers_are_read(tmp_path, encode_video, name):
    path = encode_video(tmp_path / name, numbered(12), rate=25)
    with VideoFile(path) as video:
        seconds = [frame.seconds for frame in video.frames()]
    assert (len(seconds), np.diff(seconds)) == (12, pytest.approx(np.full(11, 1 / 25), abs=1.1e-3))
    assert (seconds[0], video.damaged, video.missing_seconds) == (pytest.approx(0, abs=0.1), 0, 0)


def test_times_never_go_back(tmp_path, encode_video):
    """Two recordings joined: each has times of its own. None is lost, and time goes on at the mean rate."""
    (tmp_path / "joined.ts").write_bytes(2 * encode_video(tmp_path / "part.ts", numbered(20)).read_bytes())
    with VideoFile(tmp_path / "joined.ts") as video:
        read = list(video.frames())
    assert np.diff([frame.seconds for frame in read]) == pytest.approx(np.full(39, 1 / 30), abs=1e-4)
    assert read[25].rgb.mean() == pytest.approx(numbered(20)[5].mean(), abs=3)


@pytest.mark.parametrize("sizes", [((32, 48), (48, 32)), ((48, 32), (96, 64), (32, 32))])
def test_frames_keep_their_own_size(tmp_path, encode_video, sizes):
    """Recordings of several sizes joined, as by a phone that is turned. Oracle: the recordings alone."""
    parts = [np.repeat(np.repeat(corner_frame(), 3, 0), 3, 1)[:height, :width] for height, width in sizes]
    files = [encode_video(tmp_path / f"{n}.ts", [part] * 4).read_bytes() for n, part in enumerate(parts)]
    (tmp_path / "joined.ts").write_bytes(b"".join(files))
    with VideoFile(tmp_path / "joined.ts") as video:
        read = [frame.rgb for frame in video.frames()]
    assert [rgb.shape[:2] for rgb in read] == [size for size in sizes for _ in range(4)]
    assert ((video.height, video.width), video.resized) == (sizes[0], 4 * len(sizes[1:]))
    for rgb, part in zip(read[::4], parts, strict=True):
        assert np.abs(rgb.astype(int) - part).mean() < 8


def noise(count):
    """Frames that hardly compress: a cut through their file cuts frames off."""
    return list(np.random.default_rng(0).integers(0, 256, (count, 32, 48, 3), dtype=np.uint8))


@pytest.mark.parametrize(("name", "index_first"), [("clip.mp4", True), ("clip.mkv", False), ("clip.ts", False)])
def test_truncated_file_is_read_to_its_end(tmp_path, encode_video, name, index_first):
    path = encode_video(tmp_path / name, noise(30), index_first=index_first)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with VideoFile(path) as video:
        count = len(list(video.frames()))
    assert 10 <= count <= 20
    if name != "clip.ts":
        # A transport stream does not say how long it is.
        assert video.missing_seconds * 30 == pytest.approx(30 - count, abs=0.1)


def test_damaged_frames_are_counted_and_skipped(tmp_path, encode_video):
    """Some frames of a file in which each stands for itself are overwritten; one alone is no gap."""
    path = encode_video(tmp_path / "clip.mov", noise(12), codec="png")
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0)]
    for lost in ([5], [5, 6, 7, 8]):
        for packet in (packets[number] for number in lost):
            path.write_bytes(path.read_bytes().replace(packet, b"\x5a" * len(packet)))
        with VideoFile(path) as video:
            seconds = [frame.seconds for frame in video.frames()]
        assert seconds == pytest.approx([n / 30 for n in range(12) if n not in lost], abs=1e-3)
        assert (video.damaged, video.missing_seconds) == (len(lost), 0)
        assert video.gap_seconds == pytest.approx(len(lost) / 30 if len(lost) > 2 else 0, abs=1e-3)


def test_video_file_rejects_other_files(tmp_path, encode_video):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "words.txt").write_text("FFmpeg would draw these words as a video.\n" * 20)
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\n/etc/hostname\n#EXT-X-ENDLIST\n")
    (tmp_path / "list.ffconcat").write_text("ffconcat version 1.0\nfile clip.mp4\n")
    Image.fromarray(noise(1)[0]).save(tmp_path / "face.png")
    cut = encode_video(tmp_path / "cut.mp4", noise(10))
    # Its index stood at its end.
    cut.write_bytes(cut.read_bytes()[:-2000])
    for name in ("empty.mp4", "words.txt", "list.m3u8", "list.ffconcat", "cut.mp4", "face.png"):
        hint = "mien predict" if name == "face.png" else ""
        with raises(DataError, "video-unreadable", tmp_path / name, hint):
            VideoFile(tmp_path / name)
    for path, code in ((tmp_path / "nothing.mp4", "file-missing"), (tmp_path, "video-unreadable")):
        with raises(DataError, code, path):
            VideoFile(path)


def test_video_file_rejects_sound_alone(tmp_path):
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48_000, layout="mono")
        for start in range(0, 10_240, 1024):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 48_000, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with raises(DataError, "video-unreadable", path, "only sound"):
        VideoFile(path)


@pytest.mark.parametrize(("name", "codec"), [("clip.mp4", b"avc1"), ("clip.mkv", b"V_MPEG4/ISO/AVC")])
def test_video_file_rejects_unknown_codecs(tmp_path, encode_video, name, codec):
    path = encode_video(tmp_path / name, noise(3), sound="aac")
    content = path.read_bytes()
    assert codec in content
    path.write_bytes(content.replace(codec, codec[:-3] + b"XYZ"))
    with raises(DataError, "video-unreadable", path):
        VideoFile(path)


def test_video_file_rejects_large_frames_before_decoding(tmp_path, encode_video, monkeypatch):
    path = encode_video(tmp_path / "clip.mp4", noise(1))
    monkeypatch.setattr(video_module, "MAXIMUM_PIXELS", 48 * 32 - 1)
    monkeypatch.setattr(VideoFile, "_decode", lambda self: pytest.fail("decoded"))
    with raises(DataError, "video-unreadable", "48 x 32", "1,535"):
        VideoFile(path)


@pytest.mark.parametrize("name", ["0", "rtsp://127.0.0.1:9/x", "https://example.org/live.m3u8"])
def test_video_file_names_the_function_for_cameras(name):
    with raises(DataError, "video-unreadable", f"{name} is a camera", "mien webcam", "mien.track"):
        VideoFile(Path(name))


pytest.importorskip("av")


class Container:
    """One frame of this brightness, and once it is taken the end, or an error."""

    def __init__(self, value, error=None):
        self.value, self.error, self.closed, self.taken = value, error, False, threading.Event()

    def decode(self, video):
        yield types.SimpleNamespace(to_ndarray=self.pixels)
        assert self.taken.wait(30)
        if self.error is not None:
            raise self.error

    def pixels(self, format):
        self.taken.set()
        return np.full((2, 2, 3), self.value, dtype=np.uint8)

    def close(self):
        self.closed = True


@pytest.fixture
def opened(monkeypatch):
    """Open these one after the other; None, and what is after the last, cannot be opened."""

    def prepare(*containers):
        left = iter(containers)

        def open_next(source):
            if (container := next(left, None)) is None:
                raise DataError("no", code="camera-missing")
            return container

        monkeypatch.setattr(camera, "_open", open_next)

    monkeypatch.setattr(camera.time, "sleep", lambda seconds: None)
    return prepare


@pytest.mark.parametrize(("source", "error"), [(0, None), (0, OSError()), ("rtsp://a/b", OSError())])
def test_lost_camera_is_reopened(opened, source, error):
    first, second = Container(10, error), Container(20, error)
    opened(first, None, second)
    shown = []
    with pytest.warns(match="was lost") as caught, raises(DataError, "camera-missing", "connected"):
        shown.extend(int(rgb.max()) for _, rgb in camera.live_frames(source))
    assert [each.message.code for each in caught] == ["camera-missing"] * 2
    assert (shown, first.closed, second.closed) == ([10, 20], True, True)


def test_ended_stream_is_not_reopened(opened):
    opened(Container(10))
    assert [rgb.max() for _, rgb in camera.live_frames("rtsp://a/b")] == [10]
