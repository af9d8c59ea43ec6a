"""Frames written as an MP4 that every player plays, with the sound of the clip that they come from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.errors import RunError
from mien.inference.clip import Clip

ENCODERS: tuple[tuple[str, dict[str, str]], ...] = (
    # Half the work of `veryfast` at two and a half times its size; few frames are held back in memory.
    ("libx264", {"preset": "superfast", "crf": "21", "rc-lookahead": "10"}),
    # Where FFmpeg was built without x264; players know it too.
    ("mpeg4", {"qscale": "3"}),
)

_FINEST_OF_MPEG4 = 65_535
"""MPEG-4 part 2 counts time in at most so many parts of a second."""

_SOUND = {"aac", "mp3", "mp3float", "ac3", "eac3", "alac", "opus", "libopus", "flac"}
"""What an MP4 may hold and players play; other sound is left out."""

_BT601 = 6
"""How RGB becomes YUV here, by its number in ISO/IEC 23091-2; left unsaid, players guess by the picture's size."""


class ClipWriter:
    """Writes frames of a clip to a file, in order, at their times, with the clip's sound. A context manager.

    Width and height are made even, as yuv420p wants them, by repeating the last column or row.

    Args:
        path: of the MP4.
        clip: where the frames and the sound are from; it stays open.

    Attributes:
        encoder: what writes the pictures.
        frames: how many have been added.
        sound: the codec of the sound that is copied; None where there is none, or it is left out.

    Raises:
        RunError: the encoder refused the frames, or the disk the file.
    """

    def __init__(self, path: Path, clip: Clip) -> None:
        import av

        self._clip, self.frames, self._pts = clip, 0, -1
        self.encoder, options = next(each for each in ENCODERS if each[0] in av.codecs_available)
        self._time_base = clip.time_base
        if self.encoder == "mpeg4" and clip.time_base.denominator > _FINEST_OF_MPEG4:
            self._time_base = Fraction(1, 60_000)
        with _refusals(clip):
            self._container = av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"})
            stream: Any = self._container.add_stream(self.encoder, rate=clip.frame_rate, options=options)
            stream.width, stream.height = clip.width + clip.width % 2, clip.height + clip.height % 2
            stream.pix_fmt = "yuv420p"
            stream.codec_context.time_base = self._time_base
            stream.codec_context.colorspace = _BT601
            self._stream = stream
            self._sound = _Sound(clip, self._container)
        self.sound = self._sound.codec

    def __enter__(self) -> ClipWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import av

        if kind is not None:
            # The file is of no use: what its end costs in errors is not what went wrong.
            with suppress(av.FFmpegError):
                self._container.close()
        else:
            with _refusals(self._clip):
                self._container.mux(self._stream.encode(None))
                self._sound.copy(None)
                self._container.close()
        self._sound.close()

    def add(self, rgb: npt.NDArray[np.uint8], pts: int) -> None:
        """Add a frame, uint8 (H, W, 3), at a time in units of the clip's time base, after the last one's."""
        import av

        height, width = rgb.shape[:2]
        if width % 2 or height % 2:
            rgb = np.pad(rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="yuv420p", dst_colorspace="ITU601")
        self._pts = max(round(pts * self._clip.time_base / self._time_base), self._pts + 1)
        frame.pts, frame.time_base = self._pts, self._time_base
        with _refusals(self._clip):
            self._container.mux(self._stream.encode(frame))
            self._sound.copy(float(self._pts * self._time_base))
        self.frames += 1


class _Sound:
    """Copies the sound of a clip into a file, as it is, as far as the pictures have come."""

    def __init__(self, clip: Clip, target: Any) -> None:
        import av

        self.codec: str | None = None
        self._source: Any = None
        self._packets: Iterator[Any] = iter(())
        if clip.has_sound:
            # The clip reads its pictures as they are wanted; a second look at the file reads the sound alone.
            self._source = av.open(str(clip.path.absolute()))
            # FFmpeg has no context for a codec that it does not know.
            known = [stream for stream in self._source.streams.audio if stream.codec_context is not None]
            fit = [stream for stream in known if stream.codec_context.name in _SOUND]
            if fit:
                stream = fit[0]
                self.codec = stream.codec_context.name
                self._target, self._copied = target, target.add_stream_from_template(stream)
                self._packets = self._read(stream, round(clip.start_seconds / stream.time_base))
        self._next = next(self._packets, None)

    def copy(self, until_seconds: float | None) -> None:
        """Copy what is heard until a time, or all that is left."""
        while self._next is not None:
            if until_seconds is not None and float(self._next.pts * self._next.time_base) > until_seconds:
                return
            self._next.stream = self._copied
            self._target.mux(self._next)
            self._next = next(self._packets, None)

    def close(self) -> None:
        """Close the second look."""
        if self._source is not None:
            self._source.close()

    def _read(self, stream: Any, start: int) -> Iterator[Any]:
        import av

        # Where the file is cut off the sound ends too.
        with suppress(av.FFmpegError):
            for packet in self._source.demux(stream):
                if packet.dts is not None and packet.pts is not None:
                    packet.pts, packet.dts = packet.pts - start, packet.dts - start
                    yield packet


@contextmanager
def _refusals(clip: Clip) -> Iterator[None]:
    """Turn what FFmpeg says into one line."""
    import av

    try:
        yield
    except av.FFmpegError as error:
        raise RunError(
            f"The annotated video, {clip.width} x {clip.height} pixels, could not be written: "
            f"{error.strerror or error}. Free some space or choose another place; --no-annotate leaves it out."
        ) from None
