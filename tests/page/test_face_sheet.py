"""Oracle: Pillow reads the images back out of the drawing."""

import base64
import io
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
from PIL import Image

from mien.page.charts.overview import face_sheet


def images(drawing):
    """Place across and down, and the pixels, of each image."""
    found = []
    for node in ElementTree.fromstring(drawing.file("svg")).iter():
        if node.tag.endswith("}image"):
            (address,) = (value for name, value in node.attrib.items() if name.endswith("href"))
            data = base64.b64decode(address.partition(",")[2])
            numbers = [float(each) for each in re.findall(r"[-\d.e]+", node.attrib["transform"].partition("(")[2])]
            found.append((numbers[4], numbers[5], np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))))
    return found


def test_every_pixel_of_grey_and_colour_is_in_the_sheet(faces):
    colour = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    found = images(face_sheet([*faces.images[:4], colour], [""] * 5, columns=3))
    assert len(found) == 5
    for (_, _, pixels), image in zip(found, faces.images[:4], strict=False):
        assert (pixels == image[:, :, np.newaxis]).all()
    assert np.array_equal(found[4][2], colour)
