"""Write scikit-image's photo of an astronaut as an image file: all of it, a part, or twelve copies.

The copies are small (crowd), or so small that a detector doubts them (tiny). Or one copy has a twelfth of
its light (dark).

python web/tests/make_astronaut.py FILE [LEFT TOP RIGHT BOTTOM | crowd | tiny | dark]
"""

import sys

from PIL import Image
from skimage import data

photo = Image.fromarray(data.astronaut())
SIDES = {"crowd": 320, "tiny": 128}

if sys.argv[2:] == ["dark"]:
    photo.point(lambda value: value // 12).save(sys.argv[1])
elif len(sys.argv) == 3:
    side = SIDES[sys.argv[2]]
    small = photo.resize((side, side))
    crowd = Image.new("RGB", (4 * 320, 3 * 320), "white")
    for index in range(12):
        crowd.paste(small, (index % 4 * 320, index // 4 * 320))
    crowd.save(sys.argv[1])
elif sys.argv[2:]:
    left, top, right, bottom = map(int, sys.argv[2:])
    photo.crop((left, top, right, bottom)).save(sys.argv[1])
else:
    photo.save(sys.argv[1])
