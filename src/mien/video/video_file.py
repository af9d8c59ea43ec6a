"""Read a video file as a player shows it, each frame upright and with its time; write one as an MP4 for all players."""

import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps

from mien.base.arrays import Array, Pixels
from mien.base.errors import DataError, RunError, needs_extra, without_password
from mien.base.files import expand_home, refuse_pointer
from mien.base.images import IMAGE_SUFFIXES, missing_file

if TYPE_CHECKING:
    from av import VideoFrame

MAXIMUM_PIXELS = 8192 * 4320
"""Largest number of pixels of a frame, from H.264's levels. Larger frames are refused before decoding."""

# Supported formats. Allow only these: FFmpeg can also open playlists of other files and addresses, and text as video.
_FORMATS = "mov,matroska,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,gif,apng,h264,hevc,m4v,mjpeg,ivf,obu,dv,mxf,"
_FORMATS += "yuv4mpegpipe,nut,rm,wtv"
_NO_VIDEO = "is not a video in a supported format (MP4, MOV, MKV, WebM, AVI, MPEG, FLV, WMV, OGG, GIF), or incomplete"


@dataclass(frozen=True, eq=False)
class DecodedFrame:
    """An upright frame, uint8 (H, W, 3), and its time from the start in units of ``time_base``, strictly rising."""

    number: int
    pts: int
    seconds: float
    rgb: Pixels


class VideoFile:
    """A video file that can be decoded once from its start. Use it in a ``with`` block, which closes the file.

    Attributes:
        width: width of its first frame, upright, in pixels.
        height: height of its first frame.
        time_base: duration of one time unit, in seconds.
        frame_rate: mean frames per second, stated by the file or estimated by FFmpeg.
        expected_frames: number of frames, stated by the file or estimated; None if unknown.
        start_seconds: timestamp of the file's start.
        streams: number of video streams in the file; the first is decoded.
        resized: number of frames so far with another size or orientation than the first: rotated phones, joined files.
        damaged: number of frames so far that could not be decoded completely.
        gap_seconds: total duration of the frames that are missing so far because of damage.
        missing_seconds: stated duration minus decoded duration; known only at the end.

    Raises:
        DataError: no such file (``file-missing``), no permission (``file-unreadable``), or a folder, another format or
            codec, no decodable frame, or frames over :data:`MAXIMUM_PIXELS` (``video-unreadable``).
        MissingExtraError: PyAV is not installed.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Path = expand_home(path)
        self._container = open_container(self.path)
        try:
            streams = self._container.streams.video
            # The cover image of a song is a video stream of one frame.
            moving = [stream for stream in streams if not stream.disposition & stream.disposition.attached_pic]
            if not moving:
                found = "only sound" if self._container.streams.audio else "nothing else"
                raise DataError(f"{self.path} has no video stream, {found}.", code="video-unreadable")
            known = [stream for stream in moving if stream.codec_context is not None]
            if not known:
                message = f"{self.path} has a codec that FFmpeg cannot decode here. Convert it to an MP4 with H.264."
                raise DataError(message, code="video-unreadable")
            self._stream, self.streams = known[0], len(moving)
            self._check_size(self._stream.codec_context.width, self._stream.codec_context.height)
            self._stream.thread_type = "AUTO"
            self.time_base: Fraction = Fraction(self._stream.time_base or Fraction(1, 90_000))
            self.frame_rate: Fraction = Fraction(self._stream.average_rate or self._stream.guessed_rate or 25)
            self._stated_seconds = self._find_stated_seconds()
            stated = self._stream.frames or round((self._stated_seconds or 0) * self.frame_rate)
            self.expected_frames: int | None = stated or None
            self.resized: int = 0
            self.damaged: int = 0
            self.gap_seconds: float = 0.0
            self.missing_seconds: float = 0.0
            self._decoded = self._decode()
            self._first: VideoFrame | None = next(self._decoded, None)
            if self._first is None:
                raise DataError(f"{self.path} has no frame that can be decoded.", code="video-unreadable")
            start = self._container.start_time
            first_seconds = (self._first.pts or 0) * self.time_base
            self.start_seconds: Fraction = first_seconds if start is None else Fraction(start, 1_000_000)
            width, height = self._square_pixels(self._first)
            self.width, self.height = (height, width) if _orientation(self._first)[0] else (width, height)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "VideoFile":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        # Freeing a decoder waits for its threads while holding Python's lock. A thread that drops a packet needs this
        # lock. Flushing first waits for the threads without the lock.
        for stream in self._container.streams.video:
            if stream.codec_context is not None:
                stream.codec_context.flush_buffers()
        self._container.close()

    def frames(self) -> Iterator[DecodedFrame]:
        """Yield all frames in the order of their times. The frames can be iterated only once."""
        frame, number, pts, known = self._first, 0, -1, 0
        self._first = None
        while frame is not None:
            following = next(self._decoded, None)
            last, pts = pts, self._place(frame, pts)
            gap = self._missing(float((pts - last - self._frame_units) * self.time_base)) if last >= 0 else 0.0
            # Files with a variable frame rate have gaps without damage. A gap may come some frames after the damage,
            # because decoding is ahead.
            if gap and self.damaged > known:
                self.gap_seconds, known = self.gap_seconds + gap, self.damaged
            yield DecodedFrame(number, pts, float(pts * self.time_base), self._upright(frame))
            number += 1
            frame = following
        end_seconds = float((pts + self._frame_units) * self.time_base)
        # Some files count the stated duration from their first timestamp, others from 0.
        missing = (self._stated_seconds or 0.0) - end_seconds - max(float(self.start_seconds), 0.0)
        self.missing_seconds = self._missing(missing)

    @property
    def _frame_units(self) -> int:
        return max(round(1 / (self.frame_rate * self.time_base)), 1)

    def _place(self, frame: "VideoFrame", last: int) -> int:
        # Raw streams have no times, and times in broken files may go back. Such a frame follows the last one directly.
        stated = None if frame.pts is None else round(frame.pts - self.start_seconds / self.time_base)
        if stated is not None and stated > last:
            return stated
        return last + self._frame_units if last >= 0 else 0

    def _decode(self) -> "Iterator[VideoFrame]":
        import av

        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except (av.FFmpegError, OSError):
                self.damaged += 1
                return
            try:
                decoded = packet.decode()
            except av.FFmpegError:
                self.damaged += 1
                continue
            for frame in decoded:
                self.damaged += bool(frame.is_corrupt)
                self._check_size(frame.width, frame.height)
                yield frame

    def _upright(self, frame: "VideoFrame") -> Pixels:
        width, height = self._square_pixels(frame)
        rgb: Array = frame.to_ndarray(format="rgb24", width=width, height=height)
        swap, flip_rows, flip_columns = _orientation(frame)
        rgb = rgb.transpose(1, 0, 2) if swap else rgb
        rgb = rgb[::-1] if flip_rows else rgb
        rgb = rgb[:, ::-1] if flip_columns else rgb
        self.resized += rgb.shape[:2] != (self.height, self.width)
        return np.ascontiguousarray(rgb)

    def _square_pixels(self, frame: "VideoFrame") -> tuple[int, int]:
        """Return width and height with square pixels, before the frame is rotated upright."""
        aspect = self._stream.sample_aspect_ratio
        # A more extreme aspect ratio means a damaged header.
        aspect = Fraction(1) if aspect is None or not Fraction(1, 4) <= aspect <= 4 else aspect
        width, height = max(round(frame.width * aspect), 1), frame.height
        self._check_size(width, height)
        return width, height

    def _check_size(self, width: int, height: int) -> None:
        if width * height > MAXIMUM_PIXELS:
            message = f"{self.path} has frames of {width} x {height}, over {MAXIMUM_PIXELS:,} pixels. Shrink it."
            raise DataError(message, code="video-unreadable")

    def _find_stated_seconds(self) -> float | None:
        if self._stream.duration is not None:
            return float(self._stream.duration * self.time_base)
        # The file's duration is that of its longest stream, so it is used only if there is a single stream.
        if self._container.duration is not None and len(self._container.streams) == 1:
            return float(self._container.duration) / 1_000_000
        return None

    def _missing(self, seconds: float) -> float:
        """Return the missing seconds, or 0 if rounding and unequal frame durations (up to two frames) explain them."""
        return seconds if seconds * self.frame_rate > 2.5 else 0.0


def open_container(path: Path) -> Any:
    """Open a video file. Raises the errors of :class:`VideoFile`."""
    with needs_extra("video", "Reading videos"):
        import av
    if path.is_dir():
        raise DataError(f"{path} is a folder; expected a video file.", code="video-unreadable")
    if not path.exists():
        # Path() turns the two slashes of an address into one.
        name = re.sub(r"^(\w+):/+", r"\1://", str(path))
        if re.fullmatch(r"[0-9]+|(rtsps?|rtmp|https?|udp)://.*", name):
            message = f"{without_password(name)} is a camera or address: use mien webcam, or mien.track in Python."
            raise DataError(message, code="video-unreadable")
        raise missing_file(path)
    try:
        return av.open(str(path.absolute()), options={"format_whitelist": _FORMATS})
    except av.error.PermissionError:
        raise DataError(f"{path} cannot be read: permission denied.", code="file-unreadable") from None
    except (av.FFmpegError, OSError, ValueError):
        refuse_pointer(path, DataError)
        hint = " For an image use: mien predict" if path.suffix.lower() in IMAGE_SUFFIXES else ""
        raise DataError(f"{path} {_NO_VIDEO}.{hint}", code="video-unreadable") from None


def _orientation(frame: "VideoFrame") -> tuple[bool, bool, bool]:
    """Return how to rotate a frame upright: whether to swap rows and columns, then flip the rows, then the columns.

    Of the display matrix (ISO/IEC 14496-12: a b u; c d v; x y w) only quarter turns and mirrors are supported; phones
    write no others. PyAV's ``rotation`` confuses a mirror with half a turn.
    """
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return False, False, False
    a, b, _, c, d = np.frombuffer(bytes(data), dtype=np.int32)[:5].tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):
        return True, b < 0, c < 0
    return False, d < 0, a < 0


_OPTIONS = {"preset": "superfast", "crf": "21", "rc-lookahead": "10"}
"""Preset of x264: takes half the time of `veryfast` and 2.5 times the space, and buffers few frames."""

_BT601 = 6
"""Number of the YUV colour matrix in ISO/IEC 23091-2. Without it, players guess the matrix from the frame's size."""


_SPEAKERS = {"1 channels": "mono", "2 channels": "stereo", "6 channels": "5.1", "8 channels": "7.1"}
"""Usual layout of sound whose file does not name its speakers, as AVI and Matroska with PCM. An MP4 has to."""


class VideoWriter:
    """Writes frames of ``video`` to the MP4 ``path`` in order, with their times. Use it in a ``with`` block.

    Width and height become even, as yuv420p requires, by repeating the last column or row. The sound tracks of the
    file are copied without change, if an MP4 can hold them.

    Attributes:
        left_out: codecs of the tracks that are not copied, by kind: ``sound`` and ``subtitles``.

    Raises:
        RunError: the encoder failed, or the file cannot be written (``file-unwritable``).
    """

    def __init__(self, path: Path, video: VideoFile) -> None:
        import av

        self._video = video
        with _errors(video):
            self._container = av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"})
            stream: Any = self._container.add_stream("libx264", rate=video.frame_rate, options=_OPTIONS)
            stream.width, stream.height = video.width + video.width % 2, video.height + video.height % 2
            stream.pix_fmt = "yuv420p"
            stream.codec_context.time_base = video.time_base
            stream.codec_context.colorspace = _BT601
            self._stream = stream
            self._source = open_container(video.path)
            self.left_out: dict[str, list[str]] = {"sound": [], "subtitles": []}
            self._copies: dict[int, Any] = {}
            for track in (*self._source.streams.audio, *self._source.streams.subtitles):
                codec = track.codec_context  # None if FFmpeg does not know the codec
                if track.type == "audio" and codec and codec.codec.canonical_name in self._container.supported_codecs:
                    self._copies[track.index] = copy = self._container.add_stream_from_template(track)
                    copy.metadata.update(track.metadata)
                    copy.codec_context.layout = _SPEAKERS.get(codec.layout.name, codec.layout)
                else:
                    kind = "sound" if track.type == "audio" else "subtitles"
                    self.left_out[kind].append(codec.name if codec else "unknown codec")
            self._packets = self._sound_packets()
            self._next_sound = next(self._packets, None)

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        import av

        try:
            if kind is None:
                with _errors(self._video):
                    self._container.mux(self._stream.encode(None))
                    self._add_sound(math.inf)
                    self._container.close()
        finally:
            # After an error the file is useless. Another one when closing it would hide the first.
            with suppress(av.FFmpegError):
                self._container.close()
            self._source.close()

    def add(self, rgb: Pixels, pts: int) -> None:
        """Add the next frame, uint8 (H, W, 3), at ``pts`` of the video's time base; another size gets black bars."""
        import av

        height, width = self._video.height, self._video.width
        if rgb.shape[:2] != (height, width):
            rgb = np.asarray(ImageOps.pad(Image.fromarray(rgb), (width, height)))
        if width % 2 or height % 2:
            rgb = np.pad(rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="yuv420p", dst_colorspace="ITU601")
        frame.pts, frame.time_base = pts, self._video.time_base
        with _errors(self._video):
            self._add_sound(float(pts * self._video.time_base))
            self._container.mux(self._stream.encode(frame))

    def _add_sound(self, until_seconds: float) -> None:
        while self._next_sound is not None and self._next_sound.dts * self._next_sound.time_base <= until_seconds:
            self._container.mux(self._next_sound)
            self._next_sound = next(self._packets, None)

    def _sound_packets(self) -> Iterator[Any]:
        """Yield packets of all sound tracks, with times from the file's start, until the first unreadable one."""
        import av

        last = dict.fromkeys(self._copies, -math.inf)
        with suppress(av.FFmpegError):
            for packet in self._source.demux([self._source.streams[index] for index in last]) if last else ():
                # Skip repeated times of joined files, which an MP4 cannot hold.
                if packet.dts is not None and packet.pts is not None and packet.dts > last[packet.stream_index]:
                    last[packet.stream_index] = packet.dts
                    start = round(self._video.start_seconds / packet.time_base)
                    packet.pts, packet.dts = packet.pts - start, packet.dts - start
                    packet.stream = self._copies[packet.stream_index]
                    yield packet


@contextmanager
def _errors(video: VideoFile) -> Iterator[None]:
    import av

    try:
        yield
    except (av.FFmpegError, ValueError) as error:  # ValueError: FFmpeg was built without x264
        reason = getattr(error, "strerror", None) or error
        size = f"{video.width} x {video.height}"
        message = f"The annotated video ({size}) could not be written: {reason}. --no-annotate leaves it out."
        raise RunError(message, code="file-unwritable") from None
