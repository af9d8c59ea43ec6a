"""Votes: FER+'s protocol counted by hand, distances against scipy and NumPy, files that are written and read back."""

import re
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import entropy

from mien.base.errors import DataError
from mien.base.labels import EXPRESSIONS, FERPLUS_CLASSES, parse_scheme
from mien.data.synthetic import synthetic_faces
from mien.evaluation.metrics import majority, majority_accuracy, majority_predictions
from mien.evaluation.predictions import Predictions, VotePredictions, read_predictions, write_predictions
from mien.evaluation.vote_metrics import BASELINE, evaluate_votes, vote_ceiling, vote_info
from support import raises

HAPPY, SAD, CONTEMPT, UNKNOWN = (FERPLUS_CLASSES.index(name) for name in ("happy", "sad", "contempt", "unknown"))


@pytest.fixture
def predictions():
    """Five faces: two where both outputs are right, contempt that the label cannot say, none clear, and unknown."""
    counts = np.zeros((5, 10), dtype=np.int64)
    counts[0, HAPPY] = 10
    counts[1, [SAD, HAPPY]] = 6, 4
    counts[2, CONTEMPT] = 8
    counts[3, [HAPPY, SAD]] = 5, 5
    counts[4, UNKNOWN] = 9
    answers = np.full((5, 10), 0.01)
    answers[np.arange(5), [HAPPY, UNKNOWN, CONTEMPT, HAPPY, HAPPY]] = 0.91
    answers[1, [SAD, UNKNOWN]] = 0.4, 0.52  # "unknown" leads, and does not compete
    labels, own = np.array([EXPRESSIONS.index("happy"), EXPRESSIONS.index("sad"), 6, 3, 3]), np.full((5, 7), 0.05)
    own[np.arange(5), labels] = 0.7
    votes = VotePredictions(counts, FERPLUS_CLASSES, answers, "perceived")
    return Predictions(np.arange(10, 15), labels, own, EXPRESSIONS, "validation", "", votes=votes)


def test_majority_by_hand(predictions):
    """Three of five count. The votes' output is right in all of them, the label's in two of three."""
    found = evaluate_votes(predictions, {"first two": np.arange(5) < 2, "others": np.arange(5) >= 2}, resamples=20)
    assert (found.samples, found.with_majority) == (5, 3)
    own, label = found.majority
    assert (own.output, label.output, own.evaluation.classes) == ("perceived", BASELINE, FERPLUS_CLASSES[:8])
    assert (own.evaluation.accuracy.value, label.evaluation.accuracy.value) == (1, pytest.approx(2 / 3))
    assert re.findall(r"([\d.]+)(?:% \[| of)", str(found)) == ["3", "100.0", "66.7"]
    parts = [(part.value, part.count, part.accuracy.value) for part in label.subsets]
    assert parts == [("first two", 2, 1.0), ("others", 1, 0.0)]
    # No votes; a label-only model whose classes no annotator could choose; a scheme that merged the classes.
    assert evaluate_votes(replace(predictions, votes=None)) is None
    alone = replace(predictions.votes, probabilities=None, output="")
    assert evaluate_votes(replace(predictions, classes=("a", "b", "c", "d", "e", "f", "g"), votes=alone)) is None
    assert predictions.with_scheme(parse_scheme("binary")).votes is None
    assert [each.output for each in evaluate_votes(replace(predictions, votes=alone)).majority] == [BASELINE]


def test_distribution_agrees_with_scipy():
    predictions = _random(200)
    counts, answers = predictions.votes.counts, predictions.votes.probabilities
    truth, found = counts / counts.sum(axis=1, keepdims=True), evaluate_votes(predictions, resamples=200).distribution
    assert found.vote_entropy == pytest.approx(entropy(truth, axis=1).mean())
    assert found.cross_entropy.value == pytest.approx((entropy(truth, axis=1) + entropy(truth, answers, axis=1)).mean())
    assert found.cross_entropy.low < found.cross_entropy.value < found.cross_entropy.high
    # Two bins: 0.9 predicted where 8 of 10 voters agree, 0.5 where 6 of 10 do. (0.1 + 0.1) / 2 = 0.1.
    counts, answers = np.array([[8, 2], [6, 4]]), np.array([[0.9, 0.1], [0.5, 0.5]])
    votes = VotePredictions(counts, ("happy", "sad"), answers, "perceived")
    predictions = Predictions(np.arange(2), np.array([0, 0]), answers, ("happy", "sad"), "test", "", votes=votes)
    found = evaluate_votes(predictions, resamples=5).distribution
    assert found.calibration_error.value == pytest.approx(0.1)
    assert np.isnan(found.calibration_error.low)  # noise can only increase it in resamples
    full = found.reliability.count > 0
    assert found.reliability.confidence[full] == pytest.approx([0.5, 0.9])
    assert found.reliability.accuracy[full] == pytest.approx([0.6, 0.8])


def test_vote_metrics_resample_whole_groups():
    """Oracles: each sample three times, in a group of its own, is known no better than once; the normal interval."""
    alone, groups = _random(400), np.arange(400).repeat(3)
    near = replace(alone.votes, probabilities=0.6 * alone.votes.distributions + 0.4 * alone.votes.probabilities)
    alone = replace(alone, votes=near)
    given = alone.labels[groups], alone.probabilities[groups], EXPRESSIONS, "validation", ""
    thrice = Predictions(np.arange(1200), *given, votes=near.subset(groups), groups=groups)
    measured = [evaluate_votes(each).distribution for each in (alone, thrice)]
    assert [each.cross_entropy.low for each in measured] == pytest.approx([measured[0].cross_entropy.low] * 2)
    once, grouped = (each.reliability for each in measured)
    assert (grouped.count == 3 * once.count).all()
    for name in ("confidence", "accuracy", "low", "high"):
        np.testing.assert_allclose(getattr(grouped, name), getattr(once, name), atol=1e-9)
    top = near.probabilities.argmax(axis=1)
    fraction, confidence = near.distributions[np.arange(400), top], near.probabilities.max(axis=1)
    for at in np.flatnonzero(once.count >= 40):
        inside = fraction[(confidence > once.lower[at]) & (confidence <= once.upper[at])]
        reach = 1.96 * inside.std() / np.sqrt(len(inside))
        assert len(inside) == once.count[at]
        assert [once.low[at], once.high[at]] == pytest.approx([inside.mean() - reach, inside.mean() + reach], abs=0.01)


def test_samples_without_votes_are_left_out():
    """Oracle: the same predictions without those samples."""
    predictions, asked = _random(120), np.arange(120) % 3 > 0
    some = replace(predictions.votes, counts=np.where(asked[:, None], predictions.votes.counts, 0))
    found = evaluate_votes(replace(predictions, votes=some), {"all": np.ones(120, dtype=bool)}, resamples=50)
    expected = evaluate_votes(predictions.subset(asked), {"all": np.ones(80, dtype=bool)}, resamples=50)
    assert (found.samples, found.without_votes, expected.without_votes) == (80, 40, 0)
    assert {**found.to_dict(), "without_votes": 0} == expected.to_dict()
    none = replace(predictions.votes, counts=np.zeros_like(predictions.votes.counts))
    assert evaluate_votes(replace(predictions, votes=none)) is None


def test_predictions_files_keep_votes(tmp_path, predictions):
    for number, each in enumerate((predictions, replace(predictions, votes=replace(predictions.votes, output="")))):
        file = tmp_path / f"{number}.npz"
        write_predictions(file, each)
        back = read_predictions(file).votes
        assert np.array_equal(back.counts, each.votes.counts)
        assert np.array_equal(back.probabilities, each.votes.probabilities)
        assert (back.classes, back.output) == (FERPLUS_CLASSES, each.votes.output)
    alone = replace(predictions, votes=replace(predictions.votes, probabilities=None, output=""))
    write_predictions(tmp_path / "alone.npz", alone)
    assert read_predictions(tmp_path / "alone.npz").votes.probabilities is None


@pytest.mark.parametrize(("changes", "rule", "found"), [
    ({"vote_counts": np.ones((5, 9))}, "'vote_counts' must be numbers", "(5, 9)"),
    ({"vote_counts": np.ones((4, 10)), "vote_probabilities": np.full((4, 10), 0.1)}, "'vote_counts' needs", "4 for 5"),
    ({"vote_counts": np.array(3)}, "'vote_counts' must be numbers", "()"),
    ({"vote_counts": -np.ones((5, 10))}, "'vote_counts' must be 0 or more", "[-1, -1"),
    ({"vote_counts": np.full((5, 10), np.nan)}, "'vote_counts' must be 0 or more", "[nan, nan"),
    ({"vote_probabilities": np.full((5, 9), 0.1)}, "'vote_probabilities' must be numbers", "(5, 9)"),
    ({"vote_probabilities": np.full((5, 10), 0.2)}, "'vote_probabilities' must sum to 1", "[0.2, 0.2"),
    ({"vote_classes": np.array(["happy"] * 10)}, "'vote_classes' must be two unique", "happy, happy"),
    ({"vote_classes": np.arange(10)}, "'vote_classes' must be strings", "int64"),
])  # fmt: skip
def test_bad_votes_in_a_file_are_refused(tmp_path, predictions, changes, rule, found):
    write_predictions(tmp_path / "good.npz", predictions)
    with np.load(tmp_path / "good.npz") as stored:
        arrays = {name: stored[name] for name in stored.files}
    np.savez(tmp_path / "bad.npz", **{**arrays, **changes})
    with raises(DataError, "predictions", rule, found):
        read_predictions(tmp_path / "bad.npz")
    del arrays["vote_classes"]
    np.savez(tmp_path / "nameless.npz", **arrays)
    with raises(DataError, "predictions", "needs 'vote_classes'"):
        read_predictions(tmp_path / "nameless.npz")


def test_vote_info_by_hand():
    """Four faces: one without votes, two that agree with their label, one that does not."""
    faces, counts = synthetic_faces(7, seed=0).subset(np.arange(4)), np.zeros((4, 10), dtype=np.int64)
    counts[[0, 1], [FERPLUS_CLASSES.index(faces.classes[label]) for label in faces.labels][:2]] = 8
    counts[2, CONTEMPT] = 6
    counts[2, UNKNOWN] = 2
    found = vote_info(replace(faces, votes=counts, vote_classes=FERPLUS_CLASSES))
    assert (found["images"], found["comparable"], found["agreement"]) == (3, 3, pytest.approx(2 / 3))
    assert found["fractions"]["unknown"] == pytest.approx(2 / 24)
    assert vote_info(faces) is None
    assert vote_info(replace(faces, votes=counts * 0, vote_classes=FERPLUS_CLASSES)) is None


def _random(count: int) -> Predictions:
    generator = np.random.default_rng(7)
    labels = generator.integers(0, 7, count)
    counts = generator.multinomial(10, np.full(10, 0.03) + 0.7 * np.eye(10)[generator.integers(0, 8, count)])
    votes = VotePredictions(counts, FERPLUS_CLASSES, generator.dirichlet(np.full(10, 0.4), count), "perceived")
    own = generator.dirichlet(np.full(7, 0.4), count)
    return Predictions(np.arange(count), labels, own, EXPRESSIONS, "validation", "", votes=votes)


def test_the_ceiling_of_six_votes_by_hand():
    """Oracle: six votes, four of them a. A panel is a with P(4, 5 or 6 of 6 at 2/3), tied with P(3), else b."""
    found = vote_ceiling(np.array([[4, 2, 0]]), ["a", "b", "c"], panels=20_000, resamples=5)
    first = (240 + 192 + 64 + 160 / 2) / 3**6
    assert (found.samples, found.second_panel.value) == (1, pytest.approx(first**2 + (1 - first) ** 2, abs=0.01))
    assert found.best_answer.value == pytest.approx(first, abs=0.01)
    counts = np.array([[0.7, 0.3], [1, 0], [4, 0], [3, 3], [0, 0]])
    assert vote_ceiling(counts, ["a", "b"]) is None
    found = vote_ceiling(np.concatenate([counts, [[5, 0]]]), ["a", "b"], resamples=5)
    assert (found.samples, found.second_panel.value) == (1, 1)
    assert vote_ceiling(np.array([[0, 9]]), ["a", "unknown"]) is None


def row(**votes: int) -> list[int]:
    return [{name.replace("_", "-"): count for name, count in votes.items()}.get(name, 0) for name in FERPLUS_CLASSES]


CASES = [
    (row(happy=10), "happy"),
    (row(happy=6, neutral=4), "happy"),
    (row(happy=5, neutral=5), None),  # half is not more than half
    (row(happy=5, neutral=4, sad=1), "happy"),  # the single vote is dropped: 5 of 9
    (row(happy=4, neutral=3, sad=3), None),
    (row(contempt=8, neutral=2), "contempt"),
    (row(unknown=6, neutral=4), None),
    (row(not_a_face=10), None),
    (row(happy=1, neutral=1, sad=1, fear=1), None),  # nothing is left
]


def test_public_test_leaves_3199_images(fer2013_dev):
    """The number that work on FER+ reports for its validation split."""
    table = pytest.importorskip("pyarrow.parquet").read_table(fer2013_dev, columns=["usage", "ferplus_votes"])
    votes = np.array(table.column("ferplus_votes").to_pylist())
    public = np.array(table.column("usage").to_pylist()) == "PublicTest"
    assert (majority(votes[public], FERPLUS_CLASSES) >= 0).sum() == 3199


def test_accuracy_counts_images_with_a_majority_alone():
    """By hand: of four images one has no majority; "unknown" is no prediction, so the next best counts."""
    votes, probabilities = np.array([row(happy=10), row(sad=10), row(unknown=10), row(fear=10)]), np.zeros((4, 10))
    happy, sad, unknown = (FERPLUS_CLASSES.index(name) for name in ("happy", "sad", "unknown"))
    probabilities[0, [unknown, happy]] = 0.6, 0.4
    probabilities[1, sad] = probabilities[2, happy] = probabilities[3, sad] = 1
    assert majority_predictions(probabilities, FERPLUS_CLASSES).tolist() == [happy, sad, happy, sad]
    assert majority_accuracy(votes, probabilities, FERPLUS_CLASSES) == pytest.approx(2 / 3)
    assert np.isnan(majority_accuracy(votes[2:3], probabilities[2:3], FERPLUS_CLASSES))
    # By hand: of shares, 1 is everybody, and a lone vote is too. The same shares as counts of ten, the same
    # majority. A row's majority is its own: whether other rows hold shares does not change it.
    shares = np.array([[1.0, 0.0, 0.0], [0.6, 0.4, 0.0], [0.4, 0.3, 0.3]])
    assert majority(shares, ("happy", "sad", "fear")).tolist() == [0, 0, -1]
    assert majority(np.rint(shares * 10), ("happy", "sad", "fear")).tolist() == [0, 0, -1]
    assert majority(shares[:1], ("happy", "sad", "fear")).tolist() == [0]
    assert majority(np.array([[1, 4, 5], [1.5, 1, 1], [0, 1, 0]]), ("happy", "sad", "fear")).tolist() == [2, -1, 1]
    found = majority(np.array([votes for votes, _ in CASES]), FERPLUS_CLASSES)
    assert found.tolist() == [-1 if name is None else FERPLUS_CLASSES.index(name) for _, name in CASES]
