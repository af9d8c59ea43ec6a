"""Results that are stored while they are computed, and the files written from them."""

import contextlib
import csv
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mien.base.errors import RunError
from mien.base.files import lock_file
from mien.inference.output_files import Columns, ResumableOutput
from support import raises

COLUMNS = Columns(("sad", "happy"), crops=False)
SETTINGS = {"mien": "1", "model": "sha256:0123", "crops": False}


def face(left, share):
    box = {"left": left, "top": 2, "width": 3, "height": 4}
    measured = {"detection_score": 0.5, "answer": "happy", "top": "happy", "confidence": share}
    return {"source": "x", "box": box, **measured, "probabilities": {"sad": 1 - share, "happy": share}}


ANSWERS = [
    {"source": "a.jpg", "image": {"width": 9, "height": 8}, "detector": "d", "faces": [face(1, 0.75), face(7, 0.5)]},
    {"source": 'é\udcff, "b".jpg', "image": {"width": 9, "height": 8}, "detector": "d", "faces": []},
    {"source": "bad.jpg", "error": "bad.jpg is damaged"},
    {"source": "c.jpg", "image": {"width": 9, "height": 8}, "detector": "d", "faces": [face(-1, 1.0)]},
]
ROWS = [
    ("a.jpg", "d", 1, 1, 2, 3, 4, 0.5, "happy", "happy", 0.75, 0.25, 0.75),
    ("a.jpg", "d", 2, 7, 2, 3, 4, 0.5, "happy", "happy", 0.5, 0.5, 0.5),
    ('é\\udcff, "b".jpg', "d", 0, *[None] * 10),
    ("c.jpg", "d", 1, -1, 2, 3, 4, 0.5, "happy", "happy", 1.0, 0.0, 1.0),
]
PLACE = ["source", "detector", "face", "box_left", "box_top", "box_width", "box_height", "detection_score"]
NAMES = [*PLACE, "answer", "top", "confidence", "sad", "happy"]


def write(out, answers=ANSWERS, columns=COLUMNS):
    with ResumableOutput(out, SETTINGS, columns) as journal:
        for answer in answers:
            journal.add(answer)
        journal.finish(sources(answers))


def sources(answers=ANSWERS):
    return [answer["source"] for answer in answers]


def test_jsonl_and_csv_hold_every_answer_and_a_row_for_each_face(tmp_path):
    write(tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as stream:
        head, *rows = csv.reader(stream)
    assert head == NAMES
    assert rows == [["" if v is None else f"{v:.6f}" if isinstance(v, float) else str(v) for v in row] for row in ROWS]
    (tmp_path / "out.csv").unlink()
    write(tmp_path / "out.jsonl")
    assert [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()] == ANSWERS
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]
    write(tmp_path / "out.csv", [face(0, 0.75) | {"source": "a.png"}], replace(COLUMNS, crops=True))
    lines = ["source,answer,top,confidence,sad,happy", "a.png,happy,happy,0.750000,0.250000,0.750000"]
    assert (tmp_path / "out.csv").read_text().splitlines() == lines


def test_parquet_holds_the_same_with_types(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    write(tmp_path / "out.parquet")
    table = parquet.read_table(tmp_path / "out.parquet")
    assert (table.column_names, [tuple(row.values()) for row in table.to_pylist()]) == (NAMES, ROWS)
    kinds = ["string"] * 2 + ["int32"] * 5 + ["double"] + ["string"] * 2 + ["double"] * 3
    assert [str(kind) for kind in table.schema.types] == kinds


@pytest.mark.parametrize("cut", [0, 1, 10])
def test_what_was_done_is_known_again_and_a_line_cut_off_is_not(tmp_path, cut):
    """``cut`` bytes of the last line are missing, as a kill leaves it."""
    out, images = tmp_path / "out.jsonl", [ANSWERS[0], ANSWERS[1], ANSWERS[3]]
    with ResumableOutput(out, SETTINGS, COLUMNS) as journal:
        for answer in images[:2]:
            journal.add(answer)
    content = journal.part.read_bytes()
    journal.part.write_bytes(content[: len(content) - cut])
    with ResumableOutput(out, SETTINGS, COLUMNS) as journal:
        done = [answer["source"] in journal.done for answer in images]
        assert done == [True, cut == 0, False]
        for answer, is_done in zip(images, done, strict=True):
            if not is_done:
                journal.add(answer)
        journal.finish(sources(images))
    write(tmp_path / "whole.jsonl", images)
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


@pytest.mark.parametrize("mended", [True, False])
def test_what_could_not_be_read_is_tried_again_and_counted_once(tmp_path, mended):
    first, _, bad, last = ANSWERS
    with ResumableOutput(tmp_path / "out.jsonl", SETTINGS, COLUMNS) as journal:
        journal.add(first)
        journal.add(bad)
    told = []
    with ResumableOutput(tmp_path / "out.jsonl", SETTINGS, COLUMNS) as journal:
        assert journal.done == {"a.jpg"}
        again = {**last, "source": "bad.jpg"} if mended else bad
        journal.add(last)
        journal.add(again)
        journal.finish(sources([first, again, last]), told.append)
    assert told == [first, again, last]
    assert [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()] == told


def test_a_journal_in_use_is_refused_and_not_touched(tmp_path):
    with ResumableOutput(tmp_path / "out.jsonl", SETTINGS, COLUMNS) as journal:
        journal.add(ANSWERS[0])
        with raises(RunError, "run-locked", "out.jsonl.part"):
            ResumableOutput(tmp_path / "out.jsonl", SETTINGS, COLUMNS)
        journal.add(ANSWERS[1])
        journal.finish(sources())
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 2


NOTES = "somebody's notes\nsecond line\n"


@pytest.mark.parametrize(
    ("out", "part", "code"),
    [("out.csv", '{"begun_with": {no json\n', "journal"),
     ("out.csv", '{"begun_with": {}}\n', "journal"), ("out.csv", NOTES, "journal"),
     ("out.csv", NOTES.strip(), "journal"), ("out.txt", None, "out-path"),
     ("out", None, "out-path"), ("folder.csv", None, "out-path"),
     ("file/out.csv", None, "file-unwritable"), ("done.csv", None, "file-exists")],
)  # fmt: skip
def test_an_output_that_cannot_be_written_is_an_error_and_nothing_is_touched(tmp_path, out, part, code):
    (tmp_path / "folder.csv").mkdir()
    for name in ("file", "done.csv"):
        (tmp_path / name).write_text("")
    if part is not None:
        (tmp_path / f"{out}.part").write_text(part)
    before = sorted(tmp_path.iterdir())
    with raises(RunError, code):
        ResumableOutput(tmp_path / out, SETTINGS, COLUMNS)
    assert sorted(tmp_path.iterdir()) == before
    assert part is None or (tmp_path / f"{out}.part").read_text() == part


@pytest.mark.parametrize(
    ("moment", "code"), [("mien.inference.output_files.lock_file", "run-locked"), ("pathlib.Path.open", "file-exists")]
)
def test_a_file_that_another_command_finishes_meanwhile_is_not_overwritten(tmp_path, monkeypatch, moment, code):
    """It finishes just before the journal is locked, or opened. Oracle: its FILE, and nothing beside."""
    out = tmp_path / "out.jsonl"
    first = ResumableOutput(out, SETTINGS, COLUMNS)
    first.add(ANSWERS[0])
    call = lock_file if "lock" in moment else Path.open

    def finish_first(*given):
        monkeypatch.undo()
        first.finish(sources())
        return call(*given)

    monkeypatch.setattr(moment, finish_first)
    with raises(RunError, code):
        ResumableOutput(out, SETTINGS, COLUMNS)
    assert [json.loads(line) for line in out.read_text().splitlines()] == ANSWERS[:1]
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows removes no open file")
@pytest.mark.parametrize("fails", [False, True])
def test_a_journal_is_removed_while_it_is_locked(tmp_path, monkeypatch, fails):
    """Oracle: nobody else can lock it at that moment."""
    unlink, locked = Path.unlink, []

    def look(path, missing_ok=False):
        if path.name == "out.csv.part":
            with path.open("rb") as stream:
                locked.append(not lock_file(stream))
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", look)
    with contextlib.suppress(KeyError), ResumableOutput(tmp_path / "out.csv", SETTINGS, COLUMNS) as journal:
        if fails:
            raise KeyError
        journal.add(ANSWERS[0])
        journal.finish(sources())
    assert (locked, [path.name for path in tmp_path.iterdir()]) == ([True], [] if fails else ["out.csv"])
