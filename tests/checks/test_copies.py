"""Oracles: every pair of rows, one by one; and FER2013's facts, counted from its pixels by others."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from sklearn.metrics import roc_auc_score

from mien.checks.copies import CopyCounts, Leak, copied_from, count_copies, has_copy, in_conflict, leaked
from mien.checks.image_quality import FEW_TONES_BELOW, LITTLE_DETAIL_BELOW, detail, outlier_scores, tones
from mien.data.clean import BLANK_BELOW
from mien.data.splits import group_identical
from mien.near_copies.finder import contrast

SPLITS = st.sampled_from(["train", "validation", "test"])
ROWS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 2), SPLITS), max_size=25)


def columns(rows):
    groups = np.array([row[0] for row in rows], dtype=np.int64)
    return groups, np.array([row[1] for row in rows], dtype=np.int64), np.array([row[2] for row in rows], dtype="<U10")


@given(ROWS)
def test_copy_masks_equal_a_search_of_all_pairs(rows):
    groups, labels, split = columns(rows)

    def with_other(wanted):
        """Say for each row whether another one of its group is wanted."""
        numbered = list(enumerate(rows))
        return [
            any(a != b and one[0] == other[0] and wanted(one, other) for b, other in numbered) for a, one in numbered
        ]

    earlier = {"train": (), "validation": ("train",), "test": ("train", "validation")}
    assert has_copy(groups).tolist() == with_other(lambda row, other: True)
    assert in_conflict(groups, labels).tolist() == with_other(lambda row, other: other[1] != row[1])
    assert leaked(groups, split).tolist() == with_other(lambda row, other: other[2] in earlier[row[2]])
    of_train = copied_from(groups, split, "test", "train").tolist()
    assert of_train == with_other(lambda row, other: (row[2], other[2]) == ("test", "train"))


def test_find_near_copies_finds_the_known_copies_of_fer2013(fer2013_faces):
    images = np.asarray(fer2013_faces.images)
    counts = count_copies(group_identical(images), fer2013_faces.labels, fer2013_faces.split)
    assert counts == CopyCounts(1274, 2800, 47, 119, (Leak("validation", "train", 280),))
    assert (contrast(images) < BLANK_BELOW).sum() == 6


def enlarged(face, from_px=10):
    small = Image.fromarray(face).resize((from_px, from_px), Image.Resampling.BOX)
    return np.asarray(small.resize((48, 48), Image.Resampling.BICUBIC))


def text():
    image = Image.new("L", (48, 48), 255)
    ImageDraw.Draw(image).text((2, 10), "not\navailable", fill=0)
    return np.asarray(image)


def test_tones_are_few_for_text_and_detail_is_low_for_enlarged_images(drawn):
    assert tones(text()[np.newaxis])[0] < FEW_TONES_BELOW
    assert np.mean(tones(drawn[:200]) < FEW_TONES_BELOW) < 0.05
    faces = drawn[:100]
    assert np.mean(detail(np.stack([enlarged(face) for face in faces])) < LITTLE_DETAIL_BELOW) > 0.9
    assert np.mean(detail(faces) < LITTLE_DETAIL_BELOW) < 0.1
    assert detail(np.zeros((1, 48, 48), dtype=np.uint8)) == 0
    random, checks = np.random.default_rng(0), ((np.indices((48, 48)).sum(axis=0) // 6) % 2 * 255).astype(np.uint8)
    stripes = np.tile((np.arange(48) // 4 % 2 * 200).astype(np.uint8), (48, 1))
    noise = random.integers(0, 256, (8, 48, 48), dtype=np.uint8)
    strange = np.concatenate([checks[np.newaxis], stripes[np.newaxis], noise])
    scores = outlier_scores(np.concatenate([drawn[:600], strange]))
    assert set(np.argsort(-scores)[:2].tolist()) == {600, 601}
    assert roc_auc_score(np.arange(610) >= 600, scores) > 0.85, "noise is less strange than patterns"
