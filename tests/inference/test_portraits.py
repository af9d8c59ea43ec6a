"""The four portraits that an image generator made (CC0), found and read as they look: what anybody can try first."""

from pathlib import Path

import pytest
from PIL import Image

import mien
from mien.cli.demo import PORTRAITS

SEEN = {"bolivia-36": "happy", "haiti-22": "neutral", "kyrgyzstan-34": "neutral", "usa-74": "happy"}
"""Oracle: the eye."""


@pytest.mark.parametrize("model", ["default", "fast"])
def test_each_portrait_has_one_face_with_the_expression_that_it_shows(model):
    assert {file.stem: [each.answer for each in mien.load(model).predict(file)] for file in PORTRAITS.iterdir()} == {
        name: [answer] for name, answer in SEEN.items()
    }


def test_portraits_say_where_they_are_from_and_are_small():
    files = list(Path(PORTRAITS).iterdir())
    assert sum(file.stat().st_size for file in files) < 150_000
    for file in files:
        with Image.open(file) as image:
            assert {"CC0", "Stable"} <= set(" ".join(map(str, image.getexif().values())).split())
