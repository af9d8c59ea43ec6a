"""Oracle: a face three times in one group of the data is reported with the intervals of the face alone."""

import json

import numpy as np
import pytest

from mien.data.dataset import Dataset
from mien.evaluation.predictions import Predictions
from support import write_report

TABLES = ("areas", "confused-pairs", "without-copies")
CLASSES = ("angry", "happy", "sad")


def tables(folder, times):
    """Tables of a report on 60 faces; the predictions know nothing of the groups that the data has."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (60, 48, 48)).astype(np.uint8)
    labels, chances = np.arange(60) % 3, generator.dirichlet(np.ones(3), 60)
    chances = (2 * chances + np.eye(3)[labels]) / 3
    images, labels, chances = (each.repeat(times, axis=0) for each in (images, labels, chances))
    faces = Dataset.from_arrays(
        images, labels, classes=CLASSES, split=np.full(len(labels), "validation"), groups=np.arange(60).repeat(times)
    )
    predictions = Predictions(faces.rows, labels, chances, CLASSES, "validation", "")
    write_report(folder, predictions, title="people", faces=faces)
    return {name: json.loads((folder / "tables" / f"{name}.json").read_text(encoding="utf-8")) for name in TABLES}


def intervals(content):
    """All intervals of a table's JSON."""
    if isinstance(content, dict) and {"low", "high"} <= content.keys():
        return [(content["low"], content["high"])]
    parts = content.values() if isinstance(content, dict) else content if isinstance(content, list) else ()
    return [each for part in parts for each in intervals(part)]


def test_intervals_of_a_report_resample_groups_of_the_data(tmp_path):
    alone, thrice = tables(tmp_path / "alone", 1), tables(tmp_path / "thrice", 3)
    for name in TABLES:
        found, expected = intervals(thrice[name]), intervals(alone[name])
        assert len(found) == len(expected) > 0, name
        for one, other in zip(found, expected, strict=True):
            assert one == pytest.approx(other, abs=1e-9, nan_ok=True), name
