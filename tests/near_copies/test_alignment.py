"""Oracles: copies whose making is known, and images of noise."""

import numpy as np
import pytest

from mien.near_copies.alignment import aligned_correlation


def pairs_of(images, copies):
    count = len(images)
    return np.concatenate([images, copies]), np.arange(count), count + np.arange(count)


def test_a_picture_is_itself_and_its_mirror(drawn):
    faces = drawn[:20]
    for copies in (faces, faces[:, :, ::-1]):
        assert aligned_correlation(*pairs_of(faces, copies)) == pytest.approx(np.ones(20), abs=1e-4)


def test_light_and_contrast_do_not_matter(drawn):
    faces = drawn[:20]
    paler = np.rint(faces * 0.5 + 40).astype(np.uint8)
    assert aligned_correlation(*pairs_of(faces, paler)).min() > 0.99


@pytest.mark.parametrize("offset", [(3, 3), (-3, 2), (0, -3)])
def test_a_shifted_picture_is_found_where_it_overlaps(drawn, offset):
    """What came in at the border is black, and does not count."""
    faces = drawn[:20]
    moved = np.zeros_like(faces)
    down, across = offset
    target = (slice(max(down, 0), 48 + min(down, 0)), slice(max(across, 0), 48 + min(across, 0)))
    origin = (slice(max(-down, 0), 48 + min(-down, 0)), slice(max(-across, 0), 48 + min(-across, 0)))
    moved[:, *target] = faces[:, *origin]
    assert aligned_correlation(*pairs_of(faces, moved)).min() > 0.98


def test_different_pictures_are_not_alike(drawn):
    noise = np.random.default_rng(0).integers(0, 256, (40, 48, 48), dtype=np.uint8)
    assert aligned_correlation(noise, np.arange(20), 20 + np.arange(20)).max() < 0.5
    first = np.arange(300)
    assert np.quantile(aligned_correlation(drawn, first, first + 300), 0.95) < 0.8


def test_a_blank_picture_is_like_nothing(drawn):
    images = np.concatenate([drawn[:1], np.full((1, 48, 48), 7, dtype=np.uint8)])
    assert aligned_correlation(images, np.array([0, 1]), np.array([1, 1])) == pytest.approx([0, 0], abs=0.1)
