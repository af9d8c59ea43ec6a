"""Write a small page of each command into a folder, for browser tests; all of made-up predictions of rendered faces.

Usage: python make_pages.py FOLDER
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from mien.api.inputs import read
from mien.api.report import compare_named
from mien.auditing.run import audit_faces, find_copies
from mien.auditing.sections import write_audit
from mien.base.labels import EXPRESSIONS
from mien.data.dataset import Dataset
from mien.data.synthetic import render_faces
from mien.evaluation.paired_tests import RepeatedDifference, Spread
from mien.evaluation.predictions import Predictions
from mien.evaluation.results import Estimate
from mien.faces.face import Box
from mien.inference.prediction import Prediction
from mien.reporting.comparison import comparison_page
from mien.runs.page import write_study
from mien.runs.spec import ComparisonSpec, Study, Variant
from mien.runs.table import StudyTable, VariantComparison, VariantRow
from mien.video.timeline import Timeline, timeline_html
from mien.video.tracker import TrackedFace, VideoFrame

METADATA = {"model": "made up", "command": "mien"}
CLASSES = len(EXPRESSIONS)

out = Path(sys.argv[1])
labels = np.arange(140) % CLASSES
images = render_faces(labels, seed=0)
images[[71, 72]] = images[[1, 2]]
faces = Dataset.from_arrays(images, labels, EXPRESSIONS, split=["train"] * 70 + ["validation"] * 70)


def made_up(seed):
    """Predictions that are wrong about a third."""
    noise = np.random.default_rng(seed).normal(size=(70, CLASSES))
    odds = np.exp(noise + 1.5 * np.eye(CLASSES)[labels[70:]])
    shares = odds / odds.sum(axis=1, keepdims=True)
    return Predictions(faces.rows[70:], labels[70:], shares, EXPRESSIONS, "validation", "")


def write_study_page(folder):
    """A study of two variants and one metric."""
    spread, estimate = Spread((0.6, 0.64), 0.62, 0.03, Estimate(0.62, 0.6, 0.64)), Estimate(0.02, -0.01, 0.05)
    variants = tuple(Variant(name=name, title=f"with {name}") for name in ("one", "two"))
    compared = ComparisonSpec(title="One and two", variants=("one", "two"), baseline="one")
    study = Study(
        name="small", title="A study", recipe="quick", metrics=("accuracy",), variants=variants, comparisons=(compared,)
    )
    difference = RepeatedDifference(0.6, 0.62, estimate, 0.2, 2, 0.2)
    rows = tuple(VariantRow(each, 70, CLASSES, {"accuracy": spread}, 0, 0) for each in variants)
    entry = {"two": {"accuracy": difference}}
    comparisons = (VariantComparison(compared, 70, entry, ()),)
    write_study(folder, StudyTable(study, study.named_metrics, rows, comparisons, ()), METADATA)


def video_page():
    """Two faces for three seconds, the first of them in doubt."""
    timeline = Timeline(EXPRESSIONS, 0.1)
    for number in range(30):
        seen = []
        for track in (1, 2):
            scores = np.full(CLASSES, (0.7 if number < 10 else 0.2) / (CLASSES - 1))
            scores[(track + number // 15) % CLASSES] = 0.3 if number < 10 else 0.8
            face = Prediction("clip", EXPRESSIONS, scores, Box(0, 0, 20, 20), images[track], 0.9)
            seen.append(TrackedFace(track, face))
        timeline.add(VideoFrame(number, number / 10, np.zeros((2, 2, 3), dtype=np.uint8), seen))
    words: dict[str, Any] = {"title": "clip.mp4", "lead": "30 frames.", "notes": ["A note."]}
    return timeline_html(timeline, **words, metadata=METADATA)


comparisons = compare_named([("one", made_up(0)), ("two", made_up(1))], read(faces, 48))
comparison_page(comparisons, METADATA).write(out / "comparison")
findings = audit_faces(faces, find_copies(faces), made_up(0))
write_audit(out / "audit", findings, title="Audit", metadata=METADATA)
write_study_page(out / "study")
(out / "video.html").write_text(video_page(), encoding="utf-8")
