"""Videos written, decoded again: frames out are frames in, at their times."""

import numpy as np
import pytest

from mien.base.errors import RunError
from mien.video.video_file import VideoFile, VideoWriter
from support import raises

av = pytest.importorskip("av")


def copied(source, target, change=lambda rgb: rgb):
    """A video written as it is read; the times of its frames."""
    with VideoFile(source) as video, VideoWriter(target, video) as writer:
        seconds = []
        for frame in video.frames():
            writer.add(change(frame.rgb), frame.pts)
            seconds.append(frame.seconds)
    return seconds


def decoded(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return stream, [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(stream)]


def shades(count, height=32, width=48):
    """Frames that say by their colour which they are."""
    return [np.full((height, width, 3), (30 + 5 * at, 120, 230 - 5 * at), dtype=np.uint8) for at in range(count)]


@pytest.mark.parametrize(
    "seconds",
    [None, [0, 0.03, 0.5, 0.51, 2.0, 2.25], [0.2, 0.3, 0.4, 0.5, 0.6, 0.7]],
    ids=["equal", "variable", "late"],
)
def test_writer_keeps_frames_and_times(tmp_path, encode_video, seconds):
    frames = shades(6)
    encode_video(tmp_path / "in.mp4", frames, seconds=seconds)
    at = copied(tmp_path / "in.mp4", tmp_path / "out.mp4")
    stream, written = decoded(tmp_path / "out.mp4")
    assert (len(written), [time for time, _ in written]) == (6, pytest.approx(at, abs=1e-3))
    for made, (_, rgb) in zip(frames, written, strict=True):
        # Colours survive the way to YUV and back: both ways say BT.601.
        assert np.abs(rgb.astype(int).mean(axis=(0, 1)) - made[0, 0]).max() < 6
    assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")


@pytest.mark.parametrize(("height", "width"), [(33, 47), (1, 1), (2, 301)])
def test_writer_makes_odd_sizes_even(tmp_path, encode_video, height, width):
    frame = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    encode_video(tmp_path / "in.mkv", [frame] * 3, codec="ffv1")
    copied(tmp_path / "in.mkv", tmp_path / "out.mp4", lambda rgb: np.full_like(rgb, 99))
    stream, written = decoded(tmp_path / "out.mp4")
    assert (stream.width, stream.height, len(written)) == (width + width % 2, height + height % 2, 3)
    assert written[1][1].mean() == pytest.approx(99, abs=4)


def test_writer_fits_frames_of_another_size_between_bars(tmp_path, encode_video):
    """Oracle: 32 x 48 fits into 48 x 32 as 21 x 32, in the middle."""
    encode_video(tmp_path / "in.mkv", [np.full((32, 48, 3), 200, dtype=np.uint8)] * 2, codec="ffv1")
    copied(tmp_path / "in.mkv", tmp_path / "out.mp4", lambda rgb: rgb.transpose(1, 0, 2))
    _, written = decoded(tmp_path / "out.mp4")
    bright = written[1][1].mean(axis=(0, 2)) > 100
    assert (bright.sum(), bright[14:35].all()) == (21, True)


def test_writer_names_the_size_that_the_encoder_rejects(tmp_path, encode_video):
    """x264 knows no frame wider than 16,384 pixels."""
    encode_video(tmp_path / "in.mkv", [np.zeros((2, 17_000, 3), dtype=np.uint8)], codec="ffv1")
    with raises(RunError, "file-unwritable", "17000 x 2"):
        copied(tmp_path / "in.mkv", tmp_path / "out.mp4")


def heard(path, track=0):
    """The packets of a sound track: their times in seconds, and their bytes."""
    with av.open(str(path)) as container:
        packets = container.demux(container.streams.audio[track]) if container.streams.audio else ()
        return [(float(each.pts * each.time_base), bytes(each)) for each in packets if each.pts is not None]


@pytest.mark.parametrize(("name", "sound", "fits"), [("in.mp4", "aac", True), ("in.avi", "pcm_mulaw", False)])
def test_writer_copies_sound_that_an_mp4_can_hold(tmp_path, encode_video, name, sound, fits):
    encode_video(tmp_path / name, shades(30), sound=sound)
    copied(tmp_path / name, tmp_path / "out.mp4")
    source, copy = heard(tmp_path / name), heard(tmp_path / "out.mp4")
    assert [content for _, content in copy] == [content for _, content in source if fits]
    assert [at for at, _ in copy] == pytest.approx([at for at, _ in source if fits], abs=0.03)


def test_writer_copies_sound_whose_speakers_are_not_named(tmp_path, encode_video):
    encode_video(tmp_path / "in.mkv", shades(30), sound="pcm_s16le")
    copied(tmp_path / "in.mkv", tmp_path / "out.mp4")
    source, copy = (b"".join(packet for _, packet in heard(tmp_path / name)) for name in ("in.mkv", "out.mp4"))
    assert copy == source != b""


def test_writer_copies_every_sound_track_with_its_language(tmp_path, encode_video):
    """Oracle: the packets of a file with two tracks, such as a microphone and the desktop."""
    source = encode_video(tmp_path / "one.mp4", shades(30), sound="aac")
    with av.open(str(source)) as one, av.open(str(tmp_path / "two.mp4"), "w") as two:
        streams = one.streams.video[0], one.streams.audio[0], one.streams.audio[0]
        tracks = [two.add_stream_from_template(stream) for stream in streams]
        tracks[2].metadata["language"] = "deu"
        for track, stream in zip(tracks, streams, strict=True):
            one.seek(0)
            for packet in one.demux(stream):
                if packet.dts is not None:
                    packet.stream = track
                    two.mux(packet)
    copied(tmp_path / "two.mp4", tmp_path / "out.mp4")
    for track in range(2):
        source, copy = heard(tmp_path / "two.mp4", track), heard(tmp_path / "out.mp4", track)
        assert [content for _, content in copy] == [content for _, content in source]
        assert [at for at, _ in copy] == pytest.approx([at for at, _ in source], abs=0.03)
    with av.open(str(tmp_path / "out.mp4")) as out:
        assert [track.language for track in out.streams.audio] == ["und", "deu"]


def test_writer_leaves_out_sound_of_an_unknown_codec(tmp_path, encode_video):
    encode_video(tmp_path / "in.mkv", shades(30), sound="aac")
    content = (tmp_path / "in.mkv").read_bytes()
    assert content.count(b"A_AAC") == 1
    (tmp_path / "in.mkv").write_bytes(content.replace(b"A_AAC", b"A_XXX"))
    copied(tmp_path / "in.mkv", tmp_path / "out.mp4")
    assert heard(tmp_path / "out.mp4") == []


def test_writer_copies_sound_until_its_times_go_back(tmp_path, encode_video):
    """Two streams one after the other, as recorders split them."""
    encode_video(tmp_path / "one.ts", shades(30), sound="aac")
    (tmp_path / "two.ts").write_bytes((tmp_path / "one.ts").read_bytes() * 2)
    copied(tmp_path / "two.ts", tmp_path / "out.mp4")
    times = [at for at, _ in heard(tmp_path / "out.mp4")]
    assert times == sorted(set(times))
    assert len(times) >= len(heard(tmp_path / "one.ts"))
