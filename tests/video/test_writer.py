"""Videos written, decoded again: frames out are frames in, at their times, with the sound."""

import numpy as np
import pytest

from mien.errors import RunError
from mien.video import writer as writer_module
from mien.video.sound import AudioTrack
from mien.video.video_file import VideoFile
from mien.video.writer import VideoWriter
from support import raises

av = pytest.importorskip("av")


def copied(source, target, change=lambda rgb: rgb):
    """A video written as it is read; the writer, and the times of its frames."""
    with VideoFile(source) as video, VideoWriter(target, video) as writer:
        seconds = []
        for frame in video.frames():
            writer.add(change(frame.rgb), frame.pts)
            seconds.append(frame.seconds)
    return writer, seconds


def decoded(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return stream, [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(stream)]


def shades(count, height=32, width=48):
    """Frames that say by their colour which they are."""
    return [
        np.full((height, width, 3), (30 + 5 * number, 120, 230 - 5 * number), dtype=np.uint8) for number in range(count)
    ]


@pytest.mark.parametrize(
    "seconds",
    [None, [0, 0.03, 0.5, 0.51, 2.0, 2.25], [0.2, 0.3, 0.4, 0.5, 0.6, 0.7]],
    ids=["equal", "variable", "late"],
)
def test_frames_out_are_frames_in_at_their_times(tmp_path, encode_video, seconds):
    frames = shades(6)
    encode_video(tmp_path / "in.mp4", frames, seconds=seconds)
    writer, at = copied(tmp_path / "in.mp4", tmp_path / "out.mp4")
    stream, written = decoded(tmp_path / "out.mp4")
    assert writer.frames == len(written) == 6
    assert [time for time, _ in written] == pytest.approx(at, abs=1e-3)
    for made, (_, rgb) in zip(frames, written, strict=True):
        # Colours survive the way to YUV and back: both ways say BT.601.
        assert np.abs(rgb.astype(int).mean(axis=(0, 1)) - made[0, 0]).max() < 6
    assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")


@pytest.mark.parametrize(("height", "width"), [(33, 47), (1, 1), (2, 301)])
def test_odd_sizes_grow_by_their_last_pixels(tmp_path, encode_video, height, width):
    frame = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    encode_video(tmp_path / "in.mkv", [frame] * 3, codec="ffv1")
    copied(tmp_path / "in.mkv", tmp_path / "out.mp4", lambda rgb: np.full_like(rgb, 99))
    stream, written = decoded(tmp_path / "out.mp4")
    assert (stream.width, stream.height) == (width + width % 2, height + height % 2)
    assert len(written) == 3
    assert written[1][1].mean() == pytest.approx(99, abs=4)


@pytest.mark.parametrize(("name", "codec", "kept"), [("in.mp4", "aac", "aac"), ("in.mkv", "libopus", "opus"),
                                                      ("in.avi", "pcm_s16le", None)])  # fmt: skip
def test_sound_is_copied_where_an_mp4_can_hold_it(tmp_path, encode_video, name, codec, kept):
    encode_video(tmp_path / name, shades(45), sound=codec)
    writer, _ = copied(tmp_path / name, tmp_path / "out.mp4")
    assert writer.sound.codec == kept
    with av.open(str(tmp_path / name)) as source, av.open(str(tmp_path / "out.mp4")) as target:
        assert len(target.streams.audio) == bool(kept)
        if kept:
            assert target.streams.audio[0].codec_context.name == kept
            # Packet by packet, the same bytes.
            there, here = (
                [bytes(packet) for packet in container.demux(audio=0) if packet.size] for container in (source, target)
            )
            assert here == there
    assert len(decoded(tmp_path / "out.mp4")[1]) == 45


def test_sound_that_ffmpeg_does_not_know_is_left_out(tmp_path, encode_video):
    path = encode_video(tmp_path / "in.mkv", shades(6), sound="aac")
    content = path.read_bytes()
    assert b"A_AAC" in content
    path.write_bytes(content.replace(b"A_AAC", b"A_XYZ"))
    writer, _ = copied(path, tmp_path / "out.mp4")
    assert writer.sound.codec is None
    assert len(decoded(tmp_path / "out.mp4")[1]) == 6
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert not container.streams.audio


def test_sound_whose_header_is_damaged_is_left_out(tmp_path, encode_video):
    """FFmpeg says so when the file is written whole, which would cost the pictures too."""
    path = encode_video(tmp_path / "in.mkv", shades(6), sound="libopus")
    content = path.read_bytes()
    # The element CodecPrivate gets a number that nobody knows.
    assert b"\x63\xa2\x93OpusHead" in content
    path.write_bytes(content.replace(b"\x63\xa2\x93OpusHead", b"\x63\xff\x93OpusHead"))
    writer, _ = copied(path, tmp_path / "out.mp4")
    assert writer.sound.codec is None
    assert len(decoded(tmp_path / "out.mp4")[1]) == 6


def test_of_two_sounds_the_first_that_can_be_copied_is(tmp_path, encode_video):
    """Two tracks: one that an MP4 cannot hold, then one that it can."""
    with (
        av.open(str(encode_video(tmp_path / "one.mkv", shades(6), sound="pcm_s16le"))) as one,
        av.open(str(encode_video(tmp_path / "two.mp4", shades(6), sound="aac"))) as two,
        av.open(str(tmp_path / "in.mkv"), "w") as both,
    ):
        sources = [(one, one.streams.video[0]), (one, one.streams.audio[0]), (two, two.streams.audio[0])]
        targets = [both.add_stream_from_template(stream) for _, stream in sources]
        for (container, stream), target in zip(sources, targets, strict=True):
            container.seek(0)
            for packet in container.demux(stream):
                if packet.dts is not None:
                    packet.stream = target
                    both.mux(packet)
    writer, _ = copied(tmp_path / "in.mkv", tmp_path / "out.mp4")
    assert writer.sound.codec == "aac"


def times(path, kind):
    """When a stream's packets are seen or heard, in order."""
    with av.open(str(path)) as container:
        (stream,) = (stream for stream in container.streams if stream.type == kind)
        packets = container.demux(stream)
        return sorted(float(packet.pts * packet.time_base) for packet in packets if packet.pts is not None)


def test_pictures_and_sound_stay_together_where_recordings_are_joined(tmp_path, encode_video):
    part = encode_video(tmp_path / "part.ts", shades(45), sound="aac").read_bytes()
    (tmp_path / "in.ts").write_bytes(3 * part)
    writer, _ = copied(tmp_path / "in.ts", tmp_path / "out.mp4")
    seen, heard = times(tmp_path / "out.mp4", "video"), times(tmp_path / "out.mp4", "audio")
    assert np.diff(seen) == pytest.approx(np.full(134, 1 / 30), abs=1e-3)
    # Of a packet of 1024 samples at 48 kHz; two that lie over each other at a seam are one, or a hole of one is left.
    step = 1024 / 48_000
    assert 0 < min(np.diff(heard)) <= max(np.diff(heard)) < 2.2 * step
    alone = times(tmp_path / "part.ts", "audio")
    lead = alone[0] - times(tmp_path / "part.ts", "video")[0]
    for part in range(3):
        # Each part's sound begins as far from its pictures as in the part alone.
        begins = seen[45 * part] + lead
        assert min(abs(time - begins) for time in heard) < 0.6 * step
    assert 3 * len(alone) - 3 <= len(heard) <= 3 * len(alone)
    assert writer.sound.lost_seconds < 3 * step


def sounding(monkeypatch, change):
    """Let ``change(packet, number)`` damage the packets of the sound that is read."""
    read = AudioTrack._read

    def damaged(self, stream):
        for number, packet in enumerate(read(self, stream)):
            change(packet, number)
            yield packet

    monkeypatch.setattr(AudioTrack, "_read", damaged)


def test_sound_that_jumps_back_alone_ends_there(tmp_path, encode_video, monkeypatch):
    """Nobody knows where it belongs."""

    def change(packet, number):
        packet.dts -= 48_000 * (number >= 50)
        packet.pts -= 48_000 * (number >= 50)

    path = encode_video(tmp_path / "in.mp4", shades(45), sound="aac")
    whole = len(times(path, "audio"))
    sounding(monkeypatch, change)
    writer, _ = copied(path, tmp_path / "out.mp4")
    assert len(times(tmp_path / "out.mp4", "video")) == 45
    assert len(times(tmp_path / "out.mp4", "audio")) == 50
    assert writer.sound.lost_seconds == pytest.approx((whole - 50) * 1024 / 48_000, abs=0.02)


def before_decoded(packet, number):
    """Heard before it is decoded: no container takes that."""
    packet.pts -= 2000 * (number in (7, 8))


def overlapping(packet, number):
    """As at a seam where the sound of the first recording reaches into the second."""
    packet.dts -= 2 * 1024 * (number >= 50)
    packet.pts -= 2 * 1024 * (number >= 50)


@pytest.mark.parametrize("change", [before_decoded, overlapping])
def test_packets_of_sound_that_are_refused_cost_no_pictures(tmp_path, encode_video, monkeypatch, change):
    path = encode_video(tmp_path / "in.mp4", shades(45), sound="aac")
    whole = len(times(path, "audio"))
    sounding(monkeypatch, change)
    writer, _ = copied(path, tmp_path / "out.mp4")
    assert len(times(tmp_path / "out.mp4", "video")) == 45
    assert len(times(tmp_path / "out.mp4", "audio")) == whole - 2
    assert writer.sound.lost_seconds == pytest.approx(2 * 1024 / 48_000)


def test_without_x264_it_is_mpeg4(tmp_path, encode_video, monkeypatch):
    monkeypatch.setattr(writer_module, "ENCODERS", writer_module.ENCODERS[1:])
    seconds = [0, 0.03, 0.5, 0.51, 2.0, 2.25]
    encode_video(tmp_path / "in.mp4", shades(6), seconds=seconds)
    writer, _ = copied(tmp_path / "in.mp4", tmp_path / "out.mp4")
    stream, written = decoded(tmp_path / "out.mp4")
    assert writer.encoder == stream.codec_context.name == "mpeg4"
    assert [time for time, _ in written] == pytest.approx(seconds, abs=1e-3)


def test_what_the_encoder_refuses_is_said_in_a_line(tmp_path, encode_video):
    """x264 knows no frame wider than 16,384 pixels."""
    encode_video(tmp_path / "in.mkv", [np.zeros((2, 17_000, 3), dtype=np.uint8)], codec="ffv1")
    with raises(RunError, "video-unwritable") as error:
        copied(tmp_path / "in.mkv", tmp_path / "out.mp4")
    assert "17000 x 2" in str(error.value)
    assert "\n" not in str(error.value)
