"""Oracles: leaks that the test made by hand; a model that knows the images of train and nothing else."""

import numpy as np

from mien.data.dataset import Dataset
from mien.evaluation.predictions import Predictions
from mien.pipeline.measured_split import MeasuredSplit
from people import rendered_people


def nearest_neighbour(faces):
    """Predictions for validation by the most similar image of train, as a model that learnt them by heart."""
    train, validation = faces.of_split("train"), faces.of_split("validation")
    known, asked = (each.images.reshape(len(each), -1).astype(np.float32) for each in (train, validation))
    distance = (known**2).sum(axis=1) - 2 * asked @ known.T
    said = np.eye(len(faces.classes))[train.labels[distance.argmin(axis=1)]] * 0.9 + 0.1 / len(faces.classes)
    groups = validation.groups
    return Predictions(validation.rows, validation.labels, said, faces.classes, "validation", "", groups=groups)


def test_frames_beside_those_of_train_are_leaked_and_flatter():
    """120 sequences of three frames: one frame of 30 of them, and all frames of another 15, are validation."""
    images, labels, people = rendered_people(30, 4, 3, seed=8)
    split = np.full(360, "train", dtype="<U10").reshape(120, 3)
    split[:30, 0] = "validation"
    split[105:] = "validation"
    faces = Dataset.from_arrays(images, labels, classes=[*"abcdefg"], split=split.ravel(), groups=people)
    parts = {each.value: each for each in MeasuredSplit.resolve(nearest_neighbour(faces), faces).subsets()}
    assert parts["all samples"].count == 75
    assert 43 <= parts["without leaked samples"].count <= 47
    assert parts["without conflicting copies"].count == 75, "no two images are identical"
    assert parts["all samples"].accuracy.value - parts["without leaked samples"].accuracy.value > 0.2
    trained = set(people.reshape(120, 3)[:105].ravel().tolist())
    unseen = sum(person not in trained for person in people.reshape(120, 3)[105:].ravel().tolist())
    assert parts["without groups seen before (group)"].count == unseen


def test_a_split_by_person_is_honest_where_a_random_one_flatters():
    images, labels, people = rendered_people(30, 4, 3, seed=8)
    inside = np.random.default_rng(0).random(360) < 0.15
    random = Dataset.from_arrays(images, labels, classes=[*"abcdefg"], split=np.where(inside, "validation", "train"))
    by_person = Dataset.from_arrays(images, labels, classes=[*"abcdefg"], groups=people)
    accuracy = [
        float((each.probabilities.argmax(axis=1) == each.labels).mean())
        for each in map(nearest_neighbour, (random, by_person))
    ]
    assert accuracy[0] > accuracy[1] + 0.3, accuracy
