import numpy as np
import pytest

from mien.explanation.occlusion import occlusion, patch_masks

SEEN = np.zeros(5, dtype=np.int64)
"""The class that a bright pixel speaks for."""


def one_pixel(images):
    """A model that sees the pixel (5, 9) and nothing else."""
    share = images[:, 5, 9] / 255
    return np.stack([share, 1 - share], axis=1)


def test_occlusion_finds_the_pixel_of_a_one_pixel_model(squares):
    """By hand: every patch that covers the pixel makes the same drop, every other none."""
    squares[:, 5, 9] = 255
    maps = occlusion(one_pixel, squares, SEEN, patch_px=3, stride_px=1)
    fill = np.rint(squares.mean(axis=(1, 2)))
    assert maps[:, 5, 9] == pytest.approx(1 - fill / 255, abs=1e-6)
    # A pixel two to the right shares one of its three columns of positions with the seen one.
    assert maps[:, 5, 11] == pytest.approx((1 - fill / 255) / 3, abs=1e-6)
    assert not maps[:, :3].any()
    assert not maps[:, 8:].any()


def test_occlusion_explains_a_given_class(squares):
    squares[:, 5, 9] = 255
    for_the_other = occlusion(one_pixel, squares, np.ones(5, dtype=np.int64), patch_px=3, stride_px=1)
    assert for_the_other == pytest.approx(-occlusion(one_pixel, squares, SEEN, patch_px=3, stride_px=1))


def test_patches_cover_the_crop_exactly():
    masks = patch_masks(16, 5, 3, 12)
    assert (masks.sum(axis=(1, 2)) == 25).all()
    covered = masks.any(axis=0)
    assert covered[2:14, 2:14].all()
    assert covered.sum() == 144


def test_patch_has_the_mean_grey_of_the_crop(squares):
    """By hand: the drop says what the seen pixel was covered with; a white border has no part in it."""
    bordered = np.full_like(squares, 255)
    bordered[:, 2:14, 2:14] = squares[:, 2:14, 2:14] // 2
    bordered[:, 5, 9] = 255
    maps = occlusion(one_pixel, bordered, SEEN, patch_px=3, stride_px=1, crop_px=12)
    fill = np.rint(bordered[:, 2:14, 2:14].mean(axis=(1, 2)))
    assert (fill < 80).all()
    assert maps[:, 5, 9] == pytest.approx(1 - fill / 255, abs=1e-6)
