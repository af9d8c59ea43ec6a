"""The sound of a video, copied without transcoding if MP4 supports its codec."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from typing import Any

from mien.video.video_file import VideoFile

_CODECS = {"aac", "mp3", "mp3float", "ac3", "eac3", "alac", "opus", "libopus", "flac"}
"""Audio codecs that MP4 supports and players play; other sound is left out."""


class AudioTrack:
    """Copies the sound of a video into an open file, step by step with its frames.

    Sound that cannot be copied is left out; the frames are written in any case.

    Args:
        video: the source; its frames are decoded in parallel.
        target: the ``av`` container; it gets an audio stream if the video has a supported one.

    Attributes:
        codec: codec of the copied stream, the first supported one; None without one, or if nothing was copied.
        lost_seconds: duration that could not be copied so far.

    Raises:
        av.FFmpegError: the file cannot be opened a second time.
    """

    def __init__(self, video: VideoFile, target: Any) -> None:
        import av

        self.codec: str | None = None
        self.lost_seconds: float = 0.0
        self._video, self._target = video, target
        self._source: Any = None
        self._packets: Iterator[Any] = iter(())
        self._next: Any = None
        self._is_copied = False
        # The last packet's timestamp in the file.
        self._stated: int | None = None
        self._jumps, self._shift = 0, 0
        if video.has_sound:
            # Frames are decoded on demand; the sound is read through a second handle.
            self._source = av.open(str(video.path.absolute()))
            # FFmpeg has no context for an unknown codec.
            known = [stream for stream in self._source.streams.audio if stream.codec_context is not None]
            for stream in (each for each in known if each.codec_context.name in _CODECS):
                packets = self._read(stream)
                self._next = next(packets, None)
                if self._next is not None and _is_supported(stream, self._next):
                    self.codec = stream.codec_context.name
                    self._copied, self._packets = target.add_stream_from_template(stream), packets
                    self._units = Fraction(stream.time_base)
                    self._shift = -round(video.start_seconds / self._units)
                    break
                self._next = None

    def copy(self, until_seconds: float | None) -> None:
        """Copy the sound up to a time, or all the rest."""
        while self._next is not None:
            packet = self._next
            if self._stated is not None and self._video.restarts((packet.dts - self._stated) * self._units):
                if self._video.jumps > self._jumps:
                    # The same shift as the frames, so that both stay synchronous.
                    self._jumps = self._video.jumps
                    self._shift = round((self._video.shift_seconds - self._video.start_seconds) / self._units)
                elif until_seconds is not None:
                    # The frames have not reached the jump.
                    return
                else:
                    self._lose_rest()
                    break
            self._stated = packet.dts
            if until_seconds is not None and float((packet.pts + self._shift) * self._units) > until_seconds:
                return
            self._mux(packet)
            self._next = next(self._packets, None)
        if until_seconds is None and not self._is_copied:
            self.codec = None

    def close(self) -> None:
        """Close the second handle."""
        if self._source is not None:
            self._source.close()

    def _mux(self, packet: Any) -> None:
        import av

        packet.pts, packet.dts = packet.pts + self._shift, packet.dts + self._shift
        packet.stream = self._copied
        try:
            self._target.mux(packet)
        except (av.error.ArgumentError, av.error.InvalidDataError):
            # Timestamps that do not rise, for example: in joined recordings one's sound may overlap the next.
            self._lose(packet)
        else:
            self._is_copied = True

    def _lose(self, packet: Any) -> None:
        self.lost_seconds += float((packet.duration or 0) * self._units)

    def _lose_rest(self) -> None:
        """Drop the rest: timestamps that restart where those of the frames do not have no known position."""
        while self._next is not None:
            self._lose(self._next)
            self._next = next(self._packets, None)

    def _read(self, stream: Any) -> Iterator[Any]:
        import av

        # The sound of a truncated file just ends.
        with suppress(av.FFmpegError):
            for packet in self._source.demux(stream):
                if packet.dts is not None and packet.pts is not None:
                    yield packet


def _is_supported(stream: Any, packet: Any) -> bool:
    """Whether MP4 supports a stream, by a trial: FFmpeg reports a damaged header only at the end of a file."""
    import av

    try:
        with av.open(io.BytesIO(), "w", format="mp4") as trial:
            copy = av.Packet(bytes(packet))
            copy.pts = copy.dts = 0
            copy.time_base, copy.duration = packet.time_base, packet.duration
            copy.stream = trial.add_stream_from_template(stream)
            trial.mux(copy)
    except (av.FFmpegError, ValueError):
        return False
    return True
