"""A data set from arrays, and at the prompt. Oracles: the preprocessing and cut of readers, and counts by hand."""

import numpy as np
import pytest
from PIL import Image

from mien.base.errors import DataError, MienWarning
from mien.base.labels import EXPRESSIONS
from mien.base.preprocess import grey_square
from mien.data.dataset import Dataset
from mien.data.splits import cut_validation
from mien.data.synthetic import EXPRESSION_PROPORTIONS, draw_labels, render_faces, synthetic_faces
from support import raises

GREY = np.random.default_rng(0).integers(0, 256, (40, 60, 50), dtype=np.uint8)
NAMES = ["Happiness", "sad"] * 20


def test_from_arrays_cuts_validation_as_readers_do():
    found = Dataset.from_arrays(GREY, NAMES)
    assert (found.classes, found.labels.tolist()) == (("happy", "sad"), [0, 1] * 20)
    assert np.array_equal(found.images, np.stack([grey_square(image, 48) for image in GREY]))
    assert np.array_equal(found.split == "validation", cut_validation(found.images, found.labels))
    assert (set(found.split.tolist()), found.rows.tolist()) == ({"train", "validation"}, list(range(40)))
    colour, splits = np.repeat(GREY[:, :, :, None], 3, axis=3), ["Training"] * 30 + ["val"] * 5 + ["test"] * 5
    found = Dataset.from_arrays(colour, [1, 0] * 20, ["b", "a"], splits, size_px=44, sample_ids=range(100, 140))
    assert (found.classes, found.labels.tolist()) == (("b", "a"), [1, 0] * 20)
    assert found.counts_by_split() == {"train": [15, 15], "validation": [2, 3], "test": [3, 2]}
    assert np.array_equal(found.images, np.stack([grey_square(image, 44) for image in GREY]))
    assert found.rows[-1] == 139
    palette = Image.fromarray(GREY[2]).convert("P")
    found = Dataset.from_arrays([GREY[0], GREY[1][:30], palette], [*"aba"], split=["train", *["validation"] * 2])
    assert found.images.shape == (3, 48, 48)
    assert np.array_equal(found.images[2], grey_square(GREY[2], 48))
    with pytest.warns(MienWarning, match="'happy' and 'joy'.*classes="):
        faces = Dataset.from_arrays(GREY[:6], ["happy", "joy", "sad"] * 2)
    assert faces.counts().tolist() == [4, 2]
    with raises(DataError, "split-unknown", "split[36]"):
        Dataset.from_arrays(GREY, NAMES, split=[*["train"] * 36, *[""] * 4])


def test_dataset_gives_items_and_subsets_by_name(faces):
    found = Dataset.from_arrays(GREY, NAMES)
    item = found[3]
    assert (item.label, item.split, item.source, item.sample_id) == ("sad", found.split[3], "images[3]", 3)
    assert np.array_equal(item.image, found.images[3])
    assert (len(found[10:14]), found.subset("validation").fingerprint) == (4, found.of_split("validation").fingerprint)
    assert len(list(found)) == 40
    with raises(DataError, "split-unknown"):
        found.subset("valid")
    shown = repr(faces)
    assert shown.startswith(f"<Dataset: {len(faces)} faces of 48 x 48, classes angry, disgust, fear, happy, ")
    for name in ("train", "validation", "test"):
        assert f"{name} {(faces.split == name).sum()}" in shown
    assert len(shown) < 200


FER2013_TRAINING_COUNTS = [3995, 436, 4097, 7215, 4830, 3171, 4965]


def test_synthetic_faces_are_split_80_10_10_within_classes():
    """Oracle: largest remainder, so each class's share of a split is within one face of exact."""
    faces = synthetic_faces(1000, 4)
    assert (faces.classes, len(faces)) == (EXPRESSIONS, 1000)
    for split, share in (("train", 0.8), ("validation", 0.1), ("test", 0.1)):
        assert (np.abs(faces.counts(split) - share * faces.counts()) < 1).all()
    assert np.array_equal(faces.images, render_faces(faces.labels, 4))
    assert (faces.source[17], faces.rows.tolist()) == ("synthetic seed 4 face 17", list(range(1000)))
    first, again, other = synthetic_faces(70, 5), synthetic_faces(70, 5), synthetic_faces(70, 6)
    assert (first.fingerprint, first.source.tolist()) == (again.fingerprint, again.source.tolist())
    assert not np.array_equal(first.labels, other.labels)
    assert not np.array_equal(render_faces(first.labels, 5), render_faces(first.labels, 6))
    total = sum(FER2013_TRAINING_COUNTS)
    assert pytest.approx([count / total for count in FER2013_TRAINING_COUNTS]) == EXPRESSION_PROPORTIONS
    labels = draw_labels(total, 0)
    assert (labels.dtype, np.bincount(labels).tolist()) == (np.int64, FER2013_TRAINING_COUNTS)
    labels = draw_labels(60, 1)
    images = render_faces(labels, 1)
    assert np.array_equal(render_faces(labels[:31], 1), images[:31])
    changed = labels.copy()
    changed[30] = (changed[30] + 1) % 7
    assert np.flatnonzero((render_faces(changed, 1) != images).any(axis=(1, 2))).tolist() == [30]
