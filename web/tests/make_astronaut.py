"""Write scikit-image's photo of an astronaut as an image file: all of it, a part, or twelve copies (crowd).

python web/tests/make_astronaut.py FILE [LEFT TOP RIGHT BOTTOM | crowd]
"""

import sys

from PIL import Image
from skimage import data

photo = Image.fromarray(data.astronaut())
if sys.argv[2:] == ["crowd"]:
    small = photo.resize((320, 320))
    crowd = Image.new("RGB", (4 * 320, 3 * 320))
    for index in range(12):
        crowd.paste(small, (index % 4 * 320, index // 4 * 320))
    crowd.save(sys.argv[1])
elif sys.argv[2:]:
    left, top, right, bottom = map(int, sys.argv[2:])
    photo.crop((left, top, right, bottom)).save(sys.argv[1])
else:
    photo.save(sys.argv[1])
