"""Oracle: scipy.ndimage, linear interpolation."""

import numpy as np
import pytest
from scipy.ndimage import affine_transform, shift

from mien.near_copies.resampling import axis_matrix, resample

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 20, 20), dtype=np.uint8)


@pytest.mark.parametrize(("down", "across"), [(0, 0), (3, -2), (-1.5, 0.25)])
@pytest.mark.parametrize("fill", [True, False])
def test_shifts(down, across, fill):
    found = resample(IMAGES, axis_matrix(20, 1.0, down, fill), axis_matrix(20, 1.0, across, fill))
    for image, moved in zip(IMAGES, found, strict=True):
        mode = "nearest" if fill else "grid-constant"
        wanted = shift(image.astype(float), (down, across), order=1, mode=mode)
        assert moved == pytest.approx(wanted, abs=1e-3)


@pytest.mark.parametrize("zoom", [1 / 1.11, 1.0, 1.11])
def test_zooms_about_the_centre(zoom):
    found = resample(IMAGES, axis_matrix(20, zoom), axis_matrix(20, zoom))
    centre = np.full(2, 9.5)
    for image, zoomed in zip(IMAGES, found, strict=True):
        wanted = affine_transform(
            image.astype(float), np.eye(2) / zoom, centre - centre / zoom, order=1, mode="nearest"
        )
        assert zoomed == pytest.approx(wanted, abs=1e-3)
