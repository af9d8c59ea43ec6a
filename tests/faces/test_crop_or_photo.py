"""Which images may be photos given as face crops, and face crops given as photos. Oracle: by hand."""

import pytest

from mien.faces.crop import crop_as_photo, may_be_crop, may_be_photo, photo_as_crop
from mien.faces.face import Box, Face


@pytest.mark.parametrize(
    ("size", "sides", "is_photo"),
    [
        ((500, 300), [(119, 110), (20, 20)], True),
        ((300, 500), [(110, 119)], True),
        ((500, 300), [(110, 120)], False),  # just 0.4 of the shorter side
        ((500, 300), [], False),
    ],
)
def test_a_photo_is_known_by_its_largest_face(size, sides, is_photo):
    found = photo_as_crop("a.png", *size, [Face(Box(0, 0, *side), 1.0, {}) for side in sides], option="--crops")
    assert (found is not None) is is_photo
    if found is not None:
        assert found.code == "photo-as-crop"
        assert all(str(value) in found for value in ("a.png", *sides[0], *size, "--crops"))


def test_only_large_images_are_searched():
    assert [may_be_photo(*size) for size in ((224, 224), (225, 20), (20, 225))] == [False, True, True]


def test_a_crop_is_known_by_its_small_image_without_a_face():
    cases = ((48, 48, 0), (224, 224, 0), (225, 225, 0), (48, 48, 1), (48, 96, 0), (36, 55, 0), (200, 150, 0))
    assert [may_be_crop(*case) for case in cases] == [True, True, False, False, False, True, False]
    assert crop_as_photo("2 images", option="--crops").code == "crops-as-photos"
