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
    for node in ElementTree.fromstring(drawing.svg_file()).iter():
        if node.tag.endswith("}image"):
            (address,) = (value for name, value in node.attrib.items() if name.endswith("href"))
            data = base64.b64decode(address.partition(",")[2])
            numbers = [float(each) for each in re.findall(r"[-\d.e]+", node.attrib["transform"].partition("(")[2])]
            pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
            found.append((numbers[4], numbers[5], pixels))
    return found


def words(drawing):
    svg = ElementTree.fromstring(drawing.svg_file())
    return ["".join(node.itertext()).strip() for node in svg.iter() if node.tag.endswith("}text")]


def test_every_pixel_of_grey_and_colour_is_in_the_sheet(faces):
    colour = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    found = images(face_sheet([*faces.images[:4], colour], [""] * 5, columns=3))
    assert len(found) == 5
    for (_, _, pixels), image in zip(found, faces.images[:4], strict=False):
        assert (pixels == image[:, :, np.newaxis]).all()
    assert np.array_equal(found[4][2], colour)


def test_faces_stand_in_rows_with_their_words(faces):
    drawing = face_sheet(faces.images[:5], ["a", "b <i>", "c", "$d$", "e"], columns=3)
    across, down = zip(*((x, y) for x, y, _ in images(drawing)), strict=True)
    assert across[:3] == tuple(sorted(across[:3]))
    assert across[3:] == across[:2]
    assert down[0] == down[1] == down[2] < down[3] == down[4]
    captions = [float(each) for each in re.findall(r'<text [^>]* y="([^"]+)"', drawing.svg)]
    assert captions[2] < down[2] < captions[3] < down[3], "each above its face"
    assert words(drawing) == ["a", "b <i>", "c", "$d$", "e"]
