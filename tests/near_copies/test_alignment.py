"""Oracle: copies whose making is known."""

import numpy as np
import pytest

from mien.near_copies.alignment import aligned_correlation


def pairs_of(images, copies):
    count = len(images)
    return np.concatenate([images, copies]), np.arange(count), count + np.arange(count)


def test_aligned_correlation_is_one_for_an_image_and_its_mirror(drawn):
    faces = drawn[:20]
    for copies in (faces, faces[:, :, ::-1]):
        assert aligned_correlation(*pairs_of(faces, copies)) == pytest.approx(np.ones(20), abs=1e-4)


@pytest.mark.parametrize("offset", [(3, 3), (-3, 2), (0, -3)])
def test_aligned_correlation_finds_a_shifted_image(drawn, offset):
    """What came in at the border is black, and does not count."""
    faces = drawn[:20]
    moved = np.zeros_like(faces)
    down, across = offset
    target = (slice(max(down, 0), 48 + min(down, 0)), slice(max(across, 0), 48 + min(across, 0)))
    origin = (slice(max(-down, 0), 48 + min(-down, 0)), slice(max(-across, 0), 48 + min(-across, 0)))
    moved[:, *target] = faces[:, *origin]
    assert aligned_correlation(*pairs_of(faces, moved)).min() > 0.98
