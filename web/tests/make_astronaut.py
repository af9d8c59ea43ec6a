"""Write scikit-image's photo of an astronaut as an image file, or a part of it.

python web/tests/make_astronaut.py FILE [LEFT TOP RIGHT BOTTOM]
"""

import sys

from PIL import Image
from skimage import data

photo = Image.fromarray(data.astronaut())
part = [int(each) for each in sys.argv[2:6]]
(photo.crop(tuple(part)) if part else photo).save(sys.argv[1])
