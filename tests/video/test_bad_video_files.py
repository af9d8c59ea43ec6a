"""Video files that are damaged, cut off, or no video: what is read of them, how they are refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.base.errors import DataError
from mien.video import video_file as video_module
from mien.video.video_file import VideoFile
from support import raises

av = pytest.importorskip("av")


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
        with raises(DataError, "video-format", tmp_path / name, hint):
            VideoFile(tmp_path / name)
    for path, code in ((tmp_path / "nothing.mp4", "file-missing"), (tmp_path, "video-folder")):
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
    with raises(DataError, "video-stream-missing", path, "only sound"):
        VideoFile(path)


@pytest.mark.parametrize(("name", "codec"), [("clip.mp4", b"avc1"), ("clip.mkv", b"V_MPEG4/ISO/AVC")])
def test_video_file_rejects_unknown_codecs(tmp_path, encode_video, name, codec):
    path = encode_video(tmp_path / name, noise(3), sound="aac")
    content = path.read_bytes()
    assert codec in content
    path.write_bytes(content.replace(codec, codec[:-3] + b"XYZ"))
    with raises(DataError, "video-codec", path):
        VideoFile(path)


def test_video_file_rejects_large_frames_before_decoding(tmp_path, encode_video, monkeypatch):
    path = encode_video(tmp_path / "clip.mp4", noise(1))
    monkeypatch.setattr(video_module, "MAXIMUM_PIXELS", 48 * 32 - 1)
    monkeypatch.setattr(VideoFile, "_decode", lambda self: pytest.fail("decoded"))
    with raises(DataError, "video-pixels", "48 x 32", "1,535"):
        VideoFile(path)


@pytest.mark.parametrize("name", ["0", "rtsp://127.0.0.1:9/x", "https://example.org/live.m3u8"])
def test_video_file_names_the_function_for_cameras(name):
    with raises(DataError, "video-live", f"{name} is a camera", "mien webcam", "mien.track"):
        VideoFile(Path(name))
