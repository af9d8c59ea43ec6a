"""Oracles: what must not change a description; made copies."""

import numpy as np
import pytest

from mien.near_copies.finder import _disturbances, fit_descriptor, spectra


def test_spectra_ignore_mirroring_and_brightness(drawn):
    faces = drawn[:10].astype(np.float32)
    plain = spectra(faces)
    assert spectra(faces[:, :, ::-1]) == pytest.approx(plain, abs=1e-3)
    assert spectra(0.5 * faces + 30) == pytest.approx(plain, abs=1e-3)


def test_descriptor_separates_images_more_than_copies(drawn):
    found = fit_descriptor(drawn, np.arange(1500))
    other, copies = drawn[1500:1600], _disturbances(48)[0](drawn[1500:1600])
    of_other, of_copies = (found.of(each, np.arange(100)) for each in (other, copies.astype(np.uint8)))
    own = np.square(of_copies - of_other).sum(axis=1)
    between = np.square(of_other[:, np.newaxis] - of_other).sum(axis=2)[np.triu_indices(100, 1)]
    assert np.mean(own <= found.reach) > 0.9
    assert np.mean(between <= found.reach) < 0.02
