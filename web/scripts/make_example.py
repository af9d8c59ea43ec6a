"""Draw the page's example: five rendered faces, framed, on a plain wall. Nobody's photo is in it.

    python web/scripts/make_example.py

Of 60 faces of each expression, these are the ones that the page's detector and model see best.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from mien.data.synthetic import render_faces
from mien.labels import EXPRESSIONS

FILE = Path(__file__).parents[1] / "src" / "sources" / "example.png"
FACES = (("happy", 27), ("sad", 56), ("surprise", 7), ("neutral", 27), ("angry", 44))
SEED, CANDIDATES = 4, 60
SIDE_PX, GAP_PX, FRAME_PX = 160, 60, 8


def main() -> None:
    """Write the file."""
    step = SIDE_PX + GAP_PX
    size = (GAP_PX + len(FACES) * step, SIDE_PX + 2 * GAP_PX)
    picture = Image.new("L", size, 196)
    for place, (name, number) in enumerate(FACES):
        face = render_faces(np.full(CANDIDATES, EXPRESSIONS.index(name)), seed=SEED)[number]
        large = Image.fromarray(face).resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)
        down = GAP_PX + (-12 if place % 2 else 12)
        picture.paste(ImageOps.expand(large, FRAME_PX, 240), (GAP_PX + place * step - FRAME_PX, down - FRAME_PX))
    picture.save(FILE, "PNG", optimize=True)


if __name__ == "__main__":
    main()
