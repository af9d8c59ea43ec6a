"""Oracles: Krippendorff's own example and its alpha, counting by hand, the files on disk, mien's own reader of data."""

import csv
import math
import shutil
from collections import Counter

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

import mien
from mien.api.label import doubtful_first, relative_images
from mien.base.errors import DataError
from mien.base.images import open_image
from mien.base.labels import FERPLUS_CLASSES
from mien.data.ballots import REPEAT_EVERY, Vote, ballot_file, next_image, read_ballot, write_ballot
from mien.data.synthetic import render_faces
from mien.evaluation.vote_metrics import krippendorff_alpha, pair_agreement
from mien.serve.label_app import create_label_app
from support import raises

IMAGES = [f"{at:02}.png" for at in range(40)]


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    folder, generator = tmp_path_factory.mktemp("faces"), np.random.default_rng(0)
    for name in IMAGES:
        Image.fromarray(generator.integers(0, 255, (48, 48), dtype=np.uint8)).save(folder / name)
    return folder


def vote_on_all(person, images=IMAGES, answer=lambda image: "happy"):
    votes = []
    while (image := next_image(images, votes, person)) is not None:
        votes.append(Vote(image, answer(image)))
    return votes


def test_agreement_of_voters_equals_krippendorffs_example_and_a_count_by_hand():
    given = ["11.1", "2232", "3333", "3333", "2222", "1234", "4444", "1121", "2222", ".555", "..11", ".3.."]
    counts = np.array([[unit.count(str(value)) for value in range(1, 6)] for unit in given])
    assert krippendorff_alpha(counts) == pytest.approx(0.743, abs=5e-4)
    counts = np.array([[3, 0], [2, 1], [1, 0]])
    assert pair_agreement(counts).value == pytest.approx((1 + 1 / 3) / 2)
    assert pair_agreement(counts[2:]) is None
    assert math.isnan(krippendorff_alpha(counts[:1]))


def test_next_image_repeats_one_face_in_ten():
    votes = vote_on_all("anna")
    times = Counter(vote.image for vote in votes)
    assert (set(times), max(times.values())) == (set(IMAGES), 2)
    assert (sum(times.values()) - len(IMAGES), votes) == (len(votes) // REPEAT_EVERY, vote_on_all("anna"))
    assert votes != vote_on_all("ben")


def test_label_app_saves_votes_and_resumes(faces, tmp_path):
    file = tmp_path / "votes" / "anna.csv"
    client, again = (TestClient(create_label_app(faces, IMAGES, file), "http://127.0.0.1") for _ in range(2))
    question = client.get("/next").json()
    assert (question["image"], question["left"]) == (IMAGES[0], len(IMAGES))
    shown = open_image(client.get(f"/image/{question['number']}").content).convert("L")
    assert shown.tobytes() == Image.open(faces / IMAGES[0]).tobytes()
    vote = {"image": IMAGES[0], "answer": "sad", "votes": 0}
    assert client.post("/vote", json=vote).json()["votes"] == 1
    assert client.post("/vote", json=vote).status_code == 409, "a second page"
    assert read_ballot(file, IMAGES) == [Vote(IMAGES[0], "sad")]
    assert again.get("/next").json()["image"] == IMAGES[1], "a second process"
    assert again.post("/undo", json={"votes": 0}).status_code == 409
    assert (again.post("/undo", json={"votes": 1}).json()["votes"], read_ballot(file, IMAGES)) == (0, [])
    assert again.get("/image/99").status_code == 404
    assert again.get("/next", headers={"host": "evil.example"}).status_code == 403
    assert "label.js" in again.get("/").text
    (tmp_path / "full").write_text("")  # as a disk that is full: the votes cannot be written
    full = TestClient(create_label_app(faces, IMAGES, tmp_path / "full" / "anna.csv"), "http://127.0.0.1")
    unsaved = full.post("/vote", json=vote)
    assert (unsaved.status_code, "anna.csv" in unsaved.json()["error"]) == (409, True)
    Image.new("L", (48, 48), 90).save(tmp_path / "a.tiff")
    client = TestClient(create_label_app(tmp_path, ["a.tiff"], tmp_path / "anna.csv"), "http://127.0.0.1")
    assert client.get("/image/0").content.startswith(b"\x89PNG")


def test_merge_votes_writes_data(faces, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    answers = {
        "anna": lambda image: "happy" if image < "20" else "sad",
        "ben": lambda image: "happy" if image < "20" else "sad",
        "cleo": lambda image: "happy" if image < "10" else "fear",
    }
    for person, answer in answers.items():
        write_ballot(tmp_path / f"{person}.csv", vote_on_all(person, answer=answer))
    write_ballot(tmp_path / "dora.csv", [Vote(IMAGES[39], "not-a-face"), Vote(IMAGES[38], "happy")])
    (tmp_path / "to" / "here").mkdir(parents=True)
    (tmp_path / "to" / "here" / "link").symlink_to(tmp_path)
    merged = mien.merge_votes("~/to/here/link", f"~/../{faces.name}")
    assert (merged.people, merged.images, merged.labelled) == (("anna", "ben", "cleo", "dora"), 40, 38)
    assert ({share.value for share in merged.within.values()}, sorted(merged.ask_again)) == ({1.0}, IMAGES[38:])
    assert mien.load_dataset(merged.table).classes == ("happy", "sad")
    with merged.table.open() as stream:
        rows = list(csv.DictReader(stream))
    assert (rows[0]["votes_happy"], rows[25]["votes_sad"], rows[25]["votes_fear"]) == ("3", "2", "1")
    assert mien.merge_votes(tmp_path, faces).labelled == merged.labelled, "its own files are no ballots"
    write_ballot(tmp_path / "to" / "eve.csv", [Vote(IMAGES[0], "unknown"), Vote(IMAGES[1], "sad")])
    one = mien.merge_votes(tmp_path / "to", faces)
    assert (one.images, one.labelled, one.without_expression, one.ask_again, str(one).count("\n")) == (2, 1, 1, [], 1)
    assert merged.ceiling is one.ceiling is None, "few votes say little of others"
    for person in ("fay", "gil"):
        write_ballot(tmp_path / f"{person}.csv", vote_on_all(person, answer=answers["anna"]))
    assert 0.9 < mien.merge_votes(tmp_path, faces).ceiling.value <= 1


def test_merge_votes_names_copies_and_reads_windows_files(faces, tmp_path):
    ballot = [Vote(IMAGES[at], ("happy", "sad")[at % 2]) for at in range(6)]
    write_ballot(tmp_path / "anna.csv", ballot)
    write_ballot(tmp_path / "anna_old.csv", ballot[::-1])
    write_ballot(tmp_path / "anna_older.csv", sorted(ballot[:4]))
    write_ballot(tmp_path / "dan.csv", [*ballot[:4], ballot[0]])  # asked again: of a person of their own
    rows = "".join(f"{image};{answer}\r\n" for image, answer in ballot[:5])
    (tmp_path / "ben.CSV").write_text(f"Image;Vote\r\n{rows}", encoding="utf-8-sig")
    (tmp_path / "cleo.xlsx").write_bytes(b"PK")
    merged = mien.merge_votes(tmp_path, faces)
    assert merged.people == ("anna", "anna_old", "anna_older", "ben", "dan")
    assert [note.code for note in merged.notices] == ["ballots-equal"] * 7 + ["files-skipped"]
    assert [("cleo" in note, "anna_older and ben" in note) for note in merged.notices].count((False, True)) == 1
    assert ballot_file(tmp_path, "ben").name == "ben.CSV", "voting goes on in it"
    write_ballot(tmp_path / "ben.csv", ballot)
    with raises(DataError, "ballot", "ben"):
        mien.merge_votes(tmp_path, faces)


def test_label_app_takes_other_answers(faces, tmp_path):
    answers = ("bored", "confused", "happy")
    client = TestClient(create_label_app(faces, IMAGES, tmp_path / "anna.csv", answers), "http://127.0.0.1")
    assert client.get("/next").json()["answers"] == [*answers]
    for at, answer in enumerate(("bored", "confused")):
        assert client.post("/vote", json={"image": IMAGES[at], "answer": answer, "votes": at}).json()["votes"] == at + 1
    assert client.post("/vote", json={"image": IMAGES[2], "answer": "sad", "votes": 2}).status_code == 409
    assert set(mien.load_dataset(mien.merge_votes(tmp_path, faces, answers).table).classes) == {"bored", "confused"}
    with raises(DataError, "ballot", "bored"):
        mien.merge_votes(tmp_path, faces)
    for wrong in (["bored"], ["a", "a"], ["a", ""], [*"abcdefghijk"]):
        with raises(DataError, "ballot", "--answers"):
            mien.merge_votes(tmp_path, faces, wrong)


@pytest.mark.parametrize("name", ["labels.csv", "ask_again.csv"])
def test_merge_votes_rejects_a_table_of_another_program(faces, tmp_path, name):
    write_ballot(tmp_path / "anna.csv", vote_on_all("anna"))
    (tmp_path / name).write_text("path,label\n00.png,sad\n")
    with raises(DataError, "file-exists", name):
        mien.merge_votes(tmp_path, faces)
    assert (tmp_path / name).read_text() == "path,label\n00.png,sad\n"
    assert len(list(tmp_path.iterdir())) == 2, "nothing was written"


def test_doubtful_first_sorts_by_entropy(tmp_path):
    """Oracle: SciPy's entropy. A file that cannot be read is named and left out."""
    entropy, model, skipped = pytest.importorskip("scipy.stats").entropy, mien.load("tiny"), []
    for name, face in zip(IMAGES, render_faces(np.arange(len(IMAGES)) % 7, seed=3), strict=True):
        Image.fromarray(face).save(tmp_path / name)
    shown = [name for name in IMAGES if name != "05.png"]
    found = model.predict_crops([tmp_path / name for name in shown])
    doubt = {name: entropy(each.probability_vector) for name, each in zip(shown, found, strict=True)}
    (tmp_path / "05.png").write_bytes(b"no image")
    found = doubtful_first(IMAGES, tmp_path, model, lambda name, _: skipped.append(name))
    assert (found, skipped) == (sorted(doubt, key=lambda name: -doubt[name]), [str(tmp_path / "05.png")])
    with raises(DataError, "no-images"):
        doubtful_first(["05.png"], tmp_path, model, lambda *_: None)


@pytest.mark.parametrize(("content", "named"), [
    ("path,label\na.png,happy\n", "path, label"),
    ("image,vote\n00.png,joyful\n", "joyful"),
    ("image,vote\nother.png,happy\n", "other.png"),
])  # fmt: skip
def test_read_ballot_rejects_other_files(faces, tmp_path, content, named):
    (tmp_path / "anna.csv").write_text(content)
    with raises(DataError, "ballot", "anna.csv", named):
        mien.merge_votes(tmp_path, faces)


def test_ballot_file_rejects_names_of_no_person(faces, tmp_path):
    with raises(DataError, "ballot", tmp_path):
        mien.merge_votes(tmp_path, faces)
    shutil.copytree(faces, tmp_path / "copy")
    (tmp_path / "anna (1).csv").write_text("image,vote\n")  # as a browser names a second download
    with raises(DataError, "ballot", "anna (1)"):
        mien.merge_votes(tmp_path, faces)
    (tmp_path / "anna (1).csv").rename(tmp_path / "._anna.csv")  # as macOS leaves
    for name in ("labels", "ask_again", "a/b", ""):
        with raises(DataError, "ballot", f"'{name}'"):
            ballot_file(tmp_path, name)
    assert len(FERPLUS_CLASSES) == 10, "one key each"
    for name in ("a\rb.png", "b\udcff.png", " c.png", "d\\e.png"):
        (tmp_path / "copy" / name).write_bytes(b"x")
        with raises(DataError, "ballot", ascii(name)):
            relative_images(tmp_path / "copy")
        (tmp_path / "copy" / name).unlink()
