"""Write a WebM video of an astronaut (scikit-image's photo).

Shown is it alone, small, beside a second one that leaves, as slides, frozen for a second, or only its sound.

python web/tests/make_video.py FILE astronaut|small|two|slow|frozen|sound
"""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image
from skimage import data

RATE, FRAMES, SIDE, SMALLER, SMALL = 30, 75, 240, 204, 60
SOUND_RATE, SOUND_BLOCK = 48_000, 960


def main(path: Path, shown: str) -> None:
    """Write the file: 2.5 seconds, or four slides of a second each."""
    with av.open(str(path), "w", format="webm") as container:
        if shown == "sound":
            stream: Any = container.add_stream("libopus", rate=SOUND_RATE, layout="mono")
            frames = [_tone(index) for index in range(FRAMES * SOUND_RATE // (RATE * SOUND_BLOCK))]
        else:
            rate, count = (1, 4) if shown == "slow" else (RATE, FRAMES)
            stream = container.add_stream("libvpx", rate=rate, options={"deadline": "good", "cpu-used": "5"})
            width, height = (2 * SIDE if shown in {"two", "small"} else SIDE), SIDE
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.bit_rate = 4_000_000
            frames = []
            for index in range(count):
                if shown == "frozen" and 20 <= index < 50:
                    continue
                frames.append(av.VideoFrame.from_image(_picture(index, shown)))
                frames[-1].pts, frames[-1].time_base = index, Fraction(1, rate)
        for frame in frames:
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _picture(index: int, shown: str) -> Image.Image:
    """A frame: the photo, shifted a little so that consecutive frames differ."""
    shift = index % 5
    photo = Image.fromarray(data.astronaut()).crop((110 - shift, 20, 110 - shift + SIDE, 20 + SIDE))
    if shown in {"astronaut", "slow", "frozen"}:
        return photo
    picture = Image.new("RGB", (2 * SIDE, SIDE))
    if shown == "small":
        picture.paste(photo.resize((SMALL, SMALL)), (SIDE, SMALL))
        return picture
    if index < FRAMES // 2:
        picture.paste(photo, (0, 0))
    picture.paste(photo.resize((SMALLER, SMALLER)), (SIDE, 0))
    return picture


def _tone(index: int) -> av.AudioFrame:
    """A block of a tone of 440 Hz."""
    at = np.arange(index * SOUND_BLOCK, (index + 1) * SOUND_BLOCK) / SOUND_RATE
    samples = (8000 * np.sin(2 * np.pi * 440 * at)).astype(np.int16)[np.newaxis]
    frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
    frame.sample_rate, frame.pts = SOUND_RATE, index * SOUND_BLOCK
    return frame


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
