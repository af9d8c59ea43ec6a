"""Write scikit-image's photo of an astronaut as an image file: python web/tests/make_astronaut.py FILE."""

import sys

from PIL import Image
from skimage import data

Image.fromarray(data.astronaut()).save(sys.argv[1])
