"""Votes on their way through the data: readers, subsets, balancing, FER+'s own file, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mien.data.balance import balance
from mien.data.clean import Change, Clean, apply_clean
from mien.data.dataset import Dataset
from mien.data.parquet import write_parquet
from mien.data.read import read_data
from mien.data.synthetic import synthetic_faces
from mien.data.votes import check_votes, vote_probabilities, votes_fingerprint, with_votes
from mien.errors import DataError
from mien.labels import FERPLUS_CLASSES
from mien.recipe import BalanceRecipe
from support import raises

HEADER = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
USAGE = {"train": "Training", "validation": "PublicTest", "test": "PrivateTest"}


@pytest.fixture
def plain() -> Dataset:
    return synthetic_faces(60, seed=3)


@pytest.fixture
def voted(plain: Dataset) -> Dataset:
    """Seven of ten votes for the label, three for "unknown"."""
    return replace(plain, columns={"ferplus_votes": votes_for(plain)})


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


def test_ferplus_votes_are_known_by_their_column(voted: Dataset, plain: Dataset) -> None:
    assert voted.vote_classes == FERPLUS_CLASSES
    assert plain.votes is None
    assert plain.vote_classes == ()
    assert replace(voted, columns={}).vote_classes == ()


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


def test_votes_follow_cleaning(voted: Dataset) -> None:
    """Oracle: the votes of the same rows before; a relabelled row keeps its own."""
    dropped, turned = np.flatnonzero(voted.split == "train")[:2]
    names = [voted.classes[label] for label in voted.labels[[dropped, turned]]]
    other = next(name for name in voted.classes if name != names[1])
    rows = voted.rows[[dropped, turned]].tolist()
    kinds = {"split": "train", "kind": "copy", "reason": "r", "source": "s"}
    changes = (
        Change(row=rows[0], label=names[0], to=None, **kinds),
        Change(row=rows[1], label=names[1], to=other, **kinds),
    )
    cleaned = apply_clean(voted, Clean(voted.fingerprint, changes))
    kept = np.arange(len(voted)) != dropped
    assert np.array_equal(check_votes(cleaned), voted.votes[kept])
    assert cleaned.vote_classes == FERPLUS_CLASSES


def test_votes_follow_subsets_and_splits(voted: Dataset) -> None:
    part = voted.of_split("validation")
    assert part.vote_classes == FERPLUS_CLASSES
    assert np.array_equal(part.votes, voted.votes[voted.split == "validation"])


def test_oversampled_rows_keep_their_votes(voted: Dataset) -> None:
    """Oracle: every row's votes name its own label, so they must in each copy."""
    for sampling in ("oversample", "warp", "undersample"):
        made = balance(voted.of_split("train"), BalanceRecipe(sampling=sampling), seed=0)
        assert np.array_equal(made.votes, votes_for(made))


def test_blended_faces_have_blended_votes(plain: Dataset) -> None:
    """Oracle: with one vote class for each face, a blend's votes are exactly the parts that its pixels are mixed by."""
    label = np.zeros(4, dtype=np.int64)
    label[3] = 1
    faces = plain.subset(np.arange(4))
    images = np.zeros_like(faces.images)
    images[0] = 200
    votes = np.zeros((4, 10), dtype=np.int64)
    votes[[0, 1, 2, 3], [1, 3, 3, 4]] = 10
    faces = replace(faces, images=images, labels=label, classes=("happy", "sad"), columns={"ferplus_votes": votes})
    few = replace(faces, labels=np.array([0, 0, 1, 1]), images=np.stack([images[0], images[1], images[0], images[1]]))
    more = few.subset(np.array([0, 1, 0, 1, 2, 3]))
    made = balance(more, BalanceRecipe(sampling="mixup"), seed=0)
    assert len(made) == 8
    assert np.allclose(made.votes.sum(axis=1), 10)
    for image, counts in zip(made.images[6:], made.votes[6:], strict=True):
        share = image.mean() / 200
        known = counts[3] / 10 if counts[4] else counts[1] / 10
        assert known == pytest.approx(share, abs=0.01)


def test_parquet_keeps_votes_and_their_classes(tmp_path: Path, plain: Dataset) -> None:
    votes = np.random.default_rng(0).integers(1, 5, (len(plain), 3))
    faces = replace(plain, columns={"votes": votes}, vote_classes=("happy", "sad", "unsure"))
    write_parquet(faces, tmp_path / "faces.parquet")
    for _ in range(2):  # from the file, then from the cache
        back = read_data(tmp_path / "faces.parquet").faces
        assert back.vote_classes == ("happy", "sad", "unsure")
        assert np.array_equal(back.votes, votes)


def test_csv_columns_are_votes(tmp_path: Path, noise, write_tree, write_csv) -> None:
    write_tree(tmp_path, {f"{index}.png": image for index, image in enumerate(noise(4))})
    rows = [[f"{index}.png", ("happy", "sad")[index % 2], 3 - index % 2, index % 2] for index in range(4)]
    path = write_csv(tmp_path / "faces.csv", "path,label,votes_happiness,votes_unsure", rows)
    faces = read_data(path).faces
    assert faces.vote_classes == ("happy", "unsure")
    assert faces.votes.tolist() == [[3, 0], [2, 1], [3, 0], [2, 1]]
    assert "votes_happiness" not in faces.columns


def test_pixel_tables_have_votes_too(tmp_path: Path, noise, write_csv, as_pixels) -> None:
    """Oracle: the numbers that were written, in a table with other columns and one of groups between them."""
    rows = [(row % 2, as_pixels(image), row, "Training", f"p{row}", 9 - row) for row, image in enumerate(noise(4))]
    header = "emotion,pixels,votes_happy,Usage,person,votes_Anger"
    faces = read_data(write_csv(tmp_path / "fer.csv", header, rows), group="person").faces
    assert faces.vote_classes == ("happy", "angry")
    assert faces.votes.tolist() == [[0, 9], [1, 8], [2, 7], [3, 6]]
    assert faces.columns["person"].tolist() == ["p0", "p1", "p2", "p3"]
    assert set(faces.columns) == {"votes", "person"}
    with raises(DataError, "column-twice", "votes_happy"):
        read_data(write_csv(tmp_path / "two.csv", header.replace("votes_Anger", "votes_happy"), rows))
    with raises(DataError, "votes-not-numbers", "bad.csv line 4", "votes_happy", "many"):
        read_data(write_csv(tmp_path / "bad.csv", header, [*rows[:2], (0, rows[2][1], "many", *rows[2][3:]), rows[3]]))


def test_parquet_columns_are_votes_too(tmp_path: Path, plain: Dataset) -> None:
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
    happy[3] = 1
    half = table.append_column("votes_happy", pa.array(happy)).append_column("votes_sad", pa.array(sad))
    pq.write_table(half, tmp_path / "half.parquet")
    with raises(DataError, "votes-not-numbers", "votes_sad", "nothing"):
        read_data(tmp_path / "half.parquet")


def test_a_bad_number_of_votes_is_named_by_its_line(tmp_path: Path, noise, write_tree, write_csv) -> None:
    """By hand: the third row is line 4; a row with no number at all is one that nobody was asked about."""
    write_tree(tmp_path, {f"{index}.png": image for index, image in enumerate(noise(4))})
    good = [["0.png", "happy", 3, 0], ["1.png", "sad", 0, 2.5], ["2.png", "happy", "", ""], ["3.png", "sad", 1, 1]]
    faces = read_data(write_csv(tmp_path / "good.csv", "path,label,votes_happy,votes_sad", good)).faces
    assert faces.votes.tolist() == [[3, 0], [0, 2.5], [0, 0], [1, 1]]
    for bad, shown in ((("", 2), "nothing"), (("7x", 2), "7x"), (("inf", 2), "inf"), (("1_0", 2), "1_0")):
        rows = [*good[:2], ["2.png", "happy", *bad], good[3]]
        with raises(DataError, "votes-not-numbers", "bad.csv line 4", "votes_happy", shown):
            read_data(write_csv(tmp_path / "bad.csv", "path,label,votes_happy,votes_sad", rows))


@pytest.mark.parametrize(
    ("header", "values", "code"),
    [
        ("path,label,votes_happy", [1], "votes-columns"),
        ("path,label,votes_happy,votes_happiness", [1, 2], "votes-columns"),
        ("path,label,votes_happy,votes_sad,votes_happy", [1, 2, 3], "column-twice"),
        ("path,label,votes_happy,votes_sad", [1, "many"], "votes-not-numbers"),
    ],
)
def test_csv_votes_that_are_none_are_refused(tmp_path, noise, write_tree, write_csv, header, values, code) -> None:
    write_tree(tmp_path, {f"{index}.png": image for index, image in enumerate(noise(2))})
    path = write_csv(tmp_path / "f.csv", header, [["0.png", "happy", *values], ["1.png", "sad", *values]])
    with raises(DataError, code):
        read_data(path)


def test_fer_plus_file_gives_its_votes(tmp_path: Path, plain: Dataset) -> None:
    votes = votes_for(plain)
    faces = with_votes(plain, write_ferplus(tmp_path / "fer2013new.csv", plain, votes))
    assert np.array_equal(faces.votes, votes)
    assert faces.fingerprint == plain.fingerprint
    with (tmp_path / "fer2013new.csv").open("a") as stream:
        stream.write("\n")  # an empty last line, as editors leave it
    some = plain.subset(np.arange(60)[::-3])
    assert np.array_equal(with_votes(some, tmp_path / "fer2013new.csv").votes, votes[::-3])


def test_fer_plus_file_of_other_images_is_refused(tmp_path: Path, plain: Dataset) -> None:
    votes = votes_for(plain)
    path = write_ferplus(tmp_path / "v.csv", plain, np.roll(votes, 1, axis=1))
    with raises(DataError, "votes-other-data"):
        with_votes(plain, path)
    with raises(DataError, "votes-other-data", "50 rows", "row 50"):
        with_votes(plain, write_ferplus(tmp_path / "v.csv", plain.subset(np.arange(50)), votes[:50]))
    moved = replace(plain, split=np.roll(plain.split, 1))
    with raises(DataError, "votes-other-data", "v.csv line"):
        with_votes(plain, write_ferplus(tmp_path / "v.csv", moved, votes))


@pytest.mark.parametrize(
    ("text", "code", "named"),
    [
        ("a,b\n", "votes-file", ""),
        (HEADER + "\n", "votes-file-empty", ""),
        (HEADER + "\nTraining,x.png,1,2\n", "csv-column-count", "line 2"),
        (HEADER + "\nTraining,x.png,1,-2,0,0,0,0,0,0,0,0\n", "votes-not-numbers", "line 2: '-2'"),
        (HEADER + "\nTrainer,x.png,1,2,0,0,0,0,0,0,0,0\n", "split-unknown", "line 2: 'Trainer'"),
    ],
)
def test_a_damaged_fer_plus_file_is_named(tmp_path: Path, plain: Dataset, text: str, code: str, named: str) -> None:
    (tmp_path / "v.csv").write_text(text)
    with raises(DataError, code, named):
        with_votes(plain, tmp_path / "v.csv")


def test_bad_votes_are_refused_where_they_are_used(voted: Dataset, plain: Dataset) -> None:
    with raises(DataError, "votes-missing"):
        check_votes(plain)
    with raises(DataError, "votes-shape", 10, "int64 (60, 8)"):
        check_votes(replace(plain, columns={"ferplus_votes": np.ones((60, 8), dtype=np.int64)}))
    votes = votes_for(plain)
    votes[7] = 0
    assert np.array_equal(check_votes(replace(plain, columns={"ferplus_votes": votes})), votes)
    with raises(DataError, "votes-empty", "60", "train"):
        check_votes(replace(plain, columns={"ferplus_votes": np.zeros_like(votes)}))
    votes[7, 0] = -1
    with raises(DataError, "votes-negative", "row 7", -1):
        check_votes(replace(plain, columns={"ferplus_votes": votes}))
    with raises(DataError, "votes-class-twice"):
        replace(plain, columns={"votes": np.ones((60, 2))}, vote_classes=("sad", "sad"))
    with raises(DataError, "votes-shape", "(N, 3)"):
        replace(plain, columns={"votes": np.ones((60, 2))}, vote_classes=("sad", "happy", "fear"))


def test_parquet_rows_of_another_length_are_named(tmp_path: Path, plain: Dataset) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    write_parquet(plain, tmp_path / "plain.parquet")
    lists = votes_for(plain).tolist()
    lists[4] = lists[4][:9]
    table = pq.read_table(tmp_path / "plain.parquet").append_column("ferplus_votes", pa.array(lists))
    pq.write_table(table, tmp_path / "faces.parquet")
    with raises(DataError, "votes-shape", "faces.parquet row 4", 10):
        read_data(tmp_path / "faces.parquet")


def test_distributions_and_fingerprint(voted: Dataset) -> None:
    """Other votes, another fingerprint; votes of the test split do not count."""
    assert np.allclose(vote_probabilities(check_votes(voted))[:, FERPLUS_CLASSES.index("unknown")], 0.3)
    assert np.allclose(vote_probabilities(check_votes(voted)).sum(axis=1), 1)
    before = votes_fingerprint(voted)
    for split, differs in (("train", True), ("test", False)):
        votes = votes_for(voted)
        votes[np.flatnonzero(voted.split == split)[0], 9] += 1
        assert (votes_fingerprint(replace(voted, columns={"ferplus_votes": votes})) != before) == differs
