"""Oracles: a Fourier sum written out; what must not change a description; the definition of Fisher's criterion."""

import numpy as np
import pytest
from scipy.linalg import eigh

from mien.near_copies.descriptor import _discriminants, _disturbances, fit_descriptor, spectra


def test_a_mirror_and_light_leave_spectra_as_they_are(drawn):
    faces = drawn[:10].astype(np.float32)
    plain = spectra(faces)
    assert spectra(faces[:, :, ::-1]) == pytest.approx(plain, abs=1e-3)
    assert spectra(0.5 * faces + 30) == pytest.approx(plain, abs=1e-3)


def test_one_frequency_under_one_window_is_the_sum_that_defines_it(drawn):
    face = drawn[0].astype(float)
    face = (face - face.mean()) / face.std()
    at, width = np.arange(48), 36
    window = np.where(np.abs(at + 0.5 - 24) < 18, 0.5 + 0.5 * np.cos(2 * np.pi * (at + 0.5 - 24) / width), 0)
    total = sum(
        window[row] * window[column] * face[row, column] * np.exp(-2j * np.pi * (2 * row + 1 * column) / width)
        for row in range(48)
        for column in range(48)
    )
    mirrored = sum(
        window[row] * window[column] * face[row, 47 - column] * np.exp(-2j * np.pi * (2 * row + 1 * column) / width)
        for row in range(48)
        for column in range(48)
    )
    wanted = np.sqrt(abs(total)) + np.sqrt(abs(mirrored))
    assert np.abs(spectra(drawn[:1])[0] - wanted).min() < 1e-3


def test_directions_tell_pictures_apart_more_than_copies(drawn):
    found = fit_descriptor(drawn, np.arange(1500))
    other, copies = drawn[1500:1600], _disturbances(48)[0](drawn[1500:1600])
    all_of = np.arange(100)
    own = np.square(found.of(copies.astype(np.uint8), all_of) - found.of(other, all_of)).sum(axis=1)
    between = np.square(found.of(other, all_of)[:, np.newaxis] - found.of(other, all_of)).sum(axis=2)[
        np.triu_indices(100, 1)
    ]
    assert np.mean(own <= found.reach) > 0.9
    assert np.mean(between <= found.reach) < 0.02


@pytest.mark.parametrize("count", [20, 80])
def test_directions_are_those_of_scipys_pencil(count):
    """Oracle: scipy.linalg.eigh of the pencil, up to the sign; with fewer images than features, and with more."""
    random = np.random.default_rng(0)
    between, others = random.normal(size=(count, 50)), random.normal(size=(90, 50))
    within = others.T @ others / 90 + 0.1 * np.eye(50)
    found = _discriminants(between, within)
    _, expected = eigh(between.T @ between, within)
    kept = min(count, 50)
    products = found[:, :kept].T @ within @ expected[:, ::-1][:, :kept]
    np.testing.assert_allclose(np.abs(products), np.eye(kept), atol=1e-9)
