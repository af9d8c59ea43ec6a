"""Oracle: copies that the test makes, with Pillow."""

import io

import numpy as np
import pytest
from PIL import Image

from mien.data.splits import group_identical
from mien.near_copies.alignment import aligned_correlation
from mien.near_copies.finder import _disturbances, candidate_pairs, contrast, find_near_copies, fit_descriptor, spectra
from support import encoded


def mirror(image, random):
    return image[:, ::-1]


def shift(image, random):
    down, across = random.integers(-3, 4, 2)
    return np.pad(image, 3, mode="edge")[3 + down : 51 + down, 3 + across : 51 + across]


def far_shift_onto_black(image, random):
    down, across = random.choice([-3, 3], 2)
    return np.pad(image, 3)[3 + down : 51 + down, 3 + across : 51 + across]


def jpeg(image, random):
    return np.asarray(Image.open(io.BytesIO(encoded(image, "JPEG", quality=int(random.integers(50, 96))))))


def brightness(image, random):
    return np.clip(np.rint(image * random.choice([0.8, 1.2])), 0, 255).astype(np.uint8)


def crop(image, random):
    side = 48 * random.uniform(0.9, 1.0)
    left, top = random.uniform(0, 48 - side, 2)
    box = (left, top, left + side, top + side)
    return np.asarray(Image.fromarray(image).resize((48, 48), Image.Resampling.BICUBIC, box=box))


KINDS = (mirror, shift, far_shift_onto_black, jpeg, brightness, crop)


def share_found(images, random, copies_of_a_kind):
    """Share of copies of each kind that are in the group of their image, and how many other pairs are flagged."""
    chosen = random.choice(len(images), (len(KINDS), copies_of_a_kind), replace=False)
    copies = np.stack([kind(images[at], random) for kind, row in zip(KINDS, chosen, strict=True) for at in row])
    together = np.concatenate([images, copies])
    found = find_near_copies(together, group_identical(together))
    own = found.groups[chosen.ravel()] == found.groups[len(images) :]
    others = (found.first < len(images)) & (found.second < len(images))
    return dict(zip(KINDS, own.reshape(chosen.shape).mean(axis=1), strict=True)), int(others.sum())


def test_find_near_copies_finds_made_copies_only(drawn):
    shares, wrong = share_found(drawn, np.random.default_rng(5), 100)
    assert min(shares.values()) >= 0.95, shares
    assert wrong == 0, "of 2 million pairs"


def test_find_near_copies_ignores_the_order_of_images(drawn):
    random, few = np.random.default_rng(7), drawn[:300]
    together = np.concatenate([few, *(np.stack([kind(face, random) for face in few[:40]]) for kind in KINDS)])
    order = random.permutation(len(together))
    one, other = (find_near_copies(each, group_identical(each)) for each in (together, together[order]))
    assert np.array_equal(one.groups[order], other.groups)
    assert np.array_equal(np.sort(one.correlation), np.sort(other.correlation))
    images = np.concatenate([drawn[:3], drawn[:2], np.zeros((4, 48, 48), dtype=np.uint8)])
    found = find_near_copies(images, group_identical(images))
    assert (len(found.first), found.groups[:2].tolist()) == (0, found.groups[3:5].tolist())
    assert len(set(found.groups.tolist())) == 4, "the blank ones are identical"


@pytest.mark.slow
def test_find_near_copies_finds_made_copies_of_real_faces(fer2013_faces):
    images = np.asarray(fer2013_faces.images)
    _, first = np.unique(group_identical(images), return_index=True)
    images = images[first[contrast(images[first]) > 8]]
    shares, _ = share_found(images, np.random.default_rng(5), 300)
    assert min(shares.values()) >= 0.95, shares


def test_candidate_pairs_do_not_depend_on_blocks_and_threads(drawn, monkeypatch):
    """Oracle: the pairs of one block and one thread. Blocks of seven leave the last one short at every step."""
    monkeypatch.setattr("mien.near_copies.finder.available_cores", lambda: 1)
    few, usable = drawn[:700], np.arange(700)
    descriptor = fit_descriptor(few, usable)
    described = descriptor.of(few, usable)
    whole = candidate_pairs(described, descriptor)
    assert len(whole[0]) > 7
    monkeypatch.setattr("mien.near_copies.finder.available_cores", lambda: 3)
    monkeypatch.setattr("mien.near_copies.finder._BLOCK", 7)
    assert np.array_equal(candidate_pairs(described, descriptor), whole)


def pairs_of(images, copies):
    count = len(images)
    return np.concatenate([images, copies]), np.arange(count), count + np.arange(count)


@pytest.mark.parametrize("offset", [(3, 3), (-3, 2), (0, -3)])
def test_aligned_correlation_finds_a_shifted_image(drawn, offset):
    """Black from beyond the border does not count."""
    faces = drawn[:20]
    moved = np.zeros_like(faces)
    down, across = offset
    target = (slice(max(down, 0), 48 + min(down, 0)), slice(max(across, 0), 48 + min(across, 0)))
    origin = (slice(max(-down, 0), 48 + min(-down, 0)), slice(max(-across, 0), 48 + min(-across, 0)))
    moved[:, *target] = faces[:, *origin]
    assert aligned_correlation(*pairs_of(faces, moved)).min() > 0.98


def test_spectra_ignore_mirroring_and_brightness(drawn):
    faces = drawn[:10].astype(np.float32)
    plain = spectra(faces)
    assert spectra(faces[:, :, ::-1]) == pytest.approx(plain, abs=1e-3)
    assert spectra(0.5 * faces + 30) == pytest.approx(plain, abs=1e-3)
    faces = drawn[:20]
    for copies in (faces, faces[:, :, ::-1]):
        assert aligned_correlation(*pairs_of(faces, copies)) == pytest.approx(np.ones(20), abs=1e-4)
    found = fit_descriptor(drawn, np.arange(1500))
    other, copies = drawn[1500:1600], _disturbances(48)[0](drawn[1500:1600])
    of_other, of_copies = (found.of(each, np.arange(100)) for each in (other, copies.astype(np.uint8)))
    own = np.square(of_copies - of_other).sum(axis=1)
    between = np.square(of_other[:, np.newaxis] - of_other).sum(axis=2)[np.triu_indices(100, 1)]
    assert np.mean(own <= found.reach) > 0.9
    assert np.mean(between <= found.reach) < 0.02
