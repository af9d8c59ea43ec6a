"""Video files for tests, encoded where they are needed."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np


def write_video(
    path: Path,
    frames: Sequence[Any],
    *,
    rate: int = 30,
    seconds: Sequence[float] | None = None,
    codec: str = "libx264",
    aspect: Fraction | None = None,
    sound: str | None = None,
    index_first: bool = False,
) -> Path:
    """Encode frames uint8 (H, W, 3) into a real video file: ``write_video(path, frames, rate=30)``."""
    import av

    options = {"preset": "ultrafast", "crf": "8"} if codec == "libx264" else {}
    with av.open(str(path), "w", options={"movflags": "+faststart"} if index_first else {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = {"ffv1": "yuv444p", "png": "rgb24"}.get(codec, "yuv420p")
        if aspect is not None:
            stream.sample_aspect_ratio = aspect
        if seconds is not None:
            stream.codec_context.time_base = Fraction(1, 90_000)
        heard = None if sound is None else container.add_stream(sound, rate=48_000, layout="mono")
        for number, rgb in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            if seconds is not None:
                frame.pts, frame.time_base = round(90_000 * seconds[number]), Fraction(1, 90_000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if heard is not None:
            for start in range(0, 48_000 * len(frames) // rate, 1600):
                wave = (0.2 * np.sin(np.arange(start, start + 1600) / 20)).astype(np.float32)[np.newaxis]
                tone = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
                tone.sample_rate, tone.pts = 48_000, start
                container.mux(heard.encode(tone))
            container.mux(heard.encode())
    return path
