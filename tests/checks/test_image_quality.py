"""Oracle: images whose fault the test makes."""

import numpy as np
from PIL import Image, ImageDraw
from sklearn.metrics import roc_auc_score

from mien.checks.image_quality import FEW_TONES_BELOW, LITTLE_DETAIL_BELOW, detail, outlier_scores, tones


def enlarged(face, from_px=10):
    small = Image.fromarray(face).resize((from_px, from_px), Image.Resampling.BOX)
    return np.asarray(small.resize((48, 48), Image.Resampling.BICUBIC))


def text():
    image = Image.new("L", (48, 48), 255)
    ImageDraw.Draw(image).text((2, 10), "not\navailable", fill=0)
    return np.asarray(image)


def test_tones_are_few_for_text(drawn):
    assert tones(text()[np.newaxis])[0] < FEW_TONES_BELOW
    assert np.mean(tones(drawn[:200]) < FEW_TONES_BELOW) < 0.05


def test_detail_is_low_for_enlarged_images(drawn):
    faces = drawn[:100]
    assert np.mean(detail(np.stack([enlarged(face) for face in faces])) < LITTLE_DETAIL_BELOW) > 0.9
    assert np.mean(detail(faces) < LITTLE_DETAIL_BELOW) < 0.1
    assert detail(np.zeros((1, 48, 48), dtype=np.uint8)) == 0


def test_audit_lists_images_without_faces_first(drawn):
    random = np.random.default_rng(0)
    checks = ((np.indices((48, 48)).sum(axis=0) // 6) % 2 * 255).astype(np.uint8)
    stripes = np.tile((np.arange(48) // 4 % 2 * 200).astype(np.uint8), (48, 1))
    noise = random.integers(0, 256, (8, 48, 48), dtype=np.uint8)
    strange = np.concatenate([checks[np.newaxis], stripes[np.newaxis], noise])
    scores = outlier_scores(np.concatenate([drawn[:600], strange]))
    assert set(np.argsort(-scores)[:2].tolist()) == {600, 601}
    assert roc_auc_score(np.arange(610) >= 600, scores) > 0.85, "noise is less strange than patterns"
