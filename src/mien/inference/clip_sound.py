"""The sound of a clip, copied as it is beside its pictures, as far as an MP4 can hold it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from typing import Any

from mien.inference.clip import Clip

_CODECS = {"aac", "mp3", "mp3float", "ac3", "eac3", "alac", "opus", "libopus", "flac"}
"""What an MP4 may hold and players play; other sound is left out."""


class ClipSound:
    """Copies the sound of a clip into an open file, as far as the pictures have come.

    What cannot be copied is left out and never costs the pictures.

    Args:
        clip: whose sound; its pictures are read meanwhile.
        target: the ``av`` container; gets a stream where there is sound that it can hold.

    Attributes:
        codec: of what is copied, the first sound that can be; None where there is none, or at the end nothing was.
        lost_seconds: how much of it could not be copied so far.

    Raises:
        av.FFmpegError: the file cannot be opened a second time.
    """

    def __init__(self, clip: Clip, target: Any) -> None:
        import av

        self.codec: str | None = None
        self.lost_seconds = 0.0
        self._clip, self._target = clip, target
        self._source: Any = None
        self._packets: Iterator[Any] = iter(())
        self._next: Any = None
        self._is_heard = False
        # The last packet's time in the file.
        self._stated: int | None = None
        self._jumps, self._shift = 0, 0
        if clip.has_sound:
            # The clip reads its pictures as they are wanted; a second look at the file reads the sound alone.
            self._source = av.open(str(clip.path.absolute()))
            # FFmpeg has no context for a codec that it does not know.
            known = [stream for stream in self._source.streams.audio if stream.codec_context is not None]
            for stream in (each for each in known if each.codec_context.name in _CODECS):
                packets = self._read(stream)
                self._next = next(packets, None)
                if self._next is not None and _is_held(stream, self._next):
                    self.codec = stream.codec_context.name
                    self._copied, self._packets = target.add_stream_from_template(stream), packets
                    self._units = Fraction(stream.time_base)
                    self._shift = -round(clip.start_seconds / self._units)
                    break
                self._next = None

    def copy(self, until_seconds: float | None) -> None:
        """Copy what is heard until a time, or all that is left."""
        while self._next is not None:
            packet = self._next
            if self._stated is not None and self._clip.begins_anew((packet.dts - self._stated) * self._units):
                if self._clip.jumps > self._jumps:
                    # As far as the pictures, so that both stay together.
                    self._jumps = self._clip.jumps
                    self._shift = round((self._clip.shift_seconds - self._clip.start_seconds) / self._units)
                elif until_seconds is not None:
                    # The pictures have not come to where they jump.
                    return
                else:
                    self._lose_rest()
                    break
            self._stated = packet.dts
            if until_seconds is not None and float((packet.pts + self._shift) * self._units) > until_seconds:
                return
            self._mux(packet)
            self._next = next(self._packets, None)
        if until_seconds is None and not self._is_heard:
            self.codec = None

    def close(self) -> None:
        """Close the second look."""
        if self._source is not None:
            self._source.close()

    def _mux(self, packet: Any) -> None:
        import av

        packet.pts, packet.dts = packet.pts + self._shift, packet.dts + self._shift
        packet.stream = self._copied
        try:
            self._target.mux(packet)
        except (av.error.ArgumentError, av.error.InvalidDataError):
            # Such as times that do not rise: where recordings were joined, the sound of one may reach into the next.
            self._lose(packet)
        else:
            self._is_heard = True

    def _lose(self, packet: Any) -> None:
        self.lost_seconds += float((packet.duration or 0) * self._units)

    def _lose_rest(self) -> None:
        """Times that begin anew where those of the pictures do not: nobody knows where it belongs."""
        while self._next is not None:
            self._lose(self._next)
            self._next = next(self._packets, None)

    def _read(self, stream: Any) -> Iterator[Any]:
        import av

        # Where the file is cut off the sound ends too.
        with suppress(av.FFmpegError):
            for packet in self._source.demux(stream):
                if packet.dts is not None and packet.pts is not None:
                    yield packet


def _is_held(stream: Any, packet: Any) -> bool:
    """Whether an MP4 can be written of a sound: what its damaged header lacks is said as late as at the file's end."""
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
