"""Write a .y4m video for Chromium's fake camera: scikit-image's photo of an astronaut, moving, or eight of her.

python web/tests/make_camera.py FILE [eight]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data

WIDTH, HEIGHT, FRAMES, RATE = 640, 480, 30, 30


def main(path: Path, *eight: str) -> None:
    """Write the file: one second forwards and one back, a few pixels per frame."""
    photo = Image.fromarray(data.astronaut())
    if eight:
        face, row = (
            photo.crop((130, 0, 330, 240)).resize((150, 180)),
            Image.new("RGB", (WIDTH + 2 * FRAMES, HEIGHT + FRAMES)),
        )
        for place in range(8):
            row.paste(face, (FRAMES + 160 * (place % 4), FRAMES + 230 * (place // 4)))
        photo = row
    else:
        photo = photo.resize((WIDTH + 2 * FRAMES, WIDTH + 2 * FRAMES))
    frames = [photo.crop((2 * step, step, 2 * step + WIDTH, step + HEIGHT)) for step in range(FRAMES)]
    with path.open("wb") as stream:
        stream.write(f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F{RATE}:1 Ip A1:1 C420jpeg\n".encode())
        for frame in [*frames, *reversed(frames)]:
            y, u, v = np.moveaxis(np.asarray(frame.convert("YCbCr")), 2, 0)
            stream.write(b"FRAME\n" + y.tobytes() + u[::2, ::2].tobytes() + v[::2, ::2].tobytes())


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
