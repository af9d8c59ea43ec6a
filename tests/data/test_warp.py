"""Oracles: flips and quarter turns by hand, scipy.ndimage for everything in between."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from mien.data.warp import Warps, warp


def warps(count, **changes):
    still = {"degrees": 0.0, "zoom": 1.0, "right": 0.0, "down": 0.0, "mirrored": False}
    return Warps(**{name: np.full(count, value) for name, value in (still | changes).items()})


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (5, 12, 12), dtype=np.uint8)


def test_mirrors_turns_and_shifts(images):
    assert (warp(images, warps(5, mirrored=True)) == images[:, :, ::-1]).all()
    assert (warp(images, warps(5, degrees=90.0)) == np.rot90(images, axes=(1, 2))).all()
    assert (warp(images, warps(5, right=2 / 12))[:, :, 2:] == images[:, :, :-2]).all()
    assert (warp(images, warps(5, down=3 / 12))[:, 3:] == images[:, :-3]).all()
    assert (warp(images, warps(5, right=2 / 12))[:, :, 0] == images[:, :, 0]).all(), "the border repeats"
    both = warp(images, warps(5, mirrored=True, right=2 / 12))
    assert (both[:, :, 2:] == images[:, :, ::-1][:, :, :-2]).all(), "first mirrored, then shifted"


def test_everything_at_once_is_what_scipy_interpolates():
    """One matrix from copy to image, written again; sides that differ, colours, and more images than a chunk holds."""
    generator = np.random.default_rng(1)
    count, height, width = 300, 10, 14
    images = generator.integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    chosen = Warps(
        generator.uniform(-40, 40, count),
        generator.uniform(0.7, 1.4, count),
        generator.uniform(-0.2, 0.2, count),
        generator.uniform(-0.2, 0.2, count),
        generator.random(count) < 0.5,
    )
    made = warp(images, chosen)
    for index in (0, 7, 255, 256, 299):
        angle = np.radians(chosen.degrees[index])
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])  # x right, y down
        mirror = np.diag([-1.0 if chosen.mirrored[index] else 1.0, 1.0])
        forth = chosen.zoom[index] * turn @ mirror
        y, x = np.mgrid[:height, :width]
        shift = np.array([chosen.right[index] * width, chosen.down[index] * height])
        middle = np.array([(width - 1) / 2, (height - 1) / 2])
        places = np.linalg.inv(forth) @ (np.stack([x.ravel(), y.ravel()]) - (middle + shift)[:, None])
        columns, rows = places + middle[:, None]
        for colour in range(3):
            expected = map_coordinates(
                images[index, :, :, colour].astype(np.float64), [rows, columns], order=1, mode="nearest"
            )
            assert made[index, :, :, colour].ravel() == pytest.approx(expected, abs=0.51)
