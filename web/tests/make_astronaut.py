"""Write scikit-image's photo of an astronaut as an image file, a part of it, or many of it.

python web/tests/make_astronaut.py FILE [LEFT TOP RIGHT BOTTOM | crowd]
"""

import sys

from PIL import Image
from skimage import data

photo = Image.fromarray(data.astronaut())
if sys.argv[2:] == ["crowd"]:
    small = photo.resize((320, 320))
    picture = Image.new("RGB", (4 * 320, 3 * 320))
    for place in range(12):
        picture.paste(small, (place % 4 * 320, place // 4 * 320))
    picture.save(sys.argv[1])
elif sys.argv[2:]:
    left, top, right, bottom = map(int, sys.argv[2:])
    photo.crop((left, top, right, bottom)).save(sys.argv[1])
else:
    photo.save(sys.argv[1])
