"""Write the annotated copy of a video, with its sound, as an MP4 for all players."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from mien.base.errors import RunError
from mien.video.video_file import VideoFile, open_container

_OPTIONS = {"preset": "superfast", "crf": "21", "rc-lookahead": "10"}
"""Preset of x264: takes half the time of `veryfast` and 2.5 times the space, and buffers few frames."""

_BT601 = 6
"""Number of the YUV colour matrix in ISO/IEC 23091-2. Without it, players guess the matrix from the frame's size."""


class VideoWriter:
    """Writes frames of ``video`` to the MP4 ``path`` in order, with their times. Use it in a ``with`` block.

    Width and height become even, as yuv420p requires, by repeating the last column or row. The sound tracks of the
    file are copied without change, if an MP4 can hold them.

    Attributes:
        left_out: codecs of the tracks that are not copied, by kind: ``sound`` and ``subtitles``.

    Raises:
        RunError: the encoder failed, or the file cannot be written (``video-unwritable``).
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
                else:
                    kind = "sound" if track.type == "audio" else "subtitles"
                    self.left_out[kind].append(codec.name if codec else "unknown codec")
            self._packets = self._sound_packets()
            self._next_sound = next(self._packets, None)

    def __enter__(self) -> VideoWriter:
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

    def add(self, rgb: npt.NDArray[np.uint8], pts: int) -> None:
        """Add the next frame, uint8 (H, W, 3), with its time ``pts`` in the video's time base.

        A frame of another size than the first is fitted between black bars.
        """
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
        raise RunError(message, code="video-unwritable") from None
