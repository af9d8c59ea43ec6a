"""Oracles: faults that the test plants among rendered faces; three samples of one person tell as much as one."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mien.auditing.run import audit_faces, check_audit, find_copies
from mien.auditing.sections import SECTIONS, audit_sections, audit_values
from mien.base.errors import DataError
from mien.base.labels import FERPLUS_CLASSES
from mien.data.clean import Clean, apply_clean
from mien.data.dataset import Dataset
from mien.evaluation.estimates import evaluate_predictions
from mien.evaluation.predictions import Predictions
from mien.near_copies.finder import NearCopies
from mien.page.page import Table
from mien.pipeline.measured_split import MeasuredSplit
from support import raises


def planted(faces):
    """Rendered faces, 6 of validation and 2 of train copied from train (2 relabelled, 2 mirrored), 2 blank ones."""
    train = np.flatnonzero(faces.split == "train")[:8]
    images = np.concatenate([faces.images, faces.images[train], np.zeros((2, 48, 48), np.uint8)])
    relabelled, mirrored = (slice(len(faces) + at, len(faces) + at + 2) for at in (0, 4))
    images[mirrored] = images[mirrored, :, ::-1]
    labels = np.concatenate([faces.labels, faces.labels[train], [0, 0]])
    labels[relabelled] = (labels[relabelled] + 1) % 7
    split = [*faces.split, *["validation"] * 6, *["train"] * 3, "test"]
    made = Dataset.from_arrays(images, labels, faces.classes, split)
    return replace(made, votes=votes_for(labels, blank=len(labels) - 2), vote_classes=FERPLUS_CLASSES)


def votes_for(labels, blank):
    """Eight of ten say the label, two are unsure; of the blank ones all say that it is no face."""
    answer, votes = np.array([4, 5, 6, 1, 3, 2, 0])[labels], np.zeros((len(labels), 10), dtype=np.int64)
    votes[np.arange(len(labels)), answer] = 8
    votes[:, 8] = 2
    votes[blank:] = np.eye(10, dtype=np.int64)[9] * 10
    return votes


def predictions_of(faces, split, turned=()):
    """A good model; of the turned rows it is sure of another class."""
    part = faces.subset(faces.split == split if split in {"train", "validation", "test"} else faces.split != "test")
    truth = part.labels.copy()
    truth[np.isin(part.rows, turned)] = (truth[np.isin(part.rows, turned)] + 3) % 7
    logits = np.random.default_rng(0).normal(size=(len(part), 7))
    logits[np.arange(len(part)), truth] += 6
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return Predictions(part.rows, part.labels, probabilities, faces.classes, split, faces.fingerprint)


@pytest.fixture(scope="module")
def data(faces):
    return planted(faces)


@pytest.fixture(scope="module")
def copies(data):
    return find_copies(data)


def test_audit_counts_planted_faults_and_the_accuracy_without_copies(data, copies):
    audited = audit_faces(data, copies)
    found = audit_values(audited)
    exact, near = found["identical"], found["identical_or_near"]
    assert (exact["groups"], exact["samples"], near["groups"], near["samples"]) == (7, 14, 9, 18)
    assert (exact["conflicting_groups"], exact["conflicting_samples"]) == (2, 4)
    leaks = {(leak["split"], leak["source"]): leak["samples"] for leak in exact["leaks"]}
    assert leaks == {("validation", "train"): 4, ("test", "train"): 1, ("test", "validation"): 0}
    assert (near["leaks"][0]["samples"], found["quality_issues"]["blank"]) == (6, 2)
    assert found["counts"]["validation"] == dict(
        zip(data.classes, np.bincount(data.labels[data.split == "validation"], minlength=7).tolist(), strict=True)
    )
    assert found["labels"] is None
    assert (audited.not_checked[0].code, found["not_checked"]) == ("labels-not-reviewed", list(audited.not_checked))
    # Oracle: the rows that were planted; near-copies count as leaks, and conflicts by identical pixels.
    predictions = predictions_of(data, "validation")
    parts = MeasuredSplit.resolve(predictions, data).subsets()
    assert [part.count for part in parts] == [len(predictions), len(predictions) - 6, len(predictions) - 2]
    by_hand = evaluate_predictions(predictions.subset(~np.isin(predictions.sample_ids, np.arange(400, 406))), 5)
    assert (parts[1].accuracy.value, parts[1].macro_f1.value) == (by_hand.accuracy.value, by_hand.macro_f1.value)
    assert MeasuredSplit.resolve(predictions_of(data, "train"), data).subsets() == []


def test_audit_relabels_doubted_samples_of_train_only(data, copies):
    labels = data.labels.copy()
    turned = np.concatenate([np.flatnonzero(data.split == split)[20:26] for split in ("train", "validation")])
    labels[turned] = (labels[turned] + 4) % 7
    wrong = replace(data, labels=labels)
    found = audit_faces(wrong, copies, predictions_of(wrong, "out-of-fold", data.rows[turned]))
    is_turned = np.isin(found.label_review.predictions.sample_ids, data.rows[turned])
    assert roc_auc_score(is_turned, found.label_review.issues.suspicion) > 0.9
    values, reviewed = audit_values(found)["labels"], found.label_review.predictions
    assert values["evidence"] == (data.split == "train").sum()
    assert values["accuracy"] == (reviewed.probabilities.argmax(axis=1) == reviewed.labels).mean()
    assert 0.5 < values["accuracy"] < 1
    assert "labels-weak-model" not in [each.code for each in found.not_checked]
    assert is_turned[np.argsort(-found.label_review.issues.suspicion)[:100]].sum() >= 12
    doubted = {change.row for change in found.changes if change.kind == "doubt"}
    mended = [row for row in data.rows[turned[:6]].tolist() if row in doubted]
    assert len(mended) >= 5
    assert {str(data.split[row]) for row in doubted} == {"train"}
    left = apply_clean(wrong, Clean(wrong.fingerprint, found.changes))
    for row in mended:
        assert left.labels[left.rows == row] == data.labels[row], "it has the label that it had before"


def test_audit_confirms_flags_by_votes(data, copies):
    """Oracle: an audit of FER+'s ten columns. These columns lack the class not-a-face, so its findings are missing."""
    own = replace(data, votes=data.votes[:, :7], vote_classes=FERPLUS_CLASSES[:7])
    found, plain = (audit_faces(each, copies, predictions_of(each, "validation")) for each in (own, data))
    assert found.label_review.flagged_confirmed is not None
    assert "votes-not-used" not in {each.code for each in found.not_checked}
    assert found.ceilings["validation"].samples == plain.ceilings["validation"].samples
    found = audit_faces(replace(data, votes=None), copies, predictions_of(data, "validation"))
    assert found.label_review.flagged_confirmed is None
    assert (found.ceilings, found.not_checked[0].code) == ({}, "votes-not-used")


def test_each_section_begins_with_a_table_for_the_terminal(data, copies):
    """Oracle of one: the list of changes, each with its sample."""
    found = audit_faces(data, copies, predictions_of(data, "validation"))
    sections = audit_sections(found)
    assert len({each.key for each in sections}) == len(SECTIONS)
    assert all(isinstance(each.blocks[0], Table) and each.blocks[0].rows for each in sections)
    assert [row[0] for row in sections[-1].blocks[-1].rows] == [change.row for change in found.changes]


def test_audit_of_fer2013_repeats_stored_counts(fer2013_faces):
    """Images of PublicTest: 217 have a copy or near-copy in an eighth of Training (967 in all of it, in a minute)."""
    train = np.flatnonzero(fer2013_faces.split == "train")[::8]
    faces = fer2013_faces.subset(np.union1d(train, np.flatnonzero(fer2013_faces.split != "train")))
    counts = [part.count for part in MeasuredSplit.resolve(predictions_of(faces, "validation"), faces).subsets()]
    # Processors differ in the last bit of the rotations.
    assert (counts[1], [counts[0], counts[2]]) == (pytest.approx(3589 - 217, abs=3), [3589, 3587])


def test_check_audit_rejects_predictions_without_a_class(data):
    every, sad = predictions_of(data, "out-of-fold"), data.classes.index("sad")
    check_audit(data, every)
    train = np.isin(every.sample_ids, data.rows[data.split == "train"])
    for kept, what in ((~train | (every.labels != sad), "train row"), (~train & (every.labels != sad), "row")):
        fewer = {name: getattr(every, name)[kept] for name in ("sample_ids", "labels", "probabilities")}
        with raises(DataError, "not-auditable", f" one {what} of "):
            check_audit(data, replace(every, **fewer))


COUNT = 120
CLASSES = ("angry", "happy", "sad")


def people(times):
    """Each of 120 people with one sample, or with three equal ones; half are of train."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (COUNT, 48, 48)).astype(np.uint8)
    votes = generator.multinomial(10, [0.2] * 5 + [0] * 5, COUNT)
    labels, split = generator.integers(0, 3, COUNT), np.array(["train", "validation"]).repeat(COUNT * times // 2)
    of_person = np.arange(COUNT).repeat(times)
    faces = Dataset.from_arrays(images[of_person], labels[of_person], CLASSES, split, groups=of_person)
    return replace(faces, votes=votes[of_person], vote_classes=FERPLUS_CLASSES)


def test_ceilings_resample_whole_groups():
    found, nothing = [], np.zeros(0, dtype=np.int64)
    for times in (1, 3):
        faces = people(times)
        own = np.arange(len(faces))
        copies = NearCopies(nothing, nothing, nothing.astype(np.float32), own, own)
        panels = [each.second_panel for each in audit_faces(faces, copies).ceilings.values()]
        found.append([[each.value, each.low, each.high] for each in panels])
    assert found[0]
    for alone, thrice in zip(*found, strict=True):
        assert thrice == pytest.approx(alone, abs=0.02), "panels are drawn by sample, so only about"
    chances = np.random.default_rng(1).dirichlet(np.ones(3), len(faces))
    found = audit_faces(faces, copies, Predictions(faces.rows, faces.labels, chances, CLASSES, "out-of-fold", ""))
    np.testing.assert_array_equal(found.label_review.predictions.groups, faces.groups)
