"""Oracles: itertools over all orders of classes, the labels of the rendered faces, what each file was made to hide."""

import json
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from mien.api.check import _claimed, check
from mien.base.errors import DataError
from mien.base.labels import parse_scheme
from mien.data.dataset import Dataset
from mien.evaluation.error_analysis import MAX_CLASSES, best_exchange, learned_labels
from mien.evaluation.metrics import majority, proportion_among
from mien.evaluation.predictions import Predictions
from mien.pipeline.user_tables import _class_index, by_file
from support import make_predictions, raises


@pytest.fixture(scope="module")
def validation(faces):
    return faces.of_split("validation")


@pytest.fixture
def csv(tmp_path, faces, validation):
    """Write a file of predicted classes (N,), named or numbered, by id or as ``columns`` say."""

    def write(predicted, columns="id,prediction", keys=validation.rows, more=()):
        rows, path = zip(keys, predicted, *more, strict=True), tmp_path / "claim.csv"
        path.write_text("\n".join([columns, *(",".join(map(str, row)) for row in rows)]) + "\n")
        return path

    return write


@pytest.fixture
def checked(csv, face_parquet):
    """Findings of ``check`` for such a file of the validation split."""
    return lambda *given, claimed=None, **more: check(csv(*given, **more), face_parquet, "validation", claimed=claimed)


def verdicts(result):
    return {item.key: item.verdict for item in result.findings}


def named(faces, indices):
    return [faces.classes[index] for index in indices]


@pytest.mark.parametrize("seed", range(5))
def test_best_exchange_equals_a_search_of_all_orders(seed):
    confusion = np.random.default_rng(seed).integers(0, 50, (5, 5))
    correct = {order: sum(confusion[order[at], at] for at in range(5)) for order in permutations(range(5))}
    renamed, accuracy, _ = best_exchange(confusion)
    assert (tuple(renamed), accuracy) == (max(correct, key=correct.get), max(correct.values()) / confusion.sum())


def test_check_finds_permuted_classes_and_missing_samples(checked, faces, validation):
    right = checked(named(faces, validation.labels), claimed=1.0)
    assert (right.accuracy.value, verdicts(right)["labels"]) == (1, "unknown")
    assert {right.verdict, *verdicts(right).values()} <= {"fine", "unknown", "caution"}
    order = np.roll(np.arange(len(faces.classes)), 1)
    permuted = checked(order[validation.labels], claimed=1.0)
    assert verdicts(permuted)["order of classes"] == verdicts(permuted)["claimed accuracy"] == "wrong"
    order = [row[1] for row in permuted.table().rows]
    assert order == sorted(order, key=["wrong", "caution", "fine", "unknown"].index), "the worst first"
    unsure = np.array(named(faces, validation.labels), dtype=object)
    unsure[0] = "unsure"
    # A file's name counts, not the index that pandas wrote beside it.
    lacking = checked(unsure, "index,answer,file", validation.rows[::-1], [validation.source])
    assert (lacking.samples, lacking.accuracy.value) == (len(validation) - 1, 1)
    assert verdicts(lacking)["all samples"] == "caution"
    assert not best_exchange(np.random.default_rng(0).multinomial(300, np.full(49, 1 / 49)).reshape(7, 7))[2]
    assert best_exchange(np.eye(MAX_CLASSES + 1, dtype=np.int64)) is None
    # Oracle: one or two decimals of the percentage.
    some = checked(np.roll(validation.labels, 1)).accuracy.value
    for claimed in (some, round(some, 3), some + 0.0011, some - 0.0011):
        found = checked(np.roll(validation.labels, 1), claimed=claimed)
        assert verdicts(found)["claimed accuracy"] == ("fine" if f"{claimed:.1%}" == f"{some:.1%}" else "wrong")
    assert _claimed(0.5015, proportion_among(np.arange(3589) < 1800)).verdict == "fine"


def test_check_prefers_the_file_to_the_id_and_the_class_to_probabilities(checked, csv, faces, validation, face_parquet):
    """Oracle: every answer is right by its file; pandas numbered the rows the other way round."""
    answers = named(faces, validation.labels)
    own = csv(answers, "id,prediction,image", validation.rows[::-1], [validation.source])
    assert check(own, face_parquet, "validation").accuracy.value == 1
    with raises(DataError, "data-differs", "line 2"):
        checked(answers, "sample_id,prediction,image", validation.rows[::-1], [validation.source])
    same = csv(answers, "sample_id,prediction,image", validation.rows, [validation.source])
    assert check(same, face_parquet, "validation").accuracy.value == 1
    numbers, ids = validation.labels.astype(float), validation.rows.astype(float)  # pandas: 3.0 in a column with gaps
    first = [['"0,5"' if at < 2 else "0"] * len(ids) for at in range(len(faces.classes))]  # the first class, in Excel
    for columns, accuracy in (("prediction", 1), ("emotion", (validation.labels == 0).mean())):
        file = csv(numbers, f"id,{columns},{','.join(faces.classes)}", ids, first)
        assert check(file, face_parquet, "validation").accuracy.value == accuracy


def test_check_reads_probabilities_and_labels(checked, faces, validation, csv, face_parquet):
    probabilities = np.full((len(validation.labels), len(faces.classes)), 0.01)
    probabilities[np.arange(len(probabilities)), validation.labels] = 1.01 - 0.01 * len(faces.classes)
    header = f"sample_id,{faces.classes[0]},label,{','.join(faces.classes[1:])}"
    wrong_first = [(validation.labels[0] + 1) % len(faces.classes), *validation.labels[1:]]
    result = checked(probabilities[:, 0], header, more=(wrong_first, *probabilities[:, 1:].T))
    assert (result.accuracy.value, verdicts(result)["labels"]) == (1, "wrong")
    answers = np.array(named(faces, validation.labels), dtype=object)
    answers[:3] = ["NA", "None", "<NA>"]
    assert checked(answers).samples == len(validation) - 3
    rounded = np.full((len(validation.labels), len(faces.classes)), 0.02)  # sums to 1.02
    rounded[np.arange(len(rounded)), validation.labels] = 1.04 - 0.02 * len(faces.classes)
    file = csv(rounded[:, 0], f"id,{','.join(faces.classes).upper()}", more=rounded[:, 1:].T)
    assert check(file, face_parquet, "validation", claimed=0.9996).accuracy.value == 1
    rounded[0] = 0
    with raises(DataError, "predictions"):
        checked(rounded[:, 0], f"id,{','.join(faces.classes)}", more=rounded[:, 1:].T)


def test_classes_and_files_are_found_by_their_names():
    assert [_class_index(text, ("v1.0", "1.0", "v2"), "line 1") for text in ("1.0", "v1.0", "2.0", "0")] == [1, 0, 2, 0]
    assert [_class_index(text, ("Bored", "happy"), "line 1") for text in ("bored", "BORED", "Happiness")] == [0, 0, 1]
    assert [_class_index(text, ("1", "2", "3"), "line 1") for text in ("1", "1.0", "3.0")] == [0, 0, 2]
    assert [_class_index(text, ("1.0", "2.0"), "line 1") for text in ("1.0", "2.0", "1")] == [0, 1, 1]
    find = by_file(["a/Zoe\u0308.png", "b/n\xef.png", "b/ni\u0308.png"])
    assert [find(name) for name in ("Zo\xeb.png", "b\\Zo\xeb.png", "b/n\xef.png")] == [0, -1, -1]


def test_check_counts_no_missing_samples_of_dropped_classes(faces, validation, face_parquet):
    own = make_predictions(validation.labels, faces.classes, validation.rows, "mine", faces.fingerprint)
    assert verdicts(check(own, face_parquet))["all samples"] == "fine"
    two, print_ = validation.with_scheme(parse_scheme("a=happy,b=sad")), faces.fingerprint_for_predictions("validation")
    kept = replace(make_predictions(two.labels, two.classes, two.rows, "validation", print_), scheme="a=happy,b=sad")
    assert len(two) < len(validation)
    assert verdicts(check(kept, face_parquet))["all samples"] == "fine"


def test_check_finds_memorised_labels():
    generator = np.random.default_rng(0)
    seen = generator.integers(0, 3, 600)
    labels = np.where(generator.random(600) < 0.4, (seen + 1) % 3, seen)
    images = generator.integers(0, 255, (600, 48, 48), dtype=np.uint8)
    data = Dataset.from_arrays(images, labels, ("angry", "happy", "sad"), ["validation"] * 600)
    data = replace(data, votes=4 * np.eye(3, dtype=np.int64)[seen] + 2, vote_classes=data.classes)
    assert (majority(data.votes, data.classes) == seen).all()

    def result(predicted):
        return check(Predictions(data.rows, labels, np.eye(3)[predicted], data.classes, "validation", ""), data)

    assert verdicts(result(labels))["labels seen in training"] == "wrong"
    assert verdicts(result(seen))["labels seen in training"] == "fine"
    assert verdicts(result(seen))["a second panel"] == "caution"
    right = Predictions(data.rows, seen, np.eye(3)[seen], data.classes, "validation", "")
    assert verdicts(check(right, replace(data, labels=seen)))["labels seen in training"] == "unknown"
    contradicted, repeated = learned_labels(labels, labels, seen)
    assert (contradicted, repeated.value) == ((labels != seen).sum(), 1)


def test_check_tests_against_one_class_and_another_file():
    """Oracle: the sign-flip test of three samples, or groups, has a p-value of 1/4 at least."""
    labels = np.repeat([0, 1], [97, 3])
    images = np.random.default_rng(0).integers(0, 255, (100, 48, 48), dtype=np.uint8)
    data = Dataset.from_arrays(images, labels, ("angry", "happy"), ["validation"] * 100)
    groups = np.arange(100).clip(96) - 96

    def claim(predicted, groups=None):
        return Predictions(data.rows, labels, np.eye(2)[predicted], data.classes, "validation", "", groups=groups)

    for predicted, verdict in ((labels, "caution"), (np.zeros(100, int), "wrong"), (1 - labels, "wrong")):
        assert verdicts(check(claim(predicted), data))["better than one class"] == verdict
    key = "better than the other file"
    assert verdicts(check(claim(labels), data, against=claim(1 - labels)))[key] == "fine"
    assert verdicts(check(claim(labels, groups), data, against=claim(1 - labels, groups)))[key] == "caution"


def test_check_compares_with_another_file(csv, faces, validation, face_parquet, mien, tmp_path):
    sure = np.eye(len(faces.classes))[validation.labels]
    good = Predictions(validation.rows, validation.labels, sure, faces.classes, "validation", "")
    bad = csv(np.zeros(len(validation.labels), dtype=np.int64))
    assert verdicts(check(good, face_parquet, "validation", against=bad))["better than the other file"] == "fine"
    assert verdicts(check(bad, face_parquet, "validation", against=good))["better than the other file"] == "caution"
    with raises(DataError, "options", "validation"):
        check(good, face_parquet, "train")
    with raises(DataError, "data-differs"):
        check(good, face_parquet, against=replace(good, labels=good.labels[::-1]))
    file = csv(named(faces, validation.labels))
    answer = mien("check", file, "--data", face_parquet, "--split", "validation", "--out", tmp_path / "out", "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["accuracy"]["value"] == 1
    assert (tmp_path / "out" / "tables" / "findings.csv").is_file()


@pytest.mark.parametrize(("columns", "change", "code"), [
    ("name,prediction", {}, "columns"),
    ("id,guess", {}, "columns"),
    ("id,prediction", {0: "joyful?"}, "class-unknown"),
    ("id,prediction", {0: 99}, "class-unknown"),
])  # fmt: skip
def test_check_rejects_bad_tables(checked, faces, validation, columns, change, code):
    predicted = [change.get(at, name) for at, name in enumerate(named(faces, validation.labels))]
    with raises(Exception, code):
        checked(predicted, columns)


def test_check_rejects_bad_samples(csv, faces, validation):
    """A path matches an end of the data's, or the other way round, but no path that only ends in the same name."""
    predicted = named(faces, validation.labels)
    data, paths = replace(faces, source=np.char.add("b/c/", faces.source)), validation.source
    for column, keys, code in (
        ("id", [10**9, *validation.rows[1:]], "data-differs"),
        ("id", [validation.rows[1], *validation.rows[1:]], "predictions"),
        ("file", np.char.add("b/other/", paths), "data-differs"),
    ):
        with raises(Exception, code):
            check(csv(predicted, f"{column},prediction", keys), data, "validation")
    for start in ("", "c/", "/a/b/c/"):
        assert check(csv(predicted, "file,answer", np.char.add(start, paths)), data, "validation").accuracy.value == 1
    with raises(DataError, "options", 73.2):
        check(csv(predicted), data, "validation", claimed=73.2)
