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
from mien.inference.clip_sound import ClipSound

ENCODERS: tuple[tuple[str, dict[str, str]], ...] = (
    # Half the work of `veryfast` at two and a half times its size; few frames are held back in memory.
    ("libx264", {"preset": "superfast", "crf": "21", "rc-lookahead": "10"}),
    # Where FFmpeg was built without x264; players know it too.
    ("mpeg4", {"qscale": "3"}),
)

_FINEST_OF_MPEG4 = 65_535
"""MPEG-4 part 2 counts time in at most so many parts of a second."""

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
        sound: what copies the sound.

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
            self.sound = ClipSound(clip, self._container)

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
                self.sound.copy(None)
                self._container.close()
        self.sound.close()

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
            self.sound.copy(float(self._pts * self._time_base))
        self.frames += 1


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
