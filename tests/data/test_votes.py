"""Votes on their way through the data: readers, subsets, balancing, FER+'s own file, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mien.base.errors import DataError
from mien.base.labels import FERPLUS_CLASSES
from mien.base.recipe import BalanceRecipe
from mien.data.balance import balance
from mien.data.dataset import Dataset
from mien.data.parquet import write_parquet
from mien.data.read import read_data
from mien.data.synthetic import synthetic_faces
from mien.data.votes import check_votes, vote_probabilities, votes_fingerprint, with_votes
from support import raises

HEADER = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
USAGE = {"train": "Training", "validation": "PublicTest", "test": "PrivateTest"}


@pytest.fixture
def plain() -> Dataset:
    return synthetic_faces(60, seed=3)


@pytest.fixture
def voted(plain: Dataset) -> Dataset:
    """Seven of ten votes for the label, three for "unknown"."""
    return replace(plain, votes=votes_for(plain), vote_classes=FERPLUS_CLASSES)


def votes_for(faces: Dataset) -> np.ndarray:
    votes = np.zeros((len(faces), 10), dtype=np.int64)
    named = [FERPLUS_CLASSES.index(faces.classes[label]) for label in faces.labels]
    votes[np.arange(len(faces)), named] = 7
    votes[:, FERPLUS_CLASSES.index("unknown")] = 3
    return votes


def write_ferplus(path: Path, faces: Dataset, votes: np.ndarray) -> Path:
    lines = [
        f"{USAGE[split]},fer{row:07}.png,{','.join(map(str, counts))}"
        for split, row, counts in zip(faces.split, faces.rows, votes.tolist(), strict=True)
    ]
    path.write_text("\n".join([HEADER, *lines]) + "\n", encoding="utf-8")
    return path


def test_a_votes_file_is_read_beside_the_data(voted: Dataset, plain: Dataset, tmp_path: Path) -> None:
    """Oracle: the votes that were written; seven and three an image. The file adds nothing to the fingerprint."""
    data = tmp_path / "faces.parquet"
    write_parquet(plain, data)
    file = write_ferplus(tmp_path / "fer2013new.csv", plain, votes_for(plain))
    for cached in (False, True):
        result = read_data(data, votes=file)
        assert result.cached is cached
        assert np.array_equal(check_votes(result.faces), votes_for(plain))
        assert result.fingerprint == read_data(data).fingerprint
    assert read_data(data).faces.votes is None


def test_oversampled_rows_keep_their_votes(voted: Dataset) -> None:
    """Oracle: every row's votes name its own label, so they must in each copy."""
    for sampling in ("oversample", "undersample"):
        made = balance(voted.of_split("train"), BalanceRecipe(sampling=sampling), seed=0)
        assert np.array_equal(made.votes, votes_for(made))


def test_parquet_keeps_votes_and_their_classes(tmp_path: Path, plain: Dataset) -> None:
    votes = np.random.default_rng(0).integers(1, 5, (len(plain), 3))
    faces = replace(plain, votes=votes, vote_classes=("happy", "sad", "unsure"))
    write_parquet(faces, tmp_path / "faces.parquet")
    for _ in range(2):  # from the file, then from the cache
        back = read_data(tmp_path / "faces.parquet").faces
        assert back.vote_classes == ("happy", "sad", "unsure")
        assert np.array_equal(back.votes, votes)


def test_a_votes_file_takes_the_place_of_other_votes(tmp_path: Path, plain: Dataset) -> None:
    path = write_ferplus(tmp_path / "v.csv", plain, votes_for(plain))
    other = replace(plain, votes=np.ones((60, 2)), vote_classes=("happy", "sad"))
    assert np.array_equal(with_votes(other, path).votes, votes_for(plain))


def test_fer_plus_file_of_other_images_is_refused(tmp_path: Path, plain: Dataset) -> None:
    votes = votes_for(plain)
    path = write_ferplus(tmp_path / "v.csv", plain, np.roll(votes, 1, axis=1))
    with raises(DataError, "votes-other-data"):
        with_votes(plain, path)
    with raises(DataError, "votes-other-data", "50 rows", "row 50"):
        with_votes(plain, write_ferplus(tmp_path / "v.csv", plain.subset(np.arange(50)), votes[:50]))
    moved = replace(plain, split=np.roll(plain.split, 1))
    with raises(DataError, "votes-other-data", "v.csv: row"):
        with_votes(plain, write_ferplus(tmp_path / "v.csv", moved, votes))


@pytest.mark.parametrize(
    ("text", "code", "named"),
    [
        ("a,b\n", "votes-file", ""),
        (HEADER + "\n", "votes-file", ""),
        (HEADER + "\nTraining,x.png,1,2\n", "votes-file-line", "line 2"),
        (HEADER + "\nTraining,x.png,1,-2,0,0,0,0,0,0,0,0\n", "votes-file-line", "line 2"),
        (HEADER + "\nTrainer,x.png,1,2,0,0,0,0,0,0,0,0\n", "votes-file-line", "line 2"),
    ],
)
def test_a_damaged_fer_plus_file_is_named(tmp_path: Path, plain: Dataset, text: str, code: str, named: str) -> None:
    (tmp_path / "v.csv").write_text(text)
    with raises(DataError, code, named):
        with_votes(plain, tmp_path / "v.csv")


def test_bad_votes_are_refused_where_they_are_used(voted: Dataset, plain: Dataset) -> None:
    with raises(DataError, "votes-missing"):
        check_votes(plain)
    votes = votes_for(plain)
    votes[7] = 0
    assert np.array_equal(check_votes(replace(plain, votes=votes, vote_classes=FERPLUS_CLASSES)), votes)
    with raises(DataError, "votes-empty", "60", "train"):
        check_votes(replace(plain, votes=np.zeros_like(votes), vote_classes=FERPLUS_CLASSES))
    votes[7, 0] = -1
    with raises(DataError, "votes-negative", "row 7", -1):
        replace(plain, votes=votes, vote_classes=FERPLUS_CLASSES)
    with raises(DataError, "votes-class-twice"):
        replace(plain, votes=np.ones((60, 2)), vote_classes=("sad", "sad"))
    with raises(DataError, "votes-shape", "(60, 3)"):
        replace(plain, votes=np.ones((60, 2)), vote_classes=("sad", "happy", "fear"))


def test_distributions_and_fingerprint(voted: Dataset) -> None:
    """Other votes, another fingerprint; votes of the test split do not count."""
    assert np.allclose(vote_probabilities(check_votes(voted))[:, FERPLUS_CLASSES.index("unknown")], 0.3)
    assert np.allclose(vote_probabilities(check_votes(voted)).sum(axis=1), 1)
    before = votes_fingerprint(voted)
    for split, differs in (("train", True), ("test", False)):
        votes = votes_for(voted)
        votes[np.flatnonzero(voted.split == split)[0], 9] += 1
        assert (votes_fingerprint(replace(voted, votes=votes, vote_classes=FERPLUS_CLASSES)) != before) == differs
