"""Write teach.json: features of drawn faces, and the head that ``mien train head`` fits to them.

python web/tests/make_teach_vectors.py
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import torch

from mien.api.train import find_job
from mien.data.dataset import Dataset
from mien.data.splits import deal_groups, split_groups
from mien.data.synthetic import synthetic_faces
from mien.training.head import FOLDS, _features, fit_head
from mien.training.plan import plan_training
from mien.training.state import prepare

FILE = Path(__file__).with_name("teach.json")
CLASSES = ("happy", "surprise", "neutral")


def main() -> None:
    """Fit a head on the built-in model ``fast``, as ``mien train head --from fast`` does."""
    drawn = synthetic_faces(400, seed=5)
    # Three classes that its features confuse.
    numbers = [drawn.classes.index(name) for name in CLASSES]
    places = np.concatenate(
        [
            np.flatnonzero((drawn.split == split) & np.isin(drawn.labels, numbers))[:45]
            for split in ("train", "validation")
        ]
    )
    labels = np.array([numbers.index(label) for label in drawn.labels[places]])
    faces = Dataset.from_arrays(drawn.images[places], labels, CLASSES, split=drawn.split[places])
    job = find_job("head", [], "fast")
    state = prepare(plan_training(job.recipe, faces), job.init_from, device="cpu")
    faces = faces.of_split("train")
    plain, mirrored = _features(state)
    fit_head(state)
    with torch.no_grad():
        logits = state.network.head(plain.float())
    found = state.cross_validation
    assert found
    content = {
        "classes": state.plan.classes,
        "plain": _packed(plain),
        "mirrored": _packed(mirrored),
        "labels": state.labels.tolist(),
        "folds": deal_groups(split_groups(faces.images, faces.groups), faces.labels, FOLDS).tolist(),
        "penalty": found["penalty"],
        "accuracy": found["accuracy"],
        "dealt": _dealt(),
        "logits": logits.double().numpy().round(6).tolist(),
    }
    FILE.write_text(json.dumps(content, separators=(",", ":")) + "\n", encoding="utf-8")


def _dealt() -> dict[str, list[int]]:
    """Twelve groups in five folds. None has the spread of classes of another, since ties are dealt by chance."""
    counts = np.array([np.roll([size, 1, 0], size) for size in range(1, 13)])
    groups = np.repeat(np.arange(len(counts)), counts.sum(axis=1))
    labels = np.concatenate([np.repeat(np.arange(len(CLASSES)), row) for row in counts])
    folds = deal_groups(groups, labels, FOLDS)
    return {"groups": groups.tolist(), "labels": labels.tolist(), "folds": folds.tolist()}


def _packed(features: torch.Tensor) -> str:
    return base64.b64encode(features.float().numpy().tobytes()).decode()


if __name__ == "__main__":
    main()
