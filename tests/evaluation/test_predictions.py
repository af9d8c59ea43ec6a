"""Oracles: what was written, docs/predictions.md's own snippet, and one damaged file for each rule."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mien.base.errors import DataError
from mien.base.labels import EXPRESSIONS, parse_scheme
from mien.evaluation.predictions import Predictions, read_predictions, write_predictions
from support import raises

GOOD = {
    "sample_ids": np.array([7, 3, 9]), "labels": np.array([0, 1, 1]),
    "probabilities": np.array([[0.75, 0.25], [0.5, 0.5], [0.125, 0.875]]), "classes": np.array(["sad", "happy"]),
    "split": np.array("test"), "data_fingerprint": np.array("sha256:00"),
}  # fmt: skip


def save(folder: Path, **changes) -> Path:
    path = folder / "predictions_test.npz"
    np.savez_compressed(path, **{name: value for name, value in {**GOOD, **changes}.items() if value is not None})
    return path


def changed(entry, value):
    probabilities = GOOD["probabilities"].copy()
    probabilities[entry] = value
    return probabilities


def test_predictions_are_read_as_written(tmp_path):
    arrays = [GOOD[name] for name in ("sample_ids", "labels", "probabilities")]
    predictions = Predictions(*arrays, ("sad", "fröhlich 喜"), "test", "")
    write_predictions(tmp_path / "new" / "scores.npz", predictions)
    found = read_predictions(tmp_path / "new" / "scores.npz")
    for name in ("sample_ids", "labels", "probabilities"):
        np.testing.assert_array_equal(getattr(found, name), getattr(predictions, name))
        assert getattr(found, name).dtype == getattr(predictions, name).dtype
    assert (found.classes, found.split, found.data_fingerprint) == (("sad", "fröhlich 喜"), "test", "")
    assert (found.note, found.temperature) == ("", None)
    write_predictions(tmp_path / "warm.npz", replace(predictions, note="ten views", temperature=0.875))
    warm = read_predictions(tmp_path / "warm.npz")
    assert (warm.note, warm.temperature) == ("ten views", 0.875)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["scores.npz"]


def test_narrow_types_equal_bytes_and_parts_alone_are_accepted(tmp_path):
    half = GOOD["probabilities"].astype(np.float16)
    path = save(tmp_path, sample_ids=np.uint16([7, 3, 9]), labels=np.uint8([0, 1, 1]), probabilities=half)
    predictions = read_predictions(path)
    dtypes = [each.dtype for each in (predictions.sample_ids, predictions.labels, predictions.probabilities)]
    assert dtypes == [np.int64, np.int64, np.float64]
    np.testing.assert_array_equal(predictions.probabilities, GOOD["probabilities"])
    read_predictions(save(tmp_path, probabilities=changed(1, [0.5, 0.4995])))
    shares = np.random.default_rng(0).dirichlet(np.ones(3), 3)
    written = Predictions(np.array([9, 4, 7]), np.array([0, 1, 2]), shares, ("a", "b", "c"), "validation", "")
    write_predictions(tmp_path / "half.npz", written, np.float16)
    assert read_predictions(tmp_path / "half.npz").probabilities == pytest.approx(shares, abs=5e-4)
    with np.load(tmp_path / "half.npz") as arrays:
        assert arrays["probabilities"].dtype == np.float16
    predictions = read_predictions(save(tmp_path))
    write_predictions(tmp_path / "a.npz", predictions)
    write_predictions(tmp_path / "b.npz", predictions)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    odd = np.array([1, 2])
    predictions = read_predictions(save(tmp_path, value_names=odd, values=odd, vote_classes=odd, answer_output=odd))
    assert (predictions.votes, predictions.answers, predictions.rated) == (None, None, None)


@pytest.mark.parametrize(("changes", "found"), [
    ({"labels": None}, "Missing: labels; found: sample_ids, probabilities"),
    ({"answers": np.array(["sad"] * 3)}, "'answer_confidence', the probability of each"),
    ({"sample_ids": np.array([7.0, 3, 9])}, "float64 (3,)"),
    ({"sample_ids": np.array([7, 3])}, "found 3 for 2"),
    ({"sample_ids": np.array([7, 3, 7])}, "7 occurs 2 times"),
    ({"labels": np.array([0, 1])}, "2 for 3"),
    ({"labels": np.array([[0], [1], [1]])}, "(3, 1)"),
    ({"labels": np.array([0, 2, 1])}, "sample 3 (entry 1) has [2]"),
    ({"probabilities": np.array([[1, 0]] * 3)}, "int64 (3, 2)"),
    ({"probabilities": changed((1, 0), np.nan)}, "sample 3 (entry 1) has [nan, 0.5]"),
    ({"probabilities": changed(1, [np.inf, -np.inf])}, "sample 3 (entry 1)"),
    ({"probabilities": changed(2, [-0.5, 1.5])}, "sample 9 (entry 2) has [-0.5, 1.5]"),
    ({"probabilities": changed(1, [0.5, 0.498])}, "sample 3 (entry 1)"),
    ({"classes": np.array(["sad", "sad"])}, "'sad', 'sad'"),
    ({"classes": np.array([1, 2])}, "int64"),
    ({"classes": np.array(["sad"]), "probabilities": np.ones((3, 1))}, "found 1"),
    ({"classes": np.array(["sad", None], dtype=object)}, "dtype object"),
    ({"split": np.array(["test"])}, "<U4 (1,)"),
    ({"split": np.array("")}, "'split'"),
    ({"split": np.array("a\0b")}, "'split'"),
    ({"split": np.array("../a")}, "../a"),
    ({"split": np.array("a" * 81)}, "aaa"),
    ({"data_fingerprint": np.array(5)}, "int64 ()"),
    ({"temperature": np.array("warm")}, "<U4 ()"),
    ({"temperature": np.array(0.0)}, "found 0.0"),
])  # fmt: skip
def test_a_broken_rule_is_refused_with_file_and_sample(tmp_path, changes, found):
    path = save(tmp_path, **changes)
    with raises(DataError, "predictions", found) as raised:
        read_predictions(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert str(raised.value).endswith("docs/predictions.md.")


def test_damaged_files_are_refused(tmp_path):
    """Damaged in five ways, a photo, a single array, and none."""
    path, good = tmp_path / "predictions_test.npz", save(tmp_path).read_bytes()
    flipped = bytearray(good)
    flipped[66] ^= 0xFF
    contents = (b"", b"PK\x03\x04 not really", b"hello", good[:-40], bytes(flipped), b"\xff\xd8\xff\xe0 no archive")
    for content in contents:
        path.write_bytes(content)
        with raises(DataError, "predictions", path) as caught:
            read_predictions(path)
        assert "pickle" not in str(caught.value)
    with raises(DataError, "predictions", "dtype object"):
        read_predictions(save(tmp_path, classes=np.array(["a", "b"], dtype=object)))
    np.save(tmp_path / "one.npy", np.zeros(3))
    with raises(DataError, "predictions", "one.npy"):
        read_predictions(tmp_path / "one.npy")
    with raises(DataError, "predictions-missing"):
        read_predictions(tmp_path / "none.npz")


def test_the_documented_snippet_writes_a_readable_file(tmp_path, monkeypatch):
    text = (Path(__file__).parents[2] / "docs" / "predictions.md").read_text(encoding="utf-8")
    snippets = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert snippets
    assert len(snippets[0].strip().splitlines()) <= 12
    monkeypatch.chdir(tmp_path)

    def my_model(images):
        return np.random.default_rng(0).normal(size=(len(images), 7)).astype(np.float32)

    exec(snippets[0], {"my_model": my_model, "images": np.zeros((20, 48, 48)), "labels": np.arange(20) % 7})
    predictions = read_predictions("predictions_test.npz")
    assert (len(predictions), predictions.split, predictions.classes[3]) == (20, "test", "happy")
    np.testing.assert_allclose(predictions.probabilities.sum(axis=1), 1, atol=1e-6)


def seven_classes(rows=60):
    generator = np.random.default_rng(2)
    probabilities, labels = generator.dirichlet(np.ones(7), rows), generator.integers(0, 7, rows)
    return Predictions(np.arange(rows) * 3, labels, probabilities, EXPRESSIONS, "test", "sha256:0")


def test_impossible_merges_are_refused():
    predictions = seven_classes()
    five = predictions.with_scheme(parse_scheme("five"))
    assert five.with_scheme(parse_scheme("five")) is five
    with raises(DataError, "label-scheme", "'binary-with-disgust'"):
        five.with_scheme(parse_scheme("binary-with-disgust"))
    with raises(DataError, "label-scheme", "'five'"):
        predictions.subset(predictions.labels == 1).with_scheme(parse_scheme("five"))
    predictions = seven_classes()
    some = predictions.subset(np.array([5, 2]))
    assert (some.sample_ids.tolist(), some.labels.tolist()) == ([15, 6], predictions.labels[[5, 2]].tolist())
    assert (some.probabilities == predictions.probabilities[[5, 2]]).all()
    with raises(DataError, "predictions"):
        predictions.subset(predictions.sample_ids < 0)
    # Oracle: row by row, in plain Python.
    predictions = seven_classes()
    merged = predictions.with_scheme(parse_scheme("positive=happy+surprise,negative=angry+fear+sad"))
    assert merged.classes == ("positive", "negative")
    expected = []
    for row, label, shares in zip(predictions.sample_ids, predictions.labels, predictions.probabilities, strict=True):
        named = dict(zip(EXPRESSIONS, shares, strict=True))
        positive, negative = named["happy"] + named["surprise"], named["angry"] + named["fear"] + named["sad"]
        name = EXPRESSIONS[label]
        if name not in {"disgust", "neutral"}:
            truth = 0 if name in {"happy", "surprise"} else 1
            expected.append((row, truth, positive / (positive + negative), negative / (positive + negative)))
    assert 0 < len(expected) < len(predictions)
    assert merged.sample_ids.tolist() == [row for row, *_ in expected]
    assert merged.labels.tolist() == [label for _, label, *_ in expected]
    assert merged.probabilities == pytest.approx(np.array([shares for _, _, *shares in expected]))
    assert (merged.split, merged.data_fingerprint) == ("test", "sha256:0")
    assert predictions.with_scheme(None) is predictions
