"""The classes that are no expression are told apart: on light and dark pages, and by colour-blind people.

Oracles: CIEDE2000 of scikit-image, and contrasts by WCAG 2.2; how colours look to people who lack a kind of cones is by
Machado, Oliveira & Fernandes (2009), table 1, severity 1.0.
"""

import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from mien.base.labels import EXPRESSIONS, colour_of

CONES = {
    "all": np.eye(3),
    "no long": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no middle": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no short": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
GREYS = ("neutral", "unknown", "not-a-face")
TEMPLATES = Path(__file__).parents[2] / "src/mien/page/templates"


def linear(colour):
    """Linear light of a colour such as #8b939b, float64 (3,)."""
    encoded = np.array(list(bytes.fromhex(colour[1:]))) / 255
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
    low, high = sorted(float(linear(each) @ [0.2126, 0.7152, 0.0722]) for each in (one, other))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("cones", CONES)
def test_neutral_unknown_and_no_face_differ_for_every_eye(cones):
    color = pytest.importorskip("skimage.color")

    def lab(name):
        light = np.clip(np.asarray(CONES[cones]) @ linear(colour_of(name, 0)), 0, 1)
        return color.rgb2lab(np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055))

    for one, other in combinations(GREYS, 2):
        assert color.deltaE_ciede2000(lab(one), lab(other)) > 18, (one, other)
    for one in ("unknown", "not-a-face"):
        for other in (*EXPRESSIONS, "contempt"):
            assert color.deltaE_ciede2000(lab(one), lab(other)) > 8, (one, other)


@pytest.mark.parametrize("name", GREYS)
def test_colours_contrast_with_the_page(name):
    """WCAG 2.2, 1.4.11: graphics need 3 to 1."""
    pages = re.findall(r"--page: (#\w+);", (TEMPLATES / "style.css").read_text(encoding="utf-8"))[:2]
    assert len(pages) == 2
    for page in pages:
        assert contrast(colour_of(name, 0), page.replace("#fff", "#ffffff")) >= 3, page


def test_the_browser_page_has_the_same_colours():
    source = (Path(__file__).parents[2] / "web/src/view/colours.ts").read_text(encoding="utf-8")
    named = re.findall(r'^  "?([a-z-]+)"?: "(#\w{6})",$', source, re.MULTILINE)
    assert len(named) == 12
    assert {name: colour_of(name, 0) for name, _ in named} == dict(named)
    others = re.search(r"OTHERS = \[(.*?)\]", source)[1]
    assert re.findall(r"#\w{6}", others) == [colour_of("of another model", index) for index in range(6)]
