"""Votes on their way through the data: columns of tables, subsets, balancing, FER+'s own file, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from mien.base.errors import DataError
from mien.base.labels import FERPLUS_CLASSES
from mien.data.dataset import Dataset
from mien.data.parquet import write_parquet
from mien.data.read import ReadOptions, read_data
from mien.data.synthetic import synthetic_faces
from mien.data.votes import check_votes, read_ratings, vote_probabilities, votes_fingerprint, with_votes
from support import raises, write_fer2013, write_images

FERPLUS = np.random.default_rng(0).integers(1, 5, (60, 10))


@pytest.fixture
def plain():
    return synthetic_faces(60, seed=3)


@pytest.fixture
def voted(plain):
    """Seven of ten votes for the label, three for "unknown"."""
    return replace(plain, votes=votes_for(plain), vote_classes=FERPLUS_CLASSES)


def votes_for(faces: Dataset) -> np.ndarray:
    votes = np.zeros((len(faces), 10), dtype=np.int64)
    votes[np.arange(len(faces)), [FERPLUS_CLASSES.index(faces.classes[label]) for label in faces.labels]] = 7
    votes[:, FERPLUS_CLASSES.index("unknown")] = 3
    return votes


def test_read_data_adds_votes_of_a_file(voted, plain, tmp_path):
    """Oracle: the votes that were written; seven and three an image. The file adds nothing to the fingerprint."""
    write_fer2013(tmp_path, voted)
    data, file = tmp_path / "fer2013.csv", tmp_path / "fer2013new.csv"
    for cached in (False, True):
        result = read_data(data, ReadOptions(votes=file))
        assert result.cached is cached
        assert np.array_equal(check_votes(result.faces), votes_for(plain))
        assert result.fingerprint == read_data(data).fingerprint
    assert read_data(data).faces.votes is None


def test_with_votes_rejects_votes_on_other_images(tmp_path, plain, voted):
    votes, moved = votes_for(plain), replace(plain, split=np.roll(plain.split, 1))
    for faces, counts, values in (
        (plain, np.roll(votes, 1, axis=1), ()),
        (plain.subset(np.arange(50)), votes[:50], ("50 rows", "row 50")),
        (moved, votes, ("fer2013new.csv: row",)),
    ):
        write_fer2013(tmp_path, replace(faces, votes=counts, vote_classes=FERPLUS_CLASSES))
        with raises(DataError, "data-differs", *values):
            with_votes(plain, tmp_path / "fer2013new.csv")
    # Other votes, another fingerprint; votes of the test split do not count.
    assert np.allclose(vote_probabilities(check_votes(voted))[:, FERPLUS_CLASSES.index("unknown")], 0.3)
    assert np.allclose(vote_probabilities(check_votes(voted)).sum(axis=1), 1)
    before = votes_fingerprint(voted)
    for split, differs in (("train", True), ("test", False)):
        votes = votes_for(voted)
        votes[np.flatnonzero(voted.split == split)[0], 9] += 1
        assert (votes_fingerprint(replace(voted, votes=votes, vote_classes=FERPLUS_CLASSES)) != before) == differs
    # Oracle: the words by hand; equal numbers keep the order of the classes.
    votes = np.zeros((len(plain), 3))
    votes[0] = (2, 3.25, 2)
    faces = replace(plain, votes=votes, vote_classes=("happy", "sad", "unsure"))
    assert (faces.votes_on(0), faces.votes_on(1), plain.votes_on(0)) == ("sad 3.25, happy 2, unsure 2", "", "")
    # Oracle: every row's votes name its own label, so they must in each copy.
    made = voted.subset(np.array([5, 3, 3]))
    assert np.array_equal(made.votes, votes_for(made))
    votes = votes_for(plain)
    votes[7] = 0
    assert np.array_equal(check_votes(replace(plain, votes=votes, vote_classes=FERPLUS_CLASSES)), votes)


def test_read_pixels_gathers_votes(tmp_path, noise, write_csv, as_pixels):
    """Oracle: the numbers that were written, in a table with other columns and one of groups between them."""
    rows = [(row % 2, as_pixels(image), row, "Training", f"p{row}", 9 - row) for row, image in enumerate(noise(4))]
    header = "emotion,pixels,votes_happy,Usage,person,votes_Anger"
    faces = read_data(write_csv(tmp_path / "fer.csv", header, rows), ReadOptions(group="person")).faces
    assert (faces.vote_classes, faces.votes.tolist()) == (("happy", "angry"), [[0, 9], [1, 8], [2, 7], [3, 6]])
    assert (faces.columns["person"].tolist(), set(faces.columns)) == (["p0", "p1", "p2", "p3"], {"person"})


def test_read_parquet_gathers_votes(tmp_path, plain):
    """Oracle: the numbers that were written; a row of nulls is one that nobody was asked about."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    write_parquet(plain, tmp_path / "plain.parquet")
    happy, sad = list(range(60)), [5] * 60
    happy[3] = sad[3] = None
    table = pq.read_table(tmp_path / "plain.parquet")
    voted = table.append_column("votes_happy", pa.array(happy)).append_column("votes_sad", pa.array(sad))
    pq.write_table(voted, tmp_path / "faces.parquet")
    faces = read_data(tmp_path / "faces.parquet").faces
    assert faces.vote_classes == ("happy", "sad")
    assert faces.votes[:5].tolist() == [[0, 5], [1, 5], [2, 5], [0, 0], [4, 5]]
    whole = table.append_column("votes_happy", pa.array([2] * 60)).append_column("votes_sad", pa.array([5] * 60))
    (tmp_path / "shards").mkdir()
    pq.write_table(voted, tmp_path / "shards" / "a.parquet")
    pq.write_table(whole, tmp_path / "shards" / "b.parquet")
    assert read_data(tmp_path / "shards").faces.votes[[3, 4, 60, 119]].tolist() == [[0, 0], [4, 5], [2, 5], [2, 5]]
    pq.write_table(whole.drop_columns("votes_sad"), tmp_path / "shards" / "b.parquet")
    with raises(DataError, "votes", "votes_sad"):
        read_data(tmp_path / "shards")
    for name in ("a", "b"):
        part = table if name == "a" else table.append_column("ferplus_votes", pa.array(FERPLUS.tolist()))
        pq.write_table(part, tmp_path / "shards" / f"{name}.parquet")
    with raises(DataError, "votes", "votes_neutral"):
        read_data(tmp_path / "shards")


def test_votes_name_the_line_of_a_bad_number(tmp_path, write_csv):
    """By hand: the third row is line 4; a row with no number at all is one that nobody was asked about."""
    write_images(tmp_path, [f"{index}.png" for index in range(4)])
    good = [["0.png", "happy", 3, 0], ["1.png", "sad", 0, 2.5], ["2.png", "happy", "", ""], ["3.png", "sad", 1, 1]]
    faces = read_data(write_csv(tmp_path / "good.csv", "path,label,votes_happy,votes_sad", good)).faces
    assert faces.votes.tolist() == [[3, 0], [0, 2.5], [0, 0], [1, 1]]
    for bad, where in (("", "2.png"), ("inf", "bad.csv line 4"), ("7x", "bad.csv line 4")):
        rows = [*good[:2], ["2.png", "happy", bad, 2], good[3]]
        with raises(DataError, "votes", where):
            read_data(write_csv(tmp_path / "bad.csv", "path,label,votes_happy,votes_sad", rows))


def test_rating_notices_count_missing_ratings(tmp_path, write_csv):
    """Oracle: AffectNet marks a missing rating by -2; self-assessment manikins go from 1 to 9."""
    write_images(tmp_path, [f"{index}.png" for index in range(4)])
    valence, arousal = ["0.5", '"-0,5"', "NA", -2], [3, 5, 1, 9]
    rows = [[f"{at}.png", ("happy", "sad")[at % 2], valence[at], arousal[at]] for at in range(4)]
    found = read_data(write_csv(tmp_path / "f.csv", "path,label,valence,arousal", rows))
    assert [(note.code, *note.split()[:1]) for note in found.notes] == [
        ("values-missing", "valence:"), ("ratings-range", "arousal")
    ]  # fmt: skip
    ratings = read_ratings(found.faces, ["valence"])
    assert ratings is not None
    np.testing.assert_equal(ratings[:, 0], [0.5, -0.5, np.nan, np.nan])


def test_read_parquet_names_rows_of_another_length(tmp_path, plain):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    write_parquet(plain, tmp_path / "plain.parquet")
    lists = FERPLUS.tolist()
    lists[1], lists[2] = None, [None] * 10

    def written():
        table = pq.read_table(tmp_path / "plain.parquet").append_column("ferplus_votes", pa.array(lists))
        table = table.append_column("votes_sad", pa.array([99] * len(lists)))  # FER+'s list has the votes
        pq.write_table(table, tmp_path / "faces.parquet")
        return tmp_path / "faces.parquet"

    found = read_data(written()).faces.votes
    assert (found[1:3].sum(), found[3:].tolist()) == (0, FERPLUS[3:].tolist())
    lists[4] = lists[4][:9]
    with raises(DataError, "votes", "faces.parquet row 4", 10):
        read_data(written())
    lists[:] = [["1"] * 10] * len(lists)
    with raises(DataError, "votes", "faces.parquet row 0"):
        read_data(written())
