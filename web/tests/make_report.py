"""Write the report of made-up predictions of rendered faces into a folder, for browser tests.

Usage: python make_report.py FOLDER
"""

import sys

import numpy as np

from mien.api.report import report
from mien.base.labels import EXPRESSIONS
from mien.data.dataset import Dataset
from mien.data.synthetic import render_faces
from mien.evaluation.predictions import Predictions

labels = np.arange(140) % len(EXPRESSIONS)
faces = Dataset.from_arrays(render_faces(labels, seed=0), labels, EXPRESSIONS, split=["validation"] * len(labels))
# Wrong about a third, and never sure: every kind of cell is there.
logits = np.random.default_rng(0).normal(size=(len(labels), len(EXPRESSIONS))) + 1.5 * np.eye(len(EXPRESSIONS))[labels]
probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
predictions = Predictions(faces.rows, faces.labels, probabilities, faces.classes, "validation", "")
written = report(predictions, faces, out=sys.argv[1])
sys.stdout.write(f"{written.page}\n")
